//! Crypto queues: which are wanted, which serve, and how those that do not are bound and associated.

mod apply;
pub mod codes;
mod config;
mod desired;
mod entry;
mod observe;
mod places;
pub(crate) mod planning;
mod predict;
mod report;
mod results;
mod serve;
mod situation;
mod transitions;
mod unbind;
mod wanted;

pub use apply::apply;
pub use config::parse as parse_config;
pub use desired::{Aim, Desired, Source};
pub use entry::Entry;
pub use observe::{bus, secrets};
pub use planning::Freedom;
pub use predict::predict;
pub use report::Answer;
pub use results::{Binding, EntryReport, QueueReport, Report, Status};
pub use situation::Situation;
pub use transitions::Fleet;
pub use wanted::{Purpose, Wanted, check, each_its_own};
