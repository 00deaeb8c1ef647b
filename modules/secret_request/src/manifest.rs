//! The manifest beside a request: from what it was made, so that an unchanged one is not made again.
//!
//! An HMAC under the user's key covers all of it; secrets are in it only as HMACs of their own, so there is nothing
//! to guess at.

use crate::codes;
use crate::options::Flag;
use fault::{Fault, Result};
use openssl::memcmp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use trusted::StateKey;

/// What is appended to a request's file name.
pub const SUFFIX: &str = ".manifest.json";
/// Changed whenever requests are made in another way, so that all are made again.
const VERSION: u32 = 1;
const LIMIT: u64 = 1 << 20;

/// The request that a manifest is beside, by their paths; `None` for what is called like no manifest.
pub fn request_of(manifest: &Path) -> Option<PathBuf> {
    let request = manifest.as_os_str().as_bytes().strip_suffix(SUFFIX.as_bytes())?;
    Some(OsStr::from_bytes(request).into())
}

/// What of a request's origin anybody may see.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Inputs {
    /// pvsecret's name of the type.
    pub kind: String,
    /// The secret's name.
    pub name: Option<String>,
    /// The secret's id.
    pub id: Option<String>,
    /// SHA-256 of what binds the request to its image.
    pub image: String,
    /// Hashes of the host keys, sorted.
    pub host_keys: Vec<String>,
    /// What the request does beside adding a secret, sorted.
    pub flags: BTreeSet<Flag>,
    /// The configuration unique id.
    pub cuid: Option<String>,
    /// SHA-256 of the user data.
    pub user_data: Option<String>,
    /// `none`, `simple` or `derived`.
    pub extension_secret: String,
}

/// HMACs of what nobody may see.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hidden {
    /// Of the secret.
    pub secret: Option<String>,
    /// Of the extension secret.
    pub extension_secret: Option<String>,
    /// Of the customer communication key.
    pub cck: Option<String>,
    /// Of the key that signs the user data.
    pub signing_key: Option<String>,
}

impl Hidden {
    /// The names of those that differ from another's.
    pub fn differing(&self, other: &Self) -> Vec<&'static str> {
        let pairs = [
            ("secret", &self.secret, &other.secret),
            ("extension secret", &self.extension_secret, &other.extension_secret),
            ("cck", &self.cck, &other.cck),
            ("signing key", &self.signing_key, &other.signing_key),
        ];
        pairs.into_iter().filter(|(_, one, other)| one != other).map(|(name, ..)| name).collect()
    }
}

/// All that is recorded of one request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    version: u32,
    /// SHA-256 of the request's file, hex.
    pub sha256: String,
    /// What may be seen.
    pub inputs: Inputs,
    /// What may not.
    pub hidden: Hidden,
    /// The id file: a name in the request's folder, or an absolute path.
    pub id_file: Option<PathBuf>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sealed {
    manifest: Manifest,
    hmac: String,
}

/// What is to be had of a manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recorded {
    /// There is none.
    Absent,
    /// It is there, but nothing proves that we wrote it. What it says, if it can be read.
    Untrusted(Option<Box<Manifest>>),
    /// We wrote it.
    Trusted(Box<Manifest>),
}

impl Recorded {
    /// What it says, trusted or not.
    pub fn said(&self) -> Option<&Manifest> {
        match self {
            Self::Absent => None,
            Self::Untrusted(manifest) => manifest.as_deref(),
            Self::Trusted(manifest) => Some(manifest),
        }
    }

    /// What it says, if we wrote it.
    pub fn trusted(&self) -> Option<&Manifest> {
        if let Self::Trusted(manifest) = self { Some(manifest) } else { None }
    }
}

impl Manifest {
    /// A manifest of the request with this SHA-256.
    pub fn new(sha256: String, inputs: Inputs, hidden: Hidden, id_file: Option<PathBuf>) -> Self {
        Self { version: VERSION, sha256, inputs, hidden, id_file }
    }

    /// The manifest's file of a request.
    pub fn path(request: &Path) -> PathBuf {
        let mut path = OsString::from(request);
        path.push(SUFFIX);
        path.into()
    }

    /// Reads a request's manifest. Without a key none is trusted.
    ///
    /// # Errors
    /// `file.unreadable`, `request.not_ours`, `request.crypto`.
    pub fn read(request: &Path, key: Option<&StateKey>) -> Result<Recorded> {
        let Some(found) = durable::read(&Self::path(request), LIMIT, codes::NOT_OURS)? else {
            return Ok(Recorded::Absent);
        };
        Self::parse(&found.bytes, key)
    }

    /// Reads what a manifest's file holds. Without a key nothing is trusted.
    ///
    /// # Errors
    /// `request.crypto`.
    pub fn parse(bytes: &[u8], key: Option<&StateKey>) -> Result<Recorded> {
        let Ok(sealed) = serde_json::from_slice::<Sealed>(bytes) else { return Ok(Recorded::Untrusted(None)) };
        let manifest = Box::new(sealed.manifest);
        let ours = match key {
            Some(key) => same(&manifest.mac(key)?, &sealed.hmac) && manifest.version == VERSION,
            None => false,
        };
        Ok(if ours { Recorded::Trusted(manifest) } else { Recorded::Untrusted(Some(manifest)) })
    }

    /// The text to be written.
    ///
    /// # Errors
    /// `request.crypto`.
    pub fn seal(&self, key: &StateKey) -> Result<Vec<u8>> {
        let hmac = self.mac(key)?;
        let mut text = serde_json::to_vec_pretty(&Sealed { manifest: self.clone(), hmac }).map_err(|e| broken(&e))?;
        text.push(b'\n');
        Ok(text)
    }

    /// The path of the id file that it names; `request` is the path of the manifest's request.
    pub fn id_file_of(&self, request: &Path) -> Option<PathBuf> {
        let folder = request.parent().unwrap_or(Path::new(""));
        self.id_file.as_ref().map(|named| folder.join(named))
    }

    /// Whether it names this id file.
    pub fn names(&self, id_file: &Path, request: &Path) -> bool {
        self.id_file_of(request).is_some_and(|named| durable::identity(&named) == durable::identity(id_file))
    }

    fn mac(&self, key: &StateKey) -> Result<String> {
        key.mac("manifest", &serde_json::to_vec(self).map_err(|e| broken(&e))?)
    }
}

impl Inputs {
    /// Lines of `key: value` for a diff.
    pub fn lines(&self) -> String {
        let Ok(serde_json::Value::Object(map)) = serde_json::to_value(self) else { return String::new() };
        map.into_iter().map(|(key, value)| format!("{key}: {}\n", shown(&value))).collect()
    }
}

fn shown(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::Null => "none".into(),
        serde_json::Value::Array(list) if list.is_empty() => "none".into(),
        serde_json::Value::String(text) => text.clone(),
        serde_json::Value::Array(list) => list.iter().map(shown).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

/// Compares two HMACs in constant time.
pub fn same(one: &str, other: &str) -> bool {
    one.len() == other.len() && memcmp::eq(one.as_bytes(), other.as_bytes())
}

fn broken(error: &serde_json::Error) -> Fault {
    Fault::new(ansible_contract::codes::BUG, format!("A manifest could not be written as JSON: {error}."))
        .hint("Please report it with the task's options, but without secrets.")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn inputs() -> Inputs {
        Inputs {
            kind: "Association".into(),
            name: Some("my secret".into()),
            id: None,
            image: "11".into(),
            host_keys: vec!["22".into(), "33".into()],
            flags: BTreeSet::new(),
            cuid: None,
            user_data: None,
            extension_secret: "none".into(),
        }
    }

    fn written(dir: &Path) -> (StateKey, PathBuf, Manifest) {
        let key = StateKey::load_or_create(&dir.join("state/manifest.key")).unwrap();
        let hidden = Hidden { secret: Some(key.mac("secret", b"s3cret").unwrap()), ..Hidden::default() };
        let manifest = Manifest::new("44".into(), inputs(), hidden, Some("my_secret.yaml".into()));
        let request = dir.join("request");
        fs::write(Manifest::path(&request), manifest.seal(&key).unwrap()).unwrap();
        (key, request, manifest)
    }

    #[test]
    fn a_manifest_reads_back_trusted_and_holds_no_secret() {
        let dir = tempfile::tempdir().unwrap();
        let (key, request, manifest) = written(dir.path());
        assert_eq!(Manifest::read(&request, Some(&key)).unwrap(), Recorded::Trusted(Box::new(manifest.clone())));
        assert_eq!(Manifest::read(&request, None).unwrap(), Recorded::Untrusted(Some(Box::new(manifest.clone()))));
        assert_eq!(Manifest::read(&dir.path().join("other"), Some(&key)).unwrap(), Recorded::Absent);
        assert!(!fs::read_to_string(Manifest::path(&request)).unwrap().contains("s3cret"));
        assert!(manifest.names(&dir.path().join("./my_secret.yaml"), &request));
        assert!(!manifest.names(Path::new("/my_secret.yaml"), &request));
    }

    #[test]
    fn every_changed_byte_makes_it_untrusted() {
        let dir = tempfile::tempdir().unwrap();
        let (key, request, _) = written(dir.path());
        let path = Manifest::path(&request);
        let good = fs::read(&path).unwrap();
        for at in 0..good.len() {
            if good[at].is_ascii_whitespace() {
                continue;
            }
            let mut bad = good.clone();
            bad[at] ^= 1;
            fs::write(&path, &bad).unwrap();
            let read = Manifest::read(&request, Some(&key)).unwrap();
            assert!(matches!(read, Recorded::Untrusted(_)), "byte {at}");
        }
    }

    #[test]
    fn another_users_manifest_is_untrusted() {
        let dir = tempfile::tempdir().unwrap();
        let (_, request, _) = written(dir.path());
        let other = StateKey::load_or_create(&dir.path().join("other/manifest.key")).unwrap();
        assert!(matches!(Manifest::read(&request, Some(&other)).unwrap(), Recorded::Untrusted(Some(_))));
    }

    #[test]
    fn a_diff_shows_a_line_for_each_input() {
        let lines = inputs().lines();
        assert!(lines.contains("name: my secret\n") && lines.contains("host_keys: 22, 33\n"), "{lines}");
        assert!(lines.contains("cuid: none\n") && lines.contains("flags: none\n"));
    }
}
