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
        case("exclusive", &others, exclusive([at("a", "02.0005"), accelerator])),
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
fn traced(guest: &Guest, arguments: &Value, mut decide: impl FnMut(&Call) -> Act + Send) -> Option<Trace> {
    let arguments = file(arguments.to_string().as_bytes());
    let mut command = Command::new(binary("guest-sim"));
    command.arg("enter").arg("--dir").arg(guest.dir()).arg("--").arg(binary(MODULE)).arg(arguments);
    command.stdin(Stdio::null()).stdout(Stdio::null());
    // It waits for whatever its thread has started, and the guest would never end.
    let run = || file_trace::run(&mut command, Path::new("/"), |_, call| decide(call)).unwrap();
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
    // A queue that is being reset may still be told with the index that it had.
    let moving = |state: &String| ["binding", "associating", "resetting"].iter().any(|word| state.starts_with(word));
    settled(guest, "a queue does not come to rest", |states| !states.values().any(moving))
}

/// What a step does, in words that are the same in every run: the names of new files have the number of the process.
fn told(call: &Call) -> String {
    let text = format!("{call:?}");
    if is_of_queue(call) { text } else { text.replace(|letter: char| letter.is_ascii_digit(), "") }
}

fn is_of_queue(call: &Call) -> bool {
    call.path().starts_with("/sys")
}

/// The steps of a run, each with how many like it there were up to then. Those that were refused are left out: how
/// often a busy queue is written to in vain is another number each time.
fn steps(trace: &Trace) -> Vec<(&Call, usize)> {
    let mut seen = BTreeMap::new();
    let mut count = |call| *seen.entry(told(call)).and_modify(|count| *count += 1).or_insert(1);
    trace.events.iter().filter(|event| event.answer.is_ok()).map(|event| (&event.call, count(&event.call))).collect()
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
                let Some(trace) = traced(&guest, &case.run, |_| Act::Go) else { return };
                assert_eq!(trace.exit, Some(0), "{}", case.name);
                let (steps, expected) = (steps(&trace), end(&guest));
                assert!(steps.len() > 10, "{}: {steps:?}", case.name);
                // Where a record ends is before what comes next; what a queue does goes on.
                let acts = |step: (_, usize)| {
                    [Some((step, Act::KillBefore)), is_of_queue(step.0).then_some((step, Act::KillAfter))]
                };
                for ((call, nth), act) in steps.into_iter().flat_map(acts).flatten() {
                    let (what, mut seen) = (told(call), 0);
                    let place = format!("{}, {act:?} {what}, {nth}", case.name);
                    let guest = start(&case);
                    let decide = |call: &Call| {
                        let is_alike = told(call) == what;
                        seen += usize::from(is_alike);
                        if is_alike && seen == nth { act } else { Act::Go }
                    };
                    let killed = traced(&guest, &case.run, decide).unwrap();
                    // Threads that meet write one record where they wrote two the first time. Nothing else varies.
                    let may_lack = nth > 1 && !is_of_queue(call);
                    assert!(killed.exit.is_none() || may_lack, "{place}: {killed:?}");
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
