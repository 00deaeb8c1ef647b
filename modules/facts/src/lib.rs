//! The parts of `facts` that read what others wrote: separate from the program so that tests can feed them anything.

pub mod options;
