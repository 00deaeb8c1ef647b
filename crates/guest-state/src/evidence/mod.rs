//! What a guest can prove of itself: it lets the ultravisor measure it, for whoever made the request. That changes nothing.
//!
//! With the measurement goes what the guest says of itself ([`Bind`]): that is as true as the software that was measured.

mod apply;
mod challenge;
mod observe;
mod own;
mod plan;
#[cfg(test)]
mod samples;
mod settle;
mod ssh;

pub use apply::{Answer, Report, answer, predict};
pub use challenge::{Asked, Bind, Bound, Challenge, Given, load};
pub use observe::{Seen, observe};
pub use plan::check;
pub use settle::settle;

pub mod codes {
    //! Codes of this room's own.
    fault::codes! {
        SSH_KEY_SKIPPED = "attest.ssh_key_skipped", "A file that should hold a public SSH host key does not, so the guest's claims are without it.";
        NO_SSH_HOST_KEYS = "attest.no_ssh_host_keys", "The guest has no public SSH host key under /etc/ssh, so its claims bind no connection.";
        RECORD_UNSETTLED = "attest.record_unsettled", "Of a request that was handed over in this boot nobody knows whether it was added, so the guest's claims are without it.";
    }
}

/// What a failure over evidence carries for playbooks to test, with its meaning for the docs.
pub const FAILURE_FACTS: &[(&str, &str)] = &[(
    "host_key_match",
    "With code C(attest.no_host_key_slot): whether the request has a slot for this host's key; null if the kernel does not show the host's keys.",
)];
