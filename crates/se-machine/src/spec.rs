//! What a machine is made of, with the defaults of each part. Scenario files have these parts under the same names.

use serde::{Deserialize, Serialize};

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
    /// With it, what the ultravisor makes by chance (CUIDs, keys that wrap, salts) is the same in each run.
    pub seed: Option<u64>,
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
            seed: None,
        }
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
