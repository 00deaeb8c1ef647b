//! What the kernel tells of this machine before the ultravisor is asked.

use pv_guest::firmware;
use pv_wire::attestation::Items;

/// Whether and how the ultravisor attests; `None` where the kernel does not tell.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Whether it does at all.
    pub offered: Option<bool>,
    /// What it can add.
    pub items: Option<Items>,
    /// SHA-256 hashes of the host's keys.
    pub host_keys: Option<Vec<[u8; 32]>>,
}

/// Looks. What cannot be read is not told: the ultravisor will answer for itself.
pub fn observe() -> Seen {
    Seen {
        offered: firmware::has_facility(firmware::ATTESTATION),
        items: firmware::attestation_items(),
        host_keys: firmware::host_key_hashes().ok().flatten(),
    }
}
