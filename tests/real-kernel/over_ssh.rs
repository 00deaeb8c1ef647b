//! Real Ansible over real SSH: two guests without Python, provisioned twice.

use crate::{laboratory, new_folder};
use anyhow::{Context, Result, ensure};
use e2e::lab::{Lab, ServerKey, Step, Way, can_reach, programs};
use e2e::{Controller, Guest, Host, World, fleet_cards, place, variables};
use openssl::pkey::PKey;
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::mpsc;

const GUESTS: [&str; 2] = ["guest1", "guest2"];

fn server_key() -> Result<ServerKey> {
    let key = PKey::generate_ed25519()?;
    let bytes = |bytes: Vec<u8>| -> Result<[u8; 32]> { bytes.try_into().ok().context("an Ed25519 key of 32 bytes") };
    Ok(ServerKey { private: bytes(key.raw_private_key()?)?, public: bytes(key.raw_public_key()?)? })
}

/// The installed collection, with the programs for s390x in it.
fn collections(to: &Path) -> Result<()> {
    let copy = |from: &Path, to: &Path| -> Result<()> {
        let status = Command::new("cp").arg("-r").arg(from).arg(to).status()?;
        ensure!(status.success(), "{} could not be copied", from.display());
        Ok(())
    };
    copy(&place::collections()?, to)?;
    copy(&programs()?, &to.join("ansible_collections/seguest/pv/files/s390x"))
}

/// Keeps the guests running while `work` is done, once both are up.
fn with_guests(
    lab: &Lab,
    kernel: &str,
    world: &World,
    work: impl FnOnce(&[Guest], &[Host]) -> Result<()>,
) -> Result<()> {
    let client = world.path("client_key");
    let keygen =
        Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-C", "lab", "-f"]).arg(&client).status()?;
    ensure!(keygen.success(), "ssh-keygen failed");
    let authorized = fs::read_to_string(world.path("client_key.pub"))?;
    let (mut guests, mut ways, mut hosts) = (Vec::new(), Vec::new(), Vec::new());
    for (number, name) in (1..).zip(GUESTS) {
        guests.push(Guest::start_machine(world, name, &format!("machine{number}"), "image", &fleet_cards())?);
        let way = Way::new(&world.path(&format!("way{number}")));
        hosts.push(way.host(name, &client));
        ways.push(way);
    }
    let (up, ups) = mpsc::channel();
    std::thread::scope(|scope| {
        let mut ends = Vec::new();
        let mut runs = Vec::new();
        for (guest, way) in guests.iter().zip(&ways) {
            let equipment = way.equipment(lab, &server_key()?, &authorized)?;
            let (end, ended) = mpsc::channel::<()>();
            let up = up.clone();
            runs.push(scope.spawn(move || {
                lab.run_with(kernel, guest, &[Step::Outside], &equipment, |_| {
                    up.send(())?;
                    // Until the sender is gone.
                    let _ = ended.recv();
                    Ok(Value::Null)
                })
            }));
            ends.push(end);
        }
        drop(up);
        let reached = GUESTS.iter().try_for_each(|_| ups.recv().context("a guest did not come up"));
        let done = reached.and_then(|()| ways.iter().try_for_each(Way::open)).and_then(|()| work(&guests, &hosts));
        drop(ends);
        for run in runs {
            run.join().map_err(|_| anyhow::anyhow!("a guest's thread ended"))??;
        }
        done
    })
}

fn provisioned_twice(kernel: &str) -> Result<()> {
    let Some(lab) = laboratory(kernel) else { return Ok(()) };
    if let Err(why) = can_reach(&lab) {
        println!("skipped: NOTHING was provisioned over SSH on kernel {kernel}: {why:#}");
        return Ok(());
    }
    let world = World::new(&new_folder(), &["machine1", "machine2"])?;
    let installed = world.path("collections");
    collections(&installed)?;
    with_guests(&lab, kernel, &world, |guests, hosts| {
        let controller = Controller::new(&world.path("c"), &Host::controller(), hosts, &variables(&world))?
            .with_collections(&installed);
        let look = "uname -r; command -v sha256sum; for name in python python3 python2; do command -v $name && exit 1; done; true";
        let looked = controller.tasks("guests", &json!([{"name": "Look", "ansible.builtin.raw": look}]), &[])?;
        assert!(looked.ok, "{}", looked.output);
        for name in GUESTS {
            let said = looked.result(name, "Look")?["stdout"].to_string();
            assert!(said.contains(kernel) && said.contains("s390x"), "{said}");
        }
        let attested = ["--extra-vars", "provision_attest=true"];
        let first = controller.playbook("provision.yml", &attested)?;
        assert!(first.ok, "{}", first.output);
        assert!(!first.changes().is_empty());
        let second = controller.playbook("provision.yml", &[attested[0], attested[1], "--diff"])?;
        assert!(second.ok, "{}", second.output);
        assert_eq!(second.changes(), Vec::<String>::new(), "{}", second.output);
        for guest in guests {
            let state = guest.state()?;
            assert_eq!(
                (&state["locked"], state["secrets"].as_array().map(Vec::len)),
                (&json!(true), Some(2)),
                "{state}"
            );
            let queues = state["queues"].as_array().context("queues")?;
            let count = |wanted: &str| queues.iter().filter(|queue| queue["state"] == wanted).count();
            assert_eq!((count("associated"), count("bound")), (2, 1), "{state}");
        }
        Ok(())
    })
}

#[test]
fn two_guests_with_kernel_6_12_and_no_python_are_provisioned_over_ssh_and_again_without_change() -> Result<()> {
    provisioned_twice("6.12")
}

#[test]
fn two_guests_with_kernel_7_2_and_no_python_are_provisioned_over_ssh_and_again_without_change() -> Result<()> {
    provisioned_twice("7.2")
}
