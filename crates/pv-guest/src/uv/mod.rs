//! The ultravisor as `/dev/uv` shows it.

mod answer;
pub mod attest;
mod device;
mod list;
mod probe;
mod raw;

pub use attest::{Attested, UserData};
pub use device::{Device, Pages, Request};
pub use list::{Secret, SecretInfo, SecretList};
pub use probe::LockState;
pub use raw::{Calls, Malformed};
