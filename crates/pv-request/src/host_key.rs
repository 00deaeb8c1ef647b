//! Host keys, and the documents that carry them.

use crate::{Source, codes, crypto::refused, der};
use fault::{Fault, Result};
use openssl::{
    bn::{BigNum, BigNumContext},
    ec::EcKeyRef,
    error::ErrorStack,
    nid::Nid,
    pkey::{HasPublic, PKey, PKeyRef, Public},
    sha::sha256,
    x509::X509,
};
use std::path::Path;

/// Least strength of any key in the chain, in bits (SP 800-57, OpenSSL's security level 2).
const SECURITY_BITS: u32 = 112;

/// The public key of one machine, on P-521.
#[derive(Clone, Debug)]
pub struct HostKey {
    pub(crate) key: PKey<Public>,
    hash: [u8; 32],
}

impl HostKey {
    /// Takes a public key. `name` is what messages call where it comes from.
    ///
    /// # Errors
    /// [`codes::WEAK_KEY`] and [`codes::WRONG_CURVE`].
    pub fn new(key: PKey<Public>, name: &str) -> Result<Self> {
        let bits = key.security_bits();
        if bits < SECURITY_BITS {
            return Err(Fault::new(
                codes::WEAK_KEY,
                format!("The key in {name} gives {bits} bits of security; {SECURITY_BITS} are required."),
            )
            .hint("Get the machine's host key document from IBM Resource Link again."));
        }
        let point = coordinates(&key).map_err(|found| {
            Fault::new(codes::WRONG_CURVE, format!("The key in {name} is not a host key: it is {found}, not on P-521."))
                .hint("Get the machine's host key document from IBM Resource Link.")
        })?;
        Ok(Self { hash: sha256(&point), key })
    }

    /// SHA-256 over the key's 160-byte encoding: how keyslots and hosts name it.
    pub fn hash(&self) -> [u8; 32] {
        self.hash
    }
}

/// A host key document: an X.509 certificate over one machine's host key. Reading it verifies nothing.
#[derive(Clone, Debug)]
pub struct HostKeyDocument {
    /// What messages call the document: its path.
    pub name: String,
    /// The key in it.
    pub key: HostKey,
    /// The certificate.
    pub certificate: X509,
}

impl HostKeyDocument {
    /// Reads a document from a file; see [`HostKeyDocument::parse`].
    ///
    /// # Errors
    /// The `file.*` codes and those of [`HostKeyDocument::parse`].
    pub fn read(path: &Path) -> Result<Self> {
        Self::parse(&Source::read(path)?)
    }

    /// Reads the one document in a file, DER or PEM.
    ///
    /// # Errors
    /// [`codes::NOT_A_CERTIFICATE`], [`codes::SEVERAL_CERTIFICATES`], [`codes::WEAK_KEY`] and [`codes::WRONG_CURVE`].
    pub fn parse(source: &Source) -> Result<Self> {
        let name = source.name.clone();
        let hint = "Put each document into its own file, and name them all in host_keys.";
        let certificate = only_certificate(source, "host key documents", hint)?;
        let key = certificate
            .public_key()
            .map_err(|_| {
                Fault::new(codes::WRONG_CURVE, format!("The key in {name} is not a host key: OpenSSL cannot read it."))
                    .hint("Get the machine's host key document from IBM Resource Link.")
            })
            .and_then(|key| HostKey::new(key, &name))?;
        Ok(Self { name, key, certificate })
    }
}

pub(crate) fn not_a_certificate(name: &str) -> Fault {
    Fault::new(codes::NOT_A_CERTIFICATE, format!("{name} holds no X.509 certificate, neither DER nor PEM."))
        .hint("Name the file with the certificate itself; if it is the right one, it is damaged: get it again.")
}

/// The one certificate in a file in which only one has a meaning. Of several none is chosen: nobody could see which.
/// `called` is what messages call more of them, `hint` what to do about them.
pub(crate) fn only_certificate(source: &Source, called: &str, hint: &str) -> Result<X509> {
    let mut found = certificates(source)?;
    match (found.len(), found.pop()) {
        (1, Some(one)) => Ok(one),
        (_, None) => Err(not_a_certificate(&source.name)),
        (count, _) => {
            let detail = format!("{} contains {count} {called}; only one is allowed.", source.name);
            Err(Fault::new(codes::SEVERAL_CERTIFICATES, detail).hint(hint))
        }
    }
}

/// All certificates of a file: in DER one after the other, or any number in PEM between anything else. Empty if there are
/// none.
///
/// # Errors
/// [`codes::NOT_A_CERTIFICATE`] where one is damaged, or something else than blank space stands behind those in DER:
/// it may have been meant.
pub(crate) fn certificates(source: &Source) -> Result<Vec<X509>> {
    let (mut found, mut rest) = (Vec::new(), source.bytes.as_slice());
    while let Some((first, behind)) = der::split_first(rest) {
        let Ok(certificate) = X509::from_der(first) else { break };
        found.push(certificate);
        rest = behind;
    }
    if !found.is_empty() {
        return if rest.is_empty() { Ok(found) } else { Err(more_behind(&source.name, rest.len(), "certificate")) };
    }
    X509::stack_from_pem(&source.bytes).or_else(|_| {
        let is_meant = source.bytes.windows(PEM_BEGIN.len()).any(|window| window == PEM_BEGIN);
        if is_meant { Err(damaged(&source.name)) } else { Ok(Vec::new()) }
    })
}

const PEM_BEGIN: &[u8] = b"-----BEGIN CERTIFICATE-----";

pub(crate) fn damaged(name: &str) -> Fault {
    Fault::new(codes::NOT_A_CERTIFICATE, format!("A certificate in {name} is damaged."))
        .hint("Get the file again from its source.")
}

/// That bytes stand behind what was read of a file in DER.
pub(crate) fn more_behind(name: &str, count: usize, what: &str) -> Fault {
    let code = if what == "certificate" { codes::NOT_A_CERTIFICATE } else { codes::NOT_A_CRL };
    Fault::new(code, format!("{name} has {count} extra bytes after its {what}."))
        .hint("Get the file again from its source: it is damaged, or something was appended.")
}

/// The 160-byte encoding of a public key on P-521: x, then y, big endian, each left padded to 80 bytes.
/// The error is a phrase that says what else the key is.
pub(crate) fn coordinates<T: HasPublic>(key: &PKeyRef<T>) -> std::result::Result<[u8; 160], String> {
    let ec = key.ec_key().map_err(|_| match key.id() {
        openssl::pkey::Id::RSA => "an RSA key".to_owned(),
        id => id_name(Nid::from_raw(id.as_raw())),
    })?;
    match ec.group().curve_name() {
        Some(Nid::SECP521R1) => {}
        Some(other) => return Err(format!("a key on {}", id_name(other))),
        None => return Err("a key on an unnamed curve".into()),
    }
    ec.check_key().and_then(|()| point(&ec)).map_err(|_| "no valid point on the curve".into())
}

fn point<T: HasPublic>(ec: &EcKeyRef<T>) -> std::result::Result<[u8; 160], ErrorStack> {
    let (mut x, mut y, mut ctx) = (BigNum::new()?, BigNum::new()?, BigNumContext::new()?);
    ec.public_key().affine_coordinates(ec.group(), &mut x, &mut y, &mut ctx)?;
    let mut out = [0; 160];
    let halves = [x.to_vec_padded(80)?, y.to_vec_padded(80)?];
    for (to, from) in out.iter_mut().zip(halves.iter().flatten()) {
        *to = *from;
    }
    Ok(out)
}

fn id_name(nid: Nid) -> String {
    nid.long_name().unwrap_or("of an unknown kind").to_owned()
}

/// A customer key's public half in the request's encoding. It is our own and fresh, so it is not checked: that would
/// cost as much as making it.
pub(crate) fn customer_point<T: HasPublic>(key: &PKeyRef<T>) -> Result<[u8; 160]> {
    let ec = key.ec_key().map_err(refused("read the customer key"))?;
    point(&ec).map_err(refused("encode the customer key"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use openssl::{
        ec::{EcGroup, EcKey},
        rsa::Rsa,
    };

    fn on(curve: Nid) -> PKey<Public> {
        let key = EcKey::generate(&EcGroup::from_curve_name(curve).unwrap()).unwrap();
        public(&PKey::from_ec_key(key).unwrap())
    }

    fn public(key: &PKeyRef<openssl::pkey::Private>) -> PKey<Public> {
        PKey::public_key_from_der(&key.public_key_to_der().unwrap()).unwrap()
    }

    #[test]
    fn a_key_on_p521_is_a_host_key_with_fourteen_leading_zeros_in_each_coordinate() {
        let key = on(Nid::SECP521R1);
        let encoded = coordinates(&key).unwrap();
        assert_eq!((&encoded[..14], &encoded[80..94]), (&[0; 14][..], &[0; 14][..]));
        assert_eq!(HostKey::new(key, "host.crt").unwrap().hash(), sha256(&encoded));
    }

    #[test]
    fn other_keys_are_refused_and_named() {
        let weak = PKey::from_rsa(Rsa::generate(1024).unwrap()).unwrap();
        assert_eq!(HostKey::new(public(&weak), "host.crt").unwrap_err().code, codes::WEAK_KEY);
        let strong = PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap();
        let fault = HostKey::new(public(&strong), "host.crt").unwrap_err();
        assert_eq!(fault.code, codes::WRONG_CURVE);
        assert!(fault.detail.contains("host.crt") && fault.detail.contains("RSA"), "{fault}");
        for (key, called) in [
            (on(Nid::SECP384R1), "secp384r1"),
            (on(Nid::SECP256K1), "secp256k1"),
            (public(&PKey::generate_ed448().unwrap()), "ED448"),
        ] {
            let fault = HostKey::new(key, "host.crt").unwrap_err();
            assert_eq!(fault.code, codes::WRONG_CURVE);
            assert!(fault.detail.contains(called), "{fault}");
        }
    }

    #[test]
    fn a_damaged_certificate_is_an_error_and_a_damaged_list_is_no_certificate() {
        let found = |kind: &str| {
            let bytes = format!("-----BEGIN {kind}-----\n!\n-----END {kind}-----\n").into_bytes();
            certificates(&Source { name: "file".into(), bytes })
        };
        assert_eq!(found("CERTIFICATE").unwrap_err().code, codes::NOT_A_CERTIFICATE);
        assert!(found("X509 CRL").unwrap().is_empty());
    }

    #[test]
    fn random_bytes_are_no_document_and_never_panic() {
        for len in 0..600 {
            let mut bytes = vec![0x30; len];
            openssl::rand::rand_bytes(bytes.get_mut(2..).unwrap_or_default()).unwrap();
            let source = Source { name: "noise".into(), bytes };
            assert_eq!(HostKeyDocument::parse(&source).unwrap_err().code, codes::NOT_A_CERTIFICATE);
        }
    }
}
