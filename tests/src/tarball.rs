//! What a user does who has the collection's tarball and ansible-core, and nothing else of the project: what the
//! collection's README says, line by line, in an empty folder, for two guests without Python.

use crate::controller::{inventory, printed};
use crate::ssh::ssh_is_possible;
use crate::{Guest, Host, Ssh, World, fleet_cards, place, request_of, variables};
use anyhow::{Context, Result, ensure};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The chapter of the README that tells it.
const CHAPTER: &str = "\n## A whole fleet\n";

/// Installs a tarball, provisions two simulated guests with it, and uses the other playbooks; `programs` is the folder
/// that ansible-core's programs are in, `dir` an empty one. Over SSH where a simulated guest can have a server of it
/// (root, overlayfs), else over the simulator's own connection. Returns how the guests were reached.
///
/// # Errors
/// The first thing that is not as a user must have it.
pub fn provision_from_tarball(tarball: &Path, programs: &Path, dir: &Path) -> Result<&'static str> {
    let world = World::new(&dir.join("world"), &["machine1", "machine2"])?;
    world.image("image2", &[])?;
    let guests = [
        Guest::start(&world, "guest1", "machine1", &fleet_cards())?,
        Guest::start(&world, "guest2", "machine2", &fleet_cards())?,
    ];
    let over_ssh = ssh_is_possible().is_ok();
    let servers = if over_ssh {
        vec![Ssh::start(&world, &guests[0], 1)?, Ssh::start(&world, &guests[1], 2)?]
    } else {
        Vec::new()
    };
    let hosts = match servers.as_slice() {
        [first, second] => [first.host("guest1", "root"), second.host("guest2", "root")],
        _ => [Host::guest("guest1", &guests[0])?, Host::guest("guest2", &guests[1])?],
    };
    let user = User::new(&dir.join("user"), programs, tarball, over_ssh)?;
    let manual = Manual::of(&user)?;

    user.shell(&manual.install)?;
    let installed = user.home.join(".ansible/collections/ansible_collections/seguest/pv");
    let packed = contents(&installed)?;
    user.writes(&manual.configuration, &hosts, &world)?;

    let [check, provision, ask] = manual.commands.as_slice() else {
        anyhow::bail!("the README's chapter has other commands than these: {:?}", manual.commands);
    };
    let predicted = user.ansible(check)?;
    ensure!(predicted.values().all(|changed| *changed > 0), "check mode predicts nothing: {predicted:?}");
    for guest in &guests {
        let state = guest.state()?;
        ensure!(state["locked"] == false && is_empty(&state["secrets"]), "check mode changed a guest: {state}");
    }
    ensure!(!world.path("trusted").exists(), "check mode wrote {}", world.path("trusted").display());

    let changed = user.ansible(provision)?;
    ensure!(changed.len() == 3 && changed.values().all(|changed| *changed > 0), "changed: {changed:?}");
    for guest in &guests {
        let state = guest.state()?;
        let queues = state["queues"].as_array().map_or(&[][..], Vec::as_slice);
        let associated = queues.iter().filter(|queue| queue["secret_id"].is_string()).count();
        let secrets = state["secrets"].as_array().map_or(0, Vec::len);
        ensure!(
            state["locked"] == true && secrets == 2 && associated == 2,
            "a guest that was provisioned is in another state: {state}"
        );
    }
    let again = user.ansible(provision)?;
    ensure!(again.values().all(|changed| *changed == 0), "the second run changed something: {again:?}");
    ensure!(user.shell(ask)?.contains("\"role\": \"guest\""), "{ask} does not tell the guests' role");

    user.ansible("ansible-playbook seguest.pv.inventory")?;
    let groups = user.shell("ansible-inventory --graph")?;
    ensure!(groups.contains("@se_locked:"), "the facts that were kept make no groups: {groups}");
    user.ansible("ansible-playbook seguest.pv.compliance")?;
    let report = fs::read_to_string(user.fleet.join("compliance.json")).context("no report in the user's folder")?;
    ensure!(report.contains("\"pass\": 2"), "guests that are as they should be do not pass: {report}");
    let image = world.path("image2.hdr");
    let rotate = format!("-e rotate_image={}", image.display());
    user.ansible(&format!("ansible-playbook seguest.pv.rotate {rotate}"))?;
    ensure!(request_of(&world, "image2.hdr", "key_of_guest2").is_ok(), "no request for the new image");
    user.ansible("ansible-playbook seguest.pv.retire -e retire_guest=guest2")?;
    let queues = guests[1].state()?["queues"].clone();
    ensure!(!queues.to_string().contains("associated"), "a guest that was retired has queues: {queues}");

    ensure!(contents(&installed)? == packed, "something was written into the installed collection");
    Ok(if over_ssh { "over SSH" } else { "over the simulator's own connection" })
}

/// What the README says.
struct Manual {
    /// Lines for the shell, in a folder with the tarball.
    install: String,
    /// ansible.cfg.
    configuration: String,
    /// What is typed in the folder of the fleet.
    commands: Vec<String>,
}

impl Manual {
    /// As it is in the tarball.
    fn of(user: &User) -> Result<Self> {
        let text = user.shell("tar -xzOf seguest-pv-*.tar.gz README.md")?;
        let chapter = text.split_once(CHAPTER).context("the README has no such chapter")?.1;
        let chapter = chapter.split("\n## ").next().unwrap_or_default();
        let parts: Vec<_> = chapter.split("```").collect();
        let [_, install, _, configuration, _, commands, _] = parts.as_slice() else {
            anyhow::bail!("the README's chapter has not three blocks to type");
        };
        Ok(Self {
            install: (*install).to_owned(),
            configuration: configuration.strip_prefix("ini\n").context("no block with ansible.cfg")?.to_owned(),
            commands: commands.trim().lines().map(str::to_owned).collect(),
        })
    }
}

/// Somebody with a home of their own, in which there is nothing but what they put there.
struct User {
    home: PathBuf,
    fleet: PathBuf,
    path: String,
    over_ssh: bool,
}

impl User {
    fn new(home: &Path, programs: &Path, tarball: &Path, over_ssh: bool) -> Result<Self> {
        fs::create_dir_all(home)?;
        let name = tarball.file_name().context("no tarball")?;
        fs::copy(tarball, home.join(name)).with_context(|| tarball.display().to_string())?;
        let path = format!("{}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", programs.display());
        Ok(Self { home: home.to_path_buf(), fleet: home.join("fleet"), path, over_ssh })
    }

    /// Types lines into a shell, in the folder of the fleet or, while there is none, at home.
    fn shell(&self, lines: &str) -> Result<String> {
        let mut command = Command::new("/bin/sh");
        command.args(["-e", "-c", lines]).current_dir(if self.fleet.exists() { &self.fleet } else { &self.home });
        command.env_clear().env("HOME", &self.home).env("PATH", &self.path).env("LC_ALL", "C.UTF-8");
        // Not even where the system has collections.
        command.env("ANSIBLE_COLLECTIONS_PATH", self.home.join(".ansible/collections"));
        if !self.over_ssh {
            command.env("ANSIBLE_CONNECTION_PLUGINS", place::repository().join("tests/ansible/connection_plugins"));
        }
        let output = command.output()?;
        ensure!(output.status.success(), "{lines}\n{}", printed(&output));
        Ok(printed(&output))
    }

    /// Runs a playbook that must go well; how many tasks changed something, by host.
    fn ansible(&self, line: &str) -> Result<BTreeMap<String, usize>> {
        let said = self.shell(line)?;
        let recap = said.split_once("PLAY RECAP").with_context(|| format!("{line}\n{said}"))?.1;
        let count = |line: &str| {
            let (host, counts) = line.split_once(" : ")?;
            let changed = counts.split_whitespace().find_map(|count| count.strip_prefix("changed="))?;
            Some((host.trim().to_owned(), changed.parse().ok()?))
        };
        Ok(recap.lines().filter_map(count).collect())
    }

    /// Fills in what the user has to.
    fn writes(&self, configuration: &str, hosts: &[Host], world: &World) -> Result<()> {
        fs::write(self.fleet.join("ansible.cfg"), configuration)?;
        // Every JSON text is a YAML text.
        fs::write(self.fleet.join("inventory/hosts.yml"), inventory(&Host::controller(), hosts).to_string())?;
        let path = self.fleet.join("inventory/group_vars/all.yml");
        let example = fs::read_to_string(&path).context("no example of the variables")?;
        let mut variables = variables(world);
        let named = variables.as_object_mut().context("no variables")?;
        // The commands say it.
        named.remove("provision_create_secrets");
        for name in named.keys() {
            ensure!(example.contains(name), "a user needs {name}, and the example does not name it");
        }
        Ok(fs::write(path, variables.to_string())?)
    }
}

fn is_empty(list: &serde_json::Value) -> bool {
    list.as_array().is_none_or(Vec::is_empty)
}

/// Every file of a folder, but for what Python keeps of its own.
fn contents(folder: &Path) -> Result<BTreeMap<PathBuf, Vec<u8>>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            if entry.file_name() != "__pycache__" {
                found.extend(contents(&entry.path())?);
            }
        } else {
            found.insert(entry.path(), fs::read(entry.path())?);
        }
    }
    Ok(found)
}
