//! What was bound and is not finished yet, so that a run which is killed leaves no queue half done for good.

use fault::Result;
use pv_guest::ap::{Apqn, SeState};
use pv_guest::boot_record::{BootRecord, Topic};
use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

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

    /// Queues that were left, of those that exist.
    pub fn left(&self) -> Vec<Apqn> {
        self.names().iter().filter_map(|name| name.parse().ok()).collect()
    }

    /// Notes that a queue is about to be bound. Must come before the write.
    ///
    /// # Errors
    /// `file.record_unusable`.
    pub fn begin(&self, apqn: Apqn) -> Result<()> {
        self.change(|open| open.insert(apqn.to_string()))
    }

    /// Notes that a queue is as it was meant to be, or released again.
    ///
    /// # Errors
    /// `file.record_unusable`.
    pub fn finish(&self, apqn: Apqn) -> Result<()> {
        self.change(|open| open.remove(&apqn.to_string()))
    }

    fn change(&self, how: impl FnOnce(&mut BTreeSet<String>) -> bool) -> Result<()> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if how(&mut open) { self.boot.save(Topic::QueueJournal, &*open) } else { Ok(()) }
    }

    fn names(&self) -> BTreeSet<String> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Whether a queue in the journal is left half done: held, and serving nobody; where it fails (an association did
/// not succeed, a card is dead) it is held as far as is known. Only EP11 queues are written into the journal: a bound
/// accelerator is finished.
pub fn is_half_done(state: SeState) -> bool {
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
