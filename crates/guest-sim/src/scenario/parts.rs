//! The parts of a scenario, each with its defaults.

use std::collections::BTreeMap;
use std::time::Duration;

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
        }
    }
}

/// The ultravisor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Uv {
    /// The system is a Secure Execution guest.
    pub guest: bool,
    /// The system is a host of such guests.
    pub host: bool,
    /// The ultravisor can add, list and lock.
    pub secrets: bool,
    /// The ultravisor can retrieve.
    pub retrieve: bool,
    /// The ultravisor can attest.
    pub attestation: bool,
    /// Attestation flags that it takes.
    pub attestation_flags: u64,
    /// SHA-256 of the host key that opened the image, 64 hex digits; without it that of this host.
    pub image_host_key_hash: Option<String>,
    /// The firmware state, 640 hex digits; without it the bytes 00 to ff and 64 times 5a.
    pub firmware_state: Option<String>,
    /// Association secrets that fit into the store.
    pub max_assoc_secrets: u16,
    /// Retrievable secrets that fit into the store.
    pub max_retr_secrets: u16,
    /// As the kernel prints it: the highest CPU id plus one.
    pub max_cpus: u32,
    /// Number of guests.
    pub max_guests: u32,
    /// Secret types that are taken.
    pub secret_types: Vec<u16>,
    /// Add-secret flags that are taken.
    pub request_flags: u64,
    /// A dump is going on: nothing can be added.
    pub dump_in_progress: bool,
    /// `/sys/firmware/uv/keys` exists.
    pub keys: bool,
    /// SHA-256 of the backup host key, 64 hex digits.
    pub backup_host_key_hash: Option<String>,
    /// Configuration unique id of every start, 32 hex digits; random at each start without it.
    pub cuid: Option<String>,
}

impl Default for Uv {
    fn default() -> Self {
        Self {
            guest: true,
            host: false,
            secrets: true,
            retrieve: true,
            attestation: true,
            attestation_flags: 0x7c00_0000_0000_0000,
            image_host_key_hash: None,
            firmware_state: None,
            max_assoc_secrets: 30,
            max_retr_secrets: 30,
            max_cpus: 257,
            max_guests: 8_388_607,
            secret_types: (1..=10).chain(17..=22).collect(),
            request_flags: 1 << 63,
            dump_in_progress: false,
            keys: true,
            backup_host_key_hash: None,
            cuid: None,
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
    /// `ms` of one of the fields as a duration.
    pub fn of(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }
}

/// A check that the ultravisor makes on the visible form of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FormCheck {
    /// The request's version: 0x0104.
    Version,
    /// All lengths: 0x0105.
    Size,
    /// At least one host key: 0x0106.
    HostKeys,
    /// No unknown flag: 0x0107.
    Flags,
}

/// A check that the ultravisor makes on an attestation request, or on what comes with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AttestCheck {
    /// At most 256 bytes of user data: 0x0102.
    UserData,
    /// The request's version: 0x0106.
    Version,
    /// Its length: 0x0107.
    Length,
    /// At least one host key: 0x0108.
    HostKeys,
    /// The size of its encrypted area: 0x0109.
    EncryptedSize,
    /// No unknown flag: 0x010a.
    Flags,
    /// The measurement algorithm: 0x010b.
    Algorithm,
    /// Room for the measurement: 0x010d.
    MeasurementRoom,
    /// Room for the additional data: 0x010e.
    AdditionalRoom,
    /// It can be decrypted: 0x010c.
    Decryption,
}

/// Behaviour of the firmware that cannot be verified without hardware. A careful tool works under every setting.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Switches {
    /// Order of the checks on a request's form; what is left out follows in the default order.
    pub check_order: Vec<FormCheck>,
    /// A request of another image is refused with 0x010c instead of 0x0108.
    pub other_image_is_constraint: bool,
    /// A request with another CUID is refused with 0x0108 instead of 0x010c.
    pub other_cuid_is_undecryptable: bool,
    /// A full store is noticed before the request is decrypted.
    pub full_before_decryption: bool,
    /// An accepted update of the CCK forgets the primed extension secret: the next request primes anew.
    pub cck_update_unprimes: bool,
    /// Associating with an id that two secrets have fails with 0x35.
    pub doubled_id_is_not_unique: bool,
    /// A reset that is no unbind keeps binding and association.
    pub reset_keeps_binding: bool,
    /// A queue still shows its old state while an unbind is going on.
    pub bound_during_reset: bool,
    /// New manners only: a bind that takes time is answered with EIO though it succeeds later.
    pub slow_bind_is_eio: bool,
    /// A bound accelerator is in state 1 (without secure keys) instead of 0 (usable).
    pub accelerator_without_keys: bool,
    /// A deconfigured or checkstopped queue says state 0 (usable) instead of its last one.
    pub dead_queue_reads_zero: bool,
    /// A key is wrapped anew each time it is retrieved, so that the bytes differ within one boot.
    pub fresh_wrapping: bool,
    /// Order of the checks on an attestation request; what is left out follows in the default order.
    pub attest_order: Vec<AttestCheck>,
}

impl Default for Switches {
    fn default() -> Self {
        Self {
            check_order: Vec::new(),
            other_image_is_constraint: false,
            other_cuid_is_undecryptable: false,
            full_before_decryption: false,
            cck_update_unprimes: true,
            doubled_id_is_not_unique: true,
            reset_keeps_binding: true,
            bound_during_reset: false,
            slow_bind_is_eio: false,
            accelerator_without_keys: false,
            dead_queue_reads_zero: false,
            fresh_wrapping: false,
            attest_order: Vec::new(),
        }
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
