//! What is there for the boot.

use super::desired::{Desired, Wanted};
use super::{PROGRAM, codes, systemd};
use durable::Found;
use fault::{Fault, Result};
use nix::fcntl::{AT_FDCWD, AtFlags};
use nix::unistd::{AccessFlags, faccessat};
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// Longer than any file of ours.
const LIMIT: u64 = 64 << 20;

/// What is at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum At {
    /// Nothing.
    Nothing,
    /// A regular file: its mode and owner, and whether it holds what it is to hold.
    File {
        /// Permission bits.
        mode: u32,
        /// Its owner.
        uid: u32,
        /// Whether it holds what is wanted there.
        same: bool,
    },
    /// A symbolic link to that.
    Link(String),
}

/// What is at each path of [`Desired::paths`], and whether a unit there would be started.
#[derive(Clone, Debug)]
pub struct Observed {
    /// In the order of the paths.
    pub paths: Vec<At>,
    /// Whether the guest has systemd.
    pub systemd: bool,
    /// Folders that others than root could change, with a phrase that says why.
    pub unsafe_folder: Option<String>,
    /// Of each path, why nothing can be written there.
    pub unwritable: Vec<Option<Fault>>,
}

/// Looks at every path.
///
/// # Errors
/// `boot.not_ours` for what is neither file nor link, `file.unreadable`.
pub fn observe(desired: &Desired) -> Result<Observed> {
    let paths = desired.paths();
    let at = paths.iter().map(|(path, wanted)| at(Path::new(path), wanted)).collect::<Result<_>>()?;
    let folders = || paths.iter().filter_map(|(path, _)| Path::new(path).parent());
    let unsafe_folder = folders().filter_map(unsafe_part).next();
    let unwritable = paths.iter().map(|(path, _)| unwritable_part(Path::new(path).parent()?)).collect();
    Ok(Observed { paths: at, systemd: systemd::is_there(), unsafe_folder, unwritable })
}

fn at(path: &Path, wanted: &Wanted) -> Result<At> {
    match fs::read_link(path) {
        Ok(target) => return Ok(At::Link(target.to_string_lossy().into_owned())),
        Err(e) if e.kind() == ErrorKind::NotFound || e.kind() == ErrorKind::NotADirectory => return Ok(At::Nothing),
        // There, and no link.
        Err(_) => {}
    }
    Ok(match durable::read(path, LIMIT, codes::NOT_OURS)? {
        None => At::Nothing,
        Some(Found { bytes, attributes }) => {
            let same = matches!(wanted, Wanted::File(_, content) if *content == bytes);
            At::File { mode: attributes.mode, uid: attributes.uid.unwrap_or(0), same }
        }
    })
}

/// Why somebody other than root could put something else where this folder is, or into it.
pub fn unsafe_part(folder: &Path) -> Option<String> {
    folder.ancestors().find_map(|part| {
        let found = fs::symlink_metadata(part).ok()?;
        let why = open_to_others(found.is_dir(), found.uid(), found.mode(), part == folder)?;
        Some(match why {
            Open::NoFolder => format!("{} is not a folder", part.display()),
            Open::Owner => format!("{} does not belong to root", part.display()),
            Open::Mode => format!("users other than root can write to {}", part.display()),
        })
    })
}

/// What lets others than root exchange what is in a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Open {
    /// It is none.
    NoFolder,
    /// Somebody else owns it.
    Owner,
    /// Its mode lets them write.
    Mode,
}

/// Of a folder that others may write to, the sticky bit guards what root has put there (a folder on the way), but does not
/// keep them from putting something there first (the `last` one).
fn open_to_others(folder: bool, uid: u32, mode: u32, last: bool) -> Option<Open> {
    let sticky = mode & 0o1000 != 0;
    match () {
        () if !folder => Some(Open::NoFolder),
        () if uid != 0 => Some(Open::Owner),
        () if mode & 0o022 != 0 && (!sticky || last) => Some(Open::Mode),
        () => None,
    }
}

/// Why nothing can be written in a folder, or in the nearest one above it that is there.
fn unwritable_part(folder: &Path) -> Option<Fault> {
    let there = folder.ancestors().find(|part| part.is_dir())?;
    let access = faccessat(AT_FDCWD, there, AccessFlags::W_OK | AccessFlags::X_OK, AtFlags::AT_EACCESS);
    access.err().map(|errno| durable::unwritable(there, &errno.into()))
}

/// The bytes of this program.
///
/// # Errors
/// `file.unreadable`.
pub fn this_program() -> Result<Vec<u8>> {
    // Also if its name is gone by now.
    let path = Path::new("/proc/self/exe");
    fs::read(path).map_err(|e| {
        let detail = format!("This program could not be read, so it cannot be installed as {PROGRAM}: {e}.");
        Fault::new(fault::file::UNREADABLE, detail).hint("Check that /proc is mounted and can be read.").io(&e)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    #[test]
    fn a_folder_that_others_could_change_is_unsafe_and_why_is_known() {
        let open = |mode, last| open_to_others(true, 0, mode, last);
        for mode in [0o040_700, 0o040_755, 0o041_755] {
            assert_eq!((open(mode, false), open(mode, true)), (None, None), "{mode:o}");
        }
        for mode in [0o040_775, 0o040_757, 0o040_720, 0o040_702] {
            assert_eq!((open(mode, false), open(mode, true)), (Some(Open::Mode), Some(Open::Mode)), "{mode:o}");
        }
        // As /tmp is: on the way to a folder, and the folder itself.
        assert_eq!((open(0o041_777, false), open(0o041_777, true)), (None, Some(Open::Mode)));
        assert_eq!(open_to_others(true, 1000, 0o040_755, false), Some(Open::Owner));
        assert_eq!(open_to_others(false, 0, 0o100_755, false), Some(Open::NoFolder));
    }

    #[test]
    fn the_part_that_is_unsafe_is_named() {
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("file");
        fs::write(&file, "").unwrap();
        let not_a_folder = Some(format!("{} is not a folder", file.display()));
        assert_eq!(unsafe_part(&file), not_a_folder);
        // What is not there yet is not unsafe; what is above it counts.
        assert_eq!(unsafe_part(&file.join("not/there")), not_a_folder);
        let open = place.path().join("open");
        fs::create_dir(&open).unwrap();
        fs::set_permissions(&open, fs::Permissions::from_mode(0o777)).unwrap();
        let said = unsafe_part(&open.join("below")).unwrap();
        assert!(said.contains(&open.display().to_string()), "{said}");
    }

    #[test]
    fn what_is_at_a_path_is_a_file_with_its_mode_and_content_or_a_link_or_nothing() {
        let place = tempfile::tempdir().unwrap();
        let path = |name: &str| place.path().join(name);
        fs::write(path("file"), "content").unwrap();
        fs::set_permissions(path("file"), fs::Permissions::from_mode(0o640)).unwrap();
        let uid = fs::metadata(path("file")).unwrap().uid();
        let file = |same| At::File { mode: 0o640, uid, same };
        let wanted = |content: &str| Wanted::File(0o600, content.into());
        assert_eq!(at(&path("file"), &wanted("content")).unwrap(), file(true));
        assert_eq!(at(&path("file"), &wanted("another")).unwrap(), file(false));
        assert_eq!(at(&path("file"), &Wanted::Nothing).unwrap(), file(false));
        symlink("file", path("link")).unwrap();
        assert_eq!(at(&path("link"), &wanted("content")).unwrap(), At::Link("file".into()));
        for nothing in ["missing", "missing/below", "file/below"] {
            assert_eq!(at(&path(nothing), &Wanted::Nothing).unwrap(), At::Nothing, "{nothing}");
        }
        symlink("round", path("round")).unwrap();
        for other in [place.path(), &path("round/below")] {
            assert_eq!(at(other, &Wanted::Nothing).unwrap_err().code, codes::NOT_OURS, "{other:?}");
        }
    }

    #[test]
    fn what_would_be_installed_is_this_very_program() {
        let program = std::env::current_exe().unwrap();
        assert!(this_program().unwrap() == fs::read(program).unwrap());
    }
}
