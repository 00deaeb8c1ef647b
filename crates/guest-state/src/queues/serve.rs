//! Serving entries: who takes which queue, who gives it up, and what is put back if that fails.

use super::codes;
use super::observe;
use super::places::Places;
use super::planning::{Decision, Freedom, Job, Plan, fit, indices, next};
use super::report::{Served, mismatch};
use super::results::Status;
use super::situation::Situation;
use super::transitions::leave::{self, leave};
use super::transitions::look::{give_back, look_at};
use super::transitions::release::release;
use super::transitions::take::take;
use fault::{Fault, Result};
use pv_guest::ap::{Apqn, Associate, Fit, Observed, SeState, Seen};
use pv_guest::codes as ap;
use std::collections::BTreeSet;

/// Entries on their way to being served.
pub struct Service<'s, 'a> {
    pub(super) at: &'s mut Situation<'a>,
    freedom: Freedom,
    /// How each entry stands.
    pub(super) served: Vec<Served>,
    /// What went wrong with queues, whoever they were for.
    pub(super) faults: Vec<Fault>,
}

impl<'s, 'a> Service<'s, 'a> {
    /// Begins.
    pub fn new(at: &'s mut Situation<'a>, freedom: Freedom) -> Self {
        Self { at, freedom, served: Vec::new(), faults: Vec::new() }
    }

    /// Serves what can be served, and gives how each entry stands then and what went wrong with queues.
    pub fn run(mut self) -> (Vec<Served>, Vec<Fault>) {
        let strict = self.at.desired.strict;
        self.look(self.freedom);
        let mut plan = self.at.plan(self.freedom);
        let go = (self.faults.is_empty() && plan.serves_all()) || !strict;
        self.give_back(|apqn| go && plan.takes(apqn));
        self.at.fleet.warnings.extend(plan.mismatched.iter().copied().map(mismatch));
        let each = self.at.desired.wanted.iter().zip(&plan.decisions);
        self.served = each
            .map(|(wanted, decision)| match decision {
                Decision::Served(apqn) | Decision::Move { from: apqn, .. } => Served::by(*apqn, Status::Served),
                _ => Served::not(self.at.why(wanted, decision)),
            })
            .collect();
        let mut places = Places::new(&self.served);
        let mut jobs = if go { plan.jobs(&self.at.desired.wanted) } else { Vec::new() };
        while !jobs.is_empty() {
            let refused = self.take(&plan, jobs);
            jobs = Vec::new();
            if !refused.is_empty() {
                // What refuses or is gone is left alone from now on; another queue may do as well.
                refused.iter().for_each(|job| self.at.fleet.give_up(job.apqn));
                self.look(self.staying());
                plan = self.at.plan(self.staying());
                self.give_back(|apqn| plan.takes(apqn));
                let is_refused = |job: &Job| refused.iter().any(|refused| refused.entry == job.entry);
                jobs = plan.jobs(&self.at.desired.wanted).into_iter().filter(is_refused).collect();
                places.wait(refused, &jobs, &self.served);
            }
            if jobs.is_empty() {
                jobs.extend(places.job_with_place(&mut self));
            }
        }
        self.give_back(|_| false);
        // Nothing is taken away for a plan that did not work out.
        if go && self.freedom.exclusive && (!strict || self.served.iter().all(|s| s.status == Status::Served)) {
            let mut unwanted = self.at.unwanted(&plan);
            self.served.iter().filter_map(|s| s.apqn).for_each(|apqn| {
                unwanted.remove(&apqn);
            });
            self.release(unwanted);
        }
        (self.served, self.faults)
    }

    /// Once something was taken, nobody is moved any more.
    pub(super) fn staying(&self) -> Freedom {
        Freedom { rebalance: false, ..self.freedom }
    }

    /// Looks at queues until that cannot make the plan better.
    pub(super) fn look(&mut self, freedom: Freedom) {
        loop {
            let looks = self.at.to_look_at(freedom);
            if looks.is_empty() {
                let pending = self.pending_in_the_way(freedom);
                if pending.is_empty() {
                    return;
                }
                self.end_association(&pending);
                continue;
            }
            let spare = if freedom.exclusive { self.spare(freedom) } else { BTreeSet::new() };
            self.faults.extend(look_at(&mut self.at.fleet, &looks, &self.at.desired.wanted, &spare));
        }
    }

    /// Queues that may fit an entry which nothing else serves, and that cannot be looked at because somebody has begun to
    /// associate them. What is exclusive takes them, but only if the plan can still work out.
    fn pending_in_the_way(&self, freedom: Freedom) -> Vec<Apqn> {
        let plan = self.at.plan(freedom);
        if !freedom.exclusive || self.is_in_vain(&plan) {
            return Vec::new();
        }
        let open: Vec<_> = self.at.desired.wanted.iter().zip(&plan.decisions).collect();
        let is_open = |seen: &Seen| {
            open.iter().any(|(wanted, d)| **d == Decision::Undetermined && fit(wanted, seen) == Fit::Unknown)
        };
        let pending = self.at.fleet.queues.iter().map(|observed| &observed.seen);
        pending.filter(|seen| seen.state == SeState::Pending && is_open(seen)).map(|seen| seen.apqn).collect()
    }

    /// Releases queues that somebody has begun to associate.
    fn end_association(&mut self, apqns: &[Apqn]) {
        for (apqn, answer) in apqns.iter().zip(release(&self.at.fleet, apqns)) {
            match answer {
                Ok(()) => self.at.fleet.see(*apqn, Observed::refresh),
                Err(fault) => {
                    self.faults.push(fault);
                    self.at.fleet.give_up(*apqn);
                }
            }
        }
    }

    /// Whether an entry cannot be served whatever is done, and that is as good as none.
    fn is_in_vain(&self, plan: &Plan) -> bool {
        let hopeless = |d: &Decision| d.queue().is_none() && *d != Decision::Undetermined;
        self.at.desired.strict && plan.decisions.iter().any(hopeless)
    }

    /// What makes room for a look: only what will be released anyway, and only if the plan can still work out.
    fn spare(&self, freedom: Freedom) -> BTreeSet<Apqn> {
        let plan = self.at.plan(freedom);
        if self.is_in_vain(&plan) { BTreeSet::new() } else { self.at.unwanted(&plan) }
    }

    /// Releases what was bound only to be looked at and is not chosen.
    pub(super) fn give_back(&mut self, chosen: impl Fn(Apqn) -> bool) {
        self.faults.extend(give_back(&mut self.at.fleet, chosen));
    }

    fn release(&mut self, apqns: BTreeSet<Apqn>) {
        let apqns: Vec<_> = apqns.into_iter().collect();
        self.faults.extend(release(&self.at.fleet, &apqns).into_iter().filter_map(Result::err));
    }

    /// Does jobs, notes how each went, and gives those whose queues refused or are gone. A moved entry gives up its
    /// old queue only when the new one serves it, and keeps it if that does not work out.
    pub(super) fn take(&mut self, plan: &Plan, jobs: Vec<Job>) -> Vec<Job> {
        let mut pending = self.with_secrets(jobs);
        self.give_back(|apqn| pending.iter().any(|job| job.apqn == apqn));
        let had: Vec<Option<Apqn>> = self.served.iter().map(|served| served.apqn).collect();
        let mut refused = Vec::new();
        while !pending.is_empty() {
            let now = next(&pending);
            let (batch, rest): (Vec<_>, Vec<_>) = pending.into_iter().enumerate().partition(|(at, _)| now.contains(at));
            let batch: Vec<Job> = batch.into_iter().map(|(_, job)| job).collect();
            pending = rest.into_iter().map(|(_, job)| job).collect();
            let mut answers = take(&mut self.at.fleet, &batch);
            if self.freedom.exclusive {
                self.make_room(plan, &batch, &mut answers);
            }
            for (job, answer) in batch.into_iter().zip(answers) {
                match answer {
                    Ok(()) => self.taken(&job, &pending),
                    Err(fault) => {
                        let may_another = [ap::BIND_REFUSED, ap::QUEUE_UNUSABLE, ap::QUEUE_VANISHED, ap::CARD_TIMEOUT]
                            .contains(&fault.code);
                        self.not_taken(&job, fault, &had);
                        cancel(&job, &mut pending);
                        refused.extend(may_another.then_some(job));
                    }
                }
            }
        }
        self.faults.extend(leave::end(&mut self.at.fleet));
        refused
    }

    /// An entry has its queue: whoever had that has none now, and the queue that the entry had is released if nobody
    /// waits for it.
    fn taken(&mut self, job: &Job, pending: &[Job]) {
        for (wanted, had) in self.at.desired.wanted.iter().zip(&mut self.served) {
            if had.apqn == Some(job.apqn) {
                *had = Served::not(self.at.why(wanted, &Decision::NoQueue));
            }
        }
        self.note(job.entry, Served::by(job.apqn, Status::Served));
        let is_taken = |from: &Apqn| pending.iter().any(|other| other.apqn == *from);
        let left = job.from.filter(|from| !is_taken(from) && self.served.iter().all(|s| s.apqn != Some(*from)));
        self.faults.extend(leave(&mut self.at.fleet, left.as_slice()));
    }

    /// An entry did not get its queue.
    fn not_taken(&mut self, job: &Job, fault: Fault, had: &[Option<Apqn>]) {
        let fault = if fault.code == ap::BIND_REFUSED { self.at.with_holders(fault, job.apqn.card) } else { fault };
        if self.served.get(job.entry).is_some_and(|served| served.status == Status::Served) {
            self.at.fleet.warnings.push(fault);
        } else {
            self.note(job.entry, Served::not(fault));
        }
        self.put_back(job, had);
    }

    fn note(&mut self, entry: usize, how: Served) {
        if let Some(served) = self.served.get_mut(entry) {
            *served = how;
        }
    }

    /// Gives a queue back to the entry from which it was taken in vain.
    fn put_back(&mut self, job: &Job, had: &[Option<Apqn>]) {
        let Some(entry) = had.iter().position(|apqn| *apqn == Some(job.apqn)) else { return };
        let (Some(wanted), Some(of_entry)) = (self.at.desired.wanted.get(entry), self.served.get(entry)) else {
            return;
        };
        if of_entry.apqn != Some(job.apqn) {
            return;
        }
        let secret = wanted.secret().and_then(|id| indices(&self.at.secrets, id).first().copied()).map(Associate);
        let back = Job { entry, wanted: wanted.clone(), apqn: job.apqn, secret, from: None };
        if let Some(Err(fault)) = take(&mut self.at.fleet, &[back]).pop() {
            self.faults.push(fault.clone());
            self.note(entry, Served::not(fault));
        }
    }

    /// The jobs whose secrets are where they were. Read again right before they are used: an index belongs to another
    /// secret after a reboot.
    fn with_secrets(&mut self, jobs: Vec<Job>) -> Vec<Job> {
        let now = observe::secrets(self.at.desired.needs_secrets());
        let is_there = |job: &Job| match (job.wanted.secret(), job.secret) {
            (Some(id), Some(index)) => now.as_ref().is_ok_and(|now| indices(now, id).contains(&index.0)),
            _ => true,
        };
        let (ready, moved): (Vec<_>, Vec<_>) = jobs.into_iter().partition(is_there);
        for job in moved {
            let fault = now.as_ref().err().cloned().unwrap_or_else(|| {
                Fault::new(
                    codes::SECRET_CHANGED,
                    format!("The queue {} was not associated: the secret store changed in the meantime.", job.apqn),
                )
                .hint("Run the task again.")
            });
            if job.from.is_some() {
                self.at.fleet.warnings.push(fault);
            } else {
                self.note(job.entry, Served::not(fault));
            }
        }
        ready
    }

    /// A card may hold as many queues as it takes: those that no entry wants are released there, and what was refused
    /// is tried again.
    fn make_room(&mut self, plan: &Plan, jobs: &[Job], answers: &mut [Result<()>]) {
        let refused = |answer: &Result<()>| answer.as_ref().is_err_and(|fault| fault.code == ap::BIND_REFUSED);
        if self.at.desired.strict && answers.iter().any(|answer| answer.is_err() && !refused(answer)) {
            return;
        }
        for (job, answer) in jobs.iter().zip(answers).filter(|(_, answer)| refused(answer)) {
            let mut there = self.at.unwanted(plan);
            there.retain(|apqn| apqn.card == job.apqn.card);
            if !there.is_empty() {
                self.release(there);
                if let Some(again) = take(&mut self.at.fleet, std::slice::from_ref(job)).pop() {
                    *answer = again;
                }
            }
        }
    }
}

/// Takes out the jobs that wait for what a failed one would have left.
fn cancel(failed: &Job, pending: &mut Vec<Job>) {
    let Some(at) = pending.iter().position(|job| failed.from == Some(job.apqn)) else { return };
    let next = pending.remove(at);
    cancel(&next, pending);
}
