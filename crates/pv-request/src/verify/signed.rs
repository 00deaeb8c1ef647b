//! What certificates and revocation lists say of how they are signed, and OpenSSL's safe interface does not show.

use crate::der::{OID, SEQUENCE, Value, Values};

/// How the project takes signatures, by the object identifier: every other way is as good as none. All digests here give
/// 112 bits of security against forgery or more, as OpenSSL's security level 2 demands (SP 800-107).
const STRONG: &[&[u8]] = &[
    // RSASSA-PKCS1-v1_5 (RFC 8017 A.2.4) with SHA-256, 384, 512, 224, 512/224 and 512/256.
    b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0b",
    b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0c",
    b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0d",
    b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0e",
    b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0f",
    b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x10",
    // ECDSA (RFC 5758 3.2) with SHA-224, 256, 384 and 512.
    b"\x2a\x86\x48\xce\x3d\x04\x03\x01",
    b"\x2a\x86\x48\xce\x3d\x04\x03\x02",
    b"\x2a\x86\x48\xce\x3d\x04\x03\x03",
    b"\x2a\x86\x48\xce\x3d\x04\x03\x04",
    // Ed25519 and Ed448 (RFC 8410).
    b"\x2b\x65\x70",
    b"\x2b\x65\x71",
];
/// Below it, 1 to 10 are SHA-2 and SHA-3 (NIST, Computer Security Objects Register); below the other, 9 to 16 are ECDSA and
/// RSA with SHA-3.
const NIST_DIGEST: &[u8] = b"\x60\x86\x48\x01\x65\x03\x04\x02";
const NIST_SIGNATURE: &[u8] = b"\x60\x86\x48\x01\x65\x03\x04\x03";
const RSASSA_PSS: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0a";
const MGF1: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x08";

/// Whether a certificate or a revocation list, given in DER, is signed in a way that can be forged, or in one that is not
/// known. The way is in the same place in both (RFC 5280, 4.1 and 5.1), and again within what is signed, where OpenSSL
/// compares it.
pub(super) fn is_weakly_signed(der: &[u8]) -> bool {
    let way = || {
        let mut whole = Values(der).next()?.parts(SEQUENCE)?;
        whole.next()?;
        whole.of_tag(SEQUENCE)
    };
    !way().is_some_and(|way| is_strong(way).unwrap_or(false))
}

fn is_strong(way: Value<'_>) -> Option<bool> {
    let mut parts = way.parts(SEQUENCE)?;
    let oid = parts.of_tag(OID)?.content;
    if oid == RSASSA_PSS {
        return is_strong_pss(parts);
    }
    Some(STRONG.contains(&oid) || is_numbered(oid, NIST_SIGNATURE, 9, 16))
}

/// Both its digest and that of its mask, each of which is SHA-1 where nothing is said (RFC 8017 A.2.3).
fn is_strong_pss(mut parts: Values<'_>) -> Option<bool> {
    let mut parameters = parts.of_tag(SEQUENCE)?.parts(SEQUENCE)?;
    let digest = Values(parameters.of_tag(0xa0)?.content).next()?;
    let mut mask = Values(parameters.of_tag(0xa1)?.content).next()?.parts(SEQUENCE)?;
    let function = mask.of_tag(OID)?.content;
    Some(function == MGF1 && is_strong_digest(digest)? && is_strong_digest(mask.of_tag(SEQUENCE)?)?)
}

fn is_strong_digest(digest: Value<'_>) -> Option<bool> {
    Some(is_numbered(digest.parts(SEQUENCE)?.of_tag(OID)?.content, NIST_DIGEST, 1, 10))
}

fn is_numbered(oid: &[u8], branch: &[u8], least: u8, most: u8) -> bool {
    oid.strip_prefix(branch).is_some_and(|rest| matches!(rest, [number] if (least..=most).contains(number)))
}
