//! The jobs of a plan carried out: who takes which queue, who gives it up, and what is put back if that fails.

use crate::apply::Run;
use crate::choose::Freedom;
use crate::codes;
use crate::fleet::Job;
use crate::moves;
use crate::observe;
use crate::options::Status;
use crate::plan::{Decision, Plan, indices};
use crate::report::Served;
use fault::{Fault, Result};
use pv_guest::ap::{Apqn, Associate};
use std::collections::BTreeSet;

impl Run<'_> {
    /// Does jobs, notes how each went, and gives those whose queues refused or are gone. A moved entry gives up its
    /// old queue only when the new one serves it, and keeps it if that does not work out.
    pub(super) fn serve(
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
                let fault = if fault.code == pv_guest::codes::BIND_REFUSED {
                    self.with_holders(fault, job.apqn.card)
                } else {
                    fault
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
                *had = Served::not(self.why(at, wanted, &Decision::NoQueue));
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
}

/// Takes out the jobs that wait for what a failed one would have left.
fn cancel(failed: &Job, pending: &mut Vec<Job>) {
    let Some(at) = pending.iter().position(|job| failed.from == Some(job.apqn)) else { return };
    let next = pending.remove(at);
    cancel(&next, pending);
}
