//! The reference values as a document, by which an auditor can see what a verdict compares with.

use super::{Expected, FirmwareService};
use openssl::sha::sha256;
use pv_wire::{attestation::SshHostKey, encode_hex};
use serde_json::{Value, json};

impl Expected {
    /// All that an answer is compared with: keys sorted, hashes and ids in hex. Nothing in it is secret.
    pub fn policy(&self) -> Value {
        let hashes = |all: &Option<Vec<[u8; 32]>>| {
            all.as_ref().map(|all| all.iter().map(|hash| encode_hex(hash)).collect::<Vec<_>>())
        };
        let store = self.store.as_ref().map(|store| {
            let requests = store.requests.iter().map(|request| {
                json!({ "sha256": request.sha256.map(|hash| encode_hex(&hash)), "tag": encode_hex(&request.tag) })
            });
            json!({ "locked": store.locked, "requests": requests.collect::<Vec<_>>() })
        });
        let keys = |all: &[SshHostKey]| all.iter().map(ToString::to_string).collect::<Vec<_>>();
        json!({
            "attestation_host_keys": hashes(&self.attestation_host_keys),
            "claims": {
                "added_requests": self.claims.added_requests,
                "boot_id": self.claims.boot_id,
                "revoked_ssh_host_keys": keys(&self.claims.revoked_ssh_host_keys),
                "ssh_host_keys": self.claims.ssh_host_keys.as_deref().map(keys),
            },
            "cuid": self.cuid.map(|cuid| encode_hex(&cuid)),
            "firmware": self.firmware.as_ref().map(FirmwareService::address),
            "image": self.image.map(|image| encode_hex(&image.0)),
            "image_host_keys": hashes(&self.image_host_keys),
            "max_age": self.max_age,
            "store": store,
            "user_data": self.user_data.as_deref().map(encode_hex),
            "valid_for": self.valid_for,
            "version": 1,
        })
    }

    /// SHA-256 of [`Self::policy`] as JSON without blanks. Two guests with the same hash were judged by the same values.
    pub fn policy_sha256(&self) -> [u8; 32] {
        sha256(self.policy().to_string().as_bytes())
    }
}
