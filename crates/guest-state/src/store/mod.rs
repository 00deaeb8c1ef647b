//! The secret store: which secrets it must hold, and which requests are handed to the ultravisor for that.

mod apply;
mod plan;
mod record;
mod report;
mod request;
mod requirement;
#[cfg(test)]
pub(crate) mod samples;
mod verify;

pub use apply::{Answer, Apply, predict};
pub use plan::{Plan, Planned, Step, codes, is_unknown, plan};
pub use record::{Fate, Record};
pub use report::{Added, Evidence, Report};
pub use request::{Given, Loaded, Request, Wanted, load};
pub use requirement::Requirement;
pub use verify::verify;

/// What a failure over the store carries for playbooks to test, with its meaning for the docs.
pub const FAILURE_FACTS: &[(&str, &str)] = &[
    ("reboot_required", "True if the store is locked and a secret is missing: only a reboot of the guest helps."),
    (
        "host_key_match",
        "With codes C(uv.request_not_for_this_guest) and C(attest.no_host_key_slot): whether the request has a slot for this host's key; null if the kernel does not show the host's keys.",
    ),
];
