//! The whole hierarchy, and host key documents with a flaw.

use crate::authority::{Authority, Crl, Role, Usage, days_from_now, host_key, name, signing_name, weak_key};
use anyhow::{Context as _, Result};
use openssl::{
    nid::Nid,
    pkey::{HasPublic, PKeyRef},
    x509::{X509, X509Crl},
};
use std::{fs, path::Path};

/// Serial number that the signing key's revocation list always revokes.
pub const REVOKED_SERIAL: u32 = 0x0bad_0bad;

/// What can be wrong with a host key document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// Ended yesterday.
    Expired,
    /// Begins tomorrow.
    NotYetValid,
    /// Its serial number is in the revocation list.
    Revoked,
    /// Signed by the signing key, but names the intermediate CA as its issuer.
    OtherIssuer,
    /// Names the signing key in all ways, but somebody else signed it.
    ForgedSignature,
    /// Its authority key id is another key's.
    OtherAuthorityKey,
    /// Its key is on P-384.
    OtherCurve,
    /// Its key is RSA-1024.
    WeakKey,
    /// Its key is for nonRepudiation only, not for keyAgreement.
    OtherUsage,
}

impl Flaw {
    /// Every flaw with its spelling on the command line.
    pub const ALL: [(&'static str, Self); 9] = [
        ("expired", Self::Expired),
        ("not_yet_valid", Self::NotYetValid),
        ("revoked", Self::Revoked),
        ("other_issuer", Self::OtherIssuer),
        ("forged_signature", Self::ForgedSignature),
        ("other_authority_key", Self::OtherAuthorityKey),
        ("other_curve", Self::OtherCurve),
        ("weak_key", Self::WeakKey),
        ("other_usage", Self::OtherUsage),
    ];
}

/// Root CA, intermediate CA and signing key.
#[derive(Debug)]
pub struct Pki {
    /// Trusted by definition.
    pub root: Authority,
    /// Issued by the root.
    pub intermediate: Authority,
    /// Issued by the intermediate; signs host key documents.
    pub signing: Authority,
    crls_at: String,
}

impl Pki {
    /// A new hierarchy whose signing key names `locality`: `Poughkeepsie` or `Armonk`. Its revocation lists are
    /// nowhere.
    ///
    /// # Errors
    /// What OpenSSL answers.
    pub fn new(locality: &str) -> Result<Self> {
        Self::with_crls_at(locality, "http://crl.invalid")
    }

    /// A new hierarchy whose certificates say that the revocation lists are below the URI `crls_at`: `root_ca.crl`,
    /// `inter_ca.crl` and `ibm.crl`.
    ///
    /// # Errors
    /// What OpenSSL answers.
    pub fn with_crls_at(locality: &str, crls_at: &str) -> Result<Self> {
        let ca =
            |unit: &str| name(&[(Nid::COUNTRYNAME, "US"), (Nid::ORGANIZATIONNAME, "Pretend"), (Nid::COMMONNAME, unit)]);
        let root = Authority::root(ca("Pretend Root CA")?)?;
        let mut issue = root.usual(&*ca("Pretend Intermediate CA")?, Role::Ca, 1825)?;
        issue.crl_uris = vec![format!("{crls_at}/root_ca.crl")];
        let intermediate = root.issue_authority(&issue)?;
        let subject = signing_name(locality, "IBM Z Host Key Signing Service")?;
        let mut issue = intermediate.usual(&subject, Role::Signing, 730)?;
        issue.crl_uris = vec![format!("{crls_at}/inter_ca.crl")];
        let signing = intermediate.issue_authority(&issue)?;
        Ok(Self { root, intermediate, signing, crls_at: crls_at.into() })
    }

    /// A host key document over `key`, good or with one flaw.
    ///
    /// # Errors
    /// What OpenSSL answers.
    pub fn host_document<T: HasPublic>(&self, key: &PKeyRef<T>, flaw: Option<Flaw>) -> Result<X509> {
        let subject = name(&[
            (Nid::COUNTRYNAME, "US"),
            (Nid::ORGANIZATIONNAME, "International Business Machines Corporation"),
            (Nid::COMMONNAME, "Pretend host key"),
        ])?;
        let mut issue = self.signing.usual(&subject, Role::Host, 365)?;
        issue.crl_uris = vec![format!("{}/ibm.crl", self.crls_at)];
        let own = |authority: &Authority, issue| authority.issue(issue, key);
        let document = match flaw {
            None => own(&self.signing, &issue),
            Some(Flaw::Expired) => {
                issue.not_before = days_from_now(-365);
                issue.not_after = days_from_now(-1);
                own(&self.signing, &issue)
            }
            Some(Flaw::NotYetValid) => {
                issue.not_before = days_from_now(1);
                own(&self.signing, &issue)
            }
            Some(Flaw::Revoked) => {
                issue.serial = Some(REVOKED_SERIAL);
                own(&self.signing, &issue)
            }
            Some(Flaw::OtherIssuer) => {
                issue.issuer = Some(self.intermediate.certificate.subject_name().to_owned()?);
                own(&self.signing, &issue)
            }
            Some(Flaw::ForgedSignature) => {
                issue.issuer = Some(self.signing.certificate.subject_name().to_owned()?);
                own(&self.intermediate, &issue)
            }
            Some(Flaw::OtherAuthorityKey) => {
                issue.authority_key_id = self.intermediate.key_id();
                own(&self.signing, &issue)
            }
            Some(Flaw::OtherCurve) => self.signing.issue(&issue, &*host_key(Nid::SECP384R1)?),
            Some(Flaw::OtherUsage) => {
                issue.usage = Usage::Other;
                own(&self.signing, &issue)
            }
            Some(Flaw::WeakKey) => self.signing.issue(&issue, &*weak_key()?),
        };
        Ok(document?)
    }

    /// The signing key's revocation list, with [`REVOKED_SERIAL`] in it.
    ///
    /// # Errors
    /// What OpenSSL answers.
    pub fn signing_crl(&self) -> Result<X509Crl> {
        Ok(self.signing.crl(&Crl { revoked: vec![REVOKED_SERIAL], ..Crl::default() })?)
    }

    /// Writes `root_ca`, `inter_ca` and `ibm`, each `.crt` and `.crl` in PEM, into `dir`.
    ///
    /// # Errors
    /// What OpenSSL or the file system answers.
    pub fn write(&self, dir: &Path) -> Result<()> {
        let authorities = [
            ("root_ca", &self.root, self.root.crl(&Crl::default())?),
            ("inter_ca", &self.intermediate, self.intermediate.crl(&Crl::default())?),
            ("ibm", &self.signing, self.signing_crl()?),
        ];
        for (stem, authority, crl) in authorities {
            write_file(&dir.join(format!("{stem}.crt")), &authority.certificate.to_pem()?)?;
            write_file(&dir.join(format!("{stem}.crl")), &crl.to_pem()?)?;
        }
        Ok(())
    }
}

/// Writes a file; the error names it.
///
/// # Errors
/// What the file system answers.
pub fn write_file(path: &Path, content: &[u8]) -> Result<()> {
    fs::write(path, content).with_context(|| format!("{} could not be written", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hierarchy_signs_downwards_and_its_revocation_lists_verify() {
        let pki = Pki::new("Armonk").unwrap();
        let key = host_key(Nid::SECP521R1).unwrap();
        let document = pki.host_document(&key, None).unwrap();
        for (below, above) in [
            (&document, &pki.signing),
            (&pki.signing.certificate, &pki.intermediate),
            (&pki.intermediate.certificate, &pki.root),
        ] {
            assert!(below.verify(&above.key).unwrap());
            assert_eq!(below.authority_key_id().unwrap().as_slice(), above.key_id().unwrap());
        }
        assert!(pki.signing_crl().unwrap().verify(&pki.signing.key).unwrap());
        assert!(document.public_key().unwrap().public_eq(&key));
        let points = document.crl_distribution_points().unwrap();
        let names = points[0].distpoint().unwrap().fullname().unwrap();
        assert_eq!(names[0].uri(), Some("http://crl.invalid/ibm.crl"));
    }

    #[test]
    fn only_a_forged_document_does_not_verify() {
        let pki = Pki::new("Poughkeepsie").unwrap();
        let key = host_key(Nid::SECP521R1).unwrap();
        for (_, flaw) in Flaw::ALL {
            let document = pki.host_document(&key, Some(flaw)).unwrap();
            assert_eq!(document.verify(&pki.signing.key).unwrap(), flaw != Flaw::ForgedSignature, "{flaw:?}");
        }
    }
}
