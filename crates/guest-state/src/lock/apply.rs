//! The plan carried out, or in check mode told.

use super::plan::{Guard, Plan, codes, plan};
use ansible_contract::{Diff, Failure, Outcome, warning};
use fault::{Fault, Result};
use pv_guest::boot_record::{BootRecord, Topic};
use pv_guest::uv::{Device, LockState, SecretInfo, SecretList};
use serde::Serialize;

/// The state of the lock.
#[derive(Clone, Debug, Default, Serialize)]
#[cfg_attr(feature = "docs", derive(schemars::JsonSchema))]
pub struct Report {
    /// Whether the secret store is locked now; null if that cannot be known (check mode).
    pub locked: Option<bool>,
    /// The secrets in the store.
    pub secrets: Vec<SecretInfo>,
}

/// What came of it, or why it came to an end.
pub type Answer = std::result::Result<Outcome<Report>, Failure<Report>>;

/// What is in the store, and what is known of its lock.
///
/// # Errors
/// Those of the device and of the list.
pub fn observe(device: &Device) -> Result<(SecretList, LockState)> {
    Ok((SecretList::read(device)?, device.probe_lock()?))
}

/// Tells the plan. `list` is the store as it is, or will be before the lock is set.
pub fn predict(plan: &Plan, list: &SecretList, lock: LockState) -> Outcome<Report> {
    match plan {
        Plan::LockedAlready => outcome(false, Some(true), list),
        Plan::Lock => {
            let mut outcome = outcome(true, (lock == LockState::Unlocked).then_some(false), list);
            if lock == LockState::Unknown {
                outcome.predicted_partial = true;
                outcome.warnings.push(warning(&unknown()));
            }
            outcome
        }
    }
}

/// Nothing tells whether the store is locked.
pub fn unknown() -> Fault {
    Fault::new(codes::LOCK_UNKNOWN, "Whether the secret store is already locked cannot be known without locking it.")
        .hint("Run the task without check mode: it locks the store, or finds it locked.")
}

/// Sets the lock if that is planned, notes it for everybody to read, and holds what is locked in against the guard.
///
/// # Errors
/// Those of the device; those of [`plan`] if another program has added something between the list and the lock.
pub fn apply(guard: &Guard, planned: &Plan, device: &Device, boot: &BootRecord) -> Answer {
    let changed = match planned {
        Plan::Lock => device.lock()?,
        Plan::LockedAlready => false,
    };
    // Noted first: whatever fails from here on, the store is locked. `facts` tells everybody from this note, for the
    // ultravisor tells nobody directly.
    let noted = boot.save(Topic::StoreLock, &true);
    let mut answer = what_is_locked_in(guard, device);
    let (warnings, diff) = match &mut answer {
        Ok(outcome) => {
            outcome.changed = changed;
            outcome.msg = message(changed, Some(true)).into();
            (&mut outcome.warnings, &mut outcome.diff)
        }
        Err(failure) => {
            failure.changed = changed;
            (&mut failure.warnings, &mut failure.diff)
        }
    };
    warnings.extend(noted.err().as_ref().map(warning));
    diff.extend(changed.then(locking));
    answer
}

/// The locked store held against the guard once more: from here on nothing can be added.
fn what_is_locked_in(guard: &Guard, device: &Device) -> Answer {
    let list = SecretList::read(device)?;
    match plan(guard, &list, LockState::Locked) {
        Ok(_) => Ok(outcome(false, Some(true), &list)),
        Err(fault) => Err(unmet(fault, &list, LockState::Locked)),
    }
}

/// The failure over a guard that is not met.
pub fn unmet(fault: Fault, list: &SecretList, lock: LockState) -> Failure<Report> {
    let mut failure = Failure::from(fault);
    if failure.fault.code == codes::LOCKED_INCOMPLETE {
        failure.facts.insert("reboot_required".into(), true.into());
    }
    let locked = match lock {
        LockState::Locked => Some(true),
        LockState::Unlocked => Some(false),
        LockState::Unknown => None,
    };
    failure.report = Some(Box::new(Report { locked, secrets: list.infos() }));
    failure
}

fn outcome(changed: bool, locked: Option<bool>, list: &SecretList) -> Outcome<Report> {
    Outcome {
        changed,
        msg: message(changed, locked).into(),
        warnings: Vec::new(),
        diff: changed.then(locking).into_iter().collect(),
        predicted_partial: false,
        report: Report { locked, secrets: list.infos() },
    }
}

fn message(changed: bool, locked: Option<bool>) -> &'static str {
    match (changed, locked) {
        (true, Some(true)) => "The secret store is locked now.",
        (true, _) => "The secret store would be locked.",
        (false, _) => "The secret store was already locked.",
    }
}

fn locking() -> Diff {
    Diff { subject: "secret store".into(), before: "locked: false\n".into(), after: "locked: true\n".into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::samples;

    #[test]
    fn what_would_be_locked_is_predicted_as_far_as_the_lock_is_known() {
        let told = |lock| {
            let outcome = predict(&Plan::Lock, &samples::store(&[1]), lock);
            assert!(outcome.changed && outcome.diff.len() == 1 && outcome.msg == "The secret store would be locked.");
            (outcome.report.locked, outcome.predicted_partial, outcome.warnings.len())
        };
        assert_eq!(told(LockState::Unlocked), (Some(false), false, 0));
        assert_eq!(told(LockState::Unknown), (None, true, 1));
        let outcome = predict(&Plan::LockedAlready, &samples::store(&[1]), LockState::Locked);
        assert!(!outcome.changed && outcome.diff.is_empty() && outcome.msg == "The secret store was already locked.");
        assert_eq!((outcome.report.locked, outcome.report.secrets.len()), (Some(true), 1));
    }

    #[test]
    fn what_is_said_of_the_lock_is_what_was_done() {
        assert_eq!(message(true, Some(true)), "The secret store is locked now.");
        assert_eq!(message(true, Some(false)), "The secret store would be locked.");
        assert_eq!(message(false, Some(true)), "The secret store was already locked.");
    }

    #[test]
    fn only_a_locked_store_that_lacks_something_needs_a_reboot() {
        let told = |code, lock| {
            let failure = unmet(Fault::new(code, "It lacks one."), &samples::store(&[1]), lock);
            (failure.facts.contains_key("reboot_required"), failure.report.unwrap().locked)
        };
        assert_eq!(told(codes::LOCKED_INCOMPLETE, LockState::Locked), (true, Some(true)));
        assert_eq!(told(codes::LOCK_GUARD, LockState::Unlocked), (false, Some(false)));
        assert_eq!(told(codes::LOCK_GUARD, LockState::Unknown), (false, None));
    }
}
