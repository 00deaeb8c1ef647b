//! Random schedules of what can happen to a guest: runs that are killed or fail anywhere, reboots, other programs that add
//! secrets and take or give queues. A schedule that ends badly is shrunk to the fewest events that do.
//!
//! Two runs at once are two one after the other here: the locks of the store and of the AP bus let one wait until the other is
//! done, and only then does it look (tests `two_runs_at_once_add_a_request_once`, `of_two_runs_at_once_one_works_and_the_other_says_so`).

use super::Desired;
use super::model::{Model, desired, id, told, would_change};
use crate::queues::planning::random::Random;
use crate::store::{Record, Wanted};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use pv_guest::ap::{Mode, SeState};
use pv_guest::boot_record::BootRecord;

/// What happens to the guest.
#[derive(Clone, Debug)]
enum Event {
    /// A run, which breaks off at a write, if it has that many.
    Run { breaks: Option<usize> },
    /// A restart: the store is empty and open, queues and records are gone.
    Reboot,
    /// Another program adds a secret, with no record of ours.
    Added(usize),
    /// Another program unbinds a queue, or binds it for itself.
    Turned { queue: usize, held: bool },
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => prop::option::weighted(0.6, 0..8_usize).prop_map(|breaks| Event::Run { breaks }),
        1 => Just(Event::Reboot),
        1 => (0..5_usize).prop_map(Event::Added),
        2 => (0..6_usize, any::<bool>()).prop_map(|(queue, held)| Event::Turned { queue, held }),
    ]
}

/// How often each secret of the description is in the store.
fn times(model: &Model, wanted: &Wanted) -> usize {
    wanted.loaded().map_or(0, |loaded| model.list().secrets.iter().filter(|s| Some(s.id) == loaded.id).count())
}

fn happens(model: &mut Model, desired: &Desired, boot: &BootRecord, event: &Event) {
    match event {
        Event::Run { breaks } => {
            let (plan, before) = (model.plan(desired, boot), model.clone());
            if told(desired, &plan).0.is_over() {
                return;
            }
            // The model checks that the store is never locked with something missing.
            model.carry_out(desired, &plan, *breaks);
            assert!(model.locked >= before.locked, "a lock was lifted");
            for wanted in &desired.secrets {
                let most = if wanted.force { times(&before, wanted) + 1 } else { times(&before, wanted).max(1) };
                assert!(times(model, wanted) <= most, "a secret was added again");
            }
        }
        Event::Reboot => {
            (model.secrets, model.record, model.locked) = (Vec::new(), Record::default(), false);
            model.queues.iter_mut().for_each(|queue| queue.state = SeState::Unbound);
        }
        Event::Added(number) => {
            if !model.locked && model.secrets.len() < 20 {
                model.push(id(*number));
            }
        }
        Event::Turned { queue, held } => {
            let number = *queue % model.queues.len();
            let queue = &mut model.queues[number];
            queue.state = match (held, queue.mode) {
                (false, _) => SeState::Unbound,
                (true, Mode::Ep11) => SeState::Associated(0),
                (true, _) => SeState::Bound,
            };
        }
    }
}

#[test]
fn whatever_happened_before_a_run_that_ends_well_leaves_nothing_to_do() {
    let boot = BootRecord::of_this_boot().unwrap();
    let ended_well = std::cell::Cell::new(0);
    let schedule = (any::<u64>(), prop::collection::vec(event(), 0..12));
    let config = Config { failure_persistence: None, ..Config::default() };
    let cases = config.cases;
    TestRunner::new(config)
        .run(&schedule, |(seed, events)| {
            let random = &mut Random::new(seed);
            let mut model = Model::random(random);
            let desired = desired(random, &model);
            for event in &events {
                happens(&mut model, &desired, &boot, event);
            }
            let plan = model.plan(&desired, &boot);
            if told(&desired, &plan).0.is_over() {
                return Ok(());
            }
            let done = model.carry_out(&desired, &plan, None);
            if done.unserved {
                return Ok(());
            }
            ended_well.set(ended_well.get() + 1);
            let (steps, _) = told(&desired, &model.plan(&desired, &boot));
            prop_assert!(!steps.is_over(), "{:?} of {:?} and {:?}", steps.fault, model, desired);
            prop_assert_eq!(would_change(&steps), [], "{:?} and {:?}", model, desired);
            Ok(())
        })
        .unwrap_or_else(|why| panic!("{why}"));
    assert!(ended_well.get() > cases / 10, "only {}", ended_well.get());
}
