//! What differs between architectures, and the program's memory.

use nix::errno::Errno;
use nix::libc::{self, c_long, c_void};
use nix::sys::ptrace;
use nix::sys::uio::{RemoteIoVec, process_vm_readv};
use nix::unistd::Pid;
use std::ffi::OsString;
use std::io::IoSliceMut;
use std::os::unix::ffi::OsStringExt as _;
use std::path::PathBuf;

/// Older system calls that some architectures still have.
#[allow(dead_code, reason = "not every architecture has them")]
pub(crate) enum Old {
    Open,
    Create,
    MakeFolder,
    Mode,
    Owner,
    Link,
    Rename,
    RenameAt,
    Remove,
}

/// Tells an older call by its number.
#[cfg(any(target_arch = "x86_64", target_arch = "s390x"))]
pub(crate) fn old_call(number: c_long) -> Option<Old> {
    Some(match number {
        libc::SYS_open => Old::Open,
        libc::SYS_creat => Old::Create,
        libc::SYS_mkdir => Old::MakeFolder,
        libc::SYS_chmod => Old::Mode,
        libc::SYS_chown | libc::SYS_lchown => Old::Owner,
        libc::SYS_link => Old::Link,
        libc::SYS_rename => Old::Rename,
        libc::SYS_renameat => Old::RenameAt,
        libc::SYS_unlink | libc::SYS_rmdir => Old::Remove,
        _ => return None,
    })
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "s390x")))]
pub(crate) fn old_call(_: c_long) -> Option<Old> {
    None
}

/// Offsets in the `user` area of the register with the number of the system call and of that with its result.
#[cfg(target_arch = "x86_64")]
const REGISTERS: Option<(usize, usize)> = Some((15 * 8, 10 * 8));
/// General register 2, behind the 16 bytes of the PSW, is both.
#[cfg(target_arch = "s390x")]
const REGISTERS: Option<(usize, usize)> = Some((16 + 2 * 8, 16 + 2 * 8));
#[cfg(not(any(target_arch = "x86_64", target_arch = "s390x")))]
const REGISTERS: Option<(usize, usize)> = None;

/// Whether calls can be answered in the kernel's place.
pub(crate) fn is_known() -> bool {
    REGISTERS.is_some()
}

/// At the entry of a system call: lets the kernel do nothing.
pub(crate) fn skip(thread: Pid) -> nix::Result<()> {
    let (number, _) = REGISTERS.ok_or(Errno::ENOSYS)?;
    ptrace::write_user(thread, number as *mut c_void, -1)
}

/// At its exit: answers it with an error.
pub(crate) fn answer(thread: Pid, error: Errno) -> nix::Result<()> {
    let (_, result) = REGISTERS.ok_or(Errno::ENOSYS)?;
    ptrace::write_user(thread, result as *mut c_void, -c_long::from(error as i32))
}

/// A path in the program's memory.
pub(crate) fn text(thread: Pid, address: u64) -> Option<PathBuf> {
    let mut text = Vec::new();
    let mut at = usize::try_from(address).ok()?;
    loop {
        // To the end of the page: what is behind it may not be there.
        let mut part = vec![0; 4096 - at % 4096];
        let len = part.len();
        let read =
            process_vm_readv(thread, &mut [IoSliceMut::new(&mut part)], &[RemoteIoVec { base: at, len }]).ok()?;
        let part = part.get(..read)?;
        match part.iter().position(|byte| *byte == 0) {
            Some(end) => {
                text.extend(part.get(..end)?);
                return Some(OsString::from_vec(text).into());
            }
            None if read == 0 || text.len() > 8192 => return None,
            None => text.extend(part),
        }
        at += read;
    }
}
