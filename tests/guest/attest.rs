//! `attest`: the guest answers, and what it answers holds before two verifications that know nothing of each other.

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

const MODULE: &str = "attest";
const KEY: [u8; 64] = [0x31; 64];
const NONCE: [u8; 16] = [0x32; 16];
const CREATED: i64 = 1_800_000_000;

/// A request for these machines; its measurement key and nonce are the tests'.
fn challenge(items: &[Item], machines: &[&str]) -> Challenge {
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

fn usual() -> Challenge {
    challenge(&Item::ALL, &["m1"])
}

fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

fn content(challenge: &Challenge) -> Value {
    json!({"content": base64(&challenge.exchange_file().unwrap())})
}

/// The same with an option more.
fn with(challenge: &Challenge, option: &str, value: Value) -> Value {
    let mut arguments = content(challenge);
    arguments[option] = value;
    arguments
}

fn response(result: &Value) -> Vec<u8> {
    STANDARD.decode(result["content"].as_str().unwrap()).unwrap()
}

/// How often the ultravisor was asked.
fn asked(guest: &Guest) -> usize {
    guest.log().unwrap().iter().filter(|event| event["name"] == "attest").count()
}

/// What the production verifier says.
fn verdict(challenge: &Challenge, result: &Value, expected: &Expected) -> Verdict {
    let response = response(result);
    let evidence = Evidence { response: &response, claims: result["claims"].as_str(), firmware: None };
    let request = AttestationRequest::parse(&challenge.request).unwrap();
    verify(&evidence, &Sent { request, key: &challenge.key, created: CREATED }, expected, CREATED + 1)
}

fn image() -> Expected {
    Expected { image: Some(ImageTags::read(&world().path("image.hdr")).unwrap()), ..Expected::default() }
}

/// What the store is expected to hold: these requests, in this order.
fn holding(requests: &[&str], locked: bool) -> Expected {
    let expected = |path: &&str| {
        let bytes = fs::read(path).unwrap();
        let (tag, sha256) = (bytes[bytes.len() - 16..].try_into().unwrap(), Some(openssl::sha::sha256(&bytes)));
        ExpectedRequest { label: (*path).to_owned(), tag, sha256 }
    };
    let store = ExpectedStore { requests: requests.iter().map(expected).collect(), locked };
    let claims = ExpectedClaims { added_requests: true, ..ExpectedClaims::default() };
    Expected { store: Some(store), claims, ..image() }
}

fn is_affirmed(challenge: &Challenge, result: &Value, expected: &Expected) {
    let verdict = verdict(challenge, result, expected);
    assert_eq!(verdict.status(), Status::Affirming, "{:?}", verdict.fault());
}

/// The entries of the response's exchange file, by offsets that are written down here once more.
struct Parts {
    request: Vec<u8>,
    measurement: Vec<u8>,
    additional: Vec<u8>,
    user: Vec<u8>,
    cuid: Vec<u8>,
}

fn parts(file: &[u8]) -> Parts {
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
fn measured(parts: &Parts) -> Vec<u8> {
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
fn own_ssh(guest: &Guest, files: &[(&str, &[u8])]) -> bool {
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

#[test]
fn what_a_guest_answers_is_what_was_measured() {
    if !e2e::can_simulate("what_a_guest_answers_is_what_was_measured") {
        return;
    }
    let guest = guest("");
    let requests = ["a", "b"].map(request);
    ok(&guest, "secret_add", &json!({"requests": requests.each_ref().map(|path| json!({"path": path}))}));
    ok(&guest, "secret_lock", &json!({"require": ["a", "b"]}));
    let (challenge, before) = (usual(), effects(&guest));
    let result = ok(&guest, MODULE, &with(&challenge, "_ansible_diff", json!(true)));
    assert_eq!((&result["changed"], &result["diff"]), (&json!(false), &json!([])));

    let parts = parts(&response(&result));
    assert_eq!(parts.request, challenge.request);
    assert_eq!(parts.measurement, measured(&parts));
    let state = guest.state().unwrap();
    let hex = pv_wire::encode_hex;
    assert_eq!(
        (&state["cuid"], &result["cuid"]),
        (&json!(hex(&parts.cuid)), &json!(format!("0x{}", hex(&parts.cuid))))
    );
    let host = shell(&guest, "cat /sys/firmware/uv/keys/host_key");
    assert_eq!([hex(&parts.additional[..32]), hex(&parts.additional[32..64])], [host.trim(), host.trim()]);
    let tags = requests.iter().flat_map(|path| {
        let bytes = fs::read(path).unwrap();
        bytes[bytes.len() - 16..].to_vec()
    });
    let store = openssl::sha::sha512(&tags.chain([1]).collect::<Vec<u8>>());
    assert_eq!((&parts.additional[64..128], parts.additional.len()), (store.as_slice(), 448));
    let claims = result["claims"].as_str().unwrap();
    assert_eq!(parts.user, openssl::sha::sha512(claims.as_bytes()));
    let claims: Value = serde_json::from_str(claims).unwrap();
    let hashes = requests.each_ref().map(|path| hex(&openssl::sha::sha256(&fs::read(path).unwrap())));
    assert_eq!((&claims["added_requests"], &claims["boot_id"]), (&json!(hashes), &state["boot_id"]));

    is_affirmed(&challenge, &result, &holding(&requests.each_ref().map(String::as_str), true));
    assert_eq!(effects(&guest).len(), before.len() + 1, "the ultravisor was asked once, and nothing else was done");
}

#[test]
fn a_request_is_answered_from_a_file_and_with_given_user_data() {
    if !e2e::can_simulate("a_request_is_answered_from_a_file_and_with_given_user_data") {
        return;
    }
    let guest = guest("");
    for items in [vec![], vec![Item::SecretStore], vec![Item::ImageHostKey, Item::AttestationHostKey]] {
        let challenge = challenge(&items, &["m2", "m1"]);
        let path = file(&challenge.exchange_file().unwrap());
        let result = ok(&guest, MODULE, &json!({"path": path, "user_data": base64(b"hello")}));
        assert_eq!((&result["claims"], result.get("warnings")), (&Value::Null, None));
        is_affirmed(&challenge, &result, &Expected { user_data: Some(b"hello".to_vec()), ..image() });
    }
    for (option, value, user) in [("bind", json!([]), 0), ("user_data", json!(base64(&[7; 256])), 256)] {
        let challenge = usual();
        let result = ok(&guest, MODULE, &with(&challenge, option, value));
        assert_eq!((&result["claims"], parts(&response(&result)).user.len()), (&Value::Null, user));
        is_affirmed(&challenge, &result, &image());
    }
    let bound = ok(&guest, MODULE, &with(&usual(), "bind", json!("boot_id")));
    let boot_id = &guest.state().unwrap()["boot_id"];
    assert_eq!(bound["claims"], format!("{{\"boot_id\":{boot_id},\"version\":1}}"));
}

#[test]
fn order_twins_refusals_and_the_lock_are_in_the_answer() {
    if !e2e::can_simulate("order_twins_refusals_and_the_lock_are_in_the_answer") {
        return;
    }
    let guest = guest("");
    let [a, b, twin] = ["a", "b", "a"].map(request);
    let meta = file(&build(&add(pv_request::Secret::meta()), &["m1"]));
    let foreign = file(&build(&add(association("c")), &["m2"]));
    let answer = |bind: Value| {
        let challenge = challenge(&[Item::SecretStore], &["m1"]);
        let result = ok(&guest, MODULE, &with(&challenge, "bind", bind));
        (challenge, result)
    };
    let is = |requests: &[&str], locked: bool| {
        let (challenge, result) = answer(json!(["added_requests"]));
        is_affirmed(&challenge, &result, &holding(requests, locked));
    };
    is(&[], false);
    ok(&guest, "secret_add", &json!({"requests": [{"path": b}, {"path": a}]}));
    is(&[&b, &a], false);
    // The same again adds nothing; another of the same id does; one that is refused does not count.
    ok(&guest, "secret_add", &json!({"path": a}));
    ok(&guest, "secret_add", &json!({"path": twin, "force": true}));
    fails(&guest, "secret_add", &json!({"path": foreign}), "uv.request_not_for_this_guest");
    ok(&guest, "secret_add", &json!({"path": meta}));
    is(&[&b, &a, &twin, &meta], false);
    ok(&guest, "secret_lock", &json!({"minimum_secrets": 3}));
    is(&[&b, &a, &twin, &meta], true);
    let (challenge, result) = answer(json!(["added_requests"]));
    let wrong = |requests: &[&str], locked| {
        let verdict = verdict(&challenge, &result, &holding(requests, locked));
        (verdict.status(), verdict.fault().unwrap().code.name)
    };
    assert_eq!(wrong(&[&a, &b, &twin, &meta], true), (Status::Contraindicated, "attest.store_mismatch"));
    assert_eq!(wrong(&[&b, &a, &twin, &meta], false), (Status::Contraindicated, "attest.not_locked"));
    guest.reboot().unwrap();
    is(&[], false);
}

#[test]
fn a_request_that_was_added_twice_counts_twice() {
    if !e2e::can_simulate("a_request_that_was_added_twice_counts_twice") {
        return;
    }
    let guest = guest("faults: [{on: add_secret, errno: EIO, done: true}]");
    let meta = file(&build(&add(pv_request::Secret::meta()), &["m1"]));
    fails(&guest, "secret_add", &json!({"path": meta}), "uv.ioctl_failed");
    // Without the store's hash nobody knows whether it was taken.
    let blind = challenge(&[Item::ImageHostKey], &["m1"]);
    let first = ok(&guest, MODULE, &with(&blind, "bind", json!(["added_requests"])));
    assert_eq!(first["claims"], r#"{"added_requests":[],"version":1}"#);
    assert!(warned(&first, "attest.record_unsettled"), "{first}");
    ok(&guest, "secret_add", &json!({"path": meta, "force": true}));
    // In truth it was: the hash shows it, and counts it twice.
    let challenge = usual();
    let second = ok(&guest, MODULE, &with(&challenge, "bind", json!(["added_requests"])));
    assert!(!warned(&second, "attest.record_unsettled"), "{second}");
    is_affirmed(&challenge, &second, &holding(&[&meta, &meta], false));
}

#[test]
fn what_became_of_a_request_without_an_outcome_is_settled_by_attesting() {
    if !e2e::can_simulate("what_became_of_a_request_without_an_outcome_is_settled_by_attesting") {
        return;
    }
    for (when, taken) in [("before", false), ("after", true)] {
        let guest = guest("");
        let meta = file(&build(&add(pv_request::Secret::meta()), &["m1"]));
        let a = request("a");
        ok(&guest, "secret_add", &json!({"path": a}));
        guest.set(&format!("faults: [{{on: add_secret, kill: {when}}}]")).unwrap();
        let arguments = json!({"path": meta});
        is_killed(&guest, "secret_add", &arguments);
        fails(&guest, "secret_add", &arguments, "uv.outcome_unknown");
        // Check mode finds it out, and remembers nothing.
        let attest = with(&usual(), "in_check_mode", json!(true));
        let whole = checked(&json!({"secrets": [{"path": a}, {"path": meta}], "lock": false, "attest": attest}));
        let seen = ok(&guest, "guest", &whole);
        assert_eq!(seen["steps"][1]["step"], "add", "{seen}");
        assert_eq!(seen["steps"][1]["state"], if taken { "unchanged" } else { "would_change" }, "{when}: {seen}");
        fails(&guest, "secret_add", &arguments, "uv.outcome_unknown");
        let challenge = usual();
        let answered = ok(&guest, MODULE, &with(&challenge, "bind", json!(["added_requests"])));
        assert!(!warned(&answered, "attest.record_unsettled"), "{answered}");
        let there: &[&str] = if taken { &[&a, &meta] } else { &[&a] };
        is_affirmed(&challenge, &answered, &holding(there, false));
        assert_eq!(ok(&guest, "secret_add", &arguments)["changed"], !taken, "{when}");
        assert_eq!(ok(&guest, "secret_add", &arguments)["changed"], false, "{when}");
        let challenge = usual();
        let after = ok(&guest, MODULE, &with(&challenge, "bind", json!(["added_requests"])));
        is_affirmed(&challenge, &after, &holding(&[&a, &meta], false));
    }
}

#[test]
fn each_boot_has_a_cuid_and_a_boot_id_of_its_own() {
    if !e2e::can_simulate("each_boot_has_a_cuid_and_a_boot_id_of_its_own") {
        return;
    }
    let guest = guest("");
    ok(&guest, "secret_add", &json!({"path": request("a")}));
    let answer = || {
        let result = ok(&guest, MODULE, &content(&usual()));
        let claims: Value = serde_json::from_str(result["claims"].as_str().unwrap()).unwrap();
        (result["cuid"].clone(), claims)
    };
    let (first, before) = answer();
    assert_eq!(answer(), (first.clone(), before.clone()));
    guest.reboot().unwrap();
    let (second, after) = answer();
    assert_ne!((&first, &before["boot_id"]), (&second, &after["boot_id"]));
    assert_ne!(first, second);
    assert_eq!((before["added_requests"].as_array().unwrap().len(), &after["added_requests"]), (1, &json!([])));
}

#[test]
fn each_answer_of_the_ultravisor_to_attest_has_its_own_code() {
    if !e2e::can_simulate("each_answer_of_the_ultravisor_to_attest_has_its_own_code") {
        return;
    }
    let guest = guest("");
    for (rc, code) in [
        (0x0000, "uv.invalid_answer"),
        (0x0002, "uv.invalid_command"),
        (0x0005, "uv.invalid_size"),
        (0x0030, "uv.home_space"),
        (0x0031, "uv.translation"),
        (0x0032, "uv.invalid_address"),
        (0x0100, "uv.unknown_answer"),
        (0x0101, "attest.continuation"),
        (0x0102, "attest.user_data_refused"),
        (0x0103, "attest.request_access"),
        (0x0104, "attest.measurement_access"),
        (0x0105, "attest.additional_access"),
        (0x0106, "attest.request_version"),
        (0x0107, "attest.request_length"),
        (0x0108, "attest.request_host_keys"),
        (0x0109, "attest.encrypted_size"),
        (0x010a, "attest.flag_unsupported"),
        (0x010b, "attest.algorithm_unsupported"),
        (0x010c, "attest.no_host_key_slot"),
        (0x010d, "attest.measurement_room"),
        (0x010e, "attest.additional_room"),
        (0x0777, "uv.unknown_answer"),
    ] {
        for done in [false, true] {
            guest.set(&format!("faults: [{{on: attest, uv_rc: {rc}, done: {done}}}]")).unwrap();
            let result = fails(&guest, MODULE, &content(&usual()), code);
            assert_eq!((&result["error"]["uv_rc"], &result["changed"]), (&json!(rc), &json!(false)), "{result}");
            assert!(result.get("content").is_none_or(Value::is_null), "{result}");
            assert!(!result["error"]["hint"].as_str().unwrap().is_empty());
        }
    }
    ok(&guest, MODULE, &content(&usual()));
}

#[test]
fn every_error_of_the_kernel_to_attest_has_its_code() {
    if !e2e::can_simulate("every_error_of_the_kernel_to_attest_has_its_code") {
        return;
    }
    let guest = guest("");
    for (errno, number, code) in [
        ("ENOTTY", 25, "attest.unsupported"),
        ("EINVAL", 22, "uv.ioctl_failed"),
        ("EFAULT", 14, "uv.ioctl_failed"),
        ("EIO", 5, "uv.ioctl_failed"),
        ("EPERM", 1, "uv.not_permitted"),
    ] {
        guest.set(&format!("faults: [{{on: attest, errno: {errno}}}]")).unwrap();
        let result = fails(&guest, MODULE, &content(&usual()), code);
        assert_eq!(result["error"]["errno"], number);
    }
    guest.set("faults: [{on: attest, kill: after}]").unwrap();
    is_killed(&guest, MODULE, &content(&usual()));
    ok(&guest, MODULE, &content(&usual()));
    guest.set("absent: [/dev/uv]").unwrap();
    fails(&guest, MODULE, &content(&usual()), "uv.no_device");
}

#[test]
fn a_request_for_another_machine_is_known_before_the_ultravisor_is_asked() {
    if !e2e::can_simulate("a_request_for_another_machine_is_known_before_the_ultravisor_is_asked") {
        return;
    }
    let guest = guest("");
    let (other, mut tampered) = (challenge(&Item::ALL, &["m2"]), usual());
    for arguments in [content(&other), checked(&content(&other))] {
        let result = fails(&guest, MODULE, &arguments, "attest.no_host_key_slot");
        assert_eq!((&result["host_key_match"], &result["error"]["host_key_match"]), (&json!(false), &json!(false)));
        let host = shell(&guest, "cat /sys/firmware/uv/keys/host_key");
        assert!(result["msg"].as_str().unwrap().contains(host.trim()), "{result}");
    }
    assert_eq!(asked(&guest), 0);
    let end = tampered.request.len() - 1;
    tampered.request[end] ^= 1;
    let result = fails(&guest, MODULE, &content(&tampered), "attest.no_host_key_slot");
    assert_eq!((&result["host_key_match"], &result["error"]["uv_rc"]), (&json!(true), &json!(0x010c)));
    assert!(result["error"]["hint"].as_str().unwrap().contains("changed on the way"), "{result}");
    // A kernel that does not show the keys: the ultravisor says so.
    guest.set("ultravisor: {keys: false}").unwrap();
    let result = fails(&guest, MODULE, &content(&other), "attest.no_host_key_slot");
    assert_eq!((&result["host_key_match"], &result["error"]["uv_rc"]), (&Value::Null, &json!(0x010c)));
}

#[test]
fn what_a_machine_cannot_add_is_named_before_it_is_asked() {
    if !e2e::can_simulate("what_a_machine_cannot_add_is_named_before_it_is_asked") {
        return;
    }
    let guest = guest("ultravisor: {attestation_flags: 0x7000000000000000}");
    let result = fails(&guest, MODULE, &content(&usual()), "attest.flag_unsupported");
    assert!(
        result["msg"].as_str().unwrap().contains("asks for secret_store, firmware_state, which")
            && result["msg"].as_str().unwrap().ends_with("it can add image_host_key, attestation_host_key."),
        "{result}"
    );
    assert_eq!(asked(&guest), 0);
    ok(&guest, MODULE, &content(&challenge(&[Item::ImageHostKey], &["m1"])));
    guest.set("absent: [/sys/firmware/uv/query/supp_att_pflags]").unwrap();
    let result = fails(&guest, MODULE, &content(&usual()), "attest.flag_unsupported");
    assert_eq!(result["error"]["uv_rc"], 0x010a);
}

#[test]
fn a_driver_that_knows_nothing_else_attests_and_a_machine_that_does_not_says_so() {
    if !e2e::can_simulate("a_driver_that_knows_nothing_else_attests_and_a_machine_that_does_not_says_so") {
        return;
    }
    let old = guest("kernel: {only_attests: true}\nabsent: [/sys/firmware/uv/query, /sys/firmware/uv/keys]");
    let challenge = usual();
    let result = ok(&old, MODULE, &content(&challenge));
    is_affirmed(&challenge, &result, &image());
    let asked_for = json!({"attest": content(&challenge)});
    is_affirmed(&challenge, &ok(&old, "guest", &asked_for)["attestation"], &image());

    let without = guest("ultravisor: {attestation: false}");
    for arguments in [content(&challenge), checked(&content(&challenge))] {
        fails(&without, MODULE, &arguments, "attest.unsupported");
    }
    assert_eq!(asked(&without), 0);
    without.set("absent: [/sys/firmware/uv/query]").unwrap();
    fails(&without, MODULE, &content(&challenge), "uv.invalid_command");
}

#[test]
fn in_check_mode_nobody_is_asked() {
    if !e2e::can_simulate("in_check_mode_nobody_is_asked") {
        return;
    }
    let guest = guest("");
    let before = effects(&guest);
    let told = ok(&guest, MODULE, &checked(&content(&usual())));
    assert_eq!(
        (&told["changed"], &told["predicted"], &told["content"]),
        (&json!(false), &json!("partial"), &Value::Null)
    );
    let later = ok(&guest, MODULE, &checked(&json!({"path": no_file()})));
    assert!(later["predicted"] == "partial" && warned(&later, "file.missing"), "{later}");
    fails(&guest, MODULE, &json!({"path": no_file()}), "file.missing");
    assert_eq!(effects(&guest), before);
    assert_eq!(shell(&guest, "ls /run/seguest-pv 2>/dev/null || true"), "");
}

#[test]
fn what_is_no_request_never_reaches_the_ultravisor_from_attest() {
    if !e2e::can_simulate("what_is_no_request_never_reaches_the_ultravisor_from_attest") {
        return;
    }
    let guest = guest("");
    let challenge = usual();
    let mut version = challenge.exchange_file().unwrap();
    version[0x0a] = 2;
    let answered = response(&ok(&guest, MODULE, &content(&challenge)));
    for (bytes, code) in [
        (b"asrcbM".to_vec(), "attest.malformed"),
        (challenge.request.clone(), "attest.malformed"),
        (version, "attest.unsupported_version"),
        (answered, "attest.not_a_request"),
    ] {
        fails(&guest, MODULE, &json!({"content": base64(&bytes)}), code);
    }
    fails(&guest, MODULE, &with(&challenge, "user_data", json!(base64(&[1; 257]))), "args.invalid");
    fails(&guest, MODULE, &with(&challenge, "bind", json!(["everything"])), "args.invalid");
    assert_eq!(asked(&guest), 1);
}

#[test]
fn ssh_host_keys_are_bound_and_hostile_files_are_left_out() {
    const ED25519: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f";
    if !e2e::can_simulate("ssh_host_keys_are_bound_and_hostile_files_are_left_out") {
        return;
    }
    let guest = guest("");
    let line = format!("{ED25519} root@guest\n");
    let files: [(&str, &[u8]); 3] = [
        ("ssh_host_ed25519_key.pub", line.as_bytes()),
        ("ssh_host_ed25519_key", b"the private one"),
        ("evil_key.pub", b"\x1b[2J\n\n"),
    ];
    if !own_ssh(&guest, &files) {
        return;
    }
    let challenge = usual();
    let result = ok(&guest, MODULE, &with(&challenge, "bind", json!(["ssh_host_keys"])));
    assert_eq!(result["claims"], format!("{{\"ssh_host_keys\":[\"{ED25519}\"],\"version\":1}}"));
    assert!(warned(&result, "attest.ssh_key_skipped") && !result.to_string().contains("[2J"), "{result}");
    let known = |line: &str| ExpectedClaims { ssh_host_keys: Some(vec![line.parse().unwrap()]), ..Default::default() };
    is_affirmed(&challenge, &result, &Expected { claims: known(ED25519), ..image() });
    let other = verdict(&challenge, &result, &Expected { claims: known("ssh-ed25519 AAAA"), ..image() });
    assert_eq!(other.status(), Status::Contraindicated);

    shell(&guest, "rm /etc/ssh/*");
    let none = ok(&guest, MODULE, &with(&usual(), "bind", json!(["ssh_host_keys"])));
    assert_eq!(none["claims"], r#"{"ssh_host_keys":[],"version":1}"#);
    assert!(warned(&none, "attest.no_ssh_host_keys"), "{none}");
}

#[test]
fn a_record_that_cannot_be_trusted_binds_nothing() {
    if !e2e::can_simulate("a_record_that_cannot_be_trusted_binds_nothing") {
        return;
    }
    let guest = guest("");
    ok(&guest, "secret_add", &json!({"path": request("a")}));
    let record = "/run/seguest-pv/private/requests.json";
    shell(&guest, &format!("chmod 666 {record}"));
    fails(&guest, MODULE, &content(&usual()), "file.record_unusable");
    shell(&guest, &format!("chmod 600 {record}; sed -i 's/\"sha256\":\"../\"sha256\":\"zz/' {record}"));
    fails(&guest, MODULE, &content(&usual()), "file.record_unusable");
    assert_eq!(asked(&guest), 0);
    ok(&guest, MODULE, &with(&usual(), "bind", json!(["boot_id"])));
}

#[test]
fn a_spoiled_answer_is_never_affirmed() {
    if !e2e::can_simulate("a_spoiled_answer_is_never_affirmed") {
        return;
    }
    let guest = guest("");
    for spoil in ["measurement", "garbled_additional", "short_additional", "cuid", "nothing"] {
        guest.set(&format!("faults: [{{on: attest, spoil: {spoil}}}]")).unwrap();
        let challenge = usual();
        let result = ok(&guest, MODULE, &content(&challenge));
        let verdict = verdict(&challenge, &result, &image());
        assert!(!verdict.is_verified() && verdict.status() != Status::Affirming, "{spoil}");
        let parts = parts(&response(&result));
        assert_ne!(parts.measurement, measured(&parts), "{spoil}");
    }
}

/// Each step as `attest unchanged`.
fn steps(result: &Value) -> Vec<String> {
    let told = |step: &Value| format!("{} {}", step["step"].as_str().unwrap(), step["state"].as_str().unwrap());
    result["steps"].as_array().unwrap().iter().map(told).collect()
}

#[test]
fn a_guest_is_provisioned_and_answers_in_one_run() {
    if !e2e::can_simulate("a_guest_is_provisioned_and_answers_in_one_run") {
        return;
    }
    let guest = guest("");
    let requests = ["a", "b"].map(request);
    let paths = requests.each_ref().map(String::as_str);
    let wanted = |challenge: &Challenge| json!({"secrets": paths.map(|path| json!({"path": path})), "attest": content(challenge)});
    let challenge = usual();
    let told = ok(&guest, "guest", &checked(&wanted(&challenge)));
    assert_eq!(
        steps(&told),
        ["machine unchanged", "add would_change", "verify unchanged", "lock would_change", "attest unchanged"]
    );
    assert_eq!(
        (&told["attestation"]["content"], &told["predicted"], asked(&guest)),
        (&Value::Null, &json!("partial"), 0)
    );

    let first = ok(&guest, "guest", &wanted(&challenge));
    assert_eq!(
        steps(&first),
        ["machine unchanged", "add changed", "verify unchanged", "lock changed", "attest unchanged"]
    );
    is_affirmed(&challenge, &first["attestation"], &holding(&paths, true));
    let again = usual();
    let second = ok(&guest, "guest", &wanted(&again));
    assert_eq!((&second["changed"], &second["msg"]), (&json!(false), &json!("The guest is as wanted.")));
    is_affirmed(&again, &second["attestation"], &holding(&paths, true));
    assert_eq!(first["attestation"]["claims"], second["attestation"]["claims"]);
}

#[test]
fn where_the_answer_cannot_come_nothing_is_written_and_a_refused_one_is_the_last_step() {
    if !e2e::can_simulate("where_the_answer_cannot_come_nothing_is_written_and_a_refused_one_is_the_last_step") {
        return;
    }
    let guest = guest("");
    let wanted = |challenge: &Challenge| json!({"secrets": [{"path": request("a")}], "attest": content(challenge)});
    let foreign = fails(&guest, "guest", &wanted(&challenge(&[], &["m2"])), "attest.no_host_key_slot");
    assert_eq!(
        steps(&foreign),
        ["machine unchanged", "add not_reached", "verify unchanged", "lock not_reached", "attest failed"]
    );
    assert_eq!((&foreign["changed"], &guest.state().unwrap()["secrets"]), (&json!(false), &json!([])));

    guest.set("faults: [{on: attest, uv_rc: 0x010b}]").unwrap();
    let refused = fails(&guest, "guest", &wanted(&usual()), "attest.algorithm_unsupported");
    assert_eq!((&refused["changed"], &refused["lock"]["locked"]), (&json!(true), &json!(true)));
    assert_eq!(steps(&refused)[4], "attest failed");

    // A step before it that cannot be done keeps it from its turn.
    let late = fails(
        &guest,
        "guest",
        &json!({"secrets": [{"path": request("late")}], "attest": content(&usual())}),
        "uv.store_locked",
    );
    assert_eq!((&steps(&late)[4], &late["attestation"]), (&"attest not_reached".to_owned(), &Value::Null));
    let pending = json!({"attest": {"path": no_file()}});
    let told = ok(&guest, "guest", &checked(&pending));
    assert_eq!((&told["steps"][1]["right"], &told["steps"][1]["code"]), (&Value::Null, &json!("file.missing")));
    fails(&guest, "guest", &pending, "file.missing");
}
