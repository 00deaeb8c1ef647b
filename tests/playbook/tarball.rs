//! The collection's tarball and ansible-core, and nothing else of the project.

use anyhow::{Context, Result};
use e2e::{can_simulate, place, provision_from_tarball};

#[test]
fn a_user_with_only_the_tarball_provisions_guests_without_python_as_its_readme_says() -> Result<()> {
    if !can_simulate("a_user_with_only_the_tarball_provisions_guests_without_python_as_its_readme_says") {
        return Ok(());
    }
    let dir = tempfile::tempdir()?;
    let programs = place::python_program("ansible-playbook")?;
    provision_from_tarball(&place::tarball()?, programs.parent().context("no folder")?, dir.path())?;
    Ok(())
}
