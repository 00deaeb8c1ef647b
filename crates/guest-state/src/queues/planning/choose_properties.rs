//! What holds of every plan, on thousands of random fleets.

use super::*;
use crate::queues::planning::random::Random;
use crate::queues::wanted::Purpose;
use pv_guest::ap::{Mkvp, MkvpState};
use pv_guest::uv::Secret;
use pv_wire::{SecretId, SecretType};

const CASES: u64 = 3000;

/// A fleet as it is, whether the guest can see it or not.
#[derive(Clone, Debug)]
struct Fleet {
    wanted: Vec<Wanted>,
    /// As they are, with the keys and serial numbers that only a bound queue shows.
    queues: Vec<Seen>,
    secrets: SecretList,
}

fn id(number: usize) -> SecretId {
    SecretId([number as u8; 32])
}

fn key(number: usize) -> Mkvp {
    Mkvp([number as u8; 16])
}

fn serial(card: u8) -> String {
    format!("SERIAL{card:010}")
}

impl Fleet {
    fn random(random: &mut Random) -> Self {
        let mut secrets = Vec::new();
        for index in 0..random.below(5) as u16 {
            let association = random.percent(85);
            let secret_type = if association { SecretType::ASSOCIATION } else { SecretType(1) };
            secrets.push(Secret { index, secret_type, length: 32, id: id(random.below(4)) });
        }
        let mut queues = Vec::new();
        for card in 0..1 + random.below(3) as u8 {
            let mode = *random.of(&[Mode::Ep11, Mode::Ep11, Mode::Ep11, Mode::Accel, Mode::Cca]);
            let generation = *random.of(&[8, 8, 9, 10]);
            for domain in 0..1 + random.below(3) as u16 {
                let state = match mode {
                    Mode::Cca => SeState::Unsupported,
                    _ if random.percent(5) => *random.of(&[SeState::Unusable, SeState::Failing]),
                    _ if random.percent(45) => SeState::Unbound,
                    Mode::Accel => SeState::Bound,
                    Mode::Ep11 => match random.below(8) {
                        0 => SeState::Bound,
                        1 => *random.of(&[SeState::Pending, SeState::AssociatedUnknown]),
                        _ => SeState::Associated(random.below(5) as u16),
                    },
                };
                let mkvp = if mode == Mode::Ep11 && random.percent(90) {
                    MkvpState::Valid(key(random.below(2)))
                } else if mode == Mode::Ep11 {
                    MkvpState::NoneSet
                } else {
                    MkvpState::NotRead
                };
                let serialnr = (mode == Mode::Ep11).then(|| serial(card));
                let (apqn, usable) = (Apqn { card, domain }, random.percent(95));
                queues.push(Seen { apqn, mode, generation, serialnr, mkvp, state, usable });
            }
        }
        queues.truncate(6);
        let wanted = (0..1 + random.below(4)).map(|_| {
            let purpose = if random.percent(25) {
                Purpose::Accel
            } else {
                let serialnr = random.percent(15).then(|| serial(random.below(3) as u8));
                Purpose::Ep11 { mkvp: key(random.below(2)), serialnr, secret: id(random.below(4)) }
            };
            let apqn = random.percent(15).then(|| random.of(&queues).apqn);
            let min_generation = *random.of(&[0, 0, 0, 9]);
            Wanted { called: String::new(), name: None, purpose, min_generation, apqn }
        });
        let wanted = wanted.collect();
        let secrets = SecretList { total: secrets.len() as u16, secrets };
        Self { wanted, queues, secrets }
    }

    /// What the guest sees: no key of a queue that is not held, no serial number of a card without such a queue.
    /// Queues that were `looked` at were held for a moment; of a few that are held the key cannot be read.
    fn seen(&self, looked: &[Apqn], unread: &[Apqn]) -> Vec<Seen> {
        let shown = |queue: &Seen| queue.state.is_held() || looked.contains(&queue.apqn);
        let seen = |queue: &Seen| {
            let mut seen = queue.clone();
            if !shown(queue) || unread.contains(&queue.apqn) {
                seen.mkvp = MkvpState::NotRead;
            }
            if !self.queues.iter().any(|other| other.apqn.card == queue.apqn.card && shown(other)) {
                seen.serialnr = None;
            }
            seen
        };
        self.queues.iter().map(seen).collect()
    }

    fn plan(&self, seen: &[Seen], freedom: Freedom) -> Plan {
        plan(&self.wanted, seen, &self.secrets, freedom)
    }

    /// Looks until nothing is left to look at. Gives the queues and the plan.
    fn look_and_plan(&self, freedom: Freedom) -> (Vec<Apqn>, Plan) {
        let mut looked = Vec::new();
        loop {
            let seen = self.seen(&looked, &[]);
            let next = to_look_at(&self.wanted, &seen, &self.secrets, freedom);
            if next.is_empty() {
                return (looked, self.plan(&seen, freedom));
            }
            let mut cards: Vec<_> = next.iter().map(|apqn| apqn.card).collect();
            cards.dedup();
            assert_eq!(cards.len(), next.len(), "one queue of a card at a time: {next:?}");
            assert!(next.iter().all(|apqn| !looked.contains(apqn)), "looked at twice: {next:?} in {self:?}");
            looked.extend(next);
        }
    }

    /// The fleet after the plan was carried out.
    fn after(&self, plan: &Plan) -> Self {
        let mut after = self.clone();
        for queue in &mut after.queues {
            let entry = plan.entry_of(queue.apqn).map(|e| plan.decisions[e]);
            match entry {
                Some(Decision::Serve(_, index) | Decision::Move { index, .. }) => {
                    queue.state = index.map_or(SeState::Bound, SeState::Associated);
                }
                _ if plan.left().contains(&queue.apqn) => queue.state = SeState::Unbound,
                _ => {}
            }
        }
        after
    }
}

fn random_freedom(random: &mut Random) -> Freedom {
    Freedom { exclusive: random.percent(40), rebalance: random.percent(40) }
}

/// How good an assignment is, by the stated order; the lowest is the best.
type Rank = (usize, usize, usize, Vec<bool>, Vec<Option<(Reverse<u32>, Apqn)>>);

/// The best of all assignments, found by trying them all, with the stated rules written down once more.
fn brute_force(fleet: &Fleet, seen: &[Seen], freedom: Freedom) -> Vec<Option<Apqn>> {
    let association = |secret: &&Secret| secret.secret_type == SecretType::ASSOCIATION;
    let ids = |index: u16| fleet.secrets.secrets.iter().filter(association).find(|s| s.index == index).map(|s| s.id);
    // Whether an entry may have a queue, as (held for it, readable).
    let tie = |entry: &Wanted, queue: &Seen| -> Option<(bool, bool)> {
        let fits_card = queue.usable
            && entry.apqn.is_none_or(|apqn| apqn == queue.apqn)
            && queue.generation >= entry.min_generation;
        match &entry.purpose {
            Purpose::Accel if !fits_card || queue.mode != Mode::Accel => None,
            Purpose::Accel => match queue.state {
                SeState::Bound => Some((true, true)),
                SeState::Unbound => Some((false, true)),
                _ => None,
            },
            Purpose::Ep11 { .. } if !fits_card || queue.mode != Mode::Ep11 => None,
            Purpose::Ep11 { mkvp, serialnr, secret } => {
                let wrong_serial = matches!((serialnr, &queue.serialnr), (Some(a), Some(b)) if a != b);
                let wrong_key = queue.mkvp == MkvpState::NoneSet || queue.mkvp.known().is_some_and(|key| key != *mkvp);
                if wrong_serial || wrong_key {
                    return None;
                }
                let readable = queue.mkvp.known().is_some() && (serialnr.is_none() || queue.serialnr.is_some());
                let held = matches!(queue.state, SeState::Associated(index) if ids(index) == Some(*secret));
                let in_store = fleet.secrets.secrets.iter().filter(association).any(|s| s.id == *secret);
                let free = match queue.state {
                    SeState::Unbound | SeState::Bound => true,
                    SeState::Associated(_) | SeState::AssociatedUnknown | SeState::Pending => freedom.exclusive,
                    _ => false,
                };
                (held || (free && in_store && readable)).then_some((held, readable))
            }
        }
    };
    let rank = |chosen: &[Option<usize>], moving: bool| -> Rank {
        let ties = || {
            chosen
                .iter()
                .zip(&fleet.wanted)
                .filter_map(|(q, entry)| q.map(|q| tie(entry, &seen[q]).unwrap_or((false, true))))
        };
        let kept = ties().filter(|tie| *tie == (true, true)).count();
        let unread = ties().filter(|(_, readable)| !readable).count();
        let missing: Vec<bool> = chosen.iter().map(Option::is_none).collect();
        let columns = chosen.iter().map(|q| q.map(|q| (Reverse(seen[q].generation), seen[q].apqn)));
        let (kept, unread) = if moving { (0, 0) } else { (kept, unread) };
        (usize::MAX - kept, usize::MAX - unread, missing.iter().filter(|m| **m).count(), missing, columns.collect())
    };
    let best = |may: &dyn Fn(usize, usize) -> bool, moving: bool| {
        let mut all = vec![Vec::new()];
        for e in 0..fleet.wanted.len() {
            let longer = |chosen: &Vec<Option<usize>>| {
                let options = (0..seen.len()).filter(|q| may(e, *q) && !chosen.contains(&Some(*q))).map(Some);
                options.chain([None]).map(|q| [chosen.as_slice(), &[q]].concat()).collect::<Vec<_>>()
            };
            all = all.iter().flat_map(longer).collect();
        }
        all.into_iter().min_by_key(|chosen| rank(chosen, moving)).unwrap()
    };
    let staying = best(&|e, q| tie(&fleet.wanted[e], &seen[q]).is_some(), false);
    let is = |e: usize, how: (bool, bool)| staying[e].is_some_and(|q| tie(&fleet.wanted[e], &seen[q]) == Some(how));
    let rows = || 0..fleet.wanted.len();
    let chosen = if freedom.rebalance {
        let frozen: Vec<usize> = rows().filter(|e| is(*e, (true, false))).filter_map(|e| staying[e]).collect();
        let mut left: Vec<usize> = rows().filter(|e| is(*e, (true, true))).filter_map(|e| staying[e]).collect();
        // A queue of another entry counts as free; everything else is as it is.
        let released = |q: usize| Seen { state: SeState::Unbound, ..seen[q].clone() };
        loop {
            let may = |e: usize, q: usize| {
                if is(e, (true, false)) || frozen.contains(&q) {
                    return is(e, (true, false)) && staying[e] == Some(q);
                }
                let entry = &fleet.wanted[e];
                let tie = tie(entry, &seen[q]).or_else(|| tie(entry, &released(q)).filter(|_| left.contains(&q)));
                tie.is_some_and(|(_, readable)| readable)
            };
            let chosen = best(&may, true);
            // A queue that an entry has just changed to counts as one of them, too. That this is enough is shown by
            // `a_second_run_finds_everything_done_and_the_same_queues_serving`, not here.
            let holds = |e: usize, q: usize| tie(&fleet.wanted[e], &seen[q]) == Some((true, true));
            let held = rows().filter_map(|e| chosen[e].filter(|q| holds(e, *q) && !left.contains(q)));
            let more: Vec<usize> = held.collect();
            if more.is_empty() {
                break chosen;
            }
            left.extend(more);
        }
    } else {
        staying
    };
    chosen.into_iter().map(|q| q.map(|q| seen[q].apqn)).collect()
}

fn queues_of(plan: &Plan) -> Vec<Option<Apqn>> {
    plan.decisions.iter().map(Decision::queue).collect()
}

#[test]
fn the_plan_is_the_best_of_all_by_the_stated_order() {
    let mut random = Random::new(2);
    for case in 0..CASES {
        let fleet = Fleet::random(&mut random);
        let freedom = random_freedom(&mut random);
        let apqns: Vec<_> = fleet.queues.iter().map(|queue| queue.apqn).collect();
        let unread: Vec<_> = apqns.iter().filter(|_| random.percent(10)).copied().collect();
        let looked: Vec<_> = apqns.iter().filter(|_| random.percent(50)).copied().collect();
        let seen = fleet.seen(&looked, &unread);
        let plan = fleet.plan(&seen, freedom);
        assert_eq!(
            queues_of(&plan),
            brute_force(&fleet, &seen, freedom),
            "case {case}: {freedom:?} {seen:?} {fleet:?}"
        );
    }
}

#[test]
fn looking_at_few_queues_gives_the_plan_of_seeing_all() {
    let mut random = Random::new(3);
    let mut looks = [0, 0];
    for case in 0..CASES {
        let fleet = Fleet::random(&mut random);
        let freedom = random_freedom(&mut random);
        let (looked, with_looks) = fleet.look_and_plan(freedom);
        let all: Vec<_> = fleet.queues.iter().map(|queue| queue.apqn).collect();
        let with_all = fleet.plan(&fleet.seen(&all, &[]), freedom);
        assert_eq!(queues_of(&with_looks), queues_of(&with_all), "case {case}: {freedom:?} {looked:?} {fleet:?}");
        for apqn in &looked {
            let queue = fleet.queues.iter().find(|queue| queue.apqn == *apqn).unwrap();
            assert_eq!((queue.mode, queue.state, queue.usable), (Mode::Ep11, SeState::Unbound, true), "case {case}");
        }
        let unbound = fleet.queues.iter().filter(|q| q.mode == Mode::Ep11 && q.state == SeState::Unbound).count();
        looks = [looks[0] + looked.len(), looks[1] + unbound];
    }
    assert!(0 < looks[0] && looks[0] < looks[1] / 2, "{looks:?}");
}

#[test]
fn nothing_is_looked_at_for_entries_that_are_served() {
    let mut random = Random::new(4);
    for _ in 0..CASES {
        let fleet = Fleet::random(&mut random);
        let freedom = Freedom { exclusive: random.percent(50), rebalance: false };
        let (_, plan) = fleet.look_and_plan(freedom);
        let after = fleet.after(&plan);
        let seen = after.seen(&[], &[]);
        let served = after.plan(&seen, freedom);
        let open = |d: &Decision| !matches!(d, Decision::Served(_));
        if !served.decisions.iter().any(open) {
            assert_eq!(to_look_at(&after.wanted, &seen, &after.secrets, freedom), []);
        }
    }
}

#[test]
fn a_second_run_finds_everything_done_and_the_same_queues_serving() {
    let mut random = Random::new(5);
    for case in 0..CASES {
        let fleet = Fleet::random(&mut random);
        let freedom = random_freedom(&mut random);
        let (_, first) = fleet.look_and_plan(freedom);
        let after = fleet.after(&first);
        let (_, second) = after.look_and_plan(freedom);
        let writes = |d: &Decision| matches!(d, Decision::Serve(..) | Decision::Move { .. });
        assert!(!second.decisions.iter().any(writes), "case {case}: {freedom:?} {first:?} {second:?} {fleet:?}");
        assert_eq!(queues_of(&first), queues_of(&second), "case {case}: {freedom:?} {fleet:?}");
    }
}

#[test]
fn enumeration_reboot_and_unrelated_queues_leave_the_plan_as_it_is() {
    let mut random = Random::new(6);
    for case in 0..CASES {
        let fleet = Fleet::random(&mut random);
        let freedom = random_freedom(&mut random);
        let (looked, plan) = fleet.look_and_plan(freedom);
        let mut other = fleet.clone();
        let strange = |card: u8, mode, state, usable| {
            let (apqn, serialnr) = (Apqn { card, domain: 7 }, None);
            Seen { apqn, mode, generation: 11, serialnr, mkvp: MkvpState::NoneSet, state, usable }
        };
        other.queues.extend([
            strange(7, Mode::Cca, SeState::Unsupported, true),
            strange(8, Mode::Ep11, SeState::Unbound, false),
            strange(9, Mode::Ep11, SeState::Unusable, true),
        ]);
        random.shuffle(&mut other.queues);
        assert_eq!(other.look_and_plan(freedom), (looked, plan), "case {case}: {freedom:?} {fleet:?}");
        // A boot empties everything; the secrets come back in another order.
        let boot = |fleet: &Fleet, random: &mut Random| {
            let mut booted = fleet.clone();
            random.shuffle(&mut booted.secrets.secrets);
            (0..).zip(&mut booted.secrets.secrets).for_each(|(index, secret)| secret.index = index);
            booted.queues.iter_mut().filter(|q| q.state.is_held()).for_each(|q| q.state = SeState::Unbound);
            booted.look_and_plan(freedom).1
        };
        assert_eq!(queues_of(&boot(&fleet, &mut random)), queues_of(&boot(&fleet, &mut random)), "case {case}");
    }
}

#[test]
fn rebalance_moves_only_where_that_makes_the_plan_better() {
    let mut random = Random::new(7);
    let mut moves = 0;
    for case in 0..CASES {
        let fleet = Fleet::random(&mut random);
        let all: Vec<_> = fleet.queues.iter().map(|queue| queue.apqn).collect();
        let seen = fleet.seen(&all, &[]);
        let exclusive = random.percent(40);
        let staying = fleet.plan(&seen, Freedom { exclusive, rebalance: false });
        let moving = fleet.plan(&seen, Freedom { exclusive, rebalance: true });
        let rank = |plan: &Plan| {
            let generation = |apqn: Apqn| fleet.queues.iter().find(|q| q.apqn == apqn).map(|q| Reverse(q.generation));
            let missing: Vec<bool> = queues_of(plan).iter().map(Option::is_none).collect();
            let columns: Vec<_> = queues_of(plan).iter().map(|q| q.map(|q| (generation(q), q))).collect();
            (missing.iter().filter(|m| **m).count(), missing, columns)
        };
        assert!(rank(&moving) <= rank(&staying), "case {case}: {staying:?} {moving:?}");
        let moved = moving.decisions.iter().filter(|d| matches!(d, Decision::Move { .. })).count();
        moves += moved;
        assert!(moved == 0 || rank(&moving) < rank(&staying), "case {case}: {staying:?} {moving:?} {fleet:?}");
        assert!(queues_of(&moving) != queues_of(&staying) || moving == staying, "case {case}: {fleet:?}");
    }
    assert!(moves > 100, "{moves}");
}
