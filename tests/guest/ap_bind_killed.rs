//! Runs of `ap_bind` that are killed at every single step, of the journal as well as of the queues.

use crate::queues::*;
use crate::support::*;
use e2e::Guest;
use file_trace::{Act, Call, Trace};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};

/// What is there before the run that is killed, and what that run is to do.
struct Case {
    name: &'static str,
    before: Value,
    run: Value,
}

fn at(name: &str, apqn: &str) -> Value {
    let mut entry = ep11(name, KEY_A);
    entry["apqn"] = apqn.into();
    entry
}

fn with(mut arguments: Value, option: &str, value: impl Into<Value>) -> Value {
    arguments[option] = value.into();
    arguments
}

fn cases() -> Vec<Case> {
    let both = bind([ep11("a", KEY_A), ep11("b", KEY_B), accel()]);
    let others = bind([at("old", "02.0005"), json!({"mode": "accel", "apqn": "01.0006"})]);
    let places = bind([at("a", "02.0005"), at("b", "00.0005")]);
    let all = json!({"state": "unbound", "all": true});
    let accelerator = json!({"mode": "accel", "apqn": "01.0005"});
    let case = |name, before: &Value, run: Value| Case { name, before: before.clone(), run };
    vec![
        case("bind", &all, both.clone()),
        case("release entries", &both, with(both.clone(), "state", "unbound")),
        case("release all", &both, all.clone()),
        case("exclusive", &others, with(bind([at("a", "02.0005"), accelerator]), "exclusive", true)),
        case("move", &bind([at("a", "02.0005")]), with(bind([ep11("a", KEY_A)]), "rebalance", true)),
        case("change places", &places, with(bind([ep11("a", KEY_A), ep11("b", KEY_A)]), "rebalance", true)),
    ]
}

fn start(case: &Case) -> Guest {
    let guest = guest_with(&["old", "a", "b"], "");
    ok(&guest, MODULE, &case.before);
    guest
}

/// Runs the module and asks before each write to an attribute, and each step of a record. `None` if nothing can be
/// traced here.
fn traced(guest: &Guest, arguments: &Value, decide: impl Fn(usize, &Call) -> Act + Send) -> Option<Trace> {
    let arguments = file(arguments.to_string().as_bytes());
    let mut command = Command::new(binary("guest-sim"));
    command.arg("enter").arg("--dir").arg(guest.dir()).arg("--").arg(binary(MODULE)).arg(arguments);
    command.stdin(Stdio::null()).stdout(Stdio::null());
    // It waits for whatever its thread has started, and the guest would never end.
    let run = || file_trace::run(&mut command, Path::new("/"), decide).unwrap();
    match std::thread::scope(|scope| scope.spawn(run).join().unwrap()) {
        Ok(trace) => Some(trace),
        Err(why) => {
            eprintln!("skipped: {why:?}");
            None
        }
    }
}

/// What each queue is in, once nothing moves any more.
fn end(guest: &Guest) -> BTreeMap<String, String> {
    let moving = |state: &String| ["binding", "associating", "resetting"].contains(&state.as_str());
    while states(guest).values().any(moving) {
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    states(guest)
}

#[test]
fn killed_at_any_step_of_journal_or_queue_a_run_ends_the_same_with_the_next() {
    if !e2e::can_simulate("killed_at_any_step_of_journal_or_queue_a_run_ends_the_same_with_the_next") {
        return;
    }
    std::thread::scope(|scope| {
        for case in cases() {
            scope.spawn(move || {
                let guest = start(&case);
                let Some(trace) = traced(&guest, &case.run, |_, _| Act::Go) else { return };
                assert_eq!(trace.exit, Some(0), "{}", case.name);
                let (steps, expected) = (trace.events.len(), end(&guest));
                assert!(steps > 10, "{}: {steps}", case.name);
                // Where a record ends is before what comes next; what a queue does goes on.
                let acts = |step: usize| {
                    let of_queue = trace.events[step].call.path().starts_with("/sys");
                    [Some((step, Act::KillBefore)), of_queue.then_some((step, Act::KillAfter))]
                };
                for (step, act) in (0..steps).flat_map(acts).flatten() {
                    let place = format!("{}, {act:?} {step}", case.name);
                    let guest = start(&case);
                    // Threads may take fewer steps than they did the first time.
                    let killed = traced(&guest, &case.run, |at, _| if at == step { act } else { Act::Go }).unwrap();
                    assert!(killed.exit.is_none() || step + 4 > steps, "{place}: {killed:?}");
                    end(&guest);
                    let next = ok(&guest, MODULE, &case.run);
                    assert_eq!(end(&guest), expected, "{place}: {next}");
                    let before = writes(&guest);
                    let settled = ok(&guest, MODULE, &case.run);
                    assert_eq!((&settled["changed"], settled.get("warnings")), (&json!(false), None), "{place}");
                    // To know what is better, free queues are looked at.
                    assert!(writes(&guest) == before || case.run["rebalance"] == true, "{place}: {settled}");
                }
            });
        }
    });
}
