//! The few extensions and signatures that OpenSSL's builders have no safe call for, as DER.

use openssl::{
    error::ErrorStack,
    hash::MessageDigest,
    pkey::{PKeyRef, Private},
    rsa::Padding,
    sign::{RsaPssSaltlen, Signer},
};

/// Tag, length, content. Contents here stay below 64 KiB.
fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let [high, low] = u16::try_from(content.len()).unwrap_or(u16::MAX).to_be_bytes();
    let mut out = vec![tag];
    match (high, low) {
        (0, ..0x80) => out.push(low),
        (0, _) => out.extend([0x81, low]),
        _ => out.extend([0x82, high, low]),
    }
    out.extend(content);
    out
}

/// AuthorityKeyIdentifier with a key id.
pub(crate) fn authority_key_id(key_id: &[u8]) -> Vec<u8> {
    tlv(0x30, &tlv(0x80, key_id))
}

/// CRLNumber.
pub(crate) fn crl_number(number: u8) -> Vec<u8> {
    tlv(0x02, &[number & 0x7f])
}

/// CRLDistributionPoints with one point, whose list is at each of the URIs.
pub(crate) fn distribution_point(uris: &[String]) -> Vec<u8> {
    let names: Vec<u8> = uris.iter().flat_map(|uri| tlv(0x86, uri.as_bytes())).collect();
    tlv(0x30, &tlv(0x30, &tlv(0xa0, &tlv(0xa0, &names))))
}

/// The object identifiers of digests, as DER.
const SHA1: &[u8] = b"\x06\x05\x2b\x0e\x03\x02\x1a";
const SHA256: &[u8] = b"\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01";
const MGF1: &[u8] = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x08";
const RSASSA_PSS: &[u8] = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0a";
const SALT: u8 = 20;

/// With what RSASSA-PSS signs: a digest, and that of its mask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pss {
    /// SHA-256 in both.
    Strong,
    /// SHA-1 in both, by name.
    Sha1,
    /// SHA-1 in both, which is what parameters that say nothing mean.
    Unsaid,
    /// SHA-256, masked with SHA-1.
    Sha1Mask,
}

impl Pss {
    fn digests(self) -> (MessageDigest, MessageDigest) {
        let (weak, strong) = (MessageDigest::sha1(), MessageDigest::sha256());
        match self {
            Self::Strong => (strong, strong),
            Self::Sha1 | Self::Unsaid => (weak, weak),
            Self::Sha1Mask => (strong, weak),
        }
    }

    fn algorithm(self) -> Vec<u8> {
        let (digest, mask) = match self {
            Self::Strong => (SHA256, SHA256),
            Self::Sha1 | Self::Unsaid => (SHA1, SHA1),
            Self::Sha1Mask => (SHA256, SHA1),
        };
        let mut parameters = Vec::new();
        if self != Self::Unsaid {
            parameters.extend(tlv(0xa0, &tlv(0x30, digest)));
            parameters.extend(tlv(0xa1, &tlv(0x30, &[MGF1, &tlv(0x30, mask)].concat())));
            parameters.extend(tlv(0xa2, &tlv(0x02, &[SALT])));
        }
        tlv(0x30, &[RSASSA_PSS, &tlv(0x30, &parameters)].concat())
    }
}

/// A certificate or a revocation list, both in DER, signed anew with RSASSA-PSS by an RSA key.
///
/// # Errors
/// What OpenSSL answers.
pub fn with_pss(der: &[u8], key: &PKeyRef<Private>, pss: Pss) -> Result<Vec<u8>, ErrorStack> {
    let to_sign = with_algorithm(der, &pss.algorithm());
    let (digest, mask) = pss.digests();
    let mut signer = Signer::new(digest, key)?;
    signer.set_rsa_padding(Padding::PKCS1_PSS)?;
    signer.set_rsa_mgf1_md(mask)?;
    signer.set_rsa_pss_saltlen(RsaPssSaltlen::custom(i32::from(SALT)))?;
    let signature = signer.sign_oneshot_to_vec(&to_sign)?;
    Ok(whole(&to_sign, &pss.algorithm(), &signature))
}

/// A certificate or a revocation list, both in DER, that says that it is signed in the way that an object identifier, in
/// DER without its head, names. It is not: the signature is nothing.
pub fn pretending(der: &[u8], oid: &[u8]) -> Vec<u8> {
    let algorithm = tlv(0x30, &[tlv(0x06, oid), tlv(0x05, &[])].concat());
    whole(&with_algorithm(der, &algorithm), &algorithm, &[0; 256])
}

fn whole(to_sign: &[u8], algorithm: &[u8], signature: &[u8]) -> Vec<u8> {
    tlv(0x30, &[to_sign, algorithm, &tlv(0x03, &[&[0], signature].concat())].concat())
}

/// What is to be signed, with another name of how: of certificates and lists alike, the first SEQUENCE in it.
fn with_algorithm(der: &[u8], algorithm: &[u8]) -> Vec<u8> {
    let (to_sign, _) = split(content(der));
    let mut fields = content(to_sign);
    let mut out = Vec::new();
    while !fields.is_empty() {
        let (field, rest) = split(fields);
        fields = rest;
        if field.first() == Some(&0x30) {
            out.extend(algorithm);
            break;
        }
        out.extend(field);
    }
    out.extend(fields);
    tlv(0x30, &out)
}

/// The first value and what follows it. What is taken apart here was made here.
fn split(bytes: &[u8]) -> (&[u8], &[u8]) {
    let head = head_len(bytes);
    let number = bytes.get(2..head).unwrap_or_default();
    let length = match bytes.get(1) {
        Some(short @ ..0x80) => usize::from(*short),
        _ => number.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)),
    };
    bytes.split_at(head + length)
}

fn content(value: &[u8]) -> &[u8] {
    value.get(head_len(value)..).unwrap_or_default()
}

fn head_len(value: &[u8]) -> usize {
    match value.get(1) {
        Some(long @ 0x80..) => 2 + usize::from(long & 0x7f),
        _ => 2,
    }
}
