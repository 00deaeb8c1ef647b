//! The plan carried out, or in check mode told.

use crate::choose::{Freedom, plan, to_look_at};
use crate::codes;
use crate::entries::Wanted;
use crate::fleet::{Fleet, Job};
use crate::moves;
use crate::observe;
use crate::options::{Report, Status};
use crate::plan::{Decision, Plan, fit, indices, is_held_for, names};
use crate::report::{self, Served, mismatch, reason};
use crate::task::{Aim, Task};
use ansible_contract::{Failure, Outcome, warning};
use fault::{Fault, Result};
use pv_guest::ap::{Apqn, Associate, Fit, Observed, SeState, Seen};
use pv_guest::uv::SecretList;
use std::collections::BTreeSet;

type Answer = std::result::Result<Outcome<Report>, Failure<Report>>;

/// One run: what is asked for and what is there.
pub struct Run<'a> {
    task: Task,
    fleet: Fleet<'a>,
    secrets: SecretList,
    before: Vec<Observed>,
}

impl<'a> Run<'a> {
    /// Begins with what was observed.
    pub fn new(task: Task, fleet: Fleet<'a>, secrets: SecretList) -> Self {
        let before = fleet.queues.clone();
        Self { task, fleet, secrets, before }
    }

    /// Tells what would be done. No queue is bound, so an entry whose candidates cannot be read is undetermined.
    pub fn predict(self) -> Answer {
        let Aim::Serve(freedom) = self.task.aim else {
            let released = self.to_release()?;
            let served = self.left_unserved();
            return self.answer(served, true, |o| {
                if released.contains(&o.seen.apqn) { SeState::Unbound } else { o.seen.state }
            });
        };
        let plan = self.plan(freedom);
        let released = if freedom.exclusive { self.unwanted(&plan) } else { plan.left() };
        let mut partial = Vec::new();
        let served =
            self.task.wanted.iter().zip(&plan.decisions).enumerate().map(|(at, (wanted, decision))| match decision {
                Decision::Served(apqn) => Served::by(*apqn, Status::Served),
                Decision::Serve(apqn, _) | Decision::Move { to: apqn, .. } => Served::by(*apqn, Status::WouldServe),
                Decision::Undetermined => Served { status: Status::Undetermined, apqn: None, fault: None },
                Decision::SecretMissing if self.secrets.is_complete() => {
                    // An earlier task of the play may still add it.
                    let fault = reason(at, wanted, decision, &self.secrets);
                    partial.push(fault.clone());
                    Served { status: Status::Undetermined, apqn: None, fault: Some(fault) }
                }
                _ => Served::not(reason(at, wanted, decision, &self.secrets)),
            });
        let served: Vec<_> = served.collect();
        let mut run = self;
        run.fleet.warnings.extend(partial);
        run.fleet.warnings.extend(plan.mismatched.iter().copied().map(mismatch));
        run.answer(served, true, |o| match plan.entry_of(o.seen.apqn).and_then(|entry| plan.decisions.get(entry)) {
            Some(Decision::Serve(_, Some(index)) | Decision::Move { index: Some(index), .. }) => {
                SeState::Associated(*index)
            }
            Some(Decision::Serve(_, None) | Decision::Move { index: None, .. }) => SeState::Bound,
            _ if released.contains(&o.seen.apqn) => SeState::Unbound,
            _ => o.seen.state,
        })
    }

    /// Does it.
    pub fn apply(mut self) -> Answer {
        self.fleet.settle()?;
        let Aim::Serve(freedom) = self.task.aim else {
            let faults = self.release(self.to_release()?);
            let served = self.left_unserved();
            return self.finish(served, faults);
        };
        let mut faults = self.look(freedom);
        let mut plan = self.plan(freedom);
        let go = (faults.is_empty() && plan.serves_all()) || !self.task.strict;
        faults.extend(self.fleet.give_back(|apqn| go && plan.takes(apqn)));
        self.fleet.warnings.extend(plan.mismatched.iter().copied().map(mismatch));
        let mut served: Vec<Served> = self
            .task
            .wanted
            .iter()
            .zip(&plan.decisions)
            .enumerate()
            .map(|(at, (wanted, decision))| match decision {
                Decision::Served(apqn) | Decision::Move { from: apqn, .. } => Served::by(*apqn, Status::Served),
                _ => Served::not(reason(at, wanted, decision, &self.secrets)),
            })
            .collect();
        let mut jobs = if go { self.jobs(&plan) } else { Vec::new() };
        while !jobs.is_empty() {
            let refused = self.serve(&plan, jobs, &mut served, freedom, &mut faults);
            // What refuses or is gone is left alone from now on; another queue may do as well.
            let entries: BTreeSet<usize> = refused.iter().map(|job| job.entry).collect();
            refused.iter().for_each(|job| self.fleet.give_up(job.apqn));
            if entries.is_empty() {
                break;
            }
            let staying = Freedom { rebalance: false, ..freedom };
            faults.extend(self.look(staying));
            plan = self.plan(staying);
            faults.extend(self.fleet.give_back(|apqn| plan.takes(apqn)));
            jobs = self.jobs(&plan).into_iter().filter(|job| entries.contains(&job.entry)).collect();
        }
        faults.extend(self.fleet.give_back(|_| false));
        // Nothing is taken away for a plan that did not work out.
        if go && freedom.exclusive && (!self.task.strict || served.iter().all(|s| s.status == Status::Served)) {
            let mut unwanted = self.unwanted(&plan);
            served.iter().filter_map(|s| s.apqn).for_each(|apqn| {
                unwanted.remove(&apqn);
            });
            faults.extend(self.release(unwanted));
        }
        self.finish(served, faults)
    }

    /// Looks at queues until that cannot make the plan better. Gives the faults of queues that cannot be released.
    fn look(&mut self, freedom: Freedom) -> Vec<Fault> {
        let mut faults = Vec::new();
        loop {
            let looks = to_look_at(&self.task.wanted, &self.seen(), &self.secrets, freedom);
            if looks.is_empty() {
                return faults;
            }
            // Only what will be released anyway makes room for a look, and only if the plan can still work out.
            let plan = self.plan(freedom);
            let hopeless = |d: &Decision| d.queue().is_none() && *d != Decision::Undetermined;
            let spare = freedom.exclusive && !(self.task.strict && plan.decisions.iter().any(hopeless));
            let spare = if spare { self.unwanted(&plan) } else { BTreeSet::new() };
            faults.extend(self.fleet.look_at(&looks, &self.task.wanted, &spare));
        }
    }

    /// What is to be done for a plan.
    fn jobs(&self, plan: &Plan) -> Vec<Job> {
        let job = |(entry, (wanted, decision)): (usize, (&Wanted, &Decision))| {
            let (from, apqn, index) = match *decision {
                Decision::Serve(apqn, index) => (None, apqn, index),
                Decision::Move { from, to, index } => (Some(from), to, index),
                _ => return None,
            };
            Some(Job { entry, wanted: wanted.clone(), apqn, secret: index.map(Associate), from })
        };
        self.task.wanted.iter().zip(&plan.decisions).enumerate().filter_map(job).collect()
    }

    fn seen(&self) -> Vec<Seen> {
        self.fleet.queues.iter().map(|observed| observed.seen.clone()).collect()
    }

    fn plan(&self, freedom: Freedom) -> Plan {
        plan(&self.task.wanted, &self.seen(), &self.secrets, freedom)
    }

    /// Does jobs, notes how each went, and gives those whose queues refused or are gone. A moved entry gives up its
    /// old queue only when the new one serves it, and keeps it if that does not work out.
    fn serve(
        &mut self,
        plan: &Plan,
        jobs: Vec<Job>,
        served: &mut [Served],
        freedom: Freedom,
        faults: &mut Vec<Fault>,
    ) -> Vec<Job> {
        let mut pending = self.with_secrets(jobs, served);
        faults.extend(self.fleet.give_back(|apqn| pending.iter().any(|job| job.apqn == apqn)));
        let had: Vec<Option<Apqn>> = served.iter().map(|served| served.apqn).collect();
        let mut refused = Vec::new();
        while !pending.is_empty() {
            let now = moves::next(&pending);
            let (batch, rest): (Vec<_>, Vec<_>) = pending.into_iter().enumerate().partition(|(at, _)| now.contains(at));
            let batch: Vec<Job> = batch.into_iter().map(|(_, job)| job).collect();
            pending = rest.into_iter().map(|(_, job)| job).collect();
            let mut answers = self.fleet.serve(&batch);
            if freedom.exclusive {
                faults.extend(self.make_room(plan, &batch, &mut answers));
            }
            for (job, answer) in batch.into_iter().zip(answers) {
                let Err(fault) = answer else {
                    self.note_taken(&job, served);
                    served[job.entry] = Served::by(job.apqn, Status::Served);
                    let is_taken = |from: &Apqn| pending.iter().any(|other| other.apqn == *from);
                    let left = job.from.filter(|from| !is_taken(from) && served.iter().all(|s| s.apqn != Some(*from)));
                    faults.extend(self.fleet.leave(left.as_slice()));
                    continue;
                };
                if served[job.entry].status == Status::Served {
                    self.fleet.warnings.push(fault.clone());
                } else {
                    served[job.entry] = Served::not(fault.clone());
                }
                self.put_back(&job, &had, served, faults);
                cancel(&job, &mut pending);
                if [pv_guest::codes::BIND_REFUSED, pv_guest::codes::QUEUE_UNUSABLE, pv_guest::codes::QUEUE_VANISHED]
                    .contains(&fault.code)
                {
                    refused.push(job);
                }
            }
        }
        self.fleet.end_moves(faults);
        refused
    }

    /// The entry that had a job's queue until now has none.
    fn note_taken(&self, job: &Job, served: &mut [Served]) {
        for (at, (wanted, had)) in self.task.wanted.iter().zip(served).enumerate() {
            if had.apqn == Some(job.apqn) {
                *had = Served::not(reason(at, wanted, &Decision::NoQueue, &self.secrets));
            }
        }
    }

    /// Gives a queue back to the entry from which it was taken in vain.
    fn put_back(&mut self, job: &Job, had: &[Option<Apqn>], served: &mut [Served], faults: &mut Vec<Fault>) {
        let Some(entry) = had.iter().position(|apqn| *apqn == Some(job.apqn)) else { return };
        let (Some(wanted), Some(of_entry)) = (self.task.wanted.get(entry), served.get(entry)) else { return };
        if of_entry.apqn != Some(job.apqn) {
            return;
        }
        let secret = wanted.secret().and_then(|id| indices(&self.secrets, id).first().copied()).map(Associate);
        let back = Job { entry, wanted: wanted.clone(), apqn: job.apqn, secret, from: None };
        if let Some(Err(fault)) = self.fleet.serve(&[back]).pop() {
            faults.push(fault.clone());
            served[entry] = Served::not(fault);
        }
    }

    /// The jobs whose secrets are where they were. Read again right before they are used: an index belongs to another
    /// secret after a reboot.
    fn with_secrets(&mut self, jobs: Vec<Job>, served: &mut [Served]) -> Vec<Job> {
        let now = observe::secrets(self.task.needs_secrets());
        let is_there = |job: &Job| match (job.wanted.secret(), job.secret) {
            (Some(id), Some(index)) => now.as_ref().is_ok_and(|now| indices(now, id).contains(&index.0)),
            _ => true,
        };
        let (ready, moved): (Vec<_>, Vec<_>) = jobs.into_iter().partition(is_there);
        for job in moved {
            let fault = now.as_ref().err().cloned().unwrap_or_else(|| {
                Fault::new(
                    codes::SECRET_CHANGED,
                    format!("The queue {} was not associated: the secret store changed meanwhile.", job.apqn),
                )
                .hint("Run the task again.")
            });
            if job.from.is_some() {
                self.fleet.warnings.push(fault);
            } else {
                served[job.entry] = Served::not(fault);
            }
        }
        ready
    }

    /// A card may hold as many queues as it takes: those that no entry wants are released there, and what was refused
    /// is tried again. Gives the faults of the releases.
    fn make_room(&mut self, plan: &Plan, jobs: &[Job], answers: &mut [Result<()>]) -> Vec<Fault> {
        let refused =
            |answer: &Result<()>| answer.as_ref().is_err_and(|fault| fault.code == pv_guest::codes::BIND_REFUSED);
        let mut faults = Vec::new();
        if self.task.strict && answers.iter().any(|answer| answer.is_err() && !refused(answer)) {
            return faults;
        }
        for (job, answer) in jobs.iter().zip(answers).filter(|(_, answer)| refused(answer)) {
            let there: BTreeSet<_> =
                self.unwanted(plan).into_iter().filter(|apqn| apqn.card == job.apqn.card).collect();
            if !there.is_empty() {
                faults.extend(self.release(there));
                if let Some(again) = self.fleet.serve(std::slice::from_ref(job)).pop() {
                    *answer = again;
                }
            }
        }
        faults
    }

    /// Queues that this guest holds and no entry wants.
    fn unwanted(&self, plan: &Plan) -> BTreeSet<Apqn> {
        let unwanted = |seen: &&Seen| seen.state.is_held() && plan.entry_of(seen.apqn).is_none();
        self.fleet.queues.iter().map(|o| &o.seen).filter(unwanted).map(|seen| seen.apqn).collect()
    }

    /// What `state: unbound` releases: what is held for an entry, or everything.
    ///
    /// # Errors
    /// `uv.list_incomplete` if an entry's secret may be one that the kernel does not show: a queue could be held for it.
    fn to_release(&self) -> Result<BTreeSet<Apqn>> {
        let seen = self.seen();
        if self.task.aim == Aim::ReleaseAll {
            return Ok(seen.iter().filter(|seen| seen.state.is_held()).map(|seen| seen.apqn).collect());
        }
        let is_shown = |id| !indices(&self.secrets, id).is_empty();
        if !self.secrets.is_complete() && !self.task.wanted.iter().filter_map(Wanted::secret).all(is_shown) {
            return Err(self.secrets.incomplete());
        }
        // All of them, not one for each entry: a second run must find nothing left to release.
        let named = |seen: &&Seen| self.task.wanted.iter().any(|wanted| names(wanted, seen, &self.secrets));
        Ok(seen.iter().filter(named).map(|seen| seen.apqn).collect())
    }

    fn release(&self, apqns: BTreeSet<Apqn>) -> Vec<Fault> {
        let apqns: Vec<_> = apqns.into_iter().collect();
        self.fleet.release(&apqns).into_iter().filter_map(Result::err).collect()
    }

    /// With `state: unbound` no entry is to be served, and that is no fault.
    fn left_unserved(&self) -> Vec<Served> {
        self.task.wanted.iter().map(|_| Served { status: Status::Unserved, apqn: None, fault: None }).collect()
    }

    /// Looks at everything once more and tells how it went. A queue that could not be released is a failure in any
    /// case, an entry that could not be served if `strict`.
    fn finish(mut self, mut served: Vec<Served>, faults: Vec<Fault>) -> Answer {
        self.fleet.refresh();
        for (wanted, served) in self.task.wanted.iter().zip(&mut served) {
            match served.apqn {
                Some(apqn) if !self.serves(wanted, apqn) => *served = Served::not(report::lost(apqn)),
                _ => {}
            }
        }
        let outcome = self.answer(served, false, |o| o.seen.state);
        match (faults.into_iter().next(), outcome) {
            (Some(fault), Ok(outcome)) => Err(failure(fault, outcome)),
            (Some(fault), Err(mut failed)) => {
                failed.warnings.push(warning(&fault));
                Err(failed)
            }
            (None, outcome) => outcome,
        }
    }

    /// Whether a queue serves an entry as it was seen last. A key that cannot be read now was read before.
    fn serves(&self, wanted: &Wanted, apqn: Apqn) -> bool {
        let serves = |seen: &Seen| is_held_for(wanted, seen, &self.secrets) && fit(wanted, seen) != Fit::No;
        self.fleet.get(apqn).is_some_and(|observed| serves(&observed.seen))
    }

    fn answer(self, served: Vec<Served>, predicted: bool, after: impl Fn(&Observed) -> SeState) -> Answer {
        let unsure = match self.task.aim {
            Aim::Serve(freedom) if predicted => {
                !to_look_at(&self.task.wanted, &self.seen(), &self.secrets, freedom).is_empty()
            }
            _ => false,
        };
        let Self { task, fleet, before, .. } = self;
        let report = report::report(&task.wanted, &served, &before, &fleet.queues, after, fleet.inspected);
        let diff = report::diff(&report);
        let undetermined = served.iter().any(|s| s.status == Status::Undetermined);
        let mut outcome = Outcome {
            changed: !diff.is_empty() || undetermined,
            msg: summary(&served, diff.len(), predicted, task.aim),
            warnings: fleet.warnings.iter().map(warning).collect(),
            diff,
            // A better queue may be among those that cannot be read.
            predicted_partial: undetermined || unsure,
            report,
        };
        let unserved: Vec<_> =
            served.into_iter().filter(|s| s.status == Status::Unserved).filter_map(|s| s.fault).collect();
        // What could be served but was left undone is not why the task fails.
        let cause = unserved.iter().find(|fault| fault.code != codes::LEFT_UNDONE).cloned();
        match cause {
            Some(fault) if task.strict => Err(failure(fault, outcome)),
            _ => {
                outcome.warnings.extend(unserved.iter().map(warning));
                Ok(outcome)
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

fn failure(fault: Fault, outcome: Outcome<Report>) -> Failure<Report> {
    let mut failure = Failure::from(fault);
    failure.changed = outcome.changed;
    failure.warnings = outcome.warnings;
    failure.diff = outcome.diff;
    failure.report = Some(Box::new(outcome.report));
    failure
}

fn summary(served: &[Served], changes: usize, predicted: bool, aim: Aim) -> String {
    let (is, change) = if predicted { ("would be", "would change") } else { ("are", "changed") };
    match aim {
        Aim::Serve(_) => {
            let count = served.iter().filter(|s| s.apqn.is_some()).count();
            format!("{count} of {} entries {is} served; {changes} queues {change}.", served.len())
        }
        _ => format!("{changes} queues {}.", if predicted { "would be released" } else { "released" }),
    }
}
