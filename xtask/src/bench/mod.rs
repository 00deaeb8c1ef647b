//! Benchmarks: ratios of two things measured in one run, on the binaries that ship. No test depends on a time.

mod attest;
mod bind;
mod facts;
mod fleet;
mod lab;
mod measured;
mod processes;
mod request;
mod ssh;

use crate::chore::quietly;
use anyhow::{Context, Result, bail, ensure};
use e2e::{World, place};
use serde_json::{Value, json};
use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};

struct Benchmark {
    name: &'static str,
    compares: &'static str,
    /// What its arguments are called, if it takes any.
    takes: &'static str,
    run: fn(&[&str]) -> Result<()>,
}

const BENCHMARKS: [Benchmark; 7] = [
    Benchmark {
        name: "request",
        compares: "requests built in one task, beside what OpenSSL's P-521 allows",
        takes: "",
        run: |_| request::request(),
    },
    Benchmark {
        name: "attest",
        compares: "attestation requests and verdicts, beside the operations of OpenSSL that they need",
        takes: "",
        run: |_| attest::attest(),
    },
    Benchmark { name: "ssh", compares: "one task over SSH, beside `raw true`", takes: "", run: |_| ssh::ssh() },
    Benchmark {
        name: "bind",
        compares: "many queues bound, beside what the adapters of a simulated guest take for one",
        takes: "",
        run: |_| bind::bind(),
    },
    Benchmark {
        name: "facts",
        compares: "facts of 65,536 queues, beside a bare loop over the same files",
        takes: "",
        run: |_| facts::facts(),
    },
    Benchmark {
        name: "lab",
        compares: "queues bound on Debian's kernels, beside a program that reads the same files once",
        takes: "",
        run: |_| lab::lab(),
    },
    Benchmark {
        name: "fleet",
        compares: "one play over 50 to 500 guests, beside `raw true`",
        takes: " GUESTS...",
        run: fleet::fleet,
    },
];

/// Runs the benchmark of this name.
///
/// # Errors
/// If there is none, or it cannot be run.
pub fn bench(name: &str, arguments: &[&str]) -> Result<()> {
    if let Some(found) = BENCHMARKS.iter().find(|known| known.name == name) {
        ensure!(arguments.is_empty() || !found.takes.is_empty(), "the benchmark {name} takes no arguments");
        place::use_what_ships();
        return (found.run)(arguments);
    }
    let known: Vec<_> = BENCHMARKS.iter().map(|b| format!("    {}{}: {}", b.name, b.takes, b.compares)).collect();
    bail!("there is no benchmark {name}; there are:\n{}", known.join("\n"))
}

/// A world of its own for each run, on the disk that holds the build and not in memory: files are synced.
fn fresh_world() -> Result<World> {
    let dir = place::target()?.join("bench");
    if dir.exists() {
        fs::remove_dir_all(&dir)?;
    }
    World::new(&dir, &["machine1"])
}

/// Options of `secret_request` for requests that all have the secret of the file `secret` and are for the world's machine.
fn request_options(world: &World, requests: Vec<Value>) -> Value {
    let pki = |name: &str| world.path("pki").join(name);
    json!({
        "secret_file": world.path("secret"),
        "host_keys": [pki("machine1.crt")],
        "certificates": [pki("ibm.crt"), pki("inter_ca.crt")],
        "crls": [pki("ibm.crl"), pki("inter_ca.crl"), pki("root_ca.crl")],
        "root_ca": pki("root_ca.crt"),
        "image": world.path("image.hdr"),
        "requests": requests,
    })
}

/// Builds requests, and gives each as what `secret_add` takes; `return_content` must be among their options.
fn built_requests(world: &World, requests: Vec<Value>) -> Result<Vec<Value>> {
    fs::write(world.path("secret"), [9; 32])?;
    quietly(Command::new("chmod").arg("600").arg(world.path("secret")))?;
    let options = request_options(world, requests);
    let mut child = Command::new(place::binary("secret_request")?)
        .arg("-")
        .env("XDG_STATE_HOME", world.path("state"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    child.stdin.take().context("no standard input")?.write_all(options.to_string().as_bytes())?;
    let result: Value = serde_json::from_slice(&child.wait_with_output()?.stdout)?;
    ensure!(result["failed"] != true, "secret_request: {}", result["msg"]);
    let built = result["requests"].as_array().context("no requests")?;
    Ok(built.iter().map(|request| json!({"content": request["content"]})).collect())
}

/// The middle one of some measurements.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
