//! Moving an entry: it leaves its old queue only when the new one serves it.

use super::Fleet;
use super::release::release;
use fault::{Fault, Result};
use pv_guest::ap::{Apqn, Note, Observed, steps};
use std::collections::BTreeSet;

/// Which entries are on their way to another queue.
#[derive(Debug, Default)]
pub struct Leaves {
    /// Moves that are in the journal, from and to.
    moves: Vec<(Apqn, Apqn)>,
    /// Queues that moved entries have left and that could not be released.
    unleft: BTreeSet<Apqn>,
}

/// Notes a move, if the old queue can be released once the new one serves.
pub(super) fn begin(fleet: &mut Fleet<'_>, from: Apqn, to: Apqn) -> Result<()> {
    if let Some(observed) = fleet.get(from) {
        steps::wait_until_idle(&observed.queue, fleet.manner)?;
    }
    fleet.journal.begin(Note::Move { from, to })?;
    fleet.leaves.moves.push((from, to));
    Ok(())
}

/// Notes that all moves are done or given up, but for those whose old queue could not be released: that is for the
/// next run.
pub fn end(fleet: &mut Fleet<'_>) -> Option<Fault> {
    let moves = std::mem::take(&mut fleet.leaves.moves).into_iter();
    let ended = moves.filter(|(from, _)| !fleet.leaves.unleft.contains(from)).map(|(from, to)| Note::Move { from, to });
    fleet.journal.finish_all(ended.collect::<Vec<_>>()).err()
}

/// Releases the queues that moved entries have left, and looks at them again. Gives the faults.
pub fn leave(fleet: &mut Fleet<'_>, left: &[Apqn]) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (apqn, answer) in left.iter().zip(release(fleet, left)) {
        fleet.see(*apqn, Observed::refresh);
        if let Err(fault) = answer {
            fleet.leaves.unleft.insert(*apqn);
            faults.push(fault);
        }
    }
    faults
}
