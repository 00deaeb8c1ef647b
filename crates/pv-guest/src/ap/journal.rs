//! What was bound and is not finished yet, so that a run which is killed leaves no queue half done for good.

use super::attributes::{Apqn, SeState};
use super::seen::Observed;
use super::steps::{self, Manner};
use super::tool_lock::ToolLock;
use crate::boot_record::{BootRecord, Topic};
use crate::codes;
use fault::{Fault, Result};
use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

/// Keeps other runs of ours and pvapconfig off the queues until dropped.
///
/// # Errors
/// `ap.not_permitted`, `ap.in_use_by_another`, `file.record_unusable`.
pub fn alone(boot: &BootRecord) -> Result<impl Sized + use<>> {
    let user = nix::unistd::geteuid();
    if !user.is_root() {
        return Err(Fault::new(
            codes::BIND_NOT_PERMITTED,
            format!("Only root may bind and release queues, and this task runs as the user of id {user}."),
        )
        .hint("Run the task as root (become: true)."));
    }
    let ours = boot.exclusively(Topic::QueueJournal)?.ok_or_else(|| {
        Fault::new(codes::BUSY_ELSEWHERE, "The queues are left alone because another task is at work on them.")
            .hint("Run the task again when it has ended.")
    })?;
    Ok((ToolLock::take()?, ours))
}

/// Queues that this or an earlier run bound without having finished, in this boot.
#[derive(Debug)]
pub struct Journal<'a> {
    boot: &'a BootRecord,
    open: Mutex<BTreeSet<String>>,
}

impl<'a> Journal<'a> {
    /// Reads what an earlier run left.
    ///
    /// # Errors
    /// `file.record_unusable`.
    pub fn open(boot: &'a BootRecord) -> Result<Self> {
        Ok(Self { boot, open: Mutex::new(boot.load(Topic::QueueJournal)?) })
    }

    /// A journal that nothing is read from or written to as long as nothing is bound (check mode).
    pub fn empty(boot: &'a BootRecord) -> Self {
        Self { boot, open: Mutex::default() }
    }

    /// Queues that were left.
    fn left(&self) -> Vec<Apqn> {
        self.names().iter().filter_map(|name| name.parse().ok()).collect()
    }

    /// Notes that a queue is about to be bound. Must come before the write.
    ///
    /// # Errors
    /// `file.record_unusable`.
    pub fn begin(&self, apqn: Apqn) -> Result<()> {
        self.begin_all([apqn])
    }

    /// Notes that a queue is as it was meant to be, or released again.
    ///
    /// # Errors
    /// `file.record_unusable`.
    pub fn finish(&self, apqn: Apqn) -> Result<()> {
        self.finish_all([apqn])
    }

    /// The same as [`Journal::begin`] for many, written once.
    ///
    /// # Errors
    /// `file.record_unusable`.
    pub fn begin_all(&self, apqns: impl IntoIterator<Item = Apqn>) -> Result<()> {
        self.change(|open| apqns.into_iter().filter(|apqn| open.insert(apqn.to_string())).count() > 0)
    }

    /// The same as [`Journal::finish`] for many, written once.
    ///
    /// # Errors
    /// `file.record_unusable`.
    pub fn finish_all(&self, apqns: impl IntoIterator<Item = Apqn>) -> Result<()> {
        self.change(|open| apqns.into_iter().filter(|apqn| open.remove(&apqn.to_string())).count() > 0)
    }

    /// Notes that `from` is to be released as soon as `to` serves in its place. Must come before `to` is bound.
    ///
    /// # Errors
    /// `file.record_unusable`.
    pub fn begin_move(&self, from: Apqn, to: Apqn) -> Result<()> {
        self.change(|open| open.insert(moved(from, to)))
    }

    /// Notes that a move is done or given up.
    ///
    /// # Errors
    /// `file.record_unusable`.
    pub fn finish_move(&self, from: Apqn, to: Apqn) -> Result<()> {
        self.change(|open| open.remove(&moved(from, to)))
    }

    /// Ends the moves that an earlier run left half done: where both queues serve the same, the old one is released.
    fn settle_moves(&self, queues: &mut [Observed], manner: Manner) -> Result<Vec<Fault>> {
        let mut warnings = Vec::new();
        let halves = |name: &String| {
            let (from, to) = name.split_once('>')?;
            Some((from.parse::<Apqn>().ok()?, to.parse::<Apqn>().ok()?))
        };
        for (from, to) in self.names().iter().filter_map(halves) {
            let state = |apqn| queues.iter().find(|observed| observed.seen.apqn == apqn).map(|o| o.seen.state);
            let both = state(from) == state(to) && state(to).is_some_and(serves);
            if let Some(old) = queues.iter_mut().find(|observed| both && observed.seen.apqn == from) {
                if let Err(fault) = steps::release(&old.queue, manner) {
                    warnings.push(fault);
                    continue;
                }
                warnings.push(Fault::new(
                    codes::JOURNAL_SETTLED,
                    format!("The queue {from} was released: an earlier run put {to} in its place and ended before."),
                ));
                old.refresh();
            }
            self.finish_move(from, to)?;
        }
        Ok(warnings)
    }

    /// Releases what an earlier run left half done. Whether that run only looked or was about to associate, nobody
    /// uses such a queue: it is taken again where it is wanted. One that cannot be released, because its card is
    /// dead, stays in the journal and must not keep the others from being worked on. Gives what the operator should
    /// know.
    ///
    /// # Errors
    /// `file.record_unusable`.
    pub fn settle(&self, queues: &mut [Observed], manner: Manner) -> Result<Vec<Fault>> {
        let mut warnings = self.settle_moves(queues, manner)?;
        for apqn in self.left() {
            let Some(observed) = queues.iter_mut().find(|observed| observed.seen.apqn == apqn) else {
                self.finish(apqn)?;
                continue;
            };
            let half_done = is_half_done(observed.seen.state);
            let released = match observed.seen.state {
                SeState::Unbound => steps::cancel_bind(&observed.queue),
                _ if half_done => steps::release(&observed.queue, manner),
                _ => Ok(()),
            };
            if let Err(fault) = released {
                warnings.push(fault);
                continue;
            }
            if half_done {
                warnings.push(Fault::new(
                    codes::JOURNAL_SETTLED,
                    format!("The queue {apqn} was released: an earlier run bound it and ended before it was finished."),
                ));
                observed.refresh();
            }
            self.finish(apqn)?;
        }
        Ok(warnings)
    }

    fn change(&self, how: impl FnOnce(&mut BTreeSet<String>) -> bool) -> Result<()> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if how(&mut open) { self.boot.save(Topic::QueueJournal, &*open) } else { Ok(()) }
    }

    fn names(&self) -> BTreeSet<String> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn moved(from: Apqn, to: Apqn) -> String {
    format!("{from}>{to}")
}

/// Whether a queue is what it was bound for: an accelerator that is bound, an EP11 queue that is associated.
fn serves(state: SeState) -> bool {
    matches!(state, SeState::Bound | SeState::Associated(_))
}

/// Whether a queue in the journal is left half done: held, and serving nobody; where it fails (an association did
/// not succeed, a card is dead) it is held as far as is known. Only EP11 queues are written into the journal: a bound
/// accelerator is finished.
fn is_half_done(state: SeState) -> bool {
    matches!(state, SeState::Bound | SeState::Pending | SeState::AssociatedUnknown | SeState::Failing)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_queue_that_is_held_and_serves_nobody_is_half_done() {
        let half_done = [SeState::Bound, SeState::Pending, SeState::AssociatedUnknown, SeState::Failing];
        assert!(half_done.into_iter().all(is_half_done));
        assert!(![SeState::Associated(0), SeState::Unbound, SeState::Unusable].into_iter().any(is_half_done));
    }
}
