//! The key of an attestation request, and what it protects.

use super::codes;
use crate::crypto::{self, Key};
use fault::{Fault, Result};
use pv_wire::attestation::{AttestationRequest, layout};
use std::fmt;
use zeroize::Zeroizing;

/// The AES-256 key that protects an attestation request: `pvattest` calls it ARPK. Who holds it can make any answer to
/// that request.
#[derive(Clone)]
pub struct ProtectionKey(pub(crate) Key);

impl ProtectionKey {
    /// The key from the bytes of its file; `name` is what messages call the file.
    ///
    /// # Errors
    /// [`codes::KEY_FILE`] unless it is 32 bytes long.
    pub fn new(bytes: &[u8], name: &str) -> Result<Self> {
        bytes.try_into().map(|key| Self(Zeroizing::new(key))).map_err(|_| {
            let detail = format!("{name} holds {} bytes; the key of an attestation request has 32.", bytes.len());
            Fault::new(codes::KEY_FILE, detail).hint("Name the file that attest_request wrote beside the request.")
        })
    }

    /// The 32 bytes, for the file in which they are kept.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_slice()
    }
}

/// Never the key.
impl fmt::Debug for ProtectionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProtectionKey").finish_non_exhaustive()
    }
}

/// What only the asker and the ultravisor know: the key of the measurement, and the nonce if there is one.
pub struct Opened {
    pub(super) measurement_key: Zeroizing<[u8; layout::MEASUREMENT_KEY_LEN]>,
    pub(super) nonce: Option<Zeroizing<[u8; layout::NONCE_LEN]>>,
}

impl Opened {
    /// Decrypts the end of a request and checks its tag.
    ///
    /// # Errors
    /// [`codes::KEY_MISMATCH`].
    pub fn open(request: &AttestationRequest<'_>, key: &ProtectionKey) -> Result<Self> {
        let refused = || {
            Fault::new(codes::KEY_MISMATCH, "The key does not open the attestation request.")
                .hint("Name the request and the key that attest_request wrote together.")
        };
        let plain = crypto::open(&key.0, request.iv(), request.authenticated(), request.sealed(), request.tag())
            .ok_or_else(refused)?;
        // The request's reader has seen that these are the lengths.
        let (first, rest) = plain.split_at_checked(layout::MEASUREMENT_KEY_LEN).ok_or_else(refused)?;
        Ok(Self {
            measurement_key: first.try_into().map(Zeroizing::new).map_err(|_| refused())?,
            nonce: rest.try_into().ok().map(Zeroizing::new),
        })
    }
}

/// Never what is in it.
impl fmt::Debug for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opened").finish_non_exhaustive()
    }
}
