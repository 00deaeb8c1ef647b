//! What is there for the boot.

use super::desired::{Desired, Wanted};
use super::{PROGRAM, codes};
use durable::Found;
use fault::{Fault, Result};
use nix::fcntl::{AT_FDCWD, AtFlags};
use nix::libc::ELOOP;
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
    Ok(Observed { paths: at, systemd: has_systemd(), unsafe_folder, unwritable })
}

fn at(path: &Path, wanted: &Wanted) -> Result<At> {
    match fs::read_link(path) {
        Ok(target) => return Ok(At::Link(target.to_string_lossy().into_owned())),
        Err(e) if e.kind() == ErrorKind::NotFound || e.kind() == ErrorKind::NotADirectory => return Ok(At::Nothing),
        // There, and no link.
        Err(_) => {}
    }
    match durable::read(path, LIMIT, codes::NOT_OURS) {
        Ok(None) => Ok(At::Nothing),
        Ok(Some(Found { bytes, attributes })) => {
            let same = matches!(wanted, Wanted::File(_, content) if *content == bytes);
            Ok(At::File { mode: attributes.mode, uid: attributes.uid.unwrap_or(0), same })
        }
        Err(fault) if fault.answer.errno == Some(ELOOP) => Ok(At::Nothing),
        Err(fault) => Err(fault),
    }
}

/// It runs, or is there to be started at the next boot.
fn has_systemd() -> bool {
    ["/run/systemd/system", "/usr/lib/systemd/systemd", "/lib/systemd/systemd"]
        .iter()
        .any(|path| Path::new(path).exists())
}

/// Why somebody other than root could put something else where this folder is, or into it.
pub fn unsafe_part(folder: &Path) -> Option<String> {
    for part in folder.ancestors() {
        let Ok(found) = fs::symlink_metadata(part) else { continue };
        let sticky = found.mode() & 0o1000 != 0;
        if !found.is_dir() {
            return Some(format!("{} is not a folder", part.display()));
        }
        if found.uid() != 0 {
            return Some(format!("{} does not belong to root", part.display()));
        }
        if found.mode() & 0o022 != 0 && (!sticky || part == folder) {
            return Some(format!("users other than root can write to {}", part.display()));
        }
    }
    None
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
