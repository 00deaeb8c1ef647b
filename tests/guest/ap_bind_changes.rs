//! `ap_bind` where things change while it is at work, and where entries compete for what a card can give.

use crate::queues::*;
use crate::support::*;
use serde_json::{Value, json};

#[test]
fn a_queue_is_not_associated_if_the_secret_store_is_another_one_meanwhile() {
    if !e2e::can_simulate("a_queue_is_not_associated_if_the_secret_store_is_another_one_meanwhile") {
        return;
    }
    // The guest is booted while the master key is read, right before the association.
    let slow = "log_reads: true\nfaults: [{on: read, target: 00.0005/mkvps, delay_ms: 6000}]";
    let guest = guest_with(&["a"], slow);
    let arguments = bind([at("a", "00.0005")]);
    let result = std::thread::scope(|scope| {
        let task = scope.spawn(|| fails(&guest, MODULE, &arguments, "ap.secret_moved"));
        let is_read = |event: &Value| event["what"] == "read" && event["fault"] == true;
        eventually(|| guest.log().unwrap().iter().any(is_read).then_some(()), || "no master key is read".into());
        guest.reboot().unwrap();
        task.join().unwrap()
    });
    assert_eq!((&result["entries"][0]["reason"], held(&guest)), (&json!("ap.secret_moved"), NOTHING));
    assert!(writes(&guest).iter().all(|write| !write.contains("se_associate")));
    with_secrets(&guest, &["b", "a"]);
    assert_eq!(ok(&guest, MODULE, &arguments)["changed"], true);
    assert_eq!(states(&guest)["00.0005"], "associated 1");
}

#[test]
fn a_queue_that_the_bus_makes_anew_is_never_said_to_serve_and_is_set_up_again() {
    if !e2e::can_simulate("a_queue_that_the_bus_makes_anew_is_never_said_to_serve_and_is_set_up_again") {
        return;
    }
    for on in ["bind", "associate", "reset"] {
        // Back at once, or away for long enough that somebody looks.
        for reset_ms in [0, 20] {
            for entry in [at("a", "00.0005"), ep11("a", KEY_A), json!({"mode": "accel", "apqn": "01.0005"})] {
                let fault = format!("{{on: {on}, becomes: recreated}}");
                let guest = guest_with(&["a"], &format!("delays: {{reset_ms: {reset_ms}}}\nfaults: [{fault}]"));
                let mut arguments = bind([entry, accel()]);
                (arguments["timeout"], arguments["strict"]) = (5.into(), false.into());
                let place = format!("{fault} {reset_ms} {arguments}");
                let queues = states(&guest).len();
                let result = guest.module(MODULE, &arguments).unwrap();
                let served = |result: &Value| column(&result["entries"], "status").iter().all(|s| *s == "served");
                if served(&result) {
                    assert_eq!(held(&guest).len(), 2, "{place}: {result}");
                }
                settled(&guest, &place, |states| states.values().filter(|state| *state != "lost").count() == queues);
                let next = ok(&guest, MODULE, &arguments);
                assert!(served(&next), "{place}: {result} {next}");
                assert_eq!(held(&guest).len(), 2, "{place}: {next}");
                let last = ok(&guest, MODULE, &arguments);
                assert_eq!((&last["changed"], last.get("warnings")), (&json!(false), None), "{place}");
            }
        }
    }
}

#[test]
fn an_entry_that_could_be_served_elsewhere_makes_place_on_a_card_that_takes_fewer() {
    if !e2e::can_simulate("an_entry_that_could_be_served_elsewhere_makes_place_on_a_card_that_takes_fewer") {
        return;
    }
    let limits =
        "cards: {\"00\": {bind_limit: 1}, \"01\": {bind_limit: 1}, \"04\": {type: CEX8A, queues: {\"0005\": {}}}}";
    let other = json!({"mode": "accel", "apqn": "01.0006"});
    for (entries, apqns) in
        [([accel(), other], ["04.0005", "01.0006"]), ([ep11("a", KEY_A), ep11("b", KEY_B)], ["02.0005", "00.0006"])]
    {
        let guest = guest_with(&["a", "b"], limits);
        let arguments = bind(entries);
        let result = ok(&guest, MODULE, &arguments);
        assert_eq!(column(&result["entries"], "apqn"), apqns, "{result}");
        let mut expected = apqns.map(str::to_owned).to_vec();
        expected.sort_unstable();
        assert_eq!(held(&guest), expected, "{result}");
        let again = ok(&guest, MODULE, &arguments);
        assert_eq!((&again["changed"], again.get("warnings")), (&json!(false), None), "{again}");
    }
    // What served before this run makes no place.
    let guest = guest_with(&["a", "b"], limits);
    ok(&guest, MODULE, &bind([accel()]));
    let both = bind([accel(), json!({"mode": "accel", "apqn": "01.0006"})]);
    let result = fails(&guest, MODULE, &both, "ap.bind_refused");
    assert!(result["error"]["hint"].as_str().unwrap().ends_with("On this card it holds 01.0005."), "{result}");
    assert_eq!(held(&guest), ["01.0005"]);
}

#[test]
fn entries_that_compete_for_a_card_that_takes_fewer_are_served_in_their_order_and_elsewhere_too() {
    if !e2e::can_simulate(
        "entries_that_compete_for_a_card_that_takes_fewer_are_served_in_their_order_and_elsewhere_too",
    ) {
        return;
    }
    // Each mostly waits for binds that are refused. A guest ends with the thread that started it.
    std::thread::scope(|scope| {
        for (limit, bind_ms) in (1..=3).flat_map(|limit| [0, 2, 30].map(|bind_ms| (limit, bind_ms))) {
            scope.spawn(move || four_entries_compete_for(limit, bind_ms));
        }
    });
}

/// Four entries that fit both cards, of which one takes `limit` queues and the other has one.
fn four_entries_compete_for(limit: usize, bind_ms: u32) {
    let names = ["a", "b", "c", "d"];
    let queues: serde_json::Map<String, Value> =
        ["0005", "0006", "0007", "0008"].map(|domain| (domain.into(), json!({"mkvp": KEY_A}))).into_iter().collect();
    let cards = json!({"cards": {"00": {"bind_limit": limit, "queues": queues}}, "delays": {"bind_ms": bind_ms}});
    let guest = guest_with(&names, &cards.to_string());
    let mut arguments = bind(names.map(|name| ep11(name, KEY_A)));
    arguments["strict"] = false.into();
    let result = ok(&guest, MODULE, &arguments);
    let place = format!("limit {limit}, {bind_ms} ms: {result}");
    // One more on the other card.
    let expected: Vec<_> = (0..4).map(|entry| if entry <= limit { "served" } else { "unserved" }).collect();
    assert_eq!(column(&result["entries"], "status"), expected, "{place}");
    assert_eq!(held(&guest).len(), limit + 1, "{place}");
    for (entry, index) in column(&result["entries"], "apqn").iter().take(limit + 1).zip(0..) {
        assert_eq!(states(&guest)[entry.as_str().unwrap()], format!("associated {index}"), "{place}");
    }
    let again = ok(&guest, MODULE, &arguments);
    assert_eq!((&again["changed"], &again["entries"][0]), (&json!(false), &result["entries"][0]), "{place}");
    assert_eq!(column(&again["entries"], "apqn"), column(&result["entries"], "apqn"), "{place}");
    // With room on the card the others follow.
    guest.set("cards: {\"00\": {bind_limit: 9}}").unwrap();
    let last = ok(&guest, MODULE, &arguments);
    assert_eq!(column(&last["entries"], "status"), ["served"; 4], "{place}");
}
