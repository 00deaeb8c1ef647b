//! `guest`: a Secure Execution guest as wanted, in one task.

mod desired;
pub mod options;

use ansible_contract::{Context, Failure, Module, Outcome};
use fault::Code;
use guest_state::whole::{self, Report};
use guest_state::{boot_files, evidence, facts, lock, queues, store};
use options::Options;

/// The module.
#[derive(Debug)]
pub struct Guest;

impl Module for Guest {
    const NAME: &'static str = "guest";
    const CODES: &'static [&'static [Code]] = &[
        whole::codes::ALL,
        store::codes::ALL,
        lock::codes::ALL,
        queues::codes::ALL,
        boot_files::codes::ALL,
        facts::codes::ALL,
        evidence::codes::ALL,
        pv_wire::attestation::codes::ALL,
        pv_guest::uv::attest::codes::ALL,
        pv_wire::codes::ALL,
        pv_guest::codes::ALL,
    ];
    const FAILURE_FACTS: &'static [(&'static str, &'static str)] = whole::FAILURE_FACTS;
    type Options = Options;
    type Report = Report;

    fn run(options: Options, context: &Context) -> Result<Outcome<Report>, Failure<Report>> {
        let desired = desired::desired(options, context.check_mode)?;
        // Observed once, planned room by room, checked, and only then carried out.
        whole::run(desired, context.check_mode)
    }
}
