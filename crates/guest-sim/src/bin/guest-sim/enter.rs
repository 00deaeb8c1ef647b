//! `enter`: runs a command inside a guest that somebody else has started.

use std::env;
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Error, Result, bail};
use nix::sched::{CloneFlags, setns};
use nix::unistd::{Gid, Uid, geteuid, setgid, setuid};

use crate::folder::Folder;

/// Becomes `command` inside the guest of `dir`. Comes back only if that fails.
pub fn enter(dir: &Path, command: &[String]) -> Result<()> {
    let [program, arguments @ ..] = command else { bail!("enter needs a command behind --") };
    let pid = Folder::open(dir)?.pid()?;
    let here = env::current_dir().ok();
    let open = |name: &str| {
        let path = format!("/proc/{pid}/ns/{name}");
        File::open(&path)
            .with_context(|| format!("cannot open {path}: the guest has ended, or belongs to another user"))
    };
    let (user, mount) = (open("user")?, open("mnt")?);
    let own = fs::metadata("/proc/self/ns/user").context("cannot look at the own user namespace")?;
    if user.metadata().context("cannot look at the guest's user namespace")?.ino() != own.ino() {
        setns(user, CloneFlags::CLONE_NEWUSER).context("cannot enter the guest's user namespace")?;
        if !geteuid().is_root() {
            // The system's root in the guest of an ordinary user: only that user exists there.
            setgid(Gid::from_raw(0)).context("cannot become the guest's root group")?;
            setuid(Uid::from_raw(0)).context("cannot become the guest's root")?;
        }
    }
    setns(mount, CloneFlags::CLONE_NEWNS).context("cannot enter the guest's mount namespace")?;
    // Entering leads to the root folder; what the guest hides cannot be gone back to.
    if let Some(here) = here {
        let _ = env::set_current_dir(here);
    }
    let error = Command::new(program).args(arguments).exec();
    Err(Error::new(error).context(format!("cannot run {program} in the guest")))
}
