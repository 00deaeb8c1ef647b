//! What is remembered until the guest's next boot, under `/run/seguest-pv`.
//!
//! The kernel empties /run at boot; for the case that it survives (kexec, a container) every file also carries the
//! boot id of its time, and one of another boot counts as not there.

use crate::{codes, sysfs};
use fault::{Fault, Result};
use nix::fcntl::{Flock, FlockArg};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::ffi::OsStr;
use std::fs::{self, DirBuilder, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const ROOT: &str = "/run/seguest-pv";
/// A record is a few hundred bytes a request or queue.
const MAX_LEN: u64 = 64 << 20;

/// What is remembered, each in a file of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Topic {
    /// Which add-secret requests were handed to the ultravisor. Root only.
    Requests,
    /// That the store was locked. Everybody may read it.
    StoreLock,
    /// Which queues were bound, and what for. Root only.
    QueueJournal,
    /// Which files hold retrieved secrets. Root only.
    Retrieved,
}

impl Topic {
    fn file(self) -> &'static str {
        match self {
            Self::Requests => "private/requests.json",
            Self::StoreLock => "store-lock.json",
            Self::QueueJournal => "private/queue-journal.json",
            Self::Retrieved => "private/retrieved.json",
        }
    }

    fn mode(self) -> u32 {
        if self == Self::StoreLock { 0o644 } else { 0o600 }
    }
}

#[derive(Serialize, Deserialize)]
struct Stamped<T> {
    boot_id: String,
    content: T,
}

/// The records of this boot.
#[derive(Clone, Debug)]
pub struct BootRecord {
    root: PathBuf,
    boot_id: String,
}

impl BootRecord {
    /// The records of this boot.
    ///
    /// # Errors
    /// [`codes::RECORD_UNUSABLE`] if the kernel does not tell the boot id.
    pub fn of_this_boot() -> Result<Self> {
        let boot_id = sysfs::boot_id().map_err(|e| unusable("the boot id", &e))?;
        Ok(Self { root: ROOT.into(), boot_id })
    }

    /// The records of a boot of that id in another folder.
    #[cfg(test)]
    pub(crate) fn at(root: PathBuf, boot_id: &str) -> Self {
        Self { root, boot_id: boot_id.into() }
    }

    /// The id of this boot.
    pub fn boot_id(&self) -> &str {
        &self.boot_id
    }

    /// What was remembered in this boot, or the default if nothing was.
    ///
    /// # Errors
    /// [`codes::RECORD_UNUSABLE`].
    pub fn load<T: DeserializeOwned + Default>(&self, topic: Topic) -> Result<T> {
        let path = self.root.join(topic.file());
        let read = || -> io::Result<Option<Stamped<T>>> {
            let file = match File::options().read(true).custom_flags(nix::libc::O_NOFOLLOW).open(&path) {
                Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
                other => other?,
            };
            let found = file.metadata()?;
            if !found.is_file() || found.uid() != 0 || found.mode() & 0o022 != 0 {
                return Err(not_roots("it", "regular file", &found));
            }
            let mut text = Vec::new();
            file.take(MAX_LEN).read_to_end(&mut text)?;
            Ok(Some(serde_json::from_slice(&text)?))
        };
        let stamped = read().map_err(|e| unusable(&path.to_string_lossy(), &e))?;
        Ok(stamped.filter(|s| s.boot_id == self.boot_id).map(|s| s.content).unwrap_or_default())
    }

    /// Remembers `content` in place of what was remembered before.
    ///
    /// # Errors
    /// [`codes::RECORD_UNUSABLE`].
    pub fn save<T: Serialize>(&self, topic: Topic, content: &T) -> Result<()> {
        let path = self.root.join(topic.file());
        let write = || -> io::Result<()> {
            self.make_folders()?;
            let text = serde_json::to_vec(&Stamped { boot_id: self.boot_id.clone(), content })?;
            // A name of its own: others may save at the same time.
            let new = path.with_extension(format!("{}.new", std::process::id()));
            match fs::remove_file(&new) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
                _ => {}
            }
            let mut file = File::options().write(true).create_new(true).mode(topic.mode()).open(&new)?;
            // The umask must not take the readers of a public record away.
            file.set_permissions(fs::Permissions::from_mode(topic.mode()))?;
            file.write_all(&text)?;
            // What a killed run leaves is whole without this. It is for a /run that is not in memory, where a rename may
            // outlive the text after a loss of power; in memory it costs nothing.
            file.sync_all()?;
            fs::rename(&new, &path)?;
            // Of runs that were killed right here.
            if let (Some(folder), Some(stem)) = (path.parent(), path.file_stem().and_then(OsStr::to_str)) {
                durable::forget_dead(folder, &format!("{stem}."), ".new");
            }
            Ok(())
        };
        write().map_err(|e| unusable(&path.to_string_lossy(), &e))
    }

    /// Keeps others of us out until the guard is dropped; `None` if there are any.
    ///
    /// # Errors
    /// [`codes::RECORD_UNUSABLE`].
    pub fn exclusively(&self, topic: Topic) -> Result<Option<Flock<File>>> {
        let path = self.root.join(topic.file()).with_extension("lock");
        let open = || -> io::Result<File> {
            self.make_folders()?;
            let flags = nix::libc::O_NOFOLLOW;
            File::options().write(true).create(true).truncate(false).mode(0o600).custom_flags(flags).open(&path)
        };
        let file = open().map_err(|e| unusable(&path.to_string_lossy(), &e))?;
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(guard) => Ok(Some(guard)),
            Err((_, nix::errno::Errno::EWOULDBLOCK)) => Ok(None),
            Err((_, errno)) => Err(unusable(&path.to_string_lossy(), &errno.into())),
        }
    }

    /// Keeps other tasks off the secret store until the guard is dropped; waits for them no longer than `patience`.
    ///
    /// # Errors
    /// [`codes::STORE_IN_USE`], [`codes::RECORD_UNUSABLE`].
    pub fn alone_on_store(&self, patience: Duration) -> Result<Flock<File>> {
        let started = Instant::now();
        let mut pause = Duration::from_millis(20);
        loop {
            if let Some(guard) = self.exclusively(Topic::Requests)? {
                return Ok(guard);
            }
            let left = patience.saturating_sub(started.elapsed());
            if left.is_zero() {
                return Err(Fault::new(
                    codes::STORE_IN_USE,
                    format!(
                        "Another task is working on the secret store, and did not finish within {} seconds.",
                        patience.as_secs()
                    ),
                )
                .hint(
                    "Run the task again when the other has ended; check for a secret_add, secret_lock or guest that hangs.",
                ));
            }
            std::thread::sleep(pause.min(left));
            pause = (pause * 2).min(Duration::from_secs(1));
        }
    }

    fn make_folders(&self) -> io::Result<()> {
        for (folder, mode) in [(self.root.clone(), 0o755), (self.root.join("private"), 0o700)] {
            match DirBuilder::new().mode(mode).create(&folder) {
                Ok(()) => fs::set_permissions(&folder, fs::Permissions::from_mode(mode))?,
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => check_folder(&folder)?,
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }
}

fn check_folder(folder: &Path) -> io::Result<()> {
    let found = fs::symlink_metadata(folder)?;
    if found.is_dir() && found.uid() == 0 && found.mode() & 0o022 == 0 {
        return Ok(());
    }
    Err(not_roots(&folder.to_string_lossy(), "folder", &found))
}

fn not_roots(what: &str, kind: &str, found: &fs::Metadata) -> io::Error {
    let (uid, mode) = (found.uid(), found.mode() & 0o7777);
    io::Error::other(format!(
        "{what} is not a {kind} that only root can write; it belongs to user {uid}, with mode {mode:04o}"
    ))
}

fn unusable(what: &str, error: &io::Error) -> Fault {
    let fault =
        Fault::new(codes::RECORD_UNUSABLE, format!("The record of this boot ({what}) cannot be used: {error}."));
    let hint = match error.kind() {
        io::ErrorKind::PermissionDenied => "Run the task as root (become: true).",
        _ => {
            "Look at the file; if nothing else helps, reboot the guest, which empties /run together with the secret store."
        }
    };
    fault.hint(hint).io(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(root: &Path, boot_id: &str) -> BootRecord {
        BootRecord::at(root.join("seguest-pv"), boot_id)
    }

    /// Ownership by root is part of what is checked, so these need it; the end-to-end tests cover it everywhere.
    fn is_root() -> bool {
        let root = nix::unistd::geteuid().is_root();
        if !root {
            eprintln!("skipped: needs root");
        }
        root
    }

    #[test]
    fn a_record_is_read_back_in_the_same_boot_and_empty_in_another() {
        if !is_root() {
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let first = record(dir.path(), "boot-1");
        assert_eq!(first.load::<Vec<u32>>(Topic::Requests).unwrap(), Vec::<u32>::new());
        first.save(Topic::Requests, &vec![1, 2]).unwrap();
        first.save(Topic::StoreLock, &vec![true]).unwrap();
        assert_eq!(first.load::<Vec<u32>>(Topic::Requests).unwrap(), [1, 2]);
        assert!(record(dir.path(), "boot-2").load::<Vec<u32>>(Topic::Requests).unwrap().is_empty());
        let mode = |name: &str| fs::metadata(dir.path().join("seguest-pv").join(name)).unwrap().mode() & 0o777;
        assert_eq!((mode("private"), mode("private/requests.json"), mode("store-lock.json")), (0o700, 0o600, 0o644));
    }

    #[test]
    fn a_folder_or_file_that_others_can_write_is_not_used() {
        if !is_root() {
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let ours = record(dir.path(), "boot-1");
        ours.save(Topic::Requests, &vec![1]).unwrap();
        fs::set_permissions(ours.root.join(Topic::Requests.file()), fs::Permissions::from_mode(0o666)).unwrap();
        assert_eq!(ours.load::<Vec<u32>>(Topic::Requests).unwrap_err().code, codes::RECORD_UNUSABLE);
        fs::set_permissions(&ours.root, fs::Permissions::from_mode(0o777)).unwrap();
        assert_eq!(ours.save(Topic::Requests, &vec![1]).unwrap_err().code, codes::RECORD_UNUSABLE);
    }

    #[test]
    fn saving_leaves_alone_what_another_process_is_about_to_save() {
        if !is_root() {
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let ours = record(dir.path(), "boot-1");
        ours.save(Topic::StoreLock, &false).unwrap();
        let others = ["store-lock.new", "store-lock.1.new"].map(|name| ours.root.join(name));
        others.iter().for_each(|path| fs::write(path, "half").unwrap());
        // No process has so large an id: whoever wrote this was killed.
        fs::write(ours.root.join(format!("store-lock.{}.new", i32::MAX)), "half").unwrap();
        ours.save(Topic::StoreLock, &true).unwrap();
        assert!(ours.load::<bool>(Topic::StoreLock).unwrap());
        assert!(others.iter().all(|path| fs::read_to_string(path).unwrap() == "half"));
        // Nothing is left of ours but the record and the folder for the others.
        assert_eq!(fs::read_dir(&ours.root).unwrap().count(), 4);
    }

    #[test]
    fn one_at_a_time_holds_the_lock() {
        if !is_root() {
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let ours = record(dir.path(), "boot-1");
        let guard = ours.exclusively(Topic::QueueJournal).unwrap();
        assert!(guard.is_some());
        assert!(ours.exclusively(Topic::QueueJournal).unwrap().is_none());
        drop(guard);
        assert!(ours.exclusively(Topic::QueueJournal).unwrap().is_some());
    }

    #[test]
    fn the_store_is_waited_for_and_no_longer_than_told() {
        if !is_root() {
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let ours = record(dir.path(), "boot-1");
        let guard = ours.alone_on_store(Duration::ZERO).unwrap();
        let started = Instant::now();
        let refused = ours.alone_on_store(Duration::from_millis(200)).unwrap_err();
        assert_eq!(refused.code, codes::STORE_IN_USE);
        assert!(started.elapsed() >= Duration::from_millis(200));
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| ours.alone_on_store(Duration::from_secs(20)).map(|_| ()));
            std::thread::sleep(Duration::from_millis(100));
            drop(guard);
            waiting.join().unwrap().unwrap();
        });
    }
}
