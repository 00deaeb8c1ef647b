//! What others get of a verdict.

use crate::fleet::Fleet;
use crate::ultravisor::Guest;
use crate::world::{code, mode, with};
use openssl::ec::{EcGroup, EcKey};
use openssl::hash::{MessageDigest, hash};
use openssl::{base64, bn::BigNum, ecdsa::EcdsaSig, nid::Nid, pkey::PKey, pkey::Private};
use serde_json::{Value, json};
use std::fs;

fn signing_key(fleet: &Fleet) -> EcKey<Private> {
    let key = EcKey::generate(&EcGroup::from_curve_name(Nid::SECP384R1).unwrap()).unwrap();
    let pem = PKey::from_ec_key(key.clone()).unwrap().private_key_to_pem_pkcs8().unwrap();
    fleet.private("signing.pem", &pem);
    key
}

fn decoded(part: &str) -> Vec<u8> {
    let padded = part.replace('-', "+").replace('_', "/") + ["", "", "==", "="][part.len() % 4];
    base64::decode_block(&padded).unwrap()
}

/// The claims of a token that this key has signed.
fn claims(token: &str, key: &EcKey<Private>) -> Value {
    let (message, signature) = token.trim_end().rsplit_once('.').unwrap();
    let signature = decoded(signature);
    let half = |at: usize| BigNum::from_slice(&signature[at..at + 48]).unwrap();
    let signature = EcdsaSig::from_private_components(half(0), half(48)).unwrap();
    let digest = hash(MessageDigest::sha384(), message.as_bytes()).unwrap();
    assert!(signature.verify(&digest, key).unwrap());
    serde_json::from_slice(&decoded(message.split_once('.').unwrap().1)).unwrap()
}

fn outputs(fleet: &Fleet) -> Value {
    let text = |name| fleet.text(name);
    json!({"ear_file": text("g1.ear"), "signing_key": text("signing.pem"), "yaml_file": text("g1.yaml")})
}

#[test]
fn a_verdict_is_signed_for_others_and_never_outlived_by_an_older_one() {
    let fleet = Fleet::new();
    let key = signing_key(&fleet);
    let status =
        || claims(&fs::read_to_string(fleet.path("g1.ear")).unwrap(), &key)["submods"]["g1"]["ear.status"].clone();
    let judge = |image: u8, more: Value| fleet.judge(&Guest { image, ..fleet.guest(1) }, with(outputs(&fleet), more));

    let result = judge(0x51, json!({}));
    assert_eq!(
        (&result["changed"], status(), mode(&fleet.path("g1.ear"))),
        (&json!(true), json!("affirming"), 0o644),
        "{result}"
    );
    let yaml = fs::read_to_string(fleet.path("g1.yaml")).unwrap();
    assert!(yaml.starts_with(&format!("cuid: '0x{}'\n", "01".repeat(16))), "{yaml}");
    let id =
        claims(&fs::read_to_string(fleet.path("g1.ear")).unwrap(), &key)["submods"]["g1"]["ear.appraisal-policy-id"]
            .clone();
    assert!(id.as_str().unwrap().starts_with("ni:///sha-256;"), "{id}");

    judge(0x52, json!({}));
    assert_eq!((status(), fleet.path("g1.yaml").exists()), (json!("contraindicated"), false));

    judge(0x51, json!({}));
    let before = fleet.files();
    judge(0x51, json!({"image": fleet.text("host1.crt"), "_ansible_check_mode": true}));
    assert_eq!(fleet.files(), before);
    let failed = judge(0x51, json!({"image": fleet.text("host1.crt")}));
    assert_eq!(code(&failed), "image.no_header");
    assert!(!fleet.path("g1.ear").exists() && !fleet.path("g1.yaml").exists(), "no verdict, no result");
}

#[test]
fn what_is_no_earlier_result_is_neither_overwritten_nor_removed() {
    let fleet = Fleet::new();
    signing_key(&fleet);
    for option in ["ear_file", "yaml_file", "report"] {
        let file = fleet.text("precious");
        fs::write(&file, "mine").unwrap();
        for image in [0x51, 0x52] {
            let result = fleet.judge(&Guest { image, ..fleet.guest(1) }, with(outputs(&fleet), json!({option: file})));
            assert_eq!(result["failed"], true, "{option}: {result}");
            assert!(result.to_string().contains("attest.result_not_ours"), "{option}: {result}");
            assert_eq!(fs::read_to_string(&file).unwrap(), "mine", "{option}");
        }
    }
}

#[test]
fn a_result_that_cannot_be_signed_fails_its_guest_and_keeps_the_key() {
    let fleet = Fleet::new();
    let answer = fleet.answer("g1", &fleet.guest(1));
    let run = |more: Value| fleet.run(&fleet.options("g1", &answer, with(outputs(&fleet), more)));
    assert_eq!(code(&run(json!({}))), "file.missing");
    fleet.private("signing.pem", b"no key");
    assert_eq!(code(&run(json!({}))), "attest.signing_key");
    assert_eq!(code(&run(json!({"signing_key": null}))), "args.missing");
    signing_key(&fleet);
    let unwritable = run(json!({"ear_file": fleet.text("missing/g1.ear")}));
    assert_eq!(
        (code(&unwritable), &unwritable["responses"][0]["verdict"]),
        ("file.missing", &json!("none")),
        "{unwritable}"
    );
    assert!(fleet.path("g1.key").exists() && !fleet.path("g1.yaml").exists());
    assert_eq!(run(json!({}))["responses"][0]["verdict"], "affirming");
}
