//! The kernel's face of the ultravisor: `/dev/uv` and `/sys/firmware/uv`. The ultravisor itself is `se_machine`'s.

#[cfg(test)]
mod attest_tests;
pub mod driver;
pub mod query;

pub use se_machine::uv::{Ask, Measured, Rc, Secret, TYPE_ASSOCIATION, Ultravisor};
