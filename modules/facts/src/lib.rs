//! `facts`: what inventory and compliance ask of a Secure Execution guest. It leaves everything as it was.

pub mod options;

use ansible_contract::{Context, Failure, Module, Outcome, warning};
use fault::{Code, Fault};
use guest_state::facts::{self, Manner, Report, codes};
use options::Options;
use std::time::Duration;

/// The module.
#[derive(Debug)]
pub struct Facts;

impl Module for Facts {
    const NAME: &'static str = "facts";
    const CODES: &'static [&'static [Code]] = &[codes::ALL, pv_guest::codes::ALL];
    type Options = Options;
    type Report = Report;

    fn run(options: Options, context: &Context) -> Result<Outcome<Report>, Failure<Report>> {
        let parts = facts::parts(&options.gather_subset)?;
        let skipped = options.bind_to_inspect && context.check_mode;
        let manner = Manner {
            probe_lock: options.probe_lock,
            bind_to_inspect: options.bind_to_inspect && !context.check_mode,
            timeout: Duration::from_secs(options.timeout),
        };

        let report = facts::gather(&parts, manner);

        let found = &report.ansible_facts.ansible_secure_execution;
        let role = found.role.as_deref().unwrap_or("unknown");
        let msg = format!("Facts gathered, role: {role}; problems: {}.", found.problems.len());
        let not_inspected =
            Fault::new(codes::INSPECT_SKIPPED, "Check mode binds no queue, so bind_to_inspect was ignored.")
                .hint("Run the task without check mode to inspect the queues.");
        let warnings = skipped.then(|| warning(&not_inspected)).into_iter().collect();
        Ok(Outcome { changed: false, msg, warnings, diff: Vec::new(), predicted_partial: false, report })
    }
}
