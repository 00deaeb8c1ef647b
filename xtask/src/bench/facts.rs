//! `facts` of a machine full of queues, beside a bare loop that reads the same files.

use super::measured::{self, Run, middle};
use crate::chore::step;
use crate::{build, machine};
use anyhow::{Context, Result, ensure};
use e2e::place;
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

const CARDS: usize = 256;
const DOMAINS: usize = 256;
const ROUNDS: usize = 7;
/// How many times the bare loop's time facts may take.
const AIM: f64 = 1.5;

/// Files of an EP11 card and of a queue that is associated, the most that there is to read.
const OF_CARD: [(&str, &str); 5] =
    [("type", "CEX8P\n"), ("online", "1\n"), ("config", "1\n"), ("chkstop", "0\n"), ("serialnr", "93AADFK719460083\n")];
const OF_QUEUE: [(&str, &str); 7] = [
    ("ap_functions", "0x92000000\n"),
    ("se_bind", "bound\n"),
    ("se_associate", "associated 0\n"),
    ("mkvps", "WK CUR: valid 0x00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff\nWK NEW: empty -\n"),
    ("online", "1\n"),
    ("config", "1\n"),
    ("chkstop", "0\n"),
];

/// Measures and prints both.
///
/// # Errors
/// If the tree cannot be made or mounted, or one of the two does not read all of it.
pub fn facts() -> Result<()> {
    machine::can_build()?;
    step("Building what the benchmark needs", || build::as_they_ship(&["facts"]))?;
    measured::build()?;
    // In memory, as sysfs is: the cache of a disk would be measured otherwise.
    let memory = Path::new("/dev/shm");
    let tree = if memory.is_dir() { tempfile::tempdir_in(memory)? } else { tempfile::tempdir()? };
    step("Writing a tree of 65,536 queues", || write_tree(tree.path()))?;

    let arguments = tree.path().join("arguments.json");
    fs::write(&arguments, r#"{"gather_subset": ["ap"], "timeout": 600}"#)?;
    let (mut of_facts, mut of_bare) = (Vec::new(), Vec::new());
    step("Measuring", || {
        for _ in 0..ROUNDS {
            let output = under(tree.path(), &measured::example("every_file")?, None)?;
            let said = String::from_utf8_lossy(&output.stdout);
            let files = CARDS * OF_CARD.len() + CARDS * DOMAINS * OF_QUEUE.len();
            ensure!(said.starts_with(&format!("{files} files, ")), "the bare loop read {said}");
            of_bare.push(Run::of(&output)?);

            let output = under(tree.path(), &place::binary("facts")?, Some(&arguments))?;
            let result: Value = serde_json::from_slice(&output.stdout)?;
            let ap = &result["ansible_facts"]["ansible_secure_execution"]["ap"];
            let told = |what: &str| ap[what].as_array().map_or(0, Vec::len);
            ensure!((told("cards"), told("queues")) == (CARDS, CARDS * DOMAINS), "facts told {}", result["msg"]);
            of_facts.push(Run::of(&output)?);
        }
        Ok(())
    })?;
    let (clock, cpu) = (|run: &Run| run.seconds * 1e3, |run: &Run| run.cpu_seconds * 1e3);
    println!("\n{} queues, all files in memory, medians of {ROUNDS}:", CARDS * DOMAINS);
    println!("                 ms on the clock    ms of processor time    kB at the peak");
    for (name, runs) in [("bare loop", &of_bare), ("facts", &of_facts)] {
        let (clock, cpu, peak) = (middle(runs, clock), middle(runs, cpu), middle(runs, |run| run.peak_kb));
        println!("    {name:<10} {clock:>17.0} {cpu:>23.0} {peak:>17.0}");
    }
    let ratio = |of: fn(&Run) -> f64| middle(&of_facts, of) / middle(&of_bare, of);
    println!("    ratio      {:>17.2} {:>23.2}    (aim: at most {AIM} on the clock)", ratio(clock), ratio(cpu));
    Ok(())
}

/// Runs a program that sees the tree as its `/sys`, and measures it.
fn under(tree: &Path, program: &Path, argument: Option<&Path>) -> Result<Output> {
    let mut command = Command::new("unshare");
    command.args(["--map-root-user", "--mount", "sh", "-c", r#"mount --bind "$0" /sys && exec "$@""#]);
    command.arg(tree).arg(measured::example("measured")?).arg(program).args(argument).stdin(Stdio::null());
    let output = command.output().context("unshare cannot be run")?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(output)
}

fn write_tree(root: &Path) -> Result<()> {
    let write = |folder: &Path, files: &[(&str, &str)]| -> Result<()> {
        fs::create_dir_all(folder)?;
        Ok(files.iter().try_for_each(|(name, text)| fs::write(folder.join(name), text))?)
    };
    write(&root.join("bus/ap"), &[("features", "APXA APSB\n"), ("bindings", "65536/65536 (complete)\n")])?;
    write(&root.join("firmware/uv"), &[("prot_virt_guest", "1\n"), ("prot_virt_host", "0\n")])?;
    for card in 0..CARDS {
        let folder = root.join(format!("devices/ap/card{card:02x}"));
        write(&folder, &OF_CARD)?;
        for domain in 0..DOMAINS {
            write(&folder.join(format!("{card:02x}.{domain:04x}")), &OF_QUEUE)?;
        }
    }
    Ok(())
}
