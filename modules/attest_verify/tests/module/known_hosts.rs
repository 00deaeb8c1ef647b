//! Guests that are looked up in `known_hosts`.

use crate::fleet::{BOOT_ID, Fleet, check, ssh_host_key};
use crate::ultravisor::Guest;
use crate::world::{code, with};
use pv_wire::attestation::Claims;
use serde_json::{Value, json};
use std::fs;

/// Judges a guest that says it has these keys.
fn judge(fleet: &Fleet, keys: &[String], more: Value) -> Value {
    let keys = keys.iter().map(|key| key.parse().unwrap()).collect();
    let said = Claims::default().with_boot_id(BOOT_ID).unwrap().with_ssh_host_keys(keys).unwrap();
    let guest = Guest { user_data: said.user_data().to_vec(), ..fleet.guest(1) };
    fleet.judge(&guest, with(json!({"claims": said.to_json(), "ssh_host": "g1"}), more))
}

#[test]
fn the_keys_of_files_and_content_must_all_be_the_guests() {
    let fleet = Fleet::new();
    fs::write(fleet.path("known"), format!("g1 {}\n[g1]:2222 {}\n", ssh_host_key(1), ssh_host_key(2))).unwrap();
    let files = json!({"known_hosts": [fleet.text("missing"), fleet.text("known")]});
    let good = judge(&fleet, &[ssh_host_key(1), ssh_host_key(9)], files.clone());
    assert_eq!(
        (&check(&good, "ssh_host_keys")["ok"], &good["responses"][0]["verdict"]),
        (&json!(true), &json!("affirming"))
    );
    let other = judge(&fleet, &[ssh_host_key(9)], files.clone());
    assert_eq!(code(&other), "attest.ssh_host_keys", "{other}");
    let at_port = judge(&fleet, &[ssh_host_key(1)], with(files.clone(), json!({"ssh_port": "2222"})));
    assert_eq!(code(&at_port), "attest.ssh_host_keys", "{at_port}");
    let both = with(files, json!({"known_hosts_content": format!("g1 {}", ssh_host_key(3))}));
    assert_eq!(code(&judge(&fleet, &[ssh_host_key(1)], both.clone())), "attest.ssh_host_keys");
    let good = judge(&fleet, &[ssh_host_key(1), ssh_host_key(3)], both);
    assert_eq!(check(&good, "ssh_host_keys")["ok"], true, "{good}");
    assert!(!good["invocation"].to_string().contains("known_hosts_content"), "{good}");
}

#[test]
fn a_guest_that_is_not_known_is_not_compared_and_the_check_says_so() {
    let fleet = Fleet::new();
    for (text, why) in [
        (String::new(), "has no key for g1"),
        (format!("other {}", ssh_host_key(1)), "has no key for g1"),
        (format!("* {}", ssh_host_key(1)), "only by a wildcard"),
        (format!("@revoked g1 {}", ssh_host_key(1)), "has no key for g1"),
    ] {
        let result = judge(&fleet, &[ssh_host_key(9)], json!({"known_hosts_content": text}));
        let found = check(&result, "ssh_host_keys");
        assert_eq!((&found["ok"], &result["responses"][0]["verdict"]), (&json!(null), &json!("affirming")), "{result}");
        assert!(found["detail"].as_str().unwrap().contains(why), "{found}");
    }
}

#[test]
fn a_guest_with_a_revoked_key_and_one_that_says_nothing_of_its_keys_are_contraindicated() {
    let fleet = Fleet::new();
    let revoked = json!({"known_hosts_content": format!("g1 {}\n@revoked * {}", ssh_host_key(1), ssh_host_key(2))});
    let result = judge(&fleet, &[ssh_host_key(1), ssh_host_key(2)], revoked.clone());
    assert_eq!(code(&result), "attest.ssh_host_keys", "{result}");
    assert!(check(&result, "ssh_host_keys")["detail"].as_str().unwrap().contains("revoked"), "{result}");
    let silent = fleet.judge(&fleet.guest(1), with(revoked, json!({"ssh_host": "g1"})));
    assert_eq!(code(&silent), "attest.claims_missing", "{silent}");
}

#[test]
fn what_is_looked_up_adds_to_the_keys_that_are_named_and_nothing_to_look_in_is_refused() {
    let fleet = Fleet::new();
    let more = json!({"known_hosts_content": format!("g1 {}", ssh_host_key(1)), "ssh_host_keys": [ssh_host_key(2)]});
    assert_eq!(code(&judge(&fleet, &[ssh_host_key(1)], more.clone())), "attest.ssh_host_keys");
    assert_eq!(check(&judge(&fleet, &[ssh_host_key(1), ssh_host_key(2)], more), "ssh_host_keys")["ok"], true);
    assert_eq!(code(&judge(&fleet, &[ssh_host_key(1)], json!({}))), "args.missing");
    assert_eq!(code(&judge(&fleet, &[], json!({"known_hosts": [fleet.text("")]}))), "file.unreadable");
}
