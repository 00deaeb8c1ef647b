//! What `ap_bind` releases and what it keeps: only what is certain is taken away.

use crate::queues::*;
use crate::support::*;
use serde_json::{Value, json};

fn unbound<const N: usize>(entries: [Value; N]) -> Value {
    let mut arguments = bind(entries);
    arguments["state"] = "unbound".into();
    arguments
}

fn exclusive<const N: usize>(entries: [Value; N]) -> Value {
    let mut arguments = bind(entries);
    arguments["exclusive"] = true.into();
    arguments
}

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
