//! Runs that are killed, and runs at once.

use crate::world::World;
use serde_json::{Value, json};
use std::fs;
use std::process::{Child, Stdio};
use std::time::Duration;

fn start(world: &World, arguments: &str, options: &Value) -> Child {
    fs::write(world.path(arguments), options.to_string()).unwrap();
    world.command().arg(world.path(arguments)).stdout(Stdio::piped()).spawn().unwrap()
}

fn names(world: &World) -> Vec<String> {
    let files = world.files().into_iter().map(|(path, ..)| path.file_name().unwrap().to_str().unwrap().to_owned());
    files.filter(|name| name != "arguments").collect()
}

#[test]
fn wherever_a_run_is_killed_the_next_ends_as_if_it_had_not_been() {
    let world = World::new();
    let clean = world.files().len();
    let made = ["request", "request.manifest.json", "secret", "my_secret.yaml"];
    world.run(&world.options("request", json!({})));
    let expected = names(&world);
    assert_eq!(expected.len(), clean + made.len() + 1);
    for step in 0..40 {
        let options = world.options("request", json!({"flags": if step % 2 == 0 { "disable_dump" } else { "" }}));
        if step % 4 == 0 {
            made.iter().for_each(|name| drop(fs::remove_file(world.path(name))));
        }
        let mut run = start(&world, "arguments", &options);
        std::thread::sleep(Duration::from_micros(step * 700));
        run.kill().unwrap();
        run.wait().unwrap();
        let secret = fs::read(world.path("secret")).ok();
        let next = world.run(&options);
        assert_ne!(next["failed"], true, "{next}");
        assert!(secret.is_none() || secret == fs::read(world.path("secret")).ok(), "step {step}");
        assert_eq!(world.run(&options)["changed"], false, "step {step}");
        assert_eq!(names(&world), expected, "step {step}");
    }
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
    assert!(options.iter().all(|options| world.run(options)["changed"] == false));
}

#[test]
fn runs_at_once_on_one_request_leave_a_request_that_fits_its_manifest() {
    let world = World::new();
    let options = world.options("request", json!({}));
    let runs: Vec<_> = (0..8).map(|at| start(&world, &format!("arguments{at}"), &options)).collect();
    for run in runs {
        assert!(run.wait_with_output().unwrap().status.success());
    }
    assert_eq!(world.run(&options)["changed"], false);
}
