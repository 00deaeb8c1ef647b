//! The errors a kernel driver answers with, by their names and Linux numbers.

use serde::{Deserialize, Serialize};

/// An errno of the Linux kernel; the discriminant is its number.
#[allow(clippy::upper_case_acronyms, reason = "the names are the kernel's and appear so in scenario files")]
#[allow(missing_docs, reason = "errno(3) says what each one means")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Errno {
    EPERM = 1,
    ENOENT = 2,
    EINTR = 4,
    EIO = 5,
    ENXIO = 6,
    EAGAIN = 11,
    ENOMEM = 12,
    EACCES = 13,
    EFAULT = 14,
    EBUSY = 16,
    ENODEV = 19,
    EINVAL = 22,
    ENOTTY = 25,
    ENOSPC = 28,
    ERANGE = 34,
    ENODATA = 61,
    ETIMEDOUT = 110,
}

impl Errno {
    /// The number as the kernel hands it to a program.
    pub fn number(self) -> i32 {
        self as i32
    }
}
