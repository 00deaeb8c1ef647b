//! What a task with many entries tells beside the result of each.

use crate::{Warnings, codes};
use ansible_contract::{Context, Diff, Failure, Outcome, codes as args, warning};
use fault::{Fault, Result};
use std::collections::HashMap;
use std::path::PathBuf;

/// What was found so far.
#[derive(Debug, Default)]
pub struct Told {
    warnings: Warnings,
    diff: Vec<Diff>,
    with_diff: bool,
    /// Why the first that failed did, and who that was.
    fault: Option<(String, Fault)>,
    failed: usize,
    entries: usize,
    partial: bool,
}

impl Told {
    /// Before the first entry.
    pub fn new(context: &Context) -> Self {
        Self { with_diff: context.diff, ..Self::default() }
    }

    /// Takes up what is told of one entry.
    pub fn entry(&mut self, label: &str, warnings: &[Fault], diff: Vec<Diff>) {
        self.entries += 1;
        self.warnings.take(label, warnings);
        self.diff(diff);
    }

    /// Takes up what was changed.
    pub fn diff(&mut self, diff: Vec<Diff>) {
        if self.with_diff {
            self.diff.extend(diff);
        }
    }

    /// Notes that an entry failed.
    pub fn failed(&mut self, label: &str, fault: &Fault) {
        self.failed += 1;
        self.fault.get_or_insert_with(|| (label.to_owned(), fault.clone()));
    }

    /// Notes that what an earlier task may still make is missing, in check mode.
    pub fn partial(&mut self) {
        self.partial = true;
    }

    /// The result: a failure if any entry failed. `list` names the option that lists the entries.
    ///
    /// # Errors
    /// Why the first that failed did.
    pub fn outcome<R>(
        self,
        list: &str,
        changed: bool,
        msg: String,
        report: R,
    ) -> std::result::Result<Outcome<R>, Failure<R>> {
        let mut warnings = self.warnings.told(self.entries);
        if self.entries == 0 {
            let nothing =
                Fault::new(args::MISSING, format!("The option {list} is an empty list: there is nothing to do."));
            warnings.push(warning(&nothing.hint("Check the variable that the list comes from.")));
        }
        let outcome = Outcome { changed, msg, warnings, diff: self.diff, predicted_partial: self.partial, report };
        let Some((label, mut fault)) = self.fault else { return Ok(outcome) };
        if self.entries > 1 {
            fault.detail = format!("{} of {} {list} failed; {label}: {}", self.failed, self.entries, fault.detail);
        }
        Err(Failure::over(fault, outcome))
    }
}

/// No two entries may write one file: the second would replace the first in every run. Each path comes with the number of its
/// entry; `list` names the option that lists the entries.
///
/// # Errors
/// `args.duplicate_path`.
pub fn refuse_same_files(files: impl Iterator<Item = (usize, PathBuf)>, list: &str) -> Result<()> {
    let mut seen = HashMap::new();
    for (at, path) in files {
        let first = seen.insert(durable::identity(&path), at);
        if let Some(first) = first.filter(|first| *first != at) {
            let detail = format!("{list}[{first}] and {list}[{at}] would both write {}.", path.display());
            return Err(Fault::new(codes::DUPLICATE_PATH, detail).hint("Give each of them a file of its own."));
        }
    }
    Ok(())
}
