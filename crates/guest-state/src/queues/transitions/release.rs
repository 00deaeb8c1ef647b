//! Giving queues up.

use super::Fleet;
use fault::{Fault, Result};
use pv_guest::ap::{Apqn, Mode, Note, SeState, steps};
use std::collections::BTreeMap;

/// Releases queues, all at once, each in the journal before. One answer for each, in their order.
pub fn release(fleet: &Fleet<'_>, apqns: &[Apqn]) -> Vec<Result<()>> {
    let idle = fleet.in_parallel(
        apqns,
        |apqn| *apqn,
        |apqn, observed| match fleet.stuck.get(apqn) {
            Some(stuck) => Err(stuck.fault.clone()),
            None => steps::wait_until_idle(&observed.queue, fleet.manner),
        },
    );
    let jobs: Vec<(Apqn, Result<()>)> = apqns.iter().copied().zip(idle).collect();
    let begun = jobs.iter().filter(|(_, idle)| idle.is_ok()).filter_map(|(apqn, _)| release_note(fleet, *apqn));
    let begun: BTreeMap<Apqn, Note> = begun.collect();
    if let Err(fault) = fleet.journal.begin_all(begun.values().copied()) {
        return apqns.iter().map(|_| Err(fault.clone())).collect();
    }
    let answers = fleet.in_parallel(
        &jobs,
        |(apqn, _)| *apqn,
        |(_, idle), observed| idle.clone().and_then(|()| steps::release(&observed.queue, fleet.manner)),
    );
    // What is in use after all was not written to. One that is gone may have been: the next run sees.
    let untouched = |fault: &Fault| fault.code == pv_guest::codes::QUEUE_BUSY;
    let is_over = |answer: &Result<()>| answer.as_ref().err().is_none_or(untouched);
    let over = apqns.iter().zip(&answers).filter(|(_, answer)| is_over(answer)).filter_map(|(apqn, _)| begun.get(apqn));
    match fleet.journal.finish_all(over.copied()) {
        Ok(()) => answers,
        Err(fault) => answers.into_iter().map(|answer| answer.and(Err(fault.clone()))).collect(),
    }
}

/// The note that a queue is being released. One that was bound in this run and is not finished is noted already,
/// and of an accelerator the kernel forgets nothing.
fn release_note(fleet: &Fleet<'_>, apqn: Apqn) -> Option<(Apqn, Note)> {
    let observed = fleet.get(apqn).filter(|o| o.seen.mode == Mode::Ep11 && !fleet.journal.has(Note::Bind(apqn)))?;
    let index = if let SeState::Associated(index) = observed.queue.state() { Some(index) } else { None };
    Some((apqn, Note::Release(apqn, index)))
}
