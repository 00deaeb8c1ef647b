//! How far one request is: its entry in the results, and what the task as a whole tells of it.

use crate::report::Entry;
use ansible_contract::Diff;
use fault::Fault;

/// What has come about so far.
#[derive(Default)]
pub struct Progress {
    /// Whether no earlier task makes what it reads.
    pub inputs_complete: bool,
    /// Its entry.
    pub entry: Entry,
    /// Things the operator should know.
    pub warnings: Vec<Fault>,
    /// What was changed, or would be.
    pub diff: Vec<Diff>,
}

impl Progress {
    /// Adds a warning.
    pub fn warn(&mut self, fault: &Fault) {
        self.warnings.push(fault.clone());
    }

    /// Adds warnings.
    pub fn warn_all(&mut self, faults: &[Fault]) {
        faults.iter().for_each(|fault| self.warn(fault));
    }

    /// Notes a change.
    pub fn changed(&mut self, diff: Diff) {
        self.entry.changed = true;
        self.diff.push(diff);
    }
}
