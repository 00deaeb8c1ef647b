//! What the ultravisor says of itself (Linux arch/s390/include/asm/uv.h). Bits are counted from the left of 64 (MSB0).

use super::Ultravisor;

/// The answer to the query call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Info {
    /// Installed calls.
    pub calls: u64,
    /// Features: 4 and 5 are pass-through and interpretation of AP.
    pub features: u64,
    /// Number of guests.
    pub max_guests: u32,
    /// The highest address of a guest's memory.
    pub max_address: u64,
    /// The highest CPU id.
    pub max_cpu_id: u16,
    /// Versions of SE headers: bit n stands for version (n + 1) times 0x100.
    pub header_versions: u64,
    /// Plaintext control flags of SE headers.
    pub header_flags: u64,
    /// Versions of attestation requests, as those of headers.
    pub attestation_versions: u64,
    /// Flags of attestation requests.
    pub attestation_flags: u64,
    /// Versions of add-secret requests, as those of headers.
    pub request_versions: u64,
    /// Flags of add-secret requests.
    pub request_flags: u64,
    /// Types of secrets: bit n stands for type n + 1.
    pub secret_types: u64,
    /// Association secrets that fit into the store.
    pub max_assoc_secrets: u16,
    /// Retrievable secrets that fit into the store.
    pub max_retr_secrets: u16,
}

impl Ultravisor {
    /// Query call.
    pub fn info(&self) -> Info {
        let spec = &self.spec;
        let types = spec.secret_types.iter().filter(|&&number| (1..=64).contains(&number));
        Info {
            calls: self.installed_calls(),
            features: msb0(4) | msb0(5),
            max_guests: spec.max_guests,
            max_address: 0x7ff_ffff_ffff,
            max_cpu_id: u16::try_from(spec.max_cpus.saturating_sub(1)).unwrap_or(u16::MAX),
            header_versions: msb0(0),
            header_flags: [34, 35, 56, 57, 58, 62].map(msb0).iter().fold(0, |all, bit| all | bit),
            attestation_versions: if spec.attestation { msb0(0) } else { 0 },
            attestation_flags: if spec.attestation { spec.attestation_flags } else { 0 },
            request_versions: msb0(0),
            request_flags: spec.request_flags,
            secret_types: types.fold(0, |all, &number| all | msb0(u32::from(number) - 1)),
            max_assoc_secrets: spec.max_assoc_secrets,
            max_retr_secrets: spec.max_retr_secrets,
        }
    }

    fn installed_calls(&self) -> u64 {
        let base = (0..=6).chain(7..=9).chain(11..=27).chain([32]);
        let attestation = [28].into_iter().filter(|_| self.spec.attestation);
        let secrets = [29, 30, 31].into_iter().filter(|_| self.spec.secrets);
        let retrieve = [33].into_iter().filter(|_| self.spec.secrets && self.spec.retrieve);
        let keys = [34].into_iter().filter(|_| self.spec.keys);
        base.chain(attestation).chain(secrets).chain(retrieve).chain(keys).fold(0, |all, bit| all | msb0(bit))
    }
}

fn msb0(bit: u32) -> u64 {
    1 << (63 - bit)
}
