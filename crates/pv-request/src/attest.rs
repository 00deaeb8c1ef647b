//! Attestation on the trusted machine: asking ([`Challenge`]), and judging what a guest answers ([`verify`]).
//!
//! An ultravisor measures the image that a guest was started from, and what else the request asks for, with a key that only
//! it and the asker know. So who holds the request's [`ProtectionKey`] can make any answer: a key is kept private, used
//! for one request to one guest, and forgotten afterwards.
//!
//! Nothing here reads a file, a clock or a network. Source of the facts: s390-tools 2.43 (`rust/pv/src/uvattest`,
//! `rust/pvattest`); layouts are in [`pv_wire::attestation`].

mod batch;
mod challenge;
pub mod codes;
mod compare;
mod ear;
mod expected;
mod explain;
mod firmware;
mod known_hosts;
mod measurement;
mod opened;
mod policy;
mod store;
mod verdict;
mod verify;
mod yaml;

pub use batch::demand_distinct_cuids;
pub use challenge::{Challenge, ChallengeKeys};
pub use ear::{Ear, EarKey};
pub use expected::{Evidence, Expected, ExpectedClaims, ExpectedRequest, ExpectedStore, Sent};
pub use explain::{Difference, Explanation, explain};
pub(crate) use firmware::unreachable as firmware_unreachable;
pub use firmware::{FirmwareAnswer, FirmwareInterface, FirmwareOpinion, FirmwareService, FirmwareState};
pub use known_hosts::{KnownAs, SshKnownHosts, ssh_host_key};
pub use measurement::Measured;
pub use opened::{Opened, ProtectionKey};
pub use store::store_hash;
pub use verdict::{Check, Proved, Status, StoreReport, Verdict};
pub use verify::verify;

/// Whether two values are the same, in a time that does not depend on where they differ.
fn same(one: &[u8], other: &[u8]) -> bool {
    // The lengths are no secret; OpenSSL's function wants them equal.
    one.len() == other.len() && openssl::memcmp::eq(one, other)
}
