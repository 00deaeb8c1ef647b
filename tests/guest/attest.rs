//! `attest`: the guest answers, and what it answers holds before two verifications that know nothing of each other.

use crate::challenges::*;
use crate::support::*;
use pv_request::attest::{Challenge, Expected, ExpectedClaims, Status};
use pv_wire::attestation::Item;
use serde_json::{Value, json};
use std::fs;

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
