//! What attestation takes, beside the operations of OpenSSL that it cannot do without; and an ultravisor that answers many requests.
//! `cargo xtask bench attest` uses both.

#![allow(clippy::unwrap_used, reason = "a measurement ends with its first error")]

use nix::sys::{
    resource::{UsageWho, getrusage},
    time::{TimeVal, TimeValLike as _},
};
use openssl::{
    derive::Deriver,
    ec::{EcGroup, EcKey},
    hash::MessageDigest,
    nid::Nid,
    pkey::{PKey, Private, Public},
    rand::rand_bytes,
    sha::{sha256, sha512},
    sign::Signer,
    symm::{Cipher, decrypt_aead, encrypt_aead},
};
use pv_request::{
    HostKey, ImageTags,
    attest::{
        Challenge, ChallengeKeys, Evidence, Expected, ExpectedRequest, ExpectedStore, Measured, Opened, ProtectionKey,
        Sent, Status, store_hash, verify,
    },
};
use pv_wire::attestation::{AttestationRequest, Claims, ExchangeRequest, ExchangeResponse, Item, Items};
use std::{fs, hint::black_box, path::Path};

const REQUESTS: u32 = 2_000;
const VERDICTS: u32 = 20_000;
/// What is compared is done in so many turns.
const TURNS: u32 = 40;

fn new_key() -> PKey<Private> {
    let group = EcGroup::from_curve_name(Nid::SECP521R1).unwrap();
    PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap()
}

fn public(key: &PKey<Private>) -> PKey<Public> {
    PKey::public_key_from_der(&key.public_key_to_der().unwrap()).unwrap()
}

/// Microseconds of processor time for each.
fn each(count: u32, mut body: impl FnMut()) -> f64 {
    let spent = || {
        let used = getrusage(UsageWho::RUSAGE_SELF).unwrap();
        let microseconds = |time: TimeVal| time.num_microseconds() as f64;
        microseconds(used.user_time()) + microseconds(used.system_time())
    };
    let before = spent();
    (0..count).for_each(|_| body());
    (spent() - before) / f64::from(count)
}

/// The same for two that are compared, in turns: a processor that becomes slower meanwhile does so for both.
fn each_of(count: u32, mut one: impl FnMut(), mut other: impl FnMut()) -> [f64; 2] {
    let turns = (0..TURNS).map(|_| [each(count / TURNS, &mut one), each(count / TURNS, &mut other)]);
    turns.fold([0.0; 2], |sums, turn| [sums[0] + turn[0] / f64::from(TURNS), sums[1] + turn[1] / f64::from(TURNS)])
}

fn items() -> Items {
    [Item::ImageHostKey, Item::AttestationHostKey, Item::SecretStore].into_iter().collect()
}

/// A request by OpenSSL alone: random numbers, a key pair, the agreement, the wrapped key, the encrypted end.
fn bare_request(host: &PKey<Public>) {
    let (mut key, mut iv, mut plain) = ([0; 32], [0; 12], [0; 80]);
    rand_bytes(&mut key).unwrap();
    rand_bytes(&mut iv).unwrap();
    rand_bytes(&mut plain).unwrap();
    let ours = new_key();
    let mut deriver = Deriver::new(&ours).unwrap();
    // As the library does it: the host's point was checked once.
    deriver.set_peer_ex(host, false).unwrap();
    let exchanged = sha256(&deriver.derive_to_vec().unwrap());
    let mut tag = [0; 16];
    black_box(encrypt_aead(Cipher::aes_256_gcm(), &exchanged, Some(&iv), &[], &key, &mut tag).unwrap());
    black_box(encrypt_aead(Cipher::aes_256_gcm(), &key, Some(&iv), &[0; 304], &plain, &mut tag).unwrap());
}

/// A guest with three secrets, and all that a verdict over it takes.
struct Case {
    challenge: Challenge,
    response: Vec<u8>,
    claims: String,
    expected: Expected,
}

impl Case {
    fn new(host: &HostKey) -> Self {
        let challenge = Challenge::build(items(), [host], ChallengeKeys::generate().unwrap()).unwrap();
        let image = ImageTags([0x33; 208]);
        let requests = [1_u8, 2, 3].map(|n| ExpectedRequest {
            label: format!("request {n}"),
            tag: [n; 16],
            sha256: Some([n; 32]),
        });
        let claims = Claims::default()
            .with_added_requests(vec![[1; 32], [2; 32], [3; 32]])
            .and_then(|claims| claims.with_boot_id("0d3a1f6e-2b4c-4d5e-8f90-123456789abc"))
            .and_then(|claims| claims.with_ssh_host_keys(vec!["ssh-ed25519 AAAA".parse()?]))
            .unwrap();
        let mut expected = Expected {
            image: Some(image),
            store: Some(ExpectedStore { requests: requests.to_vec(), locked: true }),
            attestation_host_keys: Some(vec![host.hash()]),
            ..Expected::default()
        };
        expected.claims.ssh_host_keys = Some(vec!["ssh-ed25519 AAAA".parse().unwrap()]);
        let user_data = claims.user_data();
        let store = store_hash(&[[1; 16], [2; 16], [3; 16]], true);
        let request = AttestationRequest::parse(&challenge.request).unwrap();
        let response = answer(&request, &challenge.key, &image, host.hash(), &store, &user_data, [7; 16]);
        Self { claims: claims.to_json(), challenge, response, expected }
    }

    fn judge(&self) {
        let sent = Sent {
            request: AttestationRequest::parse(&self.challenge.request).unwrap(),
            key: &self.challenge.key,
            created: 0,
        };
        let evidence = Evidence { response: &self.response, claims: Some(&self.claims), firmware: None };
        assert_eq!(verify(&evidence, &sent, &self.expected, 1).status(), Status::Affirming);
    }

    /// What a verdict takes of OpenSSL: the end is decrypted, the measurement computed, store and claims hashed.
    fn bare_verdict(&self) {
        let request = AttestationRequest::parse(&self.challenge.request).unwrap();
        let key = self.challenge.key.as_bytes();
        let (aad, sealed) = (request.authenticated(), request.sealed());
        let plain = decrypt_aead(Cipher::aes_256_gcm(), key, Some(&request.iv()), aad, sealed, request.tag()).unwrap();
        let hmac = PKey::hmac(&plain[..64]).unwrap();
        let mut signer = Signer::new(MessageDigest::sha512(), &hmac).unwrap();
        signer.update(&[0x33; 232 + 64 + 16 + 128]).unwrap();
        black_box(signer.sign_to_vec().unwrap());
        black_box(sha512(&[1; 49]));
        black_box(sha512(self.claims.as_bytes()));
    }
}

/// The file with which an ultravisor answers.
fn answer(
    request: &AttestationRequest<'_>,
    key: &ProtectionKey,
    image: &ImageTags,
    host: [u8; 32],
    store: &[u8; 64],
    user_data: &[u8],
    cuid: [u8; 16],
) -> Vec<u8> {
    let additional = [host.as_slice(), &host, store].concat();
    let opened = Opened::open(request, key).unwrap();
    let measurement = Measured { image, cuid, user_data, additional: &additional }.measure(&opened).unwrap();
    let response = ExchangeResponse {
        request: request.bytes(),
        measurement: &measurement,
        additional: &additional,
        user_data,
        cuid,
    };
    response.write().unwrap()
}

/// Answers `0.request`, `1.request` and so on in the folder as guests with an empty store that is locked.
fn answer_all(folder: &Path, image: &Path, count: u32) {
    let image = ImageTags::read(image).unwrap();
    let store = store_hash(&[], true);
    for number in 0..count {
        let file = |end: &str| folder.join(format!("{number}.{end}"));
        let bytes = fs::read(file("request")).unwrap();
        let request = ExchangeRequest::parse(&bytes).unwrap().attestation_request().unwrap();
        let key = ProtectionKey::new(&fs::read(file("request.key")).unwrap(), "key").unwrap();
        let host = request.host_key_hashes().next().unwrap();
        let cuid = u128::from(number + 1).to_be_bytes();
        fs::write(file("answer"), answer(&request, &key, &image, host, &store, &[], cuid)).unwrap();
    }
}

fn main() {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    if let [folder, image, count] = arguments.as_slice() {
        return answer_all(Path::new(folder), Path::new(image), count.parse().unwrap());
    }
    let key = new_key();
    let (key, host) = (public(&key), HostKey::new(public(&key), "host").unwrap());
    let build = || {
        let challenge = Challenge::build(items(), [&host], ChallengeKeys::generate().unwrap()).unwrap();
        black_box(challenge.exchange_file().unwrap());
    };
    let [bare_request, request] = each_of(REQUESTS, || bare_request(&key), build);
    let case = Case::new(&host);
    let [bare_verdict, verdict] = each_of(VERDICTS, || case.bare_verdict(), || case.judge());
    println!("{bare_request} {request} {bare_verdict} {verdict}");
}
