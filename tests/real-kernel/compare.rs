//! The same steps on a real kernel and in a simulated guest: where they differ, the simulator is wrong until shown otherwise.

use crate::booted;
use crate::scenario::Run;
use serde_json::Value;

/// What of a result is of the moment and not of the steps.
const OF_THE_MOMENT: [&str; 2] = ["boot_id", "gathered_at"];

/// What differs rightly, by step, with the reason: the measurement is over a fresh id of the store's hash and so on.
fn forget(value: &mut Value) {
    match value {
        Value::Object(map) => {
            OF_THE_MOMENT.iter().for_each(|key| drop(map.remove(*key)));
            map.values_mut().for_each(forget);
        }
        Value::Array(list) => list.iter_mut().for_each(forget),
        _ => {}
    }
}

/// Every place at which two values differ, with both.
fn differences(path: &str, real: &Value, simulated: &Value, found: &mut Vec<String>) {
    match (real, simulated) {
        (Value::Object(one), Value::Object(other)) => {
            for key in one.keys().chain(other.keys().filter(|key| !one.contains_key(*key))) {
                let of = |map: &serde_json::Map<String, Value>| map.get(key).cloned().unwrap_or(Value::Null);
                differences(&format!("{path}.{key}"), &of(one), &of(other), found);
            }
        }
        (Value::Array(one), Value::Array(other)) if one.len() == other.len() => {
            for (at, (one, other)) in one.iter().zip(other).enumerate() {
                differences(&format!("{path}[{at}]"), one, other, found);
            }
        }
        _ if real == simulated => {}
        _ => found.push(format!("{path}: real {real}, simulated {simulated}")),
    }
}

fn the_simulator_says_the_same(run: &Run) {
    let mut found = Vec::new();
    for ((name, _), (real, simulated)) in run.steps.iter().zip(run.real.iter().zip(&run.simulated)) {
        let (mut one, mut other) = (real.said.clone(), simulated.said.clone());
        forget(&mut one);
        forget(&mut other);
        differences(name, &one, &other, &mut found);
        if real.code != simulated.code {
            found.push(format!("{name}: real exit code {}, simulated {}", real.code, simulated.code));
        }
    }
    assert!(found.is_empty(), "{} differences:\n{}", found.len(), found.join("\n"));
}

#[test]
fn the_simulated_guest_says_what_kernel_6_12_says() {
    if let Some(run) = booted("6.12") {
        the_simulator_says_the_same(run);
    }
}

#[test]
fn the_simulated_guest_says_what_kernel_7_2_says() {
    if let Some(run) = booted("7.2") {
        the_simulator_says_the_same(run);
    }
}
