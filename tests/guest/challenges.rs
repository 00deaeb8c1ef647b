//! Attestation requests of the tests, and two verifications of the answers that know nothing of each other.

use crate::support::*;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use e2e::Guest;
use openssl::hash::MessageDigest;
use openssl::pkey::PKey;
use openssl::sign::Signer;
use pv_request::attest::{
    Challenge, ChallengeKeys, Evidence, Expected, ExpectedClaims, ExpectedRequest, ExpectedStore, Sent, Status,
    Verdict, verify,
};
use pv_request::{HostKey, ImageTags, RequestKeys};
use pv_wire::attestation::{AttestationRequest, Item};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use zeroize::Zeroizing;

pub const MODULE: &str = "attest";
pub const KEY: [u8; 64] = [0x31; 64];
pub const NONCE: [u8; 16] = [0x32; 16];
pub const CREATED: i64 = 1_800_000_000;

/// A request for these machines; its measurement key and nonce are the tests'.
pub fn challenge(items: &[Item], machines: &[&str]) -> Challenge {
    let host = |machine: &&str| {
        let pem = fs::read(world().path(&format!("{machine}.pub"))).unwrap();
        HostKey::new(PKey::public_key_from_pem(&pem).unwrap(), machine).unwrap()
    };
    let hosts: Vec<_> = machines.iter().map(host).collect();
    let keys = ChallengeKeys {
        request: RequestKeys::generate().unwrap(),
        measurement: Zeroizing::new(KEY),
        nonce: Zeroizing::new(NONCE),
    };
    Challenge::build(items.iter().copied().collect(), &hosts, keys).unwrap()
}

pub fn usual() -> Challenge {
    challenge(&Item::ALL, &["m1"])
}

pub fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

pub fn content(challenge: &Challenge) -> Value {
    json!({"content": base64(&challenge.exchange_file().unwrap())})
}

/// The same with an option more.
pub fn with(challenge: &Challenge, option: &str, value: Value) -> Value {
    let mut arguments = content(challenge);
    arguments[option] = value;
    arguments
}

pub fn response(result: &Value) -> Vec<u8> {
    STANDARD.decode(result["content"].as_str().unwrap()).unwrap()
}

/// How often the ultravisor was asked.
pub fn asked(guest: &Guest) -> usize {
    guest.log().unwrap().iter().filter(|event| event["name"] == "attest").count()
}

/// What the production verifier says.
pub fn verdict(challenge: &Challenge, result: &Value, expected: &Expected) -> Verdict {
    let response = response(result);
    let evidence = Evidence { response: &response, claims: result["claims"].as_str(), firmware: None };
    let request = AttestationRequest::parse(&challenge.request).unwrap();
    verify(&evidence, &Sent { request, key: &challenge.key, created: CREATED }, expected, CREATED + 1)
}

pub fn image() -> Expected {
    Expected { image: Some(ImageTags::read(&world().path("image.hdr")).unwrap()), ..Expected::default() }
}

/// What the store is expected to hold: these requests, in this order.
pub fn holding(requests: &[&str], locked: bool) -> Expected {
    let expected = |path: &&str| {
        let bytes = fs::read(path).unwrap();
        let (tag, sha256) = (bytes[bytes.len() - 16..].try_into().unwrap(), Some(openssl::sha::sha256(&bytes)));
        ExpectedRequest { label: (*path).to_owned(), tag, sha256 }
    };
    let store = ExpectedStore { requests: requests.iter().map(expected).collect(), locked };
    let claims = ExpectedClaims { added_requests: true, ..ExpectedClaims::default() };
    Expected { store: Some(store), claims, ..image() }
}

pub fn is_affirmed(challenge: &Challenge, result: &Value, expected: &Expected) {
    let verdict = verdict(challenge, result, expected);
    assert_eq!(verdict.status(), Status::Affirming, "{:?}", verdict.fault());
}

/// The entries of the response's exchange file, by offsets that are written down here once more.
pub struct Parts {
    pub request: Vec<u8>,
    pub measurement: Vec<u8>,
    pub additional: Vec<u8>,
    pub user: Vec<u8>,
    pub cuid: Vec<u8>,
}

pub fn parts(file: &[u8]) -> Parts {
    let number = |at: usize| u32::from_be_bytes(file[at..at + 4].try_into().unwrap()) as usize;
    assert_eq!((&file[..8], number(0x0c)), (b"pvattest".as_slice(), file.len()));
    let entry = |at: usize| file[number(at + 4)..][..number(at)].to_vec();
    Parts {
        request: entry(0x18),
        measurement: entry(0x20),
        additional: entry(0x28),
        user: entry(0x30),
        cuid: entry(0x38),
    }
}

/// What the measurement must be, put together from the image's header and the response alone.
pub fn measured(parts: &Parts) -> Vec<u8> {
    let header = fs::read(world().path("image.hdr")).unwrap();
    let message = [
        &header[0xe0..0x1a0],
        &header[header.len() - 16..],
        &parts.cuid,
        &(parts.user.len() as u16).to_be_bytes(),
        &[0; 2],
        &(parts.additional.len() as u32).to_be_bytes(),
        &parts.user,
        &NONCE,
        &parts.additional,
    ]
    .concat();
    let key = PKey::hmac(&KEY).unwrap();
    let mut signer = Signer::new(MessageDigest::sha512(), &key).unwrap();
    signer.sign_oneshot_to_vec(&message).unwrap()
}

/// Gives the guest an /etc/ssh of its own with these files; false where the machine has no such folder.
pub fn own_ssh(guest: &Guest, files: &[(&str, &[u8])]) -> bool {
    let folder = Path::new("/etc/ssh");
    if !folder.is_dir() {
        eprintln!("skipped: there is no {} to put another in its place", folder.display());
        return false;
    }
    guest.own_folder(folder).unwrap();
    for (name, content) in files {
        let command = format!("umask 022; cat > /etc/ssh/{name}");
        assert!(guest.run(Path::new("/bin/sh"), &["-c", &command], content).unwrap().status.success());
    }
    true
}

/// Each step as `attest unchanged`.
pub fn steps(result: &Value) -> Vec<String> {
    let told = |step: &Value| format!("{} {}", step["step"].as_str().unwrap(), step["state"].as_str().unwrap());
    result["steps"].as_array().unwrap().iter().map(told).collect()
}
