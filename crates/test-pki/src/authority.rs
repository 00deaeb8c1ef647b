//! Keys that sign: what they issue and what they revoke.

use crate::der;
use crate::keys::rsa_key;
use openssl::{
    asn1::{Asn1Integer, Asn1Object, Asn1OctetString, Asn1Time},
    bn::{BigNum, MsbOption},
    ec::{EcGroup, EcKey},
    error::ErrorStack,
    hash::MessageDigest,
    nid::Nid,
    pkey::{HasPublic, PKey, PKeyRef, Private},
    rsa::Rsa,
    x509::{
        X509, X509Crl, X509CrlBuilder, X509Extension, X509Name, X509NameRef, X509RevokedBuilder,
        extension::{BasicConstraints, ExtendedKeyUsage, KeyUsage, SubjectKeyIdentifier},
    },
};
use std::time::{SystemTime, UNIX_EPOCH};

/// An instant, in seconds since 1970, that is `days` away.
pub fn days_from_now(days: i64) -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    i64::try_from(now).unwrap_or(0) + days * 86_400
}

/// A key that is too weak to be trusted: RSA-1024.
///
/// # Errors
/// What OpenSSL answers.
pub fn weak_key() -> Result<PKey<Private>, ErrorStack> {
    PKey::from_rsa(Rsa::generate(1024)?)
}

/// A new key on `curve`; host keys are on P-521.
///
/// # Errors
/// What OpenSSL answers.
pub fn host_key(curve: Nid) -> Result<PKey<Private>, ErrorStack> {
    let group = EcGroup::from_curve_name(curve)?;
    PKey::from_ec_key(EcKey::generate(&group)?)
}

/// The subject of IBM's signing key: locality `Poughkeepsie` or `Armonk`, and a unit that ends with
/// `Key Signing Service`.
///
/// # Errors
/// What OpenSSL answers.
pub fn signing_name(locality: &str, unit: &str) -> Result<X509Name, ErrorStack> {
    name(&[
        (Nid::COUNTRYNAME, "US"),
        (Nid::STATEORPROVINCENAME, "New York"),
        (Nid::LOCALITYNAME, locality),
        (Nid::ORGANIZATIONNAME, "International Business Machines Corporation"),
        (Nid::ORGANIZATIONALUNITNAME, unit),
        (Nid::COMMONNAME, "International Business Machines Corporation"),
    ])
}

pub(crate) fn name(entries: &[(Nid, &str)]) -> Result<X509Name, ErrorStack> {
    let mut name = X509Name::builder()?;
    for (attribute, value) in entries {
        name.append_entry_by_nid(*attribute, value)?;
    }
    Ok(name.build())
}

/// What a certificate is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Issues certificates and revocation lists.
    Ca,
    /// Signs host key documents and their revocation list, and is no CA.
    Signing,
    /// A host key document.
    Host,
}

/// What a certificate says of the use of its key, in the extension keyUsage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Usage {
    /// What its role needs.
    Usual,
    /// Only nonRepudiation, which no role needs.
    Other,
    /// It has no such extension.
    Unsaid,
}

/// A certificate to be issued.
pub struct Issue {
    /// Whom it names.
    pub subject: X509Name,
    /// The issuer's name, if not the authority's own.
    pub issuer: Option<X509Name>,
    /// What it is for.
    pub role: Role,
    /// The use of its key.
    pub usage: Usage,
    /// Serial number; random if `None`.
    pub serial: Option<u32>,
    /// From when it is valid, in seconds since 1970.
    pub not_before: i64,
    /// Until when.
    pub not_after: i64,
    /// Key id of the issuer that it names: the authority's own, another, or none.
    pub authority_key_id: Option<Vec<u8>>,
    /// Where it says that its issuer's revocation list is; each names the same list.
    pub crl_uris: Vec<String>,
    /// Digest of the signature.
    pub digest: MessageDigest,
    /// What else it says.
    pub extensions: Vec<MoreExtension>,
}

/// An extension that is out of the ordinary.
#[derive(Clone, Debug)]
pub struct MoreExtension {
    /// Its object identifier, with dots.
    pub oid: &'static str,
    /// Whether whoever does not understand it must refuse the whole.
    pub critical: bool,
    /// Its content in DER.
    pub content: Vec<u8>,
}

impl MoreExtension {
    fn build(&self) -> Result<X509Extension, ErrorStack> {
        let content = Asn1OctetString::new_from_bytes(&self.content)?;
        X509Extension::new_from_der(&*Asn1Object::from_str(self.oid)?, self.critical, &content)
    }
}

impl std::fmt::Debug for Issue {
    /// OpenSSL's values cannot be shown.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Issue").finish_non_exhaustive()
    }
}

/// A revocation list to be issued.
pub struct Crl {
    /// The issuer's name, if not the authority's own.
    pub issuer: Option<X509Name>,
    /// Serial numbers of what is revoked.
    pub revoked: Vec<u32>,
    /// From when it is valid, in seconds since 1970.
    pub last_update: i64,
    /// Until when.
    pub next_update: i64,
    /// Digest of the signature.
    pub digest: MessageDigest,
    /// What else it says.
    pub extensions: Vec<MoreExtension>,
}

impl std::fmt::Debug for Crl {
    /// OpenSSL's values cannot be shown.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Crl").finish_non_exhaustive()
    }
}

impl Default for Crl {
    /// Valid now, revokes nothing.
    fn default() -> Self {
        Self {
            issuer: None,
            revoked: Vec::new(),
            last_update: days_from_now(-1),
            next_update: days_from_now(90),
            digest: MessageDigest::sha512(),
            extensions: Vec::new(),
        }
    }
}

/// A key that signs, and the certificate over it.
#[derive(Debug)]
pub struct Authority {
    /// The private key.
    pub key: PKey<Private>,
    /// Its certificate.
    pub certificate: X509,
}

impl Authority {
    /// A root CA: signs itself.
    ///
    /// # Errors
    /// What OpenSSL answers.
    pub fn root(subject: X509Name) -> Result<Self, ErrorStack> {
        let key = rsa_key()?;
        let issue = Issue {
            subject,
            issuer: None,
            role: Role::Ca,
            usage: Usage::Usual,
            serial: None,
            not_before: days_from_now(-1),
            not_after: days_from_now(3650),
            authority_key_id: None,
            crl_uris: Vec::new(),
            digest: MessageDigest::sha256(),
            extensions: Vec::new(),
        };
        let certificate = sign(&issue, &key, &issue.subject, &key)?;
        Ok(Self { key, certificate })
    }

    /// What this authority issues when nothing is wrong: valid now and for `days`.
    ///
    /// # Errors
    /// What OpenSSL answers.
    pub fn usual(&self, subject: &X509NameRef, role: Role, days: i64) -> Result<Issue, ErrorStack> {
        Ok(Issue {
            subject: subject.to_owned()?,
            issuer: None,
            role,
            usage: Usage::Usual,
            serial: None,
            not_before: days_from_now(-1),
            not_after: days_from_now(days),
            authority_key_id: self.key_id(),
            crl_uris: Vec::new(),
            digest: if role == Role::Host { MessageDigest::sha512() } else { MessageDigest::sha256() },
            extensions: Vec::new(),
        })
    }

    /// Issues a certificate over `key`.
    ///
    /// # Errors
    /// What OpenSSL answers.
    pub fn issue<T: HasPublic>(&self, issue: &Issue, key: &PKeyRef<T>) -> Result<X509, ErrorStack> {
        sign(issue, key, issue.issuer.as_deref().unwrap_or(self.certificate.subject_name()), &self.key)
    }

    /// An authority below this one, with a new key.
    ///
    /// # Errors
    /// What OpenSSL answers.
    pub fn issue_authority(&self, issue: &Issue) -> Result<Self, ErrorStack> {
        let key = rsa_key()?;
        let certificate = self.issue(issue, &key)?;
        Ok(Self { key, certificate })
    }

    /// Issues a revocation list.
    ///
    /// # Errors
    /// What OpenSSL answers.
    pub fn crl(&self, crl: &Crl) -> Result<X509Crl, ErrorStack> {
        let last_update = Asn1Time::from_unix(crl.last_update)?;
        let mut builder = X509CrlBuilder::new()?;
        builder.set_issuer_name(crl.issuer.as_deref().unwrap_or(self.certificate.subject_name()))?;
        builder.set_last_update(&last_update)?;
        builder.set_next_update(&*Asn1Time::from_unix(crl.next_update)?)?;
        builder
            .append_extension(extension("2.5.29.35", &der::authority_key_id(&self.key_id().unwrap_or_default()))?)?;
        builder.append_extension(extension("2.5.29.20", &der::crl_number(1))?)?;
        for more in &crl.extensions {
            builder.append_extension(more.build()?)?;
        }
        for serial in &crl.revoked {
            let mut entry = X509RevokedBuilder::new()?;
            entry.set_serial_number(&*integer(*serial)?)?;
            entry.set_revocation_date(&last_update)?;
            builder.add_revoked(entry.build())?;
        }
        builder.sort()?;
        builder.sign(&self.key, crl.digest)?;
        builder.build()
    }

    /// The key id in its certificate.
    pub fn key_id(&self) -> Option<Vec<u8>> {
        self.certificate.subject_key_id().map(|id| id.as_slice().to_vec())
    }
}

fn sign<T: HasPublic>(
    issue: &Issue,
    key: &PKeyRef<T>,
    issuer: &X509NameRef,
    issuer_key: &PKeyRef<Private>,
) -> Result<X509, ErrorStack> {
    let mut builder = X509::builder()?;
    builder.set_version(2)?;
    builder.set_serial_number(&*match issue.serial {
        Some(serial) => integer(serial)?,
        None => random_serial()?,
    })?;
    builder.set_subject_name(&issue.subject)?;
    builder.set_issuer_name(issuer)?;
    builder.set_not_before(&*Asn1Time::from_unix(issue.not_before)?)?;
    builder.set_not_after(&*Asn1Time::from_unix(issue.not_after)?)?;
    builder.set_pubkey(key)?;
    match issue.role {
        Role::Ca => {
            builder.append_extension(BasicConstraints::new().critical().ca().build()?)?;
        }
        Role::Signing => {
            builder.append_extension(BasicConstraints::new().critical().build()?)?;
            builder.append_extension(ExtendedKeyUsage::new().code_signing().build()?)?;
        }
        Role::Host => {}
    }
    let mut usage = KeyUsage::new();
    match (issue.usage, issue.role) {
        (Usage::Other, _) => usage.non_repudiation(),
        (_, Role::Ca) => usage.key_cert_sign().crl_sign(),
        (_, Role::Signing) => usage.digital_signature(),
        (_, Role::Host) => usage.key_agreement(),
    };
    if issue.usage != Usage::Unsaid {
        builder.append_extension(usage.critical().build()?)?;
    }
    let key_id = SubjectKeyIdentifier::new().build(&builder.x509v3_context(None, None))?;
    builder.append_extension(key_id)?;
    if let Some(key_id) = &issue.authority_key_id {
        builder.append_extension(extension("2.5.29.35", &der::authority_key_id(key_id))?)?;
    }
    if !issue.crl_uris.is_empty() {
        builder.append_extension(extension("2.5.29.31", &der::distribution_point(&issue.crl_uris))?)?;
    }
    for more in &issue.extensions {
        builder.append_extension(more.build()?)?;
    }
    builder.sign(issuer_key, issue.digest)?;
    Ok(builder.build())
}

fn extension(oid: &str, content: &[u8]) -> Result<X509Extension, ErrorStack> {
    X509Extension::new_from_der(&*Asn1Object::from_str(oid)?, false, &*Asn1OctetString::new_from_bytes(content)?)
}

fn integer(number: u32) -> Result<Asn1Integer, ErrorStack> {
    BigNum::from_u32(number)?.to_asn1_integer()
}

fn random_serial() -> Result<Asn1Integer, ErrorStack> {
    let mut number = BigNum::new()?;
    number.rand(127, MsbOption::ONE, false)?;
    number.to_asn1_integer()
}
