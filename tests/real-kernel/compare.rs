//! The same steps on a real kernel and in a simulated guest: where they differ, the simulator is wrong until shown otherwise.

use crate::cases::{self, Case, Given};
use crate::scenario::{CUID, FURTHER, Further, kernel_of};
use crate::{again_if_it_hangs, booted, laboratory, new_folder};
use anyhow::{Context, Result};
use e2e::lab::{Lab, Outcome, Step, simulate};
use e2e::{Guest, World};
use serde_json::{Value, json};

/// What of a result is of the moment and not of the steps. `content` of an answer to an attestation request is a measurement of,
/// among others, a boot id that the guest vouches for; `evidence.rs` looks at it.
const OF_THE_MOMENT: [&str; 4] = ["boot_id", "gathered_at", "content", "duration_ms"];

/// Errors as musl, which is in what ships, and glibc call them.
const ERRORS: [(&str, &str); 1] = [("I/O error (os error 5)", "Input/output error (os error 5)")];

fn forget(value: &mut Value) {
    match value {
        Value::String(text) => {
            for (musl, glibc) in ERRORS {
                *text = text.replace(glibc, musl);
            }
        }
        Value::Object(map) => {
            OF_THE_MOMENT.iter().for_each(|key| drop(map.remove(*key)));
            // Claims are a text of their own.
            if let Some(claims) =
                map.get("claims").and_then(Value::as_str).and_then(|text| serde_json::from_str(text).ok())
            {
                map.insert("claims".into(), claims);
            }
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

fn the_simulator_says_the_same(steps: &[(&str, Step)], real: &[Outcome], simulated: &[Outcome]) {
    let found = compared(steps, real, simulated);
    assert!(found.is_empty(), "{} differences:\n{}", found.len(), found.join("\n"));
}

/// Of the state of a machine what both kinds of it tell.
fn common(state: &Value) -> Value {
    let queue = |queue: &Value| json!([queue["apqn"], queue["state"], queue["index"]]);
    let queues: Vec<_> = state["queues"].as_array().into_iter().flatten().map(queue).collect();
    json!({"locked": state["locked"], "secrets": state["secrets"], "accepted": state["accepted"], "queues": queues})
}

/// The differences of all steps.
fn compared<N: AsRef<str>>(steps: &[(N, Step)], real: &[Outcome], simulated: &[Outcome]) -> Vec<String> {
    let mut found = Vec::new();
    for ((name, step), (real, simulated)) in steps.iter().zip(real.iter().zip(simulated)) {
        let name = name.as_ref();
        let (mut one, mut other) = match step {
            Step::State => (common(&real.said), common(&simulated.said)),
            _ => (real.said.clone(), simulated.said.clone()),
        };
        forget(&mut one);
        forget(&mut other);
        differences(name, &one, &other, &mut found);
        if real.code != simulated.code {
            found.push(format!("{name}: real exit code {}, simulated {}", real.code, simulated.code));
        }
    }
    found
}

/// The usual steps, in the boot that other tests look at, too.
pub fn the_simulator_says_the_same_of_the_usual_steps(kernel: &str) {
    if let Some(run) = booted(kernel) {
        the_simulator_says_the_same(&run.steps, &run.real, &run.simulated);
    }
}

#[test]
fn the_simulated_guest_says_what_kernel_6_12_says() {
    the_simulator_says_the_same_of_the_usual_steps("6.12");
}

#[test]
fn the_simulated_guest_says_what_kernel_7_2_says() {
    the_simulator_says_the_same_of_the_usual_steps("7.2");
}

/// The further scenarios, each in a boot of its own.
fn the_simulator_says_the_same_of_further_scenarios(kernel: &str) {
    let Some(lab) = laboratory(kernel) else { return };
    let mut found = Vec::new();
    for (name, scenario) in FURTHER {
        println!("{name}");
        let further = again_if_it_hangs(kernel, || Further::make(&lab, kernel, scenario)).expect(name);
        let differences = compared(&further.steps, &further.real, &further.simulated);
        found.extend(differences.into_iter().map(|difference| format!("{name}: {difference}")));
    }
    assert!(found.is_empty(), "{} differences:\n{}", found.len(), found.join("\n"));
}

#[test]
fn the_simulated_guest_says_what_kernel_6_12_says_where_things_take_time_or_fail() {
    the_simulator_says_the_same_of_further_scenarios("6.12");
}

#[test]
fn the_simulated_guest_says_what_kernel_7_2_says_where_things_take_time_or_fail() {
    the_simulator_says_the_same_of_further_scenarios("7.2");
}

/// Cases that are within reach, in one boot, and at the same time in a simulated guest: those whose names begin with one of the words
/// in `SEGUEST_SCENARIO`; an empty one chooses all. Without it, nothing is run: a bus scan that comes while
/// a queue is in error takes the queue away, and nothing outside the kernel keeps it from coming. Cases that differ are run again
/// in a boot of their own, in which it comes at another time, but that is not certain enough for every `cargo xtask test`.
fn the_cases_of_the_simulator_end_alike(kernel: &str) -> Result<()> {
    let Some(lab) = laboratory(kernel) else { return Ok(()) };
    let Ok(starts) = std::env::var("SEGUEST_SCENARIO") else {
        println!(
            "skipped: the cases of the simulator were not compared with kernel {kernel}: cargo xtask lab does that"
        );
        return Ok(());
    };
    let all = cases::all()?;
    let (left, mut within): (Vec<_>, Vec<_>) = all.iter().partition(|case| case.out_of_reach().is_some());
    assert!(within.len() >= 100, "only {} cases", within.len());
    within.retain(|case| starts.split(',').any(|start| case.id.starts_with(start)));
    println!("{} cases in one boot, {} are out of reach", within.len(), left.len());
    let mut found = again_if_it_hangs(kernel, || differences_of(&lab, kernel, &within))?;
    if !found.is_empty() {
        println!("once more, because a bus scan may have come in between: {}", found.join("\n"));
        within.retain(|case| found.iter().any(|difference| difference.starts_with(&format!("{}: ", case.id))));
        found = again_if_it_hangs(kernel, || differences_of(&lab, kernel, &within))?;
    }
    assert!(found.is_empty(), "{} differences:\n{}", found.len(), found.join("\n"));
    Ok(())
}

/// The differences of these cases, run in one boot and in a simulated guest.
fn differences_of(lab: &Lab, kernel: &str, cases: &[&Case]) -> Result<Vec<String>> {
    let world = World::new(&new_folder(), &["m1", "m2"])?;
    let given = Given::new(&world)?;
    let steps: Vec<_> = cases.iter().flat_map(|case| case.steps(&given)).collect();
    let plain: Vec<_> = steps.iter().map(|(_, step)| step.clone()).collect();
    let scenario = format!("ultravisor: {{cuid: \"{CUID}\"}}\n{}", e2e::cards::CARDS);
    let machine = Guest::start_machine(&world, "real", "m1", cases::IMAGE, &scenario)?;
    // Both kernels ask a queue at once whether it is bound, and say EIO if not.
    let simulated = format!("{}\nswitches: {{slow_bind_is_eio: true}}\n{scenario}", kernel_of(kernel));
    let (real, simulated) = std::thread::scope(|scope| {
        let simulated = scope.spawn(|| simulate(&world, "simulated", "m1", cases::IMAGE, &simulated, &plain));
        let real = lab.run(kernel, &machine, &plain)?;
        anyhow::Ok((real, simulated.join().ok().context("the simulated guest's thread ended")??))
    })?;
    Ok(compared(&steps, &real, &simulated))
}

#[test]
fn the_cases_of_the_simulator_end_alike_on_kernel_6_12() -> Result<()> {
    the_cases_of_the_simulator_end_alike("6.12")
}

#[test]
fn the_cases_of_the_simulator_end_alike_on_kernel_7_2() -> Result<()> {
    the_cases_of_the_simulator_end_alike("7.2")
}
