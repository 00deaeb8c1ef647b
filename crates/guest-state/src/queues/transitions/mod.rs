//! The queues of this guest while they are worked on. What can be done with one is a transition, in a file of its own:
//! [`look`], [`take`], [`leave`], [`release`]. Each writes its own lines into the journal before it touches a queue, and
//! takes them out when the queue is as it was meant to be. Many queues are worked on at once, each in its own thread.

pub mod leave;
pub mod look;
pub mod release;
pub mod take;

use fault::{Fault, Result};
use pv_guest::ap::steps::{self, Manner};
use pv_guest::ap::{Apqn, Bus, Journal, MkvpState, Observed, SeState, Seen, Stuck, Wish};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

/// All queues, with what is written about them.
#[derive(Debug)]
pub struct Fleet<'a> {
    /// As last observed, by APQN.
    pub queues: Vec<Observed>,
    /// What was begun and is not finished.
    pub journal: Journal<'a>,
    /// How to work on queues.
    pub manner: Manner,
    /// What the operator should know.
    pub warnings: Vec<Fault>,
    /// What an earlier run left half done and cannot be released now. It is not tried again in this run.
    pub stuck: BTreeMap<Apqn, Stuck>,
    /// What was bound only to be looked at.
    pub looks: look::Looks,
    /// Which entries are on their way to another queue.
    pub leaves: leave::Leaves,
    /// Queues that were seen since something was written to any.
    seen: BTreeSet<Apqn>,
    /// Something may have been written to a queue since `seen` was begun.
    worked: AtomicBool,
}

impl<'a> Fleet<'a> {
    /// Observes all queues.
    ///
    /// # Errors
    /// `ap.attribute_unreadable`, `ap.card_timeout`.
    pub fn observe(bus: &Bus, journal: Journal<'a>, manner: Manner) -> Result<Self> {
        Ok(Self::of(Observed::all(bus, manner.timeout)?, journal, manner))
    }

    /// These queues, just observed.
    pub fn of(queues: Vec<Observed>, journal: Journal<'a>, manner: Manner) -> Self {
        Self {
            seen: queues.iter().map(|observed| observed.seen.apqn).collect(),
            queues,
            journal,
            manner,
            warnings: Vec::new(),
            stuck: BTreeMap::new(),
            looks: look::Looks::default(),
            leaves: leave::Leaves::default(),
            worked: AtomicBool::new(false),
        }
    }

    /// The same, before anything was done, to predict with.
    pub fn copied(&self) -> Self {
        Self {
            queues: self.queues.clone(),
            journal: self.journal.copied(),
            manner: self.manner,
            warnings: self.warnings.clone(),
            stuck: self.stuck.clone(),
            looks: look::Looks::default(),
            leaves: leave::Leaves::default(),
            seen: self.seen.clone(),
            worked: AtomicBool::new(self.worked.load(Ordering::Relaxed)),
        }
    }

    /// The same after the guest's next boot, to predict with: it frees every queue that the guest has. What was read of them holds.
    pub fn after_boot(&self) -> Self {
        let mut after = self.copied();
        for observed in &mut after.queues {
            if !matches!(observed.seen.state, SeState::Unusable | SeState::Unsupported) {
                observed.seen.state = SeState::Unbound;
            }
        }
        after
    }

    /// All queues as they were last seen.
    pub fn seen(&self) -> Vec<Seen> {
        self.queues.iter().map(|observed| observed.seen.clone()).collect()
    }

    /// The queue of a name.
    pub fn get(&self, apqn: Apqn) -> Option<&Observed> {
        self.queues.iter().find(|observed| observed.seen.apqn == apqn)
    }

    /// Notes what is seen of a queue now.
    pub fn see(&mut self, apqn: Apqn, how: impl FnOnce(&mut Observed)) {
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
    pub fn look_again(&mut self, apqns: &[Apqn]) {
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
        self.work(!self.journal.is_empty());
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

    /// Marks a queue as of no use in this run.
    pub fn give_up(&mut self, apqn: Apqn) {
        self.see(apqn, |o| o.seen.state = SeState::Failing);
    }

    /// Notes that queues are about to be written to.
    fn work(&self, any: bool) {
        self.worked.fetch_or(any, Ordering::Relaxed);
    }

    /// Does something with the queue of each job, all at once. One answer for each, in their order.
    fn in_parallel<J: Sync>(
        &self,
        jobs: &[J],
        apqn: impl Fn(&J) -> Apqn + Sync,
        work: impl Fn(&J, &Observed) -> Result<()> + Sync,
    ) -> Vec<Result<()>> {
        self.work(!jobs.is_empty());
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
}
