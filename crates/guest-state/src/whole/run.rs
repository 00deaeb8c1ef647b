//! One run: observed, planned, and told or carried out.

use super::observe::{Hands, Observed, StoreSeen};
use super::plan::{Plan, plan, waits_for_a_boot};
use super::report::Report;
use super::steps::{Step, Steps};
use super::{Desired, Queues};
use crate::facts::{self, Manner};
use crate::queues::{self, Situation};
use crate::store::{self, Apply};
use crate::{boot_files, evidence, lock};
use ansible_contract::{Failure, Outcome};
use fault::Result;
use pv_guest::uv::{Device, LockState, SecretList};

/// What came of it, or why it came to an end.
pub type Answer = std::result::Result<Outcome<Report>, Failure<Report>>;

/// Brings the guest to the wanted state. Where the plan shows that a step cannot succeed, nothing is written at all, but for what
/// the guest runs at its next boot, if that boot is all that is missing, and for other requests than one of which nothing shows
/// whether it was added. A step that fails unforeseen ends the run, and what was done before stays. In check mode the plan is
/// told.
///
/// # Errors
/// What the first failing step says; how all steps stand is in the report.
pub fn run(desired: Desired, check_mode: bool) -> Answer {
    let hands = Hands::take(&desired, check_mode)?;
    let observed = hands.observe(&desired, check_mode);
    let mut plan = plan(&desired, &observed);
    if check_mode {
        attest_now(&desired, &hands, &observed, &mut plan);
    }
    let mut report = Report::default();
    let mut told = tell(&desired, &plan, &mut report);
    if !check_mode {
        if told.is_over() && !(plan.add_others.is_some() && told.lacks_only_an_outcome()) {
            told.nothing_written();
            report.nothing_written();
            let boot_files = desired.boot_files.as_ref().zip(plan.at_boot.as_ref().and_then(|plan| plan.as_ref().ok()));
            if let (Some((wanted, (planned, _))), true) = (boot_files, waits_for_a_boot(&desired, &observed, &plan)) {
                report.at_boot = told.take_done(Step::AtBoot, boot_files::apply(wanted, planned));
            }
        } else {
            report = Report::default();
            told = apply(&desired, &hands, observed, plan, &mut report);
        }
    }
    if let Some(parts) = &desired.facts {
        let manner = Manner { probe_lock: true, bind_to_inspect: false, timeout: desired.timeout };
        report.ansible_facts = Some(facts::gather(parts, manner).ansible_facts);
    }
    answer(told, report)
}

/// In check mode an answer takes the place of its prediction, if that is asked for: it changes nothing.
fn attest_now(desired: &Desired, hands: &Hands, observed: &Observed<'_>, plan: &mut Plan) {
    let asked = desired.attest.as_ref().filter(|asked| asked.in_check_mode);
    if let (Some(asked), Some(Ok(seen)), Some(Ok(device))) = (asked, &observed.evidence, &hands.device) {
        plan.attest = Some(evidence::answer(asked, seen, device, &hands.boot, true));
    }
}

fn answer(steps: Steps, mut report: Report) -> Answer {
    let msg = steps.sentence();
    report.steps = steps.reports;
    let (changed, warnings, diff) = (steps.changed, steps.warnings, steps.diff);
    match steps.fault {
        None => Ok(Outcome { changed, msg, warnings, diff, predicted_partial: steps.partial, report }),
        Some(fault) => {
            Err(Failure { fault, changed, warnings, diff, report: Some(Box::new(report)), facts: steps.facts })
        }
    }
}

/// The plan, step by step. Every one is told, also those behind one that fails: each is a verdict of its own.
pub(super) fn tell(desired: &Desired, plan: &Plan, report: &mut Report) -> Steps {
    let mut steps = Steps::new(plan.steps(), true);
    if let Some(machine) = &plan.machine {
        steps.take(Step::Machine, checked(machine.clone(), WHERE_IT_MAY));
    }
    if let Some(add) = &plan.add {
        report.store(steps.take(Step::Add, told(add)));
    }
    if let Some(verify) = &plan.verify {
        steps.take(Step::Verify, checked(verify.clone(), VERIFIED));
    }
    if let Some(Ok((add, told))) = &plan.add {
        if !add.is_empty() {
            steps.not_yet(Step::Verify, "Every secret is in the store once the requests are added.");
        }
        if told.predicted_partial {
            steps.unknown_unless_wrong(Step::Add);
            steps.unknown_unless_wrong(Step::Verify);
        }
    }
    if let Some(planned) = &plan.lock {
        report.lock(steps.take(Step::Lock, told(planned)));
        if planned.as_ref().is_ok_and(|(_, told)| told.predicted_partial) {
            let why = planned.as_ref().is_ok_and(|(_, told)| !told.warnings.is_empty()).then(lock::unknown);
            steps.unknown(Step::Lock, why.as_ref());
        }
    }
    if let Some(bind) = &plan.bind {
        take_bind(&mut steps, report, bind.clone());
    }
    if let Queues::Later(fault) = &desired.queues {
        steps.unknown(Step::Bind, Some(fault));
    }
    if let Some(at_boot) = &plan.at_boot {
        report.at_boot = steps.take(Step::AtBoot, told(at_boot));
        if at_boot.as_ref().is_ok_and(|(planned, _)| !planned.is_certain()) {
            steps.unknown(Step::AtBoot, None);
        }
    }
    if let Some(attest) = &plan.attest {
        report.attestation = steps.take(Step::Attest, attest.clone());
        if let Some(evidence::Given::Later(fault)) = desired.attest.as_ref().map(|asked| &asked.request) {
            steps.unknown(Step::Attest, fault.as_ref());
        }
    }
    plan.unseen.iter().for_each(|step| steps.unknown(*step, None));
    steps
}

/// Takes up how it went with the queues. An entry that is not served is wrong, also where `strict` does not ask for it.
fn take_bind(steps: &mut Steps, report: &mut Report, bound: queues::Answer) {
    report.queues(steps.take(Step::Bind, bound));
    if report.entries.iter().flatten().any(|entry| entry.status == queues::Status::Unserved) {
        steps.not_yet(Step::Bind, "As much as possible was done, but not every wanted queue is served.");
    }
}

const WHERE_IT_MAY: &str = "This is a Secure Execution guest on an allowed machine.";

const VERIFIED: &str = "Every secret is in the store.";

fn told<P, R: Clone>(planned: &super::plan::Planned<P, R>) -> std::result::Result<Outcome<R>, Failure<R>> {
    planned.as_ref().map(|(_, told)| told.clone()).map_err(Failure::clone)
}

/// A step that only looks.
fn checked(verdict: Result<()>, msg: &str) -> std::result::Result<Outcome<()>, Failure<()>> {
    let fine = || Outcome {
        changed: false,
        msg: msg.to_owned(),
        warnings: Vec::new(),
        diff: Vec::new(),
        predicted_partial: false,
        report: (),
    };
    verdict.map(|()| fine()).map_err(Failure::from)
}

/// Carries out a plan in which nothing fails but an outcome that is not known, step by step, until one does.
fn apply(desired: &Desired, hands: &Hands, observed: Observed<'_>, plan: Plan, report: &mut Report) -> Steps {
    let mut steps = Steps::new(plan.steps(), false);
    if let Some(machine) = plan.machine {
        steps.take(Step::Machine, checked(machine, WHERE_IT_MAY));
    }
    let device = hands.device.as_ref().and_then(|device| device.as_ref().ok());
    let mut secrets = SecretList::default();
    if let (Some(Ok(seen)), Some(device)) = (observed.store, device) {
        let add = plan.add.as_ref().and_then(|add| add.as_ref().ok()).map(|(add, _)| add);
        secrets = apply_store(desired, hands, device, seen, add.or(plan.add_others.as_ref()), &mut steps, report);
    }
    if steps.is_over() {
        return steps;
    }
    if let (Queues::Wanted(wanted), Some(Ok(fleet))) = (&desired.queues, observed.fleet) {
        let bound = queues::apply(Situation::new(wanted.clone(), fleet, secrets));
        take_bind(&mut steps, report, bound);
    }
    if steps.is_over() {
        return steps;
    }
    if let (Some(wanted), Some(Ok((planned, _)))) = (&desired.boot_files, &plan.at_boot) {
        report.at_boot = steps.take(Step::AtBoot, boot_files::apply(wanted, planned));
    }
    if let (false, Some(asked), Some(Ok(seen)), Some(device)) =
        (steps.is_over(), &desired.attest, &observed.evidence, device)
    {
        report.attestation = steps.take(Step::Attest, evidence::answer(asked, seen, device, &hands.boot, false));
    }
    steps
}

/// Adds, verifies and locks, and gives what is in the store then.
fn apply_store(
    desired: &Desired,
    hands: &Hands,
    device: &Device,
    seen: StoreSeen,
    add: Option<&store::Plan>,
    steps: &mut Steps,
    report: &mut Report,
) -> SecretList {
    let Some(add) = add else { return seen.list };
    let StoreSeen { mut list, record, lock: mut state } = seen;
    let apply = Apply { device, boot: &hands.boot, timeout: desired.timeout };
    report.store(steps.take(Step::Add, apply.run(&desired.secrets, add, record, &mut list)));
    if steps.is_over() {
        return list;
    }
    if add.first_add().is_some() {
        // What was added was not locked out.
        state = LockState::Unlocked;
    }
    steps.take(Step::Verify, checked(store::verify(&desired.secrets, add, &list, desired.proved_only), VERIFIED));
    let (false, Some(guard)) = (steps.is_over(), &desired.guard) else { return list };
    let locked = match lock::plan(guard, &list, state) {
        Ok(planned) => lock::apply(guard, &planned, device, &hands.boot),
        Err(fault) => Err(lock::unmet(fault, &list, state)),
    };
    report.lock(steps.take(Step::Lock, locked));
    list
}
