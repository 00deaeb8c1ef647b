//! The key that protects manifests: 32 random bytes of the user, far from any request.

use crate::codes;
use crate::private_file::{self, Private};
use fault::{Fault, Result};
use nix::unistd::{User, geteuid};
use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::pkey::PKey;
use openssl::sign::Signer;
use pv_wire::encode_hex;
use std::env;
use std::path::{Path, PathBuf};

/// The key, wiped when dropped.
pub struct StateKey(Private);

impl std::fmt::Debug for StateKey {
    /// Nothing of what it holds: there are secrets in it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StateKey").finish_non_exhaustive()
    }
}

impl StateKey {
    /// Where the user's key is: `seguest-pv/manifest.key` in `$XDG_STATE_HOME` or `~/.local/state`.
    ///
    /// # Errors
    /// `request.state_key` for a user without a home.
    pub fn path() -> Result<PathBuf> {
        let absolute = |name| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let home = || absolute("HOME").or_else(|| Some(User::from_uid(geteuid()).ok()??.dir));
        let state = absolute("XDG_STATE_HOME").or_else(|| Some(home()?.join(".local/state")));
        state.map(|state| state.join("seguest-pv/manifest.key")).ok_or_else(|| {
            Fault::new(
                codes::STATE_KEY,
                "The user who runs the task has no home folder for the key that protects manifests.",
            )
            .hint("Set XDG_STATE_HOME in the task's environment.")
        })
    }

    /// Reads the key; `None` if there is none yet.
    ///
    /// # Errors
    /// The `file.*` codes, and `request.state_key` if it is of the wrong size.
    pub fn load(path: &Path) -> Result<Option<Self>> {
        private_file::read(path)?.map(|bytes| Self::checked(bytes, path)).transpose()
    }

    /// Reads the key, and makes it if there is none yet.
    ///
    /// # Errors
    /// As [`StateKey::load`], and `file.unwritable`.
    pub fn load_or_create(path: &Path) -> Result<Self> {
        if let Some(key) = Self::load(path)? {
            return Ok(key);
        }
        durable::make_folder_of(path, &mut false)?;
        Self::checked(private_file::create(path, private_file::random()?, &mut false)?, path)
    }

    fn checked(bytes: Private, path: &Path) -> Result<Self> {
        if bytes.len() == private_file::CREATED_LEN {
            return Ok(Self(bytes));
        }
        let detail = format!(
            "The key that protects manifests, {}, has {} bytes instead of {}.",
            path.display(),
            bytes.len(),
            private_file::CREATED_LEN
        );
        Err(Fault::new(codes::STATE_KEY, detail)
            .hint("Remove it: a new one is created, and each request is built again once."))
    }

    /// HMAC-SHA-256 in hex. `purpose` keeps values of different meaning apart.
    ///
    /// # Errors
    /// `request.crypto`.
    pub fn mac(&self, purpose: &str, data: &[u8]) -> Result<String> {
        let mac = || -> std::result::Result<_, ErrorStack> {
            let key = PKey::hmac(&self.0)?;
            let mut signer = Signer::new(MessageDigest::sha256(), &key)?;
            signer.update(purpose.as_bytes())?;
            signer.update(&[0])?;
            signer.update(data)?;
            signer.sign_to_vec()
        };
        mac().map(|mac| encode_hex(&mac)).map_err(|e| {
            Fault::new(pv_request::codes::CRYPTO, format!("OpenSSL could not compute an HMAC: {e}."))
                .hint("Check the system's OpenSSL and its crypto policy.")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn the_key_is_made_once_in_a_private_folder() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state/seguest-pv/manifest.key");
        assert!(StateKey::load(&path).unwrap().is_none());
        let mac = StateKey::load_or_create(&path).unwrap().mac("test", b"data").unwrap();
        let again = StateKey::load_or_create(&path).unwrap();
        assert_eq!(again.mac("test", b"data").unwrap(), mac);
        assert_ne!(again.mac("tes", b"tdata").unwrap(), mac);
    }

    #[test]
    fn a_key_of_the_wrong_size_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("manifest.key");
        StateKey::load_or_create(&path).unwrap();
        fs::write(&path, "short").unwrap();
        assert_eq!(StateKey::load_or_create(&path).err().unwrap().code, codes::STATE_KEY);
    }
}
