//! pvapconfig's lock, kept so that it and ours are never at work on the queues together.

use crate::codes;
use fault::{Fault, Result};
use nix::unistd::{Pid, geteuid};
use std::ffi::OsStr;
use std::fs::{self, File, FileType, Metadata};
use std::io::{self, Read, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime};

/// Where pvapconfig of s390-tools keeps its process id.
const PATH: &str = "/run/lock/pvapconfig.lock";

/// The kernel knows times of files and of processes to some hundredths of a second.
const TOLERANCE: Duration = Duration::from_secs(1);

/// For how long whoever made an empty lock file is given to write its process id into it.
const PATIENCE: Duration = Duration::from_millis(200);

/// Holds pvapconfig's lock file until dropped. Take it only under ours: that is what makes the recovery of a
/// stale one safe against others of us.
#[derive(Debug)]
pub struct ToolLock {
    /// The lock file, if there is one that is ours.
    path: Option<PathBuf>,
}

impl ToolLock {
    /// Takes the lock.
    ///
    /// # Errors
    /// [`codes::BUSY_ELSEWHERE`] if a process that lives holds it, [`codes::LOCK_BLOCKED`] if the file is not one that
    /// pvapconfig would make, or none can be made.
    pub fn take() -> Result<Self> {
        Self::take_at(Path::new(PATH))
    }

    fn take_at(path: &Path) -> Result<Self> {
        // Drafts of runs of ours that were killed.
        if let (Some(folder), Some(name)) = (path.parent(), path.file_name().and_then(OsStr::to_str)) {
            durable::forget_dead(folder, &format!("{name}."), "");
        }
        for _ in 0..2 {
            match make(path)? {
                Made::Ours => return Ok(Self { path: Some(path.to_owned()) }),
                // Without the folder pvapconfig cannot run either.
                Made::NoFolder => return Ok(Self { path: None }),
                Made::Taken => remove_if_stale(path)?,
            }
        }
        Err(busy(&format!("its lock file {} came back as soon as a stale one was removed", path.display())))
    }
}

impl Drop for ToolLock {
    fn drop(&mut self) {
        // If it cannot be removed, the next run finds our dead process's id in it and recovers.
        let own =
            |path: &Path| holder(path).is_ok_and(|holder| holder.is_some_and(|holder| holder.pid == Some(own_pid())));
        if let Some(path) = self.path.as_deref().filter(|path| own(path)) {
            let _ = fs::remove_file(path);
        }
    }
}

/// How it went to make the lock file.
enum Made {
    Ours,
    /// There is one.
    Taken,
    NoFolder,
}

/// Makes the lock file with our process id in it. It is written under another name first: nobody ever sees it empty.
fn make(path: &Path) -> Result<Made> {
    let draft = path.with_extension(format!("lock.{}", own_pid()));
    // Left by a process of the same id that was killed, if at all.
    match fs::remove_file(&draft) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => {
            return Err(blocked(&draft, &format!("cannot be removed: {e}")));
        }
        _ => {}
    }
    let mut file = match File::options().write(true).create_new(true).mode(0o644).open(&draft) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Made::NoFolder),
        opened => opened.map_err(|e| blocked(&draft, &format!("cannot be created: {e}")))?,
    };
    let made = write!(file, "{}", own_pid()).and_then(|()| fs::hard_link(&draft, path));
    let _ = fs::remove_file(&draft);
    match made {
        Ok(()) => Ok(Made::Ours),
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(Made::Taken),
        Err(e) => Err(blocked(path, &format!("cannot be created: {e}"))),
    }
}

fn own_pid() -> i32 {
    Pid::this().as_raw()
}

/// Removes a lock that a dead process left. It is moved aside first and looked at again, so that a lock which
/// another process has taken in between is put back and not lost.
fn remove_if_stale(path: &Path) -> Result<()> {
    match dead_holder(path, PATIENCE)? {
        Some(first) => remove_stale(path, first),
        None => Ok(()),
    }
}

/// The same for a lock that was seen to be of this dead process.
fn remove_stale(path: &Path, first: i32) -> Result<()> {
    let aside = path.with_extension("lock.stale");
    // What a killed run left there is dead, too; and others may put anything there.
    match fs::remove_file(&aside) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => {
            return Err(blocked(&aside, &format!("cannot be removed: {e}")));
        }
        _ => {}
    }
    fs::rename(path, &aside).map_err(|e| blocked(path, &format!("is stale and cannot be moved: {e}")))?;
    if dead_holder(&aside, Duration::ZERO).is_ok_and(|now| now == Some(first)) {
        return fs::remove_file(&aside).map_err(|e| blocked(&aside, &format!("is stale and cannot be removed: {e}")));
    }
    // link(2) does not overwrite a lock that was made meanwhile.
    let _ = fs::hard_link(&aside, path);
    let _ = fs::remove_file(&aside);
    Err(busy("its lock changed hands"))
}

/// Whose process id is in a lock file; `None` in an empty one.
struct Holder {
    pid: Option<i32>,
    file: Metadata,
}

/// The dead holder's process id; `None` if the file is gone. A live holder, one that writes no id into its file within
/// `patience`, and a file that pvapconfig would not have made, are errors.
fn dead_holder(path: &Path, patience: Duration) -> Result<Option<i32>> {
    let since = Instant::now();
    let (pid, file) = loop {
        match holder(path)? {
            None => return Ok(None),
            Some(Holder { pid: Some(pid), file }) => break (pid, file),
            Some(_) if since.elapsed() < patience => sleep(Duration::from_millis(5)),
            Some(Holder { pid: None, file }) => return Err(unfinished(path, &file)),
        }
    };
    // We have not taken it yet: who did is gone, and its id was given to us.
    if pid == own_pid() {
        return Ok(Some(pid));
    }
    let program = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    let program = program.trim_end();
    let began = u32::try_from(pid).ok().map(durable::process::started);
    let dead = match began {
        Some(Ok(None)) => true,
        // Whoever began after the lock was made did not make it: the id was given out again, unless the clock was set.
        Some(Ok(Some(began))) => file.modified().is_ok_and(|made| began > made + TOLERANCE) && !may_be_at_work(program),
        _ => false,
    };
    if dead {
        return Ok(Some(pid));
    }
    let shown: String = program.chars().filter(|c| c.is_ascii_graphic() || *c == ' ').collect();
    Err(busy(&format!("process {pid} ({shown}) holds its lock {}", path.display())))
}

/// What is in a lock file; `None` if the file is gone. What else the file holds is never shown.
fn holder(path: &Path) -> Result<Option<Holder>> {
    let there = match fs::symlink_metadata(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        there => there.map_err(|e| blocked(path, &format!("cannot be examined: {e}")))?,
    };
    if !is_made_by_root(&there) {
        return Err(not_a_lock(path, &there));
    }
    let opened = File::options().read(true).custom_flags(nix::libc::O_NOFOLLOW | nix::libc::O_NONBLOCK).open(path);
    let opened = match opened {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened.and_then(|file| file.metadata().map(|found| (file, found))),
    };
    let (lock, found) = opened.map_err(|e| blocked(path, &format!("cannot be read: {e}")))?;
    if !is_made_by_root(&found) {
        return Err(not_a_lock(path, &found));
    }
    let mut text = String::new();
    let read = lock.take(32).read_to_string(&mut text);
    if matches!(read, Ok(0)) {
        return Ok(Some(Holder { pid: None, file: found }));
    }
    let pid = read.ok().and_then(|_| text.trim().parse::<i32>().ok()).filter(|pid| *pid > 0);
    let pid = pid.ok_or_else(|| blocked(path, "holds no process id"))?;
    Ok(Some(Holder { pid: Some(pid), file: found }))
}

fn is_made_by_root(found: &Metadata) -> bool {
    found.is_file() && [0, geteuid().as_raw()].contains(&found.uid())
}

/// Whether a program of this name, as the kernel cuts it to 15 bytes, may be pvapconfig or one of us.
fn may_be_at_work(program: &str) -> bool {
    // A module runs under its own name, as AnsiballZ_NAME if Ansible sent it, or under its SHA-256 in the collection's cache.
    let ours = ["pvapconfig", "ap_bind", "AnsiballZ_ap_bi", "facts", "AnsiballZ_facts", "guest", "AnsiballZ_guest"];
    ours.contains(&program) || (program.len() == 15 && program.bytes().all(|b| b.is_ascii_hexdigit()))
}

fn busy(why: &str) -> Fault {
    Fault::new(
        codes::BUSY_ELSEWHERE,
        format!("The queues are left alone because pvapconfig may be at work on them: {why}."),
    )
    .hint("Wait until it has ended. If that process has nothing to do with the queues, remove the lock file.")
}

/// A lock file without a process id: pvapconfig makes the file before it writes the id.
fn unfinished(path: &Path, found: &Metadata) -> Fault {
    let age = found.modified().ok().and_then(|then| SystemTime::now().duration_since(then).ok()).unwrap_or_default();
    let (number, unit) = match age.as_secs() {
        seconds @ 0..120 => (seconds, "seconds"),
        seconds @ 120..7200 => (seconds / 60, "minutes"),
        seconds => (seconds / 3600, "hours"),
    };
    let name = path.display();
    let mut fault = busy(&format!("its lock file {name} is empty, and has been for {number} {unit}"));
    fault.hint =
        format!("Run the task again. If pvapconfig is not at work, its run was cut off; then, as root: rm {name}");
    fault
}

/// Something is in the way of the lock, at a path where any user may be able to put it.
fn blocked(path: &Path, what: &str) -> Fault {
    let name = path.display();
    let found = fs::symlink_metadata(path).ok();
    let owner = found.as_ref().map(|found| format!(" ({})", described(found))).unwrap_or_default();
    let hint = match &found {
        Some(found) => format!("Make sure that pvapconfig is not at work; then, as root: {}", removal(path, found)),
        None => format!("Make sure that root can make files beside {name}, and that the file system is not full."),
    };
    Fault::new(
        codes::LOCK_BLOCKED,
        format!("The queues are left alone because pvapconfig's lock cannot be taken: {name}{owner} {what}."),
    )
    .hint(hint)
}

fn not_a_lock(path: &Path, found: &Metadata) -> Fault {
    let (name, what) = (path.display(), described(found));
    Fault::new(
        codes::LOCK_BLOCKED,
        format!("The queues are left alone because {name} is {what}, and not a regular file of root's: pvapconfig did not make it, and cannot run as long as it is there."),
    )
    .hint(format!("Find out why user {} put it there; then, as root: {}", found.uid(), removal(path, found)))
}

/// The command that removes what is there.
fn removal(path: &Path, found: &Metadata) -> String {
    format!("{} {}", if found.is_dir() { "rm -r" } else { "rm" }, path.display())
}

fn described(found: &Metadata) -> String {
    let kind = |kind: FileType| match kind {
        _ if kind.is_file() => "a file",
        _ if kind.is_symlink() => "a symbolic link",
        _ if kind.is_dir() => "a folder",
        _ if kind.is_fifo() => "a named pipe",
        _ if kind.is_socket() => "a socket",
        _ => "a device",
    };
    format!("{} of user {}", kind(found.file_type()), found.uid())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Child, Command};

    /// A process of pvapconfig's name, as far as the kernel shows, that lives until it is killed.
    fn pvapconfig(folder: &Path) -> Child {
        let program = folder.join("pvapconfig");
        // A copy could not be run as long as a process that another test starts has it open for writing.
        std::os::unix::fs::symlink("/bin/sleep", &program).unwrap();
        let child = Command::new(&program).arg("60").spawn().unwrap();
        // Between fork and exec it still has the name of this program.
        while fs::read_to_string(format!("/proc/{}/comm", child.id())).unwrap().trim_end() != "pvapconfig" {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        child
    }

    #[test]
    fn a_lock_of_a_dead_process_is_removed_and_one_of_a_living_holder_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pvapconfig.lock");
        let mut holder = pvapconfig(dir.path());
        fs::write(&path, format!("{}\n", holder.id())).unwrap();
        let refused = ToolLock::take_at(&path).map(|_| ()).unwrap_err();
        let still_there = path.exists();
        holder.kill().unwrap();
        holder.wait().unwrap();
        assert_eq!((refused.code, still_there), (codes::BUSY_ELSEWHERE, true));
        drop(ToolLock::take_at(&path).unwrap());
        assert!(!path.exists());
    }

    #[test]
    fn the_lock_holds_our_process_id_and_only_then_is_removed_at_the_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pvapconfig.lock");
        // Of an earlier process that had our id.
        fs::write(&path, own_pid().to_string()).unwrap();
        // A draft of one that was killed.
        fs::write(path.with_extension(format!("lock.{}", i32::MAX)), "").unwrap();
        let lock = ToolLock::take_at(&path).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), own_pid().to_string());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        drop(lock);
        assert!(!path.exists());
        let lock = ToolLock::take_at(&path).unwrap();
        fs::write(&path, "1").unwrap();
        drop(lock);
        assert!(path.exists());
    }

    #[test]
    fn without_the_folder_no_lock_is_taken_and_none_removed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock/pvapconfig.lock");
        let none = ToolLock::take_at(&path).unwrap();
        fs::create_dir(dir.path().join("lock")).unwrap();
        let lock = ToolLock::take_at(&path).unwrap();
        drop(none);
        assert!(path.exists());
        drop(lock);
    }

    #[test]
    fn what_pvapconfig_would_not_make_is_left_alone_named_with_its_owner_and_not_quoted() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pvapconfig.lock");
        let me = geteuid().as_raw();
        let named = |what: &str, hinted: &str| {
            let fault = ToolLock::take_at(&path).map(|_| ()).unwrap_err();
            let told = fault.to_string();
            assert_eq!(fault.code, codes::LOCK_BLOCKED, "{told}");
            assert!(told.contains(&format!("{}", path.display())) && told.contains(what), "{told}");
            assert!(fault.hint.contains(hinted) && !told.contains("s3cret"), "{told}");
            assert!(path.symlink_metadata().is_ok());
        };
        fs::write(&path, "s3cret").unwrap();
        named(&format!("(a file of user {me}) holds no process id"), "root: rm /");
        fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink(dir.path().join("s3cret"), &path).unwrap();
        named(&format!("a symbolic link of user {me}"), "root: rm /");
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        named(&format!("a folder of user {me}"), "root: rm -r /");
        fs::remove_dir(&path).unwrap();
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRUSR).unwrap();
        named(&format!("a named pipe of user {me}"), "root: rm /");
        fs::remove_file(&path).unwrap();
        if geteuid().is_root() {
            fs::write(&path, "1").unwrap();
            std::os::unix::fs::chown(&path, Some(1234), None).unwrap();
            named("a file of user 1234", "why user 1234 put it there");
        }
    }

    #[test]
    fn an_empty_lock_file_is_looked_at_again_and_then_in_use_by_another() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pvapconfig.lock");
        let empty = fs::File::create(&path).unwrap();
        empty.set_modified(std::time::SystemTime::now() - Duration::from_secs(7300)).unwrap();
        let fault = ToolLock::take_at(&path).map(|_| ()).unwrap_err();
        assert_eq!(fault.code, codes::BUSY_ELSEWHERE);
        assert!(fault.detail.contains(&format!("{} is empty", path.display())), "{fault}");
        assert!(fault.detail.contains("for 2 hours") && fault.hint.ends_with(&format!("rm {}", path.display())));
        assert!(path.exists());
        // Whoever made it has ended by the time it has written its id.
        let taken = std::thread::scope(|scope| {
            let taken = scope.spawn(|| ToolLock::take_at(&path).map(drop));
            std::thread::sleep(PATIENCE / 5);
            fs::write(&path, i32::MAX.to_string()).unwrap();
            taken.join().unwrap()
        });
        taken.unwrap();
    }

    #[test]
    fn a_lock_that_changed_hands_while_it_was_moved_aside_is_put_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pvapconfig.lock");
        let mut other = Command::new("sleep").arg("60").spawn().unwrap();
        for (now, code) in [(other.id().to_string(), codes::BUSY_ELSEWHERE), (String::new(), codes::BUSY_ELSEWHERE)] {
            fs::write(&path, &now).unwrap();
            assert_eq!(remove_stale(&path, i32::MAX).unwrap_err().code, code);
            assert_eq!(fs::read_to_string(&path).unwrap(), now);
            assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        }
        other.kill().unwrap();
        other.wait().unwrap();
    }

    #[test]
    fn what_others_put_beside_the_lock_is_named_if_it_cannot_be_removed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pvapconfig.lock");
        let draft = path.with_extension(format!("lock.{}", own_pid()));
        for planted in [draft, path.with_extension("lock.stale")] {
            // Of a process that has ended: it must be moved aside.
            fs::write(&path, i32::MAX.to_string()).unwrap();
            fs::create_dir(&planted).unwrap();
            let fault = ToolLock::take_at(&path).map(|_| ()).unwrap_err();
            assert_eq!(fault.code, codes::LOCK_BLOCKED);
            assert!(
                fault.detail.contains(&planted.display().to_string()) && fault.detail.contains("a folder of user"),
                "{fault}"
            );
            fs::remove_dir(&planted).unwrap();
        }
        fs::write(path.with_extension("lock.stale"), "").unwrap();
        drop(ToolLock::take_at(&path).unwrap());
    }

    #[test]
    fn a_living_process_holds_its_lock_whatever_its_program_is_called() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pvapconfig.lock");
        let mut other = Command::new("sleep").arg("60").spawn().unwrap();
        fs::write(&path, other.id().to_string()).unwrap();
        let refused = ToolLock::take_at(&path).map(|_| ()).unwrap_err();
        let named = refused.detail.contains(&format!("process {} (", other.id()));
        // The lock is older than the process: its id was given out again.
        let hour = std::time::SystemTime::now() - Duration::from_secs(3600);
        File::options().write(true).open(&path).unwrap().set_modified(hour).unwrap();
        let taken = ToolLock::take_at(&path).map(|_| ());
        other.kill().unwrap();
        other.wait().unwrap();
        assert!(refused.code == codes::BUSY_ELSEWHERE && named, "{refused}");
        taken.unwrap();
    }

    #[test]
    fn a_program_that_may_be_at_work_is_known_by_its_name() {
        for name in ["pvapconfig", "guest", "0123456789abcde"] {
            assert!(may_be_at_work(name), "{name}");
        }
        assert!(!may_be_at_work("sleep") && !may_be_at_work(""));
    }
}
