//! The oldest and the newest ansible-core that the collection is for, beside the one between them that
//! `tests/requirements.txt` pins and everything else runs with.

use crate::chore::{cargo, openssl_features, step};
use crate::test::{Tally, python_tests, rust_tests};
use crate::{guest_system, machine, prepare};
use anyhow::Result;
use e2e::place;
use std::ops::RangeInclusive;
use std::path::PathBuf;

/// An ansible-core, which `tests/versions/NAME.txt` pins with all that it needs.
struct Version {
    name: &'static str,
    /// The versions of Python that it runs on.
    pythons: RangeInclusive<(u32, u32)>,
}

const VERSIONS: [Version; 2] =
    [Version { name: "oldest", pythons: (3, 11)..=(3, 13) }, Version { name: "newest", pythons: (3, 12)..=(3, 14) }];

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
    prepare::prepare()?;
    guest_system::guest_system();
    let mut tally = Tally::default();
    with_each(&[], &mut tally)?;
    tally.close()
}

/// Runs [`ALWAYS`] with each version.
///
/// # Errors
/// What failed, with what it said.
pub fn always(tally: &mut Tally) -> Result<()> {
    with_each(&ALWAYS, tally)
}

/// Runs the tests whose names have one of these in them, or all and those of the action plugins, with each version.
fn with_each(tests: &[&str], tally: &mut Tally) -> Result<()> {
    for version in &VERSIONS {
        let name = version.name;
        let environment = match step(&format!("Installing the {name} ansible-core"), || environment(version)) {
            Ok(environment) => environment,
            Err(why) => {
                tally.skipped.push(format!("tests with the {name} ansible-core: {why:#}"));
                continue;
            }
        };
        if tests.is_empty() {
            println!("Testing the action plugins with the {name} ansible-core");
            python_tests(&environment.join("bin/python"), tally)?;
        }
        println!("Testing the collection with the {name} ansible-core");
        let mut command = cargo();
        // The same selection as for all tests, so that nothing is built again.
        command.args(["test", "--workspace", "--test", "playbook", "--no-fail-fast"]).args(openssl_features());
        command.args(["--", "--show-output"]).args(tests).env(place::ANSIBLE, name);
        rust_tests(&mut command, tally)?;
    }
    Ok(())
}

/// The Python environment of a version.
///
/// # Errors
/// If this machine lacks what it needs.
fn environment(version: &Version) -> Result<PathBuf> {
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
    prepare::python_environment(&python, &requirements, &environment)?;
    Ok(environment)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(path: &str) -> String {
        std::fs::read_to_string(place::repository().join(path)).unwrap()
    }

    fn pinned(path: &str) -> String {
        let text = text(path);
        text.lines().find_map(|line| line.strip_prefix("ansible-core==")).unwrap().to_owned()
    }

    #[test]
    fn the_versions_that_the_collection_promises_are_those_that_are_tested() {
        let [oldest, newest] = VERSIONS.map(|version| pinned(&format!("tests/versions/{}.txt", version.name)));
        let usual = pinned("tests/requirements.txt");
        let tested = format!("Tested with {oldest}, {usual} and {newest}.");
        assert!(text("collection/README.md").contains(&tested), "{tested}");
        let required = format!("requires_ansible: \">={oldest}\"\n");
        assert!(text("collection/meta/runtime.yml").contains(&required), "{required}");
    }
}
