//! Which queue serves which entry: a pure function of entries, secrets and queues.
//!
//! Served entries stay, unless they may be moved. Among the rest: as many as can be served, then earlier entries
//! first, then newest generation, lowest card, lowest domain. The order in which queues are enumerated never matters.

use super::fit::{Decision, Plan, fit, indices, is_held_with, key_fit};
use super::matching::{self, Worth};
use crate::queues::wanted::Wanted;
use pv_guest::ap::{Apqn, Fit, Mode, SeState, Seen};
use pv_guest::uv::SecretList;
use std::cmp::Reverse;
use std::collections::BTreeMap;

/// What a plan may do besides taking free queues.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Freedom {
    /// Take queues that are held for something that no entry wants.
    pub exclusive: bool,
    /// Move entries that are served.
    pub rebalance: bool,
}

/// How an entry and a queue belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tie {
    /// The queue serves it.
    Kept,
    /// The queue is held for it, and whether it fits cannot be read now.
    Unread,
    /// The queue could be taken for it.
    New,
}

impl Tie {
    /// Kept queues count most, then those that cannot be read: neither is given up for the sake of the others.
    fn worth(self) -> Worth {
        match self {
            Self::Kept => 1 << 32,
            Self::Unread => 1,
            Self::New => 0,
        }
    }
}

/// Decides for all entries.
pub fn plan(wanted: &[Wanted], queues: &[Seen], secrets: &SecretList, freedom: Freedom) -> Plan {
    Choice::new(wanted, queues, secrets, freedom).plan()
}

/// The queues that are to be bound next to see whether they fit, one of a card at most: each of them would make the
/// plan better if it did. Empty if the plan is the best that can be had.
pub fn to_look_at(wanted: &[Wanted], queues: &[Seen], secrets: &SecretList, freedom: Freedom) -> Vec<Apqn> {
    Choice::new(wanted, queues, secrets, freedom).to_look_at()
}

/// What a choice is made of. Entries and queues are known by their positions.
struct Choice<'a> {
    wanted: &'a [Wanted],
    /// Best first.
    queues: Vec<&'a Seen>,
    /// For each entry the indices of its secret.
    indices: Vec<Vec<u16>>,
    freedom: Freedom,
}

/// For each entry its queue.
type Assignment = Vec<Option<usize>>;

impl<'a> Choice<'a> {
    fn new(wanted: &'a [Wanted], queues: &'a [Seen], secrets: &SecretList, freedom: Freedom) -> Self {
        let mut queues: Vec<_> = queues.iter().collect();
        queues.sort_by_key(|queue| (Reverse(queue.generation), queue.apqn));
        let indices = wanted.iter().map(|entry| entry.secret().map_or_else(Vec::new, |id| indices(secrets, id)));
        Self { wanted, queues, indices: indices.collect(), freedom }
    }

    fn has_secret(&self, e: usize) -> bool {
        self.wanted[e].secret().is_none() || !self.indices[e].is_empty()
    }

    fn is_held_for(&self, e: usize, queue: &Seen) -> bool {
        is_held_with(&self.wanted[e], queue, |_, index| self.indices[e].contains(&index))
    }

    /// Whether a queue may be taken for an entry that it does not serve.
    fn may_be_taken(&self, queue: &Seen) -> bool {
        match queue.state {
            SeState::Unbound => true,
            // An EP11 queue that is bound and not associated serves nobody; a bound accelerator may.
            SeState::Bound => queue.mode == Mode::Ep11 || self.freedom.exclusive,
            SeState::Associated(_) | SeState::AssociatedUnknown | SeState::Pending => self.freedom.exclusive,
            SeState::Unusable | SeState::Unsupported | SeState::Failing => false,
        }
    }

    fn tie(&self, e: usize, q: usize, hoped: &impl Fn(usize) -> bool) -> Option<Tie> {
        let queue = self.queues[q];
        let fit = fit(&self.wanted[e], queue);
        match fit {
            Fit::No => None,
            Fit::Yes if self.is_held_for(e, queue) => Some(Tie::Kept),
            Fit::Unknown if self.is_held_for(e, queue) => Some(Tie::Unread),
            Fit::Unknown if !hoped(q) => None,
            Fit::Yes | Fit::Unknown => (self.has_secret(e) && self.may_be_taken(queue)).then_some(Tie::New),
        }
    }

    /// The best assignment in which served entries stay, and the best of all if they may move; those whose queues
    /// cannot be read stay in any case. Queues of which that is `hoped` count as fitting where they are not read.
    fn assign(&self, hoped: impl Fn(usize) -> bool) -> (Assignment, Assignment) {
        let (rows, columns) = (self.wanted.len(), self.queues.len());
        let tie = |e, q| self.tie(e, q, &hoped);
        let staying = matching::best(rows, columns, |e, q| tie(e, q).map(Tie::worth));
        if !self.freedom.rebalance {
            return (staying.clone(), staying);
        }
        let mut kept = vec![None; columns];
        for (e, q) in staying.iter().enumerate().filter_map(|(e, q)| Some((e, (*q)?))) {
            kept[q] = tie(e, q);
        }
        loop {
            let is_unread = |q: usize| kept[q] == Some(Tie::Unread);
            let moved = matching::best(rows, columns, |e, q| {
                if is_unread(q) || staying[e].is_some_and(is_unread) {
                    return (staying[e] == Some(q)).then_some(0);
                }
                match tie(e, q) {
                    Some(Tie::Kept | Tie::New) => Some(0),
                    // What another entry leaves.
                    _ if kept[q] == Some(Tie::Kept) && self.has_secret(e) => {
                        (fit(&self.wanted[e], self.queues[q]) == Fit::Yes).then_some(0)
                    }
                    _ => None,
                }
            });
            // An entry that holds several queues may have changed to another of them. That queue then counts as the entries'
            // own, too, so they may swap it in this run. Otherwise the next run would. It ends, for each round adds a queue.
            let changed_to =
                |(e, q): (usize, &Option<usize>)| q.filter(|q| kept[*q].is_none() && tie(e, *q) == Some(Tie::Kept));
            let more: Vec<usize> = moved.iter().enumerate().filter_map(changed_to).collect();
            if more.is_empty() {
                return (staying, moved);
            }
            more.into_iter().for_each(|q| kept[q] = Some(Tie::Kept));
        }
    }

    fn plan(&self) -> Plan {
        let nothing_hoped = |_| false;
        let (staying, chosen) = self.assign(nothing_hoped);
        let hopeful = if self.freedom.rebalance && chosen.contains(&None) {
            self.assign(|q| self.queues[q].state == SeState::Unbound).1
        } else {
            chosen.clone()
        };
        let tie = |e: usize, q: usize| self.tie(e, q, &nothing_hoped);
        let is_kept = |q: usize| chosen.iter().position(|c| *c == Some(q)).filter(|e| tie(*e, q) == Some(Tie::Kept));
        let decide = |(e, entry): (usize, &Wanted)| match chosen[e].map(|q| (q, tie(e, q))) {
            Some((q, Some(Tie::Kept))) => Decision::Served(self.queues[q].apqn),
            Some((q, Some(Tie::Unread))) => Decision::Unreadable(self.queues[q].apqn),
            Some((q, _)) => {
                let (to, index) = (self.queues[q].apqn, self.indices[e].first().copied());
                let held = |e: usize| staying[e].filter(|q| tie(e, *q) == Some(Tie::Kept));
                // A queue that another entry of the same secret serves itself with from now on is not left: the one
                // that that entry had is, and so on.
                let mut from = held(e);
                while let Some(other) = from.and_then(is_kept) {
                    from = held(other);
                }
                from.map_or(Decision::Serve(to, index), |q| Decision::Move { from: self.queues[q].apqn, to, index })
            }
            None if !self.has_secret(e) => Decision::SecretMissing,
            None if self.queues.iter().any(|queue| fit(entry, queue) == Fit::Unknown && self.may_be_taken(queue)) => {
                Decision::Undetermined
            }
            // Another entry may move away to a queue that is not read yet.
            None if hopeful[e].is_some() => Decision::Undetermined,
            None => self.mismatch(e, &chosen).map_or(Decision::NoQueue, Decision::Mismatch),
        };
        let decisions: Vec<_> = self.wanted.iter().enumerate().map(decide).collect();
        let open = decisions.iter().enumerate().filter(|(_, decision)| {
            !matches!(decision, Decision::Served(_) | Decision::Unreadable(_) | Decision::Move { .. })
        });
        let mut mismatched: Vec<_> = open.filter_map(|(e, _)| self.mismatch(e, &chosen)).collect();
        mismatched.sort_unstable();
        mismatched.dedup();
        Plan { decisions, mismatched }
    }

    /// A queue that is held for an entry and does not fit it, nor serves another of the same secret.
    fn mismatch(&self, e: usize, chosen: &Assignment) -> Option<Apqn> {
        let entry = &self.wanted[e];
        let serves =
            |q: usize| chosen.iter().enumerate().any(|(e, c)| *c == Some(q) && self.is_held_for(e, self.queues[q]));
        let wrong = |(q, queue): &(usize, &&Seen)| {
            entry.apqn.is_none_or(|apqn| apqn == queue.apqn)
                && self.is_held_for(e, queue)
                && key_fit(entry, queue) == Fit::No
                && !serves(*q)
        };
        self.queues.iter().enumerate().find(wrong).map(|(_, queue)| queue.apqn)
    }

    fn to_look_at(&self) -> Vec<Apqn> {
        let (_, chosen) = self.assign(|_| false);
        let may_fit = |e: usize, q: usize| self.has_secret(e) && fit(&self.wanted[e], self.queues[q]) == Fit::Unknown;
        let is_unread =
            |q: usize| self.queues[q].state == SeState::Unbound && (0..self.wanted.len()).any(|e| may_fit(e, q));
        // It would serve an entry that nothing serves, or one that may have it instead of a worse one.
        let improves = |e: usize, q: usize| {
            chosen[e].is_none_or(|now| {
                let stays = match self.tie(e, now, &|_| false) {
                    Some(Tie::Kept) => !self.freedom.rebalance,
                    Some(Tie::Unread) => true,
                    Some(Tie::New) | None => false,
                };
                now > q && !stays
            })
        };
        let unread: Vec<usize> = (0..self.queues.len()).filter(|q| is_unread(*q)).collect();
        let mut next = BTreeMap::new();
        for q in &unread {
            if (0..self.wanted.len()).any(|e| may_fit(e, *q) && improves(e, *q)) {
                next.entry(self.queues[*q].apqn.card).or_insert(*q);
            }
        }
        // What would help only as one of several changes is what the best of all assignments would use.
        let hoped = |q: usize| unread.binary_search(&q).is_ok() && !next.contains_key(&self.queues[q].apqn.card);
        if unread.iter().any(|q| hoped(*q)) {
            let (_, best) = self.assign(hoped);
            let mut used: Vec<usize> = best.into_iter().flatten().filter(|q| hoped(*q)).collect();
            used.sort_unstable();
            for q in used {
                next.entry(self.queues[q].apqn.card).or_insert(q);
            }
        }
        let mut next: Vec<usize> = next.into_values().collect();
        next.sort_unstable();
        next.into_iter().map(|q| self.queues[q].apqn).collect()
    }
}

#[cfg(test)]
#[path = "choose_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "choose_properties.rs"]
mod properties;
