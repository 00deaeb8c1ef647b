//! The plan for the whole guest: a pure function of what is wanted and what was observed. Each room is planned with what
//! the rooms before it will have done.

use super::observe::{Observed, StoreSeen};
use super::{Desired, Queues, Step, machine};
use crate::queues::{self, Situation};
use crate::store::Wanted;
use crate::{boot_files, evidence, lock, store};
use ansible_contract::{Failure, Outcome, warning};
use fault::{Fault, Result};
use pv_guest::uv::{LockState, SecretList};

/// What is planned for a room, with what is told of it before it is done.
pub type Planned<P, R> = std::result::Result<(P, Outcome<R>), Failure<R>>;

/// What is planned for each room; `None` for one that nobody asked for.
#[derive(Debug, Default)]
pub struct Plan {
    /// Whether the guest is where it may be.
    pub machine: Option<Result<()>>,
    /// Which requests are added.
    pub add: Option<Planned<store::Plan, store::Report>>,
    /// Which requests are added although nothing shows of another whether it was: then [`add`](Self::add) fails with that.
    pub add_others: Option<store::Plan>,
    /// Whether all secrets will be there.
    pub verify: Option<Result<()>>,
    /// Whether the lock is set.
    pub lock: Option<Planned<lock::Plan, lock::Report>>,
    /// Which queue serves which entry.
    pub bind: Option<queues::Answer>,
    /// What is written for the boot.
    pub at_boot: Option<Planned<boot_files::Plan, boot_files::Report>>,
    /// Whether the attestation request can be answered.
    pub attest: Option<evidence::Answer>,
    /// Steps that fail because it could not be seen how things are, with what is known of them all the same.
    pub unseen: Vec<Step>,
}

impl Plan {
    /// The steps that were asked for.
    pub fn steps(&self) -> impl Iterator<Item = Step> + use<> {
        let asked = [
            (self.machine.is_some(), Step::Machine),
            (self.add.is_some(), Step::Add),
            (self.verify.is_some(), Step::Verify),
            (self.lock.is_some(), Step::Lock),
            (self.bind.is_some(), Step::Bind),
            (self.at_boot.is_some(), Step::AtBoot),
            (self.attest.is_some(), Step::Attest),
        ];
        asked.into_iter().filter_map(|(asked, step)| asked.then_some(step))
    }
}

/// Plans every room.
pub fn plan(desired: &Desired, observed: &Observed<'_>) -> Plan {
    let mut plan = Plan::default();
    if let Some(seen) = &observed.machine {
        plan.machine = Some(machine::check(&desired.machines, seen));
    }
    plan.unseen = unseen(desired, observed);
    // What will be in the store when the queues' turn comes.
    let mut secrets = SecretList::default();
    match &observed.store {
        Some(Ok(seen)) => secrets = plan_store(desired, seen, &mut plan),
        Some(Err(fault)) if !desired.secrets.is_empty() => {
            plan.add = Some(Err(Failure::from(fault.clone())));
            plan.verify = Some(Err(fault.clone()));
            plan.lock = desired.guard.as_ref().map(|_| Err(Failure::from(fault.clone())));
        }
        _ => {}
    }
    plan.bind = match (&desired.queues, &observed.fleet, &observed.store) {
        (Queues::Wanted(_), Some(Err(fault)), _) => Some(Err(fault.clone().into())),
        (Queues::Wanted(wanted), _, Some(Err(fault))) if wanted.needs_secrets() => Some(Err(fault.clone().into())),
        (Queues::Wanted(wanted), Some(Ok(fleet)), _) => {
            // A request of which nothing is known yet may bring any secret.
            let may_come = desired.secrets.iter().any(Wanted::may_be_any);
            Some(queues::predict(Situation::new(wanted.clone(), fleet.copied(), secrets), may_come))
        }
        (Queues::Later(fault), ..) => Some(Ok(later(fault))),
        _ => None,
    };
    plan.at_boot = match (&desired.boot_files, &observed.boot_files) {
        (Some(wanted), Some(Ok(seen))) => Some(
            boot_files::plan(wanted, seen)
                .map(|plan| {
                    let told = boot_files::predict(wanted, &plan);
                    (plan, told)
                })
                .map_err(Failure::from),
        ),
        (_, Some(Err(fault))) => Some(Err(Failure::from(fault.clone()))),
        _ => None,
    };
    plan.attest = desired.attest.as_ref().zip(observed.evidence.as_ref()).map(|(asked, seen)| match seen {
        Ok(seen) => evidence::predict(asked, seen),
        Err(fault) => Err(Failure::from(fault.clone())),
    });
    plan
}

/// Whether a plan fails only because the store is locked until the next boot: with an empty one, and free queues, all that is wanted
/// would come about. Then what the guest runs at its boot may be written, or it would go on with what it ran before, for ever.
pub fn waits_for_a_boot(desired: &Desired, observed: &Observed<'_>, plan: &Plan) -> bool {
    let is_locked = matches!(&observed.store, Some(Ok(seen)) if seen.lock == LockState::Locked);
    let is_elsewhere = matches!(plan.machine, Some(Err(_)));
    let fails = |plan: &Plan| {
        matches!(plan.add, Some(Err(_))) || matches!(plan.verify, Some(Err(_))) || matches!(plan.lock, Some(Err(_)))
    };
    // A boot makes no attestation request another.
    let is_refused = matches!(plan.attest, Some(Err(_)));
    if !is_locked || !fails(plan) || is_elsewhere || is_refused || !plan.unseen.is_empty() {
        return false;
    }
    let empty = StoreSeen { list: SecretList::default(), record: store::Record::default(), lock: LockState::Unlocked };
    let mut after = Plan::default();
    let secrets = plan_store(desired, &empty, &mut after);
    let queues = match (&desired.queues, &observed.fleet) {
        (Queues::Wanted(wanted), Some(Ok(fleet))) => {
            queues::predict(Situation::new(wanted.clone(), fleet.after_boot(), secrets), false).is_ok()
        }
        (Queues::Any, _) => true,
        _ => false,
    };
    after.add.is_some() && !fails(&after) && queues
}

/// The steps of rooms that could not be observed. That there is no AP bus for this guest is an observation.
fn unseen(desired: &Desired, observed: &Observed<'_>) -> Vec<Step> {
    let seen_so = [pv_guest::codes::NO_AP_BUS, pv_guest::codes::NO_SECURE_BINDING, pv_guest::codes::NOT_A_GUEST];
    let mut unseen = Vec::new();
    if let Some(Err(_)) = &observed.store {
        unseen.extend([Step::Add, Step::Verify, Step::Lock]);
        if desired.queues.needs_secrets() {
            unseen.push(Step::Bind);
        }
    }
    if observed
        .fleet
        .as_ref()
        .and_then(|fleet| fleet.as_ref().err())
        .is_some_and(|fault| !seen_so.contains(&fault.code))
    {
        unseen.push(Step::Bind);
    }
    if matches!(&observed.boot_files, Some(Err(fault)) if fault.code != boot_files::codes::NOT_OURS) {
        unseen.push(Step::AtBoot);
    }
    if let Some(Err(_)) = &observed.evidence {
        unseen.push(Step::Attest);
    }
    unseen
}

/// Plans store and lock, and gives the store as it will be then.
fn plan_store(desired: &Desired, seen: &StoreSeen, plan: &mut Plan) -> SecretList {
    if desired.secrets.is_empty() {
        return seen.list.clone();
    }
    let (add, predicted) = match store::plan(&desired.secrets, &seen.list, &seen.record) {
        Err(fault) => {
            plan.verify = Some(Err(fault.clone()));
            (Err(Failure::from(fault)), seen.list.clone())
        }
        Ok(add) => {
            let told = store::predict(&desired.secrets, &add, &seen.list, seen.lock);
            let unknown =
                told.as_ref().err().map(|failure| &failure.fault).filter(|fault| store::is_unknown(fault.code.name));
            // Of a store that is locked nothing more is expected than what is in it.
            let list = if told.is_ok() || unknown.is_some() {
                add.predicted(&desired.secrets, &seen.list)
            } else {
                seen.list.clone()
            };
            let verify = store::verify(&desired.secrets, &add, &list, desired.proved_only);
            plan.verify = Some(unknown.map_or(verify, |fault| Err(fault.clone())));
            plan.add_others = unknown.map(|_| add.clone());
            (told.map(|told| (add, told)), list)
        }
    };
    plan.add = Some(add);
    plan.lock = desired.guard.as_ref().map(|guard| match lock::plan(guard, &predicted, seen.lock) {
        Ok(planned) => {
            let told = lock::predict(&planned, &predicted, seen.lock);
            Ok((planned, told))
        }
        Err(_) if desired.secrets.iter().any(Wanted::may_be_any) => {
            let is_locked = seen.lock == LockState::Locked;
            let planned = if is_locked { lock::Plan::LockedAlready } else { lock::Plan::Lock };
            let mut told = lock::predict(&planned, &predicted, seen.lock);
            told.predicted_partial = true;
            Ok((planned, told))
        }
        Err(fault) => Err(lock::unmet(fault, &predicted, seen.lock)),
    });
    predicted
}

/// What is told of queues that are described in a file which is not there yet.
fn later(fault: &Fault) -> Outcome<queues::Report> {
    Outcome {
        changed: true,
        msg: "The wanted queues are not known yet.".into(),
        warnings: vec![warning(fault)],
        diff: Vec::new(),
        predicted_partial: true,
        report: queues::Report::default(),
    }
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
