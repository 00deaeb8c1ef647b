//! The tests of the collection's Python.

use super::report::Report;
use super::runs::Run;
use e2e::place;
use std::path::Path;
use std::process::Command;

/// The tests of the Python that Ansible loads, with this interpreter and the ansible-core beside it.
pub fn tests(python: &Path, title: &str) -> Run {
    let mut command = Command::new(python);
    command.args(["-m", "pytest", "-q", "-rs"]).current_dir(place::repository());
    Run::tests(title, command, Report::of_pytest)
}
