//! The file that is to hold the secret.

use crate::memory::Stamp;
use crate::plan::codes;
use durable::Attributes;
use fault::{Fault, Result};
use nix::libc::ELOOP;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use zeroize::Zeroizing;

/// A regular file that is there.
#[derive(Debug)]
pub struct Found {
    file: File,
    /// Its owner and mode.
    pub attributes: Attributes,
    /// As it was found.
    pub stamp: Stamp,
}

impl Found {
    /// Opens what is at a path; `None` if nothing is.
    ///
    /// # Errors
    /// `file.not_regular`, `file.unreadable`.
    pub fn at(path: &Path) -> Result<Option<Self>> {
        let refused = |what: &str| {
            Fault::new(codes::DEST_NOT_A_FILE, format!("{} is {what}; it is left as it is.", path.display()))
                .hint("Remove it, or choose another path.")
        };
        let file = match durable::open(path) {
            Ok(Some(file)) => file,
            Ok(None) => return Ok(None),
            Err(e) if e.raw_os_error() == Some(ELOOP) => return Err(refused("a symbolic link")),
            Err(e) => return Err(durable::unreadable(path, &e)),
        };
        let metadata = file.metadata().map_err(|e| durable::unreadable(path, &e))?;
        if !metadata.is_file() {
            return Err(refused("no regular file"));
        }
        Ok(Some(Self { file, attributes: Attributes::of(&metadata), stamp: Stamp::of(&metadata) }))
    }

    /// Whether it holds just this.
    ///
    /// # Errors
    /// `file.unreadable`.
    pub fn holds(&self, path: &Path, content: &[u8]) -> Result<bool> {
        // One byte more than wanted, so that a longer file differs; the file's own bytes may be a secret too.
        let mut found = Zeroizing::new(vec![0; content.len() + 1]);
        let mut length = 0;
        while let Some(room) = found.get_mut(length..).filter(|room| !room.is_empty()) {
            match (&self.file).read(room).map_err(|e| durable::unreadable(path, &e))? {
                0 => break,
                read => length += read,
            }
        }
        Ok(found.get(..length) == Some(content))
    }

    /// Sets owner and mode of this very file, whatever is at its path by now.
    ///
    /// # Errors
    /// `file.unwritable`.
    pub fn set(&self, path: &Path, attributes: &Attributes) -> Result<()> {
        attributes.apply(&self.file).map_err(|e| durable::unwritable(path, &e))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_file_holds_just_what_it_holds() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        assert!(Found::at(&path).unwrap().is_none());
        for (content, holds) in [("secret", true), ("secre", false), ("secrets", false), ("secreT", false), ("", false)]
        {
            fs::write(&path, content).unwrap();
            assert_eq!(Found::at(&path).unwrap().unwrap().holds(&path, b"secret").unwrap(), holds, "{content}");
        }
    }

    #[test]
    fn links_folders_and_devices_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let (file, link) = (dir.path().join("file"), dir.path().join("link"));
        fs::write(&file, "").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        for path in [link.as_path(), dir.path(), Path::new("/dev/null")] {
            assert_eq!(Found::at(path).unwrap_err().code, codes::DEST_NOT_A_FILE, "{}", path.display());
        }
    }
}
