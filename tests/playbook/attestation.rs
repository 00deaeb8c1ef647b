//! Guests that prove their state to the trusted machine: what is proved, and what is found out.

use crate::support::{contents, fleet, secrets};
use anyhow::{Context as _, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use e2e::{Controller, Host, can_simulate, variables};
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

#[test]
fn each_guest_of_a_run_proves_its_state_and_nothing_of_it_is_left() -> Result<()> {
    if !can_simulate("each_guest_of_a_run_proves_its_state_and_nothing_of_it_is_left") {
        return Ok(());
    }
    let (fleet, _dir) = fleet()?;
    for _ in 0..2 {
        let (ok, told, output) = summary(&fleet, &fleet.controller, &[])?;
        assert!(ok && output.contains("proved by attestation: 2 of 2"), "{output}");
        assert_eq!((&told["proved"], &told["failed"]), (&json!(2), &json!([])));
        let kept = contents(&fleet.world.path("trusted/attestation"))?;
        assert!(kept.is_empty(), "{kept:?}");
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
