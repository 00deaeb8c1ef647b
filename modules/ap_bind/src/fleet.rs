//! The queues of this guest while they are worked on: several at once, each in its own thread.

use crate::codes;
use crate::entries::Wanted;
use crate::plan::fit;
use fault::{Fault, Result};
use pv_guest::ap::steps::{self, Binding, Manner};
use pv_guest::ap::{self, Apqn, Associate, Bus, Fit, Journal, Look, Looked, MkvpState, Note, Observed, SeState};
use pv_guest::ap::{Seen, Stuck, Wish};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

/// All queues, with what is written about them.
pub struct Fleet<'a> {
    /// As last observed, by APQN.
    pub queues: Vec<Observed>,
    /// What was begun and is not finished.
    pub journal: Journal<'a>,
    /// How to work on queues.
    pub manner: Manner,
    /// Queues that were bound only to look at them.
    pub inspected: BTreeSet<Apqn>,
    /// Queues that this run bound to look at them and still holds.
    looking: BTreeSet<Apqn>,
    /// Cards that refused a queue while others were bound: they may have only so many places.
    tight: BTreeSet<u8>,
    /// Moves that are in the journal, from and to.
    pub(super) moves: Vec<(Apqn, Apqn)>,
    /// Queues that moved entries have left and that could not be released.
    pub(super) unleft: BTreeSet<Apqn>,
    /// What an earlier run left half done and cannot be released now. It is not tried again in this run.
    pub stuck: BTreeMap<Apqn, Stuck>,
    /// What the operator should know.
    pub warnings: Vec<Fault>,
    /// Queues that were seen since something was written to any.
    seen: BTreeSet<Apqn>,
    /// Something may have been written to a queue since `seen` was begun.
    worked: AtomicBool,
}

impl<'a> Fleet<'a> {
    /// Observes all queues.
    ///
    /// # Errors
    /// `ap.attribute_unreadable`.
    pub fn observe(bus: &Bus, journal: Journal<'a>, manner: Manner) -> Result<Self> {
        let queues = Observed::all(bus)?;
        Ok(Self {
            seen: queues.iter().map(|observed| observed.seen.apqn).collect(),
            queues,
            journal,
            manner,
            inspected: BTreeSet::new(),
            looking: BTreeSet::new(),
            tight: BTreeSet::new(),
            moves: Vec::new(),
            unleft: BTreeSet::new(),
            stuck: BTreeMap::new(),
            warnings: Vec::new(),
            worked: AtomicBool::new(false),
        })
    }

    /// The queue of a name.
    pub fn get(&self, apqn: Apqn) -> Option<&Observed> {
        self.queues.iter().find(|observed| observed.seen.apqn == apqn)
    }

    pub(super) fn see(&mut self, apqn: Apqn, how: impl FnOnce(&mut Observed)) {
        self.seen.remove(&apqn);
        if let Some(observed) = self.queues.iter_mut().find(|observed| observed.seen.apqn == apqn) {
            how(observed);
        }
        // Once a queue of a card is bound, the serial number is known for all of them.
        let told = |o: &Observed| (o.seen.apqn == apqn).then(|| o.seen.serialnr.clone()).flatten();
        if let Some(serialnr) = self.queues.iter().find_map(told) {
            for observed in self.queues.iter_mut().filter(|o| o.card.number == apqn.card) {
                observed.card.serialnr.get_or_insert_with(|| serialnr.clone());
                observed.seen.serialnr.get_or_insert_with(|| serialnr.clone());
            }
        }
    }

    /// Looks at every queue again that was not seen since anything was done: what was observed since is as good.
    pub fn refresh(&mut self) {
        let all: Vec<Apqn> = self.queues.iter().map(|observed| observed.seen.apqn).collect();
        self.look_again(&all);
    }

    /// Looks at these queues again, but for those that were seen since anything was done.
    pub(super) fn look_again(&mut self, apqns: &[Apqn]) {
        if self.worked.swap(false, Ordering::Relaxed) {
            self.seen.clear();
        }
        for apqn in apqns {
            if !self.seen.contains(apqn) {
                self.see(*apqn, Observed::refresh);
                self.seen.insert(*apqn);
            }
        }
    }

    /// Settles what an earlier run left half done.
    ///
    /// # Errors
    /// Those of the journal.
    pub fn settle(&mut self, wish: &dyn Fn(&Seen) -> Wish) -> Result<()> {
        self.worked.fetch_or(!self.journal.is_empty(), Ordering::Relaxed);
        let settled = self.journal.settle(&mut self.queues, wish, self.manner)?;
        self.warnings.extend(settled.warnings);
        self.warnings.extend(settled.stuck.iter().map(|stuck| stuck.fault.clone()));
        self.stuck = settled.stuck.into_iter().map(|stuck| (stuck.apqn, stuck)).collect();
        Ok(())
    }

    /// Takes what [`Fleet::settle`] would release for released.
    pub fn predict_settled(&mut self, wish: &dyn Fn(&Seen) -> Wish) {
        for apqn in self.journal.to_settle(&self.queues, wish) {
            self.see(apqn, |o| (o.seen.state, o.seen.mkvp) = (SeState::Unbound, MkvpState::NotRead));
        }
    }

    /// Binds queues to read their master keys and serial numbers: one of a card at a time, cards at once. Those
    /// that fit an entry stay bound; the others are released at once, and what was read of them is kept. Where a card
    /// refuses a queue, those that are bound only to look at them are released first, then one that is `to_spare`, and
    /// the refused one counts as not looked at yet.
    ///
    /// Gives the faults of the journal, and of queues that were bound and cannot be released.
    pub fn look_at(&mut self, apqns: &[Apqn], wanted: &[Wanted], to_spare: &BTreeSet<Apqn>) -> Vec<Fault> {
        self.worked.fetch_or(!apqns.is_empty(), Ordering::Relaxed);
        let queues: Vec<_> = apqns.iter().filter_map(|apqn| self.get(*apqn)).cloned().collect();
        let looks = ap::look_at(queues, &|seen| fit_any(wanted, seen), &self.journal, self.manner);
        let mut faults = Vec::new();
        for Look { apqn, outcome } in looks {
            match outcome {
                Looked::Fits(seen) => {
                    self.looking.insert(apqn);
                    self.stuck.remove(&apqn);
                    self.see(apqn, |o| o.see(seen));
                }
                Looked::Released(seen) => {
                    self.inspected.insert(apqn);
                    self.see(apqn, |o| o.see(seen));
                }
                Looked::Skipped(fault)
                    if fault.code == pv_guest::codes::BIND_REFUSED
                        && self.make_room(apqn.card, to_spare, &mut faults) => {}
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

    /// Makes room on a card for one more queue; false if there is nothing to release.
    fn make_room(&mut self, card: u8, to_spare: &BTreeSet<Apqn>, faults: &mut Vec<Fault>) -> bool {
        self.tight.insert(card);
        let before = self.looking.len();
        faults.extend(self.give_back(|apqn| apqn.card != card));
        if self.looking.len() < before {
            return true;
        }
        let is_held = |apqn: &&Apqn| self.get(**apqn).is_some_and(|observed| observed.seen.state.is_held());
        let Some(spare) = to_spare.iter().filter(|apqn| apqn.card == card).find(is_held).copied() else { return false };
        let released = self.release(&[spare]).into_iter().find_map(Result::err);
        self.see(spare, Observed::refresh);
        faults.extend(released.clone());
        released.is_none()
    }

    /// Releases the queues that were bound to look at them and are not `chosen`. Gives the faults of the releases and
    /// of the journal.
    pub fn give_back(&mut self, chosen: impl Fn(Apqn) -> bool) -> Vec<Fault> {
        let others: Vec<Apqn> = self.looking.iter().copied().filter(|apqn| !chosen(*apqn)).collect();
        self.looking.retain(|apqn| chosen(*apqn));
        let answers = self.release(&others);
        let (freed, stuck): (Vec<_>, Vec<_>) = others.into_iter().zip(answers).partition(|(_, answer)| answer.is_ok());
        for (apqn, _) in &freed {
            self.inspected.insert(*apqn);
            // What was read of it stays known.
            self.see(*apqn, |o| o.seen.state = SeState::Unbound);
        }
        for (apqn, _) in &stuck {
            self.see(*apqn, |o| o.seen.state = SeState::Failing);
        }
        let journal = self.journal.finish_all(freed.into_iter().map(|(apqn, _)| Note::Bind(apqn)));
        stuck.into_iter().filter_map(|(_, answer)| answer.err()).chain(journal.err()).collect()
    }

    /// Makes queues serve entries, all at once. Of each card they are begun in the order of the jobs: if it takes only
    /// so many, the first ones have its places, whatever takes how long. One answer for each job, in their order.
    pub fn serve(&mut self, jobs: &[Job]) -> Vec<Result<()>> {
        // A place that was taken to look may be wanted for an earlier entry.
        let tight = self.tight.clone();
        let stuck = self.give_back(|apqn| !tight.contains(&apqn.card));
        self.warnings.extend(stuck);
        let new: BTreeSet<Apqn> = jobs
            .iter()
            .filter(|job| job.secret.is_some() && !self.journal.has(Note::Bind(job.apqn)))
            .map(|job| job.apqn)
            .collect();
        if let Err(fault) = self.journal.begin_all(new.iter().copied().map(Note::Bind)) {
            return jobs.iter().map(|_| Err(fault.clone())).collect();
        }
        let mut answers = self.clear(jobs);
        // What is in use was not written to, and the next run must not release it either.
        let in_use =
            |answer: &Result<()>| answer.as_ref().is_err_and(|fault| fault.code == pv_guest::codes::QUEUE_BUSY);
        let busy = jobs.iter().zip(&answers).filter(|(job, answer)| in_use(answer) && new.contains(&job.apqn));
        let forgotten = self.journal.finish_all(busy.map(|(job, _)| Note::Bind(job.apqn)));
        self.warnings.extend(forgotten.err());
        for (job, answer) in jobs.iter().zip(&mut answers).filter(|(_, answer)| answer.is_ok()) {
            if let Some(from) = job.from {
                *answer = self.begin_move(from, job.apqn);
            }
        }
        let tried: Vec<bool> = answers.iter().map(Result::is_ok).collect();
        let mut by_card: BTreeMap<u8, Vec<(&Job, &mut Result<()>)>> = BTreeMap::new();
        for (job, answer) in jobs.iter().zip(&mut answers).filter(|(_, answer)| answer.is_ok()) {
            by_card.entry(job.apqn.card).or_default().push((job, answer));
        }
        self.worked.store(true, Ordering::Relaxed);
        let this = &*self;
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
                                let complete = move || *answer = this.complete(job, observed, binding, loose_ones);
                                // With nothing left to begin, this thread does it as well as another.
                                if card.peek().is_none() {
                                    complete();
                                } else {
                                    scope.spawn(complete);
                                }
                            }
                            Err(fault) => *answer = Err(this.abandon(observed, fault, loose_ones)),
                        }
                    }
                });
            }
        });
        for (job, tried) in jobs.iter().zip(tried) {
            // One that was left alone is given back like any other that was only looked at.
            if tried {
                self.looking.remove(&job.apqn);
                self.stuck.remove(&job.apqn);
            }
        }
        self.look_again(&jobs.iter().map(|job| job.apqn).collect::<Vec<_>>());
        let loose = loose.0.into_inner().unwrap_or_else(PoisonError::into_inner);
        // A queue that is neither serving nor free stays in the journal for the next run.
        let is_done = |job: &&Job| {
            let seen = self.get(job.apqn).map(|observed| &observed.seen);
            seen.is_none_or(|seen| match seen.state {
                SeState::Associated(_) => seen.usable,
                SeState::Unbound => !loose.contains_key(&job.apqn),
                _ => false,
            })
        };
        let done: BTreeSet<Apqn> = jobs.iter().filter(is_done).map(|job| job.apqn).collect();
        let finished = self.journal.finish_queues(&done);
        self.warnings.extend(loose.into_values());
        match finished {
            Ok(()) => answers,
            Err(fault) => answers.into_iter().map(|answer| answer.and(Err(fault.clone()))).collect(),
        }
    }

    /// Releases the queues that are held for something else than they are to serve. One answer for each job.
    fn clear(&self, jobs: &[Job]) -> Vec<Result<()>> {
        let is_associated =
            |state| matches!(state, SeState::Associated(_) | SeState::AssociatedUnknown | SeState::Pending);
        let is_held = |job: &&Job| self.get(job.apqn).is_some_and(|observed| is_associated(observed.seen.state));
        let held: Vec<Apqn> =
            jobs.iter().filter(|job| job.secret.is_some()).filter(is_held).map(|job| job.apqn).collect();
        let cleared = self.in_parallel(&held, |apqn| *apqn, |_, observed| steps::release(&observed.queue, self.manner));
        let mut cleared: BTreeMap<Apqn, Result<()>> = held.into_iter().zip(cleared).collect();
        jobs.iter().map(|job| cleared.remove(&job.apqn).unwrap_or(Ok(()))).collect()
    }

    /// Undoes a bind that failed, and gives the fault that it failed with.
    fn abandon(&self, observed: &Observed, fault: Fault, loose: &Loose) -> Fault {
        if let Err(stuck) = steps::abandon(&observed.queue, self.manner) {
            loose.0.lock().unwrap_or_else(PoisonError::into_inner).insert(observed.seen.apqn, stuck);
        }
        fault
    }

    fn complete(&self, job: &Job, observed: &Observed, binding: Binding<'_>, loose: &Loose) -> Result<()> {
        binding.end().map_err(|fault| self.abandon(observed, fault, loose))?;
        let (queue, Some(secret)) = (&observed.queue, job.secret) else { return Ok(()) };
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
        Err(Fault::new(
            codes::MKVP_MISMATCH,
            format!(
                "The queue {} was released again: now that it is bound, its master key or serial number is not the wanted one.",
                job.apqn
            ),
        ))
    }

    /// Does something with the queue of each job, all at once. One answer for each, in their order.
    pub(super) fn in_parallel<J: Sync>(
        &self,
        jobs: &[J],
        apqn: impl Fn(&J) -> Apqn + Sync,
        work: impl Fn(&J, &Observed) -> Result<()> + Sync,
    ) -> Vec<Result<()>> {
        self.worked.fetch_or(!jobs.is_empty(), Ordering::Relaxed);
        let one = |job: &J| {
            self.get(apqn(job)).map_or_else(|| Err(steps::vanished(apqn(job))), |observed| work(job, observed))
        };
        let one = &one;
        thread::scope(|scope| {
            let threads: Vec<_> = jobs.iter().map(|job| scope.spawn(move || one(job))).collect();
            let joined = threads.into_iter().zip(jobs);
            joined.map(|(thread, job)| thread.join().unwrap_or_else(|_| Err(steps::vanished(apqn(job))))).collect()
        })
    }

    /// Marks a queue as of no use in this run.
    pub fn give_up(&mut self, apqn: Apqn) {
        self.see(apqn, |o| o.seen.state = SeState::Failing);
    }
}

/// Queues whose bind failed and may still come about, with why that could not be undone.
#[derive(Default)]
struct Loose(Mutex<BTreeMap<Apqn, Fault>>);

/// One queue that is to serve one entry.
#[derive(Clone)]
pub struct Job {
    /// Position of the entry.
    pub entry: usize,
    /// The entry.
    pub wanted: Wanted,
    /// The queue.
    pub apqn: Apqn,
    /// The secret to associate it with, for EP11.
    pub secret: Option<Associate>,
    /// The queue that the entry leaves, if it has one already.
    pub from: Option<Apqn>,
}

/// Whether a queue has what one of several entries demands.
fn fit_any(wanted: &[Wanted], seen: &Seen) -> Fit {
    let any = |how| wanted.iter().any(|entry| fit(entry, seen) == how);
    [Fit::Yes, Fit::Unknown].into_iter().find(|how| any(*how)).unwrap_or(Fit::No)
}
