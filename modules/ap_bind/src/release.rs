//! Queues that are given up: what is written into the journal before and after.

use crate::fleet::Fleet;
use fault::{Fault, Result};
use pv_guest::ap::{Apqn, Mode, Note, Observed, SeState, steps};
use std::collections::BTreeMap;

impl Fleet<'_> {
    /// Releases queues, all at once, each in the journal before. One answer for each, in their order.
    pub fn release(&self, apqns: &[Apqn]) -> Vec<Result<()>> {
        let idle = self.in_parallel(
            apqns,
            |apqn| *apqn,
            |apqn, observed| match self.stuck.get(apqn) {
                Some(stuck) => Err(stuck.fault.clone()),
                None => steps::wait_until_idle(&observed.queue, self.manner),
            },
        );
        let jobs: Vec<(Apqn, Result<()>)> = apqns.iter().copied().zip(idle).collect();
        let begun = jobs.iter().filter(|(_, idle)| idle.is_ok()).filter_map(|(apqn, _)| self.release_note(*apqn));
        let begun: BTreeMap<Apqn, Note> = begun.collect();
        if let Err(fault) = self.journal.begin_all(begun.values().copied()) {
            return apqns.iter().map(|_| Err(fault.clone())).collect();
        }
        let answers = self.in_parallel(
            &jobs,
            |(apqn, _)| *apqn,
            |(_, idle), observed| idle.clone().and_then(|()| steps::release(&observed.queue, self.manner)),
        );
        // What is in use after all was not written to. One that is gone may have been: the next run sees.
        let untouched = |fault: &Fault| fault.code == pv_guest::codes::QUEUE_BUSY;
        let is_over = |answer: &Result<()>| answer.as_ref().err().is_none_or(untouched);
        let over =
            apqns.iter().zip(&answers).filter(|(_, answer)| is_over(answer)).filter_map(|(apqn, _)| begun.get(apqn));
        match self.journal.finish_all(over.copied()) {
            Ok(()) => answers,
            Err(fault) => answers.into_iter().map(|answer| answer.and(Err(fault.clone()))).collect(),
        }
    }

    /// The note that a queue is being released. One that was bound in this run and is not finished is noted already,
    /// and of an accelerator the kernel forgets nothing.
    fn release_note(&self, apqn: Apqn) -> Option<(Apqn, Note)> {
        let observed = self.get(apqn).filter(|o| o.seen.mode == Mode::Ep11 && !self.journal.has(Note::Bind(apqn)))?;
        let index = if let SeState::Associated(index) = observed.queue.state() { Some(index) } else { None };
        Some((apqn, Note::Release(apqn, index)))
    }

    /// Releases the queues that moved entries have left, and looks at them again. Gives the faults.
    pub fn leave(&mut self, left: &[Apqn]) -> Vec<Fault> {
        let mut faults = Vec::new();
        for (apqn, answer) in left.iter().zip(self.release(left)) {
            self.see(*apqn, Observed::refresh);
            if let Err(fault) = answer {
                self.unleft.insert(*apqn);
                faults.push(fault);
            }
        }
        faults
    }

    /// Notes EP11 queues that were associated and went out of use: when they are back, the kernel has forgotten for
    /// whom. Gives the fault of the journal.
    pub fn note_lost(&self, lost: &[Apqn]) -> Option<Fault> {
        let still_held = |apqn: &&Apqn| {
            let state = self.get(**apqn).filter(|o| o.queue.exists()).map(|o| o.seen.state);
            state.is_some_and(|state| state.is_held() || state == SeState::Failing)
        };
        self.journal.begin_all(lost.iter().filter(still_held).map(|apqn| Note::Bind(*apqn))).err()
    }

    /// Notes a move, if the old queue can be released once the new one serves.
    pub(super) fn begin_move(&mut self, from: Apqn, to: Apqn) -> Result<()> {
        if let Some(observed) = self.get(from) {
            steps::wait_until_idle(&observed.queue, self.manner)?;
        }
        self.journal.begin(Note::Move { from, to })?;
        self.moves.push((from, to));
        Ok(())
    }

    /// Notes that all moves are done or given up, but for those whose old queue could not be released: that is for the
    /// next run.
    pub fn end_moves(&mut self, faults: &mut Vec<Fault>) {
        let moves = std::mem::take(&mut self.moves).into_iter();
        let ended = moves.filter(|(from, _)| !self.unleft.contains(from)).map(|(from, to)| Note::Move { from, to });
        faults.extend(self.journal.finish_all(ended).err());
    }
}
