//! Attestation: requests, the files in which they travel, claims, and verdicts over any answer.

use crate::choice;
use pv_request::{
    ImageTags,
    attest::{
        Evidence, Expected, ExpectedRequest, ExpectedStore, FirmwareOpinion, ProtectionKey, Sent, SshKnownHosts,
        Status, verify,
    },
};
use pv_wire::attestation::{AttestationRequest, Claims, ExchangeRequest, ExchangeResponse, Item, SshHostKey, layout};

/// A request for all items, and its key.
const REQUEST: &[u8] = include_bytes!("../keys/attestation_request");
const KEY: &[u8] = include_bytes!("../keys/attestation_request.key");
const NOW: i64 = 1_800_000_000;

/// Reading a request, as it is and with the right length.
pub fn attestation_request(data: &[u8]) {
    look(data);
    let mut whole = data.to_vec();
    let length = u32::try_from(data.len()).unwrap_or(u32::MAX).to_be_bytes();
    if let Some(to) = whole.get_mut(layout::LENGTH..layout::LENGTH + length.len()) {
        to.copy_from_slice(&length);
    }
    look(&whole);
}

fn look(bytes: &[u8]) {
    let Ok(request) = AttestationRequest::parse(bytes) else { return };
    assert_eq!([request.authenticated(), request.sealed(), request.tag()].concat(), bytes);
    let slots = request.host_key_hashes().count();
    let nonce = if request.has_nonce() { 0 } else { layout::NONCE_LEN };
    assert_eq!(bytes.len(), 320 + 80 * slots - nonce);
    assert_eq!(request.additional_size(), request.items().iter().map(Item::size).sum::<usize>());
    assert_eq!((request.iv().len(), request.customer_key().len()), (12, 160));
}

/// Reading exchange files. What is read is written so that it is read as the same.
pub fn exchange_file(data: &[u8]) {
    if let Ok(request) = ExchangeRequest::parse(data) {
        let written = request.write();
        assert!(written.is_ok_and(|file| ExchangeRequest::parse(&file) == Ok(request)));
        assert!(ExchangeResponse::parse(data).is_err(), "both at once");
        let _ = request.attestation_request();
    }
    if let Ok(response) = ExchangeResponse::parse(data) {
        let written = response.write();
        assert!(written.is_ok_and(|file| ExchangeResponse::parse(&file) == Ok(response)));
    }
}

/// The claims of a guest, and one of its SSH host keys.
pub fn claims(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(claims) = Claims::parse(text) {
        assert!(claims.to_json() == text && text.is_ascii());
    }
    if let Ok(key) = text.parse::<SshHostKey>() {
        assert_eq!(key.as_str().parse(), Ok(key.clone()));
        let bound = Claims::default().with_ssh_host_keys(vec![key]).map(|claims| claims.to_json());
        assert!(bound.is_ok_and(|text| Claims::parse(&text).is_ok()), "a key that no claims can hold");
    }
}

/// OpenSSH takes no pattern of a `known_hosts` line that is as long as this.
const LONGEST_PATTERN: usize = 1023;

/// Files `known_hosts`: the first line is the host that is looked up, and its port behind a blank.
pub fn known_hosts(data: &[u8]) {
    let (first, text) = data.split_at(data.iter().position(|byte| *byte == b'\n').unwrap_or(data.len()));
    let first = String::from_utf8_lossy(first);
    let (host, port) = first.split_once(' ').unwrap_or((&first, ""));
    let found = SshKnownHosts::parse(text).host(host, port.parse().unwrap_or(22));
    for key in &found.keys {
        assert!(!found.revoked.contains(key), "a revoked key that a host is trusted by");
        assert_eq!(key.as_str().parse(), Ok(key.clone()));
    }
    // What is known can be written in plain lines, unless the name is one that no line can have: only wildcards fit it.
    let special = |c: char| c.is_ascii_whitespace() || ",*?!#@|".contains(c);
    if found.name.is_empty() || found.name.len() >= LONGEST_PATTERN || found.name.contains(special) {
        return;
    }
    let line = |marker: &str, key: &SshHostKey| format!("{marker}{} {key}\n", found.name);
    let keys = found.keys.iter().map(|key| line("", key));
    let lines: String = keys.chain(found.revoked.iter().map(|key| line("@revoked ", key))).collect();
    let again = SshKnownHosts::parse(lines.as_bytes()).host(host, port.parse().unwrap_or(22));
    assert_eq!((&again.keys, &again.revoked), (&found.keys, &found.revoked));
}

/// A verdict over an answer. Nobody who does not hold the key can make one that is affirmed. The first byte says whether the
/// rest is the whole file, or its parts behind the request; claims are what follows the last line feed.
pub fn verdict(data: &[u8]) {
    let (Ok(request), Ok(key)) = (AttestationRequest::parse(REQUEST), ProtectionKey::new(KEY, "key")) else {
        panic!("the request in keys/ is none");
    };
    let (which, rest) = choice(data);
    let end = rest.iter().rposition(|byte| *byte == b'\n');
    let (answer, claims) =
        end.map_or((rest, None), |end| rest.split_at_checked(end).map_or((rest, None), |(a, b)| (a, b.get(1..))));
    let claims = claims.and_then(|claims| std::str::from_utf8(claims).ok());
    let file = if which % 2 == 0 { Some(answer.to_vec()) } else { made(answer) };
    let Some(response) = file else { return };
    let sent = Sent { request, key: &key, created: NOW - 10 };
    let verdict = verify(&Evidence { response: &response, claims, firmware: None }, &sent, &expected(), NOW);
    assert!(verdict.status() != Status::Affirming && verdict.proved.is_none() && verdict.store.is_none());
    assert!(verdict.fault().is_some() && verdict.valid_until().is_none());
    assert_eq!(verdict.checks.len(), 16);
}

/// What the firmware's service answered. No text of it can do anything to whoever sees it.
pub fn firmware_answer(data: &[u8]) {
    let Ok(opinion) = FirmwareOpinion::read(data) else { return };
    for text in [opinion.reason, opinion.reference].into_iter().flatten() {
        assert!(text.len() <= 200 * 10 && !text.chars().any(char::is_control), "{text:?}");
    }
}

/// A response to the request, of measurement, additional data and the rest as user data.
fn made(answer: &[u8]) -> Option<Vec<u8>> {
    let (measurement, rest) = answer.split_at_checked(layout::MEASUREMENT_LEN)?;
    let (additional, user_data) = rest.split_at_checked(448).unwrap_or((rest, &[]));
    ExchangeResponse { request: REQUEST, measurement, additional, user_data, cuid: [7; 16] }.write().ok()
}

fn expected() -> Expected {
    let request = ExpectedRequest { label: "request".into(), tag: [1; 16], sha256: Some([2; 32]) };
    let mut expected = Expected {
        image: Some(ImageTags([3; 208])),
        store: Some(ExpectedStore { requests: vec![request; 3], locked: true }),
        image_host_keys: Some(vec![[4; 32]]),
        attestation_host_keys: Some(vec![[4; 32]]),
        cuid: Some([7; 16]),
        ..Expected::default()
    };
    expected.claims.added_requests = true;
    expected
}
