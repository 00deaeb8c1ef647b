//! Secrets that are encrypted in their files.

use crate::codes;
use ansible_contract::NoLog;
use fault::{Fault, Result};
use pv_request::{OpeningKey, Recipients, Source, check_sealed, is_sealed};
use std::path::{Path, PathBuf};
use trusted::{Private, private_file};

/// For whom the file with a secret is encrypted, and what opens it.
#[derive(Debug, Clone, Default)]
pub struct Sealing {
    /// Certificates.
    pub recipients: Vec<PathBuf>,
    /// The private key of one of them.
    pub key: Option<PathBuf>,
    /// The key's passphrase.
    pub passphrase: Option<NoLog>,
}

/// Certificates and key of one secret's file, read.
#[derive(Debug, Default)]
pub struct Seal {
    recipients: Option<Recipients>,
    key: Option<OpeningKey>,
}

impl Seal {
    /// Reads them.
    ///
    /// # Errors
    /// The `file.*` codes, and those about certificates and keys.
    pub fn read(files: &Sealing) -> Result<Self> {
        let sources = files.recipients.iter().map(|path| Source::read(path)).collect::<Result<Vec<_>>>()?;
        let recipients = (!sources.is_empty()).then(|| Recipients::new(&sources)).transpose()?;
        let key = files.key.as_deref().map(|path| {
            let name = path.display().to_string();
            let missing = || {
                Fault::new(fault::file::MISSING, format!("{name} does not exist."))
                    .hint("Check the path, on the machine where the module runs.")
            };
            let bytes = private_file::read(path)?.ok_or_else(missing)?;
            OpeningKey::new(&bytes, files.passphrase.as_ref().map(|passphrase| passphrase.expose()), &name)
        });
        Ok(Self { recipients, key: key.transpose()? })
    }

    /// What a file is to hold for this secret.
    ///
    /// # Errors
    /// `request.crypto`.
    pub fn close(&self, secret: &Private) -> Result<Private> {
        self.recipients.as_ref().map_or_else(|| Ok(secret.clone()), |all| all.seal(secret).map(Private::new))
    }

    /// The secret that a file holds; `None` if it is encrypted and no key is given.
    ///
    /// # Errors
    /// `request.secret_in_clear`, `request.secret_wrong_key`, `request.secret_damaged`.
    pub fn open(&self, content: Private, path: &Path) -> Result<Option<Private>> {
        match (is_sealed(&content), &self.key) {
            (true, None) => check_sealed(&content, &path.display().to_string()).map(|()| None),
            (true, Some(key)) => key.open(&content, &path.display().to_string(), self.recipients.as_ref()).map(Some),
            (false, None) if self.recipients.is_none() => Ok(Some(content)),
            (false, _) => {
                let name = path.display();
                let detail = format!("The secret in {name} is in the clear, though it should be encrypted.");
                Err(Fault::new(codes::SECRET_IN_CLEAR, detail).hint(format!(
                    "Encrypt it: openssl cms -encrypt -aes-256-gcm -binary -outform PEM -in {name} -out NEW CERTIFICATES; then put NEW in its place, mode 0600."
                )))
            }
        }
    }

    /// A warning if an encrypted file leaves out some of the recipients.
    pub fn left_out(&self, content: &[u8], path: &Path) -> Option<Fault> {
        let names = self.recipients.as_ref().filter(|_| is_sealed(content))?.left_out(content).join(", ");
        (!names.is_empty()).then(|| {
            let detail = format!("{} is not encrypted for {names}; it is left as it is.", path.display());
            Fault::new(codes::RECIPIENT_LEFT_OUT, detail).hint(
                "To let them read it, decrypt it with openssl cms -decrypt and encrypt it for all with openssl cms -encrypt.",
            )
        })
    }
}

/// Makes a file with random bytes, closed by `seal`, unless it exists; gives the secret. `created` becomes true once it was
/// made, whatever fails after that.
///
/// # Errors
/// Those of [`private_file::create`] and [`Seal::open`], `request.secret_locked`, and `request.crypto`.
pub fn create(path: &Path, seal: &Seal, created: &mut bool) -> Result<Private> {
    let secret = private_file::random()?;
    let there = private_file::create(path, seal.close(&secret)?, created)?;
    if *created {
        return Ok(secret);
    }
    // Another run was faster; its secret is the one.
    seal.open(there, path)?.ok_or_else(|| locked(path))
}

/// That a secret would be needed which nobody can read here.
pub fn locked(path: &Path) -> Fault {
    let detail = format!("The secret in {} is encrypted, and no key to read it is given.", path.display());
    Fault::new(codes::SECRET_LOCKED, detail)
        .hint("Give the private key of one of its recipients as secret_key_file. It is needed whenever a request is built from an existing secret.")
}
