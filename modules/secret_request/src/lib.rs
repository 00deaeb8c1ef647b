//! The parts of `secret_request` that read what others wrote: separate from the program so that tests can feed them anything.

pub mod codes;
pub mod cuid;
pub mod manifest;
pub mod options;
pub mod private_file;
pub mod seal;
pub mod state_key;
