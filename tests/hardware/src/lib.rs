//! What only real hardware can confirm, asked in a Secure Execution guest: a table of questions ([`questions`]), what their
//! answers mean ([`judge`]), the report ([`report`]), and the asking (`ask`). README.md beside this says how it is used.

mod arguments;
mod ask;
pub mod judge;
pub mod questions;
pub mod report;

pub use arguments::{Arguments, USAGE, UntilReboot};
pub use ask::run;
