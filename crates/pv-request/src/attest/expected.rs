//! What a guest's answer is compared with.

use super::{FirmwareAnswer, FirmwareService, KnownAs, ProtectionKey, codes};
use crate::ImageTags;
use fault::{Fault, Result};
use pv_wire::{
    attestation::{AttestationRequest, Claims, SshHostKey, layout},
    layout::TAG_LEN,
};
use std::collections::HashMap;

/// What a guest handed over. All of it may be forged.
#[derive(Clone, Copy, Debug)]
pub struct Evidence<'a> {
    /// The response: an exchange file.
    pub response: &'a [u8],
    /// The claims document that the guest says it has bound, if it says so.
    pub claims: Option<&'a str>,
    /// What a service says about the firmware's state that is in the response, if one was asked.
    pub firmware: Option<&'a FirmwareAnswer>,
}

/// What was sent to the guest, as its sender kept it.
#[derive(Clone, Copy, Debug)]
pub struct Sent<'a> {
    /// The request.
    pub request: AttestationRequest<'a>,
    /// Its key.
    pub key: &'a ProtectionKey,
    /// When it was made, in seconds since 1970.
    pub created: i64,
}

/// One add-secret request that the guest's store is to have taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpectedRequest {
    /// What messages call it.
    pub label: String,
    /// The request's tag: its last 16 bytes.
    pub tag: [u8; TAG_LEN],
    /// SHA-256 of the whole request, where it is known.
    pub sha256: Option<[u8; 32]>,
}

/// The secret store as it is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpectedStore {
    /// The requests that were added since boot, in the order of adding.
    pub requests: Vec<ExpectedRequest>,
    /// Whether the store is locked.
    pub locked: bool,
}

impl ExpectedClaims {
    /// Takes over what an SSH client knows of the guest.
    pub fn know(&mut self, host: KnownAs) {
        let KnownAs { name, keys, revoked, otherwise } = host;
        self.revoked_ssh_host_keys = revoked;
        match &mut self.ssh_host_keys {
            Some(known) => known.extend(keys),
            None if keys.is_empty() => {
                let why = if otherwise {
                    format!("known_hosts knows {name} only by a wildcard, by an authority or without its port")
                } else {
                    format!("known_hosts has no key for {name}")
                };
                self.not_known = Some(format!("{why}, so no SSH host key is compared."));
            }
            known => *known = Some(keys),
        }
    }
}

impl ExpectedStore {
    /// Puts the requests into the order in which the guest says that it added them; those that it does not name come last. The
    /// store's hash then shows whether that is so: the order is measured, whoever named it.
    pub fn in_the_order_of(&mut self, claims: &Claims) {
        let said: HashMap<_, _> = claims
            .added_requests()
            .unwrap_or_default()
            .iter()
            .enumerate()
            .map(|(at, sha256)| (*sha256, at))
            .rev()
            .collect();
        self.requests
            .sort_by_key(|request| request.sha256.and_then(|sha256| said.get(&sha256).copied()).unwrap_or(usize::MAX));
    }
}

/// What the guest is to say about itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExpectedClaims {
    /// The guest must say which whole requests it added. If it does, they are compared with those of the store whether this
    /// is set or not.
    pub added_requests: bool,
    /// The keys that the guest is known by, of which it must have each; none of them is a failure.
    pub ssh_host_keys: Option<Vec<SshHostKey>>,
    /// Keys that the guest must not have.
    pub revoked_ssh_host_keys: Vec<SshHostKey>,
    /// Why it is known by no key, if that was looked up: a sentence for who reads the checks. Nothing is compared with it.
    pub not_known: Option<String>,
    /// The boot id.
    pub boot_id: Option<String>,
}

/// The values that an answer is compared with. What is `None` is not compared, and nothing is said about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected {
    /// The image. Without it no measurement can be checked.
    pub image: Option<ImageTags>,
    /// The secret store.
    pub store: Option<ExpectedStore>,
    /// Hashes of the host keys that may have opened the image.
    pub image_host_keys: Option<Vec<[u8; 32]>>,
    /// Hashes of the host keys of the machines that may answer.
    pub attestation_host_keys: Option<Vec<[u8; 32]>>,
    /// User data that are not the hash of claims.
    pub user_data: Option<Vec<u8>>,
    /// What the guest is to say about itself.
    pub claims: ExpectedClaims,
    /// The configuration unique id that it had before.
    pub cuid: Option<[u8; layout::CUID_LEN]>,
    /// The service that must find the firmware valid.
    pub firmware: Option<FirmwareService>,
    /// How old the request may be, in seconds.
    pub max_age: u32,
    /// How long a verdict holds from the time when the request was made, in seconds.
    pub valid_for: u32,
}

/// Nothing is expected; ten minutes for an answer, a day for the verdict.
impl Default for Expected {
    fn default() -> Self {
        Self {
            image: None,
            store: None,
            image_host_keys: None,
            attestation_host_keys: None,
            user_data: None,
            claims: ExpectedClaims::default(),
            cuid: None,
            firmware: None,
            max_age: 600,
            valid_for: 86_400,
        }
    }
}

impl Expected {
    /// That there is something to compare with: an image, a store or host keys.
    ///
    /// # Errors
    /// [`codes::NOTHING_EXPECTED`].
    pub fn demand_something(&self) -> Result<()> {
        let host_keys = self.image_host_keys.is_some() || self.attestation_host_keys.is_some();
        if self.image.is_some() || self.store.is_some() || host_keys {
            return Ok(());
        }
        Err(Fault::new(codes::NOTHING_EXPECTED, "Nothing is given that the attestation could be compared with.")
            .hint("Name at least the image; secrets and host keys beside it show more."))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_put_into_the_order_that_the_guest_names_and_others_stay_behind() {
        let request = |number: u8, is_known: bool| ExpectedRequest {
            label: number.to_string(),
            tag: [number; TAG_LEN],
            sha256: is_known.then_some([number; 32]),
        };
        let mut store = ExpectedStore {
            requests: vec![request(9, false), request(1, true), request(2, true), request(8, true), request(3, true)],
            locked: true,
        };
        let claims = Claims::default().with_added_requests(vec![[3; 32], [7; 32], [1; 32], [2; 32], [3; 32]]).unwrap();
        store.in_the_order_of(&claims);
        let order: Vec<_> = store.requests.iter().map(|request| request.label.as_str()).collect();
        assert_eq!(order, ["3", "1", "2", "9", "8"]);
    }

    #[test]
    fn what_a_client_knows_of_a_guest_is_added_or_the_reason_is_kept() {
        let key = |text: &str| text.parse::<SshHostKey>().unwrap();
        let one = key("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINtOaNa/a2hcojDLrN8TEN3clL2Qwtv95xewdu2aAqhf");
        let keys = [one.clone()];
        let host = |keys: &[SshHostKey], otherwise| KnownAs {
            name: "g1".into(),
            keys: keys.to_vec(),
            revoked: vec![one.clone()],
            otherwise,
        };
        let after = |before: Option<Vec<SshHostKey>>, host: KnownAs| {
            let mut claims = ExpectedClaims { ssh_host_keys: before, ..ExpectedClaims::default() };
            claims.know(host);
            assert_eq!(claims.revoked_ssh_host_keys, keys);
            (claims.ssh_host_keys, claims.not_known)
        };
        assert_eq!(after(None, host(&keys, true)), (Some(keys.to_vec()), None));
        assert_eq!(after(Some(vec![]), host(&keys, false)), (Some(keys.to_vec()), None));
        assert_eq!(after(Some(vec![]), host(&[], false)), (Some(vec![]), None));
        let reason = |otherwise| after(None, host(&[], otherwise)).1.unwrap();
        assert_eq!(reason(false), "known_hosts has no key for g1, so no SSH host key is compared.");
        assert!(reason(true).contains("only by a wildcard"), "{}", reason(true));
    }
}
