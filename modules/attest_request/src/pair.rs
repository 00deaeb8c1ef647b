//! A request and its key, two files of which each is useless without the other.
//!
//! A key that is there always opens the request that is there: an old key goes first, then comes the new request, then its
//! key, where none is. So a run that is killed leaves both, or a request without a key, and the next run replaces either.

use crate::codes;
use durable::{Attributes, Folder, Leavings};
use fault::{Fault, Result};
use pv_request::attest::{Opened, ProtectionKey};
use pv_wire::attestation::{ExchangeRequest, layout};
use std::path::Path;
use trusted::private_file;

/// The largest file that a request can be: its header, and the largest request.
const LIMIT: u64 = (layout::MAX_REQUEST_LEN + 0x40) as u64;

/// Where they are.
#[derive(Clone, Copy, Debug)]
pub struct Pair<'a> {
    /// The request.
    pub path: &'a Path,
    /// Its key.
    pub key_file: &'a Path,
}

impl Pair<'_> {
    /// Clears away what a killed run left.
    ///
    /// # Errors
    /// `file.unwritable`.
    pub fn settle(&self, leavings: &mut Leavings) -> Result<()> {
        leavings.settle(self.path)?;
        leavings.settle(self.key_file)
    }

    /// That what is there may be replaced: an attestation request, and the key of this very request. Says whether each is there.
    ///
    /// # Errors
    /// `attest.not_ours`, `attest.key_exists`, `file.insecure`, `file.unreadable`.
    pub fn check(&self) -> Result<(bool, bool)> {
        let found = durable::read(self.path, LIMIT, codes::NOT_OURS)?;
        let request = found.as_ref().map(|found| ExchangeRequest::parse(&found.bytes)).transpose().map_err(|_| {
            let detail = format!("{} is no attestation request; it is left as it is.", self.path.display());
            Fault::new(codes::NOT_OURS, detail).hint("Choose another path, or remove the file.")
        })?;
        let key = private_file::read(self.key_file)?;
        if let Some(key) = &key {
            let fits = request.is_some_and(|request| opens(key, request));
            fits.then_some(()).ok_or_else(|| {
                let name = self.key_file.display();
                let detail = format!("{name} is not the key of a request at {}; it is left as it is.", self.path.display());
                Fault::new(codes::KEY_EXISTS, detail)
                    .hint("Name another key_file; or remove the file, if it is the key of a request that nobody needs any more.")
            })?;
        }
        Ok((found.is_some(), key.is_some()))
    }

    /// Writes both, in place of those that are there. `changed` becomes true once anything was written or removed, whatever
    /// fails after that.
    ///
    /// # Errors
    /// Those of [`Self::check`], `file.missing` for a folder, `file.unwritable`.
    pub fn write(&self, request: &[u8], key: &ProtectionKey, changed: &mut bool) -> Result<()> {
        let folders = Folders::lock(self)?;
        let (_, had_key) = self.check()?;
        if had_key {
            folders.of_key().remove(self.key_file, changed)?;
        }
        folders.of_request.replace(self.path, request, &Attributes::mode(0o600), changed)?;
        let mut created = false;
        folders.of_key().create(self.key_file, key.as_bytes(), &mut created).inspect_err(|_| {
            if !created {
                // Nobody could ever verify an answer to it.
                let _ = folders.of_request.remove(self.path, changed);
            }
        })?;
        if !created {
            let detail =
                format!("{} was made by somebody else just now; it is left as it is.", self.key_file.display());
            return Err(Fault::new(codes::KEY_EXISTS, detail).hint("Run the task again, one run at a time."));
        }
        Ok(())
    }
}

/// Whether this is the key with which the request was closed.
fn opens(key: &[u8], file: ExchangeRequest<'_>) -> bool {
    let Ok(key) = ProtectionKey::new(key, "") else { return false };
    file.attestation_request().is_ok_and(|request| Opened::open(&request, &key).is_ok())
}

/// The folders of both, held together: two runs for one pair come one after the other.
struct Folders {
    of_request: Folder,
    /// Where it is another one.
    of_key: Option<Folder>,
}

impl Folders {
    fn lock(pair: &Pair<'_>) -> Result<Self> {
        let folder = |path| durable::identity(path).parent().map(Path::to_owned);
        let (of_request, of_key) = (folder(pair.path), folder(pair.key_file));
        if of_request == of_key {
            return Ok(Self { of_request: Folder::lock(pair.path)?, of_key: None });
        }
        // In an order that is the same for all, so that no two wait for each other.
        if of_request < of_key {
            let of_request = Folder::lock(pair.path)?;
            return Ok(Self { of_request, of_key: Some(Folder::lock(pair.key_file)?) });
        }
        let of_key = Folder::lock(pair.key_file)?;
        Ok(Self { of_request: Folder::lock(pair.path)?, of_key: Some(of_key) })
    }

    fn of_key(&self) -> &Folder {
        self.of_key.as_ref().unwrap_or(&self.of_request)
    }
}
