//! `attest` where there is no answer, or a spoiled one.

use crate::challenges::*;
use crate::support::*;
use pv_request::attest::{Challenge, Status};
use pv_wire::attestation::Item;
use serde_json::{Value, json};

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
