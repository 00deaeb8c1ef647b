//! The parts of `ap_bind` that read what others wrote: separate from the program so that tests can feed them anything.

pub mod codes;
pub mod entries;
pub mod options;
