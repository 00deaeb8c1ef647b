//! What users type, and what they get.

use ansible_contract::{HexText, PathText};
use pv_guest::ap::steps::WhenBusy;
use serde::{Deserialize, Serialize};

/// Options of `ap_bind`.
#[derive(Debug, Deserialize, Serialize)]
#[cfg_attr(feature = "docs", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct Options {
    /// What queues are wanted, one entry a queue; earlier entries are served first.
    /// One of O(entries), O(config), O(src) and O(all) is required. An empty list does nothing and warns.
    pub entries: Option<Vec<Entry>>,
    /// A configuration file of pvapconfig on the guest, whose entries are wanted.
    pub config: Option<PathText>,
    /// A configuration file of pvapconfig on the controller, searched for like that of M(ansible.builtin.copy).
    /// Only through the collection's action plugin.
    pub src: Option<String>,
    /// The text of a configuration file; set by the collection's action plugin from O(src).
    pub config_content: Option<String>,
    /// V(bound): every entry has a queue that is bound and, for EP11, associated with its secret.
    /// V(unbound): every queue that serves an entry, or could, is released: for an accelerator entry every bound
    /// accelerator that fits it.
    pub state: State,
    /// With O(state=unbound) and no entries: every queue that this guest holds is released.
    pub all: bool,
    /// Whether the task fails if an entry cannot be served. If not, it does what can be done, and warns.
    pub strict: bool,
    /// Whether queues that no entry wants are released, and those bound for something else may be taken, as
    /// pvapconfig always does.
    pub exclusive: bool,
    /// Whether entries that are served already may be moved to other queues, where that makes the whole better: more
    /// entries served, then earlier entries rather than later ones, then the newest generation, lowest card and lowest
    /// domain. An entry has its new queue before it gives up the old one; only where entries change places is one of
    /// them, the last, not served for a moment. To know what is better, free queues may be bound to look at them.
    pub rebalance: bool,
    /// What to do before a queue is released that has requests in it.
    pub when_busy: WhenBusy,
    /// For how many seconds to wait for one step of one queue, and for the AP bus to be complete.
    pub timeout: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            entries: None,
            config: None,
            src: None,
            config_content: None,
            state: State::default(),
            all: false,
            strict: true,
            exclusive: false,
            rebalance: false,
            when_busy: WhenBusy::default(),
            timeout: 60,
        }
    }
}

/// What the entries are wanted to be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "docs", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Served.
    #[default]
    Bound,
    /// Released.
    Unbound,
}

/// One wanted queue, with the fields of pvapconfig's configuration.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[cfg_attr(feature = "docs", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct Entry {
    /// Name of the association secret, whose id is its SHA-256 hash. Blanks around it do not count, as pvapconfig has
    /// it; a secret whose name has such blanks is given by V(secretid).
    pub name: Option<String>,
    /// Free text.
    pub description: Option<String>,
    /// V(ep11) or V(accel), in upper or lower case. Required.
    pub mode: Option<String>,
    /// EP11 only, and required there: master key verification pattern of the queue's current wrapping key; 32 or 64
    /// hex digits, of which the first 32 count. Write it in quotes.
    pub mkvp: Option<HexText<32, 64>>,
    /// EP11 only: serial number of the card, 16 characters.
    pub serialnr: Option<String>,
    /// The oldest generation of card that will do, such as V(cex8).
    pub mingen: Option<String>,
    /// EP11 only: id of the association secret, 64 hex digits. This or V(name) is required. Write it in quotes.
    pub secretid: Option<HexText<64, 64>>,
    /// Only this queue will do, C(XX.YYYY).
    pub apqn: Option<String>,
}

/// Results of `ap_bind`.
#[derive(Debug, Default, Serialize)]
#[cfg_attr(feature = "docs", derive(schemars::JsonSchema))]
pub struct Report {
    /// How each entry is served, in their order.
    pub entries: Vec<EntryReport>,
    /// All queues that the guest has, by APQN.
    pub queues: Vec<QueueReport>,
    /// Queues that were bound only to look at them, and released again. That is no change.
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
    /// How it stands. V(undetermined): no queue is known to fit, but some cannot be read without binding them.
    pub status: Status,
    /// Code of why it is not served.
    pub reason: Option<String>,
    /// The queue that serves it, or would.
    pub apqn: Option<String>,
}

/// How an entry stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "docs", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// A queue serves it.
    Served,
    /// Check mode: a queue would.
    WouldServe,
    /// Check mode: cannot be told.
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
    /// What its card works as: V(ep11), V(accel) or V(cca).
    pub mode: String,
    /// Generation of the card: 8 for a CEX8.
    pub generation: u32,
    /// Serial number of the card; null until a queue of it is bound.
    pub serialnr: Option<String>,
    /// Master key verification pattern, C(0x) and 32 hex digits; null where it is not set or cannot be read.
    pub mkvp: Option<String>,
    /// How it stood when the task began.
    pub before: Binding,
    /// How it stands at the end, or in check mode would.
    pub after: Binding,
    /// Position of the entry that it serves, counted from 0.
    pub entry: Option<usize>,
}

/// Whose a queue is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "docs", derive(schemars::JsonSchema))]
pub struct Binding {
    /// V(bound), V(unbound), V(-) where it cannot be bound, or V(unknown).
    pub bind: String,
    /// V(associated N) with the secret's index, V(association pending), V(unassociated), V(-) or V(unknown).
    pub associate: String,
}
