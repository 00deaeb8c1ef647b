//! The pure parts of `secret_retrieve`, which read what others wrote: separate from the program so that tests can feed
//! them anything.

pub mod options;
pub mod plan;
