//! A folder held against others who write there, and what is written in it while it is.

use super::lacking::{LACKS_ALL, lacks_links, rename_without_replacing};
use super::leavings::{own_temp_name, temp_name};
use super::{Attributes, folder_of, unlink, unwritable};
use fault::{Fault, Result};
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, Flock, FlockArg};
use nix::unistd::{AccessFlags, faccessat};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::symlink;
use std::os::unix::fs::{DirBuilderExt as _, DirEntryExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How long to wait for others who write in a folder. Each of them needs milliseconds; but anybody who may read the
/// folder can take its lock and keep it.
const PATIENCE: Duration = Duration::from_secs(60);

/// The folder of some files, held against others who write there.
#[derive(Debug)]
pub struct Folder {
    handle: Handle,
    path: PathBuf,
}

#[derive(Debug)]
enum Handle {
    Locked(Flock<File>),
    /// The file system knows no locks.
    Shared(File),
}

impl Folder {
    /// Opens and locks the folder in which a file is.
    ///
    /// # Errors
    /// `file.missing`, `file.unwritable`.
    pub fn lock(file: &Path) -> Result<Self> {
        let path = folder_of(file);
        let opened = File::open(&path).map_err(|e| match e.kind() {
            ErrorKind::NotFound => Fault::new(
                fault::file::MISSING,
                format!("The folder {} does not exist, so {} cannot be written.", path.display(), file.display()),
            )
            .hint("Create it first, for example with ansible.builtin.file and state: directory."),
            _ => unwritable(file, &e),
        })?;
        Self::hold(opened, path, PATIENCE)
    }

    fn hold(mut opened: File, path: PathBuf, patience: Duration) -> Result<Self> {
        let since = Instant::now();
        loop {
            match Flock::lock(opened, FlockArg::LockExclusiveNonblock) {
                Ok(folder) => return Ok(Self { handle: Handle::Locked(folder), path }),
                Err((folder, Errno::EWOULDBLOCK | Errno::EINTR)) => opened = folder,
                Err((folder, _)) => return Ok(Self { handle: Handle::Shared(folder), path }),
            }
            if since.elapsed() >= patience {
                let detail = format!(
                    "Another process has locked the folder {}, so nothing could be written there.",
                    path.display()
                );
                return Err(Fault::new(fault::file::UNWRITABLE, detail)
                    .hint(format!("Find that process with: fuser -v {}", path.display())));
            }
            sleep(Duration::from_millis(2));
        }
    }

    /// Writes a file of this folder in place of whatever file is there. `changed` becomes true once the file has its
    /// name, whatever fails after that.
    ///
    /// # Errors
    /// `file.unwritable`.
    pub fn replace(&self, path: &Path, content: &[u8], attributes: &Attributes, changed: &mut bool) -> Result<()> {
        let mut written = || {
            let temp = Temp::write(self.temp_of(path)?, content, attributes)?;
            fs::rename(&temp.0, path)?;
            std::mem::forget(temp);
            *changed = true;
            self.sync()
        };
        written().map_err(|e| unwritable(path, &e))
    }

    /// Puts a symbolic link in place of whatever file or link is there. `changed` becomes true once it has its name, whatever
    /// fails after that.
    ///
    /// # Errors
    /// `file.unwritable`.
    pub fn replace_link(&self, path: &Path, target: &str, changed: &mut bool) -> Result<()> {
        let mut made = || {
            let temp = self.temp_of(path)?;
            match fs::remove_file(&temp) {
                Err(e) if e.kind() != ErrorKind::NotFound => return Err(e),
                _ => {}
            }
            symlink(target, &temp)?;
            fs::rename(&temp, path)?;
            *changed = true;
            self.sync()
        };
        made().map_err(|e| unwritable(path, &e))
    }

    /// Writes a file of mode 0600 where none is; if one is there, nothing is done. `changed` becomes true once the file
    /// has its name, whatever fails after that.
    ///
    /// As long as the file has a second name, its own may not be durable yet: see [`settle`](super::settle). A file system without hard links gives it
    /// only its own.
    ///
    /// # Errors
    /// `file.unwritable`.
    pub fn create(&self, path: &Path, content: &[u8], changed: &mut bool) -> Result<()> {
        let mut created = || {
            let temp = Temp::write(self.temp_of(path)?, content, &Attributes::mode(0o600))?;
            match fs::hard_link(&temp.0, path) {
                Err(e) if e.kind() == ErrorKind::AlreadyExists => return Ok(()),
                Err(e) if lacks_links(&e) => {
                    if self.rename_to_new(&temp.0, path)? {
                        std::mem::forget(temp);
                        *changed = true;
                        self.sync()?;
                    }
                    return Ok(());
                }
                linked => linked?,
            }
            *changed = true;
            let synced = self.sync();
            if synced.is_err() {
                // The second name stays, and with it the next run's task to make the first one durable.
                std::mem::forget(temp);
            }
            synced
        };
        created().map_err(|e| unwritable(path, &e))
    }

    /// Renames a file to a name that nothing has; `false` if something has it. For file systems without hard links.
    fn rename_to_new(&self, from: &Path, to: &Path) -> io::Result<bool> {
        match rename_without_replacing(from, to) {
            Ok(()) => Ok(true),
            Err(Errno::EEXIST) => Ok(false),
            // Under the lock nobody of ours can come in between.
            Err(Errno::EINVAL | Errno::ENOSYS) if self.is_locked() => match fs::symlink_metadata(to) {
                Err(e) if e.kind() == ErrorKind::NotFound => fs::rename(from, to).map(|()| true),
                there => there.map(|_| false),
            },
            Err(Errno::EINVAL | Errno::ENOSYS) => Err(io::Error::new(ErrorKind::Unsupported, LACKS_ALL)),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Removes a file of this folder; `false` if there was none. `changed` becomes true once the name is gone, whatever fails
    /// after that.
    ///
    /// # Errors
    /// `file.unwritable`.
    pub fn remove(&self, path: &Path, changed: &mut bool) -> Result<bool> {
        let removed = unlink(path, changed)?;
        if removed {
            self.sync().map_err(|e| unwritable(path, &e))?;
        }
        Ok(removed)
    }

    /// Gives the file that is at `path` a second name in its folder, under which it stays when `path` is replaced: `second`,
    /// unless a killed run gave it one that `is_kept` knows. Returns the name.
    ///
    /// # Errors
    /// `file.unwritable`.
    pub fn keep_as(&self, path: &Path, second: &Path, is_kept: impl Fn(&str) -> bool) -> Result<PathBuf> {
        let metadata = fs::symlink_metadata(path).map_err(|e| unwritable(second, &e))?;
        if metadata.nlink() > 1 {
            let entries = fs::read_dir(&self.path).map_err(|e| unwritable(second, &e))?;
            let same = |entry: &fs::DirEntry| {
                entry.ino() == metadata.ino() && entry.file_name().to_str().is_some_and(&is_kept)
            };
            if let Some(kept) = entries.flatten().find(same) {
                return Ok(path.with_file_name(kept.file_name()));
            }
        }
        match fs::hard_link(path, second) {
            Err(e) if lacks_links(&e) => return self.copy_as(path, second, is_kept),
            linked => linked.map_err(|e| unwritable(second, &e))?,
        }
        // The file loses its first name next.
        self.make_durable()?;
        Ok(second.to_owned())
    }

    /// The same where there are no hard links: a copy, unless a killed run made one.
    fn copy_as(&self, path: &Path, second: &Path, is_kept: impl Fn(&str) -> bool) -> Result<PathBuf> {
        let copied = || -> io::Result<PathBuf> {
            let content = fs::read(path)?;
            for entry in fs::read_dir(&self.path)?.flatten() {
                if entry.file_name().to_str().is_some_and(&is_kept) && fs::read(entry.path())? == content {
                    return Ok(path.with_file_name(entry.file_name()));
                }
            }
            let attributes = Attributes::of(&fs::symlink_metadata(path)?);
            let temp = Temp::write(self.temp_of(second)?, &content, &attributes)?;
            fs::rename(&temp.0, second)?;
            std::mem::forget(temp);
            self.sync()?;
            Ok(second.to_owned())
        };
        copied().map_err(|e| unwritable(second, &e))
    }

    /// Whether no other run of ours can be at work in it.
    pub(super) fn is_locked(&self) -> bool {
        matches!(self.handle, Handle::Locked(_))
    }

    /// Where a file is written before it gets its name.
    fn temp_of(&self, path: &Path) -> io::Result<PathBuf> {
        let name = path.file_name().ok_or(ErrorKind::InvalidInput)?;
        Ok(self.path.join(if self.is_locked() { temp_name(name) } else { own_temp_name(name) }))
    }

    /// Makes the names in it durable.
    ///
    /// # Errors
    /// `file.unwritable`.
    pub fn make_durable(&self) -> Result<()> {
        self.sync().map_err(|e| unwritable(&self.path, &e))
    }

    pub(super) fn sync(&self) -> io::Result<()> {
        match &self.handle {
            Handle::Locked(folder) => folder.sync_all(),
            Handle::Shared(folder) => folder.sync_all(),
        }
    }
}

/// A file without its name yet; removed when dropped, unless it was renamed.
struct Temp(PathBuf);

impl Temp {
    fn write(path: PathBuf, content: &[u8], attributes: &Attributes) -> io::Result<Self> {
        let new = || OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        let mut file = match new() {
            // Whoever left it there is dead: the folder is locked, or the name is this process's and nobody else's.
            Err(e) if e.kind() == ErrorKind::AlreadyExists => {
                fs::remove_file(&path)?;
                new()?
            }
            opened => opened?,
        };
        let temp = Self(path);
        file.write_all(content)?;
        attributes.apply(&file)?;
        file.sync_all()?;
        Ok(temp)
    }
}

impl Drop for Temp {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// Makes the folder of a file where there is none, and those above it: mode 0700, each durable before the next.
/// `changed` becomes true once one is there. A folder that exists is left as it is.
///
/// # Errors
/// `file.unwritable`.
pub fn make_folder_of(file: &Path, changed: &mut bool) -> Result<()> {
    let absolute = std::path::absolute(file).map_err(|e| unwritable(file, &e))?;
    let folder = absolute.parent().unwrap_or(Path::new("/"));
    let missing: Vec<_> = folder.ancestors().take_while(|above| fs::metadata(above).is_err()).collect();
    for folder in missing.into_iter().rev() {
        match DirBuilder::new().mode(0o700).create(folder) {
            Ok(()) => *changed = true,
            // Another run was quicker.
            Err(e) if e.kind() == ErrorKind::AlreadyExists => continue,
            Err(e) => return Err(unwritable(folder, &e)),
        }
        let above = folder.parent().unwrap_or(Path::new("/"));
        // Not everybody may open what is above: then it is as durable as it gets.
        File::open(above).map_or(Ok(()), |above| above.sync_all()).map_err(|e| unwritable(folder, &e))?;
    }
    Ok(())
}

/// That files can be written in the folder of this one.
///
/// # Errors
/// `file.missing` for the folder, `file.unwritable`.
pub fn check_writable(file: &Path) -> Result<()> {
    let folder = Folder::lock(file)?;
    faccessat(AT_FDCWD, &folder.path, AccessFlags::W_OK | AccessFlags::X_OK, AtFlags::AT_EACCESS)
        .map_err(|e| unwritable(file, &e.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replace;
    use crate::tests::names;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn folders_that_are_missing_are_made_private_and_those_that_exist_are_left() {
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
        let file = dir.path().join("one/two/file");
        for made in [true, false] {
            let mut changed = false;
            make_folder_of(&file, &mut changed).unwrap();
            assert_eq!(changed, made);
        }
        assert_eq!((mode(&dir.path().join("one/two")), mode(&dir.path().join("one"))), (0o700, 0o700));
        assert_eq!((mode(dir.path()), names(&dir.path().join("one/two")).len()), (0o755, 0));
        fs::write(dir.path().join("taken"), "").unwrap();
        assert!(make_folder_of(&dir.path().join("taken/x/file"), &mut false).is_err());
    }

    #[test]
    fn what_a_killed_run_left_is_cleared_away_by_the_next() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("request");
        fs::write(dir.path().join(".request.seguest-tmp"), "half").unwrap();
        replace(&path, b"whole", &Attributes::mode(0o600), &mut false).unwrap();
        assert_eq!((names(dir.path()), fs::read(&path).unwrap()), (vec!["request".to_owned()], b"whole".to_vec()));
    }

    #[test]
    fn a_file_is_created_only_where_none_is() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        let create = |content| {
            let mut created = false;
            Folder::lock(&path).unwrap().create(&path, content, &mut created).unwrap();
            created
        };
        assert!(create(b"one") && !create(b"two"));
        assert_eq!((names(dir.path()), fs::read(&path).unwrap()), (vec!["secret".to_owned()], b"one".to_vec()));
    }

    #[test]
    fn where_there_are_no_hard_links_a_file_is_created_all_the_same_and_only_where_none_is() {
        let dir = tempfile::tempdir().unwrap();
        let (path, from) = (dir.path().join("secret"), dir.path().join("from"));
        let locked = Folder::lock(&path).unwrap();
        let shared = Folder { handle: Handle::Shared(File::open(dir.path()).unwrap()), path: dir.path().into() };
        for folder in [locked, shared] {
            for (content, new) in [("one", true), ("two", false)] {
                fs::write(&from, content).unwrap();
                assert_eq!(folder.rename_to_new(&from, &path).unwrap(), new);
            }
            assert_eq!(fs::read(&path).unwrap(), b"one");
            fs::remove_file(&path).unwrap();
        }
    }

    #[test]
    fn where_there_are_no_hard_links_a_copy_is_kept_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("request");
        fs::write(&path, "one").unwrap();
        let folder = Folder::lock(&path).unwrap();
        for second in ["request.1~", "request.2~"] {
            let kept = folder.copy_as(&path, &dir.path().join(second), |name| name.ends_with('~')).unwrap();
            assert_eq!(kept, dir.path().join("request.1~"));
        }
        assert_eq!(names(dir.path()), ["request", "request.1~"]);
    }

    #[test]
    fn a_lock_that_somebody_keeps_is_told_and_not_waited_for_without_end() {
        let dir = tempfile::tempdir().unwrap();
        let open = || File::open(dir.path()).unwrap();
        let kept = Flock::lock(open(), FlockArg::LockExclusive).unwrap();
        let hold = || Folder::hold(open(), dir.path().into(), Duration::from_millis(20)).map(|_| ());
        let fault = hold().unwrap_err();
        assert_eq!(fault.code, fault::file::UNWRITABLE);
        assert!(fault.detail.contains("lock"), "{fault}");
        drop(kept);
        hold().unwrap();
    }
}
