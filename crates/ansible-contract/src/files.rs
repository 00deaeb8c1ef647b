//! Files written so that a crash or a second run at once leaves the old one or the new one, never a part.

use crate::codes;
use fault::{Code, Fault, Result};
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, Flock, FlockArg};
use nix::libc::{ELOOP, O_NOFOLLOW, O_NONBLOCK};
use nix::unistd::{AccessFlags, Group, User, faccessat};
use std::ffi::{OsStr, OsString};
use std::fs::{self, File, Metadata, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{DirEntryExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Owner and mode of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attributes {
    /// Permission bits with set-user-id and the like, 12 bits.
    pub mode: u32,
    /// Owner; `None`: whoever it is.
    pub uid: Option<u32>,
    /// Group; `None`: whichever it is.
    pub gid: Option<u32>,
}

impl Attributes {
    /// Of a file that is there.
    pub fn of(metadata: &Metadata) -> Self {
        Self { mode: metadata.mode() & 0o7777, uid: Some(metadata.uid()), gid: Some(metadata.gid()) }
    }

    /// Only a mode.
    pub fn mode(mode: u32) -> Self {
        Self { mode, uid: None, gid: None }
    }

    /// Whether a file that is as `actual` says needs no change.
    pub fn met_by(&self, actual: &Self) -> bool {
        let same = |wanted: Option<u32>, actual| wanted.is_none() || wanted == actual;
        self.mode == actual.mode && same(self.uid, actual.uid) && same(self.gid, actual.gid)
    }

    /// Lines of a diff: the mode, and owner and group where they are `asked` for.
    pub fn lines(&self, asked: &Self) -> String {
        let mut lines = format!("mode: {:04o}\n", self.mode);
        for (key, asked, number) in [("owner", asked.uid, self.uid), ("group", asked.gid, self.gid)] {
            if let (Some(_), Some(number)) = (asked, number) {
                lines += &format!("{key}: {number}\n");
            }
        }
        lines
    }

    /// Sets them on an open file: the owner first, for that may clear mode bits.
    ///
    /// # Errors
    /// The kernel's.
    pub fn apply(&self, file: &File) -> io::Result<()> {
        if self.uid.is_some() || self.gid.is_some() {
            std::os::unix::fs::fchown(file, self.uid, self.gid)?;
        }
        file.set_permissions(Permissions::from_mode(self.mode))
    }
}

/// The numbers of owner and group, each a name or a number, where they are given.
///
/// # Errors
/// `file.no_such_owner`.
pub fn owner_and_group(owner: Option<&str>, group: Option<&str>) -> Result<(Option<u32>, Option<u32>)> {
    let user_of = |name: &str| User::from_name(name).ok().flatten().map(|user| user.uid.as_raw());
    let group_of = |name: &str| Group::from_name(name).ok().flatten().map(|group| group.gid.as_raw());
    Ok((number(owner, "user", user_of)?, number(group, "group", group_of)?))
}

fn number(name: Option<&str>, what: &str, find: impl Fn(&str) -> Option<u32>) -> Result<Option<u32>> {
    name.map(|name| {
        // The kernel takes the largest number for "leave it as it is".
        let given = || name.parse().ok().filter(|id| *id != u32::MAX && !name.starts_with('+'));
        find(name).or_else(given).ok_or_else(|| {
            Fault::new(codes::NO_SUCH_OWNER, format!("There is no {what} {name} on this machine."))
                .hint("Make it first.")
        })
    })
    .transpose()
}

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
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
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
        return Err(not_ours("larger than what belongs there"));
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
            let detail = format!("{} was replaced or removed while its mode or owner was to be set.", path.display());
            Err(Fault::new(codes::FILE_UNWRITABLE, detail).hint("Run the task again."))
        }
    }
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

/// Removes a file; `false` if there was none. `changed` becomes true once the name is gone, whatever fails after that.
///
/// # Errors
/// `file.unwritable`.
pub fn remove(path: &Path, changed: &mut bool) -> Result<bool> {
    match fs::remove_file(path) {
        Ok(()) => {
            *changed = true;
            let synced = Folder::lock(path)?.sync();
            synced.map(|()| true).map_err(|e| unwritable(path, &e))
        }
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(false),
        Err(e) => Err(unwritable(path, &e)),
    }
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

/// Gives the file that is at `path` a second name in its folder, under which it stays when `path` is replaced: `second`,
/// unless a killed run gave it one that `is_kept` knows. Returns the name.
///
/// # Errors
/// `file.unwritable`.
pub fn keep_as(folder: &Folder, path: &Path, second: &Path, is_kept: impl Fn(&str) -> bool) -> Result<PathBuf> {
    let metadata = fs::symlink_metadata(path).map_err(|e| unwritable(second, &e))?;
    if metadata.nlink() > 1 {
        let entries = fs::read_dir(&folder.path).map_err(|e| unwritable(second, &e))?;
        let same =
            |entry: &fs::DirEntry| entry.ino() == metadata.ino() && entry.file_name().to_str().is_some_and(&is_kept);
        if let Some(kept) = entries.flatten().find(same) {
            return Ok(path.with_file_name(kept.file_name()));
        }
    }
    fs::hard_link(path, second).map_err(|e| unwritable(second, &e))?;
    // The file loses its first name next.
    folder.make_durable()?;
    Ok(second.to_owned())
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

/// How long to wait for others who write in a folder. Each of them needs milliseconds; but anybody who may read the
/// folder can take its lock and keep it.
const PATIENCE: Duration = Duration::from_secs(60);

/// The folder of some files, held against others who write there.
pub struct Folder {
    handle: Handle,
    path: PathBuf,
}

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
                codes::FILE_MISSING,
                format!("The folder {} does not exist, so {} cannot be written.", path.display(), file.display()),
            )
            .hint("Make it first, for example with ansible.builtin.file and state: directory."),
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
                    "Another process holds the lock of the folder {}, so nothing could be written there.",
                    path.display()
                );
                return Err(Fault::new(codes::FILE_UNWRITABLE, detail)
                    .hint(format!("Find it with: fuser -v {}", path.display())));
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

    fn sync(&self) -> io::Result<()> {
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

/// The fault of a file or folder that cannot be read.
pub fn unreadable(path: &Path, error: &io::Error) -> Fault {
    let detail = format!("{} could not be read: {error}.", path.display());
    Fault::new(codes::FILE_UNREADABLE, detail).io(error)
}

/// The fault of a file that cannot be written.
pub fn unwritable(path: &Path, error: &io::Error) -> Fault {
    let fault = Fault::new(codes::FILE_UNWRITABLE, format!("{} could not be written: {error}.", path.display())).hint(
        match error.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => "Make room there, then run the task again.",
            _ => "Check the rights of its folder and of the user who runs the task.",
        },
    );
    fault.io(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    fault::codes! { NOT_OURS = "test.not_ours", "Something else is there."; }

    fn names(dir: &Path) -> Vec<String> {
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
        assert_eq!(set_attributes(&path, &found, &open, NOT_OURS).unwrap_err().code, codes::FILE_UNWRITABLE);
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
        assert_eq!(fault.code, codes::FILE_UNWRITABLE);
        assert!(fault.detail.contains("lock"), "{fault}");
        drop(kept);
        hold().unwrap();
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
        assert_eq!(fault.code, codes::FILE_MISSING);
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
