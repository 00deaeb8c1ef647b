//! Requests built in one task of `secret_request`.

use super::measured::{Run, task};
use super::{fresh_world, median, request_options};
use crate::chore::{cargo, openssl_features, quietly, step};
use crate::{build, machine};
use anyhow::{Context, Result, ensure};
use e2e::World;
use serde_json::{Value, json};
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

/// Requests in memory in one task, and how often that is measured.
const MANY: usize = 10_000;
/// Start-up, certificates and all else that is done once is in both runs, so only the difference counts.
const FEW: usize = 1_000;
const ROUNDS: usize = 3;
/// Requests with files.
const FILES: usize = 500;

/// Measures and prints a table.
///
/// # Errors
/// If something cannot be built or run.
pub fn request() -> Result<()> {
    machine::can_build()?;
    step("Building what the benchmark needs", || build::as_they_ship(&["secret_request", "guest-sim", "test-pki"]))?;
    let world = fresh_world()?;
    fs::write(world.path("extension"), [7; 32])?;
    fs::write(world.path("secret"), [9; 32])?;
    quietly(Command::new("chmod").arg("600").args(["extension", "secret"].map(|name| world.path(name))))?;
    let cores = std::thread::available_parallelism()?.get();

    let mut rows = Vec::new();
    for round in 1..=ROUNDS {
        let what = format!("Measuring in memory, round {round} of {ROUNDS}");
        rows.push(step(&what, || Ok((pace(cores)?, in_memory(&world, FEW)?, in_memory(&world, MANY)?)))?);
    }
    let with_files = step("Measuring with files", || files(&world))?;
    let bare = step("Measuring bare writes and syncs", || bare_files(&world.path("")))?;

    let middle = |of: &dyn Fn(&(Pace, Run, Run)) -> f64| median(rows.iter().map(of).collect());
    let more = (MANY - FEW) as f64;
    let a_core = |row: &(Pace, Run, Run)| more / (row.2.seconds - row.1.seconds) / cores as f64;
    let a_cpu = |row: &(Pace, Run, Run)| more / (row.2.cpu_seconds - row.1.cpu_seconds);
    println!();
    println!("one host key, {MANY} requests in memory, {cores} cores, medians of {ROUNDS}:");
    println!("                                                     a second and core   a second of processor time");
    println!(
        "    OpenSSL alone (key pair and agreement on P-521)  {:>17.0}   {:>26.0}",
        middle(&|row| row.0.core),
        middle(&|row| row.0.cpu)
    );
    println!(
        "    secret_request                                   {:>17.0}   {:>26.0}",
        middle(&a_core),
        middle(&a_cpu)
    );
    println!(
        "    ratio (aim: at least 0.8)                        {:>17.2}   {:>26.2}",
        middle(&|row| a_core(row) / row.0.core),
        middle(&|row| a_cpu(row) / row.0.cpu)
    );
    let each = middle(&|row| (row.2.peak_kb - row.1.peak_kb) / more);
    let base = middle(&|row| row.1.peak_kb) - each * FEW as f64;
    println!("    memory of a task, whatever it builds                     {base:>8.0} kB");
    println!("    memory for each further request                          {each:>8.2} kB (aim: at most 4)");
    println!("with files on the disk of {}, {FILES} requests:", world.path("").display());
    println!("    secret_request, each request and manifest synced         {:>8.2} ms a request", with_files * 1e3);
    println!("    writing, syncing and renaming two such files alone       {:>8.2} ms", bare * 1e3);
    Ok(())
}

/// Key pairs with an agreement that OpenSSL makes while all cores are busy.
struct Pace {
    /// For each second and core.
    core: f64,
    /// For each second of processor time: what else the machine does makes no difference to it.
    cpu: f64,
}

fn pace(cores: usize) -> Result<Pace> {
    let mut command = cargo();
    command.args(["run", "--quiet", "--locked", "--profile", "ship", "--package", "pv-request", "--example", "pace"]);
    if !openssl_features().is_empty() {
        command.args(["--features", "vendored-openssl"]);
    }
    let said = String::from_utf8(quietly(command.arg("--").arg(cores.to_string()))?.stdout)?;
    let (core, cpu) = said.trim().split_once(' ').context("two numbers expected of pace")?;
    Ok(Pace { core: core.parse()?, cpu: cpu.parse()? })
}

fn options(world: &World, requests: Vec<Value>) -> Value {
    let mut options = request_options(world, requests);
    options["name"] = "bench".into();
    options["extension_secret_file"] = world.path("extension").display().to_string().into();
    options
}

/// One task with this many requests that are only returned.
fn in_memory(world: &World, count: usize) -> Result<Run> {
    let requests = (0..count).map(|at| json!({"label": format!("guest{at}"), "return_content": true})).collect();
    run(world, &options(world, requests), count)
}

fn files(world: &World) -> Result<f64> {
    let folder = world.path("requests");
    fs::create_dir(&folder)?;
    let request = |at| json!({"label": format!("guest{at}"), "path": folder.join(format!("{at}.req"))});
    Ok(run(world, &options(world, (0..FILES).map(request).collect()), FILES)?.seconds / FILES as f64)
}

/// Runs the module; it must build all of them.
fn run(world: &World, options: &Value, count: usize) -> Result<Run> {
    let (run, result) = task("secret_request", world, options)?;
    let changed = result["requests"].as_array().map_or(0, |list| list.iter().filter(|e| e["changed"] == true).count());
    ensure!(changed == count, "secret_request built {changed} of {count} requests: {}", result["msg"]);
    Ok(run)
}

/// What the file system takes for two files of a request's size: written, synced, renamed, their folder synced.
fn bare_files(dir: &Path) -> Result<f64> {
    let folder = File::open(dir)?;
    let started = Instant::now();
    for at in 0..FILES {
        for kind in ["request", "manifest"] {
            let temporary = dir.join("bare.tmp");
            let mut file = File::create(&temporary)?;
            file.write_all(&[1; 1416])?;
            file.sync_all()?;
            fs::rename(&temporary, dir.join(format!("bare{at}.{kind}")))?;
            folder.sync_all()?;
        }
    }
    Ok(started.elapsed().as_secs_f64() / FILES as f64)
}
