//! The Secure Execution guest that this runs in: the ultravisor device ([`uv`]), what the kernel tells of the
//! ultravisor ([`firmware`]), the crypto queues on the AP bus ([`ap`]) and what is remembered until the next boot
//! ([`boot_record`]).
//!
//! Paths are the real ones; no environment variable or option redirects them. Sources of the facts: Linux
//! `drivers/s390/char/uvdevice.c`, `arch/s390/kernel/uv.c`, `drivers/s390/crypto/ap_queue.c`, `ap_bus.c`,
//! `zcrypt_cex4.c`, and IBM's documentation of pvsecret and pvapconfig. None of it could be run on real hardware yet.

pub mod ap;
pub mod boot_record;
pub mod codes;
pub mod firmware;
pub mod limited;
pub mod sysfs;
pub mod uv;
