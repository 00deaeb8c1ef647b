//! What the options of one request ask for, checked as far as that goes without reading any file.

use crate::options::{AddData, Options};
use ansible_contract::codes as args;
use fault::{Fault, Result};
use pv_wire::attestation::Items;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use trusted::{AskedHostKeys, Firmware, HostKeyOptions, required};

/// What is appended to a request's file name for that of its key.
const KEY_SUFFIX: &str = ".key";
/// What is asked for unless something else is.
const ADD_DATA: [AddData; 3] = [AddData::ImageHostKey, AddData::AttestationHostKey, AddData::SecretStore];

/// A request that is to be made.
#[derive(Debug)]
pub struct Wanted {
    /// Its file.
    pub path: PathBuf,
    /// Its key's file.
    pub key_file: PathBuf,
    /// The machines that can answer it.
    pub host_keys: AskedHostKeys,
    /// What the answer is to have.
    pub items: Items,
    /// Whether folders that are missing are made.
    pub make_folders: bool,
}

/// The key's file of a request, as far as the options name it.
pub fn key_file(options: &Options, path: &Path) -> PathBuf {
    options.key_file.as_ref().map_or_else(
        || {
            let mut beside = OsString::from(path);
            beside.push(KEY_SUFFIX);
            beside.into()
        },
        |file| file.as_path().to_owned(),
    )
}

impl Wanted {
    /// Checks the options of one request.
    ///
    /// # Errors
    /// `args.missing`, `args.conflict`, `args.invalid`.
    pub fn from_options(options: &Options) -> Result<Self> {
        let path = required(options.path.as_ref(), "path")?;
        let key_file = key_file(options, &path);
        if durable::identity(&path) == durable::identity(&key_file) {
            return Err(Fault::new(args::CONFLICT, "The options path and key_file name the same file.")
                .hint("Leave key_file out: the key is then beside the request."));
        }
        let asked = HostKeyOptions {
            host_keys: options.host_keys.as_deref(),
            host_key_hashes: options.host_key_hashes.as_deref(),
            certificates: options.certificates.as_deref(),
            crls: options.crls.as_deref(),
            root_ca: options.root_ca.as_ref(),
            download_crls: options.download_crls(),
            verify_host_keys: options.verify_host_keys(),
        };
        let added = options.add_data.as_deref().unwrap_or(&ADD_DATA);
        let of_firmware = if options.firmware() == Firmware::None { None } else { Some(&AddData::FirmwareState) };
        Ok(Self {
            path,
            key_file,
            host_keys: asked.asked()?,
            items: added.iter().chain(of_firmware).map(|add| add.item()).collect(),
            make_folders: options.make_folders(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn wanted(more: Value) -> Result<Wanted> {
        let mut options = json!({"path": "/r/guest1", "host_keys": ["/h"], "certificates": ["/c"]});
        options.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        Wanted::from_options(&serde_json::from_value(options).unwrap())
    }

    #[test]
    fn the_key_is_beside_its_request_and_what_is_asked_for_is_what_is_to_be_compared() {
        let plain = wanted(json!({})).unwrap();
        assert_eq!(plain.key_file, Path::new("/r/guest1.key"));
        assert_eq!(format!("{:?}", plain.items), r#"{"image_host_key", "attestation_host_key", "secret_store"}"#);
        let none = wanted(json!({"add_data": [], "key_file": "/k"})).unwrap();
        let firmware = r#"{"image_host_key", "attestation_host_key", "secret_store", "firmware_state"}"#;
        for add_data in
            [json!(null), json!(["image_host_key", "attestation_host_key", "secret_store", "firmware_state"])]
        {
            let asked = wanted(json!({"firmware": "v1", "add_data": add_data})).unwrap();
            assert_eq!(format!("{:?}", asked.items), firmware);
        }
        assert_eq!((none.items.size(), none.key_file.as_path()), (0, Path::new("/k")));
    }

    #[test]
    fn what_is_missing_or_would_be_ignored_is_refused() {
        let table = [
            (json!({"key_file": "/r/./guest1"}), Some(args::CONFLICT)),
            (json!({"host_keys": []}), Some(args::MISSING)),
            (json!({"certificates": []}), Some(args::MISSING)),
            (json!({"verify_host_keys": false}), Some(args::CONFLICT)),
            (json!({"certificates": [], "verify_host_keys": false}), None),
        ];
        for (more, expected) in table {
            assert_eq!(wanted(more.clone()).err().map(|fault| fault.code), expected, "{more}");
        }
    }
}
