//! The guest's own view of the machine: a private mount namespace with its own `/dev`, `/sys`, `/run` and boot id.

use std::fs::{self, File, OpenOptions, Permissions};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use anyhow::{Context, Result};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::{getgid, getuid};

const NONE: Option<&str> = None;
const STAGE: &str = "/run/.guest-sim";
const CAP_SYS_ADMIN: u32 = 21;

/// Opens the FUSE device; to be done after [`unshare_mounts`], because the kernel only mounts what was opened in the same
/// user namespace, and before [`build`], which replaces `/dev`.
pub fn open_fuse() -> Result<OwnedFd> {
    let device = OpenOptions::new().read(true).write(true).open("/dev/fuse").context(
        "cannot open /dev/fuse for reading and writing; it is mode 0666 where udev runs, elsewhere only root may use it",
    )?;
    Ok(device.into())
}

/// Leaves the mount namespace that the process was started in, and the user namespace too if it may not mount. The
/// process must have one thread only.
pub fn unshare_mounts() -> Result<()> {
    if may_mount() {
        unshare(CloneFlags::CLONE_NEWNS).context("cannot make a mount namespace")?;
    } else {
        let (uid, gid) = (getuid(), getgid());
        unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNS)
            .context("cannot make a user namespace; is that allowed to ordinary users on this system?")?;
        let write = |path: &str, text: String| fs::write(path, text).with_context(|| format!("cannot write {path}"));
        write("/proc/self/setgroups", "deny".into())?;
        write("/proc/self/uid_map", format!("0 {uid} 1"))?;
        write("/proc/self/gid_map", format!("0 {gid} 1"))?;
    }
    // Nothing that is mounted from now on may be seen outside, and nothing from outside may come in.
    mount(NONE, "/", NONE, MsFlags::MS_REC | MsFlags::MS_PRIVATE, NONE).context("cannot make the mounts private")
}

fn may_mount() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    effective
        .and_then(|digits| u64::from_str_radix(digits.trim(), 16).ok())
        .is_some_and(|set| set >> CAP_SYS_ADMIN & 1 == 1)
}

/// Mounts everything. `serve` is handed the FUSE device as soon as it is mounted, and must have started to answer when
/// it returns: the files are needed for the mounts that follow. Gives what `serve` gave.
pub fn build<T>(fuse: OwnedFd, serve: impl FnOnce(OwnedFd) -> Result<T>) -> Result<T> {
    tmpfs("/run", "mode=0755")?;
    folder("/run/lock", 0o1777)?;
    let (files, dev) = (format!("{STAGE}/files"), format!("{STAGE}/dev"));
    for path in [STAGE, &files, &dev] {
        folder(path, 0o755)?;
    }
    let options =
        format!("fd={},rootmode=40000,user_id=0,group_id=0,allow_other,default_permissions", fuse.as_raw_fd());
    let safe = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount(Some("guest-sim"), files.as_str(), Some("fuse"), safe, Some(options.as_str()))
        .context("cannot mount FUSE")?;
    let served = serve(fuse)?;
    fill_dev(&dev, &format!("{files}/dev/uv"))?;
    mount(Some(dev.as_str()), "/dev", NONE, MsFlags::MS_BIND | MsFlags::MS_REC, NONE).context("cannot replace /dev")?;
    bind(&format!("{files}/sys"), "/sys")?;
    bind(&format!("{files}/boot_id"), "/proc/sys/kernel/random/boot_id")?;
    for path in [&dev, &files] {
        umount2(path.as_str(), MntFlags::MNT_DETACH).with_context(|| format!("cannot unmount {path}"))?;
    }
    fs::remove_dir_all(STAGE).with_context(|| format!("cannot remove {STAGE}"))?;
    Ok(served)
}

/// Empties the guest's `/run`, as a reboot does.
pub fn empty_run() -> Result<()> {
    for entry in fs::read_dir("/run").context("cannot read /run")? {
        let path = entry.context("cannot read /run")?.path();
        let is_dir = path.symlink_metadata().is_ok_and(|meta| meta.is_dir());
        let removed = if is_dir { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        removed.with_context(|| format!("cannot remove {}", path.display()))?;
    }
    folder("/run/lock", 0o1777)
}

fn fill_dev(dev: &str, uv: &str) -> Result<()> {
    tmpfs(dev, "mode=0755")?;
    for name in ["null", "zero", "full", "random", "urandom", "tty", "fuse"] {
        let source = format!("/dev/{name}");
        if Path::new(&source).exists() {
            bind_file(&source, &format!("{dev}/{name}"))?;
        }
    }
    folder(&format!("{dev}/shm"), 0o1777)?;
    folder(&format!("{dev}/pts"), 0o755)?;
    let options = Some("newinstance,ptmxmode=0666,mode=0620");
    mount(
        Some("devpts"),
        format!("{dev}/pts").as_str(),
        Some("devpts"),
        MsFlags::MS_NOSUID | MsFlags::MS_NOEXEC,
        options,
    )
    .context("cannot mount devpts")?;
    let links = [
        ("ptmx", "pts/ptmx"),
        ("fd", "/proc/self/fd"),
        ("stdin", "/proc/self/fd/0"),
        ("stdout", "/proc/self/fd/1"),
        ("stderr", "/proc/self/fd/2"),
    ];
    for (name, target) in links {
        symlink(target, format!("{dev}/{name}")).with_context(|| format!("cannot make /dev/{name}"))?;
    }
    // A scenario may be without the device.
    if Path::new(uv).exists() { bind_file(uv, &format!("{dev}/uv")) } else { Ok(()) }
}

fn tmpfs(path: &str, options: &str) -> Result<()> {
    mount(Some("tmpfs"), path, Some("tmpfs"), MsFlags::MS_NOSUID | MsFlags::MS_NODEV, Some(options))
        .with_context(|| format!("cannot mount a tmpfs on {path}"))
}

fn bind(from: &str, to: &str) -> Result<()> {
    mount(Some(from), to, NONE, MsFlags::MS_BIND, NONE).with_context(|| format!("cannot bind {from} to {to}"))
}

fn bind_file(from: &str, to: &str) -> Result<()> {
    File::create(to).with_context(|| format!("cannot make {to}"))?;
    bind(from, to)
}

fn folder(path: &str, mode: u32) -> Result<()> {
    fs::create_dir(path).with_context(|| format!("cannot make {path}"))?;
    fs::set_permissions(path, Permissions::from_mode(mode)).with_context(|| format!("cannot set the mode of {path}"))
}
