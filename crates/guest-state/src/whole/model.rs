//! A guest in memory that plans are carried out on, and random ones of it with random descriptions: for tests.

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
use pv_guest::ap::steps::{Manner, WhenBusy};
use pv_guest::ap::{self, Apqn, Card, Journal, Mkvp, MkvpState, Mode, SeState, Seen};
use pv_guest::boot_record::BootRecord;
use pv_guest::firmware::Role;
use pv_guest::uv::{LockState, Secret, SecretList};
use pv_wire::{SecretId, SecretType};
use std::time::Duration;

pub fn id(number: usize) -> SecretId {
    SecretId([number as u8; 32])
}

fn key(number: usize) -> Mkvp {
    Mkvp([number as u8; 16])
}

/// A guest as it is, whether it can see that or not.
#[derive(Clone, Debug)]
pub struct Model {
    pub secrets: Vec<Secret>,
    pub record: Record,
    pub locked: bool,
    /// With the keys that only a bound queue shows.
    pub queues: Vec<Seen>,
}

/// Something breaks at this write, counted from 0.
pub type Breaks = Option<usize>;

/// What was done, step by step; and whether it ended well.
#[derive(Debug, Default)]
pub struct Done {
    pub writes: usize,
    pub changed: Vec<Step>,
    pub entries: Vec<Option<Apqn>>,
    pub broke: bool,
    pub unserved: bool,
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
    pub fn random(random: &mut Random) -> Self {
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

    pub fn push(&mut self, id: SecretId) {
        let index = self.secrets.len() as u16;
        self.secrets.push(Secret { index, secret_type: SecretType::ASSOCIATION, length: 32, id });
    }

    pub fn list(&self) -> SecretList {
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

    /// What a boot leaves: an empty store, and every queue free.
    pub fn boot(&mut self) {
        self.secrets.clear();
        self.record = Record::default();
        self.locked = false;
        self.queues.iter_mut().for_each(|queue| queue.state = SeState::Unbound);
    }

    pub fn plan(&self, desired: &Desired, boot: &BootRecord) -> Plan {
        plan(desired, &self.observed(boot))
    }

    pub fn observed<'a>(&self, boot: &'a BootRecord) -> Observed<'a> {
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
        Observed {
            machine: Some(machine),
            store: Some(Ok(store)),
            fleet: Some(Ok(fleet)),
            boot_files: None,
            evidence: None,
        }
    }

    /// Carries a plan out, as far as nothing breaks.
    pub fn carry_out(&mut self, desired: &Desired, plan: &Plan, breaks: Breaks) -> Done {
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

pub fn desired(random: &mut Random, model: &Model) -> Desired {
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

pub fn told(desired: &Desired, plan: &Plan) -> (Steps, Report) {
    let mut report = Report::default();
    let steps = tell(desired, plan, &mut report);
    (steps, report)
}

pub fn would_change(steps: &Steps) -> Vec<Step> {
    steps.reports.iter().filter(|told| told.state == State::WouldChange).map(|told| told.step).collect()
}

/// Whether check mode knew how the entries would be served.
pub fn knew(report: &Report) -> bool {
    report.entries.iter().flatten().all(|entry| entry.status != Status::Undetermined)
}
