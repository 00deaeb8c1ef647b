//! Runs of modules with what they took.

use crate::chore::{cargo, quietly, step};
use anyhow::{Context, Result, bail, ensure};
use e2e::{World, place};
use serde_json::Value;
use std::fs;
use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::Instant;

/// What one run took.
pub struct Run {
    /// On the clock.
    pub seconds: f64,
    /// Of processor time, of the program alone.
    pub cpu_seconds: f64,
    /// Of memory, at its peak.
    pub peak_kb: f64,
}

/// Builds the programs that measure and compare.
///
/// # Errors
/// What the compiler said.
pub fn build() -> Result<()> {
    step("Building what measures", || {
        quietly(cargo().args(["build", "--locked", "--profile", "ship", "--package", "pv-guest", "--examples"]))
            .map(|_| ())
    })
}

/// One of those programs.
///
/// # Errors
/// If it is not built.
pub fn example(name: &str) -> Result<PathBuf> {
    place::binary(&format!("examples/{name}"))
}

impl Run {
    /// Reads what `measured` said last on standard error.
    ///
    /// # Errors
    /// If that is not its line: the program under it could not be run, or complained.
    pub fn of(output: &Output) -> Result<Self> {
        let said = String::from_utf8_lossy(&output.stderr);
        let numbers: Vec<f64> = said.split_whitespace().map_while(|word| word.parse().ok()).collect();
        let &[seconds, cpu_seconds, peak_kb] = numbers.as_slice() else {
            bail!("three numbers expected: {said}");
        };
        ensure!(said.lines().count() == 1, "one line expected: {said}");
        Ok(Self { seconds, cpu_seconds, peak_kb })
    }
}

/// Runs a module of the trusted machine with these options, and gives its result. Its peak of memory is read when it begins to
/// print, for then all is done. It must print more than a pipe holds, so that it is still there.
///
/// # Errors
/// If it cannot be run, or prints no result.
pub fn task(module: &str, world: &World, options: &Value) -> Result<(Run, Value)> {
    let started = Instant::now();
    let mut child = Command::new(place::binary(module)?)
        .arg("-")
        .env("XDG_STATE_HOME", world.path("state"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    child.stdin.take().context("no standard input")?.write_all(options.to_string().as_bytes())?;
    let mut stdout = child.stdout.take().context("no standard output")?;
    let mut answer = vec![0];
    stdout.read_exact(&mut answer)?;
    let of_child = |what: &str| fs::read_to_string(format!("/proc/{}/{what}", child.id()));
    let (status, stat) = (of_child("status")?, of_child("stat")?);
    stdout.read_to_end(&mut answer)?;
    child.wait()?;
    let seconds = started.elapsed().as_secs_f64();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no peak of memory")?;
    let peak_kb = peak.trim().trim_end_matches(" kB").parse()?;
    // Fields 14 and 15 of proc(5), in hundredths of a second; the name before them may hold blanks.
    let fields = stat.rsplit_once(')').context("no name in stat")?.1.split_whitespace().skip(11).take(2);
    let ticks = fields.map(str::parse::<f64>).sum::<std::result::Result<f64, _>>()?;
    Ok((Run { seconds, cpu_seconds: ticks / 100.0, peak_kb }, serde_json::from_slice(&answer)?))
}

/// The middle one of something of several runs.
pub fn middle(runs: &[Run], of: impl Fn(&Run) -> f64) -> f64 {
    super::median(runs.iter().map(of).collect())
}
