//! The system's trusted roots.

use crate::{Source, codes};
use fault::{Fault, Result};
use std::path::Path;

/// Where distributions keep the bundle of trusted roots. The first that exists is used.
const BUNDLES: [&str; 5] = [
    // Debian, Ubuntu, Alpine, Arch
    "/etc/ssl/certs/ca-certificates.crt",
    // RHEL, Fedora
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/pki/tls/certs/ca-bundle.crt",
    // SUSE
    "/var/lib/ca-certificates/ca-bundle.pem",
    "/etc/ssl/ca-bundle.pem",
];

/// The system's bundle of trusted roots; its name says which was used.
///
/// # Errors
/// [`codes::NO_SYSTEM_TRUST`], and the `file.*` codes for one that is there and cannot be read.
pub fn system_root() -> Result<Source> {
    first(&BUNDLES)
}

fn first(bundles: &[&str]) -> Result<Source> {
    let found = bundles.iter().map(Path::new).find(|path| path.exists());
    found.map(Source::read).unwrap_or_else(|| {
        Err(Fault::new(
            codes::NO_SYSTEM_TRUST,
            format!("This system has no bundle of trusted roots; looked for {}.", bundles.join(", ")),
        )
        .hint("Install the package ca-certificates, or name the root's certificate in root_ca."))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_bundle_that_exists_is_used_and_none_is_an_error_that_names_them() {
        let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
        assert_eq!(first(&["/nonexistent", manifest]).unwrap().name, manifest);
        let fault = first(&["/nonexistent"]).unwrap_err();
        assert_eq!(fault.code, codes::NO_SYSTEM_TRUST);
        assert!(fault.detail.contains("/nonexistent"));
    }
}
