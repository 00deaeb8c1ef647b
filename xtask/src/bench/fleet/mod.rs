//! One play over many guests: what a guest and task take, and whether that stays so however many there are.

mod guests;

use super::processes::{self, Memory};
use super::{built_requests, fresh_world, median};
use crate::chore::step;
use crate::{machine, prepare};
use anyhow::{Context, Result, ensure};
use e2e::World;
use guests::{Fleet, SECRET, TASKS, Taken};
use serde_json::{Value, json};
use std::thread;
use std::time::Instant;

const SIZES: [usize; 4] = [50, 100, 250, 500];
const FORKS: usize = 20;
const OTHER_FORKS: [usize; 2] = [5, 50];
const OTHER_STRATEGIES: [&str; 2] = ["free", "host_pinned"];
const ROUNDS: usize = 3;
/// By hand, each guest takes seconds, as many in a large fleet as in a small one.
const MOST_BY_HAND: usize = 50;

/// Measures fleets of these sizes and prints tables. Without sizes, it measures the usual ones, and other strategies, numbers of
/// forks and controllers.
///
/// # Errors
/// If something cannot be prepared or run, or a guest is not as it must be afterwards.
pub fn fleet(sizes: &[&str]) -> Result<()> {
    let sizes: Vec<usize> = sizes.iter().map(|size| size.parse()).collect::<Result<_, _>>().context("guests")?;
    ensure!(!sizes.contains(&0), "a fleet has a guest at least");
    let (sizes, is_usual) = if sizes.is_empty() { (SIZES.to_vec(), true) } else { (sizes, false) };
    machine::can_run_guests()?;
    prepare::prepare_what_ships()?;
    let world = fresh_world()?;
    let request = built_requests(&world, vec![json!({"name": SECRET, "return_content": true})])?.remove(0);

    let rows: Vec<_> = sizes.iter().map(|size| row(&world, &request, *size)).collect::<Result<_>>()?;
    let (rows, provisioned): (Vec<_>, Vec<_>) = rows.into_iter().unzip();
    println!("\n{} tasks on each guest, {FORKS} forks, linear; medians of {ROUNDS}, but cold once.", TASKS.len());
    println!("Start is a play without tasks, and is taken off where it says: a task.\n");
    println!("| {} |", Row::HEAD.join(" | "));
    println!("|{}", " ---: |".repeat(Row::HEAD.len()));
    rows.iter().for_each(Row::print);
    println!(
        "\nThe playbooks provision (medians of {ROUNDS}) and compliance on the same guests, with {FORKS} forks. By hand: three files \
         copied and four programs started that do nothing, as one would without the collection. Memory is provision's.\n"
    );
    println!("| {} |", Provisioned::HEAD.join(" | "));
    println!("|{}", " ---: |".repeat(Provisioned::HEAD.len()));
    provisioned.iter().for_each(Provisioned::print);
    if is_usual {
        other_ways(&world, &request, sizes.iter().copied().max().unwrap_or_default())?;
    }
    println!(
        "\nNo network is in this, and no SSH: each command is a process of this machine in the namespaces of a simulated guest."
    );
    println!("Controllers and guests share {} processors.", thread::available_parallelism()?);
    Ok(())
}

/// Measures other strategies, numbers of forks and controllers, and prints tables.
fn other_ways(world: &World, request: &Value, most: usize) -> Result<()> {
    let (some, many) = (most.min(100), most.min(250));
    let others = others(world, request, some)?;
    let (one, two) = controllers(world, request, many)?;
    println!("\n{some} guests, warm, medians of {ROUNDS}:\n");
    println!("| strategy | forks | s | controller's memory at its peak, MB |");
    println!("| --- | ---: | ---: | ---: |");
    for (strategy, forks, seconds, memory) in others {
        println!("| {strategy} | {forks} | {seconds:.1} | {:.0} |", memory.all_kb / 1024.0);
    }
    println!(
        "\n{many} guests, warm, medians of {ROUNDS}: one controller with {FORKS} forks, or two with half the guests and half the forks each"
    );
    println!("\n| controllers | s |\n| --- | ---: |\n| one | {one:.1} |\n| two | {two:.1} |");
    Ok(())
}

/// A fleet of one size.
struct Row {
    guests: usize,
    start: Vec<Taken>,
    cold: Taken,
    warm: Vec<Taken>,
    raw: Vec<Taken>,
    memory: Memory,
}

impl Row {
    const HEAD: [&str; 15] = [
        "guests",
        "start, s",
        "cold, s",
        "warm, s",
        "raw, s",
        "a task on a guest, ms: cold",
        "warm",
        "raw",
        "warm : raw",
        "processor time of it, ms: controller",
        "controller, raw",
        "programs in the guest",
        "simulator",
        "controller's memory at its peak, MB",
        "of it the main process",
    ];

    fn print(&self) {
        let middle = |runs: &[Taken], of: fn(&Taken) -> f64| median(runs.iter().map(of).collect());
        let each = |seconds: f64| seconds * 1e3 / (self.guests * TASKS.len()) as f64;
        let clock = |runs: &[Taken]| middle(runs, |run| run.seconds);
        let start = clock(&self.start);
        let whole = [start, self.cold.seconds, clock(&self.warm), clock(&self.raw)];
        // Of one round each, so that what else the machine did is in both.
        let ratio = |(warm, raw): (&Taken, &Taken)| (warm.seconds - start) / (raw.seconds - start);
        let ratio = median(self.warm.iter().zip(&self.raw).map(ratio).collect());
        let controller =
            |runs: &[Taken]| middle(runs, |run| run.controller) - middle(&self.start, |run| run.controller);
        let processor = [
            controller(&self.warm),
            controller(&self.raw),
            middle(&self.warm, |run| run.programs),
            middle(&self.warm, |run| run.simulators),
        ];
        print!("| {}", self.guests);
        whole.iter().for_each(|seconds| print!(" | {seconds:.1}"));
        whole[1..].iter().for_each(|seconds| print!(" | {:.1}", each(seconds - start)));
        print!(" | {ratio:.2}");
        processor.iter().for_each(|seconds| print!(" | {:.1}", each(*seconds)));
        println!(" | {:.0} | {:.0} |", self.memory.all_kb / 1024.0, self.memory.largest_kb / 1024.0);
    }
}

/// The collection's own playbooks on a fleet of one size, in seconds. What a run takes without guests is taken off where it
/// says: a guest.
struct Provisioned {
    guests: usize,
    /// provision on the trusted machine alone.
    trusted: Vec<f64>,
    /// A play without tasks.
    start: Vec<f64>,
    /// A play of one task, `raw true`.
    raw: Vec<f64>,
    fresh: Vec<f64>,
    again: Vec<f64>,
    /// Like `again`, but nothing is attested.
    unattested: Vec<f64>,
    /// What somebody would write without the collection, where each program does nothing; small fleets only.
    by_hand: Option<f64>,
    compliance: f64,
    memory: Memory,
}

impl Provisioned {
    const HEAD: [&str; 18] = [
        "guests",
        "provision fresh, s",
        "again, s",
        "compliance, s",
        "a guest, ms: raw true",
        "provision fresh",
        "again",
        "again without attestation",
        "compliance",
        "by hand",
        "fresh : raw",
        "again : raw",
        "without attestation : raw",
        "with : without attestation",
        "whole run, with : without attestation",
        "by hand : again",
        "controller's memory at its peak, MB",
        "of it the main process",
    ];

    fn print(&self) {
        let each = |seconds: f64, empty: &[f64]| (seconds - median(empty.to_vec())) * 1e3 / self.guests as f64;
        let middle = |runs: &[f64]| median(runs.to_vec());
        let [fresh, again, unattested] = [&self.fresh, &self.again, &self.unattested].map(|runs| middle(runs));
        let raw = each(middle(&self.raw), &self.start);
        let [of_fresh, of_again, of_unattested] =
            [fresh, again, unattested].map(|seconds| each(seconds, &self.trusted));
        let compliance = each(self.compliance, &self.start);
        let by_hand = self.by_hand.map(|seconds| each(seconds, &self.start));
        let or_none = |number: Option<f64>| number.map_or_else(|| "-".to_owned(), |number| format!("{number:.1}"));
        print!("| {} | {fresh:.1} | {again:.1} | {:.1}", self.guests, self.compliance);
        [raw, of_fresh, of_again, of_unattested, compliance].iter().for_each(|ms| print!(" | {ms:.1}"));
        print!(" | {} | {:.2} | {:.2}", or_none(by_hand), of_fresh / raw, of_again / raw);
        print!(" | {:.2} | {:.2} | {:.2}", of_unattested / raw, of_again / of_unattested, again / unattested);
        print!(" | {}", or_none(by_hand.map(|ms| ms / of_again)));
        println!(" | {:.0} | {:.0} |", self.memory.all_kb / 1024.0, self.memory.largest_kb / 1024.0);
    }
}

fn provisioned(fleet: &Fleet, guests: usize) -> Result<Provisioned> {
    step(&format!("Provisioning {guests} guests"), || {
        fleet.reboot()?;
        // The requests are made, and the program sent.
        fleet.provision(FORKS)?;
        let [mut trusted, mut start, mut raw, mut fresh, mut again, mut unattested] = [const { Vec::new() }; 6];
        for _ in 0..ROUNDS {
            fleet.reboot()?;
            start.push(fleet.nothing(FORKS)?.seconds);
            raw.push(fleet.one_raw(FORKS)?.seconds);
            trusted.push(fleet.provision_trusted(FORKS)?.seconds);
            fresh.push(fleet.provision(FORKS)?.seconds);
            fleet.check_provisioned(1)?;
            again.push(fleet.provision_again(FORKS)?.seconds);
            unattested.push(fleet.provision_unattested(FORKS)?.seconds);
        }
        let compliance = fleet.compliance(FORKS)?.seconds;
        let by_hand = (guests <= MOST_BY_HAND).then(|| fleet.by_hand(FORKS)).transpose()?.map(|taken| taken.seconds);
        // In a run of its own, because looking takes time.
        let (watched, memory) = processes::watching_memory(|| fleet.provision(FORKS));
        watched?;
        Ok(Provisioned { guests, trusted, start, raw, fresh, again, unattested, by_hand, compliance, memory })
    })
}

fn row(world: &World, request: &Value, guests: usize) -> Result<(Row, Provisioned)> {
    let fleet = step(&format!("Starting {guests} guests"), || Fleet::start(world, request, 1, guests))?;
    let row = step(&format!("Measuring {guests} guests"), || {
        let (cold, play) = fleet.modules("linear", FORKS)?;
        fleet.check(&play, 1, true)?;
        let (mut start, mut warm, mut raw) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            start.push(fleet.play(&json!([]), "linear", FORKS)?.0);
            raw.push(fleet.raw()?.0);
            let (taken, play) = fleet.modules("linear", FORKS)?;
            fleet.check(&play, 1, false)?;
            warm.push(taken);
        }
        // In a run of its own, because looking takes time.
        let (watched, memory) = processes::watching_memory(|| fleet.modules("linear", FORKS));
        fleet.check(&watched?.1, 1, false)?;
        Ok(Row { guests, start, cold, warm, raw, memory })
    })?;
    Ok((row, provisioned(&fleet, guests)?))
}

/// Seconds and memory by strategy and number of forks.
fn others(world: &World, request: &Value, guests: usize) -> Result<Vec<(&'static str, usize, f64, Memory)>> {
    let fleet = Fleet::start(world, request, 1, guests)?;
    fleet.modules("linear", FORKS)?;
    let forks = OTHER_FORKS.map(|forks| ("linear", forks));
    let strategies = OTHER_STRATEGIES.map(|strategy| (strategy, FORKS));
    let mut rows = Vec::new();
    for (strategy, forks) in [("linear", FORKS)].into_iter().chain(forks).chain(strategies) {
        rows.push(step(&format!("Measuring {strategy} with {forks} forks"), || {
            let mut seconds = Vec::new();
            for _ in 0..ROUNDS {
                let (taken, play) = fleet.modules(strategy, forks)?;
                fleet.check(&play, 1, false)?;
                seconds.push(taken.seconds);
            }
            let (watched, memory) = processes::watching_memory(|| fleet.modules(strategy, forks));
            fleet.check(&watched?.1, 1, false)?;
            Ok((strategy, forks, median(seconds), memory))
        })?);
    }
    Ok(rows)
}

/// Seconds of one controller, and of two at once that have half of the guests each.
fn controllers(world: &World, request: &Value, guests: usize) -> Result<(f64, f64)> {
    let half = guests / 2;
    let one = at_once(world, request, &[(1, guests)])?;
    Ok((one, at_once(world, request, &[(1, half), (half + 1, guests - half)])?))
}

/// Seconds of one play by each controller, all at the same time; a controller has as many guests, from that number on.
fn at_once(world: &World, request: &Value, controllers: &[(usize, usize)]) -> Result<f64> {
    let fleets = controllers.iter().map(|(first, count)| Fleet::start(world, request, *first, *count));
    let fleets: Vec<_> = fleets.collect::<Result<_>>()?;
    let run = |fresh: bool| -> Result<f64> {
        let started = Instant::now();
        let plays = thread::scope(|scope| {
            let run = |fleet| scope.spawn(move || Fleet::modules(fleet, "linear", FORKS / controllers.len()));
            let running: Vec<_> = fleets.iter().map(run).collect();
            let ended = running.into_iter().map(|run| run.join().ok().context("a thread ended early")?);
            ended.collect::<Result<Vec<_>>>()
        })?;
        let seconds = started.elapsed().as_secs_f64();
        for (((first, _), fleet), (_, play)) in controllers.iter().zip(&fleets).zip(plays) {
            fleet.check(&play, *first, fresh)?;
        }
        Ok(seconds)
    };
    step(&format!("Measuring {} at the same time", controllers.len()), || {
        run(true)?;
        Ok(median((0..ROUNDS).map(|_| run(false)).collect::<Result<_>>()?))
    })
}
