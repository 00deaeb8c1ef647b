//! A folder held against others who write there, and what is written in it while it is.

use super::{Attributes, unlink, unwritable};
use fault::{Fault, Result};
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, Flock, FlockArg};
use nix::unistd::{AccessFlags, faccessat};
use std::ffi::{OsStr, OsString};
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
        let path = match file.parent() {
            Some(parent) if parent != Path::new("") => parent.to_owned(),
            _ => PathBuf::from("."),
        };
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
    /// As long as the file has a second name, its own may not be durable yet: see [`settle`].
    ///
    /// # Errors
    /// `file.unwritable`.
    pub fn create(&self, path: &Path, content: &[u8], changed: &mut bool) -> Result<()> {
        let mut created = || {
            let temp = Temp::write(self.temp_of(path)?, content, &Attributes::mode(0o600))?;
            match fs::hard_link(&temp.0, path) {
                Err(e) if e.kind() == ErrorKind::AlreadyExists => return Ok(()),
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
        fs::hard_link(path, second).map_err(|e| unwritable(second, &e))?;
        // The file loses its first name next.
        self.make_durable()?;
        Ok(second.to_owned())
    }

    /// The second name of a file that a run left which was killed while it created the file.
    pub fn left_by_creation(&self, path: &Path) -> Option<PathBuf> {
        let inode = |path: &Path| fs::symlink_metadata(path).map(|m| (m.dev(), m.ino())).ok();
        let temp = self.temp_of(path).ok()?;
        (inode(&temp)? == inode(path)?).then_some(temp)
    }

    /// Where a file is written before it gets its name.
    fn temp_of(&self, path: &Path) -> io::Result<PathBuf> {
        let mut temp = temp_name(path.file_name().ok_or(ErrorKind::InvalidInput)?);
        if matches!(self.handle, Handle::Shared(_)) {
            // Without a lock only a name that nobody else uses is safe.
            temp.push(std::process::id().to_string());
        }
        Ok(self.path.join(temp))
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

fn temp_name(file: &OsStr) -> OsString {
    let mut temp = OsString::from(".");
    temp.push(file);
    temp.push(".seguest-tmp");
    temp
}

/// A file without its name yet; removed when dropped, unless it was renamed.
struct Temp(PathBuf);

impl Temp {
    fn write(path: PathBuf, content: &[u8], attributes: &Attributes) -> io::Result<Self> {
        let new = || OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        let mut file = match new() {
            // The folder is locked, so whoever left it there is dead.
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

/// Clears away what a run left that was killed while it wrote the file `path`: a half-written one, or the second name of
/// one that it was creating. Whether that file's own name is durable is not known then, so it is made so.
///
/// On a file system without locks nothing is cleared away: the name has the process id of a run that may be another
/// machine's and at work.
///
/// # Errors
/// `file.unwritable`.
pub fn settle(path: &Path) -> Result<()> {
    let left = |folder: &Folder| folder.temp_of(path).ok().filter(|temp| fs::symlink_metadata(temp).is_ok());
    // Looked for without the lock first: there is next to never anything, and waiting for it would cost.
    let name = path.file_name().map(temp_name);
    if name.is_none_or(|name| fs::symlink_metadata(path.with_file_name(name)).is_err()) {
        return Ok(());
    }
    let folder = Folder::lock(path)?;
    let Some(temp) = left(&folder) else { return Ok(()) };
    if folder.left_by_creation(path).is_some() {
        folder.make_durable()?;
    }
    fs::remove_file(&temp).map_err(|e| unwritable(&temp, &e))
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
