//! What `/sys/firmware/uv` shows, in the kernel's own formatting (Linux arch/s390/kernel/uv.c): hexadecimal without
//! leading zeros, decimal, one final newline. Bits are counted from the left of 64 (MSB0).

use std::fmt::Write;

use super::Ultravisor;
use crate::hex;

/// Hashes that `keys/all` shows.
const KEY_SLOTS: usize = 15;

/// Names in `/sys/firmware/uv/query`.
pub const QUERY: [&str; 15] = [
    "facilities",
    "feature_indications",
    "max_address",
    "max_assoc_secrets",
    "max_cpus",
    "max_guests",
    "max_retr_secrets",
    "max_secrets",
    "supp_add_secret_pcf",
    "supp_add_secret_req_ver",
    "supp_att_pflags",
    "supp_att_req_hdr_ver",
    "supp_se_hdr_pcf",
    "supp_se_hdr_ver",
    "supp_secret_types",
];

/// Names in `/sys/firmware/uv/keys`.
pub const KEYS: [&str; 3] = ["all", "backup_host_key", "host_key"];

/// Names of the files in `/sys/firmware/uv` itself.
pub const FLAGS: [&str; 2] = ["prot_virt_guest", "prot_virt_host"];

impl Ultravisor {
    /// The text of an attribute of `query/`; empty for a name that is not in [`QUERY`].
    pub fn query_attribute(&self, name: &str) -> String {
        let spec = &self.spec;
        match name {
            "facilities" => format!("{:x}\n0\n0\n0\n", self.facilities()),
            // AP pass-through and interpretation.
            "feature_indications" => format!("{:x}\n", msb0(4) | msb0(5)),
            "max_address" => format!("{:x}\n", 0x7ff_ffff_ffff_u64),
            "max_cpus" => format!("{}\n", spec.max_cpus),
            "max_guests" => format!("{}\n", spec.max_guests),
            "max_assoc_secrets" => format!("{}\n", spec.max_assoc_secrets),
            "max_retr_secrets" => format!("{}\n", spec.max_retr_secrets),
            "max_secrets" => format!("{}\n", u32::from(spec.max_assoc_secrets) + u32::from(spec.max_retr_secrets)),
            "supp_add_secret_pcf" => format!("{:x}\n", spec.request_flags),
            // Versions: bit n stands for version (n + 1) times 0x100.
            "supp_add_secret_req_ver" | "supp_se_hdr_ver" => format!("{:x}\n", msb0(0)),
            "supp_att_pflags" => format!("{:x}\n", if spec.attestation { spec.attestation_flags } else { 0 }),
            "supp_att_req_hdr_ver" => format!("{:x}\n", if spec.attestation { msb0(0) } else { 0 }),
            "supp_se_hdr_pcf" => {
                format!("{:x}\n", [34, 35, 56, 57, 58, 62].map(msb0).iter().fold(0, |all, bit| all | bit))
            }
            "supp_secret_types" => {
                let types = spec.secret_types.iter().filter(|&&number| (1..=64).contains(&number));
                format!("{:x}\n", types.fold(0, |all, &number| all | msb0(u32::from(number) - 1)))
            }
            _ => String::new(),
        }
    }

    /// The text of an attribute of `keys/`: SHA-256 of public host keys; empty for a name that is not in [`KEYS`].
    pub fn key_attribute(&self, name: &str) -> String {
        let own = hex::encode(&self.host_key_hash());
        let none = "0".repeat(64);
        let backup = self.spec.backup_host_key_hash.clone().unwrap_or_else(|| none.clone());
        match name {
            "host_key" => format!("{own}\n"),
            "backup_host_key" => format!("{backup}\n"),
            "all" => (0..KEY_SLOTS).fold(String::new(), |mut text, slot| {
                let hash = [&own, &backup].get(slot).copied().unwrap_or(&none);
                // Writing to a String cannot fail.
                let _ = writeln!(text, "{hash}");
                text
            }),
            _ => String::new(),
        }
    }

    /// The text of `prot_virt_guest` or `prot_virt_host`.
    pub fn flag_attribute(&self, name: &str) -> String {
        let set = if name == "prot_virt_host" { self.spec.host } else { self.spec.guest };
        format!("{}\n", u8::from(set))
    }

    /// Installed ultravisor calls.
    fn facilities(&self) -> u64 {
        let base = (0..=6).chain(7..=9).chain(11..=27).chain([32]);
        let attestation = [28].into_iter().filter(|_| self.spec.attestation);
        let secrets = [29, 30, 31].into_iter().filter(|_| self.spec.secrets);
        let retrieve = [33].into_iter().filter(|_| self.spec.secrets && self.spec.retrieve);
        base.chain(attestation).chain(secrets).chain(retrieve).fold(0, |all, bit| all | msb0(bit))
    }
}

fn msb0(bit: u32) -> u64 {
    1 << (63 - bit)
}
