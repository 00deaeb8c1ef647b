//! Files written so that a crash or a second run at once leaves the old one or the new one, never a part.

mod attributes;
mod folder;
mod lacking;
mod leavings;
pub mod process;

pub use attributes::{Attributes, owner_and_group};
pub use folder::{Folder, check_writable, make_folder_of};
pub use leavings::{Leavings, forget_dead, is_in_creation, settle};

use fault::{Code, Fault, Result};
use nix::libc::{ELOOP, O_NOFOLLOW, O_NONBLOCK};
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// A file that was read: content and attributes belong to each other.
#[derive(Debug)]
pub struct Found {
    /// Its content.
    pub bytes: Vec<u8>,
    /// Its owner and mode.
    pub attributes: Attributes,
}

/// Opens a file for reading without following a link and without waiting for a pipe's other end.
/// `None` if it does not exist; `Err` of `ELOOP` if it is a link.
pub fn open(path: &Path) -> io::Result<Option<File>> {
    match OpenOptions::new().read(true).custom_flags(O_NOFOLLOW | O_NONBLOCK).open(path) {
        Ok(file) => Ok(Some(file)),
        Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
        Err(e) => Err(e),
    }
}

/// Reads a file of ours of at most `limit` bytes; `None` if it does not exist.
///
/// # Errors
/// `not_ours` for a link, a folder, a device or something larger; `file.unreadable`.
pub fn read(path: &Path, limit: u64, not_ours: Code) -> Result<Option<Found>> {
    Ok(read_open(path, limit, not_ours)?.map(|(_, found)| found))
}

fn read_open(path: &Path, limit: u64, not_ours: Code) -> Result<Option<(File, Found)>> {
    let not_ours = |what: &str| {
        Fault::new(not_ours, format!("{} is {what}; it is left as it is.", path.display()))
            .hint("Remove it, or choose another path.")
    };
    let file = match open(path) {
        Ok(Some(file)) => file,
        Ok(None) => return Ok(None),
        Err(e) if e.raw_os_error() == Some(ELOOP) => return Err(not_ours("a symbolic link")),
        Err(e) => return Err(unreadable(path, &e)),
    };
    let metadata = file.metadata().map_err(|e| unreadable(path, &e))?;
    if !metadata.is_file() {
        return Err(not_ours("no regular file"));
    }
    let mut bytes = Vec::new();
    (&file).take(limit + 1).read_to_end(&mut bytes).map_err(|e| unreadable(path, &e))?;
    if bytes.len() as u64 > limit {
        return Err(not_ours("larger than any valid one"));
    }
    Ok(Some((file, Found { bytes, attributes: Attributes::of(&metadata) })))
}

/// Writes a file in place of whatever file is there. `changed` becomes true once the file has its name, whatever fails
/// after that.
///
/// # Errors
/// `file.missing` for its folder, `file.unwritable`.
pub fn replace(path: &Path, content: &[u8], attributes: &Attributes, changed: &mut bool) -> Result<()> {
    Folder::lock(path)?.replace(path, content, attributes, changed)
}

/// Sets owner and mode of a file that was read before: of nothing that was put into its place since.
///
/// # Errors
/// Those of [`read`], `file.unwritable`.
pub fn set_attributes(path: &Path, read: &Found, attributes: &Attributes, not_ours: Code) -> Result<()> {
    match read_open(path, read.bytes.len() as u64, not_ours)? {
        Some((file, now)) if now.bytes == read.bytes => {
            attributes.apply(&file).and_then(|()| file.sync_all()).map_err(|e| unwritable(path, &e))
        }
        _ => {
            let detail = format!("{} was replaced or removed before its mode or owner could be set.", path.display());
            Err(Fault::new(fault::file::UNWRITABLE, detail).hint("Run the task again."))
        }
    }
}

/// Removes a file; `false` if there was none. `changed` becomes true once the name is gone, whatever fails after that.
///
/// # Errors
/// `file.unwritable`.
pub fn remove(path: &Path, changed: &mut bool) -> Result<bool> {
    let removed = unlink(path, changed)?;
    if removed {
        Folder::lock(path)?.sync().map_err(|e| unwritable(path, &e))?;
    }
    Ok(removed)
}

/// Takes a name away, not yet durably.
fn unlink(path: &Path, changed: &mut bool) -> Result<bool> {
    match fs::remove_file(path) {
        Ok(()) => {
            *changed = true;
            Ok(true)
        }
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(false),
        Err(e) => Err(unwritable(path, &e)),
    }
}

/// The folder in which a file is.
fn folder_of(file: &Path) -> PathBuf {
    match file.parent() {
        Some(parent) if parent != Path::new("") => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

/// The path by which a file is known whatever way it is written: absolute, with the links to its folder followed.
pub fn identity(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let folder = absolute.parent().and_then(|folder| folder.canonicalize().ok());
    match (folder, absolute.file_name()) {
        (Some(folder), Some(name)) => folder.join(name),
        _ => absolute,
    }
}

/// The fault of a file or folder that cannot be read.
pub fn unreadable(path: &Path, error: &io::Error) -> Fault {
    let detail = format!("{} could not be read: {error}.", path.display());
    Fault::new(fault::file::UNREADABLE, detail)
        .hint("Check the permissions of the file, of its folders, and of the user who runs the task.")
        .io(error)
}

/// The fault of a file that cannot be written.
pub fn unwritable(path: &Path, error: &io::Error) -> Fault {
    let fault = Fault::new(fault::file::UNWRITABLE, format!("{} could not be written: {error}.", path.display())).hint(
        match error.kind() {
            ErrorKind::Unsupported => "Choose a folder on another file system, for example ext4 or XFS.",
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => "Free some space there, then run the task again.",
            _ => "Check the permissions of its folder and of the user who runs the task.",
        },
    );
    fault.io(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    fault::codes! { NOT_OURS = "test.not_ours", "Something else is there."; }

    /// What is in a folder.
    pub fn names(dir: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_is_replaced_whole_with_its_mode_and_nothing_is_left_beside_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("request");
        for (content, mode) in [(&b"one"[..], 0o600), (b"two", 0o4750)] {
            replace(&path, content, &Attributes::mode(mode), &mut false).unwrap();
            let found = read(&path, 100, NOT_OURS).unwrap().unwrap();
            assert_eq!((found.bytes.as_slice(), found.attributes.mode), (content, mode));
        }
        assert_eq!(names(dir.path()), ["request"]);
        assert!(remove(&path, &mut false).unwrap() && !remove(&path, &mut false).unwrap());
        assert!(read(&path, 100, NOT_OURS).unwrap().is_none());
    }

    #[test]
    fn mode_and_owner_are_set_of_what_was_read_and_of_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let (path, open) = (dir.path().join("request"), Attributes::mode(0o644));
        replace(&path, b"one", &Attributes::mode(0o600), &mut false).unwrap();
        let found = read(&path, 100, NOT_OURS).unwrap().unwrap();
        set_attributes(&path, &found, &open, NOT_OURS).unwrap();
        assert_eq!(read(&path, 100, NOT_OURS).unwrap().unwrap().attributes.mode, 0o644);
        for other in ["two", "longer"] {
            replace(&path, other.as_bytes(), &Attributes::mode(0o600), &mut false).unwrap();
            set_attributes(&path, &found, &open, NOT_OURS).unwrap_err();
            assert_eq!(read(&path, 100, NOT_OURS).unwrap().unwrap().attributes.mode, 0o600);
        }
        fs::remove_file(&path).unwrap();
        assert_eq!(set_attributes(&path, &found, &open, NOT_OURS).unwrap_err().code, fault::file::UNWRITABLE);
    }

    #[test]
    fn links_folders_and_large_files_are_not_ours() {
        let dir = tempfile::tempdir().unwrap();
        let (link, large) = (dir.path().join("link"), dir.path().join("large"));
        std::os::unix::fs::symlink("large", &link).unwrap();
        fs::write(&large, [0; 11]).unwrap();
        for path in [&link, &large, dir.path()] {
            assert_eq!(read(path, 10, NOT_OURS).unwrap_err().code, NOT_OURS, "{}", path.display());
        }
    }

    #[test]
    fn a_missing_folder_is_named() {
        let fault =
            replace(Path::new("/nonexistent/folder/request"), b"", &Attributes::mode(0o600), &mut false).unwrap_err();
        assert_eq!(fault.code, fault::file::MISSING);
        assert!(fault.detail.contains("/nonexistent/folder "), "{fault}");
    }

    #[test]
    fn one_file_is_known_by_one_identity() {
        let dir = tempfile::tempdir().unwrap();
        let real = dir.path().join("real");
        fs::create_dir(&real).unwrap();
        std::os::unix::fs::symlink("real", dir.path().join("link")).unwrap();
        assert_eq!(identity(&dir.path().join("link/x")), identity(&real.join("../real/./x")));
    }
}
