//! What holds of every guest: thousands of random stores, cards, descriptions and faults, each plan carried out on a model of
//! the guest.

use super::Desired;
use super::Step;
use super::model::{Model, desired, knew, told, would_change};
use super::plan::{Plan, plan, waits_for_a_boot};
use crate::lock;
use crate::queues::Status;
use crate::queues::planning::random::Random;
use crate::store::{self, Wanted};
use fault::Fault;
use pv_guest::boot_record::BootRecord;

const CASES: u64 = 2000;

/// Each case with whether it is told, broken, and how it went: `f` is given the guest before, what is wanted and the plan.
fn every_case(mut f: impl FnMut(&mut Random, Model, Desired, Plan, &BootRecord)) {
    let boot = BootRecord::of_this_boot().unwrap();
    for seed in 0..CASES {
        let random = &mut Random::new(seed);
        let model = Model::random(random);
        let desired = desired(random, &model);
        let plan = model.plan(&desired, &boot);
        f(random, model, desired, plan, &boot);
    }
}

#[test]
fn a_plan_that_is_carried_out_leaves_nothing_to_plan() {
    let mut went_well = 0;
    every_case(|_, mut model, desired, plan, boot| {
        if told(&desired, &plan).0.is_over() {
            return;
        }
        let done = model.carry_out(&desired, &plan, None);
        if done.unserved {
            return;
        }
        went_well += 1;
        let (steps, report) = told(&desired, &model.plan(&desired, boot));
        assert!(!steps.is_over(), "{:?} of {model:?} and {desired:?}", steps.fault);
        assert_eq!(would_change(&steps), [], "{model:?} and {desired:?}");
        assert!(steps.reports.iter().all(|step| step.right == Some(true)), "{:?}", steps.reports);
        assert!(report.entries.iter().flatten().all(|entry| entry.status == Status::Served));
    });
    assert!(went_well > CASES as usize / 10, "only {went_well}");
}

#[test]
fn a_locked_guest_is_said_to_wait_for_its_boot_wherever_the_boot_makes_it_right_and_where_it_cannot_is_not() {
    let (mut waited, mut helped) = (0, 0);
    every_case(|_, mut model, desired, _, boot| {
        model.locked = true;
        let observed = model.observed(boot);
        let plan = plan(&desired, &observed);
        let lacks = matches!(plan.add, Some(Err(_)))
            || matches!(plan.verify, Some(Err(_)))
            || matches!(plan.lock, Some(Err(_)));
        let waits = waits_for_a_boot(&desired, &observed, &plan);
        assert!(lacks || !waits, "nothing in the store waits for a boot: {model:?} and {desired:?}");
        let before = format!("{model:?}");
        model.boot();
        let plan = model.plan(&desired, boot);
        if told(&desired, &plan).0.is_over() {
            assert!(!waits, "{before} and {desired:?}");
            return;
        }
        waited += usize::from(waits);
        if lacks && !model.carry_out(&desired, &plan, None).unserved {
            helped += 1;
            assert!(waits, "{before} and {desired:?}");
        }
    });
    assert!(waited > CASES as usize / 20 && helped > CASES as usize / 20, "{waited} {helped}");
}

#[test]
fn what_is_predicted_comes_about_wherever_it_was_said_to_be_known() {
    let (mut known, mut partly) = (0, 0);
    every_case(|_, mut model, desired, plan, _| {
        let (steps, report) = told(&desired, &plan);
        if steps.is_over() {
            return;
        }
        let done = model.carry_out(&desired, &plan, None);
        let before_queues = |step: &&Step| **step != Step::Bind;
        let (predicted, changed) = (would_change(&steps), &done.changed);
        assert!(
            predicted.iter().filter(before_queues).eq(changed.iter().filter(before_queues)),
            "{predicted:?} {changed:?}"
        );
        // Where a better queue may be among those that cannot be read, it says so.
        if steps.partial || !knew(&report) {
            partly += 1;
            return;
        }
        known += 1;
        assert_eq!(&predicted, changed, "{model:?} and {desired:?}");
        let apqns = report.entries.iter().flatten().map(|entry| entry.apqn.clone());
        assert!(apqns.eq(done.entries.iter().map(|apqn| apqn.map(|apqn| apqn.to_string()))), "{report:?} {done:?}");
    });
    assert!(known > CASES as usize / 10 && partly > CASES as usize / 20, "{known} {partly}");
}

#[test]
fn a_run_that_breaks_off_anywhere_is_completed_by_the_next() {
    let mut broke = 0;
    every_case(|random, model, desired, plan, boot| {
        if told(&desired, &plan).0.is_over() {
            return;
        }
        let mut whole = model.clone();
        let all = whole.carry_out(&desired, &plan, None);
        if all.writes == 0 || all.unserved {
            return;
        }
        let mut broken = model;
        let first = broken.carry_out(&desired, &plan, Some(random.below(all.writes)));
        assert!(first.broke);
        broke += 1;
        let plan = broken.plan(&desired, boot);
        assert!(!told(&desired, &plan).0.is_over(), "{broken:?} and {desired:?}");
        let second = broken.carry_out(&desired, &plan, None);
        assert!(!second.unserved && !second.broke);
        assert_eq!((broken.list(), broken.locked), (whole.list(), whole.locked));
        assert_eq!(would_change(&told(&desired, &broken.plan(&desired, boot)).0), []);
    });
    assert!(broke > CASES as usize / 20, "only {broke}");
}

#[test]
fn what_cannot_come_out_right_is_known_before_anything_is_done() {
    let mut refused = 0;
    every_case(|_, model, desired, plan, _| {
        let (steps, _) = told(&desired, &plan);
        let Some(Fault { code, .. }) = &steps.fault else { return };
        refused += 1;
        let has = |wanted: &Wanted| model.secrets.iter().any(|s| wanted.requirement().unwrap().is_met_by(&s.id));
        let lacks = !desired.secrets.iter().all(has);
        // Only what is seen to be wrong is refused.
        match *code {
            pv_guest::codes::STORE_LOCKED => assert!(model.locked),
            pv_guest::codes::SECRET_MISSING => assert!(lacks),
            store::codes::NOT_PROVED => assert!(desired.proved_only),
            lock::codes::LOCKED_INCOMPLETE => assert!(model.locked),
            lock::codes::LOCK_GUARD => assert!(!model.locked),
            _ => assert!(code.name.starts_with("ap."), "{code:?}"),
        }
    });
    assert!(refused > CASES as usize / 10, "only {refused}");
}
