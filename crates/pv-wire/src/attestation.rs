//! Formats of attestation: the request that an ultravisor answers ([`AttestationRequest`], [`layout`]), what it may be
//! asked for ([`Item`], [`Items`]), what it answers with ([`AdditionalData`]), the files in which both travel
//! ([`ExchangeRequest`], [`ExchangeResponse`]), and what a guest says about itself in its user data ([`Claims`]).
//!
//! Bytes only, no encryption. Source of the facts: s390-tools 2.43 (`rust/pv/src/uvattest`, `rust/pvattest/src/exchange.rs`).

mod additional;
mod claims;
pub mod codes;
mod exchange;
mod items;
pub mod layout;
mod request;

pub use additional::AdditionalData;
pub use claims::{Claims, SshHostKey};
pub use exchange::{ExchangeRequest, ExchangeResponse};
pub use items::{Item, Items};
pub use request::AttestationRequest;

use fault::Fault;

/// That what was read is no request, response or file of attestation.
fn malformed(what: impl Into<String>) -> Fault {
    Fault::new(codes::MALFORMED, what).hint("Copy it again from where it was made, or ask and answer again.")
}
