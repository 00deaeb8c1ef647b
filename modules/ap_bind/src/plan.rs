//! Which queue serves which entry: a pure function of entries, secrets and queues.
//!
//! Served entries stay. Among the rest: as many as can be served, then earlier entries first, then newest
//! generation, lowest card, lowest domain. The order in which queues are enumerated never matters.

use crate::entries::{Purpose, Wanted};
use crate::matching;
use pv_guest::ap::{Apqn, Fit, MkvpState, Mode, SeState, Seen};
use pv_guest::uv::SecretList;
use pv_wire::{SecretId, SecretType};
use std::cmp::Reverse;

/// Whether a queue has what an entry demands, whoever holds it.
pub fn fit(wanted: &Wanted, queue: &Seen) -> Fit {
    let pinned_elsewhere = wanted.apqn.is_some_and(|apqn| apqn != queue.apqn);
    if !queue.usable || wanted.mode() != queue.mode || queue.generation < wanted.min_generation || pinned_elsewhere {
        return Fit::No;
    }
    key_fit(wanted, queue)
}

/// Whether a held queue is one that an entry names: held for it, and not known to have another key or serial number.
pub fn names(wanted: &Wanted, queue: &Seen, secrets: &SecretList) -> bool {
    wanted.apqn.is_none_or(|apqn| apqn == queue.apqn)
        && queue.generation >= wanted.min_generation
        && is_held_for(wanted, queue, secrets)
        && (wanted.apqn.is_some() || key_fit(wanted, queue) != Fit::No)
}

/// Whether a queue has the master key and the serial number that an entry demands, whatever else of it does not fit.
fn key_fit(wanted: &Wanted, queue: &Seen) -> Fit {
    let Purpose::Ep11 { mkvp, serialnr, .. } = &wanted.purpose else { return Fit::Yes };
    let serial = match (serialnr, &queue.serialnr) {
        (None, _) => Fit::Yes,
        (Some(_), None) => Fit::Unknown,
        (Some(wanted), Some(found)) => {
            if wanted == found {
                Fit::Yes
            } else {
                Fit::No
            }
        }
    };
    let key = match queue.mkvp {
        MkvpState::NotRead => Fit::Unknown,
        MkvpState::NoneSet => Fit::No,
        MkvpState::Valid(found) => {
            if found == *mkvp {
                Fit::Yes
            } else {
                Fit::No
            }
        }
    };
    match (serial, key) {
        (Fit::No, _) | (_, Fit::No) => Fit::No,
        (Fit::Yes, Fit::Yes) => Fit::Yes,
        _ => Fit::Unknown,
    }
}

/// The indices of the association secrets of an id, in order.
pub fn indices(list: &SecretList, id: SecretId) -> Vec<u16> {
    let secrets = list.secrets.iter().filter(|secret| secret.id == id && secret.secret_type == SecretType::ASSOCIATION);
    secrets.map(|secret| secret.index).collect()
}

/// Whether the queue is held for the entry's purpose, fitting or not.
pub fn is_held_for(wanted: &Wanted, queue: &Seen, secrets: &SecretList) -> bool {
    match (wanted.secret(), queue.state) {
        (None, SeState::Bound) => queue.mode == Mode::Accel,
        (Some(id), SeState::Associated(index)) => indices(secrets, id).contains(&index),
        _ => false,
    }
}

/// What serves an entry, or why nothing does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// This queue serves it already.
    Served(Apqn),
    /// This queue shall serve it, associated with the secret of this index (EP11).
    Serve(Apqn, Option<u16>),
    /// Nothing that is known to fit is left, but some queues cannot be read without binding them.
    Undetermined,
    /// Its secret is not in the store.
    SecretMissing,
    /// This queue is associated with its secret, but its key cannot be read now: it is left as it is.
    Unreadable(Apqn),
    /// Nothing fits, and a queue is associated with its secret that does not fit it.
    Mismatch(Apqn),
    /// Nothing fits.
    NoQueue,
}

/// The decisions for all entries, in their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// One for each entry.
    pub decisions: Vec<Decision>,
    /// Queues that are associated with a wanted secret but do not fit the entry.
    pub mismatched: Vec<Apqn>,
}

impl Plan {
    /// The entry that a queue serves or shall serve.
    pub fn entry_of(&self, apqn: Apqn) -> Option<usize> {
        self.decisions.iter().position(
            |d| matches!(d, Decision::Served(a) | Decision::Serve(a, _) | Decision::Unreadable(a) if *a == apqn),
        )
    }
}

/// Decides for all entries. With `exclusive`, queues that are held for something else may be taken.
pub fn plan(wanted: &[Wanted], queues: &[Seen], secrets: &SecretList, exclusive: bool) -> Plan {
    let mut queues: Vec<&Seen> = queues.iter().collect();
    queues.sort_by_key(|queue| (Reverse(queue.generation), queue.apqn));

    let serves = |entry: &Wanted, queue: &Seen| is_held_for(entry, queue, secrets) && fit(entry, queue) == Fit::Yes;
    let served = matching::best(
        wanted.len(),
        queues.len(),
        |e, q| matches!((wanted.get(e), queues.get(q)), (Some(e), Some(q)) if serves(e, q)),
    );

    let unread = matching::best(wanted.len(), queues.len(), |e, q| match (wanted.get(e), queues.get(q)) {
        (Some(entry), Some(queue)) => {
            served.get(e).copied().flatten().is_none()
                && !served.contains(&Some(q))
                && is_held_for(entry, queue, secrets)
                && fit(entry, queue) == Fit::Unknown
        }
        _ => false,
    });
    let open = |e: usize| [&served, &unread].iter().all(|matched| matched.get(e).copied().flatten().is_none());
    let has_secret = |entry: &Wanted| entry.secret().is_none_or(|id| !indices(secrets, id).is_empty());
    let is_free = |q: usize, queue: &Seen| {
        let taken = served.contains(&Some(q)) || unread.contains(&Some(q));
        !taken
            && match queue.state {
                SeState::Unbound => true,
                // An EP11 queue that is bound and not associated serves nobody; a bound accelerator may.
                SeState::Bound => queue.mode == Mode::Ep11 || exclusive,
                SeState::Associated(_) | SeState::AssociatedUnknown | SeState::Pending => exclusive,
                SeState::Unusable | SeState::Unsupported | SeState::Failing => false,
            }
    };
    let candidate = |e: usize, q: usize, how: Fit| match (wanted.get(e), queues.get(q)) {
        (Some(entry), Some(queue)) => open(e) && has_secret(entry) && is_free(q, queue) && fit(entry, queue) == how,
        _ => false,
    };
    let chosen = matching::best(wanted.len(), queues.len(), |e, q| candidate(e, q, Fit::Yes));

    let apqn = |q: &Option<usize>| q.and_then(|q| queues.get(q)).map(|queue| queue.apqn);
    let mismatch = |entry: &Wanted| {
        // A queue that does not fit one entry may serve another of the same secret.
        let wrong = |(q, queue): &(usize, &&Seen)| {
            !served.contains(&Some(*q))
                && entry.apqn.is_none_or(|a| a == queue.apqn)
                && is_held_for(entry, queue, secrets)
                && key_fit(entry, queue) == Fit::No
        };
        queues.iter().enumerate().find(wrong).map(|(_, queue)| queue.apqn)
    };
    let decide = |(e, entry): (usize, &Wanted)| {
        if let Some(apqn) = served.get(e).and_then(apqn) {
            return Decision::Served(apqn);
        }
        if let Some(apqn) = unread.get(e).and_then(apqn) {
            return Decision::Unreadable(apqn);
        }
        if let Some(apqn) = chosen.get(e).and_then(apqn) {
            return Decision::Serve(apqn, entry.secret().and_then(|id| indices(secrets, id).first().copied()));
        }
        if !has_secret(entry) {
            return Decision::SecretMissing;
        }
        if (0..queues.len()).any(|q| candidate(e, q, Fit::Unknown)) {
            return Decision::Undetermined;
        }
        mismatch(entry).map_or(Decision::NoQueue, Decision::Mismatch)
    };
    let mut mismatched: Vec<_> =
        wanted.iter().enumerate().filter(|(e, _)| open(*e)).filter_map(|(_, entry)| mismatch(entry)).collect();
    mismatched.sort_unstable();
    mismatched.dedup();
    Plan { decisions: wanted.iter().enumerate().map(decide).collect(), mismatched }
}

/// The queues that must be bound to know whether they fit an entry that is not served, in the order of preference.
pub fn to_look_at(wanted: &[Wanted], queues: &[Seen], secrets: &SecretList, plan: &Plan) -> Vec<Apqn> {
    let open = wanted.iter().zip(&plan.decisions).filter(|(_, decision)| {
        !matches!(decision, Decision::Served(_) | Decision::Unreadable(_) | Decision::SecretMissing)
    });
    let open: Vec<_> = open
        .map(|(entry, _)| entry)
        .filter(|entry| entry.secret().is_some_and(|id| !indices(secrets, id).is_empty()))
        .collect();
    let worth =
        |queue: &&Seen| queue.state == SeState::Unbound && open.iter().any(|entry| fit(entry, queue) == Fit::Unknown);
    let mut found: Vec<_> = queues.iter().filter(worth).collect();
    found.sort_by_key(|queue| (Reverse(queue.generation), queue.apqn));
    found.into_iter().map(|queue| queue.apqn).collect()
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
