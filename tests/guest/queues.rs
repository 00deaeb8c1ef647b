//! Crypto queues: the cards that the tests use, entries for them, and what became of them.

use crate::support::{guest, with_secrets};
use e2e::Guest;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

pub use e2e::cards::{CARDS, KEY_A, KEY_B};

pub const MODULE: &str = "ap_bind";
pub const SERIAL: &str = "93AADFK719460083";
/// The key of no queue.
pub const KEY_C: &str = "cccccccccccccccccccccccccccccccc";

/// No queue, nothing written.
pub const NOTHING: Vec<String> = Vec::new();

/// A guest with the cards and these secrets, over which a fragment is laid.
pub fn guest_with(secrets: &[&str], fragment: &str) -> Guest {
    let guest = guest(CARDS);
    with_secrets(&guest, secrets);
    guest.set(fragment).unwrap();
    guest
}

/// An entry for an EP11 queue with this key, to be associated with the secret of this name.
pub fn ep11(name: &str, mkvp: &str) -> Value {
    json!({"name": name, "mode": "ep11", "mkvp": mkvp})
}

/// The same with the first key, for this queue and no other.
pub fn at(name: &str, apqn: &str) -> Value {
    with(ep11(name, KEY_A), "apqn", apqn)
}

/// An entry for an accelerator.
pub fn accel() -> Value {
    json!({"mode": "accel"})
}

/// Arguments that ask for these entries.
pub fn bind<const N: usize>(entries: [Value; N]) -> Value {
    json!({"entries": Vec::from(entries), "_ansible_diff": true})
}

/// The same, and that all else is released.
pub fn exclusive<const N: usize>(entries: [Value; N]) -> Value {
    with(bind(entries), "exclusive", true)
}

/// Arguments that ask to release what serves these entries.
pub fn unbound<const N: usize>(entries: [Value; N]) -> Value {
    with(bind(entries), "state", "unbound")
}

/// An entry, or arguments, with one thing more or another one.
pub fn with(mut what: Value, option: &str, value: impl Into<Value>) -> Value {
    what[option] = value.into();
    what
}

/// What each queue is in: `unbound`, `bound`, `associated 1` and what else the simulator knows.
pub fn states(guest: &Guest) -> BTreeMap<String, String> {
    let state = guest.state().unwrap();
    let queues = state["queues"].as_array().unwrap().iter();
    let state_of = |queue: &Value| match &queue["index"] {
        Value::Null => queue["state"].as_str().unwrap().to_owned(),
        index => format!("{} {index}", queue["state"].as_str().unwrap()),
    };
    queues.map(|queue| (queue["apqn"].as_str().unwrap().to_owned(), state_of(queue))).collect()
}

/// The queues that are not free. A queue that is being reset reads as free already: the reset is waited for.
pub fn held(guest: &Guest) -> Vec<String> {
    settled(guest, "a reset does not end", |states| !states.values().any(|state| state.starts_with("resetting")))
        .into_iter()
        .filter(|(_, state)| state != "unbound")
        .map(|(apqn, _)| apqn)
        .collect()
}

/// What was written to queues so far: `00.0005/se_bind 1`.
pub fn writes(guest: &Guest) -> Vec<String> {
    let log = guest.log().unwrap();
    let writes = log.iter().filter(|event| event["what"] == "write");
    let told = |event: &Value| {
        let path = event["name"].as_str().unwrap();
        format!("{} {}", path.split_at(path.rfind("card").unwrap() + 7).1, event["value"].as_str().unwrap())
    };
    writes.map(told).collect()
}

/// What the diff is about.
pub fn diffed(result: &Value) -> Vec<String> {
    let diff = result["diff"].as_array().unwrap();
    diff.iter().map(|one| one["before_header"].as_str().unwrap().to_owned()).collect()
}

/// Waits until a queue is in a state.
pub fn until(guest: &Guest, apqn: &str, state: &str) {
    settled(guest, &format!("{apqn} is not {state}"), |states| states[apqn] == state);
}

/// Waits until the queues are as it is asked for, and returns what they are in then. `otherwise` is what is wrong where
/// that does not happen.
pub fn settled(
    guest: &Guest,
    otherwise: &str,
    is_so: impl Fn(&BTreeMap<String, String>) -> bool,
) -> BTreeMap<String, String> {
    eventually(|| Some(states(guest)).filter(&is_so), || format!("{otherwise}: {:?}", states(guest)))
}

/// Asks until there is an answer; fails where there is none after so long that none will come.
pub fn eventually<T>(mut answer: impl FnMut() -> Option<T>, otherwise: impl Fn() -> String) -> T {
    let started = Instant::now();
    loop {
        if let Some(answer) = answer() {
            return answer;
        }
        assert!(started.elapsed() < Duration::from_secs(30), "{}", otherwise());
        std::thread::sleep(Duration::from_millis(2));
    }
}
