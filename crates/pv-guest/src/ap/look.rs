//! Queues that are bound only to read what can be read of a bound queue alone, its master key and its card's serial
//! number. That is not harmless: a queue that is bound serves any program, and its requests are flushed when it is
//! released. So only EP11 queues are looked at, one of a card at a time, each written into the journal before.

use super::attributes::{Apqn, Mode, SeState};
use super::journal::{Journal, Note};
use super::seen::{Observed, Seen};
use super::steps::{self, Manner, Patience};
use crate::codes;
use fault::Fault;
use std::collections::BTreeMap;
use std::thread;
use std::time::Duration;

/// A queue that is bound shows its master key within this time.
const READABLE_WITHIN: Duration = Duration::from_secs(1);

/// Whether a queue can serve what is wanted of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fit {
    /// It can.
    Yes,
    /// It cannot.
    No,
    /// Master key or serial number cannot be read now.
    Unknown,
}

/// What came of looking at one queue.
#[derive(Debug)]
pub struct Look {
    /// The queue.
    pub apqn: Apqn,
    /// What came of it.
    pub outcome: Looked,
}

/// What can come of looking at a queue.
#[derive(Debug)]
pub enum Looked {
    /// It fits, and is still bound.
    Fits(Seen),
    /// It does not, and is free again.
    Released(Seen),
    /// It could not be bound.
    Skipped(Fault),
    /// It could be bound but not read, and is free again.
    Unread(Fault),
    /// It was bound and could not be released.
    Stuck(Fault),
}

/// Looks at queues: one of a card at a time, cards at once. Those that `fit` says [`Fit::Yes`] to stay bound; the
/// others are released at once. While it says [`Fit::Unknown`] a bound queue is read again, for a short time.
/// Must be called by whoever keeps [others out](super::alone).
pub fn look_at(
    queues: impl IntoIterator<Item = Observed>,
    fit: &(dyn Fn(&Seen) -> Fit + Sync),
    journal: &Journal<'_>,
    manner: Manner,
) -> Vec<Look> {
    let mut by_card: BTreeMap<u8, Vec<Observed>> = BTreeMap::new();
    for observed in queues {
        by_card.entry(observed.card.number).or_default().push(observed);
    }
    // Those that come first of their cards are noted together: the journal is written once for them.
    let first = by_card.values().filter_map(|queues| queues.first()).filter(|o| o.card.mode == Mode::Ep11);
    if let Err(fault) = journal.begin_all(first.map(|o| Note::Bind(o.seen.apqn))) {
        let stuck = |o: Observed| Look { apqn: o.seen.apqn, outcome: Looked::Stuck(fault.clone()) };
        return by_card.into_values().flatten().map(stuck).collect();
    }
    thread::scope(|scope| {
        let look_at_card = |queues: Vec<Observed>| {
            move || queues.iter().map(|o| look_at_one(o, fit, journal, manner)).collect::<Vec<_>>()
        };
        let threads: Vec<_> = by_card.into_values().map(|queues| scope.spawn(look_at_card(queues))).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap_or_default()).collect()
    })
}

fn look_at_one(observed: &Observed, fit: &dyn Fn(&Seen) -> Fit, journal: &Journal<'_>, manner: Manner) -> Look {
    let queue = &observed.queue;
    let apqn = queue.apqn;
    let look = |outcome| Look { apqn, outcome };
    if observed.card.mode != Mode::Ep11 {
        return look(Looked::Skipped(steps::vanished(apqn)));
    }
    if let Some(silent) = observed.card.line.fault() {
        return look(Looked::Skipped(silent));
    }
    if let Err(fault) = journal.begin(Note::Bind(apqn)) {
        return look(Looked::Stuck(fault));
    }
    if let Err(fault) = steps::bind(queue, manner) {
        let settled = match steps::abandon(queue, manner) {
            Ok(()) => journal.finish(Note::Bind(apqn)),
            Err(fault) if queue.state().is_held() => Err(fault),
            // One that takes not even this write is free as far as is known; the next run finds it in the journal.
            Err(_) => Ok(()),
        };
        return look(settled.map_or_else(Looked::Stuck, |()| Looked::Skipped(fault)));
    }
    let mut seen = look_until_read(observed, fit);
    let fits = fit(&seen);
    if fits == Fit::Yes {
        return look(Looked::Fits(seen));
    }
    let released = steps::release(queue, manner).and_then(|()| journal.finish(Note::Bind(apqn)));
    seen.state = SeState::Unbound;
    look(released.map_or_else(Looked::Stuck, |()| {
        if fits == Fit::Unknown { Looked::Unread(unreadable(observed)) } else { Looked::Released(seen) }
    }))
}

/// Looks at a queue that was just bound: what must be known of it cannot always be read at once.
pub fn look_until_read(observed: &Observed, fit: &dyn Fn(&Seen) -> Fit) -> Seen {
    let mut patience = Patience::new(READABLE_WITHIN);
    loop {
        let seen = observed.look();
        let may_be_held = seen.state.is_held() || seen.state == SeState::Failing;
        let is_silent = observed.card.line.fault().is_some();
        if fit(&seen) != Fit::Unknown || !may_be_held || is_silent || !patience.wait() {
            return seen;
        }
    }
}

/// The fault of a queue that was bound and released again without having been read.
pub fn unreadable(observed: &Observed) -> Fault {
    let apqn = observed.seen.apqn;
    if let Some(silent) = observed.card.line.fault() {
        return silent;
    }
    Fault::new(
        codes::ATTRIBUTE_UNREADABLE,
        format!(
            "The queue {apqn} was bound, but its master key or serial number could not be read; it was released again."
        ),
    )
    .hint("Look at its card with lszcrypt -V, and run the task again.")
}
