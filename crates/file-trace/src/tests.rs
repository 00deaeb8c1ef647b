use super::*;
use nix::errno::Errno;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

const SCRIPT: &str = "echo one > a; ln a b; mv a c; chmod 600 c; rm b; mkdir d; echo two > /dev/null";

fn traced(folder: &Path, decide: impl FnMut(usize, &Call) -> Act) -> Option<Trace> {
    let mut command = Command::new("sh");
    command.args(["-c", SCRIPT]).current_dir(folder).stdin(Stdio::null()).stderr(Stdio::null());
    match run(&mut command, folder, decide).unwrap() {
        Ok(trace) => Some(trace),
        Err(Unavailable(why)) => {
            println!("skipped: tracing of file-system calls: {why}");
            None
        }
    }
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn every_change_of_a_program_and_its_children_is_seen_with_whole_paths() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().canonicalize().unwrap();
    let Some(trace) = traced(&dir, |_, _| Act::Go) else { return };
    let path = |name: &str| dir.join(name);
    let expected = [
        Call::Create(path("a")),
        Call::Write(path("a")),
        Call::Link(path("a"), path("b")),
        Call::Rename(path("a"), path("c")),
        Call::Mode(path("c")),
        Call::Remove(path("b")),
        Call::MakeFolder(path("d")),
    ];
    assert_eq!(trace.events.iter().map(|event| event.call.clone()).collect::<Vec<_>>(), expected);
    assert!(trace.exit == Some(0) && trace.events.iter().all(|event| event.answer == Ok(())));
}

#[test]
fn a_call_before_which_the_program_is_killed_is_not_done_and_one_after_which_it_is_killed_is() {
    for (act, there) in [(Act::KillBefore, ["a", "b"]), (Act::KillAfter, ["b", "c"])] {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().canonicalize().unwrap();
        let Some(trace) = traced(&dir, |_, call| if matches!(call, Call::Rename(..)) { act } else { Act::Go }) else {
            return;
        };
        // The shell is killed with its child or right after it.
        assert_eq!(&names(&dir)[..2], there);
        assert_eq!(trace.events.iter().any(|event| matches!(event.call, Call::Rename(..))), act == Act::KillAfter);
    }
}

#[test]
fn a_call_that_is_answered_with_an_error_is_not_done() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().canonicalize().unwrap();
    let fail = |_, call: &Call| if matches!(call, Call::Link(..)) { Act::Fail(Errno::ENOSPC) } else { Act::Go };
    let Some(trace) = traced(&dir, fail) else { return };
    let link = trace.events.iter().find(|event| matches!(event.call, Call::Link(..))).unwrap();
    assert_eq!(link.answer, Err(Errno::ENOSPC));
    assert!(!names(&dir).contains(&"b".to_owned()) && names(&dir).contains(&"c".to_owned()));
}

#[test]
fn a_file_that_cannot_be_read_and_locks_that_are_missing_are_told_so() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().canonicalize().unwrap();
    fs::write(dir.join("a"), "").unwrap();
    for (conditions, succeeds) in [
        (Conditions::default(), true),
        (Conditions { no_locks: true, ..Conditions::default() }, false),
        (Conditions { unreadable: Some(dir.join("a")), ..Conditions::default() }, false),
        (Conditions { unreadable: Some(dir.join("b")), ..Conditions::default() }, true),
    ] {
        let mut command = Command::new("sh");
        command.args(["-c", "cat a && flock a true"]).current_dir(&dir).stdin(Stdio::null()).stderr(Stdio::null());
        match run_under(&conditions, &mut command, &dir, |_, _| Act::Go).unwrap() {
            Ok(trace) => assert_eq!(trace.exit == Some(0), succeeds, "{conditions:?}"),
            Err(Unavailable(why)) => println!("skipped: tracing of file-system calls: {why}"),
        }
    }
}

#[test]
fn what_a_program_only_looks_at_is_seen_where_that_is_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().canonicalize().unwrap();
    fs::write(dir.join("a"), "").unwrap();
    for looks in [false, true] {
        let mut command = Command::new("cat");
        command.arg(dir.join("a")).stdin(Stdio::null());
        match run_under(&Conditions { looks, ..Conditions::default() }, &mut command, &dir, |_, _| Act::Go).unwrap() {
            Ok(trace) => {
                let seen = trace.events.iter().any(|event| event.call == Call::Look(dir.join("a")));
                assert_eq!(seen, looks);
            }
            Err(Unavailable(why)) => println!("skipped: tracing of file-system calls: {why}"),
        }
    }
}
