//! What a plan changes of one request, carried out or in check mode told: the request with its manifest, and the id file.

use crate::codes;
use crate::manifest::{Hidden, Manifest};
use crate::material::Material;
use crate::plan::{Desired, Observed, Plan, check_ours};
use crate::present::{Shared, observe};
use crate::progress::Progress;
use crate::wanted::{Present, Proof};
use ansible_contract::Diff;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use durable::{Attributes, Folder};
use fault::{Fault, Result};
use openssl::sha::sha256;
use pv_request::verify::iso8601;
use pv_wire::{RequestView, encode_hex};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};
use trusted::{Private, StateKey};

/// Mode of an id file: it holds no secret.
const ID_FILE_MODE: u32 = 0o644;

/// What is at a request's path in the end.
enum Written {
    /// The request that was built, made of this.
    Own(Hidden),
    /// The same of another run.
    Others(Vec<u8>),
}

/// One request that was planned, and what its changes are made of.
pub struct Apply<'a> {
    /// What is asked for.
    pub wanted: &'a Present,
    /// What it is built from.
    pub material: &'a Material,
    /// What is to be there.
    pub desired: &'a Desired,
    /// What is there.
    pub observed: &'a Observed,
    /// The secret with which it was built.
    pub secret: Option<&'a Private>,
    /// What all requests of the task share.
    pub shared: &'a mut Shared,
    /// What was done, and what is told of it.
    pub progress: &'a mut Progress,
}

impl Apply<'_> {
    /// Writes the request that was built, or sets only its attributes, or leaves it.
    ///
    /// # Errors
    /// Why it could not be done; what was done before is in `progress`.
    pub fn request(&mut self, plan: &Plan, built: Option<Vec<u8>>) -> Result<()> {
        if let Some(request) = built {
            return self.take(&request);
        }
        let (Some(path), Some(found)) = (&self.wanted.path, &self.observed.request) else { return Ok(()) };
        tell_request(&found.bytes, true, self.wanted, self.progress);
        if plan.record_id_file {
            self.record_id_file(path)?;
        }
        if plan.set_attributes {
            let (before, after) = (found.attributes.lines(&self.desired.attributes), self.attribute_lines());
            if !self.shared.check_mode {
                durable::set_attributes(path, found, &self.desired.attributes, codes::NOT_OURS)?;
            }
            self.progress.changed(Diff { subject: path.display().to_string(), before, after });
        }
        Ok(())
    }

    fn take(&mut self, request: &[u8]) -> Result<()> {
        if matches!(self.wanted.proof, Proof::None) {
            let detail = "A request without an extension secret does not prove its origin: anybody can build one for this image.";
            let hint = "Give extension_secret_file or cck_file, if the image was built with one.";
            self.progress.warn(&Fault::new(codes::ORIGIN_NOT_PROVED, detail).hint(hint));
        }
        let sha256 = encode_hex(&sha256(request));
        let hidden = match &self.wanted.path {
            Some(path) if !self.shared.check_mode => match self.write(path, request, &sha256)? {
                Written::Own(hidden) => hidden,
                Written::Others(there) => {
                    tell_request(&there, true, self.wanted, self.progress);
                    return Ok(());
                }
            },
            _ => self.desired.hidden.clone(),
        };
        tell_request(request, !self.shared.check_mode, self.wanted, self.progress);
        let diff = self.diff(&hidden, &sha256);
        self.progress.changed(diff);
        Ok(())
    }

    /// Manifest first: if the request does not follow, the next run finds that it does not fit and makes it again.
    ///
    /// A request that another run has made of the same since this one looked is taken in place of the own one: it may have been
    /// handed to a guest already, and what a guest proves is compared with what is here.
    fn write(&mut self, path: &Path, request: &[u8], sha256: &str) -> Result<Written> {
        if self.shared.key.is_none() {
            self.shared.key = Some(StateKey::load_or_create(&self.shared.key_path)?);
        }
        let hidden = self.material.hidden(self.key()?, self.secret.map(|bytes| bytes.as_slice()))?;
        let sealed = self.manifest(path, sha256, &hidden)?;

        // Of two runs at once neither may come between the other's two files.
        let folder = Folder::lock(path)?;
        let now = observe(self.wanted, self.shared.key.as_ref())?;
        if let Some(there) = self.made_meanwhile(&now, path, &hidden) {
            return Ok(Written::Others(there));
        }
        // Something else may have come there since.
        now.request.as_ref().map_or(Ok(()), |found| check_ours(path, found, &now.recorded))?;
        let changed = &mut self.progress.entry.changed;
        folder.replace(&Manifest::path(path), &sealed, &Attributes::mode(0o600), changed)?;
        if self.wanted.backup && self.observed.request.is_some() {
            let kept = folder.keep_as(path, &backup_path(path), |name| is_backup(name, path))?;
            self.progress.entry.backup_file = Some(kept.display().to_string());
        }
        folder.replace(path, request, &self.desired.attributes, changed)?;
        Ok(Written::Own(hidden))
    }

    /// The request that is there, if it is another one than was found before, and made of all that this one is made of.
    fn made_meanwhile(&self, now: &Observed, path: &Path, hidden: &Hidden) -> Option<Vec<u8>> {
        let before = self.observed.request.as_ref().map(|found| &found.bytes);
        let found = now.request.as_ref().filter(|found| Some(&found.bytes) != before)?;
        let id_file = self.wanted.id_file.as_deref().map(|id_file| relative(id_file, path));
        let own =
            Manifest::new(encode_hex(&sha256(&found.bytes)), self.desired.inputs.clone(), hidden.clone(), id_file);
        (now.recorded.trusted() == Some(&own)).then(|| found.bytes.clone())
    }

    /// The text of the request's manifest.
    fn manifest(&self, path: &Path, sha256: &str, hidden: &Hidden) -> Result<Vec<u8>> {
        let id_file = self.wanted.id_file.as_deref().map(|id_file| relative(id_file, path));
        Manifest::new(sha256.into(), self.desired.inputs.clone(), hidden.clone(), id_file).seal(self.key()?)
    }

    fn key(&self) -> Result<&StateKey> {
        self.shared.key.as_ref().ok_or_else(|| {
            Fault::new(
                trusted::codes::STATE_KEY,
                format!("The key {} no longer exists.", self.shared.key_path.display()),
            )
            .hint("Run the task again: it creates a new key, and builds the request again.")
        })
    }

    /// Otherwise whoever removes another request with this id file would not know that it is still needed.
    fn record_id_file(&mut self, path: &Path) -> Result<()> {
        let Some(recorded) = self.observed.recorded.trusted() else { return Ok(()) };
        let line = |id_file: Option<PathBuf>| format!("id_file: {}\n", id_file.unwrap_or_default().display());
        let (before, after) = (line(recorded.id_file_of(path)), line(self.wanted.id_file.clone()));
        let manifest = Manifest::path(path);
        if !self.shared.check_mode {
            let sealed = self.manifest(path, &recorded.sha256, &recorded.hidden)?;
            durable::replace(&manifest, &sealed, &Attributes::mode(0o600), &mut self.progress.entry.changed)?;
        }
        self.progress.changed(Diff { subject: manifest.display().to_string(), before, after });
        Ok(())
    }

    /// Writes the id file, if that is planned.
    ///
    /// # Errors
    /// Why it could not be done.
    pub fn id_file(&mut self, plan: &Plan) -> Result<()> {
        let (Some(text), Some(path)) = (&plan.write_id_file, &self.wanted.id_file) else { return Ok(()) };
        if !self.shared.check_mode {
            let changed = &mut self.progress.entry.changed;
            durable::replace(path, text.as_bytes(), &Attributes::mode(ID_FILE_MODE), changed)?;
        }
        let before = self.observed.id_file.as_deref().map(String::from_utf8_lossy).unwrap_or_default().into_owned();
        self.progress.changed(Diff { subject: path.display().to_string(), before, after: text.clone() });
        Ok(())
    }

    fn diff(&self, hidden: &Hidden, sha256: &str) -> Diff {
        let subject = self.wanted.path.as_ref().map_or_else(|| "request".to_owned(), |path| path.display().to_string());
        let recorded = self.observed.recorded.trusted();
        let mut before = String::new();
        if let Some(found) = &self.observed.request {
            before += &recorded.map_or_else(String::new, |manifest| manifest.inputs.lines());
            before += &format!("sha256: {}\n", encode_hex(&openssl::sha::sha256(&found.bytes)));
            before += &found.attributes.lines(&self.desired.attributes);
        }
        let new = if self.shared.check_mode { "that of a new request" } else { sha256 };
        let mut after = self.desired.inputs.lines() + &format!("sha256: {new}\n") + &self.attribute_lines();
        for name in recorded.map_or_else(Vec::new, |manifest| hidden.differing(&manifest.hidden)) {
            before += &format!("{name}: as before\n");
            after += &format!("{name}: another one\n");
        }
        Diff { subject, before, after }
    }

    fn attribute_lines(&self) -> String {
        self.desired.attributes.lines(&self.desired.attributes)
    }
}

/// What of a request is told. One that is not `there` only shows its size, for what is built later is another one.
fn tell_request(bytes: &[u8], there: bool, wanted: &Present, progress: &mut Progress) {
    let entry = &mut progress.entry;
    entry.size = Some(bytes.len());
    if there {
        entry.tag = RequestView::parse(bytes).ok().map(|view| encode_hex(view.tag()));
        entry.sha256 = Some(encode_hex(&sha256(bytes)));
        entry.content = wanted.return_content.then(|| STANDARD.encode(bytes));
    }
}

/// The id file as the manifest names it: so that a folder can be moved as a whole.
fn relative(id_file: &Path, request: &Path) -> PathBuf {
    let (id_file, request) = (durable::identity(id_file), durable::identity(request));
    match (id_file.parent() == request.parent(), id_file.file_name()) {
        (true, Some(name)) => name.into(),
        _ => id_file,
    }
}

/// As Ansible's own modules name what they keep, in UTC.
fn backup_path(path: &Path) -> PathBuf {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let time = iso8601(i64::try_from(now).unwrap_or(i64::MAX)).replace('T', "@").replace('Z', "~");
    let mut backup = path.as_os_str().to_owned();
    backup.push(format!(".{}.{time}", std::process::id()));
    backup.into()
}

/// Whether a name beside a request is one that [`backup_path`] gives: `NAME.PROCESS.YYYY-MM-DD@HH:MM:SS~`.
pub fn is_backup(name: &str, request: &Path) -> bool {
    let rest = request.file_name().and_then(|own| own.to_str()).and_then(|own| name.strip_prefix(own));
    let parts = rest.and_then(|rest| rest.strip_prefix('.')?.split_once('.'));
    parts.is_some_and(|(process, time)| {
        let is_like = |(found, like): (u8, u8)| if like == b'0' { found.is_ascii_digit() } else { found == like };
        let like = b"0000-00-00@00:00:00~";
        !process.is_empty()
            && process.bytes().all(|digit| digit.is_ascii_digit())
            && time.len() == like.len()
            && time.bytes().zip(*like).all(is_like)
    })
}
