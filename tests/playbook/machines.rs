//! Trusted machine, controller and guests on machines of their own.
//!
//! What is modelled: each of the other machines is a simulated one, reached through a connection as over ssh, with a
//! file system of its own in place of the folder that holds all files of the story, the controller's home included.
//! The trusted machine is one that is no Secure Execution guest. The machines still share the system's programs.

use crate::support::{associated, contents, secrets};
use anyhow::{Context, Result, ensure};
use e2e::{Controller, Guest, Host, World, can_simulate, fleet_cards, variables};
use std::path::Path;
use std::process::Command;

/// Runs a shell command on a machine with something on its standard input.
fn shell(machine: &Guest, command: &str, input: &[u8]) -> Result<Vec<u8>> {
    let output = machine.run(Path::new("/bin/sh"), &["-c", command], input)?;
    ensure!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(output.stdout)
}

/// Gives the machine a file system of its own: it begins with nothing but an empty home.
fn separate(machine: &Guest, world: &World, controller: &Controller) -> Result<()> {
    machine.own_folder(&world.path(""))?;
    shell(machine, &format!("mkdir -p '{}'", controller.home().display()), b"").map(|_| ())
}

/// Moves what is needed to build requests to the trusted machine.
fn move_to(trusted: &Guest, world: &World) -> Result<()> {
    let tar = Command::new("tar").arg("-C").arg(world.path("")).args(["-c", "pki", "image.hdr"]).output()?;
    ensure!(tar.status.success(), "{}", String::from_utf8_lossy(&tar.stderr));
    let folder = world.path("");
    shell(trusted, &format!("tar -C '{}' --no-same-owner -x", folder.display()), &tar.stdout)?;
    std::fs::remove_dir_all(world.path("pki"))?;
    Ok(std::fs::remove_file(world.path("image.hdr"))?)
}

#[test]
fn only_requests_leave_the_trusted_machine() -> Result<()> {
    if !can_simulate("only_requests_leave_the_trusted_machine") {
        return Ok(());
    }
    let dir = tempfile::tempdir()?;
    let world = World::new(dir.path(), &["machine1", "machine2"])?;
    let guests = [("guest1", "machine1"), ("guest2", "machine2")]
        .map(|(name, machine)| Guest::start(&world, name, machine, &fleet_cards()).map(|guest| (name, guest)));
    let guests: Vec<_> = guests.into_iter().collect::<Result<_>>()?;
    let trusted = Guest::start(&world, "trusted1", "machine1", "ultravisor: {guest: false}\n")?;
    let hosts: Vec<_> = guests.iter().map(|(name, guest)| Host::guest(name, guest)).collect::<Result<_>>()?;
    let trusted_host = Host::simulated("trusted1", &trusted)?;
    let controller = Controller::new(&world.path("controller"), &trusted_host, &hosts, &variables(&world))?;
    let machines = guests.iter().map(|(_, guest)| guest).chain([&trusted]);
    machines.clone().try_for_each(|machine| separate(machine, &world, &controller))?;
    move_to(&trusted, &world)?;

    let play = controller.playbook("provision.yml", &[])?;
    assert!(play.ok, "{}", play.output);
    for (_, guest) in &guests {
        assert_eq!(secrets(guest)?.len(), 2);
        assert_eq!(associated(guest)?, secrets(guest)?);
        assert_eq!(guest.state()?["locked"], true);
    }

    // Whatever the trusted machine wrote or read is there only.
    let output = world.path("trusted");
    let folder = output.to_str().context("not UTF-8")?;
    let names = String::from_utf8(shell(&trusted, &format!("ls '{folder}/secrets'"), b"")?)?;
    assert_eq!(names.split_whitespace().collect::<Vec<_>>(), ["cluster_key", "key_of_guest1", "key_of_guest2"]);
    assert!(!controller.home().join(".local/state/seguest-pv").exists(), "the key of manifests is on the controller");
    for name in ["trusted", "pki", "image.hdr"] {
        assert!(!world.path(name).exists(), "{name} is on the controller");
        for (guest_name, guest) in &guests {
            let there = shell(guest, &format!("ls -d '{}' || true", world.path(name).display()), b"")?;
            assert!(there.is_empty(), "{name} is on {guest_name}");
        }
    }
    // The guests' tasks were not even told where: what came to them came as the request itself.
    // What the trusted machine verifies is under a guest's name, for it is done once for all of them.
    let of_guests = |record: &&e2e::Record| record.host != "trusted1" && record.task != "Verify the guests' answers";
    for record in play.records.iter().filter(of_guests) {
        assert!(!record.result.to_string().contains(folder), "{}: {}", record.host, record.result);
    }
    let on_controller = contents(&world.path("controller"))?;
    for name in names.split_whitespace() {
        let secret = shell(&trusted, &format!("cat '{folder}/secrets/{name}'"), b"")?;
        let holds = |bytes: &[u8]| bytes.windows(secret.len()).any(|window| window == secret);
        let holder = on_controller.iter().find(|(_, bytes)| holds(bytes));
        assert!(secret.len() == 32 && holder.is_none(), "the secret {name} is in {holder:?}");
    }

    let again = controller.playbook("provision.yml", &[])?;
    assert!(again.ok, "{}", again.output);
    assert_eq!(again.changes(), Vec::<String>::new());
    Ok(())
}
