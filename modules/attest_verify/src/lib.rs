//! `attest_verify`: judges what guests answered to attestation requests, on the trusted machine.

mod bytes;
pub mod codes;
mod earlier;
mod files;
mod firmware;
mod judged;
mod known_by;
mod material;
pub mod options;
mod other_pins;
mod pin;
mod published;
mod report;
mod secrets;
mod task;
mod user_data;
mod wanted;

use ansible_contract::{Context, Failure, Module, Outcome};
use fault::Code;
use options::Options;
use report::Report;

/// The module.
#[derive(Debug)]
pub struct AttestVerify;

impl Module for AttestVerify {
    const NAME: &'static str = "attest_verify";
    const CODES: &'static [&'static [Code]] = &[
        codes::ALL,
        pv_request::attest::codes::ALL,
        pv_wire::attestation::codes::ALL,
        trusted::codes::ALL,
        pv_request::codes::ALL,
        pv_wire::codes::ALL,
    ];
    const HOLDS_SECRETS: bool = true;
    type Options = Options;
    type Report = Report;

    fn run(options: Options, context: &Context) -> Result<Outcome<Report>, Failure<Report>> {
        task::run(options, context)
    }
}
