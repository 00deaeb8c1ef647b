//! What is told of a system.

use pv_guest::uv::SecretInfo;
use serde::Serialize;
use std::collections::BTreeMap;

/// The result for Ansible.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "docs", derive(schemars::JsonSchema))]
pub struct Report {
    /// Facts that Ansible adds to the host's.
    pub ansible_facts: AnsibleFacts,
}

/// The one fact.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "docs", derive(schemars::JsonSchema))]
pub struct AnsibleFacts {
    /// Read it as C(ansible_facts.secure_execution).
    pub ansible_secure_execution: SecureExecution,
}

/// What the system says about itself. Parts that are not gathered or do not exist are null.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "docs", derive(schemars::JsonSchema))]
pub struct SecureExecution {
    /// V(guest), V(host) or V(none); null if it cannot be read.
    pub role: Option<String>,
    /// Id of this boot.
    pub boot_id: Option<String>,
    /// When the facts were gathered, in UTC.
    pub gathered_at: String,
    /// Always true: this is the guest's own word, without proof.
    pub self_reported: bool,
    /// The ultravisor.
    pub ultravisor: Option<Ultravisor>,
    /// The secret store.
    pub secrets: Option<Secrets>,
    /// Crypto queues.
    pub ap: Option<Ap>,
    /// What could not be read, and why.
    pub problems: Vec<Problem>,
}

/// The ultravisor, as the kernel shows it.
#[derive(Clone, Debug, Default, Serialize)]
#[cfg_attr(feature = "docs", derive(schemars::JsonSchema))]
pub struct Ultravisor {
    /// The ultravisor's calls by name, and whether it offers them.
    pub facilities: Option<BTreeMap<String, bool>>,
    /// Features by name, and whether they are available.
    pub features: Option<BTreeMap<String, bool>>,
    /// Numbers by the name of their file in C(/sys/firmware/uv/query).
    pub limits: Limits,
    /// The formats that it supports.
    pub supported: Supported,
    /// SHA-256 of this host's public host keys, in hex.
    pub host_key_hashes: Option<Vec<String>>,
}

/// Limits of the ultravisor.
#[derive(Clone, Debug, Default, Serialize)]
#[cfg_attr(feature = "docs", derive(schemars::JsonSchema))]
pub struct Limits {
    /// CPUs per guest.
    pub max_cpus: Option<u64>,
    /// Guests per host.
    pub max_guests: Option<u64>,
    /// Highest address of a guest, in hex.
    pub max_address: Option<String>,
    /// Secrets in total.
    pub max_secrets: Option<u64>,
    /// Association secrets.
    pub max_assoc_secrets: Option<u64>,
    /// Retrievable secrets.
    pub max_retr_secrets: Option<u64>,
}

/// What the ultravisor supports.
#[derive(Clone, Debug, Default, Serialize)]
#[cfg_attr(feature = "docs", derive(schemars::JsonSchema))]
pub struct Supported {
    /// Versions of add-secret requests, such as V(0x0100).
    pub add_secret_versions: Option<Vec<String>>,
    /// Flag bits of add-secret requests, counted from the most significant.
    pub add_secret_flags: Option<Vec<u32>>,
    /// Types of secrets, as pvsecret names them.
    pub secret_kinds: Option<Vec<String>>,
    /// Versions of attestation requests.
    pub attestation_versions: Option<Vec<String>>,
    /// Flag bits of attestation requests.
    pub attestation_flags: Option<Vec<u32>>,
    /// Versions of Secure Execution headers.
    pub se_header_versions: Option<Vec<String>>,
    /// Flag bits of Secure Execution headers.
    pub se_header_flags: Option<Vec<u32>>,
}

/// The secret store. Without permission to list it, the lock is still known if this boot's record shows it.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "docs", derive(schemars::JsonSchema))]
pub struct Secrets {
    /// How many secrets there are.
    pub total: Option<u16>,
    /// Whether all of them are listed.
    pub complete: Option<bool>,
    /// Whether the store is locked; null if unknown.
    pub locked: Option<bool>,
    /// Source of this: V(record), which secret_lock wrote in this boot, or V(probe). If V(probe) reports an unlocked
    /// store, that is inferred.
    pub locked_source: Option<String>,
    /// The secrets.
    pub list: Option<Vec<SecretInfo>>,
}

/// Crypto queues.
#[derive(Clone, Debug, Default, Serialize)]
#[cfg_attr(feature = "docs", derive(schemars::JsonSchema))]
pub struct Ap {
    /// Whether there is an AP bus.
    pub bus: bool,
    /// Whether it has secure binding.
    pub sb_support: Option<bool>,
    /// Whether every queue has its driver.
    pub bindings_complete: Option<bool>,
    /// Cards by number.
    pub cards: Option<Vec<Card>>,
    /// Queues by APQN.
    pub queues: Option<Vec<Queue>>,
}

/// One card.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "docs", derive(schemars::JsonSchema))]
pub struct Card {
    /// Its number.
    pub card: u8,
    /// V(ep11), V(accel) or V(cca).
    pub mode: String,
    /// Generation: 8 for a CEX8.
    pub generation: u32,
    /// Serial number; null until one of its queues is bound.
    pub serialnr: Option<String>,
    /// Online, configured and not checkstopped.
    pub usable: bool,
}

/// One queue.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "docs", derive(schemars::JsonSchema))]
pub struct Queue {
    /// Its name, C(XX.YYYY).
    pub apqn: String,
    /// Its card.
    pub card: u8,
    /// Its domain.
    pub domain: u16,
    /// V(ep11), V(accel) or V(cca).
    pub mode: String,
    /// Online, configured and not checkstopped.
    pub usable: bool,
    /// V(bound), V(unbound), V(-) if it cannot be bound, or V(unknown).
    pub bind: String,
    /// V(associated N), V(association pending), V(unassociated), V(-) or V(unknown).
    pub associate: String,
    /// Index of the secret that it is associated with.
    pub secret_index: Option<u16>,
    /// Master key verification pattern; null if it is not set or cannot be read.
    pub mkvp: Option<String>,
}

/// Something that could not be read.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "docs", derive(schemars::JsonSchema))]
pub struct Problem {
    /// Stable code.
    pub code: String,
    /// What was tried, and the answer.
    pub detail: String,
    /// What to do; null if no remedy is known.
    pub hint: Option<String>,
}
