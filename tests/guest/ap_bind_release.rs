//! What `ap_bind` releases and what it keeps: only what is certain is taken away.

use crate::queues::*;
use crate::support::*;
use serde_json::json;

#[test]
fn unbound_releases_every_queue_that_an_entry_names_and_no_other() {
    if !e2e::can_simulate("unbound_releases_every_queue_that_an_entry_names_and_no_other") {
        return;
    }
    let guest = guest_with(&["a"], "");
    ok(&guest, MODULE, &bind([ep11("a", KEY_A), ep11("a", KEY_B), accel(), accel()]));
    for (arguments, left) in
        [(unbound([ep11("a", KEY_B)]), vec!["00.0005", "01.0005", "01.0006"]), (unbound([accel()]), vec!["00.0005"])]
    {
        for changed in [true, false] {
            assert_eq!(ok(&guest, MODULE, &arguments)["changed"], changed);
            assert_eq!(held(&guest), left);
        }
    }
}

#[test]
fn a_serving_queue_whose_key_cannot_be_read_is_neither_replaced_nor_released() {
    if !e2e::can_simulate("a_serving_queue_whose_key_cannot_be_read_is_neither_replaced_nor_released") {
        return;
    }
    let guest = guest_with(&["a"], "");
    ok(&guest, MODULE, &bind([ep11("a", KEY_A)]));
    let unreadable = json!({"attributes": {"/sys/devices/ap/card00/00.0005/mkvps": "WK CUR: - -\nWK NEW: - -\n"}});
    guest.set(&unreadable.to_string()).unwrap();
    let before = writes(&guest);
    for arguments in [bind([ep11("a", KEY_A)]), exclusive([ep11("a", KEY_A)])] {
        let mut lenient = arguments.clone();
        lenient["strict"] = false.into();
        fails(&guest, MODULE, &arguments, "ap.attribute_unreadable");
        assert!(warned(&ok(&guest, MODULE, &lenient), "ap.attribute_unreadable"));
    }
    assert_eq!((states(&guest)["00.0005"].as_str(), writes(&guest)), ("associated 0", before));
}

#[test]
fn a_bind_that_is_slow_and_answered_with_an_error_serves() {
    if !e2e::can_simulate("a_bind_that_is_slow_and_answered_with_an_error_serves") {
        return;
    }
    let guest = guest_with(&["a"], "switches: {slow_bind_is_eio: true}\ndelays: {bind_ms: 20}");
    let result = ok(&guest, MODULE, &bind([ep11("a", KEY_A), accel()]));
    assert_eq!(column(&result["entries"], "status"), ["served", "served"]);
    assert_eq!(held(&guest), ["00.0005", "01.0005"]);
}

#[test]
fn exclusive_takes_nothing_away_if_what_is_wanted_cannot_be_served() {
    if !e2e::can_simulate("exclusive_takes_nothing_away_if_what_is_wanted_cannot_be_served") {
        return;
    }
    let guest = guest_with(&["a"], "faults: [{on: associate, ap_rc: 0x34, times: 0}]");
    ok(&guest, MODULE, &bind([accel()]));
    let mut arguments = exclusive([ep11("a", KEY_A)]);
    fails(&guest, MODULE, &arguments, "ap.associate_failed");
    assert_eq!(held(&guest), ["01.0005"]);
    arguments["strict"] = false.into();
    ok(&guest, MODULE, &arguments);
    assert_eq!(held(&guest), NOTHING);
}

#[test]
fn exclusive_makes_room_on_a_card_that_takes_no_more_queues() {
    if !e2e::can_simulate("exclusive_makes_room_on_a_card_that_takes_no_more_queues") {
        return;
    }
    let guest = guest(CARDS);
    guest.set("cards: {\"01\": {bind_limit: 1}}").unwrap();
    ok(&guest, MODULE, &bind([accel()]));
    let other = json!({"mode": "accel", "apqn": "01.0006"});
    fails(&guest, MODULE, &bind([other.clone()]), "ap.bind_refused");
    assert_eq!(held(&guest), ["01.0005"]);
    assert_eq!(ok(&guest, MODULE, &exclusive([other]))["changed"], true);
    assert_eq!(held(&guest), ["01.0006"]);
}

#[test]
fn a_secret_list_that_fails_before_the_association_leaves_nothing_bound_to_look_at() {
    if !e2e::can_simulate("a_secret_list_that_fails_before_the_association_leaves_nothing_bound_to_look_at") {
        return;
    }
    let guest = guest_with(&["a"], "faults: [{on: list_secrets, nth: 2, errno: EIO, times: 0}]");
    let arguments = bind([ep11("a", KEY_A), accel()]);
    let result = fails(&guest, MODULE, &arguments, "uv.ioctl_failed");
    assert_eq!(column(&result["entries"], "status"), ["unserved", "served"], "{result}");
    // One of a card: 00.0005 fits, so 00.0006 would be no better.
    assert_eq!(result["inspected"], json!(["00.0005", "02.0005"]));
    assert_eq!(held(&guest), ["01.0005"]);
    guest.set("clear_faults: true").unwrap();
    assert_eq!(ok(&guest, MODULE, &arguments).get("warnings"), None);
}

#[test]
fn a_key_that_cannot_be_read_right_after_the_bind_is_waited_for_and_then_told() {
    if !e2e::can_simulate("a_key_that_cannot_be_read_right_after_the_bind_is_waited_for_and_then_told") {
        return;
    }
    let entry = at("a", "00.0005");
    let unreadable = |times: u32| {
        guest_with(&["a"], &format!("faults: [{{on: read, target: 00.0005/mkvps, errno: EIO, times: {times}}}]"))
    };
    let result = ok(&unreadable(4), MODULE, &bind([entry.clone()]));
    assert_eq!(result["entries"][0]["status"], "served");
    let never = unreadable(0);
    let result = fails(&never, MODULE, &bind([entry]), "ap.no_matching_queue");
    assert!(warned(&result, "ap.attribute_unreadable"), "{result}");
    assert_eq!((&result["inspected"], held(&never)), (&json!(["00.0005"]), NOTHING));
}
