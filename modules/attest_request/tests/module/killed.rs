//! Runs that are killed, or answered with an error, at every single step.

use crate::requests::key_in;
use crate::world::{World, code};
use file_trace::{Act, Call, Trace, Unavailable};
use nix::errno::Errno;
use serde_json::{Value, json};
use std::fs::{self, File};
use std::process::Stdio;

/// Runs the module traced; what it answered is there unless it was killed. `None` where nothing can be traced.
fn traced(world: &World, options: &Value, decide: impl FnMut(usize, &Call) -> Act) -> Option<(Trace, Value)> {
    let folder = tempfile::tempdir().unwrap();
    let (arguments, answer) = (folder.path().join("arguments"), folder.path().join("answer"));
    fs::write(&arguments, options.to_string()).unwrap();
    let mut command = world.command();
    command.arg(&arguments).stdin(Stdio::null()).stdout(File::create(&answer).unwrap());
    match file_trace::run(&mut command, &world.root(), decide).unwrap() {
        Ok(trace) => Some((trace, serde_json::from_slice(&fs::read(answer).unwrap()).unwrap_or_default())),
        Err(Unavailable(why)) => {
            println!("skipped: tracing of what attest_request does to files: {why}");
            None
        }
    }
}

/// A key that is there opens the request that is there.
fn no_key_is_without_its_request(world: &World, place: &str) {
    if let Ok(key) = fs::read(world.path("g1.key")) {
        assert_eq!(key_in(world, &fs::read(world.path("g1")).unwrap()), key, "{place}");
    }
}

#[test]
fn whatever_step_a_run_ends_at_no_key_is_without_its_request_and_the_next_run_makes_both() {
    let world = World::new(env!("CARGO_BIN_EXE_attest_request"));
    let options = world.request("g1", json!({}));
    let empty = world.files();
    world.run(&options);
    let full = world.files();
    fs::remove_file(world.path("g1.key")).unwrap();
    let used = world.files();
    for before in [empty, full.clone(), used] {
        world.reset(&before);
        let Some((trace, _)) = traced(&world, &options, |_, _| Act::Go) else { return };
        for step in 0..trace.events.len() {
            let fail = Act::Fail([Errno::ENOSPC, Errno::EIO, Errno::EDQUOT][step % 3]);
            for act in [Act::KillBefore, Act::KillAfter, fail] {
                let place = format!("{act:?} {step}: {:?}", trace.events[step].call);
                world.reset(&before);
                let (run, answer) = traced(&world, &options, |at, _| if at == step { act } else { Act::Go }).unwrap();
                no_key_is_without_its_request(&world, &place);
                if run.exit == Some(1) {
                    assert_eq!(code(&answer), "file.unwritable", "{place}: {answer}");
                }
                let next = world.run(&options);
                assert_eq!((&next["changed"], &next["failed"]), (&json!(true), &json!(null)), "{place}: {next}");
                let names = |files: &[(std::path::PathBuf, u32, Vec<u8>)]| {
                    files.iter().map(|(path, ..)| path.clone()).collect::<Vec<_>>()
                };
                assert_eq!(names(&world.files()), names(&full), "{place}");
                no_key_is_without_its_request(&world, &place);
            }
        }
        assert!(trace.events.len() > 8, "{trace:?}");
    }
}
