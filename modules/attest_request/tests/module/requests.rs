//! What is asked for, what is written, and what is never written over.

use crate::world::{World, code, mode, warns, with};
use pv_wire::attestation::{AttestationRequest, ExchangeRequest, Item};
use serde_json::{Value, json};
use std::fs;
use test_pki::Flaw;

fn world() -> World {
    World::new(env!("CARGO_BIN_EXE_attest_request"))
}

/// The key in a request, as the first host's firmware finds it.
pub fn key_in(world: &World, file: &[u8]) -> Vec<u8> {
    let arcb = ExchangeRequest::parse(file).unwrap().request;
    let slots = usize::from(arcb[0x27]) * 80;
    world.host.unwrap(&arcb[0x40..0xe0], &arcb[0xe0..0xe0 + slots]).unwrap().to_vec()
}

#[test]
fn a_request_is_written_that_its_hosts_open_to_the_key_beside_it() {
    let world = world();
    let result = world.run(&world.request("g1", json!({"label": "guest1"})));
    let entry = &result["requests"][0];
    let file = fs::read(world.path("g1")).unwrap();
    let request = ExchangeRequest::parse(&file).unwrap().attestation_request().unwrap();
    let key = fs::read(world.path("g1.key")).unwrap();
    assert_eq!(key_in(&world, &file), key);
    assert_eq!((mode(&world.path("g1")), mode(&world.path("g1.key"))), (0o600, 0o600));
    assert_eq!(entry["content"], openssl::base64::encode_block(&file));
    assert_eq!(entry["sha256"], pv_wire::encode_hex(&request.sha256()));
    assert_eq!(
        (&entry["additional_size"], &entry["label"], &result["changed"]),
        (&json!(128), &json!("guest1"), &json!(true))
    );
    assert_eq!(entry["host_keys"].as_array().unwrap().len(), 2);
    assert!(entry["created"].as_str().unwrap().ends_with('Z'));
    let text = result.to_string();
    assert!(!text.contains(&pv_wire::encode_hex(&key)) && !text.contains(&openssl::base64::encode_block(&key)));
}

#[test]
fn what_the_answer_is_to_have_can_be_chosen() {
    let world = world();
    let items = |add: Value| {
        let result = world.run(&world.request("g1", json!({"add_data": add})));
        assert_eq!(result["changed"], true, "{result}");
        let file = fs::read(world.path("g1")).unwrap();
        AttestationRequest::parse(ExchangeRequest::parse(&file).unwrap().request).unwrap().items()
    };
    assert_eq!(items(json!([])).size(), 0);
    assert_eq!(
        items(json!("firmware_state,secret_store")),
        [Item::SecretStore, Item::FirmwareState].into_iter().collect()
    );
}

#[test]
fn each_run_makes_another_request_and_replaces_the_last_with_its_key() {
    let world = world();
    let options = world.request("g1", json!({}));
    let pair = || [world.path("g1"), world.path("g1.key")].map(|path| fs::read(path).unwrap());
    world.run(&options);
    let first = pair();
    assert_eq!(world.run(&options)["changed"], true);
    let second = pair();
    assert!(first[0] != second[0] && first[1] != second[1]);
    fs::remove_file(world.path("g1.key")).unwrap();
    assert_eq!(world.run(&options)["changed"], true, "a key that was used is gone");
    assert_eq!(key_in(&world, &pair()[0]), pair()[1]);
}

#[test]
fn a_file_that_is_no_request_or_not_its_key_is_never_written_over() {
    let world = world();
    let refused = |options: Value, expected: &str| {
        let before = world.files();
        let result = world.run(&options);
        assert_eq!((code(&result), &result["changed"]), (expected, &json!(false)), "{result}");
        assert_eq!(world.files(), before);
    };
    let secret = world.private("secret", &[7; 32]);
    refused(world.request("g1", json!({"key_file": secret})), "attest.key_exists");
    refused(world.request("header", json!({})), "attest.not_ours");
    world.run(&world.request("g1", json!({})));
    world.run(&world.request("g2", json!({})));
    refused(world.request("g1", json!({"key_file": world.text("g2.key")})), "attest.key_exists");
    fs::copy(world.path("g2"), world.path("g1")).unwrap();
    refused(world.request("g1", json!({})), "attest.key_exists");
    fs::remove_file(world.path("g1")).unwrap();
    refused(world.request("g1", json!({})), "attest.key_exists");
    refused(world.request("g3", json!({"host_keys": [world.text("no.crt")]})), "file.missing");
    refused(world.request("missing/g3", json!({})), "file.missing");
}

#[test]
fn in_check_mode_nothing_is_written_and_a_new_request_is_foreseen() {
    let world = world();
    let before = world.files();
    let result = world.run(&world.request("g1", json!({"_ansible_check_mode": true, "_ansible_diff": true})));
    let entry = &result["requests"][0];
    assert_eq!(
        (&result["changed"], &entry["content"], &entry["additional_size"]),
        (&json!(true), &json!(null), &json!(128))
    );
    assert_eq!(result["diff"].as_array().unwrap().len(), 2, "{result}");
    let result =
        world.run(&world.request("g1", json!({"_ansible_check_mode": true, "host_keys": [world.text("no.crt")]})));
    assert!(warns(&result, "file.missing") && result["predicted"] == "partial", "{result}");
    assert_eq!(world.files(), before);
}

#[test]
fn documents_are_verified_and_what_is_too_old_is_refused() {
    let world = world();
    for (flaw, expected) in [(Flaw::Revoked, "hkd.revoked"), (Flaw::Expired, "hkd.expired")] {
        world.document("flawed", Some(flaw));
        let result = world.run(&world.request("g1", json!({"host_keys": [world.text("flawed.crt")]})));
        assert_eq!(code(&result), expected, "{result}");
    }
    let unverified =
        json!({"path": world.text("g1"), "host_keys": [world.text("flawed.crt")], "verify_host_keys": false});
    assert!(warns(&world.run(&unverified), "hkd.unverified"));
}

#[test]
fn one_task_asks_many_guests_and_one_that_fails_keeps_no_other() {
    let world = world();
    let requests: Vec<_> =
        (0..40).map(|at| json!({"path": world.text(&format!("a/g{at}")), "label": format!("guest{at}")})).collect();
    let mut options = world.request("", json!({"requests": requests, "make_folders": true}));
    options["path"] = json!(null);
    options["requests"][7]["key_file"] = json!(world.text("header"));
    let result = world.run(&options);
    assert_eq!((code(&result), &result["changed"]), ("file.insecure", &json!(true)), "{result}");
    let mut lenient = with(options.clone(), json!({"keep_going": true}));
    lenient["requests"][8]["pathh"] = json!("x");
    let result_of_all = world.run(&lenient);
    assert_eq!((&result_of_all["failed"], &result_of_all["changed"]), (&json!(null), &json!(true)), "{result_of_all}");
    let told = &result_of_all["requests"][8];
    assert_eq!((&told["label"], &told["error"]["code"]), (&json!("guest8"), &json!("args.unknown_option")), "{told}");
    assert!(result["msg"].as_str().unwrap().starts_with("1 of 40 requests failed; guest7: "), "{result}");
    let entries = result["requests"].as_array().unwrap();
    for (at, entry) in entries.iter().enumerate().filter(|(at, _)| *at != 7) {
        assert_eq!(entry["label"], format!("guest{at}"));
        let file = fs::read(world.path(&format!("a/g{at}"))).unwrap();
        assert_eq!(key_in(&world, &file), fs::read(world.path(&format!("a/g{at}.key"))).unwrap());
    }
    let twice = json!([{"path": world.text("g1")}, {"path": world.text("g2"), "key_file": world.text("g1.key")}]);
    options["requests"] = twice;
    assert_eq!(code(&world.run(&options)), "args.duplicate_path");
}
