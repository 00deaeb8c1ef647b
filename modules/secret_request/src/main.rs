//! `secret_request`: builds add-secret requests on the trusted machine, those that are not there or not as wanted.

mod absent;
mod apply;
mod builders;
mod hosts;
mod material;
mod plan;
mod present;
mod progress;
mod report;
mod task;
mod wanted;

use ansible_contract::{Context, Failure, Module, Outcome};
use fault::Code;
use options::{Options, Requests};
use report::Report;
use secret_request::{codes, cuid, manifest, options, private_file, seal, state_key};
use task::Task;

struct SecretRequest;

impl Module for SecretRequest {
    const NAME: &'static str = "secret_request";
    const CODES: &'static [&'static [Code]] = &[codes::ALL, pv_request::codes::ALL, pv_wire::codes::ALL];
    type Options = Options;
    type Report = Report;

    fn run(options: Options, context: &Context) -> Result<Outcome<Report>, Failure<Report>> {
        let requests = Requests::new(options)?;
        task::refuse_duplicates(&requests)?;

        let mut task = Task::new(context)?;
        task.requests(requests);
        task.finish()
    }
}

fn main() -> std::process::ExitCode {
    // No core dump and no other process of the user may show the secrets in memory. Where the kernel refuses, the
    // module works all the same.
    let _ = nix::sys::prctl::set_dumpable(false);
    ansible_contract::run::<SecretRequest>()
}
