//! Bytes together with the name that messages call them by.

use crate::codes;
use fault::{Fault, Result, file};
use nix::libc::O_NONBLOCK;
use std::{
    fs::{File, OpenOptions},
    io,
    io::Read as _,
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

/// What a public input file held, and what to call it in messages. Not for secrets: it is neither wiped nor hidden.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The path, as the user wrote it.
    pub name: String,
    /// The content.
    pub bytes: Vec<u8>,
}

impl Source {
    /// The most that is read of a file: certificate bundles of today's systems are a quarter of a megabyte.
    pub const LIMIT: u64 = 16 << 20;

    /// Reads a whole file.
    ///
    /// # Errors
    /// [`file::MISSING`], [`file::UNREADABLE`] and [`codes::FILE_TOO_LARGE`].
    pub fn read(path: &Path) -> Result<Self> {
        let name = path.display().to_string();
        let file = open(path, &name)?;
        let mut bytes = Vec::new();
        file.take(Self::LIMIT + 1).read_to_end(&mut bytes).map_err(|e| unreadable(&name, &e))?;
        if bytes.len() as u64 > Self::LIMIT {
            return Err(Fault::new(
                codes::FILE_TOO_LARGE,
                format!("{name} is larger than {} MiB and was not read.", Self::LIMIT >> 20),
            )
            .hint("Name the certificate, revocation list or bundle itself."));
        }
        Ok(Self { name, bytes })
    }
}

/// Opens a regular file: nobody may be at the other end of a pipe, and a device has no end.
pub(crate) fn open(path: &Path, name: &str) -> Result<File> {
    let opened = OpenOptions::new().read(true).custom_flags(O_NONBLOCK).open(path);
    let (file, metadata) =
        opened.and_then(|file| file.metadata().map(|metadata| (file, metadata))).map_err(|e| unreadable(name, &e))?;
    if metadata.is_file() {
        return Ok(file);
    }
    Err(Fault::new(file::UNREADABLE, format!("{name} is not a regular file and was not read."))
        .hint("Name a regular file."))
}

pub(crate) fn unreadable(name: &str, error: &io::Error) -> Fault {
    let fault = if error.kind() == io::ErrorKind::NotFound {
        Fault::new(file::MISSING, format!("{name} does not exist."))
            .hint("Check the path, on the machine where the module runs.")
    } else {
        Fault::new(file::UNREADABLE, format!("{name} could not be read: {error}."))
            .hint("Check the permissions of the file, of its folders, and of the user who runs the task.")
    };
    fault.io(error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::{sys::stat::Mode, unistd::mkfifo};

    #[test]
    fn pipes_devices_and_folders_are_refused_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let pipe = dir.path().join("pipe");
        mkfifo(&pipe, Mode::S_IRUSR | Mode::S_IWUSR).unwrap();
        for path in [&pipe, Path::new("/dev/zero"), dir.path()] {
            for fault in [Source::read(path).unwrap_err(), crate::ImageTags::read(path).unwrap_err()] {
                assert_eq!(fault.code, file::UNREADABLE);
                assert!(fault.detail.contains("not a regular file"), "{fault}");
            }
        }
    }
    #[test]
    fn a_file_of_16_mib_is_read_and_one_byte_more_is_not() {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(16 << 20).unwrap();
        assert_eq!(Source::read(file.path()).unwrap().bytes.len(), 16 << 20);
        file.as_file().set_len((16 << 20) + 1).unwrap();
        let fault = Source::read(file.path()).unwrap_err();
        assert_eq!(fault.code, codes::FILE_TOO_LARGE);
        assert!(fault.detail.contains("16 MiB"), "{fault}");
    }
}
