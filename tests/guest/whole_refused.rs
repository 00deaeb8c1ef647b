//! `guest` where a step cannot be done: what is written all the same, and what is not.

use crate::queues::*;
use crate::support::*;
use crate::whole::{GUEST, secret, steps, wanted};
use serde_json::{Value, json};

#[test]
fn nothing_is_written_where_the_plan_shows_that_a_step_cannot_succeed() {
    if !e2e::can_simulate("nothing_is_written_where_the_plan_shows_that_a_step_cannot_succeed") {
        return;
    }
    let guest = guest(CARDS);
    let state = guest.state().unwrap();
    let secrets = json!([secret("a")]);
    for (queues, code) in [
        // The secret of an entry that nothing brings.
        (json!([ep11("a", KEY_A), ep11("another", KEY_A)]), "ap.secret_missing"),
        // No card is as new as that.
        (json!([{"mode": "accel", "mingen": "cex9"}]), "ap.no_matching_queue"),
    ] {
        let arguments = json!({"secrets": secrets, "queues": queues, "_ansible_diff": true});
        let failed = fails(&guest, GUEST, &arguments, code);
        assert_eq!((&failed["changed"], &failed["diff"]), (&json!(false), &json!([])));
        let bind = format!("bind failed {code}");
        assert_eq!(
            steps(&failed),
            ["machine unchanged", "add not_reached", "verify unchanged", "lock not_reached", &bind]
        );
        let predicted = fails(&guest, GUEST, &checked(&arguments), code);
        assert_eq!(
            steps(&predicted),
            ["machine unchanged", "add would_change", "verify unchanged", "lock would_change", &bind]
        );
    }
    for (arguments, code) in [
        (json!({"secrets": secrets, "queues": [ep11("a", "12")]}), "config.invalid_entry"),
        (json!({"secrets": secrets, "queues": [at("a", "00.0005"), at("a", "00.0005")]}), "config.queue_twice"),
        (json!({"secrets": [{"name": "another", "path": request("a")}]}), "request.other_secret"),
        (json!({"secrets": [secret("a"), {"path": file(b"no request")}]}), "request.malformed"),
    ] {
        fails(&guest, GUEST, &arguments, code);
    }
    assert_eq!((guest.state().unwrap(), effects(&guest)), (state, NOTHING));
}

#[test]
fn a_store_that_would_not_be_as_it_must_is_neither_added_to_nor_locked() {
    if !e2e::can_simulate("a_store_that_would_not_be_as_it_must_is_neither_added_to_nor_locked") {
        return;
    }
    let guest = guest("");
    with_secrets(&guest, &["stranger"]);
    let (state, log) = (guest.state().unwrap(), effects(&guest));
    let exact = json!({"secrets": [secret("a")]});
    for arguments in [&exact, &checked(&exact)] {
        let failed = fails(&guest, GUEST, arguments, "uv.lock_guard");
        assert!(failed["msg"].as_str().unwrap().contains(&id("stranger")), "{failed}");
    }
    assert_eq!((guest.state().unwrap(), effects(&guest)), (state, log));
    let with_others = with(exact, "lock_exact", false);
    assert_eq!(
        steps(&ok(&guest, GUEST, &with_others)),
        ["machine unchanged", "add changed", "verify unchanged", "lock changed"]
    );
}

#[test]
fn a_locked_store_that_lacks_a_secret_needs_a_reboot() {
    if !e2e::can_simulate("a_locked_store_that_lacks_a_secret_needs_a_reboot") {
        return;
    }
    let guest = guest("");
    ok(&guest, GUEST, &json!({"secrets": [secret("a")]}));
    let more = json!({"secrets": [{"name": "a"}, secret("b")]});
    for arguments in [&more, &checked(&more)] {
        let failed = fails(&guest, GUEST, arguments, "uv.store_locked");
        assert_eq!((&failed["reboot_required"], &failed["changed"]), (&json!(true), &json!(false)));
        assert_eq!(steps(&failed)[1], "add failed uv.store_locked");
        assert_eq!(steps(&failed)[3], "lock failed uv.locked_incomplete");
    }
    let by_name = fails(&guest, GUEST, &json!({"secrets": [{"name": "a"}, {"name": "b"}]}), "uv.secret_missing");
    assert_eq!(by_name["reboot_required"], true);
    guest.reboot().unwrap();
    let empty = fails(&guest, GUEST, &more, "uv.secret_missing");
    assert_eq!(steps(&empty)[2], "verify failed uv.secret_missing");
    assert!(empty.get("reboot_required").is_none(), "{empty}");
}

#[test]
fn a_step_that_fails_unforeseen_ends_the_run_and_what_was_done_stays() {
    if !e2e::can_simulate("a_step_that_fails_unforeseen_ends_the_run_and_what_was_done_stays") {
        return;
    }
    let guest = guest(CARDS);
    // The first is the probe of the lock.
    guest.set("faults: [{on: add_secret, nth: 3, uv_rc: 0x010c}]").unwrap();
    let wanted = wanted();
    let failed = fails(&guest, GUEST, &wanted, "uv.secret_refused");
    assert_eq!(
        steps(&failed),
        [
            "machine unchanged",
            "add failed uv.secret_refused",
            "verify not_reached",
            "lock not_reached",
            "bind not_reached"
        ]
    );
    assert_eq!((&failed["changed"], &failed["total"]), (&json!(true), &json!(1)));
    assert_eq!(failed["requests"][1]["error"]["code"], "uv.secret_refused");
    assert_eq!(guest.state().unwrap()["locked"], false);
    assert_eq!(held(&guest), NOTHING);

    guest.set("{clear_faults: true, faults: [{on: associate, ap_rc: 0x36, times: 0}]}").unwrap();
    let failed = guest.module(GUEST, &wanted).unwrap();
    assert_eq!((&failed["failed"], &failed["changed"]), (&json!(true), &json!(true)), "{failed}");
    let told = steps(&failed);
    assert_eq!(told[..4], ["machine unchanged", "add changed", "verify unchanged", "lock changed"]);
    assert!(told[4].starts_with("bind failed ap."), "{told:?}");
    assert_eq!(guest.state().unwrap()["locked"], true);
    guest.set("{clear_faults: true}").unwrap();
    assert_eq!(
        steps(&ok(&guest, GUEST, &wanted)),
        ["machine unchanged", "add unchanged", "verify unchanged", "lock unchanged", "bind changed"]
    );
}

#[test]
fn a_guest_on_a_machine_where_it_may_not_run_is_given_nothing() {
    if !e2e::can_simulate("a_guest_on_a_machine_where_it_may_not_run_is_given_nothing") {
        return;
    }
    let guest = guest("");
    let facts = ok(&guest, "facts", &json!({"gather_subset": ["ultravisor"]}));
    let here = facts["ansible_facts"]["ansible_secure_execution"]["ultravisor"]["host_key_hashes"][0].clone();
    let on = |hashes: Value| json!({"secrets": [secret("a")], "host_key_hashes": hashes});
    let elsewhere = fails(&guest, GUEST, &on(json!(["ab".repeat(32)])), "uv.other_machine");
    assert_eq!(steps(&elsewhere)[0], "machine failed uv.other_machine");
    assert_eq!(adds(&guest), ["0x0104"]);
    assert_eq!(steps(&ok(&guest, GUEST, &on(json!(["ab".repeat(32), here]))))[0], "machine unchanged");
}

#[test]
fn in_check_mode_a_request_that_comes_too_late_for_a_locked_store_fails() {
    if !e2e::can_simulate("in_check_mode_a_request_that_comes_too_late_for_a_locked_store_fails") {
        return;
    }
    let guest = guest("");
    ok(&guest, GUEST, &json!({"secrets": [secret("a")]}));
    let late = json!({"secrets": [{"name": "a"}, {"name": "b", "pending": true}]});
    let failed = fails(&guest, GUEST, &checked(&late), "uv.store_locked");
    assert_eq!((&failed["reboot_required"], &failed["steps"][3]["right"]), (&json!(true), &json!(false)), "{failed}");
    // One that is there needs no request.
    ok(&guest, GUEST, &checked(&json!({"secrets": [{"name": "a", "pending": true}]})));
}

#[test]
fn an_exact_lock_is_not_set_over_a_secret_whose_id_is_the_name_itself() {
    if !e2e::can_simulate("an_exact_lock_is_not_set_over_a_secret_whose_id_is_the_name_itself") {
        return;
    }
    let guest = guest("");
    let id = pv_wire::SecretId::from_name_bytes("a");
    let stranger = pv_request::Secret::new(pv_request::SecretClass::Plaintext, id, b"x", "x").unwrap();
    ok(&guest, "secret_add", &json!({"path": file(&build(&add(stranger), &["m1"]))}));
    fails(&guest, GUEST, &json!({"secrets": [secret("a")]}), "uv.lock_guard");
    assert_eq!(guest.state().unwrap()["locked"], false);
}

#[test]
fn a_refused_run_tells_nothing_as_done() {
    if !e2e::can_simulate("a_refused_run_tells_nothing_as_done") {
        return;
    }
    let guest = guest(CARDS);
    let queues = json!([accel(), {"mode": "accel", "mingen": "cex9"}]);
    let refused = fails(&guest, GUEST, &json!({"secrets": [secret("a")], "queues": queues}), "ap.no_matching_queue");
    assert_eq!(column(&refused["requests"], "changed"), [false]);
    assert!(refused["queues"].as_array().unwrap().iter().all(|queue| queue["before"] == queue["after"]), "{refused}");
    assert_eq!(column(&refused["entries"], "apqn"), [Value::Null, Value::Null]);
}

#[test]
fn a_request_whose_outcome_is_unknown_keeps_the_store_unlocked_and_no_other_secret_out() {
    if !e2e::can_simulate("a_request_whose_outcome_is_unknown_keeps_the_store_unlocked_and_no_other_secret_out") {
        return;
    }
    let guest = guest("faults: [{on: add_secret, kill: before}]");
    let meta = json!({"path": file(&build(&add(pv_request::Secret::meta()), &["m1"]))});
    is_killed(&guest, "secret_add", &meta);
    let mut wanted = json!({"secrets": [secret("a"), meta, secret("b")]});
    let told = fails(&guest, GUEST, &checked(&wanted), "uv.outcome_unknown");
    assert_eq!(steps(&told)[1..3], ["add failed uv.outcome_unknown", "verify failed uv.outcome_unknown"]);
    assert_eq!(adds(&guest).iter().filter(|rc| **rc == "0x0001").count(), 0);
    let done = fails(&guest, GUEST, &wanted, "uv.outcome_unknown");
    assert_eq!(
        steps(&done),
        ["machine unchanged", "add failed uv.outcome_unknown", "verify not_reached", "lock not_reached"]
    );
    assert_eq!(
        (&done["changed"], column(&done["secrets"], "id")),
        (&json!(true), vec![json!(id("a")), json!(id("b"))])
    );
    assert_eq!(fails(&guest, GUEST, &wanted, "uv.outcome_unknown")["changed"], false);
    wanted["secrets"][1]["force"] = true.into();
    let end = ok(&guest, GUEST, &wanted);
    assert_eq!(steps(&end), ["machine unchanged", "add changed", "verify unchanged", "lock changed"]);
    wanted["secrets"][1]["force"] = false.into();
    assert_eq!(ok(&guest, GUEST, &wanted)["changed"], false);
}
