//! `secret_lock`: locks what is complete, and nothing else.

use crate::support::*;
use serde_json::{Value, json};

const MODULE: &str = "secret_lock";

/// How often the store was locked or tried to be.
fn locks(guest: &e2e::Guest) -> usize {
    guest.log().unwrap().iter().filter(|event| event["name"] == "lock_secrets").count()
}

#[test]
fn a_complete_store_is_locked_once() {
    if !e2e::can_simulate("a_complete_store_is_locked_once") {
        return;
    }
    let guest = guest("");
    with_secrets(&guest, &["a", "b"]);
    let arguments = json!({"require": ["a", {"name": "b"}, {"id": id("a")}, id("b")], "_ansible_diff": true});
    let first = ok(&guest, MODULE, &arguments);
    assert_eq!((&first["changed"], &first["locked"]), (&json!(true), &json!(true)));
    assert_eq!((first["diff"].as_array().unwrap().len(), &first["secrets"][1]["id"]), (1, &json!(id("b"))));
    assert_eq!(guest.state().unwrap()["locked"], true);
    let second = ok(&guest, MODULE, &arguments);
    assert_eq!((&second["changed"], &second["locked"], locks(&guest)), (&json!(false), &json!(true), 1));
    assert_eq!(shell(&guest, "stat -c %a /run/seguest-pv/store-lock.json"), "644\n");
}

#[test]
fn a_secret_named_by_its_first_bytes_is_found_by_its_name() {
    if !e2e::can_simulate("a_secret_named_by_its_first_bytes_is_found_by_its_name") {
        return;
    }
    let guest = guest("");
    let id = pv_wire::SecretId::from_name_bytes("plain name");
    let secret = pv_request::Secret::new(pv_request::SecretClass::Plaintext, id, b"x", "x").unwrap();
    ok(&guest, "secret_add", &json!({"path": file(&build(&add(secret), &["m1"]))}));
    let result = ok(&guest, MODULE, &json!({"require": ["plain name"], "exact": true}));
    assert_eq!((&result["changed"], &result["secrets"][0]["name"]), (&json!(true), &json!("plain name")));
}

#[test]
fn an_unmet_guard_leaves_the_store_open_and_says_what_is_wrong() {
    if !e2e::can_simulate("an_unmet_guard_leaves_the_store_open_and_says_what_is_wrong") {
        return;
    }
    let guest = guest("");
    with_secrets(&guest, &["a", "stranger"]);
    let state = guest.state().unwrap();
    for (arguments, said) in [
        (json!({"require": ["a", "missing"]}), "missing".to_owned()),
        (json!({"require": ["a"], "exact": true}), id("stranger")),
        (json!({"minimum_secrets": 3}), "at least 3".into()),
        (json!({"require": ["a"], "minimum_secrets": "3"}), "at least 3".into()),
        (json!({"require": [], "exact": true}), id("a")),
    ] {
        let result = fails(&guest, MODULE, &arguments, "uv.lock_guard");
        assert!(result["msg"].as_str().unwrap().contains(&said), "{result}");
        assert_eq!((&result["changed"], &result["locked"]), (&json!(false), &json!(false)));
        assert_eq!(result.get("reboot_required"), None);
        let predicted = ok(&guest, MODULE, &checked(&arguments));
        assert!(warned(&predicted, "uv.lock_guard"), "{predicted}");
        assert_eq!((&predicted["changed"], &predicted["predicted"]), (&json!(true), &json!("partial")));
    }
    assert_eq!((guest.state().unwrap(), locks(&guest)), (state, 0));
}

#[test]
fn exact_and_minimum_that_are_met_lock() {
    if !e2e::can_simulate("exact_and_minimum_that_are_met_lock") {
        return;
    }
    for arguments in [json!({"require": ["a", "b"], "exact": true}), json!({"minimum_secrets": 2})] {
        let guest = guest("");
        with_secrets(&guest, &["a", "b"]);
        assert_eq!(ok(&guest, MODULE, &arguments)["changed"], true);
        assert_eq!(guest.state().unwrap()["locked"], true);
    }
}

#[test]
fn a_locked_store_that_lacks_something_needs_a_reboot() {
    if !e2e::can_simulate("a_locked_store_that_lacks_something_needs_a_reboot") {
        return;
    }
    let guest = guest("");
    with_secrets(&guest, &["a"]);
    ok(&guest, MODULE, &json!({"require": ["a"]}));
    let arguments = json!({"require": ["a", "b"]});
    for arguments in [&arguments, &checked(&arguments)] {
        let result = fails(&guest, MODULE, arguments, "uv.locked_incomplete");
        assert_eq!((&result["changed"], &result["reboot_required"]), (&json!(false), &json!(true)));
        assert_eq!(result["locked"], true);
    }
    guest.reboot().unwrap();
    with_secrets(&guest, &["a", "b"]);
    assert_eq!(ok(&guest, MODULE, &arguments)["changed"], true);
}

#[test]
fn check_mode_predicts_and_sends_nothing_but_questions() {
    if !e2e::can_simulate("check_mode_predicts_and_sends_nothing_but_questions") {
        return;
    }
    let guest = guest("");
    with_secrets(&guest, &["a"]);
    let (state, effects_before) = (guest.state().unwrap(), effects(&guest));
    let arguments = checked(&json!({"require": ["a"]}));
    let predicted = ok(&guest, MODULE, &arguments);
    assert_eq!((&predicted["changed"], &predicted["locked"]), (&json!(true), &json!(false)));
    assert_eq!((guest.state().unwrap(), effects(&guest)), (state, effects_before));
    assert_eq!(shell(&guest, "ls /run/seguest-pv"), "private\n");
    ok(&guest, MODULE, &json!({"require": ["a"]}));
    assert_eq!(ok(&guest, MODULE, &arguments)["changed"], false);
    assert_eq!(locks(&guest), 1);
}

#[test]
fn a_lock_that_cannot_be_told_is_not_claimed() {
    if !e2e::can_simulate("a_lock_that_cannot_be_told_is_not_claimed") {
        return;
    }
    for rc in [0x0101, 0x010d, 0x0005, 0x0002] {
        let guest = guest("");
        with_secrets(&guest, &["a"]);
        guest.set(&format!("faults: [{{on: add_secret, times: 0, uv_rc: {rc}}}]")).unwrap();
        let predicted = ok(&guest, MODULE, &checked(&json!({"require": ["a"]})));
        assert_eq!((&predicted["locked"], &predicted["predicted"]), (&Value::Null, &json!("partial")));
        assert!(warned(&predicted, "uv.lock_unknown"), "{predicted}");
        let unmet = fails(&guest, MODULE, &json!({"require": ["a", "b"]}), "uv.lock_guard");
        assert_eq!(unmet["locked"], Value::Null);
        assert!(unmet["msg"].as_str().unwrap().contains("This task did not lock the secret store"), "{unmet}");
        // The call itself tells for sure.
        assert_eq!(ok(&guest, MODULE, &json!({"require": ["a"]}))["changed"], true);
        assert_eq!(ok(&guest, MODULE, &json!({"require": ["a"]}))["changed"], false);
    }
}

#[test]
fn whatever_form_is_checked_first_the_probe_never_changes_the_store() {
    if !e2e::can_simulate("whatever_form_is_checked_first_the_probe_never_changes_the_store") {
        return;
    }
    for order in ["version", "size", "host_keys", "flags"] {
        let guest = guest(&format!("switches: {{check_order: [{order}], full_before_decryption: true}}"));
        with_secrets(&guest, &["a"]);
        let state = guest.state().unwrap();
        let predicted = ok(&guest, MODULE, &checked(&json!({"require": ["a"]})));
        assert_ne!(predicted["locked"], true);
        assert_eq!(guest.state().unwrap(), state);
        ok(&guest, MODULE, &json!({"require": ["a"]}));
        assert_eq!(ok(&guest, MODULE, &checked(&json!({"require": ["a"]})))["locked"], true, "{order}");
    }
}

#[test]
fn a_lock_is_never_claimed_after_a_refusal() {
    if !e2e::can_simulate("a_lock_is_never_claimed_after_a_refusal") {
        return;
    }
    let guest = guest("");
    with_secrets(&guest, &["a"]);
    for (fault, code) in [
        ("errno: EIO", "uv.ioctl_failed"),
        ("errno: ENOTTY", "uv.ioctl_unknown"),
        ("uv_rc: 0x0101", "uv.store_not_modifiable"),
        ("uv_rc: 0x0777", "uv.unknown_answer"),
    ] {
        guest.set(&format!("{{clear_faults: true, faults: [{{on: lock_secrets, {fault}}}]}}")).unwrap();
        let result = fails(&guest, MODULE, &json!({"require": ["a"]}), code);
        assert_ne!(result["locked"], true);
        let facts = ok(&guest, "facts", &json!({"gather_subset": ["secrets"]}));
        assert_eq!(facts["ansible_facts"]["ansible_secure_execution"]["secrets"]["locked"], Value::Null);
    }
    assert_eq!(guest.state().unwrap()["locked"], false);
}

#[test]
fn a_run_that_was_killed_after_the_lock_is_completed_by_the_next() {
    if !e2e::can_simulate("a_run_that_was_killed_after_the_lock_is_completed_by_the_next") {
        return;
    }
    for fault in ["kill: after", "errno: EIO, done: true"] {
        let guest = guest(&format!("faults: [{{on: lock_secrets, {fault}}}]"));
        with_secrets(&guest, &["a"]);
        run(&guest, MODULE, &json!({"require": ["a"]}));
        assert_eq!(guest.state().unwrap()["locked"], true);
        let result = ok(&guest, MODULE, &json!({"require": ["a"]}));
        assert_eq!((&result["changed"], &result["locked"]), (&json!(false), &json!(true)));
        let facts = ok(&guest, "facts", &json!({}));
        assert_eq!(facts["ansible_facts"]["ansible_secure_execution"]["secrets"]["locked_source"], "record");
    }
}

#[test]
fn nothing_is_concluded_from_a_part_of_the_store() {
    if !e2e::can_simulate("nothing_is_concluded_from_a_part_of_the_store") {
        return;
    }
    let guest = guest("kernel: {list_pages: 1}\nultravisor: {max_assoc_secrets: 200}");
    let names: Vec<_> = (0..87).map(|number| format!("s{number}")).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    with_secrets(&guest, &names);
    for arguments in [json!({"require": ["s86"]}), json!({"require": ["s0"], "exact": true})] {
        fails(&guest, MODULE, &arguments, "uv.list_incomplete");
    }
    assert_eq!(locks(&guest), 0);
    assert_eq!(ok(&guest, MODULE, &json!({"require": ["s0"], "minimum_secrets": 87}))["changed"], true);
}

#[test]
fn a_demand_must_be_given_and_well_formed() {
    if !e2e::can_simulate("a_demand_must_be_given_and_well_formed") {
        return;
    }
    let guest = guest("");
    for arguments in [json!({}), json!({"require": []}), json!({"exact": true})] {
        fails(&guest, MODULE, &arguments, "args.missing");
    }
    let result = fails(&guest, MODULE, &json!({"require": ["a"], "minimum_secret": 1}), "args.unknown_option");
    assert!(result.to_string().contains("minimum_secrets"), "{result}");
    fails(&guest, MODULE, &json!({"require": [{"nam": "a"}]}), "args.unknown_option");
    fails(&guest, MODULE, &json!({"require": [{"name": "a", "id": id("a")}]}), "args.invalid");
    fails(&guest, MODULE, &json!({"minimum_secrets": -1}), "args.invalid");
    assert_eq!(guest.log().unwrap(), Vec::<Value>::new());
    fails(&self::guest("absent: [/dev/uv]"), MODULE, &json!({"minimum_secrets": 0}), "uv.no_device");
}

/// Runs `secret_lock` with its first look at the store delayed, and meanwhile something else.
fn meanwhile<T>(guest: &e2e::Guest, arguments: &Value, other: impl FnOnce() -> T) -> (Value, T) {
    guest.set("faults: [{on: list_secrets, delay_ms: 1500}]").unwrap();
    std::thread::scope(|scope| {
        let lock = scope.spawn(|| guest.module(MODULE, arguments).unwrap());
        std::thread::sleep(std::time::Duration::from_millis(500));
        let other = other();
        (lock.join().unwrap(), other)
    })
}

#[test]
fn secret_add_does_not_add_while_the_store_is_being_locked() {
    if !e2e::can_simulate("secret_add_does_not_add_while_the_store_is_being_locked") {
        return;
    }
    let guest = guest("");
    with_secrets(&guest, &["a"]);
    let late = json!({"path": request("late")});
    let exact = json!({"require": ["a"], "exact": true});
    let (locked, _) = meanwhile(&guest, &exact, || fails(&guest, "secret_add", &late, "uv.store_locked"));
    assert_eq!(
        (&locked["changed"], column(&locked["secrets"], "id")),
        (&json!(true), vec![json!(id("a"))]),
        "{locked}"
    );
    assert_eq!(guest.state().unwrap()["secrets"].as_array().unwrap().len(), 1);
}

#[test]
fn what_another_program_adds_just_before_the_lock_is_not_locked_in_unseen() {
    if !e2e::can_simulate("what_another_program_adds_just_before_the_lock_is_not_locked_in_unseen") {
        return;
    }
    let guest = guest("");
    with_secrets(&guest, &["a"]);
    let late = json!({"path": request("late")});
    let exact = json!({"require": ["a"], "exact": true, "_ansible_diff": true});
    // Without the file of the lock, secret_add is like a program that knows nothing of it.
    let (locked, _) = meanwhile(&guest, &exact, || {
        shell(&guest, "rm /run/seguest-pv/private/requests.lock");
        ok(&guest, "secret_add", &late)
    });
    assert_eq!(locked["error"]["code"], "uv.locked_incomplete", "{locked}");
    assert!(locked["msg"].as_str().unwrap().contains(&id("late")), "{locked}");
    assert_eq!((&locked["changed"], &locked["locked"]), (&json!(true), &json!(true)), "{locked}");
    assert_eq!((&locked["reboot_required"], locked["diff"].as_array().unwrap().len()), (&json!(true), 1), "{locked}");
    assert_eq!(column(&locked["secrets"], "id"), [id("a"), id("late")]);
    // The second run fails for the same reason, and has changed nothing.
    assert_eq!(fails(&guest, MODULE, &exact, "uv.locked_incomplete")["changed"], false);
}

#[test]
fn a_lock_is_noted_and_told_though_the_store_cannot_be_read_after_it() {
    if !e2e::can_simulate("a_lock_is_noted_and_told_though_the_store_cannot_be_read_after_it") {
        return;
    }
    let guest = guest("");
    with_secrets(&guest, &["a"]);
    guest.set("faults: [{on: list_secrets, nth: 2, errno: EIO}]").unwrap();
    let result = fails(&guest, MODULE, &json!({"require": ["a"]}), "uv.ioctl_failed");
    assert_eq!((&result["changed"], &guest.state().unwrap()["locked"]), (&json!(true), &json!(true)), "{result}");
    let facts = ok(&guest, "facts", &json!({}));
    assert_eq!(facts["ansible_facts"]["ansible_secure_execution"]["secrets"]["locked_source"], "record");
}

#[test]
fn exact_does_not_lock_in_two_secrets_of_one_id() {
    if !e2e::can_simulate("exact_does_not_lock_in_two_secrets_of_one_id") {
        return;
    }
    let guest = guest("");
    with_secrets(&guest, &["a"]);
    ok(&guest, "secret_add", &json!({"path": request("a"), "force": true}));
    let result = fails(&guest, MODULE, &json!({"require": ["a"], "exact": true}), "uv.lock_guard");
    assert!(result["msg"].as_str().unwrap().contains("more than once"), "{result}");
    assert_eq!(locks(&guest), 0);
    assert_eq!(ok(&guest, MODULE, &json!({"require": ["a"]}))["changed"], true);
}
