//! Runs of modules with what they took.

use crate::chore::{cargo, quietly, step};
use anyhow::{Result, bail, ensure};
use e2e::place;
use std::path::PathBuf;
use std::process::Output;

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

/// The middle one of something of several runs.
pub fn middle(runs: &[Run], of: impl Fn(&Run) -> f64) -> f64 {
    super::median(runs.iter().map(of).collect())
}
