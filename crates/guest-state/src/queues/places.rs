//! Cards that take only so many queues. That shows nowhere before a card refuses a queue; only then can an entry that
//! this run has put there, and that another card could serve as well, make place for one that needs this card.

use super::planning::{Decision, Job, Plan};
use super::report::Served;
use super::serve::Service;
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

    /// The next refused job for which place could be made. To be asked for when nothing else is to be done: what is free
    /// then is free to be moved to.
    pub fn job_with_place(&mut self, service: &mut Service<'_, '_>) -> Option<Job> {
        while let Some(job) = self.waiting.pop_front() {
            if self.make_place(&job, service) {
                return Some(job);
            }
        }
        None
    }

    /// Lets an entry move to another card that has a place where the refused job needs one. Whether it did. It has its
    /// new queue before it gives up the old one.
    fn make_place(&mut self, refused: &Job, service: &mut Service<'_, '_>) -> bool {
        for (entry, from) in self.given(refused.apqn.card, &service.served) {
            self.asked.insert(entry);
            let Some(job) = elsewhere(service, entry, from) else { continue };
            let to = job.apqn;
            let plan = service.at.plan(service.staying());
            service.take(&plan, vec![job]);
            let is_there = |served: &Served| served.apqn == Some(to);
            if service.served.get(entry).is_some_and(is_there) {
                service.at.fleet.look_again(&[refused.apqn]);
                return true;
            }
            service.at.fleet.give_up(to);
        }
        false
    }
}

/// The job by which an entry leaves its queue for one of another card, if there is any: what is planned if its queue and
/// all free ones of that card were of no use.
fn elsewhere(service: &mut Service<'_, '_>, entry: usize, from: Apqn) -> Option<Job> {
    let is_free = |seen: &Seen| seen.apqn.card == from.card && seen.state == SeState::Unbound;
    let mut hidden = service.at.fleet.seen();
    hidden.retain(|seen| seen.apqn == from || is_free(seen));
    hidden.iter().for_each(|seen| service.at.fleet.give_up(seen.apqn));
    service.look(service.staying());
    let Plan { decisions, .. } = service.at.plan(service.staying());
    for seen in hidden {
        service.at.fleet.see(seen.apqn, |observed| observed.seen = seen);
    }
    let planned = match decisions.get(entry) {
        Some(Decision::Serve(to, index)) => Some((*to, *index)),
        _ => None,
    };
    service.give_back(|apqn| planned.is_some_and(|(to, _)| to == apqn));
    let (apqn, index) = planned?;
    let wanted = service.at.desired.wanted.get(entry)?.clone();
    Some(Job { entry, wanted, apqn, secret: index.map(Associate), from: Some(from) })
}
