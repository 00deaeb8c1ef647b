//! A simulated IBM Secure Execution guest: the kernel drivers in front of a simulated machine (`se_machine`).
//!
//! The library does no I/O and reads no clock: it turns bytes and times that it is given into bytes and states. The
//! program `guest-sim` shows a guest to unchanged programs through FUSE.
//!
//! It is a simulator. It proves that a program behaves by the documented rules; it cannot prove that the hardware does.

pub mod ap;
pub mod errno;
pub mod fault;
pub mod guest;
#[cfg(test)]
mod guest_tests;
pub mod machine;
pub mod scenario;
#[cfg(test)]
mod testing;
pub mod tree;
pub mod uv;

pub use se_machine::{crypto, hex, image};
