//! The machine that a simulated Secure Execution guest runs on: the ultravisor and the AP queues with their crypto cards.
//!
//! The library does no I/O, reads no clock and knows no kernel: it turns bytes and times that it is given into bytes and
//! states. It has two faces. The typed one, [`uv::Ultravisor`] and [`ap::Firmware`], is what an imitated kernel asks
//! (`guest-sim`). The wire face, [`wire::Machine`], takes what a real kernel for s390x asks: the instructions UVC, PQAP,
//! NQAP and DQAP with their registers and control blocks.

pub mod ap;
pub mod crypto;
pub mod fault;
pub mod hex;
pub mod image;
pub mod random;
pub mod spec;
#[cfg(test)]
mod testing;
pub mod uv;
pub mod wire;
