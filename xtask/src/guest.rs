//! A shell in a simulated guest.

use crate::machine;
use crate::prepare::prepare;
use anyhow::{Result, ensure};
use e2e::{World, fleet_cards, place};
use std::fs;
use std::process::Command;

/// Starts a guest with a few crypto cards and opens a shell in it; it ends with the shell.
///
/// # Errors
/// If the guest does not come up.
pub fn guest() -> Result<()> {
    machine::can_run_guests()?;
    prepare()?;
    let dir = place::target()?.join("guest");
    if dir.exists() {
        fs::remove_dir_all(&dir)?;
    }
    let world = World::new(&dir, &["machine1"])?;
    let scenario = world.path("scenario.yaml");
    fs::write(&scenario, format!("host_key: machine1.key\nimage: image.sim\n{}", fleet_cards()))?;
    let programs = place::binary("guest-sim")?.parent().map(std::path::Path::to_path_buf);
    let path = std::env::var_os("PATH").unwrap_or_default();
    println!(
        "\nYou are in a simulated guest. The modules are on the PATH and read their options as JSON from standard input:\n\n    \
         echo '{{\"gather_subset\": [\"ap\"]}}' | facts -\n    \
         echo '{{\"entries\": [{{\"mode\": \"accel\"}}], \"_ansible_diff\": true}}' | ap_bind -\n\n\
         Host key documents, certificates and the image lie in {}.\n\
         `guest-sim state --dir {2}` shows what the hardware holds, `guest-sim reboot --dir {2}` boots anew,\n\
         `guest-sim set --dir {2} FILE` changes cards or injects faults ({1}). `exit` ends it.\n",
        dir.display(),
        place::repository().join("crates/guest-sim/README.md").display(),
        world.path("state").display(),
    );
    let mut command = Command::new(place::binary("guest-sim")?);
    command.arg("run").arg("--scenario").arg(&scenario).arg("--dir").arg(world.path("state")).arg("--");
    command.arg(std::env::var_os("SHELL").unwrap_or_else(|| "/bin/sh".into()));
    command.env("PATH", std::env::join_paths(programs.into_iter().chain(std::env::split_paths(&path)))?);
    // The shell's own exit code is the user's business; 125 is the simulator's.
    ensure!(command.status()?.code() != Some(125), "the simulated guest did not come up");
    Ok(())
}
