//! What killed runs leave: files without their name yet, and second names of files that were being created.
//!
//! Where the folder can be locked, a temporary file has one name, and whoever holds the lock knows that nobody uses it. On a
//! file system without locks its name also says who made it: the place, which is one boot and one namespace of processes, and
//! the process.

use super::{Folder, process, unwritable};
use fault::Result;
use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File, Metadata};
use std::hash::{BuildHasher as _, Hasher as _};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// Every write takes milliseconds. A temporary file of another machine's run that is older than this is left over, even if the
/// two clocks differ by minutes.
const OLD: Duration = Duration::from_secs(3600);

const MARK: &str = ".seguest-tmp";

/// The name of a file of which there is one at a time, for who has locked the folder.
pub(super) fn temp_name(file: &OsStr) -> OsString {
    let mut temp = OsString::from(".");
    temp.push(file);
    temp.push(MARK);
    temp
}

/// A name that nobody else uses, for who has no lock.
pub(super) fn own_temp_name(file: &OsStr) -> OsString {
    let mut temp = temp_name(file);
    temp.push(format!("-{}-{}", place().unwrap_or_else(unknown_place), std::process::id()));
    temp
}

/// Where processes have distinct ids that are known here: 16 hex digits of the boot and the namespace of processes.
fn place() -> Option<String> {
    let boot = fs::read("/proc/sys/kernel/random/boot_id").ok()?;
    let namespace = fs::read_link("/proc/self/ns/pid").ok()?;
    // FNV-1a: two runs must agree, whatever compiled them.
    let hash = boot.iter().chain(namespace.as_os_str().as_bytes());
    let hash =
        hash.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3));
    Some(format!("{hash:016x}"))
}

/// A name of the place where the real one is not known, in the same form. No other run gives itself this name: with a shared
/// one, two machines could meet in the name of a file.
fn unknown_place() -> String {
    // The standard library's seed for hashes is random.
    format!("{:016x}", RandomState::new().build_hasher().finish())
}

/// Whether a name is one that a file has before it gets this name.
fn is_temp_of(name: &OsStr, file: &OsStr) -> bool {
    let temp = temp_name(file);
    let rest = name.as_bytes().strip_prefix(temp.as_bytes());
    // Earlier versions put the process id right behind it.
    rest.is_some_and(|rest| rest.first().is_none_or(|first| *first == b'-' || first.is_ascii_digit()))
}

/// Whether whoever made a temporary file without a lock has ended.
fn is_left(name: &OsStr, metadata: &Metadata) -> bool {
    let owner = name.to_str().and_then(|name| name.rsplit_once(MARK)?.1.strip_prefix('-')?.rsplit_once('-'));
    let here = owner.filter(|(there, _)| place().as_deref() == Some(there));
    let ended = here.and_then(|(_, pid)| Some(process::started(pid.parse().ok()?).ok()?.is_none()));
    ended == Some(true) || is_old(metadata)
}

/// Whether a run of ours may have made it, so that it is cleared away: in a shared folder anybody may give anything such a name.
/// Root's files may belong to others before they have their name.
fn may_be_ours(metadata: &Metadata) -> bool {
    let (user, kind) = (nix::unistd::geteuid(), metadata.file_type());
    (kind.is_file() || kind.is_symlink()) && (user.is_root() || metadata.uid() == user.as_raw())
}

fn is_old(metadata: &Metadata) -> bool {
    metadata.modified().is_ok_and(|then| SystemTime::now().duration_since(then).is_ok_and(|age| age > OLD))
}

/// What killed runs left, of folders that were looked through once. Keep one for a task: to look through a folder for each of
/// thousands of files would take hours.
#[derive(Debug, Default)]
pub struct Leavings {
    /// Names of temporary files without a lock, by folder.
    folders: HashMap<PathBuf, Vec<OsString>>,
}

impl Leavings {
    /// Clears away what a run left that was killed while it wrote the file `path`: a half-written one, or the second name of
    /// one that it was creating. Whether that file's own name is durable is not known then, so it is made so. What has a name
    /// that the write itself does not need, and is not ours or cannot be removed, is in nobody's way.
    ///
    /// # Errors
    /// `file.unwritable`.
    pub fn settle(&mut self, path: &Path) -> Result<()> {
        let Some(name) = path.file_name() else { return Ok(()) };
        let (above, plain) = (super::folder_of(path), temp_name(name));
        // Looked for without the lock first: there is next to never anything, and waiting for it would cost.
        let is_left_by_us = |left: &&OsString| {
            is_temp_of(left, name) && fs::symlink_metadata(above.join(left)).is_ok_and(|found| may_be_ours(&found))
        };
        let mut left: Vec<OsString> = self.without_lock(&above).iter().filter(is_left_by_us).cloned().collect();
        if fs::symlink_metadata(above.join(&plain)).is_ok() {
            left.push(plain.clone());
        }
        if left.is_empty() {
            return Ok(());
        }
        let folder = Folder::lock(path)?;
        for left in left {
            let temp = above.join(&left);
            let Ok(metadata) = fs::symlink_metadata(&temp) else { continue };
            let is_plain = left == plain;
            let unused = if is_plain { folder.is_locked() || is_old(&metadata) } else { is_left(&left, &metadata) };
            if !unused {
                continue;
            }
            if is_same(&metadata, path) {
                folder.make_durable()?;
            }
            match fs::remove_file(&temp) {
                Err(e) if is_plain => return Err(unwritable(&temp, &e)),
                _ => {}
            }
        }
        Ok(())
    }

    fn without_lock(&mut self, folder: &Path) -> &[OsString] {
        self.folders.entry(folder.to_owned()).or_insert_with(|| {
            // Who cannot look into it cannot write there either, and will hear of it then.
            let entries = fs::read_dir(folder).into_iter().flatten().flatten();
            let has_mark = |name: &OsString| {
                let text = name.to_string_lossy();
                text.starts_with('.') && text.contains(MARK) && !text.ends_with(MARK)
            };
            entries.map(|entry| entry.file_name()).filter(has_mark).collect()
        })
    }
}

/// The same for a single file.
///
/// # Errors
/// `file.unwritable`.
pub fn settle(path: &Path) -> Result<()> {
    Leavings::default().settle(path)
}

/// Removes files of the user's named `prefix`, a process id and `suffix`, whose process has ended. What cannot be removed is in
/// nobody's way.
pub fn forget_dead(folder: &Path, prefix: &str, suffix: &str) {
    let user = nix::unistd::geteuid().as_raw();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let pid = name.to_str().and_then(|name| name.strip_prefix(prefix)?.strip_suffix(suffix)?.parse().ok());
        let ended = pid.is_some_and(|pid| matches!(process::started(pid), Ok(None)));
        let ours = || entry.metadata().is_ok_and(|found| found.is_file() && found.uid() == user);
        if ended && ours() {
            let _ = fs::remove_file(entry.path());
        }
    }
}

fn is_same(one: &Metadata, path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|other| (one.dev(), one.ino()) == (other.dev(), other.ino()))
}

/// Whether a file that is at `path` has a second name only because it is being created, or its creator was killed. Its own name
/// is made durable then, as far as the caller may do that. Nobody is waited for: its content is complete.
///
/// # Errors
/// The kernel's.
pub fn is_in_creation(path: &Path) -> io::Result<bool> {
    let Some(name) = path.file_name() else { return Ok(false) };
    let above = super::folder_of(path);
    for entry in fs::read_dir(&above)?.flatten() {
        let is_it = is_temp_of(&entry.file_name(), name);
        if is_it && fs::symlink_metadata(entry.path()).is_ok_and(|metadata| is_same(&metadata, path)) {
            File::open(&above).map_or(Ok(()), |folder| folder.sync_all())?;
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::names;

    fn aged(path: &Path, age: Duration) {
        fs::write(path, "half").unwrap();
        File::options().write(true).open(path).unwrap().set_modified(SystemTime::now() - age).unwrap();
    }

    fn dead() -> u32 {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        child.wait().unwrap();
        child.id()
    }

    #[test]
    fn what_a_run_without_a_lock_left_is_cleared_away_once_it_has_ended() {
        let dir = tempfile::tempdir().unwrap();
        let (here, dead, alive) = (place().unwrap(), dead(), std::process::id());
        for (left, age, cleared) in [
            (format!("-{here}-{dead}"), 0, true),
            (format!("-{here}-{alive}"), 0, false),
            (format!("-{here}-{alive}"), 7200, true),
            (format!("-0123456789abcdef-{dead}"), 0, false),
            (format!("-0123456789abcdef-{dead}"), 7200, true),
            ("-elsewhere-1".into(), 0, false),
            // As earlier versions named it.
            (format!("{dead}"), 0, false),
            (format!("{dead}"), 7200, true),
            (".kept".into(), 7200, false),
        ] {
            let path = dir.path().join(format!(".secret.seguest-tmp{left}"));
            aged(&path, Duration::from_secs(age));
            settle(&dir.path().join("secret")).unwrap();
            assert_eq!(!path.exists(), cleared, "{left} {age}");
            let _ = fs::remove_file(path);
        }
    }

    #[test]
    fn what_others_put_in_a_shared_folder_stops_no_write() {
        let dir = tempfile::tempdir().unwrap();
        let (here, dead) = (place().unwrap(), dead());
        let junk = dir.path().join(format!(".secret.seguest-tmp-{here}-{dead}"));
        fs::create_dir(&junk).unwrap();
        settle(&dir.path().join("secret")).unwrap();
        assert!(junk.exists());
        fs::remove_dir(&junk).unwrap();
        // Links are ours, too, and nobody follows them.
        std::os::unix::fs::symlink("elsewhere", &junk).unwrap();
        settle(&dir.path().join("secret")).unwrap();
        assert!(junk.symlink_metadata().is_err());
    }

    #[test]
    fn where_a_place_is_not_known_no_two_runs_share_a_name() {
        assert_ne!(unknown_place(), unknown_place());
    }

    #[test]
    fn files_with_the_id_of_a_process_are_removed_once_it_has_ended() {
        let dir = tempfile::tempdir().unwrap();
        let (gone, here) = (dead(), std::process::id());
        for name in [format!("x.{gone}.new"), format!("x.{here}.new"), format!("y.{gone}.new"), "x.new".into()] {
            fs::write(dir.path().join(name), "").unwrap();
        }
        forget_dead(dir.path(), "x.", ".new");
        let mut left = vec!["x.new".to_owned(), format!("x.{here}.new"), format!("y.{gone}.new")];
        left.sort();
        assert_eq!(names(dir.path()), left);
    }

    #[test]
    fn only_the_leavings_of_the_file_itself_are_cleared_away() {
        let dir = tempfile::tempdir().unwrap();
        let others = [".secret2.seguest-tmp", ".secret.x.seguest-tmp", "secret.seguest-tmp"];
        others.iter().for_each(|name| aged(&dir.path().join(name), Duration::from_secs(7200)));
        aged(&dir.path().join(".secret.seguest-tmp"), Duration::ZERO);
        settle(&dir.path().join("secret")).unwrap();
        assert_eq!(names(dir.path()), [".secret.x.seguest-tmp", ".secret2.seguest-tmp", "secret.seguest-tmp"]);
    }

    #[test]
    fn a_second_name_that_a_killed_creation_left_is_known_and_no_other() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        fs::write(&path, "x").unwrap();
        assert!(!is_in_creation(&path).unwrap());
        for name in [".secret.seguest-tmp".to_owned(), format!(".secret.seguest-tmp-{}-{}", place().unwrap(), dead())] {
            let second = dir.path().join(name);
            fs::hard_link(&path, &second).unwrap();
            assert!(is_in_creation(&path).unwrap());
            settle(&path).unwrap();
            assert!(!second.exists() && path.exists());
        }
        fs::hard_link(&path, dir.path().join("copy")).unwrap();
        fs::write(dir.path().join(".secret.seguest-tmp"), "x").unwrap();
        assert!(!is_in_creation(&path).unwrap());
    }
}
