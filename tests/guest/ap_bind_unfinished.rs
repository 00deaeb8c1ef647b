//! `ap_bind` where something was begun and could not be ended: the next task ends it, or says that it cannot.

use crate::queues::*;
use crate::support::*;
use serde_json::{Value, json};

const FIRST: &str = "00.0005";

fn soon(arguments: Value) -> Value {
    with(arguments, "timeout", 5)
}

fn unbound_soon<const N: usize>(entries: [Value; N]) -> Value {
    soon(unbound(entries))
}

fn all() -> Value {
    json!({"state": "unbound", "all": true, "timeout": 5, "_ansible_diff": true})
}

/// What makes every release of this queue fail: the firmware refuses the reset.
fn no_reset(apqn: &str) -> String {
    format!("faults: [{{on: reset, target: \"{apqn}\", times: 0, ap_rc: 0x05}}]")
}

/// So many requests are in [`FIRST`].
fn busy(count: u32) -> String {
    format!("cards: {{\"00\": {{queues: {{\"0005\": {{requestq_count: {count}}}}}}}}}")
}

/// The queue's card dies and comes back, whereupon the kernel has forgotten the index of its secret.
fn forget(guest: &e2e::Guest, apqn: &str) {
    let (card, domain) = apqn.split_once('.').unwrap();
    for config in [false, true] {
        let queue = json!({"cards": {card: {"queues": {domain: {"config": config}}}}});
        guest.set(&queue.to_string()).unwrap();
    }
}

#[test]
fn a_release_that_failed_fails_again_and_is_finished_once_it_can_be() {
    if !e2e::can_simulate("a_release_that_failed_fails_again_and_is_finished_once_it_can_be") {
        return;
    }
    let guest = guest_with(&["a", "b"], "");
    ok(&guest, MODULE, &bind([at("a", FIRST), ep11("b", KEY_B)]));
    guest.set(&no_reset(FIRST)).unwrap();
    let release = unbound_soon([ep11("a", KEY_A)]);
    for _ in 0..2 {
        let result = fails(&guest, MODULE, &release, "ap.timeout");
        assert_eq!(result["queues"][0]["after"]["bind"], "bound", "{result}");
    }
    // Tasks about other queues are told of it and not kept from their work.
    let result = ok(&guest, MODULE, &soon(bind([accel()])));
    assert!(warned(&result, "ap.timeout"), "{result}");
    assert_eq!(held(&guest), [FIRST, "00.0006", "01.0005"]);

    guest.set("clear_faults: true").unwrap();
    let predicted = ok(&guest, MODULE, &checked(&release));
    assert_eq!((diffed(&predicted), held(&guest).len()), (vec!["queue 00.0005".into()], 3));
    let result = ok(&guest, MODULE, &release);
    assert!(warned(&result, "ap.journal_settled"), "{result}");
    assert_eq!((diffed(&result), &result["diff"]), (vec!["queue 00.0005".into()], &predicted["diff"]));
    assert_eq!(held(&guest), ["00.0006", "01.0005"]);
    let again = ok(&guest, MODULE, &release);
    assert_eq!((&again["changed"], again.get("warnings")), (&json!(false), None));
}

#[test]
fn a_failed_release_is_finished_by_whatever_task_comes_next() {
    if !e2e::can_simulate("a_failed_release_is_finished_by_whatever_task_comes_next") {
        return;
    }
    for (next, left) in [
        (bind([accel()]), vec!["01.0005"]),
        (bind([at("a", FIRST)]), vec![FIRST]),
        (unbound_soon([ep11("b", KEY_B)]), vec![]),
        (all(), vec![]),
    ] {
        let guest = guest_with(&["a", "b"], "");
        ok(&guest, MODULE, &bind([at("a", FIRST)]));
        guest.set(&no_reset(FIRST)).unwrap();
        fails(&guest, MODULE, &unbound_soon([ep11("a", KEY_A)]), "ap.timeout");
        guest.set("clear_faults: true").unwrap();
        let result = ok(&guest, MODULE, &next);
        assert!(warned(&result, "ap.journal_settled"), "{next}: {result}");
        assert_eq!(held(&guest), left, "{next}");
        assert_eq!(ok(&guest, MODULE, &next)["changed"], false, "{next}");
    }
}

#[test]
fn a_release_that_never_reached_the_kernel_is_given_up_where_the_queue_is_wanted() {
    if !e2e::can_simulate("a_release_that_never_reached_the_kernel_is_given_up_where_the_queue_is_wanted") {
        return;
    }
    let wanted = bind([at("a", FIRST)]);
    let killed = || {
        let guest = guest_with(&["a"], "");
        ok(&guest, MODULE, &wanted);
        guest.set("faults: [{on: write, target: 00.0005/se_bind, kill: before}]").unwrap();
        is_killed(&guest, MODULE, &unbound_soon([ep11("a", KEY_A)]));
        assert_eq!(states(&guest)[FIRST], "associated 0");
        guest
    };
    let guest = killed();
    let before = writes(&guest);
    assert_eq!(ok(&guest, MODULE, &wanted)["changed"], false);
    assert_eq!(writes(&guest), before);
    // It is forgotten with that.
    assert_eq!((ok(&guest, MODULE, &bind([accel()])).get("warnings"), held(&guest).len()), (None, 2));

    let guest = killed();
    assert!(warned(&ok(&guest, MODULE, &bind([accel()])), "ap.journal_settled"));
    assert_eq!(held(&guest), ["01.0005"]);
}

#[test]
fn a_queue_in_use_that_was_not_released_is_not_released_by_the_next_task() {
    if !e2e::can_simulate("a_queue_in_use_that_was_not_released_is_not_released_by_the_next_task") {
        return;
    }
    let guest = guest_with(&["a"], "");
    ok(&guest, MODULE, &bind([at("a", FIRST)]));
    guest.set(&busy(2)).unwrap();
    fails(&guest, MODULE, &unbound_soon([ep11("a", KEY_A)]), "ap.queue_busy");
    guest.set(&busy(0)).unwrap();
    assert_eq!(ok(&guest, MODULE, &bind([accel()])).get("warnings"), None);
    assert_eq!(held(&guest), [FIRST, "01.0005"]);
}

#[test]
fn a_queue_in_use_that_could_not_be_taken_is_not_released_by_the_next_task() {
    if !e2e::can_simulate("a_queue_in_use_that_could_not_be_taken_is_not_released_by_the_next_task") {
        return;
    }
    let guest = guest_with(&["a"], "");
    ok(&guest, MODULE, &bind([at("a", FIRST)]));
    forget(&guest, FIRST);
    guest.set(&busy(2)).unwrap();
    // It is held for somebody, nobody knows for whom, and exclusive may take it, but not while it is in use.
    fails(&guest, MODULE, &exclusive([at("a", FIRST)]), "ap.queue_busy");
    guest.set(&busy(0)).unwrap();
    assert_eq!(ok(&guest, MODULE, &bind([accel()])).get("warnings"), None);
    assert_eq!(held(&guest), [FIRST, "01.0005"]);
}

#[test]
fn facts_between_two_tasks_leave_a_release_to_the_second() {
    if !e2e::can_simulate("facts_between_two_tasks_leave_a_release_to_the_second") {
        return;
    }
    let guest = guest_with(&["a"], "");
    ok(&guest, MODULE, &bind([at("a", FIRST)]));
    guest.set("faults: [{on: write, target: 00.0005/se_bind, kill: before}]").unwrap();
    is_killed(&guest, MODULE, &unbound_soon([ep11("a", KEY_A)]));
    ok(&guest, "facts", &json!({"bind_to_inspect": true, "gather_subset": ["ap"], "timeout": 10}));
    assert_eq!(states(&guest)[FIRST], "associated 0");
    assert!(warned(&ok(&guest, MODULE, &bind([accel()])), "ap.journal_settled"));
    assert_eq!(held(&guest), ["01.0005"]);
}

#[test]
fn the_old_queue_of_a_move_that_could_not_be_released_is_released_by_the_next_task() {
    if !e2e::can_simulate("the_old_queue_of_a_move_that_could_not_be_released_is_released_by_the_next_task") {
        return;
    }
    let checkstop = |on: bool| format!("cards: {{\"02\": {{queues: {{\"0005\": {{chkstop: {on}}}}}}}}}");
    // A reset without delay: nobody can look between it and the death, and find the queue free.
    let dies = "{on: reset, target: \"02.0005\", becomes: checkstopped}";
    let refused = "faults: [{on: write, target: 02.0005/se_bind, errno: EIO, times: 0}]";
    for (fragment, code, heal) in [
        (no_reset("02.0005"), "ap.timeout", vec![]),
        (refused.into(), "ap.unbind_failed", vec![]),
        // It dies while it is being released, and reads as held from then on.
        (
            format!("{{switches: {{dead_queue_reads_zero: true}}, delays: {{reset_ms: 0}}, faults: [{dies}]}}"),
            "ap.unbind_failed",
            vec![checkstop(true), checkstop(false)],
        ),
    ] {
        let guest = guest_with(&["a"], "");
        ok(&guest, MODULE, &bind([at("a", "02.0005")]));
        guest.set(&fragment).unwrap();
        let mut arguments = bind([ep11("a", KEY_A)]);
        // Longer than a write that is refused is waited for.
        (arguments["rebalance"], arguments["timeout"]) = (true.into(), 5.into());
        let first = fails(&guest, MODULE, &arguments, code);
        assert_eq!(first["entries"][0]["apqn"], FIRST, "{fragment}: {first}");
        let again = ok(&guest, MODULE, &arguments);
        assert!(warned(&again, code), "{fragment}: {again}");
        guest.set("clear_faults: true").unwrap();
        heal.iter().for_each(|part| guest.set(part).unwrap());
        let settled = ok(&guest, MODULE, &arguments);
        // The reset of the one that died was through: alive again it reads as free.
        assert_eq!(warned(&settled, "ap.journal_settled"), heal.is_empty(), "{fragment}: {settled}");
        assert_eq!((warned(&settled, code), held(&guest)), (false, vec![FIRST.into()]), "{fragment}: {settled}");
        let last = ok(&guest, MODULE, &arguments);
        assert_eq!((&last["changed"], last.get("warnings")), (&json!(false), None));
    }
}

#[test]
fn a_queue_that_was_lost_while_it_was_set_up_is_taken_again_when_it_is_back() {
    if !e2e::can_simulate("a_queue_that_was_lost_while_it_was_set_up_is_taken_again_when_it_is_back") {
        return;
    }
    let guest = guest_with(&["a"], "faults: [{on: associate, target: \"00.0005\", becomes: deconfigured}]");
    let arguments = soon(bind([at("a", FIRST)]));
    // Still dead, nothing is forgotten.
    for _ in 0..2 {
        let result = guest.module(MODULE, &arguments).unwrap();
        assert_eq!(
            (&result["failed"], &result["entries"][0]["status"]),
            (&json!(true), &json!("unserved")),
            "{result}"
        );
    }
    forget(&guest, FIRST);
    assert_eq!(ok(&guest, MODULE, &arguments)["entries"][0]["apqn"], FIRST);
    assert_eq!(states(&guest)[FIRST], "associated 0");
    assert_eq!(ok(&guest, MODULE, &arguments)["changed"], false);
}

#[test]
fn a_queue_of_an_unknown_association_is_told_with_what_frees_it_and_freed_only_by_that() {
    if !e2e::can_simulate("a_queue_of_an_unknown_association_is_told_with_what_frees_it_and_freed_only_by_that") {
        return;
    }
    let forgotten = || {
        let guest = guest_with(&["a"], "");
        ok(&guest, MODULE, &bind([at("a", FIRST)]));
        forget(&guest, FIRST);
        guest
    };
    let wanted = [at("a", FIRST)];
    let guest = forgotten();
    let before = writes(&guest);
    for arguments in [bind(wanted.clone()), checked(&bind(wanted.clone()))] {
        let result = fails(&guest, MODULE, &arguments, "ap.no_matching_queue");
        let hint = result["error"]["hint"].as_str().unwrap();
        for part in [FIRST, "exclusive=true", "state=unbound and all=true"] {
            assert!(hint.contains(part), "{part}: {result}");
        }
    }
    // Whether it is held for the entry, nobody knows: it is not released, and that is said.
    for arguments in [unbound_soon([ep11("a", KEY_A)]), checked(&unbound_soon([ep11("a", KEY_A)]))] {
        let result = ok(&guest, MODULE, &arguments);
        assert_eq!(result["changed"], false);
        assert!(warned(&result, "ap.association_unknown"), "{result}");
    }
    // One of another key cannot be meant.
    assert_eq!(ok(&guest, MODULE, &unbound_soon([ep11("a", KEY_B)])).get("warnings"), None);
    assert_eq!(writes(&guest), before);

    assert_eq!(ok(&guest, MODULE, &exclusive(wanted.clone()))["entries"][0]["apqn"], FIRST);
    assert_eq!(ok(&guest, MODULE, &exclusive(wanted))["changed"], false);
    assert_eq!(held(&guest), [FIRST]);
    // Exclusive frees it also where nothing wants it.
    let guest = forgotten();
    ok(&guest, MODULE, &exclusive([accel()]));
    assert_eq!(held(&guest), ["01.0005"]);
    let guest = forgotten();
    assert_eq!(ok(&guest, MODULE, &all())["changed"], true);
    assert_eq!(held(&guest), NOTHING);
}

#[test]
fn a_bind_that_takes_too_long_is_cancelled() {
    if !e2e::can_simulate("a_bind_that_takes_too_long_is_cancelled") {
        return;
    }
    let stuck = |apqn: &str| format!("faults: [{{on: bind, target: \"{apqn}\", stuck: true, times: 0}}]");
    let accelerator = json!({"mode": "accel", "apqn": "01.0005"});
    for (apqn, entry) in [("01.0005", accelerator), (FIRST, at("a", FIRST))] {
        let guest = guest_with(&["a"], &stuck(apqn));
        let arguments = soon(bind([entry]));
        let result = guest.module(MODULE, &arguments).unwrap();
        assert_eq!((&result["failed"], &result["changed"]), (&json!(true), &json!(false)), "{result}");
        // Not on its way any more.
        assert_eq!((held(&guest), states(&guest)[apqn].as_str()), (NOTHING, "unbound"), "{result}");
        guest.set("clear_faults: true").unwrap();
        let result = ok(&guest, MODULE, &arguments);
        assert_eq!((result.get("warnings"), held(&guest)), (None, vec![apqn.to_owned()]));
    }
}

#[test]
fn all_frees_a_queue_that_answers_with_errors_or_reports_it_and_frees_the_others() {
    if !e2e::can_simulate("all_frees_a_queue_that_answers_with_errors_or_reports_it_and_frees_the_others") {
        return;
    }
    // Somebody else's association has failed: from then on all that is read is an error.
    let failed = || {
        let guest = guest_with(&["a", "b"], "");
        ok(&guest, MODULE, &bind([ep11("b", KEY_B), accel()]));
        guest.set("faults: [{on: associate, target: \"00.0005\", ap_rc: 0x36}]").unwrap();
        shell(&guest, "echo 1 > /sys/devices/ap/card00/00.0005/se_bind");
        until(&guest, FIRST, "bound");
        shell(&guest, "until echo 0 > /sys/devices/ap/card00/00.0005/se_associate; do :; done 2>/dev/null");
        until(&guest, FIRST, "failed");
        guest.set("clear_faults: true").unwrap();
        guest
    };
    let guest = failed();
    let predicted = ok(&guest, MODULE, &checked(&all()));
    assert_eq!(held(&guest).len(), 3);
    let result = ok(&guest, MODULE, &all());
    assert_eq!((diffed(&result).len(), &result["diff"], held(&guest)), (3, &predicted["diff"], NOTHING));
    assert_eq!(ok(&guest, MODULE, &all())["changed"], false);

    let guest = failed();
    guest.set(&no_reset(FIRST)).unwrap();
    for changed in [true, false] {
        let result = fails(&guest, MODULE, &all(), "ap.timeout");
        assert!(result["msg"].as_str().unwrap().contains(FIRST), "{result}");
        assert_eq!((&result["changed"], held(&guest)), (&json!(changed), vec![FIRST.to_owned()]));
    }
}
