//! `ap_bind`: binds crypto queues to this guest and associates them with its association secrets.

pub mod options;

use ansible_contract::{Context, Failure, Module, Outcome, warning};
use fault::{Code, Fault};
use guest_state::queues::{self, Fleet, Report, Situation, codes};
use options::{Asked, Options};
use pv_guest::ap::{self, Journal};
use pv_guest::boot_record::BootRecord;

/// The module.
#[derive(Debug)]
pub struct ApBind;

impl Module for ApBind {
    const NAME: &'static str = "ap_bind";
    const CODES: &'static [&'static [Code]] = &[codes::ALL, pv_guest::codes::ALL];
    type Options = Options;
    type Report = Report;

    fn run(options: Options, context: &Context) -> Result<Outcome<Report>, Failure<Report>> {
        let desired = match options::asked(options, context.check_mode)? {
            Asked::For(desired) => desired,
            Asked::Nothing => return Ok(nothing_wanted()),
            Asked::Later(fault, timeout) => {
                return queues::bus(timeout).map(|_| wanted_later(&fault)).map_err(Failure::from);
            }
        };

        let bus = queues::bus(desired.manner.timeout)?;
        let boot = BootRecord::of_this_boot()?;
        let _alone = if context.check_mode { None } else { Some(ap::alone(&boot)?) };
        let journal = if context.check_mode { Journal::only_read(&boot)? } else { Journal::open(&boot)? };
        let fleet = Fleet::observe(&bus, journal, desired.manner)?;
        let secrets = queues::secrets(desired.needs_secrets())?;

        let situation = Situation::new(desired, fleet, secrets);
        if context.check_mode { queues::predict(situation, true) } else { queues::apply(situation) }
    }
}

fn nothing_wanted() -> Outcome<Report> {
    let fault = Fault::new(codes::NO_ENTRIES, "The list of entries is empty, so nothing was done.")
        .hint("Check the variable or file that it comes from.");
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
        msg: "The changes cannot be predicted yet.".into(),
        warnings: vec![warning(missing)],
        diff: Vec::new(),
        predicted_partial: true,
        report: Report::default(),
    }
}
