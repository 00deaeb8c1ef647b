//! What file systems may lack.

use nix::errno::Errno;
#[cfg(target_env = "gnu")]
use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
use std::io;
use std::path::Path;

/// Why a file cannot be created without replacing another.
pub(super) const LACKS_ALL: &str =
    "its file system has no hard links, no locks and no way to create a file in one step";

/// Renames a file to a name that nothing has.
///
/// # Errors
/// The kernel's; `ENOSYS` where the C library has no such call: static programs, which create no file so.
pub(super) fn rename_without_replacing(from: &Path, to: &Path) -> nix::Result<()> {
    #[cfg(target_env = "gnu")]
    return renameat2(AT_FDCWD, from, AT_FDCWD, to, RenameFlags::RENAME_NOREPLACE);
    #[cfg(not(target_env = "gnu"))]
    {
        let _ = (from, to);
        Err(Errno::ENOSYS)
    }
}

/// Whether an error says that a file system has no hard links.
pub(super) fn lacks_links(error: &io::Error) -> bool {
    let errno = error.raw_os_error().map(Errno::from_raw);
    matches!(errno, Some(Errno::EPERM | Errno::EOPNOTSUPP | Errno::ENOSYS))
}
