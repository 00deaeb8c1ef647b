//! The option `firmware`, with a service on this machine.

use crate::fleet::{Fleet, check};
use crate::ultravisor::Guest;
use crate::world::{code, with};
use serde_json::{Value, json};
use std::fs;
use test_pki::{CrlServer, Pki, Reply, write_file};

const V1: &str = "/z/hmrs/firmware/attestation/v1/verify";
const V2: &str = "/z/hmrs/firmware/attestation/v2/verify";

/// A fleet whose requests ask for the firmware's state, and a service that finds it valid.
fn world() -> (Fleet, CrlServer) {
    let web = Pki::new("Armonk").unwrap().root;
    let server = CrlServer::start_tls(&web).unwrap();
    says(&server, V1, &json!({"version": "1.0", "valid": true, "referenceId": "r-1"}));
    says(&server, V2, &json!({"version": "2.0", "valid": false, "reason": "too old", "verifiedHashes": []}));
    let fleet = Fleet::new();
    write_file(&fleet.path("web.crt"), &web.certificate.to_pem().unwrap()).unwrap();
    fleet.ask_with(&["g1"], json!({"add_data": ["secret_store", "firmware_state"]}));
    (fleet, server)
}

fn says(server: &CrlServer, path: &str, answer: &Value) {
    server.put(path, Reply::Content(answer.to_string().into_bytes()));
}

/// The options by which the service is asked.
fn service(fleet: &Fleet, server: &CrlServer, interface: &str) -> Value {
    json!({"firmware": interface, "firmware_url": server.uri("/z"), "firmware_ca": fleet.text("web.crt")})
}

fn outcome(result: &Value) -> (&str, &str) {
    (result["responses"][0]["verdict"].as_str().unwrap(), code(result))
}

#[test]
fn the_firmware_is_what_the_service_says_and_nobody_is_asked_by_default() {
    let (fleet, server) = world();
    let result = fleet.judge(&fleet.guest(1), json!({}));
    assert_eq!(outcome(&result), ("affirming", ""), "{result}");
    let checks = result["responses"][0]["checks"].as_array().unwrap();
    assert!(checks.iter().all(|check| check["name"] != "firmware"), "{result}");
    assert!(server.posted().is_empty());

    let result = fleet.judge(&fleet.guest(1), service(&fleet, &server, "v1"));
    assert_eq!(outcome(&result), ("affirming", ""), "{result}");
    let found = check(&result, "firmware");
    assert!(found["ok"] == true && found["detail"].as_str().unwrap().contains("r-1"), "{result}");

    let result = fleet.judge(&fleet.guest(1), service(&fleet, &server, "v2"));
    assert_eq!(outcome(&result), ("contraindicated", "attest.firmware_invalid"), "{result}");
    assert!(check(&result, "firmware")["detail"].as_str().unwrap().contains("too old"), "{result}");
}

#[test]
fn what_leaves_the_machine_is_the_measured_state_and_no_key_or_name() {
    let (fleet, server) = world();
    let key = fs::read(fleet.path("g1.key")).unwrap();
    fleet.judge(&fleet.guest(1), with(service(&fleet, &server, "v1"), json!({"label": "secret-name"})));
    let posted = server.posted();
    assert_eq!(posted.len(), 1);
    let body: Value = serde_json::from_slice(&posted[0].body).unwrap();
    let state = openssl::base64::encode_block(&[0x5a; 320]);
    assert_eq!(body, json!({"version": "1.0", "payload": state}));
    let all = format!("{}{body}", posted[0].head);
    for secret in [pv_wire::encode_hex(&key), openssl::base64::encode_block(&key), "secret-name".into(), "g1".into()] {
        assert!(!all.contains(&secret), "{all}");
    }
}

#[test]
fn an_error_of_the_service_never_affirms() {
    let (fleet, server) = world();
    for reply in [Reply::Status(503), Reply::Content(b"{}".into()), Reply::Redirect(server.uri(V2))] {
        server.put(V1, reply);
        let result = fleet.judge(&fleet.guest(1), service(&fleet, &server, "v1"));
        assert_eq!(outcome(&result), ("none", "attest.firmware_unreachable"), "{result}");
        assert_eq!(result["responses"][0]["valid_until"], json!(null));
    }
    let untrusted = with(service(&fleet, &server, "v1"), json!({"firmware_ca": fleet.text("root_ca.crt")}));
    let asked = server.posted().len();
    assert_eq!(outcome(&fleet.judge(&fleet.guest(1), untrusted)), ("none", "attest.firmware_unreachable"));
    assert_eq!(server.posted().len(), asked);
}

#[test]
fn nothing_is_sent_of_a_guest_that_is_not_affirmed_anyway() {
    let (fleet, server) = world();
    let ask = service(&fleet, &server, "v1");
    let other = Guest { image: 0x52, ..fleet.guest(1) };
    assert_eq!(outcome(&fleet.judge(&other, ask.clone())), ("contraindicated", "attest.measurement_mismatch"));
    let open = Guest { locked: false, ..fleet.guest(1) };
    let result = fleet.judge(&open, with(ask.clone(), json!({"secrets": []})));
    assert_eq!(outcome(&result), ("contraindicated", "attest.not_locked"), "{result}");
    assert_eq!(check(&result, "firmware")["ok"], json!(null));
    fleet.ask(&["g1"]);
    let result = fleet.judge(&fleet.guest(1), ask);
    assert_eq!(outcome(&result), ("contraindicated", "attest.not_asked"), "{result}");
    assert!(result["error"]["hint"].as_str().unwrap().contains("firmware_state"), "{result}");
    assert!(server.posted().is_empty());
}

#[test]
fn machines_with_the_same_state_are_asked_about_once_in_a_task() {
    let (fleet, server) = world();
    let names: Vec<_> = (0..40).map(|n| format!("guest{n}")).collect();
    fleet.ask_with(&names.iter().map(String::as_str).collect::<Vec<_>>(), json!({"add_data": ["firmware_state"]}));
    let responses: Vec<_> = names
        .iter()
        .zip(1..)
        .map(|(name, n)| fleet.options(name, &fleet.answer(name, &fleet.guest(n)), json!({})))
        .collect();
    let task = with(service(&fleet, &server, "v1"), json!({"image": fleet.text("header"), "responses": responses}));
    let result = fleet.run(&task);
    assert_eq!(code(&result), "", "{result}");
    assert_eq!(server.posted().len(), 1);
}

#[test]
fn a_service_that_nobody_can_mean_is_refused() {
    let (fleet, server) = world();
    for (more, expected) in [
        (json!({"firmware_url": server.uri("").replace("https", "http")}), "args.invalid"),
        (json!({"firmware_url": "https://me:s3cret@127.0.0.1/"}), "args.invalid"),
        (json!({"firmware": "v3"}), "args.invalid"),
        (json!({"firmware": null}), "args.missing"),
        (json!({"firmware_ca": fleet.text("nowhere")}), "file.missing"),
        (json!({"firmware_ca": fleet.text("header")}), "hkd.not_a_certificate"),
    ] {
        let result = fleet.judge(&fleet.guest(1), with(service(&fleet, &server, "v1"), more.clone()));
        assert_eq!(code(&result), expected, "{more}: {result}");
    }
    assert!(server.posted().is_empty());
}
