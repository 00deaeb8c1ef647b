//! The tests of the collection's Python.

use super::report::Report;
use super::runs::Run;
use anyhow::Result;
use e2e::place;
use std::path::Path;
use std::process::Command;

/// All tests of the Python that Ansible loads, with this interpreter and the ansible-core beside it; skipped if `can` says
/// that they cannot be had.
pub fn tests(python: &Path, title: &str, can: impl FnOnce() -> Result<()> + Send + 'static) -> Run {
    Run::tests_if(title, can, pytest(python), Report::of_pytest)
}

/// Those that start no Ansible.
pub fn quick_tests(python: &Path) -> Run {
    let mut command = pytest(python);
    command.args(["-m", "not ansible"]);
    Run::tests("the collection's Python, without Ansible", command, Report::of_pytest)
}

fn pytest(python: &Path) -> Command {
    let mut command = Command::new(python);
    command.args(["-m", "pytest", "-q", "-rs"]).current_dir(place::repository());
    command
}
