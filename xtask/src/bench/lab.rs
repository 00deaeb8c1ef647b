//! `ap_bind` on Debian's kernels in front of the simulated machine, all of a kernel in one boot.

use super::{built_requests, fresh_world};
use crate::chore::step;
use crate::{build, lab, machine};
use anyhow::{Context, Result, ensure};
use e2e::lab::{Lab, Outcome, Step};
use e2e::{Guest, World};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Milliseconds that an adapter takes to bind, to associate and to release.
const DELAYS: [u32; 3] = [0, 5, 50];
/// Queues that become associated, each on a card of its own.
const QUEUES: [usize; 3] = [1, 8, 64];
const ROUNDS: usize = 3;
/// Runs that are measured together where one is over soon: the kernel's clock has hundredths of a second.
const RUNS: usize = 20;
/// A run that finds nothing to do, at most, beside a program that reads the same files once.
const NOTHING_AIM: f64 = 1.3;
const KEY: &str = "db3c3b3c3f097dd55ec7eb0e7fdbcb93";
const MACHINE: &str = "machine1";

/// The least that a program can do to have queues serve: everything is written at once, and each is waited for. The secret of a
/// queue has its place in the list.
const BARE: &str = "{ for q in $queues; do echo 1 > $q/se_bind; done; index=0; \
     for q in $queues; do for n in $(seq 9999); do grep -q ^bound $q/se_bind && break; done; \
     for n in $(seq 9999); do echo $index > $q/se_associate && break; done; index=$((index + 1)); done; \
     for q in $queues; do for n in $(seq 9999); do grep -q ^associated $q/se_associate && break; done; done; } 2> errors";

/// The moment, in seconds since the boot.
const NOW: &str = "read now rest < /proc/uptime";

/// Measures and prints a table for each kernel.
///
/// # Errors
/// If something cannot be built or run, or a run does not do what it is measured for.
pub fn lab() -> Result<()> {
    machine::can_run_guests()?;
    lab::make()?;
    step("Building what the benchmark needs", || {
        build::as_they_ship(&["ap_bind", "secret_add", "secret_request", "guest-sim", "test-pki"])
    })?;
    let lab = Lab::find()?;
    let world = fresh_world()?;
    let most = QUEUES.into_iter().max().unwrap_or_default();
    let requests =
        built_requests(&world, (0..most).map(|at| json!({"name": name(at), "return_content": true})).collect())?;
    let files = files_read(&world, &requests, most)?;
    for kernel in lab.kernels() {
        let machine = Guest::start_machine(&world, &format!("real-{kernel}"), MACHINE, "image", &scenario(most))?;
        let steps = steps(&requests, &files);
        let outcomes = lab.run(kernel, &machine, &steps)?;
        print(kernel, &steps, &outcomes)?;
    }
    Ok(())
}

fn name(at: usize) -> String {
    format!("queue {at}")
}

fn scenario(queues: usize) -> String {
    let card = |number| (format!("{number:02x}"), json!({"type": "CEX8P", "queues": {"0005": {"mkvp": KEY}}}));
    let cards: Value = (0..queues).map(card).collect::<serde_json::Map<_, _>>().into();
    // JSON is YAML.
    format!("ultravisor: {{max_assoc_secrets: 64}}\ncards: {cards}\n")
}

/// An entry for each of so many queues, each with a secret of its own.
fn entries(queues: usize) -> Value {
    let entry = |at| json!({"name": name(at), "mode": "ep11", "mkvp": KEY, "apqn": format!("{at:02x}.0005")});
    json!({"entries": (0..queues).map(entry).collect::<Vec<_>>()})
}

/// The files below `/sys` that `ap_bind` reads where so many queues serve already, as the simulator knows.
fn files_read(world: &World, requests: &[Value], queues: usize) -> Result<BTreeSet<String>> {
    let guest = Guest::start(world, "simulated", MACHINE, &format!("log_reads: true\n{}", scenario(queues)))?;
    for (module, arguments) in [("secret_add", json!({"requests": requests})), ("ap_bind", entries(queues))] {
        ensure!(guest.module(module, &arguments)?["changed"] == true, "{module} did nothing");
    }
    let before = guest.log()?.len();
    ensure!(guest.module("ap_bind", &entries(queues))?["changed"] == false, "there was something to do");
    let log = guest.log()?;
    let reads = log.iter().skip(before).filter(|event| event["what"] == "read");
    Ok(reads.filter_map(|event| event["name"].as_str()).map(str::to_owned).collect())
}

fn steps(requests: &[Value], files: &BTreeSet<String>) -> Vec<Step> {
    let most = QUEUES.into_iter().max().unwrap_or_default();
    let mut steps = vec![Step::Module("secret_add", json!({"requests": requests}))];
    let release = json!({"state": "unbound", "all": true});
    for ms in DELAYS {
        steps.push(Step::Set(json!({"delays": {"bind_ms": ms, "associate_ms": ms, "reset_ms": ms}}).to_string()));
        for queues in QUEUES {
            for serve in ["ap_bind - < bind > said || { cat said; exit 1; }", BARE] {
                let commands = format!(
                    "queues=$(ls -d /sys/devices/ap/card*/*.0005 | head -n {queues}); \
                     for i in $(seq {ROUNDS}); do {NOW}; from=$now; {serve}; \
                     {NOW}; echo $from $now; ap_bind - < release > said || {{ cat said; exit 1; }}; done"
                );
                steps.push(Step::Shell(commands, vec![("bind", entries(queues)), ("release", release.clone())]));
            }
        }
    }
    steps.push(Step::Module("ap_bind", entries(most)));
    let files: Vec<_> = files.iter().map(String::as_str).collect();
    let measured = |program: &str| {
        format!("{NOW}; from=$now; for i in $(seq {RUNS}); do {program} > said; done; {NOW}; echo $from $now")
    };
    for program in [format!("cat {} 2> errors", files.join(" ")), "ap_bind - < bind".into(), "cat /dev/null".into()] {
        steps.push(Step::Shell(measured(&program), vec![("bind", entries(most))]));
    }
    steps
}

/// The shortest of the times that a step has printed, in milliseconds.
fn shortest(outcome: &Outcome) -> Result<f64> {
    let said = outcome.said.as_str().unwrap_or_default();
    ensure!(outcome.code == 0, "a run failed: {said}");
    let took = |line: &str| -> Option<f64> {
        let (from, to) = line.split_once(' ')?;
        Some((to.parse::<f64>().ok()? - from.parse::<f64>().ok()?) * 1e3)
    };
    let times: Option<Vec<f64>> = said.lines().map(took).collect();
    times.and_then(|times| times.into_iter().reduce(f64::min)).with_context(|| format!("no times: {said}"))
}

fn print(kernel: &str, steps: &[Step], outcomes: &[Outcome]) -> Result<()> {
    let times: Vec<_> = steps
        .iter()
        .zip(outcomes)
        .filter(|(step, _)| matches!(step, Step::Shell(..)))
        .map(|(_, outcome)| shortest(outcome))
        .collect::<Result<_>>()?;
    let (serving, nothing) = times.split_at(DELAYS.len() * QUEUES.len() * 2);
    println!(
        "\nkernel {kernel}: milliseconds until queues are bound and associated, the shortest of {ROUNDS}; then those of a"
    );
    println!("shell that only writes and waits; in brackets what is aimed at, at most: 1.1 of one queue and 1 a queue");
    println!("an adapter's step  {}", QUEUES.map(|queues| format!("{queues:>10} queues         ")).concat());
    for (ms, row) in DELAYS.iter().zip(serving.chunks(QUEUES.len() * 2)) {
        let one = row.first().copied().unwrap_or_default();
        let cell = |(queues, times): (usize, &[f64])| {
            let [time, bare] = [0, 1].map(|at| times.get(at).copied().unwrap_or_default());
            let aim = 1.1 * one + queues as f64;
            format!("{time:>10.0} {bare:>6.0} [{aim:>4.0}]{} ", if time > aim { '*' } else { ' ' })
        };
        println!("{ms:>14} ms  {}", QUEUES.into_iter().zip(row.chunks(2)).map(cell).collect::<String>());
    }
    if let [read, ours, empty] = nothing {
        let each = |time: &f64| time / RUNS as f64;
        let ratio = ours / read;
        println!(
            "nothing to do with 64 queues: {:.1}; a program that reads the same files once: {:.1}, {ratio:.2} of that [{NOTHING_AIM}]{}; a program that does nothing: {:.1}",
            each(ours),
            each(read),
            if ratio > NOTHING_AIM { '*' } else { ' ' },
            each(empty)
        );
    }
    Ok(())
}
