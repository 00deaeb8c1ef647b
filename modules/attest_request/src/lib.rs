//! `attest_request`: asks guests to prove what they are. Builds attestation requests on the trusted machine, and keeps the
//! keys by which their answers are verified.

pub mod codes;
pub mod options;
mod pair;
mod report;
mod task;
mod wanted;

use ansible_contract::{Context, Failure, Module, Outcome};
use fault::Code;
use options::Options;
use report::Report;

/// The module.
#[derive(Debug)]
pub struct AttestRequest;

impl Module for AttestRequest {
    const NAME: &'static str = "attest_request";
    const CODES: &'static [&'static [Code]] =
        &[codes::ALL, trusted::codes::ALL, pv_request::codes::ALL, pv_wire::attestation::codes::ALL];
    const HOLDS_SECRETS: bool = true;
    type Options = Options;
    type Report = Report;

    fn run(options: Options, context: &Context) -> Result<Outcome<Report>, Failure<Report>> {
        task::run(options, context)
    }
}
