//! Runs at once, each a process of its own.

use crate::durable::traced_under;
use crate::killed::reset;
use crate::world::{World, warns};
use file_trace::{Act, Conditions};
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use serde_json::{Value, json};
use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Stdio};

fn start(world: &World, arguments: &str, options: &Value) -> Child {
    fs::write(world.path(arguments), options.to_string()).unwrap();
    world.command().arg(world.path(arguments)).stdout(Stdio::piped()).spawn().unwrap()
}

#[test]
fn of_sixteen_runs_at_once_one_makes_the_secret_and_all_use_it() {
    let world = World::new();
    let options: Vec<_> = (0..16).map(|at| world.options(&format!("request{at}"), json!({}))).collect();
    let runs: Vec<_> =
        options.iter().enumerate().map(|(at, options)| start(&world, &format!("arguments{at}"), options)).collect();
    let results: Vec<Value> =
        runs.into_iter().map(|run| serde_json::from_slice(&run.wait_with_output().unwrap().stdout).unwrap()).collect();
    assert!(results.iter().all(|result| result["changed"] == true && result["failed"] != true), "{results:?}");
    assert_eq!(results.iter().filter(|result| result["requests"][0]["secret_created"] == true).count(), 1);
    let secret = fs::read(world.path("secret")).unwrap();
    for (at, options) in options.iter().enumerate() {
        assert_eq!(world.secret_in(&world.path(&format!("request{at}"))), secret);
        assert_unchanged(&world, options);
    }
}

/// The manifest is trusted and the request is the one in it.
fn assert_unchanged(world: &World, options: &Value) {
    let again = world.run(options);
    assert_eq!(again["changed"], false, "{again}");
    for code in ["request.untrusted_manifest", "request.no_manifest", "request.altered"] {
        assert!(!warns(&again, code), "{again}");
    }
}

#[test]
fn sixteen_runs_at_once_on_one_request_make_one_and_all_hand_it_on() {
    let world = World::new();
    let options = world.options("request", json!({"return_content": true}));
    let runs: Vec<_> = (0..16).map(|at| start(&world, &format!("arguments{at}"), &options)).collect();
    let results: Vec<Value> =
        runs.into_iter().map(|run| serde_json::from_slice(&run.wait_with_output().unwrap().stdout).unwrap()).collect();
    let there = fs::read(world.path("request")).unwrap();
    results.iter().for_each(|result| assert_handed_on(result, &there));
    assert_eq!(world.secret_in(&world.path("request")), fs::read(world.path("secret")).unwrap());
    assert_unchanged(&world, &options);
}

/// What a run returns is the request that is `there`.
fn assert_handed_on(result: &Value, there: &[u8]) {
    let entry = &result["requests"][0];
    assert_eq!(entry["content"], openssl::base64::encode_block(there), "{result}");
    assert_eq!(entry["sha256"], pv_wire::encode_hex(&openssl::sha::sha256(there)), "{result}");
}

/// Whether some process has locked the folder: who comes then waits.
fn is_locked(folder: &Path) -> bool {
    let Ok(folder) = File::open(folder) else { return false };
    let refusal = Flock::lock(folder, FlockArg::LockExclusiveNonblock).err().map(|(_, error)| error);
    assert!(matches!(refusal, None | Some(Errno::EWOULDBLOCK)), "{refusal:?}");
    refusal.is_some()
}

#[test]
fn a_first_run_that_comes_between_any_two_steps_of_another_and_that_one_hand_on_the_same_request() {
    let world = World::new();
    let options = world.options("request", json!({"return_content": true}));
    let (start, looks) = (world.files(), Conditions { looks: true, ..Conditions::default() });
    let folders = ["", "state", "state/seguest-pv"].map(|name| world.root().join(name));
    let mut between = 0;
    for step in 0.. {
        reset(&world, &start);
        let (mut came, mut place) = (None, String::new());
        let decide = |at: usize, call: &_| {
            if at == step {
                place = format!("{at}: {call:?}");
                let waits = folders.iter().any(|folder| is_locked(folder));
                came = Some((!waits).then(|| world.run(&options)));
            }
            Act::Go
        };
        let Some((_, first)) = traced_under(&looks, &world, &options, decide) else { return };
        // It has no more steps than that.
        let Some(other) = came else { break };
        let there = fs::read(world.path("request")).unwrap_or_else(|e| panic!("{place}: {e}: {first}"));
        println!("{place}");
        between += u32::from(other.is_some());
        for result in [Some(first), other].into_iter().flatten() {
            assert_handed_on(&result, &there);
        }
        assert_eq!(world.secret_in(&world.path("request")), fs::read(world.path("secret")).unwrap(), "{place}");
        assert_unchanged(&world, &options);
    }
    assert!(between > 60, "{between}");
}
