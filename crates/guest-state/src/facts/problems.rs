//! What could not be read: facts never fail because of it.

use super::report::Problem;
use fault::{Code, Fault, file};
use std::io;
use std::path::Path;

pub mod codes {
    //! Codes of this room's own.
    fault::codes! {
        CARD_TIMEOUT = "ap.card_timeout", "A card's attributes were not read in time.";
        INSPECT_SKIPPED = "ap.inspect_skipped", "Check mode binds no queue, so bind_to_inspect was ignored.";
    }
}

/// Problems met so far.
#[derive(Debug, Default)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// Notes a fault.
    pub fn note(&mut self, fault: Fault) {
        let problem = Problem { code: fault.code.name.into(), detail: fault.detail, hint: fault.hint };
        // One cause shows at many files; told once it is enough.
        if !self.0.iter().any(|known| known.code == problem.code && known.detail == problem.detail) {
            self.0.push(problem);
        }
    }

    /// The value, or nothing and a problem.
    pub fn take<T>(&mut self, path: &Path, outcome: io::Result<T>) -> Option<T> {
        outcome.map_err(|e| self.note(unreadable(file::UNREADABLE, path, &e))).ok()
    }

    /// The value, or nothing and a problem.
    pub fn ok<T>(&mut self, outcome: fault::Result<T>) -> Option<T> {
        outcome.map_err(|fault| self.note(fault)).ok()
    }

    /// All of them.
    pub fn into_list(self) -> Vec<Problem> {
        self.0
    }
}

fn unreadable(code: Code, path: &Path, error: &io::Error) -> Fault {
    let fault = Fault::new(code, format!("{} cannot be read: {error}.", path.display()));
    match error.kind() {
        io::ErrorKind::PermissionDenied => fault.hint("Run the task as root (become: true) to see it."),
        _ => fault,
    }
}
