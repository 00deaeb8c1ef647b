//! Revocation lists.

use super::{Trust, names::same_name, signed::is_weakly_signed, time, time::Instant};
use crate::{Source, codes, der, host_key::more_behind};
use fault::{Code, Fault, Result};
use openssl::{
    asn1::Asn1IntegerRef,
    pkey::{PKeyRef, Public},
    x509::{CrlStatus, X509Crl, X509Ref},
};

const PEM_BEGIN: &[u8] = b"-----BEGIN X509 CRL-----";
const PEM_END: &[u8] = b"-----END X509 CRL-----";

/// A revocation list and the file that it is in.
pub(super) type NamedCrl = (String, X509Crl);

/// All revocation lists of the user's files. Those in `crls` must hold one; certificates and root may.
pub(super) fn read(trust: &Trust) -> Result<Vec<NamedCrl>> {
    let mut all = Vec::new();
    for source in &trust.crls {
        let found = parse(source)?;
        if found.is_empty() {
            return Err(Fault::new(
                codes::NOT_A_CRL,
                format!("{} holds no certificate revocation list, neither DER nor PEM.", source.name),
            )
            .hint("Name revocation lists in crls, and certificates in certificates; if it is the right file, get it again."));
        }
        all.extend(found.into_iter().map(|crl| (source.name.clone(), crl)));
    }
    for source in trust.certificates.iter().chain([&trust.root]) {
        all.extend(parse(source)?.into_iter().map(|crl| (source.name.clone(), crl)));
    }
    Ok(all)
}

/// All revocation lists of a file: in DER one after the other, or any number in PEM between anything else.
///
/// # Errors
/// [`codes::NOT_A_CRL`] where one is damaged, or something else stands behind those in DER: it may be the one that revokes.
pub(super) fn parse(source: &Source) -> Result<Vec<X509Crl>> {
    let (mut crls, mut rest) = (Vec::new(), source.bytes.as_slice());
    while let Some((first, behind)) = der::split_first(rest) {
        let Ok(crl) = X509Crl::from_der(first) else { break };
        crls.push(crl);
        rest = behind;
    }
    if !crls.is_empty() {
        let more = || more_behind(&source.name, rest.len(), "revocation list");
        return if rest.is_empty() { Ok(crls) } else { Err(more()) };
    }
    while let Some(begin) = find(rest, PEM_BEGIN) {
        let block = rest.get(begin..).unwrap_or_default();
        let end = find(block, PEM_END).map(|end| end + PEM_END.len());
        let crl = end.and_then(|end| block.get(..end)).and_then(|pem| X509Crl::from_pem(pem).ok());
        crls.push(crl.ok_or_else(|| {
            Fault::new(codes::NOT_A_CRL, format!("A revocation list in {} is damaged.", source.name))
                .hint("Get the file again from where it came.")
        })?);
        rest = end.and_then(|end| block.get(end..)).unwrap_or_default();
    }
    Ok(crls)
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

/// What the revocation lists say of one document.
pub(super) enum CrlState {
    /// A current list does not revoke it.
    Good { next_update: i64 },
    /// Only lists that are outdated are there; they do not revoke it.
    Outdated { file: String, next_update: i64 },
    /// Only lists are there that begin in the future; they do not revoke it.
    NotYetValid { file: String },
    /// It is revoked.
    Revoked { file: String },
    /// No list is there.
    None,
}

const WEAK: &str = "is signed with a digest that can be forged, or in a way that is not known";

/// That a list must not be relied on.
pub(super) fn unusable(file: &str, code: Code, what: &str) -> Fault {
    Fault::new(code, format!("The revocation list {file} {what}."))
        .hint("Get the issuer's current list, and name that in crls; do not name this one.")
}

/// What one list is worth for the certificates of an issuer.
pub(super) enum Standing {
    /// It is of now.
    Current { next_update: i64 },
    /// It should have been replaced by now.
    Outdated { next_update: i64 },
    /// It begins in the future.
    NotYetValid,
    /// It names the issuer, and must not be relied on; `what` completes "The revocation list ...".
    Unusable { code: Code, what: &'static str },
    /// The issuer has not issued and signed it, or it has no end: it says nothing.
    None,
}

impl Standing {
    /// Of `crl`, where `issuer` has this `key`.
    pub(super) fn of(crl: &X509Crl, issuer: &X509Ref, key: &PKeyRef<Public>, now: &Instant) -> Self {
        if !same_name(crl.issuer_name(), issuer.subject_name()) {
            return Self::None;
        }
        // Whether such a signature verifies does not matter: OpenSSL may not even know the digest any more.
        if crl.to_der().is_ok_and(|der| is_weakly_signed(&der)) {
            return Self::Unusable { code: codes::WEAK_SIGNATURE, what: WEAK };
        }
        if !crl.verify(key).unwrap_or(false) {
            return Self::None;
        }
        match crl.next_update().map(time::unix) {
            Some(Ok(_)) if now.is_before(crl.last_update()) => Self::NotYetValid,
            Some(Ok(next_update)) if next_update < now.unix => Self::Outdated { next_update },
            Some(Ok(next_update)) => Self::Current { next_update },
            _ => Self::None,
        }
    }
}

/// The revocation lists that the IBM signing key has signed; others say nothing about host key documents.
#[derive(Default)]
pub(super) struct SignedCrls {
    current: Vec<(NamedCrl, i64)>,
    outdated: Vec<(NamedCrl, i64)>,
    future: Vec<NamedCrl>,
}

impl SignedCrls {
    /// Those of `crls` that `signing` has issued and signed and that have an end.
    ///
    /// # Errors
    /// That one of them must not be relied on.
    pub(super) fn select(crls: Vec<NamedCrl>, signing: &X509Ref, key: &PKeyRef<Public>, now: &Instant) -> Result<Self> {
        let mut selected = Self::default();
        for named in crls {
            match Standing::of(&named.1, signing, key, now) {
                Standing::Current { next_update } => selected.current.push((named, next_update)),
                Standing::Outdated { next_update } => selected.outdated.push((named, next_update)),
                Standing::NotYetValid => selected.future.push(named),
                Standing::Unusable { code, what } => return Err(unusable(&named.0, code, what)),
                Standing::None => {}
            }
        }
        Ok(selected)
    }

    /// Whether one of them is of now.
    pub(super) fn has_current(&self) -> bool {
        !self.current.is_empty()
    }

    /// Adds those of another selection for the same signing key.
    pub(super) fn add(&mut self, other: Self) {
        self.current.extend(other.current);
        self.outdated.extend(other.outdated);
        self.future.extend(other.future);
    }

    /// What they say of the document with this serial number. Lists of another time count only where no current one
    /// is there: a document may have been on hold in them.
    pub(super) fn state(&self, serial: &Asn1IntegerRef) -> CrlState {
        let revokes = |crl: &X509Crl| !matches!(crl.get_by_serial(serial), CrlStatus::NotRevoked);
        let latest = |crls: &[(NamedCrl, i64)]| {
            crls.iter().max_by_key(|(_, next_update)| *next_update).map(|((file, _), next)| (file.clone(), *next))
        };
        let current = latest(&self.current);
        let others = self.outdated.iter().map(|(named, _)| named).chain(&self.future);
        let revoked = self.current.iter().map(|(named, _)| named).chain(others.filter(|_| current.is_none()));
        if let Some((file, _)) = revoked.into_iter().find(|(_, crl)| revokes(crl)) {
            return CrlState::Revoked { file: file.clone() };
        }
        match (current, latest(&self.outdated), self.future.first()) {
            (Some((_, next_update)), _, _) => CrlState::Good { next_update },
            (None, Some((file, next_update)), _) => CrlState::Outdated { file, next_update },
            (None, None, Some((file, _))) => CrlState::NotYetValid { file: file.clone() },
            (None, None, None) => CrlState::None,
        }
    }
}
