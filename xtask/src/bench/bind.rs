//! `ap_bind` in a simulated guest: what it adds to the time that adapters take.

use super::measured::{self, Run};
use super::{built_requests, fresh_world};
use crate::chore::step;
use crate::{build, machine};
use anyhow::{Result, ensure};
use e2e::{Guest, World, place};
use serde_json::{Value, json};
use std::path::Path;

/// Milliseconds that an adapter takes to bind, to associate and to release.
const STEPS: [u32; 3] = [0, 5, 50];
/// Cards, and queues on each: one each can be looked at all at once, several on a card only one after another.
const LAYOUTS: [Layout; 6] = [
    Layout { cards: 1, each: 1 },
    Layout { cards: 8, each: 1 },
    Layout { cards: 64, each: 1 },
    Layout { cards: 1, each: 8 },
    Layout { cards: 8, each: 8 },
    Layout { cards: 1, each: 64 },
];
const ROUNDS: usize = 5;
/// Milliseconds for a run that finds nothing to do, milliseconds of processor time and kilobytes for any run.
const NOTHING_AIM: f64 = 5.0;
const CPU_AIM: f64 = 3.0;
const PEAK_AIM: f64 = 4096.0;

/// The key that all queues of a domain have, and one that none has.
fn key(domain: usize) -> String {
    format!("{:032x}", domain + 1)
}
const NO_KEY: &str = "cccccccccccccccccccccccccccccccc";

#[derive(Clone, Copy, PartialEq)]
struct Layout {
    cards: usize,
    each: usize,
}

impl Layout {
    fn queues(self) -> usize {
        self.cards * self.each
    }

    fn scenario(self, step: u32) -> String {
        let queue = |domain| (format!("{domain:04x}"), json!({"mkvp": key(domain)}));
        let queues: Value = (0..self.each).map(queue).collect::<serde_json::Map<_, _>>().into();
        let card = |number| (format!("{number:02x}"), json!({"type": "CEX8P", "queues": queues}));
        let cards: Value = (0..self.cards).map(card).collect::<serde_json::Map<_, _>>().into();
        let delays = json!({"bind_ms": step, "associate_ms": step, "reset_ms": step, "settle_ms": 0});
        // JSON is YAML.
        format!("ultravisor: {{max_assoc_secrets: 64}}\ndelays: {delays}\ncards: {cards}\n")
    }

    /// An entry for each queue, each with a secret of its own.
    fn entries(self) -> Value {
        let entry = |at| json!({"name": name(at), "mode": "ep11", "mkvp": key(at % self.each)});
        json!({"entries": (0..self.queues()).map(entry).collect::<Vec<_>>()})
    }
}

fn name(at: usize) -> String {
    format!("queue {at}")
}

/// The runs on one guest.
#[derive(Default)]
struct Runs {
    /// All queues are free and become associated.
    serving: Vec<Run>,
    /// All are associated as they are to be.
    nothing: Vec<Run>,
    /// All are free and looked at in vain.
    looking: Vec<Run>,
    /// The same where the attributes are files in memory: the simulator, slower than sysfs, is not measured with it.
    nothing_in_memory: Vec<Run>,
    /// Loops that read once what `ap_bind` reads of queues that are associated, from the simulator and from memory, and
    /// that do no more than what looking and serving need: what is not theirs is `ap_bind`'s own.
    bare: Bare,
}

/// What bare loops take.
#[derive(Default)]
struct Bare {
    nothing: Vec<Run>,
    nothing_in_memory: Vec<Run>,
    serving: Vec<Run>,
    looking: Vec<Run>,
}

/// Measures and prints tables.
///
/// # Errors
/// If something cannot be built or run, or a run does not do what it is measured for.
pub fn bind() -> Result<()> {
    machine::can_run_guests()?;
    machine::can_build()?;
    step("Building what the benchmark needs", || {
        build::as_they_ship(&["ap_bind", "secret_add", "secret_request", "guest-sim", "test-pki"])
    })?;
    measured::build()?;
    let world = fresh_world()?;
    let requests = step("Building requests", || requests(&world))?;

    let mut tables = Vec::new();
    for ms in STEPS {
        let measure_all = || {
            let runs = LAYOUTS.iter().map(|layout| measure(&world, &requests, *layout, ms));
            runs.collect::<Result<Vec<_>>>()
        };
        tables.push((ms, step(&format!("Measuring with adapters that take {ms} ms for each step"), measure_all)?));
    }
    print(&tables);
    Ok(())
}

fn print(tables: &[(u32, Vec<Runs>)]) {
    println!("\nmilliseconds on the clock, medians of {ROUNDS}; in brackets what is aimed at, at most");
    println!("  (serving: 1.1 of one queue + 0.5 a queue; looking, beyond a run that has nothing to do: binding and");
    println!("  releasing each queue of the fullest card + 1 a queue; both where a card has several queues)");
    println!("  nothing to do: with attributes from the simulator, and from files in memory)");
    println!("after each /: a bare loop that reads every attribute once and does only the writes that must be");
    println!(
        "step  cards x queues        looking + serving /            looking in vain /         nothing to do /     in memory [{NOTHING_AIM}] /"
    );
    for (ms, all) in tables {
        let one = all.first().map_or(f64::NAN, |runs| clock(&runs.serving));
        for (layout, runs) in LAYOUTS.iter().zip(all) {
            let queues = layout.queues() as f64;
            let looks = (layout.each * 2) as f64 * f64::from(*ms) + queues;
            let serves = 1.1 * one + 0.5 * queues + if layout.each > 1 { looks } else { 0.0 };
            let (serving, nothing, in_memory) =
                (clock(&runs.serving), clock(&runs.nothing), clock(&runs.nothing_in_memory));
            let looking = clock(&runs.looking) - nothing;
            let bare = &runs.bare;
            print!("{ms:>4}  {:>5} x {:<6}", layout.cards, layout.each);
            print!("{serving:>9.1} [{serves:>6.1}]{}/{:>7.1}", mark(serving, serves), clock(&bare.serving));
            let bare_looking = clock(&bare.looking) - clock(&bare.nothing);
            print!("{looking:>10.1} [{looks:>6.1}]{}/{bare_looking:>7.1}", mark(looking, looks));
            print!("{nothing:>15.1} /{:>7.1}", clock(&bare.nothing));
            print!("{in_memory:>12.1}{}/", mark(in_memory, NOTHING_AIM));
            println!("{:>6.1}", clock(&bare.nothing_in_memory));
        }
    }
    println!("\nmilliseconds of processor time of ap_bind alone [{CPU_AIM}] and kilobytes at its peak [{PEAK_AIM}]");
    println!("step  cards x queues          serving          looking    nothing to do        in memory");
    for (ms, all) in tables {
        for (layout, runs) in LAYOUTS.iter().zip(all) {
            print!("{ms:>4}  {:>5} x {:<6}", layout.cards, layout.each);
            for kind in [&runs.serving, &runs.looking, &runs.nothing, &runs.nothing_in_memory] {
                let (cpu, peak) = (cpu(kind), measured::middle(kind, |run| run.peak_kb));
                print!("  {cpu:>7.1}{}{peak:>6.0}{}", mark(cpu, CPU_AIM), mark(peak, PEAK_AIM));
            }
            println!();
        }
    }
    println!("* more than is aimed at");
}

fn clock(runs: &[Run]) -> f64 {
    measured::middle(runs, |run| run.seconds * 1e3)
}

fn cpu(runs: &[Run]) -> f64 {
    measured::middle(runs, |run| run.cpu_seconds * 1e3)
}

fn mark(found: f64, aim: f64) -> char {
    if found > aim { '*' } else { ' ' }
}

/// Requests for association secrets, as the arguments of `secret_add`.
fn requests(world: &World) -> Result<Vec<Value>> {
    let most = LAYOUTS.iter().map(|layout| layout.queues()).max().unwrap_or_default();
    built_requests(world, (0..most).map(|at| json!({"name": name(at), "return_content": true})).collect())
}

fn measure(world: &World, requests: &[Value], layout: Layout, ms: u32) -> Result<Runs> {
    let name = format!("guest{}x{}-{ms}", layout.cards, layout.each);
    let guest = Guest::start(world, &name, "machine1", &layout.scenario(ms))?;
    let some: Vec<_> = requests.iter().take(layout.queues()).collect();
    ensure!(guest.module("secret_add", &json!({"requests": some}))?["changed"] == true, "no secret was added");
    let in_vain = json!({"entries": [{"name": self::name(0), "mode": "ep11", "mkvp": NO_KEY}], "strict": false});
    let mut runs = Runs::default();
    for _ in 0..ROUNDS {
        let (run, result) = ap_bind(&guest, &in_vain)?;
        let inspected = result["inspected"].as_array().map_or(0, Vec::len);
        ensure!(inspected == layout.queues() && result["changed"] == false, "not all were looked at: {result}");
        runs.looking.push(run);
        guest.until_reset()?;

        let (run, result) = ap_bind(&guest, &layout.entries())?;
        let served =
            result["entries"].as_array().map_or(0, |all| all.iter().filter(|e| e["status"] == "served").count());
        ensure!(served == layout.queues() && result["changed"] == true, "not all were served: {result}");
        runs.serving.push(run);

        let before = writes(&guest)?;
        let (run, result) = ap_bind(&guest, &layout.entries())?;
        ensure!(result["changed"] == false, "something was changed: {result}");
        ensure!(writes(&guest)? == before, "a queue was touched though nothing was to be done");
        runs.nothing.push(run);

        guest.own_folder(Path::new("/mnt"))?;
        in_guest(&guest, "cp -r /sys/devices/ap /mnt/ap && mount --bind /mnt/ap /sys/devices/ap")?;
        let (run, result) = ap_bind(&guest, &layout.entries())?;
        ensure!(result["changed"] == false, "something was changed: {result}");
        runs.nothing_in_memory.push(run);
        runs.bare.nothing_in_memory.push(bare(&guest, &[])?);
        in_guest(&guest, "umount /sys/devices/ap && umount /mnt")?;

        runs.bare.nothing.push(bare(&guest, &[])?);
        release(&guest)?;
        runs.bare.looking.push(bare(&guest, &["look"])?);
        guest.until_reset()?;
        runs.bare.serving.push(bare(&guest, &["serve"])?);
        release(&guest)?;
    }
    Ok(runs)
}

fn bare(guest: &Guest, words: &[&str]) -> Result<Run> {
    let every_file = path(&measured::example("every_file")?);
    let arguments: Vec<&str> = std::iter::once(every_file.as_str()).chain(words.iter().copied()).collect();
    let output = guest.run(&measured::example("measured")?, &arguments, b"")?;
    ensure!(output.status.success(), "every_file {words:?}: {}", String::from_utf8_lossy(&output.stderr));
    Run::of(&output)
}

fn release(guest: &Guest) -> Result<()> {
    let result = guest.module("ap_bind", &json!({"state": "unbound", "all": true}))?;
    ensure!(result["changed"] == true, "nothing was released: {result}");
    guest.until_reset().map(|_| ())
}

fn ap_bind(guest: &Guest, arguments: &Value) -> Result<(Run, Value)> {
    let module = path(&place::binary("ap_bind")?);
    let output = guest.run(&measured::example("measured")?, &[&module, "-"], arguments.to_string().as_bytes())?;
    let result: Value = serde_json::from_slice(&output.stdout)?;
    ensure!(result["failed"] != true, "ap_bind: {result}");
    Ok((Run::of(&output)?, result))
}

fn in_guest(guest: &Guest, command: &str) -> Result<()> {
    let output = guest.run(Path::new("/bin/sh"), &["-c", command], b"")?;
    ensure!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

fn path(path: &Path) -> String {
    path.display().to_string()
}

/// How often something was written to a queue so far.
fn writes(guest: &Guest) -> Result<usize> {
    Ok(guest.log()?.iter().filter(|event| event["what"] == "write").count())
}
