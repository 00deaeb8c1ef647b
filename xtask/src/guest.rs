//! A shell in a simulated guest.

use crate::machine;
use crate::prepare::prepare;
use anyhow::{Result, bail, ensure};
use e2e::{WANTED_KEY, World, fleet_cards, place};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::process::Command;

/// Starts a guest with a few crypto cards and opens a shell in it; it ends with the shell.
///
/// # Errors
/// If the guest does not come up.
pub fn guest() -> Result<()> {
    machine::is_ready()?;
    prepare()?;
    let dir = place::target()?.join("guest");
    let state = dir.join("state");
    if let Some(pid) = running(&state) {
        let enter = format!("{} enter --dir {} -- sh", place::binary("guest-sim")?.display(), state.display());
        bail!("a simulated guest is open already (process {pid}); leave it with `exit`, or enter it: {enter}");
    }
    if dir.exists() {
        fs::remove_dir_all(&dir)?;
    }
    let world = World::new(&dir, &["machine1"])?;
    let scenario = world.path("scenario.yaml");
    fs::write(&scenario, format!("host_key: machine1.key\nimage: image.sim\n{}", fleet_cards()))?;
    fs::write(world.path("request.json"), serde_json::to_vec_pretty(&request(&world))?)?;
    let programs = [place::binary("guest-sim")?, place::python_program("ansible")?];
    let folders = programs.iter().filter_map(|program| program.parent().map(Path::to_path_buf));
    let path = std::env::var_os("PATH").unwrap_or_default();
    print!("{}", welcome(&dir, &state));
    let mut command = Command::new(place::binary("guest-sim")?);
    command.args(["run", "--name", "guest", "--scenario"]).arg(&scenario).arg("--dir").arg(&state).arg("--");
    command.arg(std::env::var_os("SHELL").unwrap_or_else(|| "/bin/sh".into()));
    command
        .env("PATH", std::env::join_paths(folders.chain(std::env::split_paths(&path)))?)
        .env("XDG_STATE_HOME", dir.join("state-home"));
    // The shell's own exit code is the user's business; 125 is the simulator's.
    ensure!(command.status()?.code() != Some(125), "the simulated guest ended with an error");
    Ok(())
}

/// The process of a guest that still runs in this folder.
fn running(state: &Path) -> Option<String> {
    let pid = fs::read_to_string(state.join("pid")).ok()?.trim().to_owned();
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
    (name.trim_end() == "guest-sim").then_some(pid)
}

/// Options of secret_request for this guest. Nobody builds requests in a guest, where the secret would be known; here
/// it is one shell for everything.
fn request(world: &World) -> Value {
    let pki = |name: &str| world.path("pki").join(name);
    json!({
        "name": "demo",
        "path": world.path("demo.req"),
        "secret_file": world.path("demo.secret"),
        "create_secret": true,
        "host_keys": [pki("machine1.crt")],
        "certificates": [pki("ibm.crt"), pki("inter_ca.crt")],
        "crls": [pki("ibm.crl"), pki("inter_ca.crl"), pki("root_ca.crl")],
        "root_ca": pki("root_ca.crt"),
        "image": world.path("image.hdr"),
        "allow_on_guest": true,
    })
}

fn welcome(dir: &Path, state: &Path) -> String {
    let (dir, state) = (dir.display(), state.display());
    let readme = place::repository().join("crates/guest-sim/README.md");
    format!(
        "
You are in a simulated guest. The modules are on the PATH and read their options as JSON from a file or, with -, from
standard input; what they print reads better through `python3 -m json.tool`.

From nothing to an associated queue:
    secret_request {dir}/request.json
    echo '{{\"path\": \"{dir}/demo.req\"}}' | secret_add -
    echo '{{\"entries\": [{{\"name\": \"demo\", \"mode\": \"ep11\", \"mkvp\": \"0x{WANTED_KEY}\"}}], \"_ansible_diff\": true}}' | ap_bind -
    echo '{{\"gather_subset\": [\"ap\"]}}' | facts -
The same by Ansible, from the folder playbooks:
    ansible localhost -c local -m seguest.pv.ap_bind -a '{{\"entries\": [{{\"mode\": \"accel\"}}]}}' --check --diff
The hardware's own view, a reboot, other cards and faults ({readme}):
    guest-sim state --dir {state}
    guest-sim reboot --dir {state}
    guest-sim set --dir {state} FILE
`exit` ends it.

",
        readme = readme.display(),
    )
}
