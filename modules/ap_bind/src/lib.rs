//! `ap_bind`: binds crypto queues to this guest and associates them with its association secrets.

mod apply;
mod choose;
pub mod codes;
pub mod entries;
mod fleet;
mod matching;
mod moves;
mod observe;
pub mod options;
mod places;
mod plan;
#[cfg(test)]
mod random;
mod release;
mod report;
mod serve;
mod task;

use ansible_contract::{Context, Failure, Module, Outcome, warning};
use apply::Run;
use fault::{Code, Fault};
use fleet::Fleet;
use options::{Options, Report};
use pv_guest::ap::{self, Journal};
use pv_guest::boot_record::BootRecord;
use task::{Aim, Task};

/// The module.
#[derive(Debug)]
pub struct ApBind;

impl Module for ApBind {
    const NAME: &'static str = "ap_bind";
    const CODES: &'static [&'static [Code]] = &[codes::ALL, pv_guest::codes::ALL];
    type Options = Options;
    type Report = Report;

    fn run(options: Options, context: &Context) -> Result<Outcome<Report>, Failure<Report>> {
        let task = Task::from_options(options, context)?;
        if task.aim == Aim::Nothing && task.unknown.is_none() {
            return Ok(nothing_wanted());
        }

        let bus = observe::bus(task.manner.timeout)?;
        if let Some(fault) = &task.unknown {
            return Ok(wanted_later(fault));
        }
        let boot = BootRecord::of_this_boot()?;
        let _alone = if context.check_mode { None } else { Some(ap::alone(&boot)?) };
        let journal = if context.check_mode { Journal::only_read(&boot)? } else { Journal::open(&boot)? };
        let fleet = Fleet::observe(&bus, journal, task.manner)?;
        let secrets = observe::secrets(task.needs_secrets())?;

        let run = Run::new(task, fleet, secrets);
        if context.check_mode { run.predict() } else { run.apply() }
    }
}

fn nothing_wanted() -> Outcome<Report> {
    let fault = Fault::new(codes::NO_ENTRIES, "The list of entries is empty, so nothing was done.");
    Outcome {
        changed: false,
        msg: fault.detail.clone(),
        warnings: vec![warning(&fault)],
        diff: Vec::new(),
        predicted_partial: false,
        report: Report::default(),
    }
}

/// Check mode's answer where the entries are in a file that does not exist yet.
fn wanted_later(missing: &Fault) -> Outcome<Report> {
    Outcome {
        changed: true,
        msg: "What would change cannot be told yet.".into(),
        warnings: vec![warning(missing)],
        diff: Vec::new(),
        predicted_partial: true,
        report: Report::default(),
    }
}
