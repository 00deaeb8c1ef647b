//! Rooms that could not be observed, and a guest that only a boot can make right.

use super::*;
use crate::lock::Guard;
use crate::store::{Given, Requirement, samples};
use crate::whole::machine::Machine;
use pv_guest::ap::Mkvp;
use pv_guest::ap::steps::{Manner, WhenBusy};
use pv_guest::firmware::Role;
use pv_wire::SecretId;
use std::time::Duration;

const TROUBLE: fault::Code = fault::file::UNREADABLE;

fn fault() -> Fault {
    Fault::new(TROUBLE, "It cannot be read.")
}

/// The secrets with these ids, locked in; each has a request that is not there yet.
fn desired(ids: &[u8]) -> Desired {
    let known_as = |id: &u8| Requirement::Id(SecretId([*id; 32]));
    let wanted = |id: &u8| Wanted {
        label: None,
        path: None,
        known_as: Some(known_as(id)),
        force: false,
        request: Given::Later(None),
    };
    Desired {
        machines: Vec::new(),
        secrets: ids.iter().map(wanted).collect(),
        proved_only: false,
        guard: Some(Guard::new(ids.iter().map(known_as).collect(), true, 0)),
        queues: Queues::Any,
        boot_files: None,
        attest: None,
        facts: None,
        timeout: Duration::ZERO,
    }
}

fn observed(store: Result<StoreSeen>) -> Observed<'static> {
    let machine = Machine { role: Some(Role::Guest), host_keys: None };
    Observed { machine: Some(machine), store: Some(store), fleet: None, boot_files: None, evidence: None }
}

fn store_with(ids: &[u8], lock: LockState) -> Result<StoreSeen> {
    Ok(StoreSeen { list: samples::store(ids), record: store::Record::default(), lock })
}

/// One entry that needs a secret, or none.
fn queues(needs_secret: bool) -> Queues {
    let purpose = if needs_secret {
        queues::Purpose::Ep11 { mkvp: Mkvp([0; 16]), serialnr: None, secret: SecretId([1; 32]) }
    } else {
        queues::Purpose::Accel
    };
    let entry = queues::Wanted { called: String::new(), name: None, purpose, min_generation: 0, apqn: None };
    let manner = Manner { timeout: Duration::ZERO, when_busy: WhenBusy::Fail };
    let aim = queues::Aim::Serve(queues::Freedom { exclusive: false, rebalance: false });
    Queues::Wanted(queues::Desired { wanted: vec![entry], aim, strict: true, manner })
}

fn code<T, R>(planned: &Option<std::result::Result<T, Failure<R>>>) -> Option<fault::Code> {
    planned.as_ref()?.as_ref().err().map(|failure| failure.fault.code)
}

#[test]
fn a_store_that_cannot_be_read_fails_all_that_rests_on_it_and_nothing_else() {
    let unread = observed(Err(fault()));
    let plan = super::plan(&desired(&[1]), &unread);
    assert_eq!((code(&plan.add), code(&plan.lock)), (Some(TROUBLE), Some(TROUBLE)));
    assert_eq!(plan.verify.unwrap().unwrap_err().code, TROUBLE);
    assert_eq!(plan.unseen, [Step::Add, Step::Verify, Step::Lock]);

    let only_queues = |needs_secret| Desired { queues: queues(needs_secret), guard: None, ..desired(&[]) };
    let plan = super::plan(&only_queues(true), &unread);
    assert!(plan.add.is_none() && plan.verify.is_none() && plan.lock.is_none());
    assert_eq!(code(&plan.bind), Some(TROUBLE));
    assert!(plan.unseen.contains(&Step::Bind));
    assert!(!super::plan(&only_queues(false), &unread).unseen.contains(&Step::Bind));
}

#[test]
fn that_there_is_no_bus_is_known_of_the_queues_and_that_it_cannot_be_read_is_not() {
    let wanted = Desired { queues: queues(false), ..desired(&[]) };
    for (code_of_bus, is_unseen) in [(pv_guest::codes::NO_AP_BUS, false), (TROUBLE, true)] {
        let fleet = Some(Err(Fault::new(code_of_bus, "")));
        let plan = super::plan(&wanted, &Observed { fleet, ..observed(store_with(&[], LockState::Unlocked)) });
        assert_eq!((code(&plan.bind), plan.unseen == [Step::Bind]), (Some(code_of_bus), is_unseen));
    }
}

#[test]
fn queues_that_are_not_described_yet_may_change() {
    let wanted = Desired { queues: Queues::Later(fault()), ..desired(&[]) };
    let plan = super::plan(&wanted, &observed(store_with(&[], LockState::Unlocked)));
    let told = plan.bind.unwrap().unwrap();
    assert!(told.changed && told.predicted_partial && told.warnings.len() == 1);
}

#[test]
fn a_boots_files_that_cannot_be_read_are_not_planned_and_somebody_elses_are_seen() {
    for (code_of_file, is_unseen) in [(boot_files::codes::NOT_OURS, false), (TROUBLE, true)] {
        let boot_files = Some(Err(Fault::new(code_of_file, "")));
        let seen = Observed { boot_files, ..observed(store_with(&[], LockState::Unlocked)) };
        let plan = super::plan(&desired(&[]), &seen);
        assert_eq!((code(&plan.at_boot), plan.unseen == [Step::AtBoot]), (Some(code_of_file), is_unseen));
    }
}

#[test]
fn only_a_locked_store_that_lacks_something_waits_for_a_boot() {
    let waits = |desired: &Desired, observed: &Observed<'_>| {
        let plan = super::plan(desired, observed);
        waits_for_a_boot(desired, observed, &plan)
    };
    let locked = || observed(store_with(&[], LockState::Locked));
    assert!(waits(&desired(&[1]), &locked()));
    assert!(!waits(&desired(&[1]), &observed(store_with(&[], LockState::Unlocked))));
    assert!(!waits(&desired(&[1]), &observed(Err(fault()))));
    // Elsewhere nothing would come about.
    let elsewhere = Desired { machines: vec![[1; 32]], ..desired(&[1]) };
    assert!(!waits(&elsewhere, &locked()));
    // Nor if a room cannot be seen.
    assert!(!waits(&desired(&[1]), &Observed { boot_files: Some(Err(fault())), ..locked() }));
    // Nor if the lock would not be set in the empty store either.
    let guard = Some(Guard::new(vec![Requirement::Id(SecretId([9; 32]))], false, 0));
    assert!(!waits(&Desired { guard, ..desired(&[1]) }, &locked()));
    // Nor if the queues are not known yet.
    assert!(!waits(&Desired { queues: Queues::Later(fault()), ..desired(&[1]) }, &locked()));
}

#[test]
fn a_request_that_may_bring_any_secret_leaves_open_whether_the_lock_can_be_set() {
    let mut wanted = desired(&[1]);
    wanted.secrets[0].known_as = None;
    for (lock, planned) in [(LockState::Unlocked, lock::Plan::Lock), (LockState::Locked, lock::Plan::LockedAlready)] {
        let plan = super::plan(&wanted, &observed(store_with(&[], lock)));
        let (found, told) = plan.lock.unwrap().unwrap();
        assert_eq!((found, told.predicted_partial), (planned, true));
    }
}

#[test]
fn the_store_is_looked_at_for_secrets_and_for_queues_that_need_some() {
    assert!(!desired(&[]).looks_at_store());
    assert!(desired(&[1]).looks_at_store());
    assert!(Desired { queues: queues(true), ..desired(&[]) }.looks_at_store());
    assert!(!Desired { queues: queues(false), ..desired(&[]) }.looks_at_store());
}

#[test]
fn each_thing_that_only_a_guest_has_makes_it_matter_whether_it_is_one() {
    let nothing = || desired(&[]);
    let removed = Some(boot_files::Desired::Removed);
    assert!(!Desired { guard: None, boot_files: removed, ..nothing() }.asks_of_a_guest());
    let asked = evidence::Asked {
        request: evidence::Given::Later(None),
        bound: evidence::Bound::Claims(Vec::new()),
        optional: true,
        in_check_mode: false,
    };
    for one in [
        desired(&[1]),
        Desired { queues: queues(false), ..nothing() },
        Desired { queues: Queues::Later(fault()), ..nothing() },
        Desired { machines: vec![[1; 32]], ..nothing() },
        Desired { facts: Some(Vec::new()), ..nothing() },
        Desired { attest: Some(asked), ..nothing() },
    ] {
        assert!(one.asks_of_a_guest(), "{one:?}");
    }
}
