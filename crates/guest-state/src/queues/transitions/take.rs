//! Taking queues for entries: bound, held against what the entry demands, associated.

use super::look::give_back;
use super::{Fleet, leave};
use crate::queues::codes;
use crate::queues::planning::{Job, fit};
use fault::{Fault, Result};
use pv_guest::ap::steps::{self, Binding};
use pv_guest::ap::{self, Apqn, Fit, Note, Observed, SeState, Seen};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};
use std::thread;

/// Makes queues serve entries, all at once. Of each card they are begun in the order of the jobs: if it takes only
/// so many, the first ones have its places, whatever takes how long. One answer for each job, in their order.
pub fn take(fleet: &mut Fleet<'_>, jobs: &[Job]) -> Vec<Result<()>> {
    // A place that was taken to look may be wanted for an earlier entry.
    let tight = fleet.looks.tight.clone();
    let stuck = give_back(fleet, |apqn| !tight.contains(&apqn.card));
    fleet.warnings.extend(stuck);
    let new: BTreeSet<Apqn> = jobs
        .iter()
        .filter(|job| job.secret.is_some() && !fleet.journal.has(Note::Bind(job.apqn)))
        .map(|job| job.apqn)
        .collect();
    if let Err(fault) = fleet.journal.begin_all(new.iter().copied().map(Note::Bind)) {
        return jobs.iter().map(|_| Err(fault.clone())).collect();
    }
    let mut answers = clear(fleet, jobs);
    // What is in use was not written to, and the next run must not release it either.
    let in_use = |answer: &Result<()>| answer.as_ref().is_err_and(|fault| fault.code == pv_guest::codes::QUEUE_BUSY);
    let busy = jobs.iter().zip(&answers).filter(|(job, answer)| in_use(answer) && new.contains(&job.apqn));
    let forgotten = fleet.journal.finish_all(busy.map(|(job, _)| Note::Bind(job.apqn)));
    fleet.warnings.extend(forgotten.err());
    for (job, answer) in jobs.iter().zip(&mut answers).filter(|(_, answer)| answer.is_ok()) {
        if let Some(from) = job.from {
            *answer = leave::begin(fleet, from, job.apqn);
        }
    }
    let tried: Vec<bool> = answers.iter().map(Result::is_ok).collect();
    let mut by_card: BTreeMap<u8, Vec<(&Job, &mut Result<()>)>> = BTreeMap::new();
    for (job, answer) in jobs.iter().zip(&mut answers).filter(|(_, answer)| answer.is_ok()) {
        by_card.entry(job.apqn.card).or_default().push((job, answer));
    }
    fleet.work(true);
    let this = &*fleet;
    let loose = Loose::default();
    let loose_ones = &loose;
    thread::scope(|scope| {
        for card in by_card.into_values() {
            scope.spawn(move || {
                let mut card = card.into_iter().peekable();
                while let Some((job, answer)) = card.next() {
                    let Some(observed) = this.get(job.apqn) else {
                        *answer = Err(steps::vanished(job.apqn));
                        continue;
                    };
                    match Binding::begin(&observed.queue, this.manner) {
                        Ok(binding) => {
                            let complete = move || *answer = complete(this, job, observed, binding, loose_ones);
                            // With nothing left to begin, this thread does it as well as another.
                            if card.peek().is_none() {
                                complete();
                            } else {
                                scope.spawn(complete);
                            }
                        }
                        Err(fault) => *answer = Err(abandon(this, observed, fault, loose_ones)),
                    }
                }
            });
        }
    });
    for (job, tried) in jobs.iter().zip(tried) {
        // One that was left alone is given back like any other that was only looked at.
        if tried {
            fleet.looks.looking.remove(&job.apqn);
            fleet.stuck.remove(&job.apqn);
        }
    }
    fleet.look_again(&jobs.iter().map(|job| job.apqn).collect::<Vec<_>>());
    let loose = loose.0.into_inner().unwrap_or_else(PoisonError::into_inner);
    // A queue that is neither serving nor free stays in the journal for the next run.
    let is_done = |job: &&Job| {
        let seen = fleet.get(job.apqn).map(|observed| &observed.seen);
        seen.is_none_or(|seen| match seen.state {
            SeState::Associated(_) => seen.usable,
            SeState::Unbound => !loose.contains_key(&job.apqn),
            _ => false,
        })
    };
    let done: BTreeSet<Apqn> = jobs.iter().filter(is_done).map(|job| job.apqn).collect();
    let finished = fleet.journal.finish_queues(&done);
    fleet.warnings.extend(loose.into_values());
    match finished {
        Ok(()) => answers,
        Err(fault) => answers.into_iter().map(|answer| answer.and(Err(fault.clone()))).collect(),
    }
}

/// Releases the queues that are held for something else than they are to serve. One answer for each job.
fn clear(fleet: &Fleet<'_>, jobs: &[Job]) -> Vec<Result<()>> {
    let is_associated = |state| matches!(state, SeState::Associated(_) | SeState::AssociatedUnknown | SeState::Pending);
    let is_held = |job: &&Job| fleet.get(job.apqn).is_some_and(|observed| is_associated(observed.seen.state));
    let held: Vec<Apqn> = jobs.iter().filter(|job| job.secret.is_some()).filter(is_held).map(|job| job.apqn).collect();
    let cleared = fleet.in_parallel(&held, |apqn| *apqn, |_, observed| steps::release(&observed.queue, fleet.manner));
    let mut cleared: BTreeMap<Apqn, Result<()>> = held.into_iter().zip(cleared).collect();
    jobs.iter().map(|job| cleared.remove(&job.apqn).unwrap_or(Ok(()))).collect()
}

/// Undoes a bind that failed, and gives the fault that it failed with.
fn abandon(fleet: &Fleet<'_>, observed: &Observed, fault: Fault, loose: &Loose) -> Fault {
    if let Err(stuck) = steps::abandon(&observed.queue, fleet.manner) {
        loose.0.lock().unwrap_or_else(PoisonError::into_inner).insert(observed.seen.apqn, stuck);
    }
    fault
}

fn complete(fleet: &Fleet<'_>, job: &Job, observed: &Observed, binding: Binding<'_>, loose: &Loose) -> Result<()> {
    binding.end().map_err(|fault| abandon(fleet, observed, fault, loose))?;
    let (queue, Some(secret)) = (&observed.queue, job.secret) else { return Ok(()) };
    // The key may have been changed since it was read.
    let fits = |seen: &Seen| fit(&job.wanted, seen);
    let fits = fits(&ap::look_until_read(observed, &fits));
    if fits == Fit::Yes {
        return steps::associate(queue, secret, fleet.manner);
    }
    steps::release(queue, fleet.manner)?;
    if fits == Fit::Unknown {
        return Err(ap::unreadable(observed));
    }
    Err(Fault::new(
        codes::MKVP_MISMATCH,
        format!(
            "The queue {} was released again: now that it is bound, its master key or serial number is not the wanted one.",
            job.apqn
        ),
    )
    .hint("Correct the entry's mkvp or serialnr, or have the right master key set; lszcrypt -V shows what the card has."))
}

/// Notes EP11 queues that were associated and went out of use: when they are back, the kernel has forgotten for whom. Gives
/// the fault of the journal.
pub fn note_lost(fleet: &Fleet<'_>, lost: &[Apqn]) -> Option<Fault> {
    let still_held = |apqn: &&Apqn| {
        let state = fleet.get(**apqn).filter(|o| o.queue.exists()).map(|o| o.seen.state);
        state.is_some_and(|state| state.is_held() || state == SeState::Failing)
    };
    fleet.journal.begin_all(lost.iter().filter(still_held).map(|apqn| Note::Bind(*apqn))).err()
}

/// Queues whose bind failed and may still come about, with why that could not be undone.
#[derive(Default)]
struct Loose(Mutex<BTreeMap<Apqn, Fault>>);
