//! `facts` with `bind_to_inspect`: queues are bound one of a card at a time, read, and released.

use crate::queues::{self, CARDS, KEY_A, KEY_B, NOTHING, SERIAL, accel, bind, ep11, guest_with, held, states, writes};
use crate::support::*;
use e2e::Guest;
use serde_json::{Value, json};

const MODULE: &str = "facts";

/// Cards are worked on at once: with a single EP11 card it is certain what a run that is killed has done.
const ONE_EP11_CARD: &str = r#"
cards:
  "00":
    type: CEX8P
    serialnr: 93AADFK719460083
    queues: {"0005": {mkvp: "00112233445566778899aabbccddeeff"}, "0006": {mkvp: "b0b1b2b3b4b5b6b7b8b9babbbcbdbebf"}}
  "01": {type: CEX8A, queues: {"0005": {}}}
"#;

fn inspected(guest: &Guest) -> Value {
    let result = ok(guest, MODULE, &json!({"bind_to_inspect": true, "gather_subset": ["ap"], "timeout": 5}));
    assert_eq!(result["changed"], false);
    result["ansible_facts"]["ansible_secure_execution"].clone()
}

/// The master key of each queue.
fn keys(facts: &Value) -> Vec<Value> {
    column(&facts["ap"]["queues"], "mkvp")
}

fn key(hex: &str) -> Value {
    json!(format!("0x{hex}"))
}

fn codes(facts: &Value) -> Vec<Value> {
    column(&facts["problems"], "code")
}

#[test]
fn master_keys_are_read_of_queues_that_are_bound_for_it_and_released() {
    if !e2e::can_simulate("master_keys_are_read_of_queues_that_are_bound_for_it_and_released") {
        return;
    }
    let guest = guest(CARDS);
    let facts = inspected(&guest);
    let none = Value::Null;
    assert_eq!(keys(&facts), [key(KEY_A), key(KEY_B), none.clone(), none.clone(), key(KEY_A), none]);
    let serials = column(&facts["ap"]["cards"], "serialnr");
    assert_eq!((&serials[0], &serials[2]), (&json!(SERIAL), &json!("93AADFK719460084")));
    assert_eq!(column(&facts["ap"]["queues"], "bind")[0], "unbound");
    assert_eq!((codes(&facts), held(&guest)), (vec![], vec![]));
    // Of a card one queue at a time, and no accelerator or CCA card at all.
    let of = |card: &str| writes(&guest).into_iter().filter(|w| w.starts_with(card)).collect::<Vec<_>>();
    assert_eq!(of("00."), ["00.0005/se_bind 1", "00.0005/se_bind 0", "00.0006/se_bind 1", "00.0006/se_bind 0"]);
    assert_eq!(of("02."), ["02.0005/se_bind 1", "02.0005/se_bind 0"]);
    assert_eq!(writes(&guest).len(), 6);
    assert!(!shell(&guest, "cat /run/seguest-pv/private/queue-journal.json").contains("00.000"));
    assert_eq!(shell(&guest, "ls -A /run/lock"), "");
}

#[test]
fn a_queue_in_use_is_not_touched() {
    if !e2e::can_simulate("a_queue_in_use_is_not_touched") {
        return;
    }
    let guest = guest_with(&["a"], "");
    ok(&guest, queues::MODULE, &bind([ep11("a", KEY_A), accel()]));
    let (before, written) = (states(&guest), writes(&guest).len());
    let facts = inspected(&guest);
    assert_eq!((&keys(&facts)[0], &keys(&facts)[1]), (&key(KEY_A), &key(KEY_B)));
    assert!(writes(&guest)[written..].iter().all(|write| !write.starts_with("00.0005") && !write.starts_with("01.")));
    held(&guest);
    assert_eq!(states(&guest), before);
}

#[test]
fn check_mode_binds_nothing_and_says_so() {
    if !e2e::can_simulate("check_mode_binds_nothing_and_says_so") {
        return;
    }
    let guest = guest(CARDS);
    assert!(warned(&ok(&guest, MODULE, &checked(&json!({"bind_to_inspect": true}))), "ap.inspect_skipped"));
    assert_eq!(effects(&guest), NOTHING);
}

#[test]
fn while_another_is_at_work_nothing_is_bound_and_the_rest_is_told() {
    if !e2e::can_simulate("while_another_is_at_work_nothing_is_bound_and_the_rest_is_told") {
        return;
    }
    let guest = guest(CARDS);
    // The lock of ap_bind's own kind.
    shell(&guest, "mkdir -p -m 755 /run/seguest-pv; mkdir -p -m 700 /run/seguest-pv/private");
    let facts = shell(
        &guest,
        &format!(
            "echo '{{\"bind_to_inspect\": true}}' | flock /run/seguest-pv/private/queue-journal.lock {} -",
            binary(MODULE).display()
        ),
    );
    let facts: Value = serde_json::from_str(&facts).unwrap();
    let facts = &facts["ansible_facts"]["ansible_secure_execution"];
    assert_eq!((codes(facts), keys(facts).len()), (vec![json!("ap.in_use_by_another")], 6));
    assert_eq!(writes(&guest), NOTHING);
}

#[test]
fn what_a_killed_run_left_bound_is_released_by_the_next_of_either_module() {
    if !e2e::can_simulate("what_a_killed_run_left_bound_is_released_by_the_next_of_either_module") {
        return;
    }
    for when in ["before", "after"] {
        let guest = guest(&format!("{ONE_EP11_CARD}faults: [{{on: write, target: 00.0005/se_bind, kill: {when}}}]\n"));
        is_killed(&guest, MODULE, &json!({"bind_to_inspect": true}));
        let facts = inspected(&guest);
        let settled = codes(&facts).contains(&json!("ap.journal_settled"));
        assert_eq!((settled, held(&guest)), (when == "after", vec![]), "{when}: {facts}");
        assert_eq!(keys(&facts)[0], key(KEY_A));
    }
    let guest = guest(&format!("{ONE_EP11_CARD}faults: [{{on: write, target: 00.0005/se_bind, kill: after}}]\n"));
    is_killed(&guest, MODULE, &json!({"bind_to_inspect": true}));
    let bound = ok(&guest, queues::MODULE, &bind([accel()]));
    assert!(warned(&bound, "ap.journal_settled"), "{bound}");
    assert_eq!(held(&guest), ["01.0005"]);
}

#[test]
fn a_queue_that_cannot_be_bound_or_read_is_a_problem_and_the_others_are_told() {
    if !e2e::can_simulate("a_queue_that_cannot_be_bound_or_read_is_a_problem_and_the_others_are_told") {
        return;
    }
    for (fault, code) in [
        ("{on: bind, target: 00.0005, ap_rc: 0x33, times: 0}", "ap.bind_refused"),
        ("{on: read, target: 00.0005/mkvps, errno: EIO, times: 0}", "ap.attribute_unreadable"),
    ] {
        let guest = guest(&format!("{CARDS}faults: [{fault}]\n"));
        let facts = inspected(&guest);
        assert_eq!((&keys(&facts)[..2], codes(&facts)), (&[Value::Null, key(KEY_B)][..], vec![json!(code)]), "{facts}");
        assert_eq!(held(&guest), NOTHING);
    }
}

#[test]
fn where_queues_cannot_be_bound_that_is_a_problem_and_no_failure() {
    if !e2e::can_simulate("where_queues_cannot_be_bound_that_is_a_problem_and_no_failure") {
        return;
    }
    let guest = guest(&format!("{CARDS}ap: {{features: APXA}}\n"));
    assert_eq!(codes(&inspected(&guest)), ["ap.no_secure_binding"]);
    assert_eq!(writes(&guest), NOTHING);
}

#[test]
fn a_queue_in_the_journal_is_not_forgotten_while_its_card_does_not_answer() {
    if !e2e::can_simulate("a_queue_in_the_journal_is_not_forgotten_while_its_card_does_not_answer") {
        return;
    }
    let guest = guest(&format!("{ONE_EP11_CARD}faults: [{{on: write, target: 00.0005/se_bind, kill: after}}]\n"));
    is_killed(&guest, MODULE, &json!({"bind_to_inspect": true}));
    guest.set("faults: [{on: read, target: card00/type, delay_ms: 8000}]").unwrap();
    let result = ok(&guest, MODULE, &json!({"bind_to_inspect": true, "gather_subset": ["ap"], "timeout": 5}));
    assert_eq!(codes(&result["ansible_facts"]["ansible_secure_execution"]), ["ap.card_timeout"]);
    assert_eq!(held(&guest), ["00.0005"]);
    assert_eq!(codes(&inspected(&guest)), ["ap.journal_settled"]);
    assert_eq!(held(&guest), NOTHING);
}

#[test]
fn queues_are_read_once_and_not_again_where_nothing_limits_how_long_it_takes() {
    if !e2e::can_simulate("queues_are_read_once_and_not_again_where_nothing_limits_how_long_it_takes") {
        return;
    }
    let guest = guest(&format!("{CARDS}log_reads: true\n"));
    assert_eq!(codes(&inspected(&guest)), NOTHING);
    let of_accelerator = |event: &&Value| event["name"].as_str().unwrap().ends_with("01.0005/se_bind");
    assert_eq!(guest.log().unwrap().iter().filter(of_accelerator).count(), 1);
}

#[test]
fn a_queue_that_does_not_answer_after_a_look_is_told_as_it_was_before() {
    if !e2e::can_simulate("a_queue_that_does_not_answer_after_a_look_is_told_as_it_was_before") {
        return;
    }
    let faults = "faults: [{on: bind, target: 00.0005, ap_rc: 0x33, times: 0}, \
                  {on: read, target: 00.0005/online, nth: 2, delay_ms: 8000}]\n";
    let guest = guest(&format!("{CARDS}{faults}"));
    let result = ok(&guest, MODULE, &json!({"bind_to_inspect": true, "gather_subset": ["ap"], "timeout": 5}));
    let facts = &result["ansible_facts"]["ansible_secure_execution"];
    assert_eq!(codes(facts), ["ap.bind_refused", "ap.card_timeout"]);
    assert_eq!((&keys(facts)[1], &column(&facts["ap"]["queues"], "bind")[0]), (&key(KEY_B), &json!("unbound")));
}
