//! Revocation lists that no file has: fetched from where a certificate says that they are, and only if that
//! certificate's signature is verified already. Whoever could name an address without being known would have this
//! machine send requests anywhere.

use super::{
    crls::{self, NamedCrl, Room, Standing},
    names::crl_uris,
    time::Instant,
};
use crate::{NotFetched, Source, codes, crypto::refused};
use fault::Result;
use openssl::{
    pkey::{PKeyRef, Public},
    x509::{X509, X509Ref},
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

/// Adds to `crls` what they lack for a chain whose signatures are verified: a current list of each certificate's
/// issuer. Where one is there already nothing is fetched. Gives the certificates that remain without.
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
        let is_current = |(_, crl): &NamedCrl| matches!(Standing::of(crl, issuer, &key, now), Standing::Current { .. });
        if crls.iter().any(is_current) {
            continue;
        }
        match current(certificate, issuer, &key, fetch, now) {
            Ok(found) => crls.extend(found),
            Err(reasons) => missed.push(Missed { certificate: certificate.clone(), reasons }),
        }
    }
    Ok(missed)
}

/// Current lists of `issuer` from the first address in `certificate` that has any, or why there are none.
pub(super) fn current(
    certificate: &X509Ref,
    issuer: &X509Ref,
    key: &PKeyRef<Public>,
    fetch: &dyn Fetch,
    now: &Instant,
) -> std::result::Result<Vec<NamedCrl>, Vec<NotFetched>> {
    let mut reasons = Vec::new();
    for uri in crl_uris(certificate) {
        match usable(&uri, issuer, key, fetch, now) {
            Ok(found) => return Ok(found),
            Err(NotFetched { reason, code }) => reasons.push(NotFetched { reason: format!("{uri} {reason}"), code }),
        }
    }
    Err(reasons)
}

fn usable(
    uri: &str,
    issuer: &X509Ref,
    key: &PKeyRef<Public>,
    fetch: &dyn Fetch,
    now: &Instant,
) -> std::result::Result<Vec<NamedCrl>, NotFetched> {
    let scheme = uri.split_once(':').map(|(scheme, _)| scheme.to_ascii_lowercase()).unwrap_or_default();
    if scheme != "http" && scheme != "https" {
        return Err("was not asked, for it is neither http nor https".into());
    }
    let answer = Source { name: uri.to_owned(), bytes: fetch.fetch(uri)?.to_vec() };
    let found = crls::parse(&answer, &mut Room::default()).map_err(|fault| match fault.code {
        codes::NOT_A_CRL => "holds a revocation list that is damaged",
        _ => "holds more than is read of revocation lists",
    })?;
    let mut reason = match found.len() {
        0 => "holds no revocation list".to_owned(),
        _ => "holds a revocation list that the certificate's issuer has not signed".into(),
    };
    let mut current = Vec::new();
    for crl in found {
        match Standing::of(&crl, issuer, key, now) {
            Standing::Current { .. } => current.push((uri.to_owned(), crl)),
            Standing::Outdated { next_update } => {
                reason = format!("holds a revocation list that is outdated since {}", iso8601(next_update));
            }
            Standing::Unusable { code, what } => {
                return Err(NotFetched { reason: format!("holds a revocation list that {what}"), code });
            }
            Standing::NotYetValid => reason = "holds a revocation list that is not valid yet".into(),
            Standing::None => {}
        }
    }
    if current.is_empty() { Err(reason.into()) } else { Ok(current) }
}
