//! What the options of one answer ask for, checked as far as that goes without reading any file.

use crate::firmware::{self, AskedService};
use crate::options::{Options, Secret};
use crate::user_data;
use ansible_contract::{HexText, PathText, codes as args, from_base64};
use fault::{Fault, Result};
use pv_request::attest::Expected;
use pv_wire::attestation::SshHostKey;
use pv_wire::decode_hex;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use trusted::cuid::{self, Cuid};
use trusted::{AskedHostKeys, HostKeyOptions, TrustFiles, missing, paths};

/// Bytes from an option or from a file.
#[derive(Debug)]
pub enum Bytes {
    /// From the option itself.
    Given(Vec<u8>),
    /// From a file.
    File(PathBuf),
}

impl Bytes {
    /// The file that they are from.
    pub fn file(&self) -> Option<&Path> {
        match self {
            Self::Given(_) => None,
            Self::File(path) => Some(path),
        }
    }
}

/// An add-secret request that the store is to have taken.
#[derive(Debug)]
pub enum Added {
    /// Its file, and what messages call it.
    File(String, PathBuf),
    /// What messages call it, its tag, and its SHA-256 if that is known.
    Known(String, [u8; 16], Option<[u8; 32]>),
}

/// From where the configuration unique id comes that is expected.
#[derive(Debug)]
pub enum CuidSource {
    /// Any will do.
    None,
    /// From the option itself.
    Given(Cuid),
    /// From a file, which is written if there is none.
    Pinned {
        /// The file.
        path: PathBuf,
        /// Whether a guest that is known by no SSH host key is believed that it was booted again.
        trust_boot_id: bool,
    },
}

/// Where what an SSH client knows of a guest is looked up.
#[derive(Debug)]
pub struct SshHost {
    /// How the client reaches it.
    pub name: String,
    /// Its port.
    pub port: u16,
    /// The files.
    pub files: Vec<PathBuf>,
    /// What comes before them.
    pub content: String,
}

/// An answer that is to be judged.
#[derive(Debug)]
pub struct Wanted {
    /// The answer.
    pub response: Bytes,
    /// The request.
    pub request: Bytes,
    /// Its key.
    pub key_file: PathBuf,
    /// The image, if there is one to compare with.
    pub image: Option<PathBuf>,
    /// The store, if it is looked at.
    pub secrets: Option<Vec<Added>>,
    /// Whether the store is to be locked.
    pub locked: bool,
    /// Whether the requests must have been added in their order.
    pub ordered: bool,
    /// The host keys that may have opened the image.
    pub image_host_keys: Option<AskedHostKeys>,
    /// The host keys of the machines that may answer.
    pub attestation_host_keys: Option<AskedHostKeys>,
    /// The guest's claims: the document.
    pub claims: Option<String>,
    /// Whether the guest must say which requests it added.
    pub require_added_requests: bool,
    /// What the guest is to have bound instead of claims.
    pub user_data: Option<Bytes>,
    /// By what the guest is known.
    pub ssh_host_keys: Option<Vec<SshHostKey>>,
    /// How an SSH client reaches it, if that is looked up.
    pub ssh_host: Option<SshHost>,
    /// Its boot id.
    pub boot_id: Option<String>,
    /// Its configuration unique id.
    pub cuid: CuidSource,
    /// The service that must find the firmware valid.
    pub firmware: Option<AskedService>,
    /// In seconds.
    pub max_age: u32,
    /// In seconds.
    pub valid_for: u32,
    /// The key that signs its attestation result, if there is to be one.
    pub signing_key: Option<PathBuf>,
    /// Whether the key is removed once it was used.
    pub remove_key: bool,
}

/// The key's file of an answer, as far as the options name it.
pub fn key_file(options: &Options) -> Option<PathBuf> {
    let beside = || {
        let mut path = OsString::from(options.request.as_ref()?.as_path());
        path.push(".key");
        Some(PathBuf::from(path))
    };
    options.key_file.as_ref().map(|file| file.as_path().to_owned()).or_else(beside)
}

impl Wanted {
    /// Checks the options of one answer.
    ///
    /// # Errors
    /// `args.missing`, `args.conflict`, `args.invalid`, `args.nothing_expected`, `attest.claims`.
    pub fn from_options(options: &Options) -> Result<Self> {
        let trust = || host_keys(options).trust();
        let conflict =
            |detail: &str| Err(Fault::new(args::CONFLICT, detail).hint("Leave one of them out: it would be ignored."));
        if options.locked.is_some() && options.secrets.is_none() {
            return Err(missing(
                "secrets",
                "whether the store is locked is seen only together with what it is to hold",
            ));
        }
        if options.require_added_requests == Some(true) && options.secrets.is_none() {
            return Err(missing("secrets", "they are what the requests that the guest added are compared with"));
        }
        if options.cuid.is_some() && options.cuid_file.is_some() {
            return conflict("The option cuid cannot be given together with cuid_file.");
        }
        let wanted = Self {
            response: bytes_of(("path", options.path.as_ref()), ("content", options.content.as_deref()), HANDED_OVER)?,
            request: bytes_of(
                ("request", options.request.as_ref()),
                ("request_content", options.request_content.as_deref()),
                HANDED_OVER,
            )?,
            key_file: key_file(options)
                .ok_or_else(|| missing("key_file", "with request_content nothing says where the key is"))?,
            image: options.image.as_ref().map(|path| path.as_path().to_owned()),
            secrets: options.secrets.as_deref().map(|all| all.iter().map(added).collect()).transpose()?,
            locked: options.locked(),
            ordered: options.ordered(),
            image_host_keys: allowed("image_host_keys", options.image_host_keys.as_deref(), trust)?,
            attestation_host_keys: allowed("attestation_host_keys", options.attestation_host_keys.as_deref(), trust)?,
            claims: options.claims.as_ref().map(document),
            require_added_requests: options
                .require_added_requests
                .unwrap_or(options.claims.is_some() && options.secrets.is_some()),
            user_data: user_data::asked(options)?,
            ssh_host_keys: options.ssh_host_keys.as_deref().map(known_hosts).transpose()?,
            ssh_host: ssh_host(options)?,
            boot_id: options.boot_id.clone(),
            cuid: match (&options.cuid, &options.cuid_file) {
                (Some(text), _) => CuidSource::Given(cuid::from_option(text)?),
                (None, Some(path)) => {
                    CuidSource::Pinned { path: path.as_path().to_owned(), trust_boot_id: options.trust_boot_id() }
                }
                (None, None) => CuidSource::None,
            },
            firmware: firmware::asked(options)?,
            max_age: options.max_age(),
            valid_for: options.valid_for(),
            signing_key: match (&options.ear_file, &options.signing_key) {
                (Some(_), Some(key)) => Some(key.as_path().to_owned()),
                (Some(_), None) => return Err(missing("signing_key", "ear_file is a signed token")),
                (None, _) => None,
            },
            remove_key: options.remove_key(),
        };
        wanted.demand_something()?;
        Ok(wanted)
    }

    /// Nothing expected, nothing affirmed.
    fn demand_something(&self) -> Result<()> {
        let given = |list: &Option<AskedHostKeys>| list.as_ref().map(|_| Vec::new());
        // Only whether each is there counts; what is in the files is not known yet.
        if self.image.is_some() || self.secrets.is_some() {
            return Ok(());
        }
        let expected = Expected {
            image_host_keys: given(&self.image_host_keys),
            attestation_host_keys: given(&self.attestation_host_keys),
            ..Expected::default()
        };
        expected.demand_something()
    }
}

fn host_keys(options: &Options) -> HostKeyOptions<'_> {
    HostKeyOptions {
        host_keys: None,
        host_key_hashes: None,
        certificates: options.certificates.as_deref(),
        crls: options.crls.as_deref(),
        root_ca: options.root_ca.as_ref(),
        download_crls: options.download_crls(),
        verify_host_keys: options.verify_host_keys(),
    }
}

fn allowed(
    name: &str,
    documents: Option<&[PathText]>,
    trust: impl Fn() -> Result<Option<TrustFiles>>,
) -> Result<Option<AskedHostKeys>> {
    let Some(documents) = paths(documents) else { return Ok(None) };
    if documents.is_empty() {
        return Err(Fault::new(
            args::INVALID,
            format!("The option {name} is an empty list, so no host key would be allowed."),
        )
        .hint("Name the documents of your machines, or leave it out to allow any."));
    }
    Ok(Some(AskedHostKeys { documents, accepted: None, trust: trust()? }))
}

/// Where base64 of answers and requests comes from.
const HANDED_OVER: &str = "Hand over what attest or attest_request returned as content.";

/// The bytes that one of two options gives, a file or base64. `hint` says where the base64 comes from.
///
/// # Errors
/// `args.conflict`, `args.invalid`, `args.missing`.
pub fn bytes_of(
    (file, path): (&str, Option<&PathText>),
    (text, content): (&str, Option<&str>),
    hint: &str,
) -> Result<Bytes> {
    match (path, content) {
        (Some(_), Some(_)) => {
            Err(Fault::new(args::CONFLICT, format!("The options {file} and {text} cannot be given together."))
                .hint("Leave one of them out: it would be ignored."))
        }
        (Some(path), None) => Ok(Bytes::File(path.as_path().to_owned())),
        (None, Some(content)) => from_base64(content)
            .map(|bytes| Bytes::Given(bytes.to_vec()))
            .ok_or_else(|| Fault::new(args::INVALID, format!("The option {text} is not base64.")).hint(hint)),
        (None, None) => Err(missing(file, &format!("it, or {text}"))),
    }
}

fn added(secret: &Secret) -> Result<Added> {
    let known = match secret {
        Secret::Path(path) => return Ok(Added::File(path.to_string(), path.as_path().to_owned())),
        Secret::Known(known) => known,
    };
    let wrong = |what: &str| {
        Fault::new(args::INVALID, format!("An entry of secrets {what}."))
            .hint("Give the path of the request; or its tag and sha256, as secret_request returns them.")
    };
    match (&known.path, &known.tag, &known.sha256) {
        (Some(path), None, None) => {
            Ok(Added::File(known.label.clone().unwrap_or_else(|| path.to_string()), path.as_path().to_owned()))
        }
        (None, Some(tag), sha256) => {
            let label = known.label.clone().unwrap_or_else(|| tag.0.clone());
            let tag = fixed(tag).ok_or_else(|| wrong("has a tag that is not 32 hex digits"))?;
            let sha256 =
                sha256.as_ref().map(|hash| fixed(hash).ok_or_else(|| wrong("has a sha256 that is not 64 hex digits")));
            Ok(Added::Known(label, tag, sha256.transpose()?))
        }
        (Some(_), ..) => Err(wrong("has path, and beside it tag or sha256")),
        (None, None, _) => Err(wrong("has neither path nor tag")),
    }
}

fn fixed<const A: usize, const N: usize>(text: &HexText<A, A>) -> Option<[u8; N]> {
    decode_hex(&text.0)?.try_into().ok()
}

/// Ansible makes a dictionary of what looks like one; its keys come sorted, so this is the canonical form again.
fn document(claims: &serde_json::Value) -> String {
    match claims {
        serde_json::Value::String(text) => text.trim().to_owned(),
        other => other.to_string(),
    }
}

fn ssh_host(options: &Options) -> Result<Option<SshHost>> {
    let Some(name) = &options.ssh_host else { return Ok(None) };
    if options.known_hosts.is_none() && options.known_hosts_content.is_none() {
        return Err(missing("known_hosts", "ssh_host is looked up there"));
    }
    let files = paths(options.known_hosts.as_deref()).unwrap_or_default();
    let content = options.known_hosts_content.clone().unwrap_or_default();
    Ok(Some(SshHost { name: name.clone(), port: options.ssh_port(), files, content }))
}

/// Keys in lines of `known_hosts`, or without the names before them.
fn known_hosts(lines: &[String]) -> Result<Vec<SshHostKey>> {
    let lines = lines.iter().flat_map(|text| text.lines()).map(str::trim);
    let keys = lines.filter(|line| !line.is_empty() && !line.starts_with('#')).map(|line| {
        // What comes before the type is names or a marker such as @cert-authority, which is not a key of the guest's own.
        let key = match line.split_once(char::is_whitespace) {
            Some((first, rest)) if !is_key_type(first) => rest.trim_start(),
            _ => line,
        };
        key.parse()
    });
    keys.collect()
}

fn is_key_type(word: &str) -> bool {
    ["ssh-", "ecdsa-sha2-", "sk-"].iter().any(|begin| word.starts_with(begin))
}

/// Whether any of the files that an answer writes or removes is another's, too.
pub fn written<'a>(own: &'a Options, shared: &'a Options) -> impl Iterator<Item = PathBuf> + 'a {
    let named = Options {
        request: own.request.clone().or_else(|| shared.request.clone()),
        key_file: own.key_file.clone().or_else(|| shared.key_file.clone()),
        ..Options::default()
    };
    let one = |own: &Option<PathText>, shared: &Option<PathText>| {
        own.as_ref().or(shared.as_ref()).map(|path| path.as_path().to_owned())
    };
    let pin = one(&own.cuid_file, &shared.cuid_file);
    let results = [one(&own.ear_file, &shared.ear_file), one(&own.yaml_file, &shared.yaml_file)];
    key_file(&named).into_iter().chain(pin).chain(results.into_iter().flatten())
}

/// What messages call an answer.
pub fn label(options: &Options) -> String {
    let path = || options.path.as_ref().or(options.request.as_ref()).map(|path| path.as_path().display().to_string());
    options.label.clone().or_else(path).unwrap_or_else(|| "a response".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use fault::Code;
    use pv_request::attest::codes::NOTHING_EXPECTED;

    const KEY: &str = "AAAAC3NzaC1lZDI1NTE5AAAAIEJr";

    fn wanted(more: &str) -> Result<Wanted> {
        let options = format!(r#"{{"path": "/r/guest1.answer", "request": "/r/guest1"{more}}}"#);
        Wanted::from_options(&serde_json::from_str(&options).unwrap())
    }

    #[test]
    fn nothing_expected_is_refused_and_one_thing_is_enough() {
        let code = |more: &str| wanted(more).err().map(|fault: Fault| fault.code);
        let table: [(&str, Option<Code>); 8] = [
            ("", Some(NOTHING_EXPECTED)),
            (r#", "boot_id": "x", "cuid": "0x0102030405060708090a0b0c0d0e0f10""#, Some(NOTHING_EXPECTED)),
            (r#", "image": "/i""#, None),
            (r#", "secrets": []"#, None),
            (r#", "image_host_keys": ["/h"], "certificates": ["/c"]"#, None),
            (r#", "image_host_keys": []"#, Some(args::INVALID)),
            (r#", "image_host_keys": ["/h"]"#, Some(args::MISSING)),
            (r#", "locked": false, "image": "/i""#, Some(args::MISSING)),
        ];
        for (more, expected) in table {
            assert_eq!(code(more), expected, "{more}");
        }
    }

    #[test]
    fn ssh_host_keys_are_read_from_lines_of_known_hosts() {
        let line = format!("# Host g1 found: line 3\\ng1,192.0.2.1 ssh-ed25519 {KEY}\\n\\n");
        let both =
            wanted(&format!(r#", "image": "/i", "ssh_host_keys": ["{line}", "ssh-ed25519 {KEY} root@g1"]"#)).unwrap();
        let keys = both.ssh_host_keys.unwrap();
        assert_eq!(keys.iter().map(SshHostKey::as_str).collect::<Vec<_>>(), vec![format!("ssh-ed25519 {KEY}"); 2]);
        assert!(wanted(r#", "image": "/i", "ssh_host_keys": ["@revoked g1"]"#).is_err());
    }

    #[test]
    fn claims_may_be_a_dictionary_or_its_text() {
        let of = |claims: &str| wanted(&format!(r#", "image": "/i", "claims": {claims}"#)).unwrap().claims;
        assert_eq!(of(r#"{"version": 1, "boot_id": "x"}"#).unwrap(), r#"{"boot_id":"x","version":1}"#);
        assert_eq!(of(r#"" {\"boot_id\":\"x\",\"version\":1}\n""#), of(r#"{"version": 1, "boot_id": "x"}"#));
    }

    #[test]
    fn a_secret_is_a_path_or_a_tag() {
        let of = |secret: &str| {
            wanted(&format!(r#", "secrets": [{secret}]"#)).map(|wanted| wanted.secrets.unwrap().remove(0))
        };
        assert!(matches!(of(r#""/r/a""#), Ok(Added::File(label, _)) if label == "/r/a"));
        assert!(matches!(of(r#"{"path": "/r/a", "label": "a"}"#), Ok(Added::File(label, _)) if label == "a"));
        let tag = "01".repeat(16);
        assert!(matches!(of(&format!(r#"{{"tag": "{tag}"}}"#)), Ok(Added::Known(_, [1, ..], None))));
        for wrong in ["{}".into(), format!(r#"{{"tag": "{tag}", "path": "/r/a"}}"#), r#"{"tag": "01"}"#.into()] {
            assert_eq!(of(&wrong).unwrap_err().code, args::INVALID, "{wrong}");
        }
    }
}
