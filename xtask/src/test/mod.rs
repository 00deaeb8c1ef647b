//! Every check of the project, counted; what is skipped is named.

mod lints;
mod python;
mod report;
mod runs;

pub use python::tests as python_tests;
pub use report::Report;
pub use runs::{Run, side_by_side};

use crate::build::TestProgram;
use crate::chore::{cargo, openssl_features};
use crate::{dist, docs, lab, prepare, unpacked, unprivileged, versions};
use anyhow::Result;
use e2e::place;
use std::process::Command;
use std::time::Instant;

/// The end-to-end tests, by the names of their programs; the longest first.
const END_TO_END: [&str; 2] = ["playbook", "guest"];

/// Runs everything.
///
/// # Errors
/// What failed, with what it said.
pub fn test() -> Result<()> {
    let started = Instant::now();
    let programs = prepare::prepare()?;
    unpacked::guest_system();
    docs::check()?;
    lab::if_there()?;
    let versions = versions::always(&programs)?;
    let (end_to_end, others): (Vec<_>, Vec<_>) =
        programs.into_iter().partition(|program| !program.is_beside_the_code && is_end_to_end(program));
    let ordinary_user = unprivileged::runs(&end_to_end)?;

    // The longest first, so that none is waited for alone at the end; lints in between, for what they find comes soon.
    let mut runs = Vec::new();
    for name in END_TO_END {
        runs.extend(end_to_end.iter().filter(|program| program.name == name).map(|program| run(program, name)));
    }
    runs.extend(lints::all()?);
    runs.push(Run::check("sizes of the programs as they ship", dist::weigh));
    runs.push(python_tests(&place::python_program("python")?, "the collection's Python", || Ok(())));
    runs.extend(ordinary_user);
    runs.extend(versions);
    runs.extend(others.iter().map(|program| run(program, &title(program))));
    runs.push(examples());
    finish(runs, processors() + 1, started)
}

/// Formats, lints, documentation, and the tests that start neither a program nor Ansible: for every few lines that are
/// written.
///
/// # Errors
/// What failed, with what it said.
pub fn quick() -> Result<()> {
    let started = Instant::now();
    let mut programs = prepare::prepare()?;
    docs::check()?;
    programs.retain(|program| program.is_beside_the_code);
    let mut runs = lints::all()?;
    runs.push(python::quick_tests(&place::python_program("python")?));
    runs.extend(programs.iter().map(|program| run(program, &title(program))));
    finish(runs, processors(), started)
}

fn is_end_to_end(program: &TestProgram) -> bool {
    END_TO_END.contains(&program.name.as_str())
}

fn finish(runs: Vec<Run>, at_once: usize, started: Instant) -> Result<()> {
    println!("Checking and testing");
    let sum = side_by_side(runs, at_once)?;
    println!("\nAll of it took {:.0} s", started.elapsed().as_secs_f64());
    sum.close()
}

/// The examples in doc comments, which only cargo knows how to run.
fn examples() -> Run {
    let mut command = cargo();
    command.args(["test", "--locked", "--workspace", "--exclude", "xtask", "--doc"]).args(openssl_features());
    Run::tests("examples in doc comments", command, Report::of_libtest)
}

/// What a program with tests is called: by its package's folder, and by its own name if that is another.
fn title(program: &TestProgram) -> String {
    let folder = program.folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    if program.name == folder { folder } else { format!("{folder}, {}", program.name) }
}

/// A program with tests.
fn run(program: &TestProgram, title: &str) -> Run {
    Run::tests(title, command(program), Report::of_libtest)
}

/// A program with tests, called as cargo does.
pub fn command(program: &TestProgram) -> Command {
    let mut command = Command::new(&program.path);
    command.arg("--show-output").current_dir(&program.folder);
    command
}

/// How many processors this machine lets us use.
fn processors() -> usize {
    std::thread::available_parallelism().map_or(2, std::num::NonZero::get)
}

/// That a filter of libtest, a module's name and perhaps the beginning of a test's, picks a test of an end-to-end program:
/// one that picks none would pass.
#[cfg(test)]
pub fn assert_some_test(program: &str, filter: &str) {
    let (module, test) = filter.split_once("::").unwrap();
    let path = place::repository().join(format!("tests/{program}/{module}.rs"));
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.contains(&format!("#[test]\nfn {test}")), "{filter} picks no test in {}", path.display());
}
