//! Each verdict, and each reason why one is not affirming.

use crate::fleet::{BOOT_ID, Fleet, check, claims, ssh_host_key};
use crate::ultravisor::{Guest, exchange};
use crate::world::{code, simulated, with};
use pv_wire::attestation::Claims;
use serde_json::{Value, json};
use std::fs;
use std::time::{Duration, SystemTime};

const TAGS: [[u8; 16]; 3] = [[1; 16], [2; 16], [3; 16]];

/// The secrets of [`TAGS`], as options.
fn secrets() -> Value {
    let hex = |byte: u8, count| json!(format!("{byte:02x}").repeat(count));
    json!([1, 2, 3].map(|n: u8| json!({"label": format!("r{n}"), "tag": hex(n, 16), "sha256": hex(n + 0x10, 32)})))
}

/// A guest that has all of them.
fn provisioned(fleet: &Fleet) -> Guest {
    Guest { tags: TAGS.to_vec(), ..fleet.guest(1) }
}

fn refused(result: &Value, verdict: &str, expected: &str) {
    assert_eq!((code(result), &result["responses"][0]["verdict"]), (expected, &json!(verdict)), "{result}");
    assert_eq!((&result["failed"], &result["responses"][0]["valid_until"]), (&json!(true), &json!(null)), "{result}");
}

#[test]
fn a_guest_that_is_as_expected_is_affirmed_with_all_that_was_proved() {
    let fleet = Fleet::new();
    let said = claims(1, BOOT_ID, &[[0x11; 32], [0x12; 32], [0x13; 32]]);
    let guest = Guest { user_data: said.user_data().to_vec(), ..provisioned(&fleet) };
    let document = fleet.text("host1.crt");
    let more = json!({
        "secrets": secrets(),
        "image_host_keys": [document], "attestation_host_keys": [fleet.text("host2.crt"), document],
        "claims": said.to_json(), "ssh_host_keys": [ssh_host_key(1)], "boot_id": BOOT_ID,
        "cuid": "0x01010101010101010101010101010101",
    });
    let result = fleet.judge(&guest, with(more, fleet.trust()));
    let entry = &result["responses"][0];
    assert_eq!(
        (&entry["verdict"], &entry["error"], &result["changed"]),
        (&json!("affirming"), &json!(null), &json!(false)),
        "{result}"
    );
    assert_eq!(entry["cuid"], "0x01010101010101010101010101010101");
    assert_eq!(entry["host_keys"]["attestation"], pv_wire::encode_hex(&fleet.host.hash()));
    assert_eq!((&entry["secret_store"]["locked"], &entry["claims"]["boot_id"]), (&json!(true), &json!(BOOT_ID)));
    assert!(entry["created"].as_str() < entry["valid_until"].as_str(), "{result}");
    for name in [
        "measurement",
        "image_host_key",
        "attestation_host_key",
        "secret_store",
        "added_requests",
        "ssh_host_keys",
        "boot_id",
        "cuid",
    ] {
        assert_eq!(check(&result, name)["ok"], true, "{name}: {result}");
    }
    let key = fs::read(fleet.path("g1.key")).unwrap();
    let text = result.to_string();
    assert!(!text.contains(&pv_wire::encode_hex(&key)) && !text.contains(&openssl::base64::encode_block(&key)));
}

#[test]
fn each_difference_is_found_by_its_check_and_its_code() {
    let fleet = Fleet::new();
    let good = provisioned(&fleet);
    let other_host = simulated(&fleet.document("host3", None));
    let table: [(&str, &str, Guest, Value); 10] = [
        ("measurement", "attest.measurement_mismatch", Guest { image: 0x52, ..good.clone() }, json!({})),
        (
            "secret_store",
            "attest.store_mismatch",
            Guest { tags: vec![TAGS[0], TAGS[2]], ..good.clone() },
            json!({"secrets": secrets()}),
        ),
        (
            "secret_store",
            "attest.store_mismatch",
            Guest { tags: Vec::new(), ..good.clone() },
            json!({"secrets": secrets()}),
        ),
        ("secret_store", "attest.not_locked", Guest { locked: false, ..good.clone() }, json!({"secrets": secrets()})),
        ("secret_store", "attest.not_locked", good.clone(), json!({"secrets": secrets(), "locked": false})),
        (
            "image_host_key",
            "attest.image_host_key",
            Guest { image_host_key: other_host.hash(), ..good.clone() },
            json!({"image_host_keys": [fleet.text("host1.crt")]}),
        ),
        (
            "attestation_host_key",
            "attest.attestation_host_key",
            good.clone(),
            json!({"attestation_host_keys": [fleet.text("host3.crt")]}),
        ),
        ("cuid", "attest.cuid_changed", good.clone(), json!({"cuid": "0x02020202020202020202020202020202"})),
        ("ssh_host_keys", "attest.claims_missing", good.clone(), json!({"ssh_host_keys": [ssh_host_key(1)]})),
        ("claims", "attest.user_data", good, json!({"claims": claims(1, BOOT_ID, &[]).to_json()})),
    ];
    for (name, expected, guest, more) in table {
        let result = fleet.judge(&guest, with(more, fleet.trust()));
        refused(&result, "contraindicated", expected);
        let found = check(&result, name);
        assert_eq!((&found["ok"], &found["code"]), (&json!(false), &json!(expected)), "{result}");
    }
}

#[test]
fn what_a_store_lacks_is_explained_by_the_labels_of_the_requests() {
    let fleet = Fleet::new();
    let explained = |tags: &[[u8; 16]], word: &str| {
        let result = fleet.judge(&Guest { tags: tags.to_vec(), ..fleet.guest(1) }, json!({"secrets": secrets()}));
        let explanation = result["responses"][0]["secret_store"]["explanation"].as_str().unwrap();
        assert!(explanation.contains(word), "{explanation}");
    };
    explained(&[], "rebooted");
    explained(&[TAGS[0], TAGS[2]], "(r2)");
    explained(&[TAGS[1], TAGS[0], TAGS[2]], "another order: r2, r1, r3");
    explained(&[TAGS[0], TAGS[1], TAGS[2], [9; 16]], "not expected");
}

/// ATTEST.md: the forgery of a request with the same tag and another secret.
#[test]
fn a_request_with_a_forged_tag_is_found_by_what_the_guest_says_and_not_by_the_hash() {
    let fleet = Fleet::new();
    let result = fleet.judge(&provisioned(&fleet), json!({"secrets": secrets()}));
    assert_eq!(result["responses"][0]["verdict"], "affirming", "the tags are all that the hash shows: {result}");
    let said = claims(1, BOOT_ID, &[[0x11; 32], [0xee; 32], [0x13; 32]]);
    let guest = Guest { user_data: said.user_data().to_vec(), ..provisioned(&fleet) };
    let claims: Value = serde_json::from_str(&said.to_json()).unwrap();
    let result = fleet.judge(&guest, json!({"secrets": secrets(), "claims": claims}));
    refused(&result, "contraindicated", "attest.added_requests");
    assert!(result["msg"].as_str().unwrap().contains("r2"), "{result}");
}

#[test]
fn who_leaves_out_what_was_added_is_not_believed() {
    let fleet = Fleet::new();
    let said = Claims::default().with_boot_id(BOOT_ID).unwrap();
    let guest = Guest { user_data: said.user_data().to_vec(), ..provisioned(&fleet) };
    let judge = |more: Value| fleet.judge(&guest, with(json!({"secrets": secrets()}), more));
    refused(&judge(json!({"claims": said.to_json()})), "contraindicated", "attest.claims_missing");
    refused(&judge(json!({"require_added_requests": true})), "contraindicated", "attest.claims_missing");
    let lenient = judge(json!({"claims": said.to_json(), "require_added_requests": false}));
    assert_eq!(lenient["responses"][0]["verdict"], "affirming", "{lenient}");
    refused(&judge(json!({"require_added_requests": true, "secrets": null})), "none", "args.missing");
}

#[test]
fn requests_are_compared_by_their_files() {
    let fleet = Fleet::new();
    let made = secret_request(&fleet, "r1");
    let guest = Guest { tags: vec![made], ..fleet.guest(1) };
    let result = fleet.judge(&guest, json!({"secrets": [fleet.text("r1")]}));
    assert_eq!(result["responses"][0]["verdict"], "affirming", "{result}");
    refused(&fleet.judge(&guest, json!({"secrets": [fleet.text("header")]})), "none", "request.malformed");
}

/// Writes an add-secret request and gives its tag.
fn secret_request(fleet: &Fleet, name: &str) -> [u8; 16] {
    use pv_request::{AddSecret, Extension, HostKeyDocument, ImageTags, RequestKeys, Secret, UserData};
    let request = AddSecret {
        image: ImageTags::read(&fleet.path("header")).unwrap(),
        secret: Secret::meta(),
        extension: Extension::None,
        cuid: None,
        flags: 0,
        user_data: UserData::default(),
    };
    let host = HostKeyDocument::read(&fleet.path("host1.crt")).unwrap();
    let bytes = request.build([&host.key], RequestKeys::generate().unwrap()).unwrap();
    fs::write(fleet.path(name), &bytes).unwrap();
    bytes[bytes.len() - 16..].try_into().unwrap()
}

#[test]
fn without_an_answer_to_this_very_request_there_is_no_verdict() {
    let fleet = Fleet::new();
    fleet.ask(&["g2"]);
    let good = fleet.answer("g1", &fleet.guest(1));
    let run = |name: &str, answer: &[u8], more: Value| fleet.run(&fleet.options(name, answer, more));
    refused(&run("g2", &good, json!({})), "none", "attest.request_mismatch");
    refused(&run("g1", &fs::read(fleet.path("g1")).unwrap(), json!({})), "none", "attest.not_a_response");
    refused(&run("g1", &good[..good.len() - 1], json!({})), "none", "attest.malformed");
    refused(&run("g1", b"nonsense", json!({})), "none", "attest.malformed");
    refused(&run("g1", &good, json!({"key_file": fleet.text("g2.key")})), "none", "attest.key_mismatch");
    refused(&run("g1", &good, json!({"key_file": fleet.private("short", &[1; 31])})), "none", "attest.key_malformed");
    refused(&run("g1", &good, json!({"key_file": fleet.text("no.key")})), "none", "file.missing");
    refused(
        &run("g1", &good, json!({"request": fleet.text("header"), "key_file": fleet.text("g1.key")})),
        "none",
        "attest.malformed",
    );
    refused(&run("g1", &good, json!({"image": null})), "none", "args.nothing_expected");
    refused(&run("g1", &good, json!({"image": null, "secrets": []})), "none", "attest.no_image");
    refused(&run("g1", &good, json!({"image": fleet.text("host1.crt")})), "none", "image.no_header");
    refused(&run("g1", &good, json!({"content": "%"})), "none", "args.invalid");
    assert!(fleet.path("g1.key").exists() && fleet.path("g2.key").exists(), "a key that verified nothing is kept");
    assert_eq!(run("g1", &good, json!({}))["responses"][0]["verdict"], "affirming");
}

#[test]
fn every_changed_byte_of_an_answer_is_found() {
    let fleet = Fleet::new();
    let guest = Guest { user_data: b"hello".to_vec(), ..fleet.guest(1) };
    let good = fleet.answer("g1", &guest);
    let responses: Vec<_> = (0..good.len())
        .map(|at| {
            let mut bad = good.clone();
            bad[at] ^= 1;
            fleet.options("g1", &bad, json!({"key_file": fleet.text("g1.key")}))
        })
        .collect();
    for one in responses {
        let result = fleet.run(&with(one, json!({"remove_key": false, "fail": false})));
        let entry = &result["responses"][0];
        assert_ne!(entry["verdict"], "affirming", "{result}");
        assert_eq!(
            (&entry["cuid"], &entry["claims"], &entry["secret_store"]),
            (&json!(null), &json!(null), &json!(null))
        );
    }
}

#[test]
fn an_answer_is_good_for_ten_minutes_and_a_verdict_for_a_day() {
    let fleet = Fleet::new();
    let aged = |seconds: i64, more: Value| {
        let ago = SystemTime::now() - Duration::from_secs(10_000_000);
        let then = ago + Duration::from_secs(u64::try_from(10_000_000 - seconds).unwrap());
        fs::File::open(fleet.path("g1.key")).unwrap().set_modified(then).unwrap();
        fleet.judge(&fleet.guest(1), more)
    };
    assert_eq!(aged(590, json!({}))["responses"][0]["verdict"], "affirming");
    refused(&aged(610, json!({})), "none", "attest.expired");
    assert_eq!(aged(610, json!({"max_age": 3600}))["responses"][0]["verdict"], "affirming");
    refused(&aged(-100, json!({})), "none", "attest.expired");
}

#[test]
fn a_key_that_verified_an_answer_is_removed_and_never_another() {
    let fleet = Fleet::new();
    let answer = fleet.answer("g1", &fleet.guest(1));
    let options = fleet.options("g1", &answer, json!({}));
    let before = fleet.files();
    let foreseen = fleet.run(&with(options.clone(), json!({"_ansible_check_mode": true, "_ansible_diff": true})));
    // The key, and the request that it belongs to.
    assert_eq!((&foreseen["changed"], foreseen["diff"].as_array().unwrap().len()), (&json!(true), 2), "{foreseen}");
    assert_eq!(fleet.files(), before);
    let result = fleet.run(&options);
    assert_eq!((&result["changed"], fleet.path("g1.key").exists()), (&json!(true), false), "{result}");
    assert!(!fleet.path("g1").exists(), "a request is for one answer");
    refused(&fleet.run(&options), "none", "file.missing");

    fleet.ask(&["g1"]);
    let answer = fleet.answer("g1", &Guest { locked: false, ..fleet.guest(1) });
    refused(&fleet.run(&fleet.options("g1", &answer, json!({"secrets": []}))), "contraindicated", "attest.not_locked");
    assert!(!fleet.path("g1.key").exists(), "it was used, whatever the verdict is");
}

#[test]
fn more_data_than_the_flags_ask_for_are_not_affirmed() {
    let fleet = Fleet::new();
    let good = fleet.answer("g1", &fleet.guest(1));
    let at = |at: usize| u32::from_be_bytes(good[at..at + 4].try_into().unwrap()) as usize;
    let entry = |number: usize| &good[at(0x1c + 8 * number)..at(0x1c + 8 * number) + at(0x18 + 8 * number)];
    let more = [entry(2), &[0; 4]].concat();
    let answer = exchange([entry(0), entry(1), &more, &[], entry(4)]);
    let result = fleet.run(&fleet.options("g1", &answer, json!({})));
    assert_eq!(check(&result, "additional")["code"], "attest.additional_excess", "{result}");
    assert_eq!(result["failed"], true);
}

#[test]
fn in_which_order_requests_were_added_counts_unless_it_is_said_not_to() {
    let fleet = Fleet::new();
    let said = claims(1, BOOT_ID, &[[0x13; 32], [0x11; 32], [0x12; 32]]);
    let (user_data, tags) = (said.user_data().to_vec(), vec![TAGS[2], TAGS[0], TAGS[1]]);
    let guest = Guest { user_data, tags, ..fleet.guest(1) };
    let more = |ordered: bool| json!({"secrets": secrets(), "claims": said.to_json(), "ordered": ordered, "remove_key": false});
    refused(&fleet.judge(&guest, more(true)), "contraindicated", "attest.store_mismatch");
    let result = fleet.judge(&guest, more(false));
    assert_eq!(result["responses"][0]["verdict"], "affirming", "{result}");
    // What the guest says about the order is held against what was measured.
    let liar = Guest { tags: TAGS.to_vec(), ..guest };
    refused(&fleet.judge(&liar, more(false)), "contraindicated", "attest.store_mismatch");
}
