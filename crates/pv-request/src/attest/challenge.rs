//! Making an attestation request.

use super::ProtectionKey;
use crate::{
    HostKey, RequestKeys,
    crypto::refused,
    envelope::{Envelope, Form, put},
};
use fault::Result;
use openssl::rand::rand_bytes;
use pv_wire::attestation::{AttestationRequest, ExchangeRequest, Items, layout};
use std::fmt;
use zeroize::Zeroizing;

/// Everything random about one attestation request. Building uses it up.
pub struct ChallengeKeys {
    /// Customer key, protection key and IV.
    pub request: RequestKeys,
    /// The key of the measurement.
    pub measurement: Zeroizing<[u8; layout::MEASUREMENT_KEY_LEN]>,
    /// The nonce, which makes each measurement another.
    pub nonce: Zeroizing<[u8; layout::NONCE_LEN]>,
}

impl ChallengeKeys {
    /// Fresh ones from OpenSSL's random numbers.
    ///
    /// # Errors
    /// [`crate::codes::CRYPTO`].
    pub fn generate() -> Result<Self> {
        let failed = refused("make random keys");
        let mut measurement = Zeroizing::new([0; layout::MEASUREMENT_KEY_LEN]);
        let mut nonce = Zeroizing::new([0; layout::NONCE_LEN]);
        rand_bytes(measurement.as_mut_slice()).map_err(&failed)?;
        rand_bytes(nonce.as_mut_slice()).map_err(&failed)?;
        Ok(Self { request: RequestKeys::generate()?, measurement, nonce })
    }
}

/// Never what is in it.
impl fmt::Debug for ChallengeKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChallengeKeys").finish_non_exhaustive()
    }
}

/// An attestation request and its key, for one guest and one use.
#[derive(Debug)]
pub struct Challenge {
    /// The request. Anybody may see it.
    pub request: Vec<u8>,
    /// Its key, which nobody else may see.
    pub key: ProtectionKey,
}

impl Challenge {
    /// A request for a measurement with `items`, which each of `hosts` can answer. Slots come in the order of `hosts`.
    ///
    /// # Errors
    /// [`crate::codes::NO_HOST_KEY`], [`crate::codes::TOO_MANY_HOST_KEYS`] and [`crate::codes::CRYPTO`].
    pub fn build<'a>(items: Items, hosts: impl IntoIterator<Item = &'a HostKey>, keys: ChallengeKeys) -> Result<Self> {
        let key = ProtectionKey(keys.request.request.clone());
        let envelope = Envelope::new(hosts, keys.request)?;
        let mut plain = Zeroizing::new(Vec::with_capacity(layout::MEASUREMENT_KEY_LEN + layout::NONCE_LEN));
        plain.extend_from_slice(keys.measurement.as_slice());
        plain.extend_from_slice(keys.nonce.as_slice());
        let mut head = vec![0; layout::SLOTS];
        put(&mut head, 0, &layout::MAGIC);
        put(&mut head, layout::FLAGS, &(items.flags() | layout::FLAG_NONCE).to_be_bytes());
        put(&mut head, layout::ALGORITHM, &layout::ALGORITHM_HMAC_SHA512.to_be_bytes());
        let form = Form {
            head,
            version: layout::VERSION,
            customer_key_at: layout::CUSTOMER_KEY,
            behind_slots: &[],
            plain: &plain,
        };
        Ok(Self { request: envelope.close(form, |_| Ok(Vec::new()))?, key })
    }

    /// The file in which the request travels, as `pvattest create` writes it.
    ///
    /// # Errors
    /// None that is known: a built request can be read.
    pub fn exchange_file(&self) -> Result<Vec<u8>> {
        ExchangeRequest::of(&AttestationRequest::parse(&self.request)?).write()
    }
}
