//! The ultravisor as `/dev/uv` shows it.

mod answer;
mod device;
mod list;
mod probe;

pub use device::{Add, Buffer, Call, Device, Info, InfoWords, List, Lock, Pages, Request};
pub use list::{Secret, SecretInfo, SecretList};
pub use probe::LockState;
