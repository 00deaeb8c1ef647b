//! The oldest and the newest ansible-core that the collection is for, beside the one between them that
//! `tests/requirements.txt` pins and everything else runs with.

use crate::build::TestProgram;
use crate::test::{Report, Run, command, python_tests, side_by_side};
use crate::{machine, prepare, unpacked};
use anyhow::{Context, Result};
use e2e::place;
use std::ops::RangeInclusive;

/// An ansible-core, which `tests/versions/NAME.txt` pins with all that it needs.
struct Version {
    name: &'static str,
    /// The versions of Python that it runs on.
    pythons: RangeInclusive<(u32, u32)>,
}

static VERSIONS: [Version; 2] =
    [Version { name: "oldest", pythons: (3, 11)..=(3, 13) }, Version { name: "newest", pythons: (3, 13)..=(3, 15) }];

/// What every run of `cargo xtask test` tries with each: the collection from its tarball, all the way over SSH where that
/// can be; check mode; what a guest prints, which Ansible is not to obey; what Ansible itself refuses.
const ALWAYS: [&str; 4] = [
    "tarball::",
    "over_ssh::asynchronous_tasks_are_refused_in_ansibles_own_words",
    "over_ssh::check_mode_environment_no_log_and_delegation_keep_their_meaning",
    "provisioning::check_mode_on_fresh_guests_fails_nowhere_and_touches_nothing",
];

/// Runs all tests that Ansible has a part in with each version.
///
/// # Errors
/// What failed, with what it said.
pub fn versions() -> Result<()> {
    let programs = prepare::prepare()?;
    unpacked::guest_system();
    let runs = with_each(&programs, &[])?;
    println!("Testing");
    side_by_side(runs, 1)?.close()
}

/// The runs of [`ALWAYS`] with each version.
///
/// # Errors
/// If there are no tests of playbooks.
pub fn always(programs: &[TestProgram]) -> Result<Vec<Run>> {
    with_each(programs, &ALWAYS)
}

/// The runs of the tests whose names have one of these in them, or of all and those of the action plugins, with each version.
fn with_each(programs: &[TestProgram], tests: &'static [&str]) -> Result<Vec<Run>> {
    let playbook = programs.iter().find(|program| program.name == "playbook").context("no tests of playbooks")?;
    let mut runs = Vec::new();
    for version in &VERSIONS {
        let name = version.name;
        let mut playbooks = command(playbook);
        playbooks.args(tests).env(place::ANSIBLE, name);
        let title = format!("playbook with the {name} ansible-core");
        runs.push(Run::tests_if(title, || environment(version), playbooks, Report::of_libtest));
        if tests.is_empty() {
            let python = place::environment(Some(name))?.join("bin/python");
            let title = format!("the collection's Python with the {name} ansible-core");
            runs.push(python_tests(&python, &title, || environment(version)));
        }
    }
    Ok(runs)
}

/// Makes the Python environment of a version.
///
/// # Errors
/// If this machine lacks what it needs.
fn environment(version: &Version) -> Result<()> {
    let (least, most) = (version.pythons.start(), version.pythons.end());
    let python = machine::python_within(&version.pythons).ok_or_else(|| {
        anyhow::anyhow!(
            "it runs on Python {}.{} to {}.{} with its venv module, and there is none on the PATH, nor among pyenv's",
            least.0,
            least.1,
            most.0,
            most.1
        )
    })?;
    let requirements = place::repository().join(format!("tests/versions/{}.txt", version.name));
    let environment = place::environment(Some(version.name))?;
    prepare::python_environment(&python, &requirements, &environment)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(path: &str) -> String {
        std::fs::read_to_string(place::repository().join(path)).unwrap()
    }

    fn pinned(path: &str) -> String {
        let text = text(path);
        text.lines().find_map(|line| line.strip_prefix("ansible-core==")).unwrap().trim_end_matches(" \\").to_owned()
    }

    #[test]
    fn what_every_run_tries_with_each_version_is_there() {
        ALWAYS.into_iter().for_each(|filter| crate::test::assert_some_test("playbook", filter));
    }

    #[test]
    fn the_versions_that_the_collection_promises_are_those_that_are_tested() {
        let [oldest, newest] = ["oldest", "newest"].map(|name| pinned(&format!("tests/versions/{name}.txt")));
        let usual = pinned("tests/requirements.txt");
        let tested = format!("Tested with {oldest}, {usual} and {newest}.");
        assert!(text("collection/README.md").contains(&tested), "{tested}");
        let required = format!("requires_ansible: \">={oldest}\"\n");
        assert!(text("collection/meta/runtime.yml").contains(&required), "{required}");
        assert_eq!(pinned("execution-environment/requirements.txt"), newest);
    }
}
