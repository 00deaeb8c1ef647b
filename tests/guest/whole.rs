//! `guest`: the whole guest in one run, and in check mode the verdict on it.

use crate::queues::*;
use crate::support::*;
use serde_json::{Value, json};

pub const GUEST: &str = "guest";

/// A secret with a request of its own.
pub fn secret(name: &str) -> Value {
    json!({"name": name, "path": request(name)})
}

/// What most tests ask for: two secrets, a locked store, a queue for one of them and an accelerator.
pub fn wanted() -> Value {
    json!({"secrets": [secret("a"), secret("b")], "queues": [ep11("a", KEY_A), accel()], "_ansible_diff": true})
}

/// Each step that was asked for, as `add changed`; with the code of what failed or is not known.
pub fn steps(result: &Value) -> Vec<String> {
    let told = |step: &Value| {
        let code = step["code"].as_str().map_or_else(String::new, |code| format!(" {code}"));
        format!("{} {}{code}", step["step"].as_str().unwrap(), step["state"].as_str().unwrap())
    };
    result["steps"].as_array().unwrap().iter().map(told).collect()
}

#[test]
fn a_guest_is_made_whole_by_one_run_and_a_second_changes_nothing() {
    if !e2e::can_simulate("a_guest_is_made_whole_by_one_run_and_a_second_changes_nothing") {
        return;
    }
    let guest = guest(CARDS);
    let wanted = wanted();
    let first = ok(&guest, GUEST, &wanted);
    assert_eq!(first["changed"], true);
    assert_eq!(steps(&first), ["machine unchanged", "add changed", "verify unchanged", "lock changed", "bind changed"]);
    assert_eq!(column(&first["requests"], "evidence"), ["added_now", "added_now"]);
    assert_eq!(column(&first["secrets"], "id"), [json!(id("a")), json!(id("b"))]);
    assert_eq!((&first["total"], &first["lock"]), (&json!(2), &json!({"locked": true})));
    assert_eq!(column(&first["entries"], "status"), ["served", "served"]);
    assert_eq!(column(&first["entries"], "apqn"), ["00.0005", "01.0005"]);
    assert_eq!(
        diffed(&first),
        [
            format!("secret {}", id("a")),
            format!("secret {}", id("b")),
            "secret store".into(),
            "queue 00.0005".into(),
            "queue 01.0005".into()
        ]
    );
    assert!(first.get("at_boot").is_none_or(Value::is_null) && first.get("ansible_facts").is_none());

    let done = || (guest.state().unwrap(), writes(&guest), adds(&guest).iter().filter(|rc| **rc == "0x0001").count());
    let before = done();
    for arguments in [&wanted, &checked(&wanted)] {
        let second = ok(&guest, GUEST, arguments);
        assert_eq!((&second["changed"], &second["diff"]), (&json!(false), &json!([])), "{second}");
        assert_eq!(
            steps(&second),
            ["machine unchanged", "add unchanged", "verify unchanged", "lock unchanged", "bind unchanged"]
        );
        assert_eq!(second["msg"], "The guest is as wanted.");
        assert_eq!(column(&second["requests"], "evidence"), ["added_this_boot", "added_this_boot"]);
        assert_eq!((second.get("warnings"), second.get("predicted")), (None, None));
    }
    assert_eq!(done(), before);
}

#[test]
fn check_mode_predicts_each_step_from_those_before_it_and_writes_nothing() {
    if !e2e::can_simulate("check_mode_predicts_each_step_from_those_before_it_and_writes_nothing") {
        return;
    }
    let guest = guest(CARDS);
    // A queue whose key can be read, so that all can be known.
    shell(&guest, "echo 1 > /sys/devices/ap/card00/00.0005/se_bind");
    until(&guest, "00.0005", "bound");
    let (state, log) = (guest.state().unwrap(), effects(&guest));
    let wanted = wanted();
    let predicted = ok(&guest, GUEST, &checked(&wanted));
    assert_eq!((guest.state().unwrap(), effects(&guest)), (state, log));
    assert_eq!(
        steps(&predicted),
        ["machine unchanged", "add would_change", "verify unchanged", "lock would_change", "bind would_change"]
    );
    assert_eq!(column(&predicted["entries"], "status"), ["would_serve", "would_serve"]);
    assert_eq!(column(&predicted["steps"], "right"), [true, false, false, false, false]);
    assert_eq!((predicted.get("warnings"), predicted.get("predicted")), (None, None), "{predicted}");

    let done = ok(&guest, GUEST, &wanted);
    assert_eq!(column(&done["entries"], "apqn"), column(&predicted["entries"], "apqn"));
    assert_eq!(done["queues"][0]["after"], predicted["queues"][0]["after"]);
    assert_eq!(diffed(&done), diffed(&predicted));
}

#[test]
fn what_cannot_be_known_without_binding_is_said_to_be_uncertain() {
    if !e2e::can_simulate("what_cannot_be_known_without_binding_is_said_to_be_uncertain") {
        return;
    }
    let guest = guest(CARDS);
    let predicted = ok(&guest, GUEST, &checked(&wanted()));
    assert_eq!(column(&predicted["entries"], "status"), ["undetermined", "would_serve"]);
    assert_eq!(column(&predicted["steps"], "right"), [true, false, false, false, false]);
    assert_eq!(predicted["predicted"], "partial");
}

#[test]
fn a_secret_without_a_request_must_be_there_already() {
    if !e2e::can_simulate("a_secret_without_a_request_must_be_there_already") {
        return;
    }
    let guest = guest("");
    let by_name = json!({"secrets": [{"name": "a"}, {"id": id("b")}]});
    let missing = fails(&guest, GUEST, &by_name, "uv.secret_missing");
    assert!(missing["msg"].as_str().unwrap().contains("lacks a, "), "{missing}");
    with_secrets(&guest, &["a", "b"]);
    let there = ok(&guest, GUEST, &by_name);
    assert_eq!(column(&there["requests"], "evidence"), ["added_this_boot", "added_this_boot"]);
    assert_eq!(column(&there["requests"], "index"), [0, 1]);
    assert_eq!(steps(&there), ["machine unchanged", "add unchanged", "verify unchanged", "lock changed"]);
}

#[test]
fn only_proved_secrets_will_do_where_that_is_asked_for() {
    if !e2e::can_simulate("only_proved_secrets_will_do_where_that_is_asked_for") {
        return;
    }
    let guest = guest("");
    let proved = json!({"secrets": [secret("a")], "proved_only": "yes"});
    ok(&guest, GUEST, &proved);
    assert_eq!(ok(&guest, GUEST, &proved)["changed"], false);
    shell(&guest, "rm -r /run/seguest-pv");
    let failed = fails(&guest, GUEST, &proved, "uv.secret_not_proved");
    assert_eq!(steps(&failed)[2], "verify failed uv.secret_not_proved");
}

#[test]
fn what_is_not_asked_for_is_left_alone_and_needs_nothing() {
    if !e2e::can_simulate("what_is_not_asked_for_is_left_alone_and_needs_nothing") {
        return;
    }
    let guest = guest(CARDS);
    let nothing = ok(&guest, GUEST, &json!({}));
    assert_eq!((&nothing["changed"], steps(&nothing)), (&json!(false), NOTHING));
    assert_eq!(steps(&ok(&guest, GUEST, &json!({"queues": [accel()]}))), ["machine unchanged", "bind changed"]);
    let open = json!({"secrets": [secret("a")], "lock": "no"});
    assert_eq!(steps(&ok(&guest, GUEST, &open)), ["machine unchanged", "add changed", "verify unchanged"]);
    assert_eq!(guest.state().unwrap()["locked"], false);
    // Without a crypto adapter, secrets can be added all the same.
    let bare = crate::support::guest("");
    assert_eq!(steps(&ok(&bare, GUEST, &json!({"secrets": [secret("a")]}))).len(), 4);
}

#[test]
fn facts_are_returned_beside_also_of_a_guest_that_is_not_right() {
    if !e2e::can_simulate("facts_are_returned_beside_also_of_a_guest_that_is_not_right") {
        return;
    }
    let guest = guest(CARDS);
    let arguments = checked(&json!({"secrets": [{"name": "a"}], "gather_subset": "secrets,ap"}));
    let failed = fails(&guest, GUEST, &arguments, "uv.secret_missing");
    let facts = &failed["ansible_facts"]["ansible_secure_execution"];
    assert_eq!(
        (&facts["role"], &facts["secrets"]["total"], &facts["ultravisor"]),
        (&json!("guest"), &json!(0), &Value::Null)
    );
    assert_eq!(facts["secrets"]["locked"], false);
    assert_eq!(facts["ap"]["queues"].as_array().unwrap().len(), 6);
}

#[test]
fn in_check_mode_a_request_that_is_not_built_yet_counts_as_what_it_is_known_as() {
    if !e2e::can_simulate("in_check_mode_a_request_that_is_not_built_yet_counts_as_what_it_is_known_as") {
        return;
    }
    let guest = guest(CARDS);
    let secrets = json!([{"name": "a", "pending": true}, {"name": "b", "path": no_file()}]);
    let arguments = json!({"secrets": secrets, "queues": [accel(), ep11("a", KEY_A)]});
    let predicted = ok(&guest, GUEST, &checked(&arguments));
    assert_eq!(
        steps(&predicted),
        ["machine unchanged", "add would_change", "verify unchanged", "lock would_change", "bind would_change"]
    );
    assert_eq!(
        column(&predicted["steps"], "right"),
        [json!(true), Value::Null, Value::Null, json!(false), json!(false)]
    );
    assert!(warned(&predicted, "file.missing"), "{predicted}");
    assert_eq!(effects(&guest), NOTHING);
}

#[test]
fn what_is_left_undone_without_strict_is_not_right() {
    if !e2e::can_simulate("what_is_left_undone_without_strict_is_not_right") {
        return;
    }
    let guest = guest(CARDS);
    let arguments = json!({"queues": [accel(), {"mode": "accel", "mingen": "cex9"}], "strict": false});
    for arguments in [&checked(&arguments), &arguments, &checked(&arguments)] {
        let result = ok(&guest, GUEST, arguments);
        assert_eq!(result["steps"][1]["right"], false, "{result}");
        assert_ne!(result["msg"], "The guest is as wanted.");
    }
    assert_eq!(states(&guest)["01.0005"], "bound");
}

#[test]
fn a_secret_is_told_by_its_name_and_its_own_id_and_proved_by_the_record() {
    if !e2e::can_simulate("a_secret_is_told_by_its_name_and_its_own_id_and_proved_by_the_record") {
        return;
    }
    let guest = guest("");
    let id = pv_wire::SecretId::from_name_bytes("plain name");
    let secret = pv_request::Secret::new(pv_request::SecretClass::Plaintext, id, b"x", "x").unwrap();
    ok(&guest, "secret_add", &json!({"path": file(&build(&add(secret), &["m1"]))}));
    let by_name = json!({"secrets": [{"name": "plain name"}], "proved_only": true});
    let result = ok(&guest, GUEST, &checked(&by_name));
    assert_eq!(column(&result["requests"], "name"), ["plain name"]);
    assert_eq!(column(&result["requests"], "id"), [json!(id.to_string())]);
    assert_eq!(column(&result["requests"], "evidence"), ["added_this_boot"]);
    shell(&guest, "rm -r /run/seguest-pv");
    fails(&guest, GUEST, &checked(&by_name), "uv.secret_not_proved");
}

#[test]
fn in_check_mode_a_request_of_which_nothing_is_known_may_bring_any_secret() {
    if !e2e::can_simulate("in_check_mode_a_request_of_which_nothing_is_known_may_bring_any_secret") {
        return;
    }
    let guest = guest(CARDS);
    with_secrets(&guest, &["a"]);
    let arguments = checked(&json!({"secrets": [{"pending": true}], "queues": [ep11("b", KEY_A)]}));
    let predicted = ok(&guest, GUEST, &arguments);
    assert_eq!((&predicted["predicted"], &predicted["steps"][3]["right"]), (&json!("partial"), &Value::Null));
}
