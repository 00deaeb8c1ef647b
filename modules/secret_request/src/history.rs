//! Which secrets are known to have existed: one that was there once is never made again.

use crate::codes;
use crate::manifest::{self, Manifest};
use crate::options::{Held, Requests};
use crate::plan::ID_FILE_LIMIT;
use crate::wanted::Present;
use fault::{Fault, Result};
use pv_request::IdFile;
use pv_wire::{RequestView, SecretId, layout};
use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::io::{ErrorKind, Read as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

/// More entries than that are looked at in no folder.
const MOST_ENTRIES: usize = 200_000;

/// What of a folder's files and of guests shows that a secret existed. Gathered before the first secret of a task is made, so
/// that nothing in it is the task's own work.
#[derive(Debug, Default)]
pub struct History {
    in_files: HashMap<SecretId, PathBuf>,
    in_guests: HashMap<SecretId, String>,
    /// Why it is not complete. Then nothing is known to be new.
    incomplete: Option<Fault>,
}

impl History {
    /// Looks, if any of these requests may make a secret that is not there.
    pub fn gather(requests: &Requests) -> Self {
        let mut history = Self::default();
        let mut folders = BTreeSet::new();
        for may in requests.creations() {
            // Whatever is there, and be it unreadable, is not made; its own request finds out what it is.
            if fs::symlink_metadata(may.secret_file).is_ok() {
                continue;
            }
            let beside = may.path.map(durable::identity);
            folders.extend(beside.as_deref().and_then(Path::parent).map(|folder| (folder.to_owned(), false)));
            folders.extend(may.history.iter().map(|folder| (durable::identity(folder.as_path()), true)));
            history.in_guests.extend(may.held.iter().filter_map(known));
        }
        for (folder, with_folders) in &folders {
            if let Err(fault) = history.look_into(folder, *with_folders) {
                history.incomplete.get_or_insert(fault);
            }
        }
        history
    }

    /// That nothing shows that a secret of this id existed before, nor does the request's own id file, wherever it is.
    ///
    /// # Errors
    /// `request.secret_existed`, `request.secret_held`, and why a file could not be read that may show it.
    pub fn check_new(&self, wanted: &Present, secret_file: &Path, id_file: Option<&[u8]>) -> Result<()> {
        let Some(id) = &wanted.id else { return Ok(()) };
        let name = wanted.name.as_deref().unwrap_or_default();
        let give_up = "Set replace_secret: true only to give it up, with everything that it protects, for a new one.";
        let in_id_file = || wanted.id_file.as_ref().filter(|_| id_file.and_then(id_in_text) == Some(*id));
        if let Some(file) = self.in_files.get(id).or_else(in_id_file) {
            let detail = format!(
                "The secret {name:?} was not created: {} shows that it existed before, but {} does not exist.",
                file.display(),
                secret_file.display()
            );
            return Err(Fault::new(codes::SECRET_EXISTED, detail)
                .hint(format!("Restore it from the backup, or name its folder. {give_up}")));
        }
        if let Some(guest) = self.in_guests.get(id) {
            let detail = format!(
                "The secret {name:?} was not created: {guest} holds one with this id, but {} does not exist.",
                secret_file.display()
            );
            return Err(Fault::new(codes::SECRET_HELD, detail).hint(format!(
                "Do not reboot the guest: restore the secret from the backup, or name its folder. {give_up}"
            )));
        }
        self.incomplete.clone().map_or(Ok(()), |mut fault| {
            fault.detail =
                format!("The secret {name:?} was not created, because it may have existed before: {}", fault.detail);
            Err(fault)
        })
    }

    fn look_into(&mut self, folder: &Path, with_folders: bool) -> Result<()> {
        let entries = match fs::read_dir(folder) {
            Ok(entries) => entries,
            // Nothing was ever written there.
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
            Err(e) => return Err(durable::unreadable(folder, &e)),
        };
        for (at, entry) in entries.enumerate() {
            if at == MOST_ENTRIES {
                let detail = format!("{} holds more than {MOST_ENTRIES} files.", folder.display());
                return Err(Fault::new(codes::NOT_OURS, detail).hint("Keep requests in a separate folder."));
            }
            let entry = entry.map_err(|e| durable::unreadable(folder, &e))?;
            let path = entry.path();
            // A folder may have been moved elsewhere and linked; a link to a file is one that cannot be read.
            let kind = match fs::metadata(&path) {
                Ok(metadata) => metadata.file_type(),
                Err(e) if e.kind() == ErrorKind::NotFound => continue,
                Err(e) => return Err(durable::unreadable(&path, &e)),
            };
            if kind.is_dir() && with_folders {
                self.look_into(&path, false)?;
            } else if kind.is_file() {
                if let Some(id) = id_in(&path)? {
                    self.in_files.entry(id).or_insert(path);
                }
            }
        }
        Ok(())
    }
}

fn known(held: &Held) -> Option<(SecretId, String)> {
    Some((held.id.0.parse().ok()?, held.by.0.clone()))
}

/// The id of the secret that a request, a manifest or an id file is about; `None` for any other file.
fn id_in(path: &Path) -> Result<Option<SecretId>> {
    if let Some(request) = manifest::request_of(path) {
        let recorded = Manifest::read(&request, None)?;
        let said = recorded.said().ok_or_else(|| damaged(path, "manifest of a request"))?;
        return Ok(said.inputs.id.as_deref().and_then(|id| id.parse().ok()));
    }
    if path.as_os_str().as_bytes().ends_with(b".yaml") {
        let found = durable::read(path, ID_FILE_LIMIT, codes::NOT_OURS)?;
        return Ok(found.and_then(|found| id_in_text(&found.bytes)));
    }
    // By whatever name, as a kept request has another one than when it was in use.
    let Some(file) = durable::open(path).map_err(|e| durable::unreadable(path, &e))? else { return Ok(None) };
    let mut bytes = Vec::new();
    (&file).take(layout::MAGIC.len() as u64).read_to_end(&mut bytes).map_err(|e| durable::unreadable(path, &e))?;
    if bytes != layout::MAGIC {
        return Ok(None);
    }
    (&file).take(layout::MAX_REQUEST_LEN as u64).read_to_end(&mut bytes).map_err(|e| durable::unreadable(path, &e))?;
    let view = RequestView::parse(&bytes).map_err(|_| damaged(path, "request"))?;
    Ok(view.id)
}

/// The id in an id file; `None` for any other text.
fn id_in_text(text: &[u8]) -> Option<SecretId> {
    IdFile::parse(std::str::from_utf8(text).ok()?, "").ok().map(|file| file.id)
}

/// What is damaged may have been about any secret.
fn damaged(path: &Path, what: &str) -> Fault {
    Fault::new(codes::NOT_OURS, format!("{} is not a readable {what}.", path.display()))
        .hint("Restore the file from the backup, or move it elsewhere if it is not needed.")
}
