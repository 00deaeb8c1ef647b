//! Stories: what a fleet goes through, each told by runs of the example playbook over simulated guests.

use anyhow::Result;
use e2e::{Fleet, Guest, can_simulate};
use serde_json::Value;
use tempfile::TempDir;

/// A fleet in a folder that is removed with it.
fn fleet() -> Result<(Fleet, TempDir)> {
    let dir = tempfile::tempdir()?;
    Ok((Fleet::new(dir.path())?, dir))
}

/// The ids of the secrets that the guest's EP11 queues are associated with, as the hardware has it.
fn associated(guest: &Guest) -> Result<Vec<String>> {
    let state = guest.state()?;
    let queues = state["queues"].as_array().cloned().unwrap_or_default();
    let mut ids: Vec<_> = queues.iter().filter_map(|queue| queue["secret_id"].as_str().map(str::to_owned)).collect();
    ids.sort();
    Ok(ids)
}

fn secrets(guest: &Guest) -> Result<Vec<String>> {
    let state = guest.state()?;
    let secrets = state["secrets"].as_array().cloned().unwrap_or_default();
    let mut ids: Vec<_> = secrets.iter().filter_map(|secret| secret["id"].as_str().map(str::to_owned)).collect();
    ids.sort();
    Ok(ids)
}

/// Calls of the log that could have changed something: all but asking, listing and the probe of the lock.
fn effects(guest: &Guest) -> Result<Vec<Value>> {
    let harmless = |entry: &Value| {
        let name = entry["name"].as_str().unwrap_or_default();
        let is_probe = name == "add_secret" && ["0x0102", "0x0104", "0x0106"].iter().any(|rc| entry["uv_rc"] == *rc);
        name == "info" || name == "list_secrets" || is_probe
    };
    Ok(guest.log()?.into_iter().filter(|entry| !harmless(entry)).collect())
}

#[test]
fn a_fleet_is_provisioned_once_and_a_second_run_changes_nothing() -> Result<()> {
    if !can_simulate("a_fleet_is_provisioned_once_and_a_second_run_changes_nothing") {
        return Ok(());
    }
    let (fleet, _dir) = fleet()?;
    let first = fleet.controller.playbook("provision.yml", &[])?;
    assert!(first.ok, "{}", first.output);
    for guest in [&fleet.first, &fleet.second] {
        assert_eq!(guest.state()?["locked"], true);
        assert_eq!(secrets(guest)?.len(), 2);
        // Each of the two secrets has its queue.
        assert_eq!(associated(guest)?, secrets(guest)?);
    }
    let common: Vec<_> = secrets(&fleet.first)?
        .into_iter()
        .filter(|id| secrets(&fleet.second).is_ok_and(|ids| ids.contains(id)))
        .collect();
    assert_eq!(common.len(), 1, "exactly one secret is common to both guests");

    let before = (effects(&fleet.first)?.len(), effects(&fleet.second)?.len());
    let second = fleet.controller.playbook("provision.yml", &["--diff"])?;
    assert!(second.ok, "{}", second.output);
    assert_eq!(second.changes(), Vec::<String>::new());
    assert_eq!((effects(&fleet.first)?.len(), effects(&fleet.second)?.len()), before);
    Ok(())
}

#[test]
fn a_rebooted_guest_is_repaired_and_the_other_left_alone() -> Result<()> {
    if !can_simulate("a_rebooted_guest_is_repaired_and_the_other_left_alone") {
        return Ok(());
    }
    let (fleet, _dir) = fleet()?;
    assert!(fleet.controller.playbook("provision.yml", &[])?.ok);
    let before = associated(&fleet.second)?;
    fleet.second.reboot()?;
    assert!(associated(&fleet.second)?.is_empty());
    let repair = fleet.controller.playbook("provision.yml", &[])?;
    assert!(repair.ok, "{}", repair.output);
    assert!(
        !repair.changes().is_empty() && repair.changes().iter().all(|change| change.starts_with("guest2: ")),
        "{:?}",
        repair.changes()
    );
    assert_eq!(associated(&fleet.second)?, before);
    Ok(())
}

#[test]
fn check_mode_on_fresh_guests_fails_nowhere_and_touches_nothing() -> Result<()> {
    if !can_simulate("check_mode_on_fresh_guests_fails_nowhere_and_touches_nothing") {
        return Ok(());
    }
    let (fleet, _dir) = fleet()?;
    let play = fleet.controller.playbook("provision.yml", &["--check", "--diff"])?;
    assert!(play.ok, "{}", play.output);
    assert!(!fleet.world.path("trusted").exists(), "check mode made the output folder");
    for guest in [&fleet.first, &fleet.second] {
        assert_eq!(effects(guest)?, Vec::<Value>::new());
    }
    Ok(())
}

#[test]
fn check_mode_on_provisioned_guests_predicts_no_change() -> Result<()> {
    if !can_simulate("check_mode_on_provisioned_guests_predicts_no_change") {
        return Ok(());
    }
    let (fleet, _dir) = fleet()?;
    assert!(fleet.controller.playbook("provision.yml", &[])?.ok);
    let before = effects(&fleet.first)?.len();
    let play = fleet.controller.playbook("provision.yml", &["--check", "--diff"])?;
    assert!(play.ok, "{}", play.output);
    assert_eq!(play.changes(), Vec::<String>::new());
    assert_eq!(effects(&fleet.first)?.len(), before);
    Ok(())
}
