//! Whether the user data of a request, and with them the whole request, were signed by the owner of a certificate.

use crate::{
    Source, codes,
    crypto::refused,
    host_key::only_certificate,
    user_data::{EC_LENGTH_AT, kind_of},
};
use fault::{Fault, Result};
use openssl::{
    error::ErrorStack,
    hash::MessageDigest,
    pkey::{Id, PKey, PKeyRef, Public},
    rsa::Padding,
    sign::{RsaPssSaltlen, Verifier},
};
use pv_wire::{RequestView, UserDataType, layout};

/// The longest DER encoding of an ECDSA signature on P-521, for which the user data have room.
const EC_SIGNATURE_LEN: usize = 139;

/// What is known of the signature of a request's user data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signature {
    /// There is none: no user data, or unsigned ones.
    None,
    /// There is one, and no certificate to check it by.
    Unchecked,
    /// The certificate's key made it, over all of the request but its tag.
    Valid,
    /// The certificate's key did not make it, or something was changed since.
    Invalid,
}

impl Signature {
    /// Checks the signature of a request, by a certificate if there is one.
    ///
    /// # Errors
    /// [`codes::USER_CERT_MISMATCH`], as `pvsecret verify` has it: with a certificate, user data must be of the type
    /// that its key signs. Only where there are none is it ignored.
    pub fn check(request: &RequestView<'_>, signer: Option<&Signer>) -> Result<Self> {
        match (request.user_data_type, signer) {
            (UserDataType::None, _) | (UserDataType::Unsigned, None) => Ok(Self::None),
            (_, None) => Ok(Self::Unchecked),
            (_, Some(signer)) => signer.check(request),
        }
    }
}

/// The certificate of whoever is said to have signed.
///
/// The one in a file, DER or PEM. Neither who issued it nor when it ends is looked at: it is trusted because the
/// user names it.
#[derive(Clone, Debug)]
pub struct Signer {
    name: String,
    /// What its key can sign; `None` where it is of a kind that signs no user data.
    key: Option<(UserDataType, PKey<Public>)>,
}

impl Signer {
    /// Takes the certificate out of what a file holds.
    ///
    /// # Errors
    /// [`codes::NOT_A_CERTIFICATE`] and [`codes::SEVERAL_CERTIFICATES`].
    pub fn parse(source: &Source) -> Result<Self> {
        let name = source.name.clone();
        let hint = "Name a file with only the certificate of the key that signed.";
        let certificate = only_certificate(source, "certificates", hint)?;
        let key = certificate.public_key().ok().and_then(|key| Some((kind_of(&key)?, key)));
        Ok(Self { name, key })
    }

    fn check(&self, request: &RequestView<'_>) -> Result<Signature> {
        let Some((_, key)) = self.key.as_ref().filter(|(kind, _)| *kind == request.user_data_type) else {
            return Err(self.mismatch(request.user_data_type));
        };
        let valid = verify(key, &message(request), signature(request)).map_err(refused("check a signature"))?;
        Ok(if valid { Signature::Valid } else { Signature::Invalid })
    }

    fn mismatch(&self, wanted: UserDataType) -> Fault {
        let found = self.key.as_ref().map_or("a key that cannot sign user data", |(kind, _)| key_name(*kind));
        let (needed, hint) = match wanted {
            UserDataType::None | UserDataType::Unsigned => (
                "not signed".to_owned(),
                "Leave the certificate out, or get a request that was built with a signing key.",
            ),
            signed => (format!("signed by {}", key_name(signed)), "Name the certificate of the key that signed them."),
        };
        let detail =
            format!("The certificate in {} is for {found}, but the request's user data are {needed}.", self.name);
        Fault::new(codes::USER_CERT_MISMATCH, detail).hint(hint)
    }
}

fn key_name(kind: UserDataType) -> &'static str {
    match kind {
        UserDataType::None | UserDataType::Unsigned => "no key",
        UserDataType::EcP521 => "a key on P-521",
        UserDataType::Rsa2048 => "an RSA key of 2048 bits",
        UserDataType::Rsa3072 => "an RSA key of 3072 bits",
    }
}

/// What was signed: all of the request but its tag, with zeros where the signature is.
fn message(request: &RequestView<'_>) -> Vec<u8> {
    let bytes = request.bytes();
    let mut message = bytes.get(..bytes.len() - layout::TAG_LEN).unwrap_or_default().to_vec();
    let behind = layout::USER_DATA + request.user_data_type.data_len()..layout::USER_DATA + layout::USER_DATA_LEN;
    message.get_mut(behind).unwrap_or_default().fill(0);
    message
}

/// The signature itself: for RSA all that follows the data, for ECDSA as long as the request says.
fn signature<'a>(request: &RequestView<'a>) -> &'a [u8] {
    let behind = request.behind_user_data();
    if request.user_data_type != UserDataType::EcP521 {
        return behind;
    }
    let length_at = EC_LENGTH_AT - request.user_data_type.data_len();
    let length = behind.get(length_at..length_at + 2).and_then(|two| two.try_into().ok()).map_or(0, u16::from_be_bytes);
    behind.get(..usize::from(length).min(EC_SIGNATURE_LEN)).unwrap_or_default()
}

/// ECDSA, or RSASSA-PSS with whatever length of salt the signer took; SHA-512 in both. Bytes that are no signature are
/// a wrong one.
fn verify(key: &PKeyRef<Public>, message: &[u8], signature: &[u8]) -> std::result::Result<bool, ErrorStack> {
    let mut verifier = Verifier::new(MessageDigest::sha512(), key)?;
    if key.id() == Id::RSA {
        verifier.set_rsa_padding(Padding::PKCS1_PSS)?;
        verifier.set_rsa_mgf1_md(MessageDigest::sha512())?;
        // To OpenSSL this constant's number, -2, means when verifying: as long as the signature says.
        verifier.set_rsa_pss_saltlen(RsaPssSaltlen::MAXIMUM_LENGTH)?;
    }
    Ok(verifier.verify_oneshot(signature, message).unwrap_or(false))
}
