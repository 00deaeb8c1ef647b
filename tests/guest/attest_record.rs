//! `attest` and the record of this boot's requests: what is bound of it, and what the hash of the store settles in it.

use crate::challenges::*;
use crate::support::*;
use pv_request::attest::{Challenge, Status};
use pv_wire::attestation::Item;
use serde_json::{Value, json};

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
    // What the operator should know is said of an answer that does not come, too.
    guest.set("faults: [{on: attest, uv_rc: 0x010b}]").unwrap();
    let arguments = with(&blind, "bind", json!(["added_requests"]));
    let refused = fails(&guest, MODULE, &arguments, "attest.algorithm_unsupported");
    assert!(warned(&refused, "attest.record_unsettled"), "{refused}");
    let first = ok(&guest, MODULE, &arguments);
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
fn an_unknown_outcome_is_settled_by_whoever_attests_whatever_is_bound() {
    if !e2e::can_simulate("an_unknown_outcome_is_settled_by_whoever_attests_whatever_is_bound") {
        return;
    }
    for (taken, option, value) in [
        (true, "bind", json!(["added_requests"])),
        (false, "bind", json!(["boot_id"])),
        (true, "bind", json!([])),
        (true, "user_data", json!(base64(b"hello"))),
    ] {
        for module in [MODULE, "guest"] {
            let guest =
                guest(&format!("faults: [{{on: add_secret, kill: {}}}]", if taken { "after" } else { "before" }));
            let meta = json!({"path": file(&build(&add(pv_request::Secret::meta()), &["m1"]))});
            is_killed(&guest, "secret_add", &meta);
            let attest = |challenge: &Challenge| {
                let asked = with(challenge, option, value.clone());
                if module == MODULE { asked } else { json!({ "attest": asked }) }
            };
            // Nothing is found out without the hash, nor remembered in check mode.
            ok(&guest, module, &attest(&challenge(&[Item::ImageHostKey], &["m1"])));
            let mut told = attest(&usual());
            let asked = if module == MODULE { &mut told } else { &mut told["attest"] };
            asked["in_check_mode"] = true.into();
            ok(&guest, module, &checked(&told));
            fails(&guest, "secret_add", &meta, "uv.outcome_unknown");
            ok(&guest, module, &attest(&usual()));
            assert_eq!(ok(&guest, "secret_add", &meta)["changed"], !taken, "{module} {option} {value}");
        }
    }
}

#[test]
fn an_answer_that_does_not_need_the_record_comes_whatever_is_wrong_with_it() {
    if !e2e::can_simulate("an_answer_that_does_not_need_the_record_comes_whatever_is_wrong_with_it") {
        return;
    }
    let guest = guest("");
    ok(&guest, "secret_add", &json!({"path": request("a")}));
    shell(&guest, "chmod 666 /run/seguest-pv/private/requests.json");
    for (option, value) in [("bind", json!(["boot_id"])), ("bind", json!([])), ("user_data", json!(base64(b"hello")))] {
        let asked = with(&usual(), option, value);
        ok(&guest, MODULE, &asked);
        ok(&guest, "guest", &json!({ "attest": asked }));
    }
    fails(&guest, MODULE, &with(&usual(), "bind", json!(["added_requests"])), "file.record_unusable");
}
