//! The guests' programs on Debian's unchanged kernels for s390x: what that needs is fetched and built once, into a folder
//! beside the repository's own; then the tests in `tests/real-kernel` are run.

mod fetch;
mod qemu;

use crate::chore::step;
use crate::prepare::prepare;
use crate::{dist, machine, test};
use anyhow::{Context, Result, ensure};
use e2e::lab::{CACHE, WANTED, cache, programs};
use std::fs;

/// The program with the tests.
const TESTS: &str = "real-kernel";

/// Chooses cases of the simulator by the beginnings of their names; empty, all of them. Without it, none is run.
const CASES: &str = "SEGUEST_SCENARIO";

/// Fetches and builds what is missing, boots, and prints a line for each check.
///
/// # Errors
/// What is missing, what a tool said, or which check failed.
pub fn lab() -> Result<()> {
    machine::is_ready()?;
    make()?;
    if let Err(why) = fetch::newest(&cache()?) {
        println!("NO KERNEL OF DEBIAN'S SUITE EXPERIMENTAL WAS FETCHED: {why:#}");
    }
    let tests = prepare()?;
    let program = tests.iter().find(|program| program.name == TESTS).context("cargo built no such tests")?;
    let mut command = test::command(program);
    command.arg("--test-threads=1").env(WANTED, "1");
    if std::env::var_os(CASES).is_none() {
        command.env(CASES, "");
    }
    println!("Booting and checking");
    ensure!(command.status()?.success(), "not all checks passed");
    Ok(())
}

/// Brings the laboratory up to date for `cargo xtask test` where it is kept already or asked for.
///
/// # Errors
/// As [`lab`].
pub fn if_there() -> Result<()> {
    let kept = cache().is_ok_and(|folder| qemu::is_built(&folder));
    if kept || std::env::var(WANTED).as_deref() == Ok("1") {
        return make();
    }
    println!(
        "NOTHING WILL BE TRIED ON A REAL KERNEL: there is no laboratory. `cargo xtask lab` makes one (half an hour and \
         2 GB, once), in the folder that {CACHE} names"
    );
    Ok(())
}

/// Brings the laboratory up to date, and the programs in it.
///
/// # Errors
/// What a tool said.
pub fn make() -> Result<()> {
    let folder = cache()?;
    fs::create_dir_all(&folder)?;
    fetch::fetch(&folder)?;
    qemu::build(&folder)?;
    let to = programs()?;
    let mut built = dist::for_guests()?;
    built.push((dist::HARDWARE, dist::hardware_questions()?));
    step("Putting the guests' programs there", || {
        if to.exists() {
            fs::remove_dir_all(&to)?;
        }
        fs::create_dir_all(&to)?;
        for (module, path) in &built {
            fs::copy(path, to.join(module))?;
        }
        Ok(())
    })
}
