//! Benchmarks: ratios of two things measured in one run, on the binaries that ship. No test depends on a time.

mod bind;
mod facts;
mod measured;
mod request;
mod ssh;

use anyhow::{Result, bail};
use e2e::{World, place};
use serde_json::{Value, json};
use std::fs;

struct Benchmark {
    name: &'static str,
    compares: &'static str,
    run: fn() -> Result<()>,
}

const BENCHMARKS: [Benchmark; 4] = [
    Benchmark {
        name: "request",
        compares: "requests built in one task, beside what OpenSSL's P-521 allows",
        run: request::request,
    },
    Benchmark { name: "ssh", compares: "one task over SSH, beside `raw true`", run: ssh::ssh },
    Benchmark {
        name: "bind",
        compares: "many queues bound, beside what the adapters of a simulated guest take for one",
        run: bind::bind,
    },
    Benchmark {
        name: "facts",
        compares: "facts of 65,536 queues, beside a bare loop over the same files",
        run: facts::facts,
    },
];

/// Runs the benchmark of this name.
///
/// # Errors
/// If there is none, or it cannot be run.
pub fn bench(name: &str) -> Result<()> {
    if let Some(found) = BENCHMARKS.iter().find(|known| known.name == name) {
        return (found.run)();
    }
    let known: Vec<_> = BENCHMARKS.iter().map(|b| format!("    {}: {}", b.name, b.compares)).collect();
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

/// The middle one of some measurements.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
