//! What could not be read: facts never fail because of it.

use super::report::Problem;
use fault::{Code, Fault, file};
use std::io;
use std::path::Path;

pub mod codes {
    //! Codes of this room's own.
    fault::codes! {
        INSPECT_SKIPPED = "ap.inspect_skipped", "Check mode binds no queue, so bind_to_inspect was ignored.";
    }
}

/// Problems met so far.
#[derive(Debug, Default)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// Notes a fault.
    pub fn note(&mut self, fault: Fault) {
        let hint = fault.known_hint().map(str::to_owned);
        let problem = Problem { code: fault.code.name.into(), detail: fault.detail, hint };
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
        io::ErrorKind::PermissionDenied => fault.hint("Run the task as root (become: true) to read it."),
        _ => fault.hint("Look for the cause in the kernel's log (dmesg); an old kernel may not have it."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_has_a_hint_that_helps_or_none_and_never_an_empty_one() {
        let mut problems = Problems::default();
        problems.note(Fault::new(file::UNREADABLE, "Nobody knows."));
        for error in [io::Error::from_raw_os_error(13), io::Error::from_raw_os_error(5)] {
            problems.take::<()>(Path::new("/x"), Err(error));
        }
        let hints: Vec<_> = problems.into_list().into_iter().map(|problem| problem.hint).collect();
        assert_eq!(hints[0], None);
        assert!(hints[1].as_deref().is_some_and(|hint| hint.contains("become")), "{hints:?}");
        assert!(hints[2].as_deref().is_some_and(|hint| hint.contains("dmesg")), "{hints:?}");
    }

    #[test]
    fn one_cause_is_told_once_and_what_was_read_is_passed_on() {
        let mut problems = Problems::default();
        let fault = |detail: &str| Fault::new(file::UNREADABLE, detail);
        problems.note(fault("One."));
        problems.note(fault("One."));
        problems.note(fault("Another."));
        problems.note(Fault::new(file::MISSING, "One."));
        assert_eq!(problems.ok(Ok(7)), Some(7));
        assert_eq!(problems.ok::<u8>(Err(fault("A third."))), None);
        let details: Vec<_> = problems.into_list().into_iter().map(|problem| problem.detail).collect();
        assert_eq!(details, ["One.", "Another.", "One.", "A third."]);
    }
}
