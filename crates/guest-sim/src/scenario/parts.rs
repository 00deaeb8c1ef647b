//! The parts of a scenario, each with its defaults.

use std::collections::BTreeMap;
use std::time::Duration;

use se_machine::ap::{Kind, Times};
use serde::{Deserialize, Serialize};

/// How the kernel's AP bus answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Manners {
    /// Linux 6.6: bind and associate just try.
    Old,
    /// After 6.12: bind and associate first ask the queue for its state.
    New,
}

/// What the bus scan does to a queue whose association failed late.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailedQueue {
    /// Initialises it in its place.
    Reset,
    /// Takes it out of sysfs; the next scan finds it again. Seen with Linux 6.12.
    Removed,
}

/// The guest's kernel.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Kernel {
    /// Answers of the AP bus.
    pub manners: Manners,
    /// Has the retrieve ioctl (6.13).
    pub retrieve: bool,
    /// The info call says truly whether the ultravisor can retrieve. Linux 6.13 to 7.3 shows the bit of attestation
    /// instead.
    pub info_knows_retrieve: bool,
    /// Pages that the list ioctl takes at most; 1 is what older kernels insist on.
    pub list_pages: u32,
    /// The driver is of the time when attestation was its only ioctl.
    pub only_attests: bool,
    /// What the bus scan does to a queue whose association failed late.
    pub failed_queue: FailedQueue,
    /// So many reads still show a card's serial number after its last queue was unbound. Linux 6.12: one or two.
    pub serialnr_lingers: u32,
    /// A card is asked through a queue whose reset was refused, and answers. Linux 6.12, for a read or two; 7.2 does not ask.
    pub asks_refused_queue: bool,
}

impl Default for Kernel {
    fn default() -> Self {
        Self {
            manners: Manners::New,
            retrieve: false,
            info_knows_retrieve: false,
            list_pages: 1,
            only_attests: false,
            failed_queue: FailedQueue::Reset,
            serialnr_lingers: 0,
            asks_refused_queue: false,
        }
    }
}

/// The AP bus.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Ap {
    /// Text of `/sys/bus/ap/features`. Without `APSB` no queue has `se_bind` and `se_associate`.
    pub features: String,
    /// Time from boot until every queue has its driver.
    pub bindings_complete_after_ms: u64,
}

impl Default for Ap {
    fn default() -> Self {
        Self { features: "APXA RC8A APSB".into(), bindings_complete_after_ms: 0 }
    }
}

/// How long things take, in milliseconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Delays {
    /// From the write until the queue is bound.
    pub bind_ms: u64,
    /// From then on, while the state machine is still busy (EBUSY).
    pub settle_ms: u64,
    /// From the write until the queue is associated, or has failed to be.
    pub associate_ms: u64,
    /// A reset, hence an unbind.
    pub reset_ms: u64,
    /// The bus scan's period: when a queue in error is initialised anew.
    pub scan_ms: u64,
    /// Every ioctl.
    pub ioctl_ms: u64,
    /// Reading `mkvps` and `serialnr` of a CCA card in a Secure Execution guest.
    pub cca_read_ms: u64,
    /// A request that is not answered, after which the driver gives it up.
    pub unanswered_ms: u64,
}

impl Default for Delays {
    fn default() -> Self {
        Self {
            bind_ms: 2,
            settle_ms: 1,
            associate_ms: 2,
            reset_ms: 2,
            scan_ms: 30_000,
            ioctl_ms: 0,
            cca_read_ms: 0,
            unanswered_ms: 900_000,
        }
    }
}

impl Delays {
    /// What of it the firmware takes.
    pub fn times(&self) -> Times {
        Times { bind: Self::of(self.bind_ms), associate: Self::of(self.associate_ms), reset: Self::of(self.reset_ms) }
    }

    /// `ms` of one of the fields as a duration.
    pub fn of(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }
}

/// A crypto card.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Card {
    /// `CEX`, generation, and A (accelerator), C (CCA) or P (EP11): `CEX8P`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Serial number, 16 characters.
    #[serde(default = "Card::default_serial")]
    pub serialnr: String,
    /// Number of the hardware; without it what belongs to `type`.
    #[serde(default)]
    pub hwtype: Option<u8>,
    /// The card is switched on in the kernel.
    #[serde(default = "yes")]
    pub online: bool,
    /// The card is configured.
    #[serde(default = "yes")]
    pub config: bool,
    /// The card is checkstopped.
    #[serde(default)]
    pub chkstop: bool,
    /// Queues of this card that can be bound at once (0x33 beyond); no limit without it.
    #[serde(default)]
    pub bind_limit: Option<usize>,
    /// The card answers requests; otherwise it takes them, and whoever waits for an answer is kept waiting.
    #[serde(default = "yes")]
    pub answers: bool,
    /// Queues by the four hex digits of their domain.
    #[serde(default)]
    pub queues: BTreeMap<String, Queue>,
}

impl Card {
    /// What it does, the last letter of its type.
    pub fn does(&self) -> Kind {
        match self.kind.as_bytes().last() {
            Some(b'A') => Kind::Accelerator,
            Some(b'C') => Kind::Cca,
            _ => Kind::Ep11,
        }
    }

    /// Number of the hardware: CEX7 is 13 and CEX8 14; the numbers go on from there.
    pub fn hwtype(&self) -> u8 {
        let generation = || self.kind.trim_start_matches("CEX").trim_end_matches(char::is_alphabetic).parse().ok();
        self.hwtype.unwrap_or_else(|| generation().map_or(14, |number: u8| number.saturating_add(6)))
    }

    fn default_serial() -> String {
        "93AADFK719460083".into()
    }
}

/// A queue of a card.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Queue {
    /// Master key verification pattern, 32 or 64 hex digits (CCA: 16); without it no key is set.
    pub mkvp: Option<String>,
    /// What `mkvps` says of the new master key: `empty -`, `uncommitted 0x...`, `committed 0x...`.
    pub new_key: String,
    /// The queue exists.
    pub present: bool,
    /// The queue is switched on in the kernel.
    pub online: bool,
    /// The queue is configured.
    pub config: bool,
    /// The queue is checkstopped.
    pub chkstop: bool,
    /// The queue is in state 3: it cannot be bound.
    pub unusable: bool,
    /// Requests that wait to be sent.
    pub requestq_count: u64,
    /// Requests that wait for their reply.
    pub pendingq_count: u64,
}

impl Default for Queue {
    fn default() -> Self {
        Self {
            mkvp: None,
            new_key: "empty -".into(),
            present: true,
            online: true,
            config: true,
            chkstop: false,
            unusable: false,
            requestq_count: 0,
            pendingq_count: 0,
        }
    }
}

fn yes() -> bool {
    true
}
