//! Guests that prove their state to the trusted machine: what is proved, and what is found out.

use crate::support::{contents, fleet, secrets};
use anyhow::{Context as _, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use e2e::{Controller, Guest, Host, Play, Ssh, World, can_simulate, can_ssh, fleet_cards, variables};
use serde_json::{Value, json};
use std::fs;

/// What a run's summary says, as JSON.
fn summary(fleet: &e2e::Fleet, controller: &Controller, arguments: &[&str]) -> Result<(bool, Value, String)> {
    let file = fleet.world.path("summary.json");
    let written = format!("provision_summary={}", file.display());
    let play = controller.playbook("provision.yml", &[&["-e", &written], arguments].concat())?;
    let told = serde_json::from_slice(&fs::read(file).with_context(|| play.output.clone())?)?;
    Ok((play.ok, told, play.output))
}

/// The names of the files that attestations left.
fn left(fleet: &e2e::Fleet) -> Result<Vec<String>> {
    let kept = contents(&fleet.world.path("trusted/attestation"))?;
    let names = kept.iter().filter_map(|(path, _)| path.file_name()?.to_str().map(str::to_owned));
    Ok(names.collect())
}

/// What was found of the SSH host keys of the one guest of a run.
fn ssh_host_keys(play: &Play) -> Result<Value> {
    let judged = play.records.iter().rfind(|record| record.task == "Verify the guests' answers");
    let judged = judged.with_context(|| play.output.clone())?;
    let mut checks = judged.result["responses"][0]["checks"].as_array().into_iter().flatten();
    checks.find(|check| check["name"] == "ssh_host_keys").cloned().context(play.output.clone())
}

#[test]
fn each_guest_of_a_run_proves_its_state_and_only_its_pin_is_left() -> Result<()> {
    if !can_simulate("each_guest_of_a_run_proves_its_state_and_only_its_pin_is_left") {
        return Ok(());
    }
    let (fleet, _dir) = fleet()?;
    for _ in 0..2 {
        let (ok, told, output) = summary(&fleet, &fleet.controller, &[])?;
        assert!(ok && output.contains("proved by attestation: 2 of 2"), "{output}");
        assert_eq!((&told["proved"], &told["failed"]), (&json!(2), &json!([])));
        assert_eq!(left(&fleet)?, ["guest1.cuid", "guest2.cuid"]);
    }
    // The order of a description means nothing for a store that was filled before.
    let turned = json!({"provision_secrets": [{"name": "cluster key"}, {"name": "key of {{ inventory_hostname }}"}]});
    let (ok, told, output) = summary(&fleet, &fleet.controller, &["-e", &turned.to_string()])?;
    assert!(ok && told["proved"] == 2, "{output}");
    Ok(())
}

#[test]
fn a_guest_that_was_tampered_with_is_found_out_and_explained_and_the_other_is_proved() -> Result<()> {
    if !can_simulate("a_guest_that_was_tampered_with_is_found_out_and_explained_and_the_other_is_proved") {
        return Ok(());
    }
    let (fleet, _dir) = fleet()?;
    assert!(fleet.controller.playbook("provision.yml", &[])?.ok);
    for (spoiled, code) in [
        ("measurement", "attest.measurement_mismatch"),
        ("cuid", "attest.measurement_mismatch"),
        ("nothing", "attest.measurement_mismatch"),
    ] {
        fleet.second.set(&format!("faults: [{{on: attest, spoil: {spoiled}}}]"))?;
        let (ok, told, output) = summary(&fleet, &fleet.controller, &[])?;
        assert!(!ok && told["proved"] == 1, "{spoiled}: {output}");
        assert_eq!((&told["failed"][0]["hosts"], &told["failed"][0]["code"]), (&json!(["guest2"]), &json!(code)));
    }
    // Somebody adds a secret of their own before the guest is provisioned again: it has all that it should, and more.
    fleet.second.reboot()?;
    let foreign = contents(&fleet.world.path("trusted/requests"))?;
    let foreign = foreign.iter().find(|(path, _)| path.ends_with("key_of_guest1.request")).context("no request")?;
    fleet.second.module("secret_add", &json!({"content": STANDARD.encode(&foreign.1)}))?;
    let unlocked = "{\"provision_lock\": false}";
    let (ok, told, output) = summary(&fleet, &fleet.controller, &["-e", unlocked])?;
    assert!(!ok && secrets(&fleet.second)?.len() == 3, "{output}");
    // guest1 is locked, and was to be left open: its row says so; guest2's says what is in its store.
    let of = |host: &str| {
        let kinds = told["failed"].as_array().into_iter().flatten();
        kinds.filter(|kind| kind["hosts"] == json!([host])).map(|kind| kind["code"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(
        (of("guest1"), of("guest2")),
        (vec![json!("attest.not_locked")], vec![json!("attest.store_mismatch")]),
        "{told}"
    );
    Ok(())
}

#[test]
fn in_batches_a_guest_that_is_found_out_keeps_the_next_batch_from_being_begun() -> Result<()> {
    if !can_simulate("in_batches_a_guest_that_is_found_out_keeps_the_next_batch_from_being_begun") {
        return Ok(());
    }
    let (fleet, _dir) = fleet()?;
    // In the inventory, where it counts for each run.
    let mut careful = variables(&fleet.world);
    careful["provision_serial"] = json!([1, "100%"]);
    careful["provision_max_fail_percentage"] = json!(0);
    let guests = [Host::guest("guest1", &fleet.first)?, Host::guest("guest2", &fleet.second)?];
    let controller = Controller::new(&fleet.world.path("careful"), &Host::controller(), &guests, &careful)?;
    let spoiled = "faults: [{on: attest, spoil: measurement}]";
    fleet.first.set(spoiled)?;
    let (ok, told, output) = summary(&fleet, &controller, &[])?;
    assert!(!ok && output.contains("No further batch is begun"), "{output}");
    assert_eq!(told["failed"][0]["code"], "attest.measurement_mismatch", "{told}");
    assert!(secrets(&fleet.second)?.is_empty(), "{output}");

    // Where that many may fail, the others get what they need, and the run fails in the end.
    fleet.first.set(spoiled)?;
    let play = controller.playbook("provision.yml", &["-e", "provision_max_fail_percentage=100%"])?;
    assert!(!play.ok && play.output.contains("Not proved: guest1."), "{}", play.output);
    assert_eq!(secrets(&fleet.second)?.len(), 2, "{}", play.output);
    let play = controller.playbook("provision.yml", &[])?;
    assert!(play.ok && play.output.contains("proved by attestation: 2 of 2"), "{}", play.output);
    Ok(())
}

#[test]
fn a_machine_that_does_not_attest_is_a_warning_unless_somebody_insists() -> Result<()> {
    if !can_simulate("a_machine_that_does_not_attest_is_a_warning_unless_somebody_insists") {
        return Ok(());
    }
    let (fleet, _dir) = fleet()?;
    for guest in [&fleet.first, &fleet.second] {
        guest.set("ultravisor: {attestation: false}")?;
    }
    let (ok, told, output) = summary(&fleet, &fleet.controller, &[])?;
    assert!(ok && told["proved"] == Value::Null, "{output}");
    assert_eq!(told["warnings"][0]["code"], "attest.unsupported", "{told}");
    let (ok, told, output) = summary(&fleet, &fleet.controller, &["-e", "provision_attest=true"])?;
    assert!(!ok, "{output}");
    assert_eq!(
        (&told["failed"][0]["code"], told["counts"]["failed"].as_u64()),
        (&json!("attest.unsupported"), Some(2))
    );
    let (ok, told, output) = summary(&fleet, &fleet.controller, &["-e", "provision_attest=no"])?;
    assert!(ok && told["warnings"] == json!([]), "{output}");
    let play = fleet.controller.playbook("provision.yml", &["-e", "provision_attest=perhaps"])?;
    assert!(!play.ok && play.output.contains("provision_attest must be true or false"), "{}", play.output);
    Ok(())
}

#[test]
fn who_answers_for_another_guest_is_found_out() -> Result<()> {
    if !can_simulate("who_answers_for_another_guest_is_found_out") {
        return Ok(());
    }
    let (fleet, _dir) = fleet()?;
    // guest2's address leads to guest1.
    let own = json!({"provision_secrets": [{"name": "cluster key"}]});
    let hosts =
        [Host::guest("guest1", &fleet.first)?.with(own.clone()), Host::guest("guest2", &fleet.first)?.with(own)];
    let mut vars = variables(&fleet.world);
    vars["provision_queues"] = json!([]);
    let controller = Controller::new(&fleet.world.path("relayed"), &Host::controller(), &hosts, &vars)?;
    let (ok, told, output) = summary(&fleet, &controller, &["-e", "provision_lock=false"])?;
    assert!(!ok && told["proved"] == 0, "{output}");
    assert_eq!(told["failed"][0]["code"], "attest.cuid_shared", "{told}");
    assert_eq!(told["failed"][0]["hosts"], json!(["guest1", "guest2"]));
    Ok(())
}

#[test]
fn a_guest_has_the_keys_that_the_controller_knows_it_by_or_is_found_out() -> Result<()> {
    if !can_ssh("a_guest_has_the_keys_that_the_controller_knows_it_by_or_is_found_out") {
        return Ok(());
    }
    let dir = tempfile::tempdir()?;
    let world = World::new(dir.path(), &["machine1", "machine2"])?;
    let guest = Guest::start(&world, "guest1", "machine1", &fleet_cards())?;
    let ssh = Ssh::start(&world, &guest, 1)?;
    let hosts = [ssh.host("guest1", "root")];
    let controller = Controller::new(&world.path("c"), &Host::controller(), &hosts, &variables(&world))?;
    let known = world.path("ssh1/known_hosts");
    let own = fs::read_to_string(&known)?;
    let (name, _) = own.split_once(' ').context("no name")?;
    let file = world.path("known");
    let provision = |text: &str| -> Result<Play> {
        fs::write(&file, text)?;
        let known = json!({"provision_known_hosts": [&file]}).to_string();
        controller.playbook("provision.yml", &["-e", &known])
    };
    // OpenSSH's own program hashes the name.
    let hashed = world.path("hashed");
    fs::copy(&known, &hashed)?;
    let made = std::process::Command::new("ssh-keygen").args(["-q", "-H", "-f"]).arg(&hashed).output()?;
    assert!(made.status.success());
    for text in [own.clone(), fs::read_to_string(&hashed)?] {
        let play = provision(&text)?;
        assert!(play.ok && ssh_host_keys(&play)?["ok"] == true, "{text}: {}", play.output);
    }
    let other = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINtOaNa/a2hcojDLrN8TEN3clL2Qwtv95xewdu2aAqhf";
    let play = provision(&format!("{own}{name} {other}\n"))?;
    assert!(!play.ok && play.output.contains("attest.ssh_host_keys, 1: guest1"), "{}", play.output);
    let play = provision(&format!("{own}@revoked {own}"))?;
    assert!(!play.ok && ssh_host_keys(&play)?["detail"].to_string().contains("revoked"), "{}", play.output);
    for unknown in ["", &format!("elsewhere {other}\n"), &format!("* {other}\n")] {
        let play = provision(unknown)?;
        let found = ssh_host_keys(&play)?;
        assert!(play.ok && found["ok"].is_null(), "{found}: {}", play.output);
        assert!(found["detail"].to_string().contains(name), "{found}");
    }
    // A file that is named and missing would compare less than is meant.
    let missing = json!({"provision_known_hosts": [&file, world.path("missing")]}).to_string();
    let play = controller.playbook("provision.yml", &["-e", &missing])?;
    assert!(!play.ok && play.output.contains("provision_known_hosts") && play.output.contains("missing"));
    // The report compares the same.
    fs::write(&file, format!("{name} {other}\n"))?;
    let known = json!({"provision_known_hosts": file, "compliance_folder": world.path("")}).to_string();
    let play = controller.playbook("compliance.yml", &["-e", &known])?;
    assert!(!play.ok && ssh_host_keys(&play)?["ok"] == false, "{}", play.output);
    Ok(())
}

#[test]
fn a_guest_is_held_to_its_id_until_its_next_boot_and_retiring_it_removes_what_is_left() -> Result<()> {
    if !can_simulate("a_guest_is_held_to_its_id_until_its_next_boot_and_retiring_it_removes_what_is_left") {
        return Ok(());
    }
    let (fleet, _dir) = fleet()?;
    let pin = fleet.world.path("trusted/attestation/guest2.cuid");
    let (ok, _, output) = summary(&fleet, &fleet.controller, &[])?;
    assert!(ok, "{output}");
    let first = fs::read_to_string(&pin)?;
    assert!(first.contains(fleet.second.state()?["boot_id"].as_str().context("no boot id")?), "{first}");

    // Another guest of its image answers, and says what this one would.
    fleet.second.set("faults: [{on: attest, spoil: other_cuid, times: 0}]")?;
    let (ok, told, output) = summary(&fleet, &fleet.controller, &[])?;
    let failed = &told["failed"][0];
    assert!(!ok && failed["code"] == "attest.cuid_changed" && failed["hosts"] == json!(["guest2"]), "{output}");
    let hint = failed["first"]["hint"].as_str().context("no hint")?;
    assert!(hint.contains(&pin.display().to_string()), "{hint}");
    let folder = format!("compliance_folder={}", fleet.world.path("").display());
    let play = fleet.controller.playbook("compliance.yml", &["-e", &folder])?;
    assert!(!play.ok && play.output.contains("attest.cuid_changed"), "{}", play.output);
    assert_eq!(fs::read_to_string(&pin)?, first);

    // Its next boot is pinned as soon as it is proved.
    fleet.second.set("faults: []")?;
    fleet.second.reboot()?;
    let (ok, told, output) = summary(&fleet, &fleet.controller, &[])?;
    assert!(ok && told["proved"] == 2, "{output}");
    let warned = told["warnings"].as_array().context("no warnings")?;
    let new_start = warned.iter().find(|kind| kind["code"] == "attest.new_start").context("not warned")?;
    assert_eq!(new_start["hosts"], json!(["guest2"]), "{told}");
    let second = fs::read_to_string(&pin)?;
    assert!(second != first && second.contains(fleet.second.state()?["boot_id"].as_str().context("no boot id")?));

    let folder = fleet.world.path("trusted/attestation");
    for name in ["guest2.0a1b2c3d.request", "guest2.0a1b2c3d.request.key", "guest2.b.0a1b2c3d.request", "guest2.b.cuid"]
    {
        fs::write(folder.join(name), "")?;
    }
    let play = fleet.controller.playbook("retire.yml", &["-e", "retire_guest=guest2"])?;
    assert!(play.ok, "{}", play.output);
    assert_eq!(left(&fleet)?, ["guest1.cuid", "guest2.b.0a1b2c3d.request", "guest2.b.cuid"]);
    Ok(())
}
