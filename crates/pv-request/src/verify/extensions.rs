//! Extensions of certificates and revocation lists (RFC 5280, 4.2, 5.2 and 5.3), as far as OpenSSL's safe interface does not
//! show them: which are critical, and of what a list is.

use super::names::crl_uris;
use crate::der::{BOOLEAN, INTEGER, OCTETS, OID, SEQUENCE, Value, Values};
use openssl::x509::{X509CrlRef, X509Ref};

/// Object identifiers below 2.5.29, by their last number.
const BASE: &[u8] = &[0x55, 0x1d];
const SUBJECT_KEY_ID: u8 = 14;
const KEY_USAGE: u8 = 15;
const BASIC_CONSTRAINTS: u8 = 19;
const CRL_NUMBER: u8 = 20;
const REASON: u8 = 21;
const INVALIDITY_DATE: u8 = 24;
const DELTA_INDICATOR: u8 = 27;
const ISSUING_POINT: u8 = 28;
const DISTRIBUTION_POINTS: u8 = 31;
const AUTHORITY_KEY_ID: u8 = 35;

/// What is checked of a host key document, or says nothing that could be broken by using it.
const OF_DOCUMENT: &[u8] = &[SUBJECT_KEY_ID, KEY_USAGE, BASIC_CONSTRAINTS, DISTRIBUTION_POINTS, AUTHORITY_KEY_ID];
const OF_LIST: &[u8] = &[CRL_NUMBER, DELTA_INDICATOR, ISSUING_POINT, AUTHORITY_KEY_ID];
/// Not whose certificate it is: that changes in lists of several issuers.
const OF_ENTRY: &[u8] = &[REASON, INVALIDITY_DATE];

struct Extension<'a> {
    oid: &'a [u8],
    is_critical: bool,
    content: &'a [u8],
}

impl Extension<'_> {
    fn is(&self, number: u8) -> bool {
        self.oid.strip_prefix(BASE) == Some(&[number])
    }

    fn is_understood(&self, known: &[u8]) -> bool {
        !self.is_critical || known.iter().any(|number| self.is(*number))
    }
}

/// Reads what is one. `None` for what is not as the standard has it.
fn extension(value: Value<'_>) -> Option<Extension<'_>> {
    let mut parts = value.parts(SEQUENCE)?;
    let oid = parts.of_tag(OID)?.content;
    let is_critical = parts.of_tag(BOOLEAN).is_some_and(|flag| flag.content != [0]);
    Some(Extension { oid, is_critical, content: parts.of_tag(OCTETS)?.content })
}

/// All values, if nothing is between or behind them that is none: it could hide what matters.
fn whole(mut values: Values<'_>) -> Option<Vec<Value<'_>>> {
    let all = values.by_ref().collect();
    values.0.is_empty().then_some(all)
}

/// The extensions of a list of them.
fn extensions(list: Value<'_>) -> Option<Vec<Extension<'_>>> {
    whole(list.parts(SEQUENCE)?)?.into_iter().map(extension).collect()
}

/// Those in a field that may hold such a list, explicitly tagged.
fn extensions_in<'a>(field: Option<&Value<'a>>) -> Option<Vec<Extension<'a>>> {
    field.map_or_else(|| Some(Vec::new()), |field| extensions(Values(field.content).next()?))
}

fn are_understood(extensions: &[Extension<'_>], known: &[u8]) -> bool {
    extensions.iter().all(|one| one.is_understood(known))
}

/// What a certificate or a list says before it is signed.
fn signed(der: &[u8]) -> Option<Values<'_>> {
    Values(der).next()?.parts(SEQUENCE)?.next()?.parts(SEQUENCE)
}

/// Whether every critical extension of a host key document, given in DER, is understood.
pub(super) fn document_is_understood(der: &[u8]) -> bool {
    let extensions = || extensions_in(whole(signed(der)?)?.iter().find(|field| field.tag == 0xa3));
    extensions().is_some_and(|extensions| are_understood(&extensions, OF_DOCUMENT))
}

/// Whose a certificate is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holder {
    /// That of one who issues none, such as a signing key or a host key.
    User,
    /// That of one who issues others.
    Authority,
}

impl Holder {
    /// As the certificate says (RFC 5280, 4.2.1.9).
    pub(super) fn of(certificate: &X509Ref) -> Self {
        let der = certificate.to_der().unwrap_or_default();
        let is_authority = || {
            let fields = whole(signed(&der)?)?;
            let extensions = extensions_in(fields.iter().find(|field| field.tag == 0xa3))?;
            let constraints = extensions.iter().find(|one| one.is(BASIC_CONSTRAINTS))?;
            let flag = Values(constraints.content).next()?.parts(SEQUENCE)?.of_tag(BOOLEAN)?;
            Some(flag.content != [0])
        };
        if is_authority().unwrap_or(false) { Self::Authority } else { Self::User }
    }
}

/// Of which certificates of its issuer a list is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    /// Of those that fulfil both.
    Of {
        /// Whose they are, if not everybody's.
        holder: Option<Holder>,
        /// They name one of these addresses as where their list is, if it is not of all.
        at: Option<Vec<String>>,
    },
    /// Not all that is to be known of any: for some reasons only, of several issuers, or of what are no certificates of keys.
    Part,
}

impl Scope {
    /// Of a list. What cannot be read is not all.
    pub(super) fn of(crl: &X509CrlRef) -> Self {
        let kind = crl.to_der().ok().and_then(|der| list_kind(&der));
        kind.map_or(Self::Part, |kind| kind.scope)
    }

    /// Whether a certificate of the list's issuer would be in the list if it were revoked.
    pub(super) fn is_of(&self, certificate: &X509Ref, whose: Holder) -> bool {
        match self {
            Self::Of { holder, at } => {
                let is_there = |uris: &Vec<String>| crl_uris(certificate).iter().any(|uri| uris.contains(uri));
                holder.is_none_or(|holder| holder == whose) && at.as_ref().is_none_or(is_there)
            }
            Self::Part => false,
        }
    }
}

/// What a list says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ListKind {
    /// Every critical extension of it and of its entries is understood.
    pub(super) is_understood: bool,
    /// It holds only what changed since another list.
    pub(super) is_delta: bool,
    /// Of which certificates it is.
    pub(super) scope: Scope,
}

/// Reads it from a list in DER. `None` for what is not as the standard has it.
pub(super) fn list_kind(der: &[u8]) -> Option<ListKind> {
    let mut fields = signed(der)?;
    fields.of_tag(INTEGER);
    let (_way, _issuer) = (fields.of_tag(SEQUENCE)?, fields.of_tag(SEQUENCE)?);
    // Behind its two times, the entries.
    let rest = whole(fields)?;
    let entries = rest.iter().find(|field| field.tag == SEQUENCE);
    let of_list = extensions_in(rest.iter().find(|field| field.tag == 0xa0))?;
    let mut entries_are_understood = true;
    for entry in entries.map_or_else(|| Some(Vec::new()), |entries| whole(entries.parts(SEQUENCE)?))? {
        let parts = whole(entry.parts(SEQUENCE)?)?;
        let list = parts.iter().find(|part| part.tag == SEQUENCE);
        let of_entry = list.map_or_else(|| Some(Vec::new()), |list| extensions(*list))?;
        entries_are_understood &= are_understood(&of_entry, OF_ENTRY);
    }
    let point = of_list.iter().find(|one| one.is(ISSUING_POINT));
    Some(ListKind {
        is_understood: entries_are_understood && are_understood(&of_list, OF_LIST),
        is_delta: of_list.iter().any(|one| one.is(DELTA_INDICATOR)),
        scope: match point {
            Some(point) => scope(point.content).unwrap_or(Scope::Part),
            None => Scope::Of { holder: None, at: None },
        },
    })
}

/// IssuingDistributionPoint (RFC 5280, 5.2.5).
fn scope(content: &[u8]) -> Option<Scope> {
    let mut parts = Values(content).next()?.parts(SEQUENCE)?;
    whole(parts)?;
    let point = parts.of_tag(0xa0);
    let mut is_set = |tag| parts.of_tag(tag).is_some_and(|flag| flag.content != [0]);
    let holder = match (is_set(0x81), is_set(0x82)) {
        (false, false) => None,
        (true, false) => Some(Holder::User),
        (false, true) => Some(Holder::Authority),
        // Of nobody.
        (true, true) => return None,
    };
    if parts.any(|part| part.content != [0]) {
        return Some(Scope::Part);
    }
    let Some(point) = point else { return Some(Scope::Of { holder, at: None }) };
    let names = Values(point.content).of_tag(0xa0)?;
    let uris = Values(names.content).filter(|name| name.tag == 0x86);
    let at = uris.filter_map(|uri| String::from_utf8(uri.content.to_vec()).ok()).collect();
    Some(Scope::Of { holder, at: Some(at) })
}
