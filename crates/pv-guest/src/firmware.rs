//! What the kernel tells of the ultravisor in `/sys/firmware/uv`.
//!
//! Which files there are depends on the kernel's version: an absent one is normal.

use crate::sysfs;
use pv_wire::attestation::{Item, Items};
use std::io;
use std::path::{Path, PathBuf};

const ROOT: &str = "/sys/firmware/uv";

/// Names of the ultravisor's calls, by facility bit.
pub const FACILITIES: &[(u32, &str)] = &[
    (0, "query"),
    (1, "init"),
    (2, "create_configuration"),
    (3, "destroy_configuration"),
    (4, "create_cpu"),
    (5, "destroy_cpu"),
    (6, "convert_to_secure"),
    (7, "convert_from_secure"),
    (8, "set_shared"),
    (9, "remove_shared"),
    (11, "set_parameters"),
    (12, "destroy_storage"),
    (13, "unpack"),
    (14, "verify_image"),
    (15, "cpu_reset"),
    (16, "cpu_initial_reset"),
    (17, "cpu_set_state"),
    (18, "prepare_for_reset"),
    (19, "cpu_reset_clear"),
    (20, "unshare_all"),
    (21, "pin"),
    (22, "unpin"),
    (23, "fast_destroy"),
    (24, "dump_initialize"),
    (25, "dump_storage_state"),
    (26, "dump_cpu_state"),
    (27, "dump_complete"),
    (ATTESTATION, "attestation"),
    (29, "add_secret"),
    (30, "list_secrets"),
    (31, "lock_secrets"),
    (32, "verify_large_frame"),
    (RETRIEVE_SECRET, "retrieve_secret"),
];

/// Bit of the call that attests the guest.
pub const ATTESTATION: u32 = 28;
/// Bit of the call that retrieves a secret.
pub const RETRIEVE_SECRET: u32 = 33;

/// Names of feature indications, by bit.
pub const FEATURES: &[(u32, &str)] = &[(1, "adapter_interrupts"), (4, "ap_pass_through"), (5, "ap_interpretation")];

/// What this system is to the ultravisor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// A Secure Execution guest.
    Guest,
    /// A host that can run such guests.
    Host,
    /// Neither.
    None,
}

/// Reads the role. Absent files mean neither.
///
/// # Errors
/// The kernel's, when a file is there and cannot be read.
pub fn role() -> io::Result<Role> {
    let is = |name: &str| Ok::<_, io::Error>(sysfs::read_optional(&path(name))?.as_deref() == Some("1"));
    Ok(if is("prot_virt_guest")? {
        Role::Guest
    } else if is("prot_virt_host")? {
        Role::Host
    } else {
        Role::None
    })
}

/// A file below `/sys/firmware/uv`.
pub fn path(name: &str) -> PathBuf {
    Path::new(ROOT).join(name)
}

/// Whether the ultravisor has the call of this bit of its facilities (see [`FACILITIES`]); `None` where the kernel does not
/// tell, or nothing that is understood.
pub fn has_facility(bit: u32) -> Option<bool> {
    let text = sysfs::read_optional(&path("query/facilities")).ok().flatten()?;
    Some(sysfs::bits(&text).filter(|bits| !bits.is_empty())?.contains(&bit))
}

/// What the ultravisor can add to an attestation; `None` where the kernel does not tell, or nothing that is understood.
pub fn attestation_items() -> Option<Items> {
    let text = sysfs::read_optional(&path("query/supp_att_pflags")).ok().flatten()?;
    let bits = sysfs::bits(&text).filter(|_| !text.is_empty())?;
    Some(Item::ALL.into_iter().filter(|item| bits.contains(&item.bit())).collect())
}

/// SHA-256 hashes of this host's public host keys, where kernel and ultravisor tell them; `None` where not, and where
/// anything of what they tell is not understood: from a part nobody could conclude that a key is not the host's.
///
/// # Errors
/// The kernel's, when a file is there and cannot be read.
pub fn host_key_hashes() -> io::Result<Option<Vec<[u8; 32]>>> {
    Ok(sysfs::read_optional(&path("keys/all"))?.and_then(|text| hashes(&text)))
}

/// The hashes in the text of `keys/all`, 64 hex digits a line; `None` where anything else is in it.
pub fn hashes(text: &str) -> Option<Vec<[u8; 32]>> {
    let hash = |word: &str| pv_wire::decode_hex(word)?.try_into().ok();
    let mut hashes: Vec<[u8; 32]> = text.split_whitespace().map(hash).collect::<Option<_>>()?;
    // A backup key that does not exist is shown as zeros.
    hashes.retain(|hash| *hash != [0; 32]);
    (!hashes.is_empty()).then_some(hashes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_told_only_if_every_line_is_understood() {
        let (key, none) = ("a1".repeat(32), "00".repeat(32));
        assert_eq!(hashes(&format!("{key}\n{none}\n")), Some(vec![[0xa1; 32]]));
        for text in [String::new(), none, format!("{key}\nhostile\n"), format!("{key}\n{}\n", &key[2..])] {
            assert_eq!(hashes(&text), None, "{text:?}");
        }
    }
}
