//! The cryptographic steps of a request, each as OpenSSL does it.

use crate::codes;
use fault::{Fault, Result};
use openssl::{
    derive::Deriver,
    error::ErrorStack,
    md::Md,
    pkey::{Id, PKeyRef, Private, Public},
    pkey_ctx::PkeyCtx,
    sha::Sha256,
    symm::{Cipher, decrypt_aead, encrypt_aead},
};
use zeroize::Zeroizing;

/// An AES-256 key that is wiped when dropped.
pub(crate) type Key = Zeroizing<[u8; 32]>;

/// Turns OpenSSL's answer into a fault; `what` completes "OpenSSL could not ...".
pub(crate) fn refused(what: &'static str) -> impl Fn(ErrorStack) -> Fault {
    move |answer| {
        let reason = answer.errors().first().and_then(|e| e.reason()).unwrap_or("no reason given");
        Fault::new(codes::CRYPTO, format!("OpenSSL could not {what}: {reason}."))
            .hint("Check the system's OpenSSL and its crypto policy.")
    }
}

/// AES-256-GCM: the ciphertext, and the 16-byte tag that covers it and `aad`.
pub(crate) fn seal(key: &Key, iv: [u8; 12], aad: &[u8], plain: &[u8]) -> Result<(Vec<u8>, [u8; 16])> {
    let mut tag = [0; 16];
    let sealed = encrypt_aead(Cipher::aes_256_gcm(), key.as_slice(), Some(&iv), aad, plain, &mut tag)
        .map_err(refused("encrypt with AES-256-GCM"))?;
    Ok((sealed, tag))
}

/// The key that wraps the request key for one host: SHA-256 over the 66-byte x coordinate of the ECDH point and
/// the counter 1. Both keys must be valid: [`crate::HostKey`] sees to theirs.
pub(crate) fn wrapping_key(ours: &PKeyRef<Private>, theirs: &PKeyRef<Public>) -> Result<Key> {
    let failed = refused("agree on a key with the host key");
    let mut deriver = Deriver::new(ours).map_err(&failed)?;
    // `HostKey::new` has checked that the point is on the curve; doing so for every request would cost as much as
    // the agreement itself.
    deriver.set_peer_ex(theirs, false).map_err(&failed)?;
    let mut shared = Zeroizing::new([0; 66]);
    let len = deriver.derive(shared.as_mut_slice()).map_err(&failed)?;
    let mut hash = Sha256::new();
    hash.update(shared.get(..len).unwrap_or_default());
    hash.update(&1_u32.to_be_bytes());
    Ok(Zeroizing::new(hash.finish()))
}

/// The extension secret that belongs to a customer communication key and an image: HKDF-SHA-512 with the tag of
/// the image's header as salt.
pub(crate) fn derived_extension(cck: &Key, header_tag: [u8; 16]) -> Result<Key> {
    let failed = refused("derive the extension secret");
    let mut ctx = PkeyCtx::new_id(Id::HKDF).map_err(&failed)?;
    ctx.derive_init().map_err(&failed)?;
    ctx.set_hkdf_md(Md::sha512()).map_err(&failed)?;
    ctx.set_hkdf_key(cck.as_slice()).map_err(&failed)?;
    ctx.set_hkdf_salt(&header_tag).map_err(&failed)?;
    ctx.add_hkdf_info(b"IBM Z Ultravisor Add-Secret").map_err(&failed)?;
    let mut derived = Zeroizing::new([0; 32]);
    ctx.derive(Some(derived.as_mut_slice())).map_err(&failed)?;
    Ok(derived)
}

/// What was sealed with AES-256-GCM; `None` if the tag does not fit.
pub(crate) fn open(key: &Key, iv: [u8; 12], aad: &[u8], sealed: &[u8], tag: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    decrypt_aead(Cipher::aes_256_gcm(), key.as_slice(), Some(&iv), aad, sealed, tag).ok().map(Zeroizing::new)
}
