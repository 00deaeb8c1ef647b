//! Cards that take requests and answer none, and queues whose association is pending: a reader of their master keys waits
//! for as long as the kernel does. They are named, and the others are served.

use crate::queues::*;
use crate::support::*;
use e2e::Guest;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const PENDING: &str = "ap.association_pending";
const SILENT: &str = "ap.card_timeout";

/// A guest with the secrets `a` and `b` in which an association of 00.0005 was begun that does not end.
fn with_pending() -> Guest {
    let guest = guest_with(&["a", "b"], "faults: [{on: associate, target: \"00.0005\", stuck: true, times: 0}]");
    let queue = "/sys/devices/ap/card00/00.0005";
    shell(&guest, &format!("echo 1 > {queue}/se_bind"));
    until(&guest, "00.0005", "bound");
    shell(&guest, &format!("until echo 0 > {queue}/se_associate; do :; done 2>/dev/null"));
    until(&guest, "00.0005", "associating");
    guest
}

/// A guest with the secrets `a` and `b` whose card 00 has two bound queues and does not answer.
fn with_silent() -> Guest {
    let guest = guest_with(&["a", "b"], "");
    for queue in ["00.0005", "00.0006"] {
        shell(&guest, &format!("echo 1 > /sys/devices/ap/card00/{queue}/se_bind"));
        until(&guest, queue, "bound");
    }
    guest.set("log_reads: true\ncards: {\"00\": {answers: false}}").unwrap();
    guest
}

/// Runs a module that must succeed, well before the kernel gives a request up.
fn in_time(guest: &Guest, module: &str, arguments: &Value) -> Value {
    let started = Instant::now();
    let result = ok(guest, module, arguments);
    assert!(started.elapsed() < Duration::from_secs(30), "{:?}: {result}", started.elapsed());
    result
}

/// With the time that a card may take for an answer.
fn soon(arguments: Value) -> Value {
    with(arguments, "timeout", 2)
}

/// That a warning of this code names a queue.
fn names(result: &Value, code: &str, apqn: &str) {
    let said = result["warnings"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let said: Vec<_> = said.filter(|line| line.ends_with(&format!("[{code}]"))).collect();
    assert!(said.len() == 1 && said[0].contains(apqn), "{code} {apqn}: {result}");
}

/// How often a card was asked for something.
fn asked(guest: &Guest, card: &str) -> usize {
    let log = guest.log().unwrap();
    let is_request = |name: &str| name.contains(card) && (name.ends_with("/mkvps") || name.ends_with("/serialnr"));
    log.iter().filter(|event| event["what"] == "read" && is_request(event["name"].as_str().unwrap())).count()
}

#[test]
fn a_queue_whose_association_is_pending_is_named_and_the_others_are_served() {
    if !e2e::can_simulate("a_queue_whose_association_is_pending_is_named_and_the_others_are_served") {
        return;
    }
    let guest = with_pending();
    guest.set("log_reads: true").unwrap();
    let wanted = bind([ep11("a", KEY_A), ep11("b", KEY_B), accel()]);
    let foreseen = in_time(&guest, MODULE, &checked(&wanted));
    names(&foreseen, PENDING, "00.0005");
    let result = in_time(&guest, MODULE, &wanted);
    names(&result, PENDING, "00.0005");
    assert_eq!(column(&result["entries"], "apqn"), ["02.0005", "00.0006", "01.0005"]);
    assert_eq!(states(&guest)["00.0005"], "associating");
    // It was not asked what it would not answer.
    assert_eq!(asked(&guest, "00.0005"), 0);
    let again = in_time(&guest, MODULE, &wanted);
    assert_eq!(again["changed"], false);
}

#[test]
fn an_entry_whose_only_queue_is_being_associated_is_told_so() {
    if !e2e::can_simulate("an_entry_whose_only_queue_is_being_associated_is_told_so") {
        return;
    }
    let guest = with_pending();
    let result = fails(&guest, MODULE, &bind([at("a", "00.0005")]), "ap.no_matching_queue");
    assert!(result["msg"].as_str().unwrap().contains("00.0005 (its association is under way)"), "{result}");
    names(&result, PENDING, "00.0005");
    // With exclusive it is taken from whoever began that.
    guest.set("clear_faults: true").unwrap();
    let taken = in_time(&guest, MODULE, &exclusive([at("a", "00.0005")]));
    assert_eq!(column(&taken["entries"], "apqn"), ["00.0005"]);
    assert_eq!(states(&guest)["00.0005"], "associated 0");
}

#[test]
fn a_serial_number_that_is_known_is_asked_for_once_in_a_run() {
    if !e2e::can_simulate("a_serial_number_that_is_known_is_asked_for_once_in_a_run") {
        return;
    }
    let guest = guest_with(&["a", "b"], "log_reads: true");
    let wanted = bind([with(ep11("a", KEY_A), "serialnr", SERIAL), with(ep11("b", KEY_B), "serialnr", SERIAL)]);
    in_time(&guest, MODULE, &wanted);
    let serials = |guest: &Guest| {
        let log = guest.log().unwrap();
        log.iter().filter(|event| event["name"].as_str().unwrap().ends_with("card00/serialnr")).count()
    };
    assert_eq!(serials(&guest), 1);
    assert_eq!(in_time(&guest, MODULE, &wanted)["changed"], false);
    assert_eq!(serials(&guest), 2);
}

#[test]
fn an_entry_with_a_serial_number_is_served_although_a_queue_of_its_card_is_being_associated() {
    if !e2e::can_simulate("an_entry_with_a_serial_number_is_served_although_a_queue_of_its_card_is_being_associated") {
        return;
    }
    let guest = with_pending();
    let wanted = bind([with(ep11("b", KEY_B), "serialnr", SERIAL)]);
    for changed in [true, false] {
        let result = in_time(&guest, MODULE, &wanted);
        assert_eq!((&result["changed"], &result["entries"][0]["apqn"]), (&json!(changed), &json!("00.0006")));
        names(&result, PENDING, "00.0005");
    }
    // Nobody is left waiting in a queue.
    assert_eq!(shell(&guest, "cat /sys/devices/ap/card00/*/requestq_count"), "0\n0\n");
}

#[test]
fn a_card_that_does_not_answer_is_named_and_asked_no_more_and_the_others_are_served() {
    if !e2e::can_simulate("a_card_that_does_not_answer_is_named_and_asked_no_more_and_the_others_are_served") {
        return;
    }
    let guest = with_silent();
    let wanted = soon(bind([ep11("a", KEY_A), accel()]));
    let foreseen = in_time(&guest, MODULE, &checked(&wanted));
    names(&foreseen, SILENT, "00.0005");
    assert_eq!(asked(&guest, "card00"), 1);
    let result = in_time(&guest, MODULE, &wanted);
    names(&result, SILENT, "00.0005");
    assert_eq!(column(&result["entries"], "apqn"), ["02.0005", "01.0005"]);
    assert_eq!(asked(&guest, "card00"), 2);
    // The request that nobody waits for any more is not in its queue.
    assert_eq!(shell(&guest, "cat /sys/devices/ap/card00/00.0005/requestq_count"), "0\n");
}

#[test]
fn a_card_that_does_not_answer_when_it_is_looked_at_is_left_as_it_was() {
    if !e2e::can_simulate("a_card_that_does_not_answer_when_it_is_looked_at_is_left_as_it_was") {
        return;
    }
    let guest = guest_with(&["a", "b"], "log_reads: true\ncards: {\"00\": {answers: false}}");
    let wanted = soon(bind([ep11("a", KEY_A), ep11("b", KEY_B)]));
    let result = in_time(&guest, MODULE, &with(wanted, "strict", false));
    names(&result, SILENT, "00.000");
    assert_eq!(column(&result["entries"], "apqn"), [json!("02.0005"), Value::Null]);
    assert_eq!(result["entries"][1]["reason"], "ap.no_matching_queue");
    // One queue was bound for it, and is free again; the other one was left alone.
    assert_eq!((held(&guest), asked(&guest, "card00")), (vec!["02.0005".to_owned()], 1));
    let of_card: Vec<_> = writes(&guest).into_iter().filter(|write| write.starts_with("00.")).collect();
    assert_eq!(of_card, ["00.0005/se_bind 1", "00.0005/se_bind 0"]);
}

#[test]
fn what_serves_is_kept_while_its_card_does_not_answer_and_what_is_wanted_no_more_is_released() {
    if !e2e::can_simulate("what_serves_is_kept_while_its_card_does_not_answer_and_what_is_wanted_no_more_is_released") {
        return;
    }
    let guest = guest_with(&["a", "b"], "");
    ok(&guest, MODULE, &bind([at("a", "00.0005"), ep11("b", KEY_B)]));
    guest.set("cards: {\"00\": {answers: false}}").unwrap();
    let wanted = soon(bind([at("a", "00.0005"), ep11("b", KEY_B)]));
    let result = fails(&guest, MODULE, &wanted, SILENT);
    names(&result, SILENT, "00.0005");
    assert_eq!(held(&guest), ["00.0005", "00.0006"]);
    let released = in_time(&guest, MODULE, &soon(unbound([ep11("b", KEY_B)])));
    assert_eq!(diffed(&released), ["queue 00.0006"]);
    let all = in_time(&guest, MODULE, &soon(with(with(json!({}), "state", "unbound"), "all", true)));
    assert_eq!(all["changed"], true);
    assert_eq!(held(&guest), NOTHING);
}

#[test]
fn releasing_names_what_does_not_answer_and_releases_it() {
    if !e2e::can_simulate("releasing_names_what_does_not_answer_and_releases_it") {
        return;
    }
    for guest in [with_pending(), with_silent()] {
        let all = soon(with(with(json!({}), "state", "unbound"), "all", true));
        in_time(&guest, MODULE, &checked(&all));
        in_time(&guest, MODULE, &all);
        assert_eq!(held(&guest), NOTHING);
    }
}

#[test]
fn facts_name_what_does_not_answer_and_tell_the_rest() {
    if !e2e::can_simulate("facts_name_what_does_not_answer_and_tell_the_rest") {
        return;
    }
    for (guest, code, state) in
        [(with_pending(), PENDING, "association pending"), (with_silent(), SILENT, "unassociated")]
    {
        for inspect in [false, true] {
            let asked = soon(json!({"gather_subset": ["ap"], "bind_to_inspect": inspect}));
            let result = in_time(&guest, "facts", &asked);
            let facts = &result["ansible_facts"]["ansible_secure_execution"];
            assert_eq!(column(&facts["problems"], "code"), [code], "{facts}");
            assert!(facts["problems"][0]["detail"].as_str().unwrap().contains("00.0005"), "{facts}");
            assert_eq!(column(&facts["ap"]["cards"], "card"), [0, 1, 2, 3]);
            assert_eq!(column(&facts["ap"]["queues"], "associate")[0], state);
            assert_eq!(column(&facts["ap"]["queues"], "mkvp")[4] != Value::Null, inspect, "{facts}");
        }
    }
}

#[test]
fn the_whole_of_a_guest_is_done_although_a_queue_or_a_card_does_not_answer() {
    if !e2e::can_simulate("the_whole_of_a_guest_is_done_although_a_queue_or_a_card_does_not_answer") {
        return;
    }
    for (guest, code) in [(with_pending(), PENDING), (with_silent(), SILENT)] {
        let wanted = soon(json!({"queues": [ep11("a", KEY_A)]}));
        in_time(&guest, "guest", &checked(&wanted));
        let result = in_time(&guest, "guest", &wanted);
        names(&result, code, "00.0005");
        assert_eq!(states(&guest)["02.0005"], "associated 0");
    }
}

#[test]
fn a_queue_that_the_kernel_takes_away_after_a_failed_association_is_set_up_when_it_is_back() {
    if !e2e::can_simulate("a_queue_that_the_kernel_takes_away_after_a_failed_association_is_set_up_when_it_is_back") {
        return;
    }
    for scan_ms in [1, 20, 500] {
        for keeps in [true, false] {
            let guest = guest_with(
                &["a"],
                &format!(
                    "kernel: {{failed_queue: removed}}\ndelays: {{scan_ms: {scan_ms}}}\n\
                     switches: {{reset_keeps_binding: {keeps}}}\n\
                     faults: [{{on: associate, target: \"00.0005\", ap_rc: 0x36}}]"
                ),
            );
            let wanted = bind([at("a", "00.0005")]);
            let failed = guest.module(MODULE, &wanted).unwrap();
            let code = failed["error"]["code"].as_str().unwrap();
            assert!(["ap.associate_failed", "ap.queue_vanished"].contains(&code), "{failed}");
            // It is away for the time of a scan, and then as a reset leaves it.
            settled(&guest, "it does not come back", |states| {
                states.get("00.0005").is_some_and(|state| !["resetting", "failed"].contains(&state.as_str()))
            });
            let result = ok(&guest, MODULE, &wanted);
            assert_eq!(result["entries"][0]["apqn"], "00.0005", "{result}");
            assert_eq!(states(&guest)["00.0005"], "associated 0", "{scan_ms} {keeps}");
            assert_eq!(ok(&guest, MODULE, &wanted)["changed"], false);
        }
    }
}
