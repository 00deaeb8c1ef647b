//! Revocation lists that no file has: fetched from where a certificate says that they are, and only if that
//! certificate's signature is verified already. Whoever could name an address without being known would have this
//! machine send requests anywhere.

use super::{
    crls::{self, NamedCrl, Room, Standing, Verdict, verdict},
    extensions::{Holder, Scope},
    names::crl_uris,
    time::Instant,
};
use crate::{NotFetched, Source, codes, crypto::refused};
use fault::Result;
use openssl::{
    pkey::{PKeyRef, Public},
    x509::{X509, X509CrlRef, X509Ref},
};
use pv_wire::iso8601;
use std::sync::Arc;

/// Gets what is at an address. Asked for the same one again and again, by several threads.
pub trait Fetch: Send + Sync {
    /// The content of an `http` or `https` URI.
    ///
    /// # Errors
    /// Why it could not be had.
    fn fetch(&self, uri: &str) -> std::result::Result<Arc<[u8]>, NotFetched>;
}

impl<F: Fn(&str) -> std::result::Result<Arc<[u8]>, NotFetched> + Send + Sync> Fetch for F {
    fn fetch(&self, uri: &str) -> std::result::Result<Arc<[u8]>, NotFetched> {
        self(uri)
    }
}

/// A certificate for which no current list came from anywhere that it names, and why, one reason for each URI.
/// No reasons: it names none.
pub(super) struct Missed {
    certificate: X509,
    reasons: Vec<NotFetched>,
}

impl Missed {
    /// The reasons, if there are any, among `all` for one certificate.
    pub(super) fn reasons_for(all: &[Self], certificate: &X509Ref) -> Option<NotFetched> {
        let der = certificate.to_der().ok()?;
        let missed = all.iter().find(|missed| missed.certificate.to_der().is_ok_and(|known| known == der))?;
        told(&missed.reasons)
    }
}

/// All reasons as one: a sentence without its end, with the first code that says more than that nothing came.
pub(super) fn told(reasons: &[NotFetched]) -> Option<NotFetched> {
    let code = reasons.iter().map(|reason| reason.code).find(|code| *code != codes::CRL_DOWNLOAD);
    let words: Vec<_> = reasons.iter().map(|reason| reason.reason.as_str()).collect();
    let reason = words.join("; ");
    (!reasons.is_empty()).then(|| NotFetched { reason, code: code.unwrap_or(codes::CRL_DOWNLOAD) })
}

/// A certificate whose signature is verified and for which a list is wanted.
#[derive(Clone, Copy)]
pub(super) struct Wanted<'a> {
    pub(super) certificate: &'a X509Ref,
    pub(super) holder: Holder,
    pub(super) issuer: &'a X509Ref,
    /// The issuer's.
    pub(super) key: &'a PKeyRef<Public>,
    pub(super) now: &'a Instant,
}

impl Wanted<'_> {
    /// Whether a list of the issuer is of this certificate.
    fn is_covered_by(&self, crl: &X509CrlRef) -> bool {
        Scope::of(crl).is_of(self.certificate, self.holder)
    }
}

/// Adds to `crls` what they lack for a chain whose signatures are verified: for each certificate a current list that its
/// issuer has made of it. Where one is there already nothing is fetched. Gives the certificates that remain without.
pub(super) fn complete(
    chain: &[X509],
    crls: &mut Vec<NamedCrl>,
    fetch: &dyn Fetch,
    now: &Instant,
) -> Result<Vec<Missed>> {
    let mut missed = Vec::new();
    for (at, certificate) in chain.iter().enumerate() {
        // The last one is the root, which has issued itself.
        let issuer = chain.get(at + 1).unwrap_or(certificate);
        let key = issuer.public_key().map_err(refused("read the key of a certificate's issuer"))?;
        let wanted = Wanted { certificate, holder: Holder::of(certificate), issuer, key: &key, now };
        let is_current = |crl| matches!(Standing::of(crl, issuer, &key, now), Standing::Current { .. });
        if crls.iter().any(|(_, crl)| is_current(crl) && wanted.is_covered_by(crl)) {
            continue;
        }
        match current(&wanted, fetch) {
            Ok(found) => crls.extend(found),
            Err(reasons) => missed.push(Missed { certificate: certificate.clone(), reasons }),
        }
    }
    Ok(missed)
}

/// Current lists from the first address in the certificate that has any of it, or why there are none.
pub(super) fn current(wanted: &Wanted<'_>, fetch: &dyn Fetch) -> std::result::Result<Vec<NamedCrl>, Vec<NotFetched>> {
    let mut reasons = Vec::new();
    for uri in crl_uris(wanted.certificate) {
        match usable(&uri, wanted, fetch) {
            Ok(found) => return Ok(found),
            Err(NotFetched { reason, code }) => reasons.push(NotFetched { reason: format!("{uri} {reason}"), code }),
        }
    }
    Err(reasons)
}

fn usable(uri: &str, wanted: &Wanted<'_>, fetch: &dyn Fetch) -> std::result::Result<Vec<NamedCrl>, NotFetched> {
    let scheme = uri.split_once(':').map(|(scheme, _)| scheme.to_ascii_lowercase()).unwrap_or_default();
    if scheme != "http" && scheme != "https" {
        return Err("was not tried, because it is neither http nor https".into());
    }
    let answer = Source { name: uri.to_owned(), bytes: fetch.fetch(uri)?.to_vec() };
    let found = crls::parse(&answer, &mut Room::default()).map_err(|fault| match fault.code {
        codes::NOT_A_CRL => "has a damaged revocation list",
        _ => "has more revocation lists than the module reads",
    })?;
    let mut reason = NotFetched::from(match found.len() {
        0 => "has no revocation list",
        _ => "has a revocation list that the certificate's issuer has not signed",
    });
    let mut current = Vec::new();
    for crl in found {
        match Standing::of(&crl, wanted.issuer, wanted.key, wanted.now) {
            // Whoever is named in a list is revoked, whatever it is of.
            Standing::Current { .. }
                if wanted.is_covered_by(&crl) || verdict(&crl, wanted.certificate) != Verdict::NotNamed =>
            {
                current.push((uri.to_owned(), crl));
            }
            Standing::Current { .. } => {
                let what = "has a revocation list that covers only other certificates";
                reason = NotFetched { reason: what.into(), code: codes::CRL_SCOPE };
            }
            Standing::Outdated { next_update } => {
                reason = format!("has a revocation list that is outdated since {}", iso8601(next_update)).into();
            }
            Standing::Unusable { code, what } => {
                return Err(NotFetched { reason: format!("has a revocation list that {what}"), code });
            }
            Standing::NotYetValid => reason = "has a revocation list that is not valid yet".into(),
            Standing::None => {}
        }
    }
    if current.is_empty() { Err(reason) } else { Ok(current) }
}
