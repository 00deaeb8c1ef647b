//! What is told of queues and of the entries that want them.

use serde::Serialize;

/// The state of the queues.
#[derive(Clone, Debug, Default, Serialize)]
#[cfg_attr(feature = "docs", derive(schemars::JsonSchema))]
pub struct Report {
    /// How each entry is served, in the given order.
    pub entries: Vec<EntryReport>,
    /// All queues that the guest has, by APQN.
    pub queues: Vec<QueueReport>,
    /// Queues that were bound only to read their MKVP, and released again. This is not a change.
    pub inspected: Vec<String>,
}

/// How one entry is served.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "docs", derive(schemars::JsonSchema))]
pub struct EntryReport {
    /// As given.
    pub name: Option<String>,
    /// V(ep11) or V(accel).
    pub mode: String,
    /// Id of the association secret, C(0x) and 64 hex digits.
    pub secretid: Option<String>,
    /// The entry's state. V(undetermined): no queue is known to fit, but some cannot be read without binding them.
    pub status: Status,
    /// Error code, if it is not served.
    pub reason: Option<String>,
    /// The queue that serves it, or would serve it.
    pub apqn: Option<String>,
}

/// The state of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "docs", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// A queue serves it.
    Served,
    /// Check mode: a queue would serve it.
    WouldServe,
    /// Check mode: cannot be determined.
    Undetermined,
    /// No queue serves it.
    Unserved,
}

/// One queue.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "docs", derive(schemars::JsonSchema))]
pub struct QueueReport {
    /// Its name, C(XX.YYYY).
    pub apqn: String,
    /// Its card.
    pub card: u8,
    /// Its domain.
    pub domain: u16,
    /// Mode of its card: V(ep11), V(accel) or V(cca).
    pub mode: String,
    /// Generation of the card: 8 for a CEX8.
    pub generation: u32,
    /// Serial number of the card; null until one of its queues is bound.
    pub serialnr: Option<String>,
    /// Master key verification pattern, C(0x) and 32 hex digits; null if it is not set or cannot be read.
    pub mkvp: Option<String>,
    /// Its binding when the task began.
    pub before: Binding,
    /// Its binding at the end; in check mode, as predicted.
    pub after: Binding,
    /// Position of the entry that it serves, counted from 0.
    pub entry: Option<usize>,
}

/// The binding of a queue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "docs", derive(schemars::JsonSchema))]
pub struct Binding {
    /// V(bound), V(unbound), V(-) if it cannot be bound, or V(unknown).
    pub bind: String,
    /// V(associated N) with the secret's index, V(association pending), V(unassociated), V(-) or V(unknown).
    pub associate: String,
}
