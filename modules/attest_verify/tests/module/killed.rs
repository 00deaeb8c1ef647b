//! Runs that are killed, or answered with an error, at every single step.

use crate::fleet::Fleet;
use crate::world::code;
use file_trace::{Act, Call, Trace, Unavailable};
use nix::errno::Errno;
use serde_json::{Value, json};
use std::fs::{self, File};
use std::process::Stdio;

/// Runs the module traced; what it answered is there unless it was killed. `None` where nothing can be traced.
fn traced(fleet: &Fleet, options: &Value, decide: impl FnMut(usize, &Call) -> Act) -> Option<(Trace, Value)> {
    let folder = tempfile::tempdir().unwrap();
    let (arguments, answer) = (folder.path().join("arguments"), folder.path().join("answer"));
    fs::write(&arguments, options.to_string()).unwrap();
    let mut command = fleet.command();
    command.arg(&arguments).stdin(Stdio::null()).stdout(File::create(&answer).unwrap());
    match file_trace::run(&mut command, &fleet.root(), decide).unwrap() {
        Ok(trace) => Some((trace, serde_json::from_slice(&fs::read(answer).unwrap()).unwrap_or_default())),
        Err(Unavailable(why)) => {
            println!("skipped: tracing of what attest_verify does to files: {why}");
            None
        }
    }
}

#[test]
fn a_run_that_ends_before_all_is_written_keeps_its_key_and_the_next_one_ends_the_same() {
    let fleet = Fleet::new();
    let answer = fleet.answer("g1", &fleet.guest(1));
    let more = json!({"cuid_file": fleet.text("g1.cuid"), "report": fleet.text("report.json")});
    let options = fleet.options("g1", &answer, more);
    let before = fleet.files();
    let Some((trace, _)) = traced(&fleet, &options, |_, _| Act::Go) else { return };
    let names = || fleet.files().iter().map(|(path, ..)| path.clone()).collect::<Vec<_>>();
    let expected = names();
    for step in 0..trace.events.len() {
        let fail = Act::Fail([Errno::ENOSPC, Errno::EIO, Errno::EDQUOT][step % 3]);
        for act in [Act::KillBefore, Act::KillAfter, fail] {
            let place = format!("{act:?} {step}: {:?}", trace.events[step].call);
            fleet.reset(&before);
            let (run, told) = traced(&fleet, &options, |at, _| if at == step { act } else { Act::Go }).unwrap();
            if !fleet.path("g1.key").exists() {
                // All that the key could prove was written before.
                assert!(fleet.path("g1.cuid").exists() && fleet.path("report.json").exists(), "{place}");
                continue;
            }
            if run.exit == Some(1) {
                assert_eq!(code(&told), "file.unwritable", "{place}: {told}");
            }
            let next = fleet.run(&options);
            assert_eq!(next["responses"][0]["verdict"], "affirming", "{place}: {next}");
            assert_eq!(names(), expected, "{place}");
        }
    }
    assert!(trace.events.len() > 8, "{trace:?}");
}
