//! What the traced program asks of the kernel, as far as it concerns files.

use crate::machine;
use nix::errno::Errno;
use nix::libc::{self, AT_FDCWD, O_CREAT, O_TRUNC, c_long};
use nix::unistd::Pid;
use std::fs;
use std::path::{Path, PathBuf};

/// A call that changes files or makes a change durable, or one that only looks. Paths are absolute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    /// A file is opened that may be created or emptied by that.
    Create(PathBuf),
    /// A folder is made.
    MakeFolder(PathBuf),
    /// Bytes are written, or the length is set.
    Write(PathBuf),
    /// Content and attributes of a file, or the names in a folder, are made durable.
    Sync(PathBuf),
    /// Permission bits are set.
    Mode(PathBuf),
    /// Owner or group is set.
    Owner(PathBuf),
    /// A file gets a second name.
    Link(PathBuf, PathBuf),
    /// A file gets another name.
    Rename(PathBuf, PathBuf),
    /// A name is removed.
    Remove(PathBuf),
    /// A file or folder is opened as it is, or its attributes are asked for. Seen only where that is asked for.
    Look(PathBuf),
}

/// A call and how it was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The call.
    pub call: Call,
    /// The kernel's answer, or the one that was put in its place.
    pub answer: Result<(), Errno>,
}

impl Call {
    /// The file or folder that it acts on; of two names the first.
    pub fn path(&self) -> &Path {
        match self {
            Self::Create(path)
            | Self::MakeFolder(path)
            | Self::Write(path)
            | Self::Sync(path)
            | Self::Mode(path)
            | Self::Owner(path)
            | Self::Remove(path)
            | Self::Look(path)
            | Self::Link(path, _)
            | Self::Rename(path, _) => path,
        }
    }

    /// The second name, where there is one.
    pub fn second(&self) -> Option<&Path> {
        if let Self::Link(_, to) | Self::Rename(_, to) = self { Some(to) } else { None }
    }

    /// Whether it changes nothing.
    pub(crate) fn only_looks(&self) -> bool {
        matches!(self, Self::Look(_))
    }

    /// From the number of a system call and its arguments; `None` if it is none of these.
    pub(crate) fn of(thread: Pid, number: u64, args: [u64; 6]) -> Option<Self> {
        let at = |folder: u64, name: u64| named(thread, folder, name);
        let here = |name: u64| named(thread, AT_FDCWD as u32 as u64, name);
        let open = |fd: u64| fs::read_link(format!("/proc/{thread}/fd/{}", fd as u32)).ok();
        let changes = |flags: u64| flags as i32 & (O_CREAT | O_TRUNC) != 0;
        let number = c_long::try_from(number).ok()?;
        match number {
            libc::SYS_openat if changes(args[2]) => at(args[0], args[1]).map(Self::Create),
            libc::SYS_openat | libc::SYS_statx | libc::SYS_newfstatat => at(args[0], args[1]).map(Self::Look),
            libc::SYS_mkdirat => at(args[0], args[1]).map(Self::MakeFolder),
            libc::SYS_write | libc::SYS_pwrite64 | libc::SYS_writev | libc::SYS_ftruncate => {
                open(args[0]).map(Self::Write)
            }
            libc::SYS_fsync | libc::SYS_fdatasync => open(args[0]).map(Self::Sync),
            libc::SYS_fchmod => open(args[0]).map(Self::Mode),
            libc::SYS_fchown => open(args[0]).map(Self::Owner),
            libc::SYS_fchmodat => at(args[0], args[1]).map(Self::Mode),
            libc::SYS_fchownat => at(args[0], args[1]).map(Self::Owner),
            libc::SYS_linkat => Some(Self::Link(at(args[0], args[1])?, at(args[2], args[3])?)),
            libc::SYS_renameat2 => Some(Self::Rename(at(args[0], args[1])?, at(args[2], args[3])?)),
            libc::SYS_unlinkat => at(args[0], args[1]).map(Self::Remove),
            _ => match machine::old_call(number)? {
                machine::Old::Open if changes(args[1]) => here(args[0]).map(Self::Create),
                machine::Old::Open => here(args[0]).map(Self::Look),
                machine::Old::Create => here(args[0]).map(Self::Create),
                machine::Old::MakeFolder => here(args[0]).map(Self::MakeFolder),
                machine::Old::Mode => here(args[0]).map(Self::Mode),
                machine::Old::Owner => here(args[0]).map(Self::Owner),
                machine::Old::Link => Some(Self::Link(here(args[0])?, here(args[1])?)),
                machine::Old::Rename => Some(Self::Rename(here(args[0])?, here(args[1])?)),
                machine::Old::RenameAt => Some(Self::Rename(at(args[0], args[1])?, at(args[2], args[3])?)),
                machine::Old::Remove => here(args[0]).map(Self::Remove),
            },
        }
    }
}

/// The file that a call opens, for whatever it is opened.
pub(crate) fn opened(thread: Pid, number: u64, args: [u64; 6]) -> Option<PathBuf> {
    let number = c_long::try_from(number).ok()?;
    match (number, machine::old_call(number)) {
        (libc::SYS_openat, _) => named(thread, args[0], args[1]),
        (_, Some(machine::Old::Open | machine::Old::Create)) => named(thread, AT_FDCWD as u32 as u64, args[0]),
        _ => None,
    }
}

/// The absolute path of a name in the program's memory.
fn named(thread: Pid, folder: u64, name: u64) -> Option<PathBuf> {
    let name = machine::text(thread, name)?;
    if name.is_absolute() {
        return Some(name);
    }
    let folder = match folder as i32 {
        AT_FDCWD => format!("/proc/{thread}/cwd"),
        fd => format!("/proc/{thread}/fd/{fd}"),
    };
    fs::read_link(folder).ok().map(|folder| folder.join(name))
}
