//! `secret_lock`: locks the secret store once it holds what it must hold.

mod options;
mod plan;

use ansible_contract::{Context, Diff, Failure, Module, Outcome, warning};
use fault::{Code, Fault};
use options::{Options, Report};
use plan::{Guard, Plan, codes, plan};
use pv_guest::boot_record::{BootRecord, Topic};
use pv_guest::uv::{Device, LockState, SecretList};

struct SecretLock;

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
        let _alone = if context.check_mode { None } else { boot.exclusively(Topic::Requests, true)? };
        let list = SecretList::read(&device)?;
        let lock = device.probe_lock()?;

        let result = match plan(&guard, &list, lock) {
            Err(fault) => return unmet(fault, &list, lock, context),
            Ok(Plan::LockedAlready) => Ok((false, Some(true))),
            Ok(Plan::Lock) if context.check_mode => Ok((true, (lock == LockState::Unlocked).then_some(false))),
            Ok(Plan::Lock) => device.lock().map(|changed| (changed, Some(true))),
        };

        let (changed, locked) = result?;
        // Another program may have added something between the list and the lock; from here on nothing can.
        let list = if locked == Some(true) { SecretList::read(&device)? } else { list };
        if let (Some(true), Err(fault)) = (locked, plan(&guard, &list, LockState::Locked)) {
            return unmet(fault, &list, LockState::Locked, context);
        }
        let mut outcome = outcome(changed, locked, &list);
        if locked == Some(true) && !context.check_mode {
            outcome.warnings.extend(remember().err().as_ref().map(warning));
        } else if lock == LockState::Unknown && context.check_mode {
            outcome.predicted_partial = true;
            outcome.warnings.push(warning(&Fault::new(
                codes::LOCK_UNKNOWN,
                "Whether the secret store is locked already cannot be told without locking it.",
            )));
        }
        Ok(outcome)
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
    let msg = match (changed, locked) {
        (true, Some(true)) => "The secret store is locked now.",
        (true, _) => "The secret store would be locked.",
        (false, _) => "The secret store was locked already.",
    };
    let diff =
        Diff { subject: "secret store".into(), before: "locked: false\n".into(), after: "locked: true\n".into() };
    Outcome {
        changed,
        msg: msg.into(),
        warnings: Vec::new(),
        diff: if changed { vec![diff] } else { Vec::new() },
        predicted_partial: false,
        report: Report { locked, secrets: list.infos() },
    }
}

/// Lets `facts` tell everybody that the store is locked, which the ultravisor tells nobody directly.
fn remember() -> fault::Result<()> {
    BootRecord::of_this_boot()?.save(Topic::StoreLock, &true)
}

fn main() -> std::process::ExitCode {
    ansible_contract::run::<SecretLock>()
}
