//! What the options of one request ask for, checked as far as that goes without reading any file.

use crate::manifest::Manifest;
use crate::options::{Flag, Kind, Options, State};
use crate::seal::Sealing;
use ansible_contract::{Mode, NoLog, codes as args, from_base64};
use fault::{Fault, Result};
use pv_request::IdFile;
use pv_wire::SecretId;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use trusted::cuid::{self, Cuid};
use trusted::{AskedHostKeys, HostKeyOptions, Private, missing, paths, required};

/// In bytes. Id file and manifest hold the name and must stay readable.
const LONGEST_NAME: usize = 4096;

/// What the option secret is, and how it is made.
pub const HINT_BASE64: &str = "The option secret is base64 of the raw secret. In a template: {{ value | b64encode }}; of a file: base64 -w0 FILE.";

/// Where a secret comes from.
pub enum SecretSource {
    /// There is none.
    None,
    /// From the option itself.
    Given(Private),
    /// From a file, which may be made.
    File {
        /// The file.
        path: PathBuf,
        /// Whether it is made where it does not exist.
        create: bool,
        /// How it is encrypted.
        sealing: Sealing,
    },
}

/// What proves to the image where the request comes from.
pub enum Proof {
    /// Nothing does.
    None,
    /// The extension secret in this file.
    Simple(PathBuf),
    /// What is derived from the customer communication key in this file.
    Derived(PathBuf),
}

/// From where the configuration unique id comes.
pub enum CuidSource {
    /// The request is not bound to one start of a guest.
    None,
    /// From the option itself.
    Given(Cuid),
    /// From a file.
    File(PathBuf),
}

/// A request that is to be there.
pub struct Present {
    /// Its file; without one it is only returned.
    pub path: Option<PathBuf>,
    /// What the secret is.
    pub kind: Kind,
    /// The secret's name, where its type has one.
    pub name: Option<String>,
    /// The secret's id, where its type has one.
    pub id: Option<SecretId>,
    /// The secret.
    pub secret: SecretSource,
    /// Whether it may be another one than before.
    pub replace_secret: bool,
    /// The boot image.
    pub image: PathBuf,
    /// Host keys that can open the request.
    pub host_keys: AskedHostKeys,
    /// The proof of origin.
    pub proof: Proof,
    /// The start of a guest to which the request is bound.
    pub cuid: CuidSource,
    /// What it does beside adding a secret, each once.
    pub flags: BTreeSet<Flag>,
    /// User data.
    pub user_data: Option<PathBuf>,
    /// The key that signs them.
    pub user_signing_key: Option<PathBuf>,
    /// The YAML file that names the secret, where its type has a name.
    pub id_file: Option<PathBuf>,
    /// Whether the module may run in a Secure Execution guest.
    pub allow_on_guest: bool,
    /// Whether folders that are missing are made.
    pub make_folders: bool,
    /// Whether a request that is replaced is kept.
    pub backup: bool,
    /// Whether the request is returned.
    pub return_content: bool,
    /// Mode of the request.
    pub mode: Option<Mode>,
    /// Owner of the request.
    pub owner: Option<String>,
    /// Group of the request.
    pub group: Option<String>,
}

/// A request that is not to be there.
pub struct Absent {
    /// Its file.
    pub path: PathBuf,
    /// The id file that the options name or imply; else the manifest's.
    pub id_file: Option<PathBuf>,
    /// The ids that a secret of the name can have, where one is given.
    pub name: Option<String>,
}

/// What is to become of one request.
pub enum Wanted {
    /// It is to be there.
    Present(Box<Present>),
    /// It is not.
    Absent(Absent),
}

impl Wanted {
    /// Checks the options of one request.
    ///
    /// # Errors
    /// `args.missing`, `args.conflict`, `args.invalid`.
    pub fn from_options(options: &Options) -> Result<Self> {
        match options.state() {
            State::Present => present(options).map(|present| Self::Present(Box::new(present))),
            State::Absent => absent(options).map(Self::Absent),
        }
    }
}

fn name(options: &Options) -> Option<String> {
    options.name.as_deref().map(str::to_owned)
}

fn absent(options: &Options) -> Result<Absent> {
    let path = required(options.path.as_ref(), "path")?;
    let id_file = match (&options.id_file, &options.name) {
        (Some(path), _) => Some(path.as_path().to_owned()),
        (None, Some(name)) => IdFile::file_name(name).map(|file| path.with_file_name(file)),
        (None, None) => None,
    };
    Ok(Absent { path, id_file, name: name(options) })
}

fn present(options: &Options) -> Result<Present> {
    refuse_conflicts(options)?;
    let kind = options.r#type();
    let path = options.path.as_ref().map(|path| path.as_path().to_owned());
    if path.is_none() && !options.return_content() {
        return Err(missing("path", "it may be omitted only with return_content: true"));
    }
    let named = !matches!(kind, Kind::Meta | Kind::UpdateCck);
    if named && options.name.as_deref().is_none_or(str::is_empty) {
        return Err(missing("name", "a secret of this type has one"));
    }
    if let Some(len) = options.name.as_deref().map(str::len).filter(|len| *len > LONGEST_NAME) {
        let detail = format!("The option name has {len} bytes; at most {LONGEST_NAME} are allowed.");
        return Err(Fault::new(args::INVALID, detail).hint("Give the secret a shorter name."));
    }
    let id = options
        .name
        .as_ref()
        .map(|name| if options.use_name() { SecretId::from_name_bytes(name) } else { SecretId::of_name(name) });
    let present = Present {
        kind,
        id,
        secret: secret(options, kind)?,
        replace_secret: options.replace_secret(),
        image: required(options.image.as_ref(), "image")?,
        host_keys: host_keys(options).asked()?,
        proof: match (&options.extension_secret_file, &options.cck_file) {
            (Some(path), _) => Proof::Simple(path.as_path().to_owned()),
            (None, Some(path)) => Proof::Derived(path.as_path().to_owned()),
            (None, None) => Proof::None,
        },
        cuid: match (&options.cuid, &options.cuid_file) {
            (Some(text), _) => CuidSource::Given(cuid::from_option(text)?),
            (None, Some(path)) => CuidSource::File(path.as_path().to_owned()),
            (None, None) => CuidSource::None,
        },
        flags: options.flags.iter().flatten().copied().collect(),
        user_data: options.user_data_file.as_ref().map(|path| path.as_path().to_owned()),
        user_signing_key: options.user_signing_key.as_ref().map(|path| path.as_path().to_owned()),
        id_file: id_file(options, path.as_deref())?,
        allow_on_guest: options.allow_on_guest(),
        make_folders: options.make_folders(),
        backup: options.backup(),
        return_content: options.return_content(),
        mode: options.mode.clone(),
        owner: options.owner.clone(),
        group: options.group.clone(),
        name: name(options),
        path,
    };
    present.refuse_overlaps()?;
    Ok(present)
}

/// Options that would be ignored beside another one are refused.
fn refuse_conflicts(options: &Options) -> Result<()> {
    let kind = options.r#type();
    let (meta, nameless) = (kind == Kind::Meta, matches!(kind, Kind::Meta | Kind::UpdateCck));
    let in_memory = options.path.is_none();
    let recipients = options.secret_recipients.as_ref().is_some_and(|list| !list.is_empty());
    let (nameless_type, type_meta) = ("a type without a name (meta, update_cck)", "type: meta");
    let no_path = "a request without path";
    let table = [
        (options.secret.is_some(), "secret", options.secret_file.is_some(), "secret_file"),
        (options.secret.is_some(), "secret", options.create_secret(), "create_secret"),
        (options.extension_secret_file.is_some(), "extension_secret_file", options.cck_file.is_some(), "cck_file"),
        (options.cuid.is_some(), "cuid", options.cuid_file.is_some(), "cuid_file"),
        (options.name.is_some(), "name", nameless, nameless_type),
        (options.use_name(), "use_name", nameless, nameless_type),
        (options.id_file.is_some(), "id_file", nameless, nameless_type),
        (options.secret.is_some(), "secret", meta, type_meta),
        (options.secret_file.is_some(), "secret_file", meta, type_meta),
        (options.replace_secret(), "replace_secret", meta, type_meta),
        (recipients, "secret_recipients", options.secret.is_some(), "secret"),
        (options.secret_key_file.is_some(), "secret_key_file", options.secret.is_some(), "secret"),
        (options.secret_key_passphrase.is_some(), "secret_key_passphrase", options.secret.is_some(), "secret"),
        (recipients, "secret_recipients", meta, type_meta),
        (options.secret_key_file.is_some(), "secret_key_file", meta, type_meta),
        (options.secret_key_passphrase.is_some(), "secret_key_passphrase", meta, type_meta),
        (options.create_secret(), "create_secret", kind != Kind::Association, "a type other than association"),
        (options.mode.is_some(), "mode", in_memory, no_path),
        (options.owner.is_some(), "owner", in_memory, no_path),
        (options.group.is_some(), "group", in_memory, no_path),
        (options.backup(), "backup", in_memory, no_path),
        (options.replace_secret(), "replace_secret", in_memory, no_path),
    ];
    table.into_iter().filter(|(one, _, other, _)| *one && *other).try_for_each(|(_, name, _, other)| {
        Err(Fault::new(args::CONFLICT, format!("The option {name} cannot be given together with {other}."))
            .hint("Leave one of them out: it would be ignored."))
    })
}

fn secret(options: &Options, kind: Kind) -> Result<SecretSource> {
    match (&options.secret, &options.secret_file) {
        _ if kind == Kind::Meta => Ok(SecretSource::None),
        (Some(text), _) => decode(text).map(SecretSource::Given),
        (None, Some(path)) => {
            let sealing = Sealing {
                recipients: paths(options.secret_recipients.as_deref()).unwrap_or_default(),
                key: options.secret_key_file.as_ref().map(|path| path.as_path().to_owned()),
                passphrase: options.secret_key_passphrase.clone(),
            };
            if sealing.passphrase.is_some() && sealing.key.is_none() {
                return Err(missing("secret_key_file", "secret_key_passphrase is for this file"));
            }
            Ok(SecretSource::File { path: path.as_path().to_owned(), create: options.create_secret(), sealing })
        }
        (None, None) => {
            Err(missing("secret_file", "a secret of this type comes from this file or from the option secret"))
        }
    }
}

/// The secret from its base64; messages never quote it.
fn decode(text: &NoLog) -> Result<Private> {
    if text.expose().trim().is_empty() {
        return Err(Fault::new(args::INVALID, "The option secret is empty.")
            .hint("Check the lookup that it comes from; an empty plaintext can be given as an empty secret_file."));
    }
    from_base64(text.expose())
        .ok_or_else(|| Fault::new(args::INVALID, "The option secret is not base64.").hint(HINT_BASE64))
}

fn host_keys(options: &Options) -> HostKeyOptions<'_> {
    HostKeyOptions {
        host_keys: options.host_keys.as_deref(),
        host_key_hashes: options.host_key_hashes.as_deref(),
        certificates: options.certificates.as_deref(),
        crls: options.crls.as_deref(),
        root_ca: options.root_ca.as_ref(),
        download_crls: options.download_crls(),
        verify_host_keys: options.verify_host_keys(),
    }
}

fn id_file(options: &Options, path: Option<&Path>) -> Result<Option<PathBuf>> {
    match (&options.id_file, &options.name, path) {
        (Some(id_file), ..) => Ok(Some(id_file.as_path().to_owned())),
        (None, Some(name), Some(path)) => {
            let file = IdFile::file_name(name).ok_or_else(|| {
                let longest = IdFile::LONGEST_NAME;
                let why = format!("a name that is empty, longer than {longest} bytes, begins with a dot, or contains a / or a NUL cannot be a file name");
                missing("id_file", &why)
            })?;
            Ok(Some(path.with_file_name(file)))
        }
        _ => Ok(None),
    }
}

impl Present {
    /// The file with the secret, if it comes from one.
    pub fn secret_file(&self) -> Option<&Path> {
        if let SecretSource::File { path, .. } = &self.secret { Some(path) } else { None }
    }

    /// How the file with the secret is encrypted, if the secret comes from one.
    pub fn sealing(&self) -> Option<&Sealing> {
        if let SecretSource::File { sealing, .. } = &self.secret { Some(sealing) } else { None }
    }

    /// Nothing that is written may be written over something that is read, or over something else that is written.
    fn refuse_overlaps(&self) -> Result<()> {
        if self.path.is_none() && self.id_file.is_none() {
            return Ok(());
        }
        let manifest = self.path.as_deref().map(Manifest::path);
        let written = [
            ("path", self.path.as_deref()),
            ("path's manifest", manifest.as_deref()),
            ("id_file", self.id_file.as_deref()),
        ];
        let proof = match &self.proof {
            Proof::None => None,
            Proof::Simple(path) | Proof::Derived(path) => Some(path.as_path()),
        };
        let cuid = if let CuidSource::File(path) = &self.cuid { Some(path.as_path()) } else { None };
        let read = [
            ("secret_file", self.secret_file()),
            ("secret_key_file", self.sealing().and_then(|sealing| sealing.key.as_deref())),
            ("image", Some(self.image.as_path())),
            ("extension_secret_file or cck_file", proof),
            ("cuid_file", cuid),
            ("user_data_file", self.user_data.as_deref()),
            ("user_signing_key", self.user_signing_key.as_deref()),
        ];
        let host_keys = self.host_keys.documents.iter().map(|path| ("host_keys", Some(path.as_path())));
        let mut seen: Vec<(&str, PathBuf)> = Vec::new();
        for (at, (name, path)) in written.into_iter().chain(read).chain(host_keys).enumerate() {
            let Some(path) = path.map(durable::identity) else { continue };
            if let Some((other, _)) = seen.iter().find(|(_, known)| *known == path) {
                let detail = format!("The options {other} and {name} name the same file, {}.", path.display());
                return Err(
                    Fault::new(args::CONFLICT, detail).hint("Choose another place for the one that is written.")
                );
            }
            if at < written.len() {
                seen.push((name, path));
            }
        }
        Ok(())
    }

    /// The numbers of owner and group, where they are given.
    ///
    /// # Errors
    /// `file.no_such_owner`.
    pub fn ownership(&self) -> Result<(Option<u32>, Option<u32>)> {
        durable::owner_and_group(self.owner.as_deref(), self.group.as_deref())
    }
}

#[cfg(test)]
#[path = "wanted_tests.rs"]
mod tests;
