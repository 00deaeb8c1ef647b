//! The AP queues of the machine and the cards behind them.

mod cards;
mod ep11;
mod firmware;

pub use cards::{CardSpec, Cards, NewKey, News, QueueSpec, Specs, Status, Tested, apqn};
pub use firmware::{Binding, Firmware, Kind, Rules, Target, Times, code};
