//! Crypto adapters (cards) and their queues on the AP bus, as sysfs shows them.
//!
//! A queue is known by its APQN, card and domain. In a Secure Execution guest a queue is first *bound* to the
//! guest and, if it is an EP11 queue, then *associated* with an association secret of the store.

mod attributes;
mod bus;
mod journal;
mod line;
mod look;
mod mkvp;
mod queue;
mod seen;
mod settle;
pub mod steps;
mod tool_lock;

pub use attributes::{Apqn, Mode, SeState, binding_bits, card_type};
pub use bus::{Bus, Card};
pub use journal::{Alone, Journal, Note, alone};
pub use line::Line;
pub use look::{Fit, Look, Looked, look_at, look_until_read, unreadable};
pub use mkvp::{Mkvp, MkvpState};
pub use queue::{Associate, Queue, Unusable};
pub use seen::{Observed, Reading, Seen, read, too_slow, unanswered};
pub use settle::{Settled, Stuck, Wish};
