//! `secret_lock`: locks the secret store once it holds what it must hold.

pub mod options;
mod plan;

use ansible_contract::{Context, Diff, Failure, Module, Outcome, warning};
use fault::{Code, Fault};
use options::{Options, Report};
use plan::{Guard, Plan, codes, plan};
use pv_guest::boot_record::{BootRecord, Topic};
use pv_guest::uv::{Device, LockState, SecretList};
use std::time::Duration;

/// For how long another task that works on the store is waited for.
const PATIENCE: Duration = Duration::from_secs(30);

/// The module.
#[derive(Debug)]
pub struct SecretLock;

impl Module for SecretLock {
    const NAME: &'static str = "secret_lock";
    const CODES: &'static [&'static [Code]] = &[codes::ALL, pv_guest::codes::ALL];
    const FAILURE_FACTS: &'static [(&'static str, &'static str)] = &[(
        "reboot_required",
        "True if the store is locked and lacks what is required: only a reboot of the guest helps.",
    )];
    type Options = Options;
    type Report = Report;

    fn run(options: Options, context: &Context) -> Result<Outcome<Report>, Failure<Report>> {
        let guard = Guard::from_options(options)?;

        let device = Device::open()?;
        let boot = BootRecord::of_this_boot()?;
        // Held to the end: what is compared is what is locked, as far as secret_add is concerned.
        let _alone = if context.check_mode { None } else { Some(boot.alone_on_store(PATIENCE)?) };
        let list = SecretList::read(&device)?;
        let lock = device.probe_lock()?;

        let result = match plan(&guard, &list, lock) {
            Err(fault) => return unmet(fault, &list, lock, context),
            Ok(Plan::LockedAlready) => Ok((false, Some(true))),
            Ok(Plan::Lock) if context.check_mode => Ok((true, (lock == LockState::Unlocked).then_some(false))),
            Ok(Plan::Lock) => device.lock().map(|changed| (changed, Some(true))),
        };

        let (changed, locked) = result?;
        if locked != Some(true) {
            let mut outcome = outcome(changed, locked, &list);
            if lock == LockState::Unknown {
                outcome.predicted_partial = true;
                outcome.warnings.push(warning(&Fault::new(
                    codes::LOCK_UNKNOWN,
                    "Whether the secret store is locked already cannot be told without locking it.",
                )));
            }
            return Ok(outcome);
        }
        // Noted first: whatever fails from here on, the store is locked. `facts` tells everybody from this note, for
        // the ultravisor tells nobody directly.
        let noted = if context.check_mode { Ok(()) } else { boot.save(Topic::StoreLock, &true) };
        let mut answer = what_is_locked_in(&guard, &device, context);
        let (warnings, diff) = match &mut answer {
            Ok(outcome) => {
                outcome.changed = changed;
                outcome.msg = message(changed, locked).into();
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
}

/// The locked store held against the guard once more: another program may have added something between the list and
/// the lock, and from here on nothing can.
fn what_is_locked_in(guard: &Guard, device: &Device, context: &Context) -> Result<Outcome<Report>, Failure<Report>> {
    let list = SecretList::read(device)?;
    match plan(guard, &list, LockState::Locked) {
        Ok(_) => Ok(outcome(false, Some(true), &list)),
        Err(fault) => unmet(fault, &list, LockState::Locked, context),
    }
}

/// The guard's fault; in check mode only a prediction, as long as an earlier task may still add what is missing.
fn unmet(
    fault: Fault,
    list: &SecretList,
    lock: LockState,
    context: &Context,
) -> Result<Outcome<Report>, Failure<Report>> {
    if context.check_mode && fault.code == codes::LOCK_GUARD {
        let mut outcome = outcome(true, (lock == LockState::Unlocked).then_some(false), list);
        outcome.predicted_partial = true;
        outcome.warnings.push(warning(&fault));
        return Ok(outcome);
    }
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
    Err(failure)
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
        (false, _) => "The secret store was locked already.",
    }
}

fn locking() -> Diff {
    Diff { subject: "secret store".into(), before: "locked: false\n".into(), after: "locked: true\n".into() }
}
