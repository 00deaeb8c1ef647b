//! What the programs must do on a real kernel, by what they say and by what the machine behind the kernel holds then.

use crate::booted;
use crate::scenario::Run;
use serde_json::{Value, json};

fn changed(run: &Run, step: &str) -> bool {
    let outcome = run.of(step);
    assert_eq!(outcome.code, 0, "{step}: {}", outcome.said);
    outcome.said["changed"] == true
}

fn refused(run: &Run, step: &str) -> Value {
    let outcome = run.of(step);
    assert_eq!((outcome.code, &outcome.said["failed"]), (1, &json!(true)), "{step}: {}", outcome.said);
    outcome.said["error"]["code"].clone()
}

pub fn secrets_come_in_once_and_the_lock_holds(kernel: &str) {
    let Some(run) = booted(kernel) else { return };
    assert_eq!(refused(run, "lock, too early"), "uv.lock_guard");
    for (step, expected) in [
        ("add, in check mode", true),
        ("add", true),
        ("add, again", false),
        ("lock, in check mode", true),
        ("lock", true),
        ("lock, again", false),
    ] {
        assert_eq!(changed(run, step), expected, "{step}: {}", run.of(step).said);
    }
    assert_eq!(refused(run, "add, too late"), "uv.store_locked");
    assert_eq!(run.state["locked"], true);
    let types: Vec<_> = run.state["secrets"].as_array().unwrap().iter().map(|secret| secret["type"].clone()).collect();
    assert_eq!(types, [2, 2, 3]);
}

pub fn queues_are_served_once_released_and_served_again(kernel: &str) {
    let Some(run) = booted(kernel) else { return };
    for (step, expected) in [
        ("bind, in check mode", true),
        ("bind", true),
        ("bind, again", false),
        ("release", true),
        ("release, again", false),
        ("whole", true),
        ("whole, again", false),
    ] {
        assert_eq!(changed(run, step), expected, "{step}: {}", run.of(step).said);
    }
    let state =
        |state: &str| run.state["queues"].as_array().unwrap().iter().filter(|queue| queue["state"] == state).count();
    assert_eq!((state("associated"), state("bound"), state("unbound")), (2, 1, 2), "{}", run.state);
    assert!(run.of("bound mkvps").said.as_str().unwrap().contains("WK CUR: valid 0x"), "{:?}", run.of("bound mkvps"));
    assert_eq!(run.of("bound serialnr").said, "93AADFK719460083");
}

#[test]
fn on_kernel_6_12_secrets_come_in_once_and_the_lock_holds() {
    secrets_come_in_once_and_the_lock_holds("6.12");
}

#[test]
fn on_kernel_7_2_secrets_come_in_once_and_the_lock_holds() {
    secrets_come_in_once_and_the_lock_holds("7.2");
}

#[test]
fn on_kernel_6_12_queues_are_served_once_released_and_served_again() {
    queues_are_served_once_released_and_served_again("6.12");
}

#[test]
fn on_kernel_7_2_queues_are_served_once_released_and_served_again() {
    queues_are_served_once_released_and_served_again("7.2");
}

/// Linux 6.12 has no such call.
#[test]
fn kernel_6_12_retrieves_nothing_and_the_program_says_so() {
    let Some(run) = booted("6.12") else { return };
    assert_eq!(refused(run, "retrieve"), "uv.retrieve_unsupported", "{}", run.of("retrieve").said);
}

#[test]
fn kernel_7_2_retrieves_a_secret() {
    let Some(run) = booted("7.2") else { return };
    assert!(changed(run, "retrieve"));
}
