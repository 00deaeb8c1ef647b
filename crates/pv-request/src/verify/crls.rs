//! Revocation lists.

use super::{
    Trust,
    extensions::{Holder, Scope, list_kind},
    names::same_name,
    signed::is_weakly_signed,
    time,
    time::Instant,
};
use crate::{Source, codes, der, host_key::more_behind};
use fault::{Code, Fault, Result};
use openssl::{
    pkey::{PKeyRef, Public},
    x509::{CrlStatus, ReasonCode, X509Crl, X509Ref},
};

const PEM_BEGIN: &[u8] = b"-----BEGIN X509 CRL-----";
const PEM_END: &[u8] = b"-----END X509 CRL-----";

/// A revocation list and the file that it is in.
pub(super) type NamedCrl = (String, X509Crl);

/// The most bytes of one list. OpenSSL takes about seventeen times as much memory, and IBM's have a few thousand.
pub(crate) const LIST_LIMIT: usize = 4 << 20;
/// The most bytes of all lists together.
const ALL_LISTS_LIMIT: usize = 2 * LIST_LIMIT;
/// The most revocation lists that are read: a chain needs four.
pub const MOST_LISTS: usize = 1000;

/// What may still be read.
pub(super) struct Room {
    bytes: usize,
    lists: usize,
}

impl Default for Room {
    fn default() -> Self {
        Self { bytes: ALL_LISTS_LIMIT, lists: MOST_LISTS }
    }
}

impl Room {
    /// Takes that of a list, before it is parsed.
    fn take(&mut self, name: &str, bytes: usize) -> Result<()> {
        let too_large = |what: String| {
            Err(Fault::new(codes::FILE_TOO_LARGE, what)
                .hint("Name only the current lists of the authorities above the host key documents, each as its issuer publishes it."))
        };
        if bytes > LIST_LIMIT {
            return too_large(format!(
                "A revocation list in {name} is larger than {} MiB and was not read.",
                LIST_LIMIT >> 20
            ));
        }
        let Some(bytes_left) = self.bytes.checked_sub(bytes) else {
            let limit = ALL_LISTS_LIMIT >> 20;
            return too_large(format!(
                "With those in {name} the revocation lists are larger than {limit} MiB in total."
            ));
        };
        let lists_left = self.lists.checked_sub(1).ok_or_else(|| too_many("revocation lists", MOST_LISTS, name))?;
        *self = Self { bytes: bytes_left, lists: lists_left };
        Ok(())
    }
}

/// That a user names more of something than is read.
pub(super) fn too_many(what: &str, most: usize, name: &str) -> Fault {
    Fault::new(codes::TOO_MANY, format!("With those in {name} there are more than {most} {what}, which is the limit."))
        .hint("Name only those of the authorities above the host key documents.")
}

/// All revocation lists of the user's files. Those in `crls` must hold one; certificates and root may.
pub(super) fn read(trust: &Trust) -> Result<Vec<NamedCrl>> {
    let (mut all, mut room) = (Vec::new(), Room::default());
    for source in &trust.crls {
        let found = parse(source, &mut room)?;
        if found.is_empty() {
            return Err(Fault::new(
                codes::NOT_A_CRL,
                format!("{} contains no certificate revocation list, neither DER nor PEM.", source.name),
            )
            .hint("Name revocation lists in crls, and certificates in certificates; if it is the right file, get it again."));
        }
        all.extend(found.into_iter().map(|crl| (source.name.clone(), crl)));
    }
    for source in trust.certificates.iter().chain([&trust.root]) {
        all.extend(parse(source, &mut room)?.into_iter().map(|crl| (source.name.clone(), crl)));
    }
    Ok(all)
}

/// Whether there is a list in what a file holds, be it one that is too large.
pub(super) fn is_there(source: &Source) -> bool {
    match parse(source, &mut Room::default()) {
        Ok(lists) => !lists.is_empty(),
        Err(fault) => fault.code != codes::NOT_A_CRL,
    }
}

/// All revocation lists of a file: in DER one after the other, or any number in PEM between anything else.
///
/// # Errors
/// [`codes::NOT_A_CRL`] where one is damaged, or something else than blank space stands behind those in DER: it may be the
/// one that revokes.
/// [`codes::FILE_TOO_LARGE`] and [`codes::TOO_MANY`] where there is no `room`.
pub(super) fn parse(source: &Source, room: &mut Room) -> Result<Vec<X509Crl>> {
    let (mut crls, mut rest) = (Vec::new(), source.bytes.as_slice());
    while let Some((first, behind)) = der::split_first(rest) {
        // Unless there is one already, this may be anything.
        if first.len() > LIST_LIMIT || !crls.is_empty() {
            room.take(&source.name, first.len())?;
        }
        let Ok(crl) = X509Crl::from_der(first) else { break };
        if crls.is_empty() {
            room.take(&source.name, first.len())?;
        }
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
        let block = end.map_or(block, |end| block.get(..end).unwrap_or_default());
        // Four characters are three bytes.
        let content = block.get(PEM_BEGIN.len()..block.len().saturating_sub(PEM_END.len())).unwrap_or_default();
        room.take(&source.name, content.iter().filter(|byte| !byte.is_ascii_whitespace()).count() / 4 * 3)?;
        let crl = end.and_then(|_| X509Crl::from_pem(block).ok());
        crls.push(crl.ok_or_else(|| {
            Fault::new(codes::NOT_A_CRL, format!("A revocation list in {} is damaged.", source.name))
                .hint("Get the file again from its source.")
        })?);
        rest = rest.get(begin + block.len()..).unwrap_or_default();
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
    /// Only lists of other certificates are there.
    OtherScope { file: String },
    /// No list is there.
    None,
}

const WEAK: &str = "is signed with a weak digest or an unknown method";
const NOT_UNDERSTOOD: &str = "has an unknown critical extension";
const DELTA: &str = "contains only the changes since another one";
const PART: &str = "does not cover everything: it is for some reasons only, or for several issuers";
const OF_AUTHORITIES: &str = "covers only authorities, and a host key document is not one";

/// That a list must not be relied on.
pub(super) fn unusable(file: &str, code: Code, what: &str) -> Fault {
    Fault::new(code, format!("The revocation list {file} {what}."))
        .hint("Get the issuer's current and complete list, and name that in crls; do not name this one.")
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
        let der = crl.to_der().unwrap_or_default();
        // Whether such a signature verifies does not matter: OpenSSL may not even know the digest any more.
        if is_weakly_signed(&der) {
            return Self::Unusable { code: codes::WEAK_SIGNATURE, what: WEAK };
        }
        if !crl.verify(key).unwrap_or(false) {
            return Self::None;
        }
        match list_kind(&der) {
            Some(kind) if kind.is_delta => return Self::Unusable { code: codes::CRL_SCOPE, what: DELTA },
            Some(kind) if kind.scope == Scope::Part => return Self::Unusable { code: codes::CRL_SCOPE, what: PART },
            Some(kind) if kind.is_understood => {}
            _ => return Self::Unusable { code: codes::CRITICAL_EXTENSION, what: NOT_UNDERSTOOD },
        }
        match crl.next_update().map(time::unix) {
            Some(Ok(_)) if now.is_before(crl.last_update()) => Self::NotYetValid,
            Some(Ok(next_update)) if next_update < now.unix => Self::Outdated { next_update },
            Some(Ok(next_update)) => Self::Current { next_update },
            _ => Self::None,
        }
    }
}

/// Whether a list names a certificate of its issuer as revoked.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It does not.
    NotNamed,
    /// It does, for a reason that can pass: on hold, or off hold again.
    OnHold,
    /// It does, for good (RFC 5280, 5.3.1).
    ForGood,
}

/// What a list says of a certificate.
pub(super) fn verdict(crl: &X509Crl, certificate: &X509Ref) -> Verdict {
    const HOLD: i64 = 6;
    match crl.get_by_serial(certificate.serial_number()) {
        CrlStatus::NotRevoked => Verdict::NotNamed,
        CrlStatus::RemoveFromCrl(_) => Verdict::OnHold,
        CrlStatus::Revoked(entry) => match entry.extension::<ReasonCode>() {
            Ok(Some((_, reason))) if reason.get_i64().is_ok_and(|reason| reason == HOLD) => Verdict::OnHold,
            _ => Verdict::ForGood,
        },
    }
}

/// A list that the IBM signing key has signed.
struct Listed {
    file: String,
    crl: X509Crl,
    scope: Scope,
    /// Of one that is of now or was.
    next_update: i64,
}

impl Listed {
    /// Whether the certificate would be in it if it were revoked.
    fn is_of(&self, certificate: &X509Ref) -> bool {
        // A host key document is of a user, as the standard has it.
        self.scope.is_of(certificate, Holder::User)
    }
}

/// The revocation lists that the IBM signing key has signed; others say nothing about host key documents.
#[derive(Default)]
pub(super) struct SignedCrls {
    current: Vec<Listed>,
    outdated: Vec<Listed>,
    future: Vec<Listed>,
}

impl SignedCrls {
    /// Those of `crls` that `signing` has issued and signed and that have an end.
    ///
    /// # Errors
    /// That one of them must not be relied on.
    pub(super) fn select(crls: Vec<NamedCrl>, signing: &X509Ref, key: &PKeyRef<Public>, now: &Instant) -> Result<Self> {
        let mut selected = Self::default();
        for (file, crl) in crls {
            let (list, next_update) = match Standing::of(&crl, signing, key, now) {
                Standing::Current { next_update } => (&mut selected.current, next_update),
                Standing::Outdated { next_update } => (&mut selected.outdated, next_update),
                Standing::NotYetValid => (&mut selected.future, 0),
                Standing::Unusable { code, what } => return Err(unusable(&file, code, what)),
                Standing::None => continue,
            };
            let scope = Scope::of(&crl);
            if matches!(scope, Scope::Of { holder: Some(Holder::Authority), .. }) {
                return Err(unusable(&file, codes::CRL_SCOPE, OF_AUTHORITIES));
            }
            list.push(Listed { file, crl, scope, next_update });
        }
        Ok(selected)
    }

    /// Whether one of them is of now and of this certificate.
    pub(super) fn has_current(&self, certificate: &X509Ref) -> bool {
        self.current.iter().any(|listed| listed.is_of(certificate))
    }

    /// Adds those of another selection for the same signing key.
    pub(super) fn add(&mut self, other: Self) {
        self.current.extend(other.current);
        self.outdated.extend(other.outdated);
        self.future.extend(other.future);
    }

    /// What they say of the document. One that is revoked for good in any of them is revoked, whatever the list's time. One
    /// that was on hold in an outdated list may be off it again: a current list, where one is there, knows.
    pub(super) fn state(&self, certificate: &X509Ref) -> CrlState {
        let has_current = self.has_current(certificate);
        let old = |listed: &&Listed| match verdict(&listed.crl, certificate) {
            Verdict::NotNamed => false,
            Verdict::OnHold => !has_current,
            Verdict::ForGood => true,
        };
        let named = |listed: &&Listed| verdict(&listed.crl, certificate) != Verdict::NotNamed;
        let revoked = self.current.iter().chain(&self.future).find(named).or_else(|| self.outdated.iter().find(old));
        if let Some(Listed { file, .. }) = revoked {
            return CrlState::Revoked { file: file.clone() };
        }
        let latest = |lists: &'_ [Listed]| {
            let of_it = lists.iter().filter(|listed| listed.is_of(certificate));
            of_it.max_by_key(|listed| listed.next_update).map(|listed| (listed.file.clone(), listed.next_update))
        };
        let any = self.current.iter().chain(&self.outdated).chain(&self.future).next();
        match (latest(&self.current), latest(&self.outdated), latest(&self.future), any) {
            (Some((_, next_update)), ..) => CrlState::Good { next_update },
            (None, Some((file, next_update)), ..) => CrlState::Outdated { file, next_update },
            (None, None, Some((file, _)), _) => CrlState::NotYetValid { file },
            (None, None, None, Some(Listed { file, .. })) => CrlState::OtherScope { file: file.clone() },
            (None, None, None, None) => CrlState::None,
        }
    }
}
