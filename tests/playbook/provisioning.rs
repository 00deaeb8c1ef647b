//! The life of a fleet: provisioned, run again, rebooted, predicted.

use crate::support::{
    LOCKED_STORE_PROBED, MAKE, OPEN_STORE_PROBED, asked, associated, contents, effects, fleet, secrets,
};
use anyhow::Result;
use e2e::can_simulate;

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
    // In a large fleet it would take time to repeat what each guest is told.
    for task in [MAKE, "Build the requests", "Make the attestation requests", "Verify the guests' answers"] {
        let mut of_task = second.records.iter().filter(|record| record.task == task).peekable();
        assert!(of_task.peek().is_some() && of_task.all(|record| record.result.get("invocation").is_none()), "{task}");
    }
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
fn guest_after_guest_a_play_ends_before_the_next_one_where_one_failed() -> Result<()> {
    if !can_simulate("guest_after_guest_a_play_ends_before_the_next_one_where_one_failed") {
        return Ok(());
    }
    let (fleet, _dir) = fleet()?;
    fleet.first.set("faults: [{on: add_secret, times: 0, uv_rc: 0x0108}]")?;
    let careful = r#"{"provision_serial": [1, "100%"], "provision_max_fail_percentage": 0}"#;
    let play = fleet.controller.playbook("provision.yml", &["-e", careful])?;
    assert!(!play.ok && play.records.iter().any(|record| record.host == "guest1" && record.status == "failed"));
    assert!(play.record("guest2", MAKE).is_err(), "{}", play.output);
    assert!(play.output.contains("2 guests: 0 changed, 0 unchanged, 1 failed, 1 not begun"), "{}", play.output);

    // Told nothing of that, it does not let one guest's failure keep another from its secrets.
    assert!(!fleet.controller.playbook("provision.yml", &[])?.ok);
    assert_eq!(associated(&fleet.second)?, secrets(&fleet.second)?);

    fleet.first.set("{clear_faults: true}")?;
    let play = fleet.controller.playbook("provision.yml", &["-e", careful])?;
    assert!(play.ok, "{}", play.output);
    let at = |host: &str| play.records.iter().position(|record| record.host == host && record.task == MAKE);
    assert!(at("guest1") < at("guest2"), "{}", play.output);
    assert_eq!(associated(&fleet.first)?, secrets(&fleet.first)?);
    Ok(())
}

#[test]
fn who_leaves_the_trusted_machine_out_is_told_to_name_it() -> Result<()> {
    if !can_simulate("who_leaves_the_trusted_machine_out_is_told_to_name_it") {
        return Ok(());
    }
    let (fleet, _dir) = fleet()?;
    let play = fleet.controller.playbook("provision.yml", &["--limit", "guest1"])?;
    assert!(!play.ok && play.output.contains("--limit trusted,guest1"), "{}", play.output);
    assert!(secrets(&fleet.first)?.is_empty());
    Ok(())
}

#[test]
fn check_mode_on_fresh_guests_fails_nowhere_and_touches_nothing() -> Result<()> {
    if !can_simulate("check_mode_on_fresh_guests_fails_nowhere_and_touches_nothing") {
        return Ok(());
    }
    let (fleet, _dir) = fleet()?;
    let (first, second) = (fleet.first.state()?, fleet.second.state()?);
    let play = fleet.controller.playbook("provision.yml", &["--check", "--diff"])?;
    assert!(play.ok, "{}", play.output);
    assert!(!fleet.world.path("trusted").exists(), "check mode made the output folder");
    assert!(!play.changes().is_empty(), "it predicted nothing");
    for (guest, state) in [(&fleet.first, first), (&fleet.second, second)] {
        assert_eq!(asked(guest, 0)?, OPEN_STORE_PROBED.map(str::to_owned).into());
        assert_eq!(guest.state()?, state);
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
    let (state, log) = (fleet.first.state()?, fleet.first.log()?.len());
    let files = contents(&fleet.world.path("trusted"))?;
    let play = fleet.controller.playbook("provision.yml", &["--check", "--diff"])?;
    assert!(play.ok, "{}", play.output);
    assert_eq!(play.changes(), Vec::<String>::new());
    assert_eq!(asked(&fleet.first, log)?, LOCKED_STORE_PROBED.map(str::to_owned).into());
    assert_eq!(fleet.first.state()?, state);
    assert_eq!(contents(&fleet.world.path("trusted"))?, files);
    Ok(())
}
