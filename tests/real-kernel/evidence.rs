//! An attestation request for the machine, and what the production verifier says of the answers of a real kernel.

use crate::booted;
use crate::scenario::{MACHINE, Run};
use anyhow::Result;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use e2e::World;
use openssl::pkey::PKey;
use pv_request::attest::{Challenge, ChallengeKeys, Evidence, Expected, Sent, Status, Verdict, verify};
use pv_request::{HostKey, ImageTags, RequestKeys};
use pv_wire::attestation::{AttestationRequest, Item};
use serde_json::{Value, json};
use std::fs;
use zeroize::Zeroizing;

const CREATED: i64 = 1_800_000_000;

/// A request and the arguments of the module that carry it.
#[derive(Debug)]
pub struct Challenged {
    challenge: Challenge,
    /// For the module `attest`.
    pub content: Value,
}

impl Challenged {
    /// A request for everything that can be asked for.
    pub fn new(world: &World) -> Result<Self> {
        let pem = fs::read(world.path(&format!("{MACHINE}.pub")))?;
        let host = HostKey::new(PKey::public_key_from_pem(&pem)?, MACHINE)?;
        let keys = ChallengeKeys {
            request: RequestKeys::generate()?,
            measurement: Zeroizing::new([0x31; 64]),
            nonce: Zeroizing::new([0x32; 16]),
        };
        let challenge = Challenge::build(Item::ALL.iter().copied().collect(), &[host], keys)?;
        let content = json!({"content": STANDARD.encode(challenge.exchange_file()?)});
        Ok(Self { challenge, content })
    }

    fn verdict(&self, run: &Run, step: &str) -> Verdict {
        let said = &run.of(step).said;
        let response = STANDARD.decode(said["content"].as_str().expect("an answer")).unwrap();
        let evidence = Evidence { response: &response, claims: said["claims"].as_str(), firmware: None };
        let request = AttestationRequest::parse(&self.challenge.request).unwrap();
        let image = Some(ImageTags::read(&run.world.path("image.hdr")).unwrap());
        let expected = Expected { image, ..Expected::default() };
        verify(&evidence, &Sent { request, key: &self.challenge.key, created: CREATED }, &expected, CREATED + 1)
    }
}

pub fn the_evidence_holds(kernel: &str) {
    let Some(run) = booted(kernel) else { return };
    for step in ["attest, open", "attest, locked"] {
        assert_eq!(run.of(step).code, 0, "{step}: {}", run.of(step).said);
        let verdict = run.challenged.verdict(run, step);
        assert_eq!(verdict.status(), Status::Affirming, "{step}: {:?}", verdict.fault());
    }
    assert_ne!(run.of("attest, open").said["content"], run.of("attest, locked").said["content"]);
}

#[test]
fn what_kernel_6_12_lets_the_guest_attest_holds_before_the_verifier() {
    the_evidence_holds("6.12");
}

#[test]
fn what_kernel_7_2_lets_the_guest_attest_holds_before_the_verifier() {
    the_evidence_holds("7.2");
}
