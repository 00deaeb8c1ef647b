//! `secret_request`: builds add-secret requests on the trusted machine, those that are not there or not as wanted.

mod absent;
mod apply;
pub mod codes;
mod history;
pub mod manifest;
mod material;
pub mod options;
mod plan;
mod present;
mod progress;
mod report;
#[cfg(test)]
mod schedules;
pub mod seal;
mod task;
mod wanted;

use ansible_contract::{Context, Failure, Module, Outcome};
use fault::Code;
use history::History;
use options::{Options, Requests};
use report::Report;
use task::Task;

/// The module.
#[derive(Debug)]
pub struct SecretRequest;

impl Module for SecretRequest {
    const NAME: &'static str = "secret_request";
    const CODES: &'static [&'static [Code]] =
        &[codes::ALL, trusted::codes::ALL, pv_request::codes::ALL, pv_wire::codes::ALL];
    const HOLDS_SECRETS: bool = true;
    type Options = Options;
    type Report = Report;

    fn run(options: Options, context: &Context) -> Result<Outcome<Report>, Failure<Report>> {
        let requests = Requests::new(options)?;
        task::refuse_duplicates(&requests)?;

        let mut task = Task::new(context, History::gather(&requests))?;
        task.requests(requests);
        task.finish()
    }
}
