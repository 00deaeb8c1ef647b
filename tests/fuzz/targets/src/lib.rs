//! One function for each kind of input that the project reads and others write. Each takes any bytes: it must end
//! soon, must not panic, and what it asserts must hold.
//!
//! The fuzzer calls them (`cargo xtask fuzz`), and an ordinary test does with the corpus that the fuzzer left.
//! Certificates in `keys/` and private keys in the corpus were made for this and open nothing.

#![allow(clippy::panic, reason = "a broken promise must end a target with a panic: that is how it is seen")]

mod arguments;
mod attestation;
mod files;
mod guest;
mod requests;

/// A target: its name, which is also its corpus's folder, and its function.
pub type Target = (&'static str, fn(&[u8]));

/// All targets.
pub const TARGETS: &[Target] = &[
    ("request", requests::request),
    ("signature", requests::signature),
    ("attestation_request", attestation::attestation_request),
    ("exchange_file", attestation::exchange_file),
    ("claims", attestation::claims),
    ("known_hosts", attestation::known_hosts),
    ("verdict", attestation::verdict),
    ("firmware_answer", attestation::firmware_answer),
    ("image", files::image),
    ("certificates", files::certificates),
    ("revocation_lists", files::revocation_lists),
    ("proxy_answer", files::proxy_answer),
    ("id_file", files::id_file),
    ("cuid_file", files::cuid_file),
    ("secret", files::secret),
    ("signing_key", files::signing_key),
    ("manifest", files::manifest),
    ("queue_config", files::queue_config),
    ("secret_list", guest::secret_list),
    ("attributes", guest::attributes),
    ("arguments", arguments::arguments),
];

/// The function of a target.
pub fn target(name: &str) -> Option<fn(&[u8])> {
    TARGETS.iter().find(|(known, _)| *known == name).map(|(_, function)| *function)
}

/// The first byte, to choose by, and the rest.
fn choice(data: &[u8]) -> (u8, &[u8]) {
    data.split_first().map_or((0, data), |(first, rest)| (*first, rest))
}
