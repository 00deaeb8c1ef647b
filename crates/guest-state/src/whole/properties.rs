//! What holds of every guest: thousands of random stores, cards, descriptions and faults, each plan carried out on a model of
//! the guest.

use super::observe::{Observed, StoreSeen};
use super::plan::{Plan, plan};
use super::report::Report;
use super::run::tell;
use super::steps::{State, Steps};
use super::{Desired, Machine, Queues, Step};
use crate::lock::{self, Guard};
use crate::queues;
use crate::queues::planning::random::Random;
use crate::queues::planning::{self, Decision};
use crate::queues::{Aim, Fleet, Freedom, Purpose, Status, Wanted as Entry};
use crate::store::{self, Fate, Given, Loaded, Record, Requirement, Wanted};
use fault::Fault;
use pv_guest::ap::steps::{Manner, WhenBusy};
use pv_guest::ap::{self, Apqn, Card, Journal, Mkvp, MkvpState, Mode, SeState, Seen};
use pv_guest::boot_record::BootRecord;
use pv_guest::firmware::Role;
use pv_guest::uv::{LockState, Secret, SecretList};
use pv_wire::{SecretId, SecretType};
use std::time::Duration;

const CASES: u64 = 2000;

fn id(number: usize) -> SecretId {
    SecretId([number as u8; 32])
}

fn key(number: usize) -> Mkvp {
    Mkvp([number as u8; 16])
}

/// A guest as it is, whether it can see that or not.
#[derive(Clone, Debug)]
struct Model {
    secrets: Vec<Secret>,
    record: Record,
    locked: bool,
    /// With the keys that only a bound queue shows.
    queues: Vec<Seen>,
}

/// Something breaks at this write, counted from 0.
type Breaks = Option<usize>;

/// What was done, step by step; and whether it ended well.
#[derive(Debug, Default)]
struct Done {
    writes: usize,
    changed: Vec<Step>,
    entries: Vec<Option<Apqn>>,
    broke: bool,
    unserved: bool,
}

impl Done {
    /// One write; false if it breaks.
    fn write(&mut self, breaks: Breaks, step: Step) -> bool {
        self.broke |= breaks == Some(self.writes);
        self.writes += 1;
        if !self.broke && !self.changed.contains(&step) {
            self.changed.push(step);
        }
        !self.broke
    }
}

impl Model {
    fn random(random: &mut Random) -> Self {
        let mut model =
            Self { secrets: Vec::new(), record: Record::default(), locked: random.percent(15), queues: Vec::new() };
        for _ in 0..random.below(3) {
            let number = random.below(5);
            if random.percent(50) {
                model.record.note(&request(number), Fate::Added);
            }
            model.push(id(number));
        }
        for card in 0..1 + random.below(3) as u8 {
            let mode = *random.of(&[Mode::Ep11, Mode::Ep11, Mode::Accel]);
            let generation = *random.of(&[8, 8, 9]);
            for domain in 0..1 + random.below(2) as u16 {
                let state = match (mode, random.below(5)) {
                    (_, 0..=2) => SeState::Unbound,
                    (Mode::Ep11, 3) => SeState::Associated(random.below(3) as u16),
                    _ => SeState::Bound,
                };
                let mkvp = if mode == Mode::Ep11 { MkvpState::Valid(key(random.below(2))) } else { MkvpState::NotRead };
                let (apqn, usable) = (Apqn { card, domain }, random.percent(95));
                model.queues.push(Seen { apqn, mode, generation, serialnr: None, mkvp, state, usable });
            }
        }
        model
    }

    fn push(&mut self, id: SecretId) {
        let index = self.secrets.len() as u16;
        self.secrets.push(Secret { index, secret_type: SecretType::ASSOCIATION, length: 32, id });
    }

    fn list(&self) -> SecretList {
        SecretList { total: self.secrets.len() as u16, secrets: self.secrets.clone() }
    }

    fn lock(&self) -> LockState {
        if self.locked { LockState::Locked } else { LockState::Unlocked }
    }

    /// What the guest sees of its queues: of one that is free only what was `read` of it before.
    fn seen(&self, read: &[Apqn]) -> Vec<Seen> {
        let shown = |queue: &Seen| queue.state.is_held() || read.contains(&queue.apqn);
        let hidden = |queue: &Seen| Seen { mkvp: MkvpState::NotRead, ..queue.clone() };
        self.queues.iter().map(|queue| if shown(queue) { queue.clone() } else { hidden(queue) }).collect()
    }

    fn plan(&self, desired: &Desired, boot: &BootRecord) -> Plan {
        let observed = |seen: Seen| {
            let card = Card {
                number: seen.apqn.card,
                generation: seen.generation,
                mode: seen.mode,
                serialnr: None,
                usable: true,
                line: ap::Line::new(seen.apqn.card, Duration::ZERO),
            };
            ap::Observed { queue: ap::Queue::at("/nonexistent".into(), seen.apqn, seen.mode), card, seen }
        };
        let queues = self.seen(&[]).into_iter().map(observed).collect();
        let fleet = Fleet::of(queues, Journal::only_read(boot).unwrap(), manner());
        let store = StoreSeen { list: self.list(), record: self.record.clone(), lock: self.lock() };
        let machine = Machine { role: Some(Role::Guest), host_keys: None };
        plan(
            desired,
            &Observed {
                machine: Some(machine),
                store: Some(Ok(store)),
                fleet: Some(Ok(fleet)),
                boot_files: None,
                evidence: None,
            },
        )
    }

    /// Carries a plan out, as far as nothing breaks.
    fn carry_out(&mut self, desired: &Desired, plan: &Plan, breaks: Breaks) -> Done {
        let mut done = Done::default();
        if let Some(Ok((add, _))) = &plan.add {
            for (wanted, planned) in desired.secrets.iter().zip(&add.0) {
                if let (store::Step::Add, Some(loaded)) = (&planned.step, wanted.loaded()) {
                    if !done.write(breaks, Step::Add) {
                        return done;
                    }
                    self.record.note(loaded, Fate::Added);
                    self.push(loaded.id.unwrap());
                }
            }
            assert_eq!(store::verify(&desired.secrets, add, &self.list(), desired.proved_only), Ok(()));
        }
        if let Some(guard) = &desired.guard {
            if lock::plan(guard, &self.list(), self.lock()).unwrap() == lock::Plan::Lock {
                if !done.write(breaks, Step::Lock) {
                    return done;
                }
                let there =
                    |wanted: &Wanted| self.secrets.iter().any(|s| wanted.requirement().unwrap().is_met_by(&s.id));
                assert!(desired.secrets.iter().all(there), "locked with something missing: {self:?}");
                self.locked = true;
            }
        }
        if let Queues::Wanted(queues) = &desired.queues {
            self.serve(queues, breaks, &mut done);
        }
        done
    }

    fn serve(&mut self, desired: &queues::Desired, breaks: Breaks, done: &mut Done) {
        let Aim::Serve(freedom) = desired.aim else { panic!("nothing to serve") };
        let (secrets, mut read) = (self.list(), Vec::new());
        let plan = loop {
            let seen = self.seen(&read);
            let next = planning::to_look_at(&desired.wanted, &seen, &secrets, freedom);
            if next.is_empty() {
                break planning::plan(&desired.wanted, &seen, &secrets, freedom);
            }
            read.extend(next);
        };
        done.entries = plan.decisions.iter().map(Decision::queue).collect();
        done.unserved = !plan.serves_all();
        if done.unserved && desired.strict {
            return;
        }
        let unwanted: Vec<Apqn> =
            self.queues.iter().map(|queue| queue.apqn).filter(|apqn| plan.entry_of(*apqn).is_none()).collect();
        for job in plan.jobs(&desired.wanted) {
            if !done.write(breaks, Step::Bind) {
                return;
            }
            let queue = self.queues.iter_mut().find(|queue| queue.apqn == job.apqn).unwrap();
            queue.state = job.secret.map_or(SeState::Bound, |index| SeState::Associated(index.0));
        }
        let left = plan.left();
        for queue in &mut self.queues {
            let goes = left.contains(&queue.apqn) || (freedom.exclusive && unwanted.contains(&queue.apqn));
            if goes && queue.state.is_held() {
                if !done.write(breaks, Step::Bind) {
                    return;
                }
                queue.state = SeState::Unbound;
            }
        }
    }
}

fn manner() -> Manner {
    Manner { timeout: Duration::ZERO, when_busy: WhenBusy::Fail }
}

/// The request of a secret.
fn request(number: usize) -> Loaded {
    let (tag, sha256) = (String::new(), number.to_string());
    Loaded { bytes: Vec::new(), id: Some(id(number)), secret_type: SecretType::ASSOCIATION, tag, sha256 }
}

fn desired(random: &mut Random, model: &Model) -> Desired {
    let mut numbers: Vec<usize> = (0..5).collect();
    random.shuffle(&mut numbers);
    numbers.truncate(random.below(4));
    let wanted = |number: &usize| {
        let known_as = random.percent(50).then(|| Requirement::Id(id(*number)));
        let without = known_as.is_some() && random.percent(20);
        let request = if without { Given::None } else { Given::Read(request(*number)) };
        Wanted { label: None, path: None, known_as, force: random.percent(10), request }
    };
    let secrets: Vec<Wanted> = numbers.iter().map(wanted).collect();
    let require = secrets.iter().filter_map(Wanted::requirement).collect();
    let guard = (random.percent(70) && !secrets.is_empty()).then(|| Guard::new(require, random.percent(60), 0));
    let entries: Vec<Entry> = (0..random.below(4))
        .map(|_| {
            let secret = if numbers.is_empty() || random.percent(20) { random.below(5) } else { *random.of(&numbers) };
            let ep11 = Purpose::Ep11 { mkvp: key(random.below(2)), serialnr: None, secret: id(secret) };
            let purpose = if random.percent(25) { Purpose::Accel } else { ep11 };
            let apqn = random.percent(10).then(|| random.of(&model.queues).apqn);
            Entry { called: String::new(), name: None, purpose, min_generation: *random.of(&[0, 0, 9]), apqn }
        })
        .collect();
    let aim = Aim::Serve(Freedom { exclusive: random.percent(20), rebalance: random.percent(20) });
    let queues = if entries.is_empty() {
        Queues::Any
    } else {
        Queues::Wanted(queues::Desired { wanted: entries, aim, strict: random.percent(80), manner: manner() })
    };
    let proved_only = random.percent(10);
    Desired {
        machines: Vec::new(),
        secrets,
        proved_only,
        guard,
        queues,
        boot_files: None,
        attest: None,
        facts: None,
        timeout: Duration::ZERO,
    }
}

fn told(desired: &Desired, plan: &Plan) -> (Steps, Report) {
    let mut report = Report::default();
    let steps = tell(desired, plan, &mut report);
    (steps, report)
}

fn would_change(steps: &Steps) -> Vec<Step> {
    steps.reports.iter().filter(|told| told.state == State::WouldChange).map(|told| told.step).collect()
}

/// Whether check mode knew how the entries would be served.
fn knew(report: &Report) -> bool {
    report.entries.iter().flatten().all(|entry| entry.status != Status::Undetermined)
}

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
