//! What is seen of queues, whether it fits what is wanted, and what is decided for each entry.

use super::moves::Job;
use crate::queues::wanted::{Purpose, Wanted};
use pv_guest::ap::{Apqn, Associate, Fit, MkvpState, Mode, SeState, Seen};
use pv_guest::uv::SecretList;
use pv_wire::{SecretId, SecretType};
use std::collections::BTreeSet;

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
pub fn key_fit(wanted: &Wanted, queue: &Seen) -> Fit {
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
    is_held_with(wanted, queue, |id, index| indices(secrets, id).contains(&index))
}

/// The same, where something else knows whether an index is that of an id.
pub fn is_held_with(wanted: &Wanted, queue: &Seen, is_index_of: impl Fn(SecretId, u16) -> bool) -> bool {
    match (wanted.secret(), queue.state) {
        (None, SeState::Bound) => queue.mode == Mode::Accel,
        (Some(id), SeState::Associated(index)) => is_index_of(id, index),
        _ => false,
    }
}

/// Whether a queue may be associated with an entry's secret, for all that can be known: the kernel does not tell with
/// which it is. It never counts as serving anything.
pub fn may_be_held_for(wanted: &Wanted, queue: &Seen) -> bool {
    queue.state == SeState::AssociatedUnknown
        && wanted.mode() == queue.mode
        && wanted.apqn.is_none_or(|apqn| apqn == queue.apqn)
        && queue.generation >= wanted.min_generation
        && key_fit(wanted, queue) != Fit::No
}

/// What serves an entry, or why nothing does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// This queue serves it already.
    Served(Apqn),
    /// This queue shall serve it, associated with the secret of this index (EP11).
    Serve(Apqn, Option<u16>),
    /// A queue serves it already, and a better one shall (with `rebalance`).
    Move {
        /// The queue that serves it, or one of the same secret that its entries no longer need.
        from: Apqn,
        /// The queue that shall serve it.
        to: Apqn,
        /// As of [`Decision::Serve`].
        index: Option<u16>,
    },
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
        self.decisions.iter().position(|d| d.queue() == Some(apqn))
    }

    /// Whether every entry is served, or shall be.
    pub fn serves_all(&self) -> bool {
        let serves = |d: &Decision| matches!(d, Decision::Served(_) | Decision::Serve(..) | Decision::Move { .. });
        self.decisions.iter().all(serves)
    }

    /// Whether a queue shall serve an entry that it does not serve yet.
    pub fn takes(&self, apqn: Apqn) -> bool {
        let takes = |d: &Decision| matches!(d, Decision::Serve(a, _) | Decision::Move { to: a, .. } if *a == apqn);
        self.decisions.iter().any(takes)
    }

    /// What is to be done for the plan.
    pub fn jobs(&self, wanted: &[Wanted]) -> Vec<Job> {
        let job = |(entry, (wanted, decision)): (usize, (&Wanted, &Decision))| {
            let (from, apqn, index) = match *decision {
                Decision::Serve(apqn, index) => (None, apqn, index),
                Decision::Move { from, to, index } => (Some(from), to, index),
                _ => return None,
            };
            Some(Job { entry, wanted: wanted.clone(), apqn, secret: index.map(Associate), from })
        };
        wanted.iter().zip(&self.decisions).enumerate().filter_map(job).collect()
    }

    /// The queues that entries leave and no other takes.
    pub fn left(&self) -> BTreeSet<Apqn> {
        let left = |d: &Decision| if let Decision::Move { from, .. } = d { Some(*from) } else { None };
        self.decisions.iter().filter_map(left).filter(|from| self.entry_of(*from).is_none()).collect()
    }
}

impl Decision {
    /// The queue that the entry has or shall have.
    pub fn queue(&self) -> Option<Apqn> {
        match self {
            Self::Served(apqn) | Self::Serve(apqn, _) | Self::Move { to: apqn, .. } | Self::Unreadable(apqn) => {
                Some(*apqn)
            }
            Self::Undetermined | Self::SecretMissing | Self::Mismatch(_) | Self::NoQueue => None,
        }
    }
}
