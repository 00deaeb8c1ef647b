//! What keeps the secrets in a program's memory from getting out of it.

use nix::sys::mman::{MlockAllFlags, mlockall};
use nix::sys::prctl;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// No core dump, no look from other processes of the user, and no page on a swap device, for a program that holds secrets.
///
/// Where the kernel refuses one of these, the program works all the same: it is called before anything is known of the task.
/// Pages are locked only where their number has no limit (the capability `CAP_IPC_LOCK`, which root has; mlockall(2)): with
/// one, a large task would end for the want of memory.
pub(crate) fn protect() {
    let _ = prctl::set_dumpable(false);
    let _ = setrlimit(Resource::RLIMIT_CORE, 0, 0);
    if let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_MEMLOCK) {
        // Without a limit of its own, only the capability lets it lock anything: there is no other way to ask for one that
        // counts, for root of a user namespace seems to have them all.
        if setrlimit(Resource::RLIMIT_MEMLOCK, 0, hard).is_ok() {
            let _ = mlockall(MlockAllFlags::MCL_CURRENT | MlockAllFlags::MCL_FUTURE);
            let _ = setrlimit(Resource::RLIMIT_MEMLOCK, soft, hard);
        }
    }
}
