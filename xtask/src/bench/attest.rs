//! Attestation of a fleet: requests made and answers judged in one task each.

use super::measured::{Run, middle, task};
use super::{fresh_world, median};
use crate::chore::{cargo, openssl_features, quietly, step};
use crate::{build, machine};
use anyhow::{Context, Result, ensure};
use e2e::{World, place};
use serde_json::{Value, json};
use std::fs;
use std::process::Command;

/// Guests in one task.
const MANY: usize = 10_000;
/// Start-up, certificates and all else that is done once is in both runs, so only the difference counts.
const FEW: usize = 1_000;
const ROUNDS: usize = 3;

/// Measures and prints a table. Processor time is what is compared: what else the machine does makes no difference to it.
///
/// # Errors
/// If something cannot be built or run.
pub fn attest() -> Result<()> {
    machine::can_build()?;
    step("Building what the benchmark needs", || {
        build::as_they_ship(&["attest_request", "attest_verify", "guest-sim", "test-pki"])?;
        let mut examples = cargo();
        examples.args([
            "build",
            "--locked",
            "--profile",
            "ship",
            "--package",
            "pv-request",
            "--example",
            "attestation",
        ]);
        if !openssl_features().is_empty() {
            examples.args(["--features", "vendored-openssl"]);
        }
        quietly(&mut examples).map(|_| ())
    })?;
    let world = fresh_world()?;
    fs::create_dir(world.path("attest"))?;
    let mut paces = Vec::new();
    for round in 1..=ROUNDS {
        paces.push(step(&format!("Measuring single ones, round {round} of {ROUNDS}"), pace)?);
    }
    let requests =
        step(&format!("Making {FEW} and {MANY} requests"), || Ok([requested(&world, FEW)?, requested(&world, MANY)?]))?;
    step("Answering", || {
        let arguments = [world.path("attest"), world.path("image.hdr"), MANY.to_string().into()];
        quietly(Command::new(place::binary("examples/attestation")?).args(arguments)).map(|_| ())
    })?;
    let (mut few, mut many) = (Vec::new(), Vec::new());
    for round in 1..=ROUNDS {
        step(&format!("Judging, round {round} of {ROUNDS}"), || {
            few.push(judged(&world, FEW)?);
            many.push(judged(&world, MANY)?);
            Ok(())
        })?;
    }

    let pace = |of: &dyn Fn(&Pace) -> f64| median(paces.iter().map(of).collect());
    println!();
    println!("microseconds of processor time for each, medians of {ROUNDS}:");
    println!("                        OpenSSL alone     library    ratio");
    for (name, bare, ours) in [("request", 0, 1), ("verdict", 2, 3)] {
        let ratio = pace(&|of| of[ours] / of[bare]);
        println!("    {name}          {:>13.1}   {:>9.1}   {ratio:>6.2}", pace(&|of| of[bare]), pace(&|of| of[ours]));
    }
    let [few_requests, many_requests] = requests;
    table("attest_request, with files", &[few_requests], &[many_requests]);
    table("attest_verify, with files", &few, &many);
    Ok(())
}

/// Microseconds of processor time: a request by OpenSSL alone, one by the library; a verdict by each.
type Pace = [f64; 4];

fn pace() -> Result<Pace> {
    let said = String::from_utf8(quietly(&mut Command::new(place::binary("examples/attestation")?))?.stdout)?;
    let numbers: Vec<f64> = said.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    numbers.as_slice().try_into().context("four numbers expected of the example attestation")
}

fn table(name: &str, few: &[Run], many: &[Run]) {
    let more = (MANY - FEW) as f64;
    let each = |of: fn(&Run) -> f64| (middle(many, of) - middle(few, of)) / more;
    let memory = each(|run| run.peak_kb);
    println!("{name}, {MANY} in one task:");
    println!("    whole task on the clock           {:>9.1} s", middle(many, |run| run.seconds));
    println!("    processor time for each           {:>9.1} microseconds", each(|run| run.cpu_seconds) * 1e6);
    println!("    memory of a task, whatever it has {:>9.0} kB", middle(few, |run| run.peak_kb) - memory * FEW as f64);
    println!("    memory for each further one       {memory:>9.2} kB (aim: at most 4)");
}

/// The options by which host key documents are verified.
fn trust(world: &World) -> Value {
    let pki = |name: &str| world.path("pki").join(name);
    json!({
        "certificates": [pki("ibm.crt"), pki("inter_ca.crt")],
        "crls": [pki("ibm.crl"), pki("inter_ca.crl"), pki("root_ca.crl")],
        "root_ca": pki("root_ca.crt"),
    })
}

/// One task that makes the requests of this many guests.
fn requested(world: &World, count: usize) -> Result<Run> {
    let mut options = trust(world);
    options["host_keys"] = json!([world.path("pki").join("machine1.crt")]);
    let request =
        |at| json!({"label": format!("guest{at}"), "path": world.path("attest").join(format!("{at}.request"))});
    options["requests"] = (0..count).map(request).collect();
    let (run, result) = task("attest_request", world, &options)?;
    let made = result["requests"].as_array().map_or(0, |list| list.iter().filter(|e| e["changed"] == true).count());
    ensure!(made == count, "attest_request made {made} of {count} requests: {}", result["msg"]);
    Ok(run)
}

/// One task that judges this many answers. The keys are kept for the next round.
fn judged(world: &World, count: usize) -> Result<Run> {
    let mut options = trust(world);
    options["image"] = json!(world.path("image.hdr"));
    options["secrets"] = json!([]);
    options["attestation_host_keys"] = json!([world.path("pki").join("machine1.crt")]);
    options["remove_key"] = json!(false);
    options["max_age"] = json!(86_400);
    let response = |at| {
        let file = |end: &str| world.path("attest").join(format!("{at}.{end}"));
        json!({"label": format!("guest{at}"), "path": file("answer"), "request": file("request")})
    };
    options["responses"] = (0..count).map(response).collect();
    let (run, result) = task("attest_verify", world, &options)?;
    let responses = result["responses"].as_array();
    let affirmed = responses.map_or(0, |list| list.iter().filter(|e| e["verdict"] == "affirming").count());
    ensure!(affirmed == count, "attest_verify affirmed {affirmed} of {count} guests: {}", result["msg"]);
    Ok(run)
}
