//! Every scenario of `scenarios.yaml` under the settings of every switch: the code that is promised, nothing lost,
//! nothing claimed that the simulated hardware does not know of, and the same end once the fault is gone.

mod case;
mod settings;
mod tasks;
mod truth;

use anyhow::{Context, Result, ensure};
use case::Case;
use e2e::Guest;
use serde_json::Value;
use settings::Setting;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use tasks::World;
use truth::Truth;

/// Guests wait more than they work.
const AT_ONCE: usize = 24;

#[test]
fn every_scenario_ends_as_promised_under_every_switch() {
    const NAME: &str = "every_scenario_ends_as_promised_under_every_switch";
    if !e2e::can_simulate(NAME) {
        return;
    }
    let only = std::env::var("SEGUEST_SCENARIO").ok();
    let cases = case::all().unwrap();
    let chosen = |case: &&Case| only.as_ref().is_none_or(|start| case.id.starts_with(start));
    let runs: Vec<_> = cases
        .iter()
        .enumerate()
        .filter(|(_, case)| chosen(case))
        .flat_map(|(at, case)| settings::of(at, case).into_iter().map(move |s| (case, s)))
        .collect();
    let (next, failures) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            // A guest ends with the thread that started it, so each thread runs its guests to their end.
            scope.spawn(|| {
                while let Some((case, setting)) = runs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if let Err(error) = run(case, setting) {
                        failures.lock().unwrap().push(format!("{} under {setting}: {error:#}", case.id));
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().unwrap();
    assert!(failures.is_empty(), "{} of {}:\n{}", failures.len(), runs.len(), failures.join("\n"));
    assert!(only.is_some() || runs.len() >= cases.len(), "only {} runs", runs.len());
}

/// One case under one setting, from the boot to the second run without a change.
fn run(case: &Case, setting: &Setting) -> Result<()> {
    let world = World::start(case, setting)?;
    let guest = &world.guest;
    lay(guest, case)?;
    check_mode(&world, case).context("in check mode")?;
    lay(guest, case)?;

    let before = Truth::of(guest)?;
    let result = world.task(case, false)?;
    let after = Truth::of(guest)?;
    match &result {
        None => ensure!(case.killed, "it was killed"),
        Some(result) => {
            ensure!(!case.killed, "it was not killed: {result}");
            expected(case, setting, result)?;
            after.bears_out(result, false)?;
            after.accounts_for(&before, result, case.unheard)?;
        }
    }
    after.has_lost_nothing_since(&before)?;

    world.heal(case)?;
    let healed = Truth::of(guest)?;
    let result = world.goal(case).context("once the fault is gone")?;
    let after = Truth::of(guest)?;
    after.bears_out(&result, false).context("once the fault is gone")?;
    after.has_lost_nothing_since(&healed).context("once the fault is gone")?;
    world.is_reached(case, &after).with_context(|| format!("once the fault is gone: {result}"))?;

    let again = world.goal(case).context("at the second run")?;
    ensure!(again["changed"] == false, "the second run changed something: {again}");
    ensure!(Truth::of(guest)? == after, "the second run says that it changed nothing, but did: {again}");
    Ok(())
}

/// Nothing is changed, whatever goes wrong.
fn check_mode(world: &World, case: &Case) -> Result<()> {
    let (before, effects) = (Truth::of(&world.guest)?, truth::effects(&world.guest)?);
    let result = world.task(case, true)?;
    let after = Truth::of(&world.guest)?;
    ensure!(after == before, "it changed {before:?} to {after:?} and said {result:?}");
    ensure!(truth::effects(&world.guest)? == effects, "it did more than ask, and said {result:?}");
    result.map_or(Ok(()), |result| after.bears_out(&result, true))
}

/// Lays what the case is about over the guest; faults count from now.
fn lay(guest: &Guest, case: &Case) -> Result<()> {
    guest.set("clear_faults: true")?;
    case.set.as_ref().map_or(Ok(()), |fragment| guest.set(&fragment.to_string()))
}

/// The result has the code that the case promises under the setting, and its warning.
fn expected(case: &Case, setting: &Setting, result: &Value) -> Result<()> {
    let code = |fault: &Value| fault["code"].as_str().map(str::to_owned);
    let facts = &result["ansible_facts"]["ansible_secure_execution"];
    let found = if facts.is_null() { code(&result["error"]) } else { code(&facts["problems"][0]) };
    let promised = case.codes(setting);
    ensure!(promised.contains(&found), "{promised:?} is promised, and it said {found:?}: {result}");
    ensure!((result["failed"] == true) == result["error"]["code"].is_string(), "failed without a code: {result}");
    let warned = case.warns.as_ref().is_none_or(|code| crate::support::warned(result, code));
    ensure!(warned, "no warning {:?}: {result}", case.warns);
    Ok(())
}
