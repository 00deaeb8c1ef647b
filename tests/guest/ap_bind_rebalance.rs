//! `ap_bind` with `rebalance`: what is moved, in which order, and what stays where it is.

use crate::queues::*;
use crate::support::*;
use e2e::Guest;
use serde_json::{Value, json};

/// Three queues with one key on two cards.
const SAME_KEY: &str = "cards: {\"00\": {queues: {\"0006\": {mkvp: \"00112233445566778899aabbccddeeff\"}}}}";

fn rebalance<const N: usize>(entries: [Value; N]) -> Value {
    with(bind(entries), "rebalance", true)
}

/// Serves the entries where they are to be at first.
fn serving<const N: usize>(names: &[&str], entries: [Value; N]) -> Guest {
    let guest = guest_with(names, SAME_KEY);
    ok(&guest, MODULE, &bind(entries));
    guest
}

/// Runs it, first in check mode, and a second time, which must find nothing to do.
fn settles(guest: &Guest, arguments: &Value) -> Value {
    let before = (guest.state().unwrap(), writes(guest).len());
    let predicted = ok(guest, MODULE, &checked(arguments));
    assert_eq!((guest.state().unwrap(), writes(guest).len()), before);
    let result = ok(guest, MODULE, arguments);
    if predicted.get("predicted").is_none() {
        assert_eq!(predicted["diff"], result["diff"]);
    }
    let second = ok(guest, MODULE, arguments);
    assert_eq!((&second["changed"], &second["entries"]), (&json!(false), &result["entries"]), "{second}");
    result
}

#[test]
fn an_entry_moves_to_a_better_queue_and_has_it_before_it_gives_up_the_old_one() {
    if !e2e::can_simulate("an_entry_moves_to_a_better_queue_and_has_it_before_it_gives_up_the_old_one") {
        return;
    }
    let guest = serving(&["a"], [at("a", "02.0005")]);
    assert_eq!(ok(&guest, MODULE, &bind([ep11("a", KEY_A)]))["changed"], false);
    let before = writes(&guest).len();
    let result = settles(&guest, &rebalance([ep11("a", KEY_A)]));
    assert_eq!((&result["changed"], &result["entries"][0]["apqn"]), (&json!(true), &json!("00.0005")));
    assert_eq!(diffed(&result), ["queue 00.0005", "queue 02.0005"]);
    assert_eq!(held(&guest), ["00.0005"]);
    assert_eq!(writes(&guest)[before..], ["00.0005/se_bind 1", "00.0005/se_associate 0", "02.0005/se_bind 0"]);
}

#[test]
fn a_chain_leaves_nobody_without_a_queue() {
    if !e2e::can_simulate("a_chain_leaves_nobody_without_a_queue") {
        return;
    }
    let guest = serving(&["a", "b"], [at("a", "00.0005")]);
    let before = writes(&guest).len();
    let result = settles(&guest, &rebalance([ep11("a", KEY_A), at("b", "00.0005")]));
    assert_eq!(column(&result["entries"], "apqn"), ["00.0006", "00.0005"]);
    assert_eq!(states(&guest)["00.0005"], "associated 1");
    let writes = writes(&guest)[before..].to_vec();
    let place = |what: &str| writes.iter().position(|write| write == what).unwrap();
    assert!(place("00.0006/se_associate 0") < place("00.0005/se_bind 0"), "{writes:?}");
}

#[test]
fn entries_that_change_places_end_where_they_belong() {
    if !e2e::can_simulate("entries_that_change_places_end_where_they_belong") {
        return;
    }
    let guest = serving(&["a", "b"], [at("a", "00.0006"), at("b", "00.0005")]);
    let result = settles(&guest, &rebalance([ep11("a", KEY_A), ep11("b", KEY_A)]));
    assert_eq!(column(&result["entries"], "status"), ["served", "served"]);
    assert_eq!([&states(&guest)["00.0005"], &states(&guest)["00.0006"]], ["associated 0", "associated 1"]);
}

#[test]
fn a_move_that_fails_leaves_every_entry_with_what_it_had() {
    if !e2e::can_simulate("a_move_that_fails_leaves_every_entry_with_what_it_had") {
        return;
    }
    let guest = serving(&["a"], [at("a", "02.0005")]);
    guest.set("faults: [{on: associate, target: \"00.0005\", ap_rc: 0x36, times: 0}]").unwrap();
    let result = ok(&guest, MODULE, &rebalance([ep11("a", KEY_A)]));
    assert!(warned(&result, "ap.associate_failed"), "{result}");
    assert_eq!((&result["changed"], &result["entries"][0]["apqn"]), (&json!(false), &json!("02.0005")));
    assert_eq!(held(&guest), ["02.0005"]);
    // One that is taken from another entry in vain is given back.
    let guest = serving(&["a", "b"], [at("a", "00.0006"), at("b", "00.0005")]);
    guest.set("faults: [{on: associate, target: \"00.0005\", ap_rc: 0x36}]").unwrap();
    let result = ok(&guest, MODULE, &rebalance([ep11("a", KEY_A), ep11("b", KEY_A)]));
    assert_eq!(result["changed"], false, "{result}");
    assert_eq!([&states(&guest)["00.0005"], &states(&guest)["00.0006"]], ["associated 1", "associated 0"]);
}

#[test]
fn a_queue_in_use_is_not_left() {
    if !e2e::can_simulate("a_queue_in_use_is_not_left") {
        return;
    }
    let guest = serving(&["a"], [at("a", "02.0005")]);
    guest.set("cards: {\"02\": {queues: {\"0005\": {requestq_count: 2}}}}").unwrap();
    let result = ok(&guest, MODULE, &rebalance([ep11("a", KEY_A)]));
    assert!(warned(&result, "ap.queue_busy"), "{result}");
    assert_eq!((held(&guest), &result["changed"]), (vec!["02.0005".into()], &json!(false)));
}

#[test]
fn whenever_a_move_is_killed_the_next_run_ends_the_same() {
    if !e2e::can_simulate("whenever_a_move_is_killed_the_next_run_ends_the_same") {
        return;
    }
    for (target, nth, when) in [
        ("00.0005/se_bind", 1, "before"),
        ("00.0005/se_bind", 1, "after"),
        ("00.0005/se_associate", 1, "before"),
        ("00.0005/se_associate", 1, "after"),
        ("02.0005/se_bind", 1, "before"),
        ("02.0005/se_bind", 1, "after"),
    ] {
        let guest = serving(&["a"], [at("a", "02.0005")]);
        guest.set(&format!("faults: [{{on: write, target: {target}, nth: {nth}, kill: {when}}}]")).unwrap();
        let arguments = rebalance([ep11("a", KEY_A)]);
        is_killed(&guest, MODULE, &arguments);
        let result = ok(&guest, MODULE, &arguments);
        assert_eq!(result["entries"][0]["apqn"], "00.0005", "{target} {when}: {result}");
        assert_eq!(held(&guest), ["00.0005"], "{target} {when}");
        assert_eq!(ok(&guest, MODULE, &arguments)["changed"], false);
    }
}

#[test]
fn the_old_queue_of_a_killed_move_stays_where_the_next_task_wants_it() {
    if !e2e::can_simulate("the_old_queue_of_a_killed_move_stays_where_the_next_task_wants_it") {
        return;
    }
    for next in [bind([ep11("a", KEY_A), ep11("a", KEY_A)]), bind([at("a", "02.0005")])] {
        let guest = serving(&["a"], [at("a", "02.0005")]);
        guest.set("faults: [{on: write, target: 02.0005/se_bind, kill: before}]").unwrap();
        is_killed(&guest, MODULE, &rebalance([ep11("a", KEY_A)]));
        let before = writes(&guest).len();
        let result = ok(&guest, MODULE, &next);
        assert_eq!((&result["changed"], result.get("warnings")), (&json!(false), None), "{result}");
        // Nor does a later one take what was wanted for half done.
        let result = ok(&guest, MODULE, &bind([ep11("a", KEY_A)]));
        assert_eq!((&result["changed"], result.get("warnings")), (&json!(false), None), "{result}");
        assert_eq!((held(&guest), writes(&guest).len()), (vec!["00.0005".into(), "02.0005".into()], before));
    }
}
