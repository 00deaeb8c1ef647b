//! Which queue is to serve which entry, and in which order that comes about: pure functions of what is wanted and seen.

mod choose;
mod fit;
mod matching;
mod moves;
#[cfg(test)]
pub(crate) mod random;

pub use choose::{Freedom, plan, to_look_at};
pub use fit::{Decision, Plan, fit, indices, is_held_for, may_be_held_for, names};
pub use moves::{Job, next};
