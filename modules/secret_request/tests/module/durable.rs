//! In which order a run makes its files durable, seen by tracing the built module.

use crate::order::{Rules, check};
use crate::world::World;
use file_trace::{Act, Call, Conditions, Trace, Unavailable};
use serde_json::{Value, json};
use std::fs::{self, File};
use std::path::PathBuf;
use std::process::Stdio;

/// Runs the module traced; what it answered is there unless it was killed. `None` where nothing can be traced.
pub fn traced(world: &World, options: &Value, decide: impl FnMut(usize, &Call) -> Act) -> Option<(Trace, Value)> {
    traced_under(&Conditions::default(), world, options, decide)
}

/// The same under other conditions.
pub fn traced_under(
    conditions: &Conditions,
    world: &World,
    options: &Value,
    decide: impl FnMut(usize, &Call) -> Act,
) -> Option<(Trace, Value)> {
    let folder = tempfile::tempdir().unwrap();
    let (arguments, answer) = (folder.path().join("arguments"), folder.path().join("answer"));
    fs::write(&arguments, options.to_string()).unwrap();
    let mut command = world.command();
    command.arg(&arguments).stdin(Stdio::null()).stdout(File::create(&answer).unwrap());
    match file_trace::run_under(conditions, &mut command, &world.root(), decide).unwrap() {
        Ok(trace) => Some((trace, serde_json::from_slice(&fs::read(answer).unwrap()).unwrap_or_default())),
        Err(Unavailable(why)) => {
            println!("skipped: tracing of what secret_request does to files: {why}");
            None
        }
    }
}

/// The calls of an undisturbed run.
fn calls(world: &World, options: &Value) -> Option<Vec<Call>> {
    let (trace, answer) = traced(world, options, |_, _| Act::Go)?;
    assert!(answer["changed"] == true && trace.exit == Some(0), "{answer}");
    // That a folder cannot be made tells that the one above it is missing.
    let done = trace.events.into_iter().filter(|event| {
        assert!(event.answer.is_ok() || matches!(event.call, Call::MakeFolder(_)), "{event:?}");
        event.answer.is_ok()
    });
    Some(done.map(|event| event.call).collect())
}

/// Whether two calls may change places without harm: what begins another file gives nothing its name.
fn may_swap(one: &Call, other: &Call) -> bool {
    let attribute = |call: &Call| matches!(call, Call::Write(_) | Call::Mode(_) | Call::Owner(_));
    if one.path() == other.path() {
        return attribute(one) && attribute(other);
    }
    matches!(one, Call::Sync(_) | Call::Remove(_)) && matches!(other, Call::Create(_) | Call::MakeFolder(_))
}

/// The calls follow the rules, and no longer do if one sync is left out or two of them change places.
fn assert_order(calls: &[Call], rules: &Rules) {
    assert_eq!(check(calls, rules), Ok(()), "{calls:#?}");
    let mut syncs = 0;
    for at in 0..calls.len() {
        if matches!(calls[at], Call::Sync(_) | Call::Mode(_) | Call::Write(_)) {
            let mut without = calls.to_vec();
            without.remove(at);
            assert!(check(&without, rules).is_err(), "without call {at}, {:?}, of {calls:#?}", calls[at]);
            syncs += usize::from(matches!(calls[at], Call::Sync(_)));
        }
        if at + 1 < calls.len() && !may_swap(&calls[at], &calls[at + 1]) {
            let mut swapped = calls.to_vec();
            swapped.swap(at, at + 1);
            assert!(check(&swapped, rules).is_err(), "calls {at} and {} swapped of {calls:#?}", at + 1);
        }
    }
    assert!(syncs >= 4, "{calls:#?}");
}

#[test]
fn each_file_is_durable_before_the_next_gets_its_name() {
    let world = World::new();
    let path = |name: &str| -> PathBuf { world.root().join(name) };
    let files = ["secret", "state/seguest-pv/manifest.key", "request.manifest.json", "request", "my_secret.yaml"];
    let files = files.map(path);
    let [secret, key, manifest, request, id_file] = &files;
    let first: Vec<_> = files.windows(2).map(|pair| (pair[0].as_path(), pair[1].as_path())).collect();
    let kept = vec![secret.as_path(), key.as_path()];
    let Some(made) = calls(&world, &world.options("request", json!({}))) else { return };
    assert_order(&made, &Rules { before: first, kept: kept.clone() });

    // Made again with a backup and an id file elsewhere: the secret is not touched.
    let moved = path("moved.yaml");
    let options = json!({"flags": ["disable_dump"], "backup": true, "id_file": moved, "owner": "0", "mode": "0640"});
    let options =
        if is_root() { options } else { json!({"flags": ["disable_dump"], "backup": true, "id_file": moved}) };
    let again = calls(&world, &world.options("request", options)).unwrap();
    let before = vec![(manifest.as_path(), request.as_path()), (request.as_path(), moved.as_path())];
    assert_order(&again, &Rules { before, kept });
    assert!(again.iter().all(|call| call.path() != secret && call.second() != Some(secret)));
    assert!(again.iter().any(|call| matches!(call, Call::Link(from, _) if from == request)), "no backup");
    assert!(id_file.exists() && moved.exists());
}

fn is_root() -> bool {
    std::os::unix::fs::MetadataExt::uid(&fs::metadata("/proc/self").unwrap()) == 0
}

#[test]
fn the_order_holds_for_each_of_several_requests_that_are_built_at_once() {
    let world = World::new();
    let paths: Vec<_> = (0..6).map(|at| world.root().join(format!("request{at}"))).collect();
    let requests: Vec<_> = paths.iter().map(|path| json!({ "path": path })).collect();
    let mut options = world.options("", json!({ "requests": requests }));
    options["path"] = json!(null);
    let Some(made) = calls(&world, &options) else { return };
    let secret = world.root().join("secret");
    let manifests: Vec<_> = paths.iter().map(|path| path.with_extension("manifest.json")).collect();
    let before = manifests.iter().zip(&paths).flat_map(|(m, p)| [(secret.as_path(), m.as_path()), (m, p)]).collect();
    assert_order(&made, &Rules { before, kept: vec![&secret] });
}
