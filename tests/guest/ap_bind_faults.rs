//! `ap_bind` where something is in the way: no bus, adapters that refuse, queues that die, runs that are killed.

use crate::queues::*;
use crate::support::*;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// An entry that only 00.0005 can serve.
fn only_first() -> Value {
    at("a", "00.0005")
}

#[test]
fn a_system_without_bus_or_secure_binding_or_that_is_no_guest_is_told_apart() {
    if !e2e::can_simulate("a_system_without_bus_or_secure_binding_or_that_is_no_guest_is_told_apart") {
        return;
    }
    for (rest, code) in [
        ("absent: [/sys/bus/ap, /sys/devices/ap]", "ap.no_bus"),
        ("ap: {features: APXA RC8A}", "ap.no_secure_binding"),
        // As on Linux 6.1, which has the bus all the same.
        ("absent: [/sys/bus/ap/features]", "ap.no_secure_binding"),
        ("ultravisor: {guest: false}", "ap.not_a_guest"),
        ("ultravisor: {guest: false, host: true}", "ap.not_a_guest"),
        ("faults: [{on: read, target: card00/type, errno: EIO, times: 0}]", "ap.attribute_unreadable"),
    ] {
        let guest = guest(&format!("{CARDS}{rest}"));
        for arguments in [bind([accel()]), checked(&bind([accel()]))] {
            assert_eq!(fails(&guest, MODULE, &arguments, code)["changed"], false);
        }
        assert_eq!(effects(&guest), NOTHING);
    }
}

#[test]
fn a_queue_that_is_being_reset_is_waited_for_and_no_longer_than_the_timeout() {
    if !e2e::can_simulate("a_queue_that_is_being_reset_is_waited_for_and_no_longer_than_the_timeout") {
        return;
    }
    for manners in ["old", "new"] {
        let kernel = format!("kernel: {{manners: {manners}}}\ndelays: {{reset_ms: 2500}}\n");
        let guest = guest_with(&["a", "b"], &kernel);
        // Two entries exchange their secrets: each queue is released, and bound once that is over.
        let entries = |first, second| bind([at(first, "00.0005"), ep11(second, KEY_B)]);
        ok(&guest, MODULE, &entries("a", "b"));
        let mut exchanged = entries("b", "a");
        exchanged["exclusive"] = true.into();
        exchanged["timeout"] = 1.into();
        assert_eq!(fails(&guest, MODULE, &exchanged, "ap.timeout")["changed"], true, "{manners}");
        exchanged["timeout"] = 60.into();
        let result = ok(&guest, MODULE, &exchanged);
        assert_eq!(column(&result["entries"], "status"), ["served"; 2], "{manners}");
        let states = states(&guest);
        assert_eq!(
            (states["00.0005"].as_str(), states["00.0006"].as_str()),
            ("associated 1", "associated 0"),
            "{manners}"
        );
    }
}

#[test]
fn the_bus_is_waited_for_until_complete_and_no_longer_than_the_timeout() {
    if !e2e::can_simulate("the_bus_is_waited_for_until_complete_and_no_longer_than_the_timeout") {
        return;
    }
    let never = guest(&format!("{CARDS}ap: {{bindings_complete_after_ms: 600000}}"));
    let started = Instant::now();
    fails(&never, MODULE, &json!({"entries": [accel()], "timeout": 1}), "ap.bindings_incomplete");
    assert!((900..4000).contains(&started.elapsed().as_millis()), "{:?}", started.elapsed());
    assert_eq!(effects(&never), NOTHING);
    let other = guest(CARDS);
    other.set(&json!({"attributes": {"/sys/bus/ap/bindings": "2/5 (incomplete)"}}).to_string()).unwrap();
    fails(&other, MODULE, &json!({"entries": [accel()], "timeout": 1}), "ap.bindings_incomplete");
    let soon = guest(&format!("{CARDS}ap: {{bindings_complete_after_ms: 300}}"));
    assert_eq!(ok(&soon, MODULE, &bind([accel()]))["changed"], true);
}

#[test]
fn whenever_a_run_is_killed_the_next_one_ends_the_same() {
    if !e2e::can_simulate("whenever_a_run_is_killed_the_next_one_ends_the_same") {
        return;
    }
    let arguments = bind([ep11("b", KEY_B), ep11("a", KEY_A)]);
    for (target, nth, when) in [
        ("00.0005/se_bind", 1, "before"),
        ("00.0005/se_bind", 1, "after"),
        ("00.0006/se_bind", 1, "after"),
        ("02.0005/se_bind", 1, "after"),
        ("02.0005/se_bind", 2, "before"),
        ("00.0006/se_associate", 1, "before"),
        ("00.0005/se_associate", 1, "before"),
    ] {
        let kill = format!("{{on: write, target: {target}, nth: {nth}, kill: {when}}}");
        let guest = guest_with(&["a", "b"], &format!("faults: [{kill}]"));
        is_killed(&guest, MODULE, &arguments);
        let settled = Instant::now() + Duration::from_millis(20);
        while states(&guest).values().any(|state| ["binding", "resetting"].contains(&state.as_str()))
            || Instant::now() < settled
        {
            std::thread::sleep(Duration::from_millis(2));
        }
        // Cards are worked on at once, so others than the one that the run died of may be left half done as well.
        let half_done = states(&guest).values().any(|state| state == "bound");
        let result = ok(&guest, MODULE, &arguments);
        assert_eq!(column(&result["entries"], "apqn"), ["00.0006", "00.0005"], "{kill}");
        assert_eq!(warned(&result, "ap.journal_settled"), half_done, "{kill}: {result}");
        assert_eq!(held(&guest), ["00.0005", "00.0006"], "{kill}");
        assert_eq!(ok(&guest, MODULE, &arguments)["changed"], false);
    }
    // An association that was begun goes on without the process: it may be through, or must be released.
    for delay in [0, 300] {
        let guest = guest_with(
            &["a", "b"],
            &format!("delays: {{associate_ms: {delay}}}\nfaults: [{{on: write, target: se_associate, kill: after}}]"),
        );
        is_killed(&guest, MODULE, &arguments);
        let result = ok(&guest, MODULE, &arguments);
        assert_eq!(column(&result["entries"], "status"), ["served", "served"]);
        assert_eq!(held(&guest), ["00.0005", "00.0006"]);
    }
}

#[test]
fn a_bind_that_goes_on_after_its_run_was_killed_is_undone() {
    if !e2e::can_simulate("a_bind_that_goes_on_after_its_run_was_killed_is_undone") {
        return;
    }
    let fault = "{on: write, target: 00.0006/se_bind, kill: after}";
    let guest = guest_with(&["a"], &format!("delays: {{bind_ms: 500}}\nfaults: [{fault}]"));
    let mut arguments = bind([ep11("a", KEY_C)]);
    arguments["entries"][0]["apqn"] = "00.0006".into();
    is_killed(&guest, MODULE, &arguments);
    assert_eq!(states(&guest)["00.0006"], "binding");
    ok(&guest, MODULE, &bind([accel()]));
    std::thread::sleep(Duration::from_millis(600));
    assert_eq!(held(&guest), ["01.0005"]);
}

#[test]
fn a_queue_that_another_tool_bound_is_not_settled() {
    if !e2e::can_simulate("a_queue_that_another_tool_bound_is_not_settled") {
        return;
    }
    let guest = guest_with(&["a"], "");
    shell(&guest, "echo 1 > /sys/devices/ap/card00/00.0006/se_bind");
    until(&guest, "00.0006", "bound");
    let result = ok(&guest, MODULE, &bind([accel()]));
    assert_eq!((result.get("warnings"), held(&guest)), (None, vec!["00.0006".into(), "01.0005".into()]));
}

#[test]
fn a_failed_association_is_undone_and_may_be_tried_again() {
    if !e2e::can_simulate("a_failed_association_is_undone_and_may_be_tried_again") {
        return;
    }
    for rc in ["0x34", "0x35", "0x36", "0x31"] {
        for manners in ["old", "new"] {
            let guest = guest_with(
                &["a"],
                &format!("kernel: {{manners: {manners}}}\nfaults: [{{on: associate, ap_rc: {rc}, times: 3}}]"),
            );
            let result = fails(&guest, MODULE, &bind([only_first(), accel()]), "ap.associate_failed");
            assert_eq!(column(&result["entries"], "reason"), [json!("ap.associate_failed"), Value::Null], "{rc}");
            assert_eq!(held(&guest), ["01.0005"], "{rc} {manners}: {:?}", states(&guest));
            guest.set("clear_faults: true").unwrap();
            let result = ok(&guest, MODULE, &bind([only_first(), accel()]));
            assert_eq!((result.get("warnings"), diffed(&result)), (None, vec!["queue 00.0005".into()]), "{rc}");
        }
    }
}

#[test]
fn a_secret_whose_id_is_in_the_store_twice_is_not_claimed_to_serve() {
    if !e2e::can_simulate("a_secret_whose_id_is_in_the_store_twice_is_not_claimed_to_serve") {
        return;
    }
    let guest = guest_with(&["a"], "");
    ok(&guest, "secret_add", &json!({"path": request("a"), "force": true}));
    fails(&guest, MODULE, &bind([only_first()]), "ap.associate_failed");
    assert_eq!(held(&guest), NOTHING);
}

#[test]
fn an_association_that_never_ends_is_given_up_and_undone() {
    if !e2e::can_simulate("an_association_that_never_ends_is_given_up_and_undone") {
        return;
    }
    let guest = guest_with(&["a"], "faults: [{on: associate, stuck: true, times: 0}]");
    let mut arguments = bind([only_first()]);
    arguments["timeout"] = 1.into();
    let result = fails(&guest, MODULE, &arguments, "ap.timeout");
    assert_eq!((&result["changed"], held(&guest)), (&json!(false), NOTHING));
    guest.set("clear_faults: true\nfaults: [{on: bind, stuck: true, times: 0}]").unwrap();
    let result = guest.module(MODULE, &json!({"entries": [accel()], "timeout": 1})).unwrap();
    assert_eq!((&result["error"]["code"], &result["entries"][0]["status"]), (&json!("ap.timeout"), &json!("unserved")));
}

#[test]
fn where_an_adapter_takes_fewer_queues_than_wanted_those_that_serve_stay() {
    if !e2e::can_simulate("where_an_adapter_takes_fewer_queues_than_wanted_those_that_serve_stay") {
        return;
    }
    let limits = "cards: {\"00\": {bind_limit: 1}, \"01\": {bind_limit: 1}}";
    // Whatever is slow or refuses once: the earlier entry has the last place.
    let busy = "faults: [{on: write, target: 01.0005/se_bind, errno: EBUSY, times: 4}]";
    for fragment in ["", busy, "delays: {bind_ms: 30}"] {
        let guest = guest_with(&["a", "b"], &format!("{limits}\n{fragment}"));
        let result = fails(&guest, MODULE, &bind([accel(), accel()]), "ap.bind_refused");
        assert_eq!(column(&result["entries"], "apqn"), [json!("01.0005"), Value::Null], "{fragment}");
        assert_eq!((held(&guest), &result["changed"]), (vec!["01.0005".into()], &json!(true)));
        // One that is looked at later wins if its entry comes first.
        let mut both = bind([ep11("b", KEY_B), only_first()]);
        both["strict"] = false.into();
        let result = ok(&guest, MODULE, &both);
        assert_eq!(column(&result["entries"], "apqn"), [json!("00.0006"), Value::Null], "{result}");
        assert_eq!(result["entries"][1]["reason"], "ap.bind_refused");
        assert_eq!(held(&guest), ["00.0006", "01.0005"]);
    }
    let guest = guest_with(&["a", "b"], limits);
    // Looking at one queue of a card at a time needs no second place.
    let result = ok(&guest, MODULE, &bind([ep11("b", KEY_B)]));
    assert_eq!(result["entries"][0]["apqn"], "00.0006");
    let mut both = bind([ep11("b", KEY_B), only_first()]);
    both["strict"] = false.into();
    let result = ok(&guest, MODULE, &both);
    assert_eq!(column(&result["entries"], "status"), ["served", "unserved"]);
    assert!(warned(&result, "ap.look_skipped"), "{result}");
    // Why is said then as it was the first time.
    assert_eq!(result["entries"][1]["reason"], "ap.bind_refused", "{result}");
    both["strict"] = true.into();
    let result = fails(&guest, MODULE, &both, "ap.bind_refused");
    assert!(result["error"]["hint"].as_str().unwrap().ends_with("On this card it holds 00.0006."), "{result}");
}

#[test]
fn a_write_that_fails_for_a_while_is_repeated_and_one_that_always_fails_is_given_up() {
    if !e2e::can_simulate("a_write_that_fails_for_a_while_is_repeated_and_one_that_always_fails_is_given_up") {
        return;
    }
    for fault in ["errno: EBUSY, times: 6", "errno: EIO, times: 2", "errno: EINVAL, times: 2", "errno: EIO, done: true"]
    {
        for target in ["00.0005/se_bind", "00.0005/se_associate"] {
            let guest = guest_with(&["a"], &format!("faults: [{{on: write, target: {target}, {fault}}}]"));
            assert_eq!(ok(&guest, MODULE, &bind([only_first()]))["changed"], true, "{fault} {target}");
            assert_eq!(states(&guest)["00.0005"], "associated 0");
        }
    }
    let always =
        |target: &str| guest_with(&["a"], &format!("faults: [{{on: write, target: {target}, errno: EIO, times: 0}}]"));
    let guest = always("01.0005/se_bind");
    let result = fails(&guest, MODULE, &bind([json!({"mode": "accel", "apqn": "01.0005"})]), "ap.bind_refused");
    assert_eq!((&result["error"]["errno"], held(&guest)), (&json!(5), NOTHING));
    let guest = always("00.0005/se_bind");
    let result = fails(&guest, MODULE, &bind([only_first()]), "ap.no_matching_queue");
    assert!(warned(&result, "ap.look_skipped"), "{result}");
    let guest = always("00.0005/se_associate");
    fails(&guest, MODULE, &bind([only_first()]), "ap.associate_failed");
    assert_eq!(held(&guest), NOTHING);
}

#[test]
fn a_queue_in_use_is_released_only_as_when_busy_says() {
    if !e2e::can_simulate("a_queue_in_use_is_released_only_as_when_busy_says") {
        return;
    }
    let guest = guest(CARDS);
    ok(&guest, MODULE, &bind([accel()]));
    let busy = |count: u32| {
        format!("cards: {{\"01\": {{queues: {{\"0005\": {{requestq_count: {count}, pendingq_count: 1}}}}}}}}")
    };
    guest.set(&busy(2)).unwrap();
    let release = |when_busy: &str| json!({"state": "unbound", "all": true, "when_busy": when_busy, "timeout": 1});
    for when_busy in ["fail", "wait"] {
        let result = fails(&guest, MODULE, &release(when_busy), "ap.queue_busy");
        assert_eq!((&result["changed"], held(&guest)), (&json!(false), vec!["01.0005".into()]));
    }
    assert_eq!(ok(&guest, MODULE, &release("force"))["changed"], true);
    assert_eq!(guest.log().unwrap().last().unwrap()["flushed"], 3);
}

#[test]
fn a_queue_whose_requests_cannot_be_counted_is_taken_to_be_in_use() {
    if !e2e::can_simulate("a_queue_whose_requests_cannot_be_counted_is_taken_to_be_in_use") {
        return;
    }
    let queue = "/sys/devices/ap/card01/01.0005";
    let release = |when_busy: &str| json!({"state": "unbound", "all": true, "when_busy": when_busy, "timeout": 1});
    for fragment in [
        json!({"attributes": {format!("{queue}/requestq_count"): "many"}}),
        json!({"attributes": {format!("{queue}/pendingq_count"): "-1"}}),
        json!({"faults": [{"on": "read", "target": "01.0005/pendingq_count", "errno": "EIO", "times": 0}]}),
    ] {
        let guest = guest(CARDS);
        ok(&guest, MODULE, &bind([accel()]));
        guest.set(&fragment.to_string()).unwrap();
        for when_busy in ["fail", "wait"] {
            fails(&guest, MODULE, &release(when_busy), "ap.queue_busy");
            assert_eq!(held(&guest), ["01.0005"], "{fragment}");
        }
        assert_eq!(ok(&guest, MODULE, &release("force"))["changed"], true);
    }
    // A kernel without these counters.
    let guest = guest(&format!("{CARDS}absent: [{queue}/requestq_count, {queue}/pendingq_count]"));
    ok(&guest, MODULE, &bind([accel()]));
    assert_eq!(ok(&guest, MODULE, &release("fail"))["changed"], true);
}

#[test]
fn a_queue_that_belongs_to_another_guest_is_left_alone() {
    if !e2e::can_simulate("a_queue_that_belongs_to_another_guest_is_left_alone") {
        return;
    }
    let guest = guest(&CARDS.replacen("\"0005\": {", "\"0005\": {unusable: true, ", 2));
    with_secrets(&guest, &["a"]);
    let result = ok(&guest, MODULE, &bind([ep11("a", KEY_A), accel()]));
    assert_eq!(column(&result["entries"], "apqn"), ["02.0005", "01.0006"]);
    fails(&guest, MODULE, &bind([only_first()]), "ap.no_matching_queue");
    assert!(writes(&guest).iter().all(|write| !write.contains("0.0005/") && !write.starts_with("01.0005")));
}

#[test]
fn a_queue_that_dies_or_vanishes_in_the_middle_is_never_said_to_serve() {
    if !e2e::can_simulate("a_queue_that_dies_or_vanishes_in_the_middle_is_never_said_to_serve") {
        return;
    }
    for becomes in ["checkstopped", "deconfigured", "lost", "offline", "unbound"] {
        for on in ["bind", "associate"] {
            for dead_reads_zero in [false, true] {
                let fragment = format!(
                    "switches: {{dead_queue_reads_zero: {dead_reads_zero}}}\nfaults: [{{on: {on}, target: \"00.0005\", becomes: {becomes}, times: 0}}]"
                );
                let guest = guest_with(&["a"], &fragment);
                let mut arguments = bind([only_first(), accel()]);
                (arguments["timeout"], arguments["strict"]) = (1.into(), false.into());
                // That a queue is still held and serves nobody is a failure, which keeps no other from serving.
                let result = guest.module(MODULE, &arguments).unwrap();
                let code = result["error"]["code"].as_str();
                assert!(code.is_none_or(|code| code == "ap.unbind_failed"), "{fragment}: {result}");
                assert_eq!(result["entries"][1]["status"], "served", "{fragment}: {result}");
                let serves = states(&guest).get("00.0005").is_some_and(|state| state == "associated 0");
                let serves = serves && becomes != "offline";
                assert_eq!(result["entries"][0]["status"] == "served", serves, "{fragment}: {result}");
                // Nor does what is left in the journal.
                assert_eq!(ok(&guest, MODULE, &bind([accel()]))["changed"], false, "{fragment}");
            }
        }
    }
}

#[test]
fn a_deconfigured_queue_is_not_said_to_be_released() {
    if !e2e::can_simulate("a_deconfigured_queue_is_not_said_to_be_released") {
        return;
    }
    let guest = guest(CARDS);
    ok(&guest, MODULE, &bind([accel()]));
    guest
        .set("switches: {dead_queue_reads_zero: true}\ncards: {\"01\": {queues: {\"0005\": {config: false}}}}")
        .unwrap();
    let all = json!({"state": "unbound", "all": true, "timeout": 1});
    let result = guest.module(MODULE, &all).unwrap();
    assert_ne!(result["queues"][2]["after"]["bind"], "unbound", "{result}");
}

#[test]
fn attributes_that_make_no_sense_bind_nothing() {
    if !e2e::can_simulate("attributes_that_make_no_sense_bind_nothing") {
        return;
    }
    let card = "/sys/devices/ap/card00";
    for text in ["", "\u{1b}[31mbound %s", "associated 99999999999", "-"] {
        for name in
            ["00.0005/se_bind", "00.0005/mkvps", "00.0005/se_associate", "00.0005/ap_functions", "type", "serialnr"]
        {
            let value = json!({"attributes": {format!("{card}/{name}"): text}});
            let guest = guest_with(&["a"], &value.to_string());
            let mut arguments = bind([only_first()]);
            arguments["timeout"] = 1.into();
            let result = guest.module(MODULE, &arguments).unwrap();
            let serves = states(&guest)["00.0005"] == "associated 0";
            assert!(serves || result["entries"][0]["status"] != "served", "{name} {text:?}: {result}");
        }
    }
}

#[test]
fn a_secret_that_the_kernel_does_not_show_is_not_said_to_be_missing() {
    if !e2e::can_simulate("a_secret_that_the_kernel_does_not_show_is_not_said_to_be_missing") {
        return;
    }
    let guest = guest(&format!("{CARDS}kernel: {{list_pages: 1}}\nultravisor: {{max_assoc_secrets: 200}}"));
    let names: Vec<_> = (0..87).map(|number| format!("s{number}")).collect();
    with_secrets(&guest, &names.iter().map(String::as_str).collect::<Vec<_>>());
    fails(&guest, MODULE, &bind([ep11("s86", KEY_A)]), "uv.list_incomplete");
    assert_eq!(writes(&guest), NOTHING);
    assert_eq!(ok(&guest, MODULE, &bind([ep11("s84", KEY_A)]))["changed"], true);
    // Nor is a queue said to be free of it.
    let release = |name: &str| json!({"entries": [ep11(name, KEY_A)], "state": "unbound"});
    for arguments in [release("s86"), checked(&release("s86"))] {
        fails(&guest, MODULE, &arguments, "uv.list_incomplete");
    }
    assert_eq!(held(&guest), ["00.0005"]);
    assert_eq!(ok(&guest, MODULE, &release("s84"))["changed"], true);
}
