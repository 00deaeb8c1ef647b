//! The report of a task as a file: for those who were not there. Its schema is `docs/attestation-report.schema.json`.

use crate::report::Entry;
use ansible_contract::codes as args;
use fault::{Fault, Result};
use pv_request::attest::Status;
use pv_wire::iso8601;
use serde::Serialize;

/// Its last part is changed whenever its readers would have to be.
pub const SCHEMA: &str = "seguest.pv/attestation-report/1";

#[derive(Serialize)]
struct Published<'a> {
    schema: &'static str,
    /// When the verdicts were made, UTC.
    generated_at: String,
    affirming: usize,
    contraindicated: usize,
    none: usize,
    responses: &'a [Entry],
}

/// Its text, whatever the verdicts are.
///
/// # Errors
/// None that is known: what is in it is text that JSON can hold.
pub fn text(responses: &[Entry], now: i64) -> Result<String> {
    let count = |status: Status| responses.iter().filter(|entry| entry.verdict == status.as_str()).count();
    let published = Published {
        schema: SCHEMA,
        generated_at: iso8601(now),
        affirming: count(Status::Affirming),
        contraindicated: count(Status::Contraindicated),
        none: count(Status::None),
        responses,
    };
    serde_json::to_string_pretty(&published).map(|text| text + "\n").map_err(|e| {
        Fault::new(args::BUG, format!("The report could not be written as JSON: {e}."))
            .hint("Please report it with the task's options.")
    })
}
