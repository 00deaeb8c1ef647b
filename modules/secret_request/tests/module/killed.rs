//! Runs that are killed, or answered with an error, at every single step.

use crate::durable::{traced, traced_under};
use crate::world::{World, code};
use file_trace::{Act, Call, Conditions};
use nix::errno::Errno;
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

/// What is made before the run that is killed, and what that run is to do.
struct Case {
    name: &'static str,
    before: Vec<Value>,
    run: Value,
}

fn cases(world: &World) -> Vec<Case> {
    let first = json!({});
    let moved = json!({"id_file": world.root().join("moved.yaml")});
    let case = |name, before: &[&Value], run: Value| Case {
        name,
        before: before.iter().map(|more| world.options("request", (*more).clone())).collect(),
        run: world.options("request", run),
    };
    vec![
        case("first creation", &[], first.clone()),
        case("another image", &[&first], json!({"image": world.text("other header")})),
        case("with backup", &[&first], json!({"flags": "disable_dump", "backup": true})),
        case("another secret", &[&first], json!({"secret_file": world.text("other secret"), "replace_secret": true})),
        case("id file moved", &[&first], moved),
        Case {
            name: "removed",
            before: vec![world.options("request", first)],
            run: json!({"path": world.text("request"), "state": "absent"}),
        },
    ]
}

/// The names of what is there, with backups under one name whatever the time, and the secret in the request.
fn state(world: &World) -> (Vec<String>, Option<Vec<u8>>) {
    let name = |path: &PathBuf| {
        let name = path.strip_prefix(world.root()).unwrap().to_str().unwrap().to_owned();
        if name.ends_with('~') { "backup".to_owned() } else { name }
    };
    let names = world.files().iter().map(|(path, ..)| name(path)).collect();
    let request = world.path("request");
    (names, request.exists().then(|| world.secret_in(&request)))
}

pub type Files = Vec<(PathBuf, u32, Vec<u8>)>;

/// Back to these files and no others.
pub fn reset(world: &World, files: &Files) {
    for (path, ..) in world.files() {
        fs::remove_file(path).unwrap();
    }
    if !files.iter().any(|(path, ..)| path.ends_with("manifest.key")) {
        let _ = fs::remove_dir_all(world.path("state"));
    }
    for (path, mode, content) in files {
        fs::write(path, content).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(*mode)).unwrap();
    }
}

/// The files before the run of a case.
fn prepare(world: &World, start: &Files, case: &Case) -> Files {
    reset(world, start);
    for options in &case.before {
        assert_eq!(world.run(options)["changed"], true, "{}", case.name);
    }
    world.files()
}

fn secret(path: &Path) -> Option<Vec<u8>> {
    fs::read(path).ok()
}

fn world() -> World {
    let world = World::new();
    fs::write(world.path("other header"), crate::world::header(0x52)).unwrap();
    world.private("other secret", &[9; 32]);
    world
}

#[test]
fn killed_before_or_after_any_step_a_run_is_completed_by_the_next() {
    let world = world();
    let start = world.files();
    let mut kills = 0;
    for case in cases(&world) {
        let before = prepare(&world, &start, &case);
        let Some((trace, _)) = traced(&world, &case.run, |_, _| Act::Go) else { return };
        let (steps, expected) = (trace.events.len(), state(&world).0);
        for (step, act) in (0..steps).flat_map(|step| [(step, Act::KillBefore), (step, Act::KillAfter)]) {
            let place = || format!("{}, {act:?} {step}: {:?}", case.name, trace.events[step].call);
            reset(&world, &before);
            let old = secret(&world.path("secret"));
            let run = traced(&world, &case.run, |at, _| if at == step { act } else { Act::Go }).unwrap().0;
            assert_eq!(run.exit, None, "{}", place());
            let kept = secret(&world.path("secret"));
            assert!(old.is_none() || old == kept, "{}", place());
            let next = world.run(&case.run);
            assert_ne!(next["failed"], true, "{}: {next}", place());
            assert!(kept.is_none() || kept == secret(&world.path("secret")), "{}", place());
            let (names, inside) = state(&world);
            assert_eq!(names, expected, "{}", place());
            let file = case.run["secret_file"].as_str().map(Path::new);
            assert_eq!(inside, file.filter(|_| case.name != "removed").and_then(secret), "{}", place());
            let settled = world.run(&case.run);
            assert_eq!(settled["changed"], false, "{}: {settled}", place());
            kills += 1;
        }
    }
    assert!(kills > 150, "{kills}");
}

/// Kills the first creation before and after each of its steps on a file system that lacks something, and runs it again there.
fn completed_where_it_lacks(no_locks: bool, links: bool) {
    let world = world();
    let start = world.files();
    let case = &cases(&world)[0];
    let conditions = Conditions { no_locks, ..Conditions::default() };
    let run = |mut kill: Option<(usize, Act)>| {
        let decide = |at: usize, call: &Call| match kill {
            Some((step, act)) if at == step => {
                kill = None;
                act
            }
            _ if links && matches!(call, Call::Link(..)) => Act::Fail(Errno::EPERM),
            _ => Act::Go,
        };
        traced_under(&conditions, &world, &case.run, decide)
    };
    let before = prepare(&world, &start, case);
    let Some((trace, told)) = run(None) else { return };
    assert_ne!(told["failed"], true, "{told}");
    let (steps, expected) = (trace.events.len(), state(&world).0);
    let mut left = 0;
    for (step, act) in (0..steps).flat_map(|step| [(step, Act::KillBefore), (step, Act::KillAfter)]) {
        let place = || format!("{act:?} {step}: {:?}", trace.events[step].call);
        // What fails anyway cannot be done.
        if links && act == Act::KillAfter && matches!(trace.events[step].call, Call::Link(..)) {
            continue;
        }
        reset(&world, &before);
        run(Some((step, act)));
        let kept = secret(&world.path("secret"));
        left += usize::from(state(&world).0.iter().any(|name| name.contains(".seguest-tmp")));
        let next = run(None).unwrap().1;
        assert_ne!(next["failed"], true, "{}: {next}", place());
        assert!(kept.is_none() || kept == secret(&world.path("secret")), "{}", place());
        assert_eq!(state(&world), (expected.clone(), secret(&world.path("secret"))), "{}", place());
    }
    assert!(left > 10, "{left}");
}

#[test]
fn where_there_are_no_locks_a_killed_run_is_completed_and_cleared_away_by_the_next() {
    completed_where_it_lacks(true, false);
}

#[test]
fn where_there_are_no_hard_links_a_killed_run_is_completed_and_cleared_away_by_the_next() {
    completed_where_it_lacks(false, true);
    completed_where_it_lacks(true, true);
}

#[test]
fn a_file_that_is_there_and_cannot_be_read_is_an_error_and_nothing_is_removed() {
    let world = world();
    let options = world.options("request", json!({}));
    assert_eq!(world.run(&options)["changed"], true);
    let other = world.options("other", json!({"id_file": world.text("my_secret.yaml")}));
    assert_eq!(world.run(&other)["changed"], true);
    let absent = json!({"path": world.text("request"), "state": "absent"});
    let before = world.files();
    for (file, runs) in [
        ("my_secret.yaml", vec![&options, &absent]),
        ("request", vec![&options, &absent]),
        ("request.manifest.json", vec![&options, &absent]),
        // Another request's manifest may name the id file.
        ("other.manifest.json", vec![&absent]),
        ("secret", vec![&options]),
        ("state/seguest-pv/manifest.key", vec![&options, &absent]),
    ] {
        let conditions = Conditions { unreadable: Some(world.root().join(file)), ..Conditions::default() };
        for (run, check) in runs.into_iter().flat_map(|run| [(run, false), (run, true)]) {
            let mut run = run.clone();
            run["_ansible_check_mode"] = check.into();
            let Some((_, told)) = traced_under(&conditions, &world, &run, |_, _| Act::Go) else { return };
            assert_eq!((code(&told), &told["changed"]), ("file.unreadable", &json!(false)), "{file} {run}: {told}");
            let detail = told["error"]["detail"].as_str().unwrap();
            assert!(detail.contains(file) && detail.contains("Permission denied"), "{told}");
            assert_eq!(world.files(), before, "{file}: {run}");
        }
    }
}

#[test]
fn an_error_at_any_step_is_told_with_whether_something_was_changed_and_is_mended_by_the_next_run() {
    let world = world();
    let start = world.files();
    for case in cases(&world) {
        let before = prepare(&world, &start, &case);
        let Some((trace, _)) = traced(&world, &case.run, |_, _| Act::Go) else { return };
        let expected = state(&world).0;
        for (step, event) in trace.events.iter().enumerate() {
            // That a temporary file cannot be removed fails nothing.
            if matches!(event.call, Call::MakeFolder(_)) {
                continue;
            }
            let error = [Errno::ENOSPC, Errno::EIO, Errno::EDQUOT][step % 3];
            let place = || format!("{}, {error} at {step}: {:?}", case.name, event.call);
            reset(&world, &before);
            let (run, answer) =
                traced(&world, &case.run, |at, _| if at == step { Act::Fail(error) } else { Act::Go }).unwrap();
            let visible = |files: Files| -> Files {
                let hidden = |path: &Path| path.ends_with("manifest.key") || path.to_str().unwrap().ends_with("-tmp");
                files.into_iter().filter(|(path, ..)| !hidden(path)).collect()
            };
            let changed = visible(before.clone()) != visible(world.files());
            if answer["failed"] == true {
                assert_eq!(run.exit, Some(1), "{}", place());
                assert_eq!(code(&answer), "file.unwritable", "{}: {answer}", place());
                assert_eq!(answer["error"]["errno"], error as i32, "{}", place());
                assert_eq!(answer["changed"], changed, "{}: {answer}", place());
                let created = secret(&world.path("secret")).is_some() && case.before.is_empty();
                assert_eq!(answer["requests"][0]["secret_created"], created, "{}: {answer}", place());
            } else {
                assert!(matches!(event.call, Call::Remove(_)), "{}: {answer}", place());
            }
            let next = world.run(&case.run);
            assert_ne!(next["failed"], true, "{}: {next}", place());
            assert_eq!(state(&world).0, expected, "{}", place());
            assert_eq!(world.run(&case.run)["changed"], false, "{}", place());
        }
    }
}
