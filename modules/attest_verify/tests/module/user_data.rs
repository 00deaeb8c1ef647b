//! User data of a guest's operator, instead of claims.

use crate::fleet::{BOOT_ID, Fleet, check, claims, ssh_host_key};
use crate::ultravisor::Guest;
use crate::world::code;
use openssl::base64::encode_block;
use serde_json::{Value, json};
use std::fs;

fn guest(fleet: &Fleet, user_data: &[u8]) -> Guest {
    Guest { user_data: user_data.to_vec(), ..fleet.guest(1) }
}

fn outcome(result: &Value) -> (&Value, &str, &Value) {
    (&result["responses"][0]["verdict"], code(result), &check(result, "user_data")["ok"])
}

#[test]
fn the_user_data_must_be_exactly_the_expected_bytes() {
    let fleet = Fleet::new();
    fs::write(fleet.path("expected"), b"hello").unwrap();
    let expectations =
        [json!({"user_data": encode_block(b"hello")}), json!({"user_data_file": fleet.text("expected")})];
    for expected in expectations {
        let result = fleet.judge(&guest(&fleet, b"hello"), expected.clone());
        assert_eq!(outcome(&result), (&json!("affirming"), "", &json!(true)), "{result}");
        for other in [b"hellO".as_slice(), b"hello\0", b"hell", b""] {
            let result = fleet.judge(&guest(&fleet, other), expected.clone());
            assert_eq!(outcome(&result), (&json!("contraindicated"), "attest.user_data", &json!(false)), "{result}");
        }
    }
}

#[test]
fn user_data_that_are_not_expected_are_not_said_to_be_so() {
    let fleet = Fleet::new();
    let result = fleet.judge(&guest(&fleet, b"hello"), json!({}));
    assert_eq!(outcome(&result), (&json!("affirming"), "", &json!(null)), "{result}");
    let more = json!({"user_data": encode_block(b"hello"), "ssh_host_keys": [ssh_host_key(1)]});
    let result = fleet.judge(&guest(&fleet, b"hello"), more);
    assert_eq!(outcome(&result), (&json!("contraindicated"), "attest.claims_missing", &json!(true)), "{result}");
}

#[test]
fn user_data_alone_are_nothing_to_compare_with() {
    let fleet = Fleet::new();
    let result = fleet.judge(&guest(&fleet, b"hello"), json!({"user_data": encode_block(b"hello"), "image": null}));
    assert_eq!(code(&result), "args.nothing_expected", "{result}");
}

#[test]
fn user_data_that_nobody_can_mean_are_refused() {
    let fleet = Fleet::new();
    fs::write(fleet.path("empty"), b"").unwrap();
    fs::write(fleet.path("long"), [1; 257]).unwrap();
    let hello = encode_block(b"hello");
    for (more, expected) in [
        (json!({"user_data": ""}), "args.invalid"),
        (json!({"user_data": "%"}), "args.invalid"),
        (json!({"user_data": encode_block(&[1; 257])}), "args.invalid"),
        (json!({"user_data_file": fleet.text("empty")}), "args.invalid"),
        (json!({"user_data_file": fleet.text("long")}), "args.invalid"),
        (json!({"user_data_file": fleet.text("none")}), "file.missing"),
        (json!({"user_data": hello, "user_data_file": fleet.text("long")}), "args.conflict"),
        (json!({"user_data": hello, "claims": claims(1, BOOT_ID, &[]).to_json()}), "args.conflict"),
    ] {
        let result = fleet.judge(&guest(&fleet, b"hello"), more.clone());
        assert_eq!((code(&result), &result["responses"][0]["verdict"]), (expected, &json!("none")), "{more}: {result}");
    }
    let result = fleet.judge(&guest(&fleet, &[1; 256]), json!({"user_data": encode_block(&[1; 256])}));
    assert_eq!(result["responses"][0]["verdict"], "affirming", "{result}");
}
