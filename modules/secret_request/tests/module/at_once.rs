//! Runs at once, each a process of its own.

use crate::world::{World, warns};
use serde_json::{Value, json};
use std::fs;
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
    for entry in results.iter().map(|result| &result["requests"][0]) {
        assert_eq!(entry["content"], openssl::base64::encode_block(&there), "{entry}");
        assert_eq!(entry["sha256"], pv_wire::encode_hex(&openssl::sha::sha256(&there)), "{entry}");
    }
    assert_eq!(world.secret_in(&world.path("request")), fs::read(world.path("secret")).unwrap());
    assert_unchanged(&world, &options);
}
