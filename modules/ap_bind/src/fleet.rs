//! The queues of this guest while they are worked on: several at once, each in its own thread.

use crate::codes;
use crate::entries::Wanted;
use crate::plan::fit;
use fault::{Fault, Result};
use pv_guest::ap::steps::{self, Manner};
use pv_guest::ap::{self, Apqn, Associate, Bus, Fit, Journal, Look, Looked, Observed, SeState, Seen};
use std::collections::BTreeSet;
use std::thread;

/// All queues, with what is written about them.
pub struct Fleet<'a> {
    /// As last observed, by APQN.
    pub queues: Vec<Observed>,
    /// What was bound and is not finished.
    pub journal: Journal<'a>,
    /// How to work on queues.
    pub manner: Manner,
    /// Queues that were bound only to look at them.
    pub inspected: BTreeSet<Apqn>,
    /// Queues that this run bound to look at them and still holds.
    looking: BTreeSet<Apqn>,
    /// What the operator should know.
    pub warnings: Vec<Fault>,
}

impl<'a> Fleet<'a> {
    /// Observes all queues.
    ///
    /// # Errors
    /// `ap.attribute_unreadable`.
    pub fn observe(bus: &Bus, journal: Journal<'a>, manner: Manner) -> Result<Self> {
        let queues = Observed::all(bus)?;
        Ok(Self { queues, journal, manner, inspected: BTreeSet::new(), looking: BTreeSet::new(), warnings: Vec::new() })
    }

    /// The queue of a name.
    pub fn get(&self, apqn: Apqn) -> Option<&Observed> {
        self.queues.iter().find(|observed| observed.seen.apqn == apqn)
    }

    fn see(&mut self, apqn: Apqn, how: impl FnOnce(&mut Observed)) {
        if let Some(observed) = self.queues.iter_mut().find(|observed| observed.seen.apqn == apqn) {
            how(observed);
        }
    }

    /// Looks at every queue again.
    pub fn refresh(&mut self) {
        for observed in &mut self.queues {
            observed.refresh();
        }
    }

    /// Releases what an earlier run left half done.
    ///
    /// # Errors
    /// Those of the journal.
    pub fn settle(&mut self) -> Result<()> {
        let settled = self.journal.settle(&mut self.queues, self.manner)?;
        self.warnings.extend(settled);
        Ok(())
    }

    /// Binds queues to read their master keys and serial numbers: one of a card at a time, cards at once. Those
    /// that fit an entry stay bound; the others are released at once, and what was read of them is kept.
    ///
    /// Gives the faults of the journal, and of queues that were bound and cannot be released.
    pub fn look_at(&mut self, apqns: &[Apqn], wanted: &[Wanted]) -> Vec<Fault> {
        let queues: Vec<_> = apqns.iter().filter_map(|apqn| self.get(*apqn)).cloned().collect();
        let looks = ap::look_at(queues, &|seen| fit_any(wanted, seen), &self.journal, self.manner);
        let mut faults = Vec::new();
        for Look { apqn, outcome } in looks {
            match outcome {
                Looked::Fits(seen) => {
                    self.looking.insert(apqn);
                    self.see(apqn, |o| o.seen = seen);
                }
                Looked::Released(seen) => {
                    self.inspected.insert(apqn);
                    self.see(apqn, |o| o.seen = seen);
                }
                Looked::Skipped(fault) => {
                    self.warnings.push(Fault::new(pv_guest::codes::LOOK_SKIPPED, fault.detail).hint(fault.hint));
                    self.see(apqn, |o| o.seen.state = SeState::Failing);
                }
                Looked::Unread(fault) => {
                    self.inspected.insert(apqn);
                    self.warnings.push(fault);
                    self.see(apqn, |o| o.seen.state = SeState::Failing);
                }
                Looked::Stuck(fault) => {
                    faults.push(fault);
                    self.see(apqn, |o| o.seen.state = SeState::Failing);
                }
            }
        }
        faults
    }

    /// Releases the queues that were bound to look at them and are not `chosen`. Gives the faults of the releases and
    /// of the journal.
    pub fn give_back(&mut self, chosen: impl Fn(Apqn) -> bool) -> Vec<Fault> {
        let mut faults = Vec::new();
        let (kept, others) = std::mem::take(&mut self.looking).into_iter().partition(|apqn| chosen(*apqn));
        self.looking = kept;
        let others: BTreeSet<Apqn> = others;
        for apqn in others {
            let released = self.get(apqn).map_or(Ok(()), |observed| steps::release(&observed.queue, self.manner));
            if let Err(fault) = released.and_then(|()| self.journal.finish(apqn)) {
                faults.push(fault);
                continue;
            }
            self.inspected.insert(apqn);
            self.see(apqn, |o| o.seen.state = SeState::Unbound);
        }
        faults
    }

    /// Makes queues serve entries, all at once; those that were refused a second time one by one, for an adapter
    /// may be short of something only while many are bound at once. One answer for each job, in their order.
    pub fn serve(&self, jobs: &[Job]) -> Vec<Result<()>> {
        let serve = |job: &Job| {
            self.get(job.apqn).map_or_else(|| Err(steps::vanished(job.apqn)), |observed| self.serve_one(observed, job))
        };
        let mut answers: Vec<Result<()>> = thread::scope(|scope| {
            let threads: Vec<_> = jobs.iter().map(|job| scope.spawn(move || serve(job))).collect();
            threads
                .into_iter()
                .zip(jobs)
                .map(|(thread, job)| thread.join().unwrap_or_else(|_| Err(steps::vanished(job.apqn))))
                .collect()
        });
        for (answer, job) in answers.iter_mut().zip(jobs) {
            if answer.as_ref().is_err_and(|fault| fault.code == pv_guest::codes::BIND_REFUSED) {
                *answer = serve(job);
            }
        }
        answers
    }

    fn serve_one(&self, observed: &Observed, job: &Job) -> Result<()> {
        let queue = &observed.queue;
        let Some(secret) = job.secret else { return steps::bind(queue, self.manner) };
        // What it is held for instead (with exclusive) ends here.
        if matches!(queue.state(), SeState::Associated(_) | SeState::AssociatedUnknown | SeState::Pending) {
            steps::release(queue, self.manner)?;
        }
        self.journal.begin(job.apqn)?;
        let outcome = steps::bind(queue, self.manner).and_then(|()| {
            // The key may have been changed since it was read.
            let fits = |seen: &Seen| fit(&job.wanted, seen);
            let fits = fits(&ap::look_until_read(observed, &fits));
            if fits == Fit::Yes {
                return steps::associate(queue, secret, self.manner);
            }
            steps::release(queue, self.manner)?;
            if fits == Fit::Unknown {
                return Err(ap::unreadable(job.apqn));
            }
            Err(Fault::new(codes::MKVP_MISMATCH, format!("The queue {} was released again: now that it is bound, its master key or serial number is not the wanted one.", job.apqn)))
        });
        // A queue that is neither serving nor free stays in the journal for the next run.
        if matches!(queue.state(), SeState::Associated(_) | SeState::Unbound) {
            self.journal.finish(job.apqn)?;
        }
        outcome
    }

    /// Releases queues, all at once. One answer for each, in their order.
    pub fn release(&self, apqns: &[Apqn]) -> Vec<Result<()>> {
        let release = |apqn: Apqn| {
            self.get(apqn)
                .map_or_else(|| Err(steps::vanished(apqn)), |observed| steps::release(&observed.queue, self.manner))
        };
        thread::scope(|scope| {
            let threads: Vec<_> = apqns.iter().map(|apqn| scope.spawn(move || release(*apqn))).collect();
            threads
                .into_iter()
                .zip(apqns)
                .map(|(thread, apqn)| thread.join().unwrap_or_else(|_| Err(steps::vanished(*apqn))))
                .collect()
        })
    }
}

/// One queue that is to serve one entry.
pub struct Job {
    /// Position of the entry.
    pub entry: usize,
    /// The entry.
    pub wanted: Wanted,
    /// The queue.
    pub apqn: Apqn,
    /// The secret to associate it with, for EP11.
    pub secret: Option<Associate>,
}

/// Whether a queue has what one of several entries demands.
fn fit_any(wanted: &[Wanted], seen: &Seen) -> Fit {
    let any = |how| wanted.iter().any(|entry| fit(entry, seen) == how);
    [Fit::Yes, Fit::Unknown].into_iter().find(|how| any(*how)).unwrap_or(Fit::No)
}
