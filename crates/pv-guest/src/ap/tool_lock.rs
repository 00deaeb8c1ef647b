//! pvapconfig's lock, kept so that it and ours are never at work on the queues together.

use crate::codes;
use fault::{Fault, Result};
use nix::errno::Errno;
use nix::sys::signal::kill;
use nix::unistd::Pid;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Where pvapconfig of s390-tools keeps its process id.
const PATH: &str = "/run/lock/pvapconfig.lock";

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
    /// [`codes::BUSY_ELSEWHERE`] if pvapconfig holds it, or the file is not one that it would make.
    pub fn take() -> Result<Self> {
        Self::take_at(Path::new(PATH))
    }

    fn take_at(path: &Path) -> Result<Self> {
        for _ in 0..2 {
            match make(path) {
                Ok(()) => return Ok(Self { path: Some(path.to_owned()) }),
                // Without the folder pvapconfig cannot run either.
                Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Self { path: None }),
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => remove_if_stale(path)?,
                Err(e) => return Err(busy(&format!("its lock file {} cannot be created: {e}", path.display()))),
            }
        }
        Err(busy(&format!("its lock file {} came back as soon as a stale one was removed", path.display())))
    }
}

impl Drop for ToolLock {
    fn drop(&mut self) {
        // If it cannot be removed, the next run finds our dead process's id in it and recovers.
        if let Some(path) = self.path.as_deref().filter(|path| pid_in(path).is_ok_and(|pid| pid == Some(own_pid()))) {
            let _ = fs::remove_file(path);
        }
    }
}

/// Makes the lock file with our process id in it. It is written under another name first: nobody ever sees it empty.
fn make(path: &Path) -> io::Result<()> {
    let draft = path.with_extension(format!("lock.{}", own_pid()));
    // Left by a process of the same id that was killed, if at all.
    match fs::remove_file(&draft) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let mut file = File::options().write(true).create_new(true).mode(0o644).open(&draft)?;
    let made = write!(file, "{}", own_pid()).and_then(|()| fs::hard_link(&draft, path));
    fs::remove_file(&draft).and(made)
}

fn own_pid() -> i32 {
    Pid::this().as_raw()
}

/// Removes a lock that a dead process left. It is moved aside first and looked at again, so that a lock which
/// another process has taken in between is put back and not lost.
fn remove_if_stale(path: &Path) -> Result<()> {
    let Some(first) = dead_holder(path)? else { return Ok(()) };
    let aside = path.with_extension("lock.stale");
    fs::rename(path, &aside)
        .map_err(|e| busy(&format!("its stale lock file {} cannot be moved: {e}", path.display())))?;
    if dead_holder(&aside)? == Some(first) {
        return fs::remove_file(&aside).map_err(|e| busy(&format!("its stale lock file cannot be removed: {e}")));
    }
    // link(2) does not overwrite a lock that was made meanwhile.
    let _ = fs::hard_link(&aside, path);
    let _ = fs::remove_file(&aside);
    Err(busy("its lock changed hands"))
}

/// The dead holder's process id; `None` if the file is gone. A live holder, and a file that pvapconfig would not
/// have made, are errors.
fn dead_holder(path: &Path) -> Result<Option<i32>> {
    let Some(pid) = pid_in(path)? else { return Ok(None) };
    match kill(Pid::from_raw(pid), None) {
        Err(Errno::ESRCH) => Ok(Some(pid)),
        // We have not taken it yet: who did is gone, and its id was given to us.
        _ if pid == own_pid() || is_another_program(pid) => Ok(Some(pid)),
        _ => Err(busy(&format!("process {pid} holds its lock"))),
    }
}

/// The process id in a lock file; `None` if the file is gone. What else the file holds is never shown.
fn pid_in(path: &Path) -> Result<Option<i32>> {
    let opened = File::options().read(true).custom_flags(nix::libc::O_NOFOLLOW | nix::libc::O_NONBLOCK).open(path);
    let file = match opened {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other.map_err(|e| busy(&format!("its lock file {} cannot be read: {e}", path.display())))?,
    };
    let found = file.metadata().map_err(|e| busy(&format!("its lock file cannot be examined: {e}")))?;
    if !found.is_file() || ![0, nix::unistd::geteuid().as_raw()].contains(&found.uid()) {
        return Err(busy(&format!("its lock file {} is not a regular file of root's", path.display())));
    }
    let mut text = String::new();
    let read = file.take(32).read_to_string(&mut text);
    let pid = read.ok().and_then(|_| text.trim().parse::<i32>().ok()).filter(|pid| *pid > 0);
    pid.map(Some).ok_or_else(|| busy(&format!("its lock file {} holds no process id", path.display())))
}

/// Whether the process of that id is certainly neither pvapconfig nor one of us: the id was given out again.
fn is_another_program(pid: i32) -> bool {
    match fs::read_to_string(format!("/proc/{pid}/comm")) {
        // A module runs under its own name or, sent by Ansible, as AnsiballZ_ap_bind; the kernel cuts at 15 bytes.
        Ok(name) => {
            let ours = ["pvapconfig", "ap_bind", "AnsiballZ_ap_bi", "facts", "AnsiballZ_facts"];
            !ours.contains(&name.trim_end()) && !is_hash(name.trim_end())
        }
        Err(_) => false,
    }
}

/// The collection's cache names a binary by its SHA-256.
fn is_hash(name: &str) -> bool {
    name.len() == 15 && name.bytes().all(|b| b.is_ascii_hexdigit())
}

fn busy(why: &str) -> Fault {
    Fault::new(
        codes::BUSY_ELSEWHERE,
        format!("The queues are left alone because pvapconfig may be at work on them: {why}."),
    )
    .hint("Wait until it has ended; if it was killed and its process is gone, remove the lock file.")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Child, Command};

    /// A process of pvapconfig's name, as far as the kernel tells, that lives until it is killed.
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
    fn a_lock_that_pvapconfig_would_not_make_is_left_alone_and_not_quoted() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pvapconfig.lock");
        fs::write(&path, "s3cret").unwrap();
        let fault = remove_if_stale(&path).unwrap_err();
        assert!(!fault.to_string().contains("s3cret") && path.exists());
        let link = dir.path().join("link.lock");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert_eq!(remove_if_stale(&link).unwrap_err().code, codes::BUSY_ELSEWHERE);
        assert!(link.symlink_metadata().is_ok());
    }

    #[test]
    fn a_process_id_given_to_another_program_does_not_hold_the_lock() {
        assert!(is_another_program(std::process::id() as i32));
        assert!(!is_another_program(i32::MAX));
        assert!(is_hash("0123456789abcde") && !is_hash("bash"));
    }
}
