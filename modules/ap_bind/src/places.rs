//! Cards that take only so many queues. That shows nowhere before a card refuses a queue; only then can an entry that
//! this run has put there, and that another card could serve as well, make place for one that needs this card.

use crate::apply::Run;
use crate::choose::Freedom;
use crate::fleet::Job;
use crate::plan::{Decision, Plan};
use crate::report::Served;
use fault::Fault;
use pv_guest::ap::{Apqn, Associate, SeState, Seen};
use std::collections::{BTreeSet, VecDeque};

/// What making place goes by.
pub struct Places {
    /// What served each entry before this run did anything: that never makes place.
    before: Vec<Option<Apqn>>,
    /// Entries that made place, or could not. None is asked twice, so this comes to an end.
    asked: BTreeSet<usize>,
    /// Jobs that a card refused and that nothing else can take.
    waiting: VecDeque<Job>,
}

impl Places {
    /// At the beginning, with what serves each entry then.
    pub fn new(served: &[Served]) -> Self {
        let before = served.iter().map(|served| served.apqn).collect();
        Self { before, asked: BTreeSet::new(), waiting: VecDeque::new() }
    }

    /// Takes up refused jobs, but for those whose entries have others now or were refused for another reason.
    pub fn wait(&mut self, refused: Vec<Job>, jobs: &[Job], served: &[Served]) {
        let is_hopeless = |job: &Job| {
            let fault = served.get(job.entry).and_then(|served| served.fault.as_ref());
            fault.is_some_and(|fault| fault.code == pv_guest::codes::BIND_REFUSED)
                && jobs.iter().all(|other| other.entry != job.entry)
        };
        self.waiting.extend(refused.into_iter().filter(is_hopeless));
    }

    /// The queues of a card that this run has given to entries, those of later entries first.
    fn given(&self, card: u8, served: &[Served]) -> Vec<(usize, Apqn)> {
        let now = served.iter().zip(&self.before).enumerate().rev();
        let given = now.filter_map(|(entry, (now, before))| Some((entry, now.apqn.filter(|_| now.apqn != *before)?)));
        given.filter(|(entry, apqn)| apqn.card == card && !self.asked.contains(entry)).collect()
    }
}

impl Run<'_> {
    /// The next refused job for which place could be made. To be asked for when nothing else is to be done: what is free
    /// then is free to be moved to.
    pub(super) fn job_with_place(
        &mut self,
        places: &mut Places,
        served: &mut [Served],
        freedom: Freedom,
        faults: &mut Vec<Fault>,
    ) -> Option<Job> {
        while let Some(job) = places.waiting.pop_front() {
            if self.make_place(&job, places, served, freedom, faults) {
                return Some(job);
            }
        }
        None
    }

    /// Lets an entry move to another card that has a place where the refused job needs one. Whether it did. It has its
    /// new queue before it gives up the old one.
    fn make_place(
        &mut self,
        refused: &Job,
        places: &mut Places,
        served: &mut [Served],
        freedom: Freedom,
        faults: &mut Vec<Fault>,
    ) -> bool {
        for (entry, from) in places.given(refused.apqn.card, served) {
            places.asked.insert(entry);
            let Some(job) = self.elsewhere(entry, from, freedom, faults) else { continue };
            let to = job.apqn;
            let plan = self.plan(freedom);
            self.serve(&plan, vec![job], served, freedom, faults);
            let is_there = |served: &Served| served.apqn == Some(to);
            if served.get(entry).is_some_and(is_there) {
                self.fleet.look_again(&[refused.apqn]);
                return true;
            }
            self.fleet.give_up(to);
        }
        false
    }

    /// A card's refusal, with the queues that have its places.
    pub(super) fn with_holders(&self, refusal: Fault, card: u8) -> Fault {
        let held = self.seen().into_iter().filter(|seen| seen.apqn.card == card && seen.state.is_held());
        let held: Vec<String> = held.map(|seen| seen.apqn.to_string()).collect();
        if held.is_empty() {
            return refusal;
        }
        let hint = format!("{} Of this card it holds {}.", refusal.hint, held.join(", "));
        refusal.hint(hint)
    }

    /// The job by which an entry leaves its queue for one of another card, if there is any: what is planned if its
    /// queue and all free ones of that card were of no use.
    fn elsewhere(&mut self, entry: usize, from: Apqn, freedom: Freedom, faults: &mut Vec<Fault>) -> Option<Job> {
        let is_free = |seen: &Seen| seen.apqn.card == from.card && seen.state == SeState::Unbound;
        let mut hidden = self.seen();
        hidden.retain(|seen| seen.apqn == from || is_free(seen));
        hidden.iter().for_each(|seen| self.fleet.give_up(seen.apqn));
        faults.extend(self.look(freedom));
        let Plan { decisions, .. } = self.plan(freedom);
        for seen in hidden {
            self.fleet.see(seen.apqn, |observed| observed.seen = seen);
        }
        let planned = match decisions.get(entry) {
            Some(Decision::Serve(to, index)) => Some((*to, *index)),
            _ => None,
        };
        faults.extend(self.fleet.give_back(|apqn| planned.is_some_and(|(to, _)| to == apqn)));
        let (apqn, index) = planned?;
        let wanted = self.task.wanted.get(entry)?.clone();
        Some(Job { entry, wanted, apqn, secret: index.map(Associate), from: Some(from) })
    }
}
