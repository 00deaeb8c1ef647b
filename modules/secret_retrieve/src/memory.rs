//! Which files this boot's runs left as they should be: so check mode can tell without retrieving anything, and a key
//! that the ultravisor wraps anew each time is not written again and again. No hash of a secret is kept, only what
//! tells that nobody has written to the file since.

use crate::options::Format;
use fault::{Fault, Result};
use pv_guest::boot_record::{BootRecord, Topic};
use pv_guest::uv::Secret;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// A file as it was left: any change to content or attributes, and any other file in its place, shows here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    changed: (i64, i64),
}

impl Stamp {
    /// Of a file as it is.
    pub fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

/// A secret in a file. An index stands for one secret as long as the boot lasts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Entry {
    index: u16,
    secret_type: u16,
    id: String,
    format: Format,
    stamp: Stamp,
}

/// What is remembered of this boot, by the files' paths.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory(BTreeMap<String, Entry>);

impl Memory {
    /// Reads what is remembered.
    ///
    /// # Errors
    /// `file.record_unusable`.
    pub fn load(boot: &BootRecord) -> Result<Self> {
        boot.load(Topic::Retrieved)
    }

    /// Whether the file was left holding this secret, and nothing was done to it since.
    pub fn knows(&self, path: &Path, secret: &Secret, format: Format, stamp: &Stamp) -> bool {
        self.0.get(&*path.to_string_lossy()) == Some(&entry(secret, format, stamp))
    }

    /// Remembers that the file holds this secret now.
    ///
    /// # Errors
    /// `file.record_unusable`, `file.not_remembered`.
    pub fn note(boot: &BootRecord, path: &Path, secret: &Secret, format: Format, stamp: &Stamp) -> Result<()> {
        let Some(_alone) = boot.exclusively(Topic::Retrieved)? else {
            return Err(Fault::new(
                crate::plan::codes::NOT_REMEMBERED,
                format!(
                    "That {} holds the secret was not recorded, because another task was just writing its record.",
                    path.display()
                ),
            )
            .hint("Run the task again, so that check mode knows it."));
        };
        let mut memory = Self::load(boot)?;
        let noted = entry(secret, format, stamp);
        if memory.0.insert(path.to_string_lossy().into_owned(), noted.clone()).as_ref() == Some(&noted) {
            return Ok(());
        }
        boot.save(Topic::Retrieved, &memory)
    }
}

fn entry(secret: &Secret, format: Format, stamp: &Stamp) -> Entry {
    Entry {
        index: secret.index,
        secret_type: secret.secret_type.0,
        id: secret.id.to_string(),
        format,
        stamp: stamp.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pv_wire::{SecretId, SecretType};

    #[test]
    fn a_file_is_known_only_as_it_was_left_and_for_that_very_secret() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        std::fs::write(&path, "one").unwrap();
        let stamp = || Stamp::of(&std::fs::metadata(&path).unwrap());
        let secret = Secret { index: 1, secret_type: SecretType(4), length: 48, id: SecretId::of_name("a") };
        let mut memory = Memory::default();
        memory.0.insert(path.to_string_lossy().into_owned(), entry(&secret, Format::Pem, &stamp()));
        assert!(memory.knows(&path, &secret, Format::Pem, &stamp()));
        assert!(!memory.knows(&path, &secret, Format::Bin, &stamp()));
        assert!(!memory.knows(&path, &Secret { index: 2, ..secret }, Format::Pem, &stamp()));
        assert!(!memory.knows(&dir.path().join("other"), &secret, Format::Pem, &stamp()));
        std::fs::write(&path, "other").unwrap();
        assert!(!memory.knows(&path, &secret, Format::Pem, &stamp()));
    }
}
