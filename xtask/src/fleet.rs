//! Two simulated guests, and a shell in a folder with an inventory of them: one's own to change.

use crate::machine;
use crate::prepare::prepare;
use anyhow::{Context, Result, ensure};
use e2e::{Controller, Fleet, place};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::process::Command;

/// Starts two guests and opens a shell; they end with it.
///
/// # Errors
/// If a guest does not come up.
pub fn fleet() -> Result<()> {
    machine::is_ready()?;
    prepare()?;
    let dir = place::target()?.join("fleet");
    if dir.exists() {
        fs::remove_dir_all(&dir)?;
    }
    let fleet = Fleet::new(&dir)?;
    let mine = dir.join("mine");
    write(&fleet, &mine)?;
    print!("{}", welcome(&mine, &dir));

    let programs = [place::binary("guest-sim")?, place::python_program("ansible")?];
    let folders = programs.iter().filter_map(|program| program.parent().map(Path::to_path_buf));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let status = Command::new(std::env::var_os("SHELL").unwrap_or_else(|| "/bin/sh".into()))
        .current_dir(&mine)
        .env("PATH", std::env::join_paths(folders.chain(std::env::split_paths(&path)))?)
        .env("XDG_STATE_HOME", dir.join("state-home"))
        .envs(Controller::plugins()?)
        .status()?;
    // The shell's own exit code is the user's business.
    ensure!(status.code().is_some(), "the shell was killed");
    Ok(())
}

/// The inventory in files as users have them, and an `ansible.cfg` that names it.
fn write(fleet: &Fleet, mine: &Path) -> Result<()> {
    let variables = mine.join("inventory/group_vars");
    fs::create_dir_all(&variables)?;
    let mut inventory: Value = serde_json::from_slice(&fs::read(fleet.controller.inventory())?)?;
    let all = inventory["all"].as_object_mut().context("an inventory without hosts")?;
    let mut vars = all.remove("vars").unwrap_or_else(|| json!({}));
    // To be said by whoever makes them.
    vars.as_object_mut().context("variables that are none")?.remove("provision_create_secrets");
    fs::write(mine.join("inventory/hosts.yml"), serde_yaml::to_string(&inventory)?)?;
    fs::write(variables.join("all.yml"), serde_yaml::to_string(&vars)?)?;
    Ok(fs::write(mine.join("ansible.cfg"), "[defaults]\ninventory = inventory\n")?)
}

fn welcome(mine: &Path, dir: &Path) -> String {
    format!(
        "
Two simulated guests are running, and you are in {mine}. Its inventory is yours to change: hosts.yml, group_vars/all.yml.

    ansible-playbook seguest.pv.provision -e provision_create_secrets=true    the first time
    ansible-playbook seguest.pv.provision                                     from then on: changes nothing
    ansible-playbook seguest.pv.compliance                                    writes compliance.html here
    ansible guests -m seguest.pv.facts -a gather_subset=secrets
Secrets and requests are in {output}. A guest's reboot, and the hardware's own view of it:
    guest-sim reboot --dir {dir}/guest2
    guest-sim state --dir {dir}/guest2
`exit` ends the guests.

",
        mine = mine.display(),
        output = dir.join("trusted").display(),
        dir = dir.display(),
    )
}
