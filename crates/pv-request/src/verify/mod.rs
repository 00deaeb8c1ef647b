//! Verifying that host key documents come from IBM and are not revoked.
//!
//! The rules are those of IBM Secure Execution documentation and s390-tools 2.43 (`rust/pv/src/verify`), with five
//! of its gaps closed: a document must name the signing key as its issuer, Poughkeepsie and Armonk are the same
//! place in both directions, an intermediate authority is required, a host key must be on P-521, and a certificate that
//! says what its key is for (keyUsage, RFC 5280 4.2.1.3) must allow what it is used for here.
//!
//! Closed, too: signatures with weak digests, critical extensions that are not understood, and lists of a part only are
//! refused, and whoever a list of any time names as revoked for good is revoked.
//!
//! Two things about revocation lists are left as they are. The key id that a list of the IBM signing key names
//! (authorityKeyIdentifier) is not compared: the safe interface of the openssl crate does not show it. The list's name
//! and signature decide, so only a list that the right key signed under another key's id is judged otherwise than by
//! pvsecret. And a list above it, without nextUpdate, is OpenSSL's to judge, which takes it as one without an end; one of
//! the signing key without nextUpdate says nothing.

mod chain;
mod crls;
mod extensions;
mod fetch;
mod names;
mod roots;
mod signed;
mod time;

pub(crate) use crls::LIST_LIMIT;
pub use crls::MOST_LISTS;
pub use fetch::Fetch;
pub use pv_wire::iso8601;
pub use roots::system_root;

use crate::{HostKeyDocument, NotFetched, Source, codes, crypto::refused, host_key};
use chain::{Chain, Roots, hint_not_fetched, hint_to_fetch, not_fetched};
use crls::{CrlState, SignedCrls, unusable};
use extensions::{Holder, document_is_understood};
use fault::{Code, Fault, Result};
use names::{crl_uris, is_signing_key, same_name, shown};
use openssl::{
    pkey::{PKey, Public},
    sha::sha256,
    x509::{X509, X509KeyUsage, X509Ref},
};
use signed::is_weakly_signed;
use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use time::Instant;

/// The most certificates that are read of the user's files, and the most trusted roots: bundles of today's systems have
/// about 150, and a chain needs two beside its root.
pub const MOST_CERTIFICATES: usize = 1000;

/// What to do about certificates and revocation lists that were good and are only too old by now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outdated {
    /// They are errors: right whenever a request is built.
    Refuse,
    /// They are reported beside the result; all else is still an error.
    Report,
}

/// Whom to trust: the contents of the files that the user named.
#[derive(Clone, Debug)]
pub struct Trust {
    /// The IBM signing key's certificate and the authorities between it and the root; revocation lists in the same
    /// files are used too.
    pub certificates: Vec<Source>,
    /// Revocation lists, DER or PEM.
    pub crls: Vec<Source>,
    /// Trusted root certificates, DER or PEM, for example [`system_root`].
    pub root: Source,
}

/// A verifier whose chain is checked already: from the IBM signing key up to a trusted root.
pub struct Verifier {
    signing: X509,
    signing_key: PKey<Public>,
    signing_file: String,
    /// Those that were fetched are added: one that covers a document covers the next one too.
    crls: Mutex<SignedCrls>,
    fetch: Option<Arc<dyn Fetch>>,
    now: Instant,
    outdated: Outdated,
    /// What about the chain is outdated; always empty with [`Outdated::Refuse`].
    pub chain_outdated: Vec<Fault>,
}

impl std::fmt::Debug for Verifier {
    /// OpenSSL's values cannot be shown.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Verifier").finish_non_exhaustive()
    }
}

/// What is known of a host key document that was verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedHostKey {
    /// SHA-256 over the host key's encoding.
    pub hash: [u8; 32],
    /// Serial number of the document, lower-case hex digits.
    pub serial: String,
    /// Until when the document is valid, in seconds since 1970.
    pub not_after: i64,
    /// When the revocation list that covers it is due to be replaced, in seconds since 1970.
    pub crl_next_update: i64,
    /// What is outdated about it; always empty with [`Outdated::Refuse`].
    pub outdated: Vec<Fault>,
}

impl Verifier {
    /// Finds the IBM signing key among the certificates and checks its chain as of `now`, in seconds since 1970.
    ///
    /// # Errors
    /// The `hkd.*` codes about certificates, revocation lists and the chain.
    pub fn new(trust: &Trust, now: i64, outdated: Outdated) -> Result<Self> {
        Self::with_fetch(trust, now, outdated, None)
    }

    /// As [`Verifier::new`]; where `trust` has no current revocation list, one is fetched from where a certificate
    /// says that it is, as soon as that certificate's signature is verified.
    ///
    /// # Errors
    /// Those of [`Verifier::new`], and [`codes::CRL_DOWNLOAD`].
    pub fn with_fetch(trust: &Trust, now: i64, outdated: Outdated, fetch: Option<Arc<dyn Fetch>>) -> Result<Self> {
        let now = Instant::new(now)?;
        let certificates = Certificates::read(&trust.certificates)?;
        let roots = Roots::read(&trust.root)?;
        let mut crls = crls::read(trust)?;
        let (signing_file, signing) = certificates.signing_key()?;
        let mut missed = Vec::new();
        if let Some(fetch) = &fetch {
            let unrevoked = Chain { certificates: &certificates, root: &roots, crls: None, missed: &[] };
            let chain = unrevoked.check(signing_file, signing, &now, outdated)?;
            missed = fetch::complete(&chain.certificates, &mut crls, fetch.as_ref(), &now)?;
        }
        let chain = Chain { certificates: &certificates, root: &roots, crls: Some(&crls), missed: &missed };
        let chain_outdated = chain.check(signing_file, signing, &now, outdated)?.outdated;
        check_usage(signing_file, signing, X509KeyUsage::DIGITAL_SIGNATURE, "digitalSignature")?;
        let signing_key = signing.public_key().map_err(refused("read the IBM signing key"))?;
        Ok(Self {
            crls: Mutex::new(SignedCrls::select(crls, signing, &signing_key, &now)?),
            fetch,
            signing: signing.to_owned(),
            signing_key,
            signing_file: signing_file.to_owned(),
            now,
            outdated,
            chain_outdated,
        })
    }

    /// Verifies one host key document.
    ///
    /// # Errors
    /// The `hkd.*` codes about documents. What is wrong for good comes before what is only outdated.
    pub fn verify(&self, document: &HostKeyDocument) -> Result<VerifiedHostKey> {
        let (name, certificate) = (document.name.as_str(), document.certificate.as_ref());
        if self.now.is_before(certificate.not_before()) {
            return Err(Fault::new(
                codes::NOT_YET_VALID,
                format!("{name} is valid only from {}.", certificate.not_before()),
            )
            .hint("Check this machine's clock."));
        }
        self.check_origin(name, certificate)?;
        if !certificate.to_der().is_ok_and(|der| document_is_understood(&der)) {
            let detail = format!("{name} has an unknown critical extension, so it must not be used.");
            return Err(Fault::new(codes::CRITICAL_EXTENSION, detail)
                .hint("Get the host key document from IBM Resource Link again; if it is the same, use a newer release of this collection."));
        }
        check_usage(name, certificate, X509KeyUsage::KEY_AGREEMENT, "keyAgreement")?;

        let mut outdated = Vec::new();
        let hint_crl = || hint_to_fetch(&crl_uris(certificate), &self.signing_file);
        let (state, missed) = self.revocation(certificate)?;
        let crl_next_update = match state {
            CrlState::Good { next_update } => next_update,
            CrlState::Outdated { file, next_update } => {
                let what = format!(
                    "The revocation list {file}, which covers {name}, is outdated since {}",
                    iso8601(next_update)
                );
                let (detail, hint) = match missed {
                    Some(why) => {
                        let hint = hint_not_fetched(why.code).to_owned();
                        (format!("{what}, and no current one could be fetched: {}.", why.reason), hint)
                    }
                    None => (format!("{what}."), hint_crl()),
                };
                outdated.push(Fault::new(codes::CRL_OUTDATED, detail).hint(hint));
                next_update
            }
            CrlState::Revoked { file } => {
                return Err(Fault::new(codes::REVOKED, format!("{name} is revoked, says the revocation list {file}."))
                    .hint("Never use it again; get the machine's current host key document from IBM Resource Link."));
            }
            CrlState::NotYetValid { file } => {
                let detail = format!("The revocation list {file}, which covers {name}, is not valid yet.");
                return Err(Fault::new(codes::CRL_NOT_YET_VALID, detail).hint("Check this machine's clock."));
            }
            CrlState::OtherScope { file } => {
                let what = "covers only certificates that name another address for their list";
                return Err(match missed {
                    Some(why) => {
                        let what = format!("{what}, and no other could be fetched: {}", why.reason);
                        unusable(&file, codes::CRL_SCOPE, &what).hint(hint_not_fetched(why.code))
                    }
                    None => unusable(&file, codes::CRL_SCOPE, what).hint(hint_crl()),
                });
            }
            CrlState::None => {
                let detail = format!("No revocation list that {} signed is there for {name}.", self.signing_file);
                let missing = || Fault::new(codes::NO_CRL, detail).hint(hint_crl());
                return Err(missed.map_or_else(missing, |why| not_fetched(name, &why)));
            }
        };
        if !self.now.is_before(certificate.not_after()) {
            let detail = format!("{name} expired on {}.", certificate.not_after());
            outdated.push(
                Fault::new(codes::EXPIRED, detail)
                    .hint("Get the machine's current host key document from IBM Resource Link."),
            );
        }
        if self.outdated == Outdated::Refuse && !outdated.is_empty() {
            return Err(outdated.swap_remove(0));
        }
        Ok(VerifiedHostKey {
            hash: document.key.hash(),
            serial: serial(certificate),
            not_after: time::unix(certificate.not_after())?,
            crl_next_update,
            outdated,
        })
    }

    /// What the revocation lists say of a document whose origin is checked, and why no current one could be fetched.
    fn revocation(&self, certificate: &X509Ref) -> Result<(CrlState, Option<NotFetched>)> {
        let mut crls = self.crls.lock().unwrap_or_else(PoisonError::into_inner);
        let mut missed = None;
        if let Some(fetch) = self.fetch.as_ref().filter(|_| !crls.has_current(certificate)) {
            let (issuer, key, now) = (self.signing.as_ref(), self.signing_key.as_ref(), &self.now);
            let wanted = fetch::Wanted { certificate, holder: Holder::User, issuer, key, now };
            match fetch::current(&wanted, fetch.as_ref()) {
                Ok(found) => crls.add(SignedCrls::select(found, &self.signing, &self.signing_key, &self.now)?),
                Err(reasons) => missed = fetch::told(&reasons),
            }
        }
        Ok((crls.state(certificate), missed))
    }

    /// That the IBM signing key issued this document, by key id, by name and by signature.
    fn check_origin(&self, name: &str, certificate: &X509Ref) -> Result<()> {
        let refuse = |code: Code, detail: String| {
            Err(Fault::new(code, detail).hint(
                "Get the machine's host key document from IBM Resource Link and the signing key that belongs to it.",
            ))
        };
        if !self.is_named_authority(certificate) {
            return refuse(
                codes::AUTHORITY_KEY_ID,
                format!("{name} says that a key other than {} issued it.", self.signing_file),
            );
        }
        if !same_name(certificate.issuer_name(), self.signing.subject_name()) {
            return refuse(
                codes::WRONG_ISSUER,
                format!("{name} names {} as its issuer, not {}.", shown(certificate.issuer_name()), self.signing_file),
            );
        }
        if !certificate.to_der().is_ok_and(|der| !is_weakly_signed(&der)) {
            let detail = format!("{name} is signed with a weak digest or an unknown method.");
            return refuse(codes::WEAK_SIGNATURE, detail);
        }
        if !certificate.verify(&self.signing_key).unwrap_or(false) {
            return refuse(
                codes::SIGNATURE,
                format!("{name} is not signed by {}: it is forged or damaged.", self.signing_file),
            );
        }
        Ok(())
    }

    /// Whether the authority key identifier fits the signing key: each part is compared if both sides have it.
    fn is_named_authority(&self, certificate: &X509Ref) -> bool {
        let key_id = match (certificate.authority_key_id(), self.signing.subject_key_id()) {
            (Some(named), Some(own)) => named.as_slice() == own.as_slice(),
            _ => true,
        };
        let serial = certificate.authority_serial().is_none_or(|named| {
            // Equal numbers; numbers that cannot be read are not equal.
            matches!((named.to_bn(), self.signing.serial_number().to_bn()), (Ok(a), Ok(b)) if a == b)
        });
        let issuer = certificate.authority_issuer().and_then(|names| names.iter().find_map(|n| n.directory_name()));
        key_id && serial && issuer.is_none_or(|named| same_name(named, self.signing.issuer_name()))
    }
}

/// The certificates that the user named, each with its file.
struct Certificates(Vec<(String, X509)>);

impl Certificates {
    fn read(sources: &[Source]) -> Result<Self> {
        let (mut all, mut known) = (Vec::new(), HashSet::new());
        for source in sources {
            let found = host_key::certificates(source)?;
            if found.is_empty() && !crls::is_there(source) {
                return Err(host_key::not_a_certificate(&source.name));
            }
            for certificate in found {
                let der = certificate.to_der().map_err(refused("copy a certificate"))?;
                if known.insert(sha256(&der)) {
                    all.push((source.name.clone(), certificate));
                }
                if all.len() > MOST_CERTIFICATES {
                    return Err(crls::too_many("certificates", MOST_CERTIFICATES, &source.name));
                }
            }
        }
        Ok(Self(all))
    }

    /// The one IBM signing key, and the file that it is in.
    fn signing_key(&self) -> Result<(&str, &X509Ref)> {
        let mut found = self.0.iter().filter(|(_, certificate)| is_signing_key(certificate.subject_name()));
        match (found.next(), found.next()) {
            (Some((file, certificate)), None) => Ok((file, certificate)),
            (None, _) => Err(Fault::new(
                codes::NO_SIGNING_KEY,
                "None of the certificates is an IBM signing key.",
            )
            .hint("Name the signing key's certificate from IBM Resource Link in certificates, with the intermediate authority's.")),
            (Some((one, _)), Some((other, _))) => Err(Fault::new(
                codes::SEVERAL_SIGNING_KEYS,
                format!("Both {one} and {other} are IBM signing keys; only one can be used."),
            )
            .hint("Name the one that issued the host key documents; use one task for each signing key.")),
        }
    }
}

/// That the key of a certificate is for what it is used for here; one that does not say may be used for everything.
fn check_usage(name: &str, certificate: &X509Ref, wanted: X509KeyUsage, called: &str) -> Result<()> {
    if certificate.key_usage().is_none_or(|usage| usage.contains(wanted)) {
        return Ok(());
    }
    let detail = format!("{name} does not allow the use of its key for {called}.");
    Err(Fault::new(codes::KEY_USAGE, detail)
        .hint("Get the host key document and the signing key's certificate from IBM Resource Link again."))
}

/// Serial number of a certificate as hex digits.
fn serial(certificate: &X509Ref) -> String {
    let number = certificate.serial_number().to_bn().and_then(|number| number.to_hex_str().map(|s| s.to_lowercase()));
    number.unwrap_or_default()
}
