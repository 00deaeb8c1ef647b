//! What the options of one answer ask for, checked as far as that goes without reading any file.

use crate::bytes::{Bytes, HANDED_OVER, bytes_of};
use crate::files::key_file;
use crate::firmware::{self, AskedService};
use crate::known_by::{self, SshHost};
use crate::options::Options;
use crate::secrets::Added;
use crate::user_data;
use ansible_contract::{PathText, codes as args};
use fault::{Fault, Result};
use pv_request::attest::Expected;
use pv_wire::attestation::SshHostKey;
use std::path::PathBuf;
use trusted::cuid::{self, Cuid};
use trusted::{AskedHostKeys, HostKeyOptions, TrustFiles, missing, paths};

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
        /// Whether the word of a guest that is known by no SSH host key is enough that it was rebooted.
        trust_boot_id: bool,
    },
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

impl Wanted {
    /// Checks the options of one answer.
    ///
    /// # Errors
    /// `args.missing`, `args.conflict`, `args.invalid`, `args.nothing_expected`.
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
            key_file: key_file(options.key_file.as_ref(), options.request.as_ref())
                .ok_or_else(|| missing("key_file", "with request_content nothing says where the key is"))?,
            image: options.image.as_ref().map(|path| path.as_path().to_owned()),
            secrets: options.secrets.as_deref().map(|all| all.iter().map(Added::from_option).collect()).transpose()?,
            locked: options.locked(),
            ordered: options.ordered(),
            image_host_keys: allowed("image_host_keys", options.image_host_keys.as_deref(), trust)?,
            attestation_host_keys: allowed("attestation_host_keys", options.attestation_host_keys.as_deref(), trust)?,
            claims: options.claims.as_ref().map(document),
            require_added_requests: options
                .require_added_requests
                .unwrap_or(options.claims.is_some() && options.secrets.is_some()),
            user_data: user_data::asked(options)?,
            ssh_host_keys: options.ssh_host_keys.as_deref().map(known_by::keys).transpose()?,
            ssh_host: known_by::ssh_host(options)?,
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

/// Ansible makes a dictionary of what looks like one; its keys come sorted, so this is the canonical form again.
fn document(claims: &serde_json::Value) -> String {
    match claims {
        serde_json::Value::String(text) => text.trim().to_owned(),
        other => other.to_string(),
    }
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
    fn claims_may_be_a_dictionary_or_its_text() {
        let of = |claims: &str| wanted(&format!(r#", "image": "/i", "claims": {claims}"#)).unwrap().claims;
        assert_eq!(of(r#"{"version": 1, "boot_id": "x"}"#).unwrap(), r#"{"boot_id":"x","version":1}"#);
        assert_eq!(of(r#"" {\"boot_id\":\"x\",\"version\":1}\n""#), of(r#"{"version": 1, "boot_id": "x"}"#));
    }
}
