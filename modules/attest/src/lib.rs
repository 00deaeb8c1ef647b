//! `attest`: lets the ultravisor measure the guest, for whoever made the request.

pub mod options;

use ansible_contract::{Context, Failure, Module, Outcome};
use fault::Code;
use guest_state::evidence::{self, Report};
use options::Options;
use pv_guest::boot_record::BootRecord;
use pv_guest::uv::{self, Device};
use std::time::Duration;

/// For how long another task that works on the store is waited for.
const PATIENCE: Duration = Duration::from_secs(30);

/// The module.
#[derive(Debug)]
pub struct Attest;

impl Module for Attest {
    const NAME: &'static str = "attest";
    const CODES: &'static [&'static [Code]] =
        &[evidence::codes::ALL, pv_wire::attestation::codes::ALL, uv::attest::codes::ALL, pv_guest::codes::ALL];
    const FAILURE_FACTS: &'static [(&'static str, &'static str)] = evidence::FAILURE_FACTS;
    type Options = Options;
    type Report = Report;

    fn run(options: Options, context: &Context) -> Result<Outcome<Report>, Failure<Report>> {
        let asked = evidence::load("The task", options.into(), context.check_mode)?;

        let device = Device::open()?;
        let boot = BootRecord::of_this_boot()?;
        let seen = evidence::observe();

        if context.check_mode && !asked.in_check_mode {
            evidence::predict(&asked, &seen)
        } else {
            // Held to the end: what is said of the requests that were added is what is measured.
            let _alone = boot.alone_on_store(PATIENCE)?;
            evidence::answer(&asked, &seen, &device, &boot, context.check_mode)
        }
    }
}
