//! Binding a queue only to read its master key and serial number.

use super::Fleet;
use super::release::release;
use crate::queues::planning::fit;
use crate::queues::wanted::Wanted;
use fault::{Fault, Result};
use pv_guest::ap::{self, Apqn, Fit, Look, Looked, Note, Observed, SeState, Seen};
use std::collections::{BTreeMap, BTreeSet};

/// What was bound only to be looked at.
#[derive(Debug, Default)]
pub struct Looks {
    /// Queues that were looked at and are released again.
    pub inspected: BTreeSet<Apqn>,
    /// Queues that this run bound to look at them and still holds.
    pub(super) looking: BTreeSet<Apqn>,
    /// Cards that refused a queue while others were bound: they may have only so many places.
    pub(super) tight: BTreeSet<u8>,
    /// Queues that could not be looked at because their cards refused to have them bound, with what was answered.
    pub refused: BTreeMap<Apqn, Fault>,
}

/// Binds queues to read their master keys and serial numbers: one of a card at a time, cards at once. Those
/// that fit an entry stay bound; the others are released at once, and what was read of them is kept. Where a card
/// refuses a queue, those that are bound only to look at them are released first, then one that is `to_spare`, and
/// the refused one counts as not looked at yet.
///
/// Gives the faults of the journal, and of queues that were bound and cannot be released.
pub fn look_at(fleet: &mut Fleet<'_>, apqns: &[Apqn], wanted: &[Wanted], to_spare: &BTreeSet<Apqn>) -> Vec<Fault> {
    fleet.work(!apqns.is_empty());
    let queues: Vec<_> = apqns.iter().filter_map(|apqn| fleet.get(*apqn)).cloned().collect();
    let looks = ap::look_at(queues, &|seen| fit_any(wanted, seen), &fleet.journal, fleet.manner);
    let mut faults = Vec::new();
    for Look { apqn, outcome } in looks {
        match outcome {
            Looked::Fits(seen) => {
                fleet.looks.looking.insert(apqn);
                fleet.stuck.remove(&apqn);
                fleet.see(apqn, |o| o.see(seen));
            }
            Looked::Released(seen) => {
                fleet.looks.inspected.insert(apqn);
                fleet.see(apqn, |o| o.see(seen));
            }
            Looked::Skipped(fault)
                if fault.code == pv_guest::codes::BIND_REFUSED
                    && make_room(fleet, apqn.card, to_spare, &mut faults) => {}
            // What a card did not answer is told of all its queues at the end.
            Looked::Skipped(fault) | Looked::Unread(fault) if fault.code == pv_guest::codes::CARD_TIMEOUT => {
                fleet.see(apqn, |o| o.seen.state = SeState::Failing);
            }
            Looked::Skipped(fault) => {
                if fault.code == pv_guest::codes::BIND_REFUSED {
                    fleet.looks.refused.insert(apqn, fault.clone());
                }
                fleet.warnings.push(Fault::new(pv_guest::codes::LOOK_SKIPPED, fault.detail).hint(fault.hint));
                fleet.see(apqn, |o| o.seen.state = SeState::Failing);
            }
            Looked::Unread(fault) => {
                fleet.looks.inspected.insert(apqn);
                fleet.warnings.push(fault);
                fleet.see(apqn, |o| o.seen.state = SeState::Failing);
            }
            Looked::Stuck(fault) => {
                faults.push(fault);
                fleet.see(apqn, |o| o.seen.state = SeState::Failing);
            }
        }
    }
    faults
}

/// Makes room on a card for one more queue; false if there is nothing to release.
fn make_room(fleet: &mut Fleet<'_>, card: u8, to_spare: &BTreeSet<Apqn>, faults: &mut Vec<Fault>) -> bool {
    fleet.looks.tight.insert(card);
    let before = fleet.looks.looking.len();
    faults.extend(give_back(fleet, |apqn| apqn.card != card));
    if fleet.looks.looking.len() < before {
        return true;
    }
    let is_held = |apqn: &&Apqn| fleet.get(**apqn).is_some_and(|observed| observed.seen.state.is_held());
    let Some(spare) = to_spare.iter().filter(|apqn| apqn.card == card).find(is_held).copied() else { return false };
    let released = release(fleet, &[spare]).into_iter().find_map(Result::err);
    fleet.see(spare, Observed::refresh);
    faults.extend(released.clone());
    released.is_none()
}

/// Releases the queues that were bound to look at them and are not `chosen`. Gives the faults of the releases and
/// of the journal.
pub fn give_back(fleet: &mut Fleet<'_>, chosen: impl Fn(Apqn) -> bool) -> Vec<Fault> {
    let others: Vec<Apqn> = fleet.looks.looking.iter().copied().filter(|apqn| !chosen(*apqn)).collect();
    fleet.looks.looking.retain(|apqn| chosen(*apqn));
    let answers = release(fleet, &others);
    let (freed, stuck): (Vec<_>, Vec<_>) = others.into_iter().zip(answers).partition(|(_, answer)| answer.is_ok());
    for (apqn, _) in &freed {
        fleet.looks.inspected.insert(*apqn);
        // What was read of it stays known.
        fleet.see(*apqn, |o| o.seen.state = SeState::Unbound);
    }
    for (apqn, _) in &stuck {
        fleet.see(*apqn, |o| o.seen.state = SeState::Failing);
    }
    let journal = fleet.journal.finish_all(freed.into_iter().map(|(apqn, _)| Note::Bind(apqn)));
    stuck.into_iter().filter_map(|(_, answer)| answer.err()).chain(journal.err()).collect()
}

/// Whether a queue has what one of several entries demands.
fn fit_any(wanted: &[Wanted], seen: &Seen) -> Fit {
    let any = |how| wanted.iter().any(|entry| fit(entry, seen) == how);
    [Fit::Yes, Fit::Unknown].into_iter().find(|how| any(*how)).unwrap_or(Fit::No)
}
