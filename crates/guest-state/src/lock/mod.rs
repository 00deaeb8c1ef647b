//! The lock of the secret store: what must be in it before it is set, for it cannot be taken back before the next boot.

mod apply;
mod plan;

pub use apply::{Answer, Report, apply, observe, predict, unknown, unmet};
pub use plan::{Guard, Plan, codes, plan};

/// What a failure over the lock carries for playbooks to test, with its meaning for the docs.
pub const FAILURE_FACTS: &[(&str, &str)] =
    &[("reboot_required", "True if the store is locked and lacks required secrets: only a reboot of the guest helps.")];
