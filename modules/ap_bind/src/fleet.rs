//! The queues of this guest while they are worked on: several at once, each in its own thread.

use crate::codes;
use crate::entries::Wanted;
use crate::journal::{self, Journal};
use crate::observe::{self, Observed};
use crate::plan::{Fit, Seen, fit};
use crate::steps::{self, Manner, Patience};
use fault::{Fault, Result};
use pv_guest::ap::{Apqn, Associate, Bus, Mode, SeState};
use std::collections::{BTreeMap, BTreeSet};
use std::thread;
use std::time::Duration;

/// A queue that is bound shows its master key within this time.
const READABLE_WITHIN: Duration = Duration::from_secs(1);

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
        let queues = observe::queues(bus)?;
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
            observed.seen = observe::look(&observed.card, &observed.queue);
        }
    }

    /// Releases what an earlier run left half done. Whether that run only looked or was about to associate, nobody
    /// uses such a queue: it is taken again where it is wanted. One that cannot be released, because its card is
    /// dead, stays in the journal and must not keep the others from being worked on.
    ///
    /// # Errors
    /// Those of the journal.
    pub fn settle(&mut self) -> Result<()> {
        for apqn in self.journal.left() {
            let Some(observed) = self.get(apqn).cloned() else {
                self.journal.finish(apqn)?;
                continue;
            };
            let half_done = journal::is_half_done(observed.seen.state);
            let released = match observed.seen.state {
                SeState::Unbound => steps::cancel_bind(&observed.queue),
                _ if half_done => steps::release(&observed.queue, self.manner),
                _ => Ok(()),
            };
            if let Err(fault) = released {
                self.warnings.push(fault);
                continue;
            }
            if half_done {
                self.warnings.push(Fault::new(
                    codes::JOURNAL_SETTLED,
                    format!("The queue {apqn} was released: an earlier run bound it and ended before it was finished."),
                ));
                self.see(apqn, |o| o.seen = observe::look(&o.card, &o.queue));
            }
            self.journal.finish(apqn)?;
        }
        Ok(())
    }

    /// Binds queues to read their master keys and serial numbers: one of a card at a time, cards at once. Those
    /// that fit an entry stay bound; the others are released at once, and what was read of them is kept.
    ///
    /// Gives the faults of the journal, and of queues that were bound and cannot be released.
    pub fn look_at(&mut self, apqns: &[Apqn], wanted: &[Wanted]) -> Vec<Fault> {
        let mut by_card: BTreeMap<u8, Vec<Observed>> = BTreeMap::new();
        for observed in apqns.iter().filter_map(|apqn| self.get(*apqn)) {
            by_card.entry(observed.card.number).or_default().push(observed.clone());
        }
        let (journal, manner) = (&self.journal, self.manner);
        let looks: Vec<Look> = thread::scope(|scope| {
            let look_at_card = |queues: Vec<Observed>| {
                move || queues.iter().map(|o| look_at_one(o, wanted, journal, manner)).collect::<Vec<_>>()
            };
            let threads: Vec<_> = by_card.into_values().map(|queues| scope.spawn(look_at_card(queues))).collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap_or_default()).collect()
        });
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
                    self.warnings.push(Fault::new(codes::LOOK_SKIPPED, fault.detail).hint(fault.hint));
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
            self.get(job.apqn).map_or_else(|| Err(vanished(job.apqn)), |observed| self.serve_one(observed, job))
        };
        let mut answers: Vec<Result<()>> = thread::scope(|scope| {
            let threads: Vec<_> = jobs.iter().map(|job| scope.spawn(move || serve(job))).collect();
            threads
                .into_iter()
                .zip(jobs)
                .map(|(thread, job)| thread.join().unwrap_or_else(|_| Err(vanished(job.apqn))))
                .collect()
        });
        for (answer, job) in answers.iter_mut().zip(jobs) {
            if answer.as_ref().is_err_and(|fault| fault.code == codes::BIND_REFUSED) {
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
            let fits = fit(&job.wanted, &look_until_read(observed, std::slice::from_ref(&job.wanted)));
            if fits == Fit::Yes {
                return steps::associate(queue, secret, self.manner);
            }
            steps::release(queue, self.manner)?;
            if fits == Fit::Unknown {
                return Err(unreadable(job.apqn));
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
            self.get(apqn).map_or_else(|| Err(vanished(apqn)), |observed| steps::release(&observed.queue, self.manner))
        };
        thread::scope(|scope| {
            let threads: Vec<_> = apqns.iter().map(|apqn| scope.spawn(move || release(*apqn))).collect();
            threads
                .into_iter()
                .zip(apqns)
                .map(|(thread, apqn)| thread.join().unwrap_or_else(|_| Err(vanished(*apqn))))
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

struct Look {
    apqn: Apqn,
    outcome: Looked,
}

enum Looked {
    /// It fits an entry and is still bound.
    Fits(Seen),
    /// It does not, and is free again.
    Released(Seen),
    /// It could not be bound.
    Skipped(Fault),
    /// It could be bound but not read, and is free again.
    Unread(Fault),
    /// It was bound and could not be released.
    Stuck(Fault),
}

fn look_at_one(observed: &Observed, wanted: &[Wanted], journal: &Journal<'_>, manner: Manner) -> Look {
    let Observed { queue, card, .. } = observed;
    let apqn = queue.apqn;
    let look = |outcome| Look { apqn, outcome };
    if card.mode != Mode::Ep11 {
        return look(Looked::Skipped(vanished(apqn)));
    }
    if let Err(fault) = journal.begin(apqn) {
        return look(Looked::Stuck(fault));
    }
    if let Err(fault) = steps::bind(queue, manner) {
        let settled = if queue.state().is_held() {
            steps::release(queue, manner).and_then(|()| journal.finish(apqn))
        } else {
            // One that takes not even this write is free as far as is known; the next run finds it in the journal.
            steps::cancel_bind(queue).map_or(Ok(()), |()| journal.finish(apqn))
        };
        return look(settled.map_or_else(Looked::Stuck, |()| Looked::Skipped(fault)));
    }
    let mut seen = look_until_read(observed, wanted);
    if wanted.iter().any(|entry| fit(entry, &seen) == Fit::Yes) {
        return look(Looked::Fits(seen));
    }
    let released = steps::release(queue, manner).and_then(|()| journal.finish(apqn));
    let unread = wanted.iter().any(|entry| fit(entry, &seen) == Fit::Unknown);
    seen.state = SeState::Unbound;
    look(released.map_or_else(Looked::Stuck, |()| {
        if unread { Looked::Unread(unreadable(apqn)) } else { Looked::Released(seen) }
    }))
}

/// Looks at a queue that was just bound: what the entries must know of it cannot always be read at once.
fn look_until_read(observed: &Observed, wanted: &[Wanted]) -> Seen {
    let mut patience = Patience::new(READABLE_WITHIN);
    loop {
        let seen = observe::look(&observed.card, &observed.queue);
        let any = |how| wanted.iter().any(|entry| fit(entry, &seen) == how);
        if any(Fit::Yes) || !any(Fit::Unknown) || !seen.state.is_held() || !patience.wait() {
            return seen;
        }
    }
}

fn unreadable(apqn: Apqn) -> Fault {
    Fault::new(
        pv_guest::codes::ATTRIBUTE_UNREADABLE,
        format!(
            "The queue {apqn} was bound, but its master key or serial number could not be read; it was released again."
        ),
    )
    .hint("Look at its card with lszcrypt -V, and run the task again.")
}

fn vanished(apqn: Apqn) -> Fault {
    Fault::new(codes::QUEUE_VANISHED, format!("The queue {apqn} disappeared while it was worked on."))
        .hint("The host took it away; run the task again.")
}
