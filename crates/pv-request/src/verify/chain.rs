//! The chain from the IBM signing key to a trusted root, checked by OpenSSL.

use super::{
    Certificates, MOST_CERTIFICATES, Outdated,
    crls::{NamedCrl, Standing, Verdict, too_many, unusable, verdict},
    fetch::Missed,
    names::{crl_uris, shown},
    signed::is_weakly_signed,
    time::Instant,
};
use crate::{NotFetched, Source, codes, crypto::refused, host_key};
use fault::{Code, Fault, Result};
use nix::sys::memfd::{MFdFlags, memfd_create};
use openssl::{
    error::ErrorStack,
    ssl::SslFiletype,
    stack::Stack,
    x509::{
        X509, X509PurposeId, X509Ref, X509StoreContext,
        store::{X509Lookup, X509Store, X509StoreBuilder},
        verify::{X509VerifyFlags, X509VerifyParam},
    },
};
use std::{fs::File, io::Write as _, os::fd::AsRawFd as _};

/// Signing key, one intermediate authority, root.
const SHORTEST: usize = 3;
/// Authorities between signing key and root, at most.
const DEPTH: i32 = 2;
/// 112 bits of security for every key and signature.
const SECURITY_LEVEL: i32 = 2;

/// What OpenSSL answers about a chain (`x509_vfy.h`), as far as it is told apart here.
mod answer {
    pub(super) const UNABLE_TO_GET_CRL: i32 = 3;
    pub(super) const CRL_SIGNATURE_FAILURE: i32 = 8;
    pub(super) const CERT_NOT_YET_VALID: i32 = 9;
    pub(super) const CERT_HAS_EXPIRED: i32 = 10;
    pub(super) const CRL_NOT_YET_VALID: i32 = 11;
    pub(super) const CRL_HAS_EXPIRED: i32 = 12;
    pub(super) const UNABLE_TO_GET_ISSUER_CERT_LOCALLY: i32 = 20;
    pub(super) const CERT_REVOKED: i32 = 23;
    pub(super) const CRITICAL_EXTENSION: i32 = 34;
    pub(super) const CRITICAL_CRL_EXTENSION: i32 = 36;
    pub(super) const DIFFERENT_CRL_SCOPE: i32 = 44;
    pub(super) const DIGEST_TOO_WEAK: i32 = 68;
}

/// What a chain is built from.
#[derive(Clone, Copy)]
pub(super) struct Chain<'a> {
    pub(super) certificates: &'a Certificates,
    pub(super) root: &'a Roots,
    /// Without lists, revocation is not looked at.
    pub(super) crls: Option<&'a [NamedCrl]>,
    /// What could not be fetched.
    pub(super) missed: &'a [Missed],
}

/// Trusted root certificates, and the file that they are in.
pub(super) struct Roots {
    name: String,
    certificates: Vec<X509>,
}

impl Roots {
    /// All of the file.
    pub(super) fn read(source: &Source) -> Result<Self> {
        let certificates = host_key::certificates(source)?;
        if certificates.is_empty() {
            return Err(host_key::not_a_certificate(&source.name));
        }
        if certificates.len() > MOST_CERTIFICATES {
            return Err(too_many("trusted roots", MOST_CERTIFICATES, &source.name));
        }
        Ok(Self { name: source.name.clone(), certificates })
    }
}

/// A chain that leads to a trusted root.
#[derive(Debug)]
pub(super) struct Checked {
    /// The signing key first, the root last.
    pub(super) certificates: Vec<X509>,
    /// What is outdated about it, if that is to be reported.
    pub(super) outdated: Vec<Fault>,
}

/// Why OpenSSL did not take the chain.
struct Refusal {
    answer: i32,
    text: &'static str,
    at: Option<X509>,
}

impl Chain<'_> {
    /// Checks the chain of the signing key, which is in `file`.
    pub(super) fn check(&self, file: &str, signing: &X509Ref, now: &Instant, outdated: Outdated) -> Result<Checked> {
        let judged = self.judge(file, signing, now, outdated);
        // What OpenSSL does not look at, of the very chain that it took: without a time it may find another one, of an authority's
        // earlier certificate. Where it found none at all, nobody is known whose lists would count.
        match &judged {
            Ok(checked) => self.check_further(file, &checked.certificates, now)?,
            Err(_) => {
                if let Ok(chain) = (Chain { crls: None, ..*self }).verify(signing, None)? {
                    self.check_further(file, &chain, now)?;
                }
            }
        }
        judged
    }

    /// That no certificate of the chain is signed weakly or revoked for good by a list of any time, and that no list of one
    /// of its authorities must not be relied on. The root's own signature says nothing: it is trusted for another reason.
    fn check_further(&self, file: &str, chain: &[X509], now: &Instant) -> Result<()> {
        for (certificate, authority) in chain.iter().zip(chain.iter().skip(1)) {
            let refuse = |answer| {
                let refusal = Refusal { answer, text: "", at: Some(certificate.clone()) };
                Err(self.fault(file, &refusal))
            };
            if !certificate.to_der().is_ok_and(|der| !is_weakly_signed(&der)) {
                return refuse(answer::DIGEST_TOO_WEAK);
            }
            let key = authority.public_key().map_err(refused("read the key of a certificate's issuer"))?;
            for (list, crl) in self.crls.unwrap_or_default() {
                match Standing::of(crl, authority, &key, now) {
                    Standing::Unusable { code, what } => return Err(unusable(list, code, what)),
                    Standing::None => {}
                    _ if verdict(crl, certificate) == Verdict::ForGood => return refuse(answer::CERT_REVOKED),
                    _ => {}
                }
            }
        }
        Ok(())
    }

    /// What OpenSSL says of the chain.
    fn judge(&self, file: &str, signing: &X509Ref, now: &Instant, outdated: Outdated) -> Result<Checked> {
        let refusal = match self.verify(signing, Some(now))? {
            Ok(certificates) => {
                self.check_length(file, &certificates)?;
                return Ok(Checked { certificates, outdated: Vec::new() });
            }
            Err(refusal) => refusal,
        };
        let fault = self.fault(file, &refusal);
        if ![codes::CHAIN_EXPIRED, codes::CRL_OUTDATED].contains(&fault.code) {
            return Err(fault);
        }
        // OpenSSL stops at the first thing it dislikes: something worse may be behind it.
        let chain = self.verify(signing, None)?.map_err(|refusal| self.fault(file, &refusal))?;
        self.check_length(file, &chain)?;
        if let Some(early) = chain.iter().find(|certificate| now.is_before(certificate.not_before())) {
            let refusal = Refusal { answer: answer::CERT_NOT_YET_VALID, text: "", at: Some(early.clone()) };
            return Err(self.fault(file, &refusal));
        }
        match outdated {
            Outdated::Refuse => Err(fault),
            Outdated::Report => Ok(Checked { certificates: chain, outdated: vec![fault] }),
        }
    }

    fn check_length(&self, file: &str, chain: &[X509]) -> Result<()> {
        if chain.len() >= SHORTEST {
            return Ok(());
        }
        Err(Fault::new(
            codes::NO_INTERMEDIATE,
            format!("{file} was issued directly by a root of {}, without an intermediate authority.", self.root.name),
        )
        .hint("IBM's signing keys are issued by an intermediate authority: check where these certificates come from."))
    }

    /// The chain as OpenSSL built it, or why it did not. Without `now`, no time is looked at.
    fn verify(&self, signing: &X509Ref, now: Option<&Instant>) -> Result<std::result::Result<Vec<X509>, Refusal>> {
        let store = self.store(now)?;
        let failed = refused("check the IBM signing key's chain");
        let mut between = Stack::new().map_err(&failed)?;
        for (_, certificate) in &self.certificates.0 {
            between.push(certificate.clone()).map_err(&failed)?;
        }
        let mut context = X509StoreContext::new().map_err(&failed)?;
        context
            .init(&store, signing, &between, |context| {
                Ok(if context.verify_cert()? {
                    Ok(context.chain().map(|chain| chain.iter().map(X509Ref::to_owned).collect()).unwrap_or_default())
                } else {
                    let error = context.error();
                    let at = context.current_cert().map(X509Ref::to_owned);
                    Err(Refusal { answer: error.as_raw(), text: error.error_string(), at })
                })
            })
            .map_err(failed)
    }

    /// Trusted roots, revocation lists and the rules.
    fn store(&self, now: Option<&Instant>) -> Result<X509Store> {
        let failed = refused("set up a certificate store");
        let mut store = X509StoreBuilder::new().map_err(&failed)?;
        for root in &self.root.certificates {
            store.add_cert(root.clone()).map_err(&failed)?;
        }
        self.load_crls(&mut store)?;
        let rules = rules(now, self.crls.is_some()).map_err(&failed)?;
        store.set_param(&rules).map_err(&failed)?;
        Ok(store.build())
    }

    /// OpenSSL's safe interface takes revocation lists from a file only, so they go through one in memory: what is
    /// checked is what was read, and nothing is written to disk.
    fn load_crls(&self, store: &mut X509StoreBuilder) -> Result<()> {
        let Some(crls) = self.crls.filter(|crls| !crls.is_empty()) else { return Ok(()) };
        let no_memory = |e: String| {
            Fault::new(codes::CRYPTO, format!("The revocation lists could not be handed to OpenSSL: {e}."))
                .hint("Check that /proc is mounted.")
        };
        let mut file =
            memfd_create("crls", MFdFlags::MFD_CLOEXEC).map(File::from).map_err(|e| no_memory(e.to_string()))?;
        for (_, crl) in crls {
            let pem = crl.to_pem().map_err(refused("copy a revocation list"))?;
            file.write_all(&pem).map_err(|e| no_memory(e.to_string()))?;
        }
        let path = format!("/proc/self/fd/{}", file.as_raw_fd());
        let lookup = store.add_lookup(X509Lookup::file()).map_err(refused("set up a certificate store"))?;
        lookup.load_crl_file(path, SslFiletype::PEM).map(drop).map_err(|e| no_memory(e.to_string()))
    }

    /// What a refusal means to the user.
    fn fault(&self, file: &str, refusal: &Refusal) -> Fault {
        let at = match &refusal.at {
            Some(certificate) => self.name_of(certificate),
            None => file.to_owned(),
        };
        let fetch = |certificate: Option<&X509>| {
            hint_to_fetch(&certificate.map(|c| crl_uris(c)).unwrap_or_default(), &format!("the issuer of {at}"))
        };
        let missed = refusal.at.as_ref().and_then(|certificate| Missed::reasons_for(self.missed, certificate));
        let clock = || "Check this machine's clock.".to_owned();
        let (code, detail, hint): (Code, String, String) = match (refusal.answer, missed) {
            (answer::UNABLE_TO_GET_CRL, Some(why)) => return not_fetched(&at, &why),
            (answer::CRL_HAS_EXPIRED, Some(why)) => (
                codes::CRL_OUTDATED,
                format!(
                    "The revocation list that covers {at} is outdated, and no current one could be fetched: {}.",
                    why.reason
                ),
                hint_not_fetched(why.code).into(),
            ),
            (answer::UNABLE_TO_GET_CRL, None) => (
                codes::NO_CRL,
                format!("The revocation list of the issuer of {at} is missing, so its revocation cannot be ruled out."),
                fetch(refusal.at.as_ref()),
            ),
            (answer::CRL_HAS_EXPIRED, None) => (
                codes::CRL_OUTDATED,
                format!("The revocation list that covers {at} is outdated."),
                fetch(refusal.at.as_ref()),
            ),
            (answer::CRL_NOT_YET_VALID, _) => {
                (codes::CRL_NOT_YET_VALID, format!("The revocation list that covers {at} is not valid yet."), clock())
            }
            (answer::CRL_SIGNATURE_FAILURE, _) => (
                codes::CRL_SIGNATURE,
                format!("A revocation list for {at} is not signed by the issuer named in it."),
                fetch(refusal.at.as_ref()),
            ),
            (answer::CERT_REVOKED, _) => (
                codes::CHAIN_REVOKED,
                format!("{at} is revoked."),
                "Never use it again; get the current signing key from IBM Resource Link.".into(),
            ),
            (answer::CERT_HAS_EXPIRED, _) => (
                codes::CHAIN_EXPIRED,
                format!("{at} is no longer valid."),
                "Get the current certificate from IBM Resource Link.".into(),
            ),
            (answer::CERT_NOT_YET_VALID, _) => (codes::CHAIN_NOT_YET_VALID, format!("{at} is not valid yet."), clock()),
            (answer::CRITICAL_EXTENSION, _) => (
                codes::CRITICAL_EXTENSION,
                format!("{at} has an unknown critical extension, so it must not be used."),
                "Get the current certificate from IBM Resource Link.".into(),
            ),
            (answer::CRITICAL_CRL_EXTENSION, _) => (
                codes::CRITICAL_EXTENSION,
                format!("A revocation list for {at} has an unknown critical extension."),
                fetch(refusal.at.as_ref()),
            ),
            (answer::DIFFERENT_CRL_SCOPE, Some(why)) => (
                codes::CRL_SCOPE,
                format!(
                    "The only revocation list of the issuer of {at} covers other certificates, and no other could be fetched: {}.",
                    why.reason
                ),
                hint_not_fetched(why.code).into(),
            ),
            (answer::DIFFERENT_CRL_SCOPE, None) => (
                codes::CRL_SCOPE,
                format!("The only revocation list of the issuer of {at} covers other certificates."),
                fetch(refusal.at.as_ref()),
            ),
            (answer::DIGEST_TOO_WEAK, _) => (
                codes::WEAK_SIGNATURE,
                format!("{at} is signed with a weak digest or an unknown method."),
                "Get the current certificate from IBM Resource Link.".into(),
            ),
            (answer::UNABLE_TO_GET_ISSUER_CERT_LOCALLY, _) => (
                codes::SIGNING_KEY_INVALID,
                format!("The issuer of {at} is neither among certificates nor a root of {}.", self.root.name),
                "Name the intermediate authority's certificate in certificates, and its root in root_ca.".into(),
            ),
            (other, _) => (
                codes::SIGNING_KEY_INVALID,
                format!(
                    "{file} does not lead to a trusted root of {}: OpenSSL refuses {at}, {} ({other}).",
                    self.root.name, refusal.text
                ),
                "Get the signing key's certificate and those of the authorities above it from IBM Resource Link again, and check that root_ca is their root.".into(),
            ),
        };
        Fault::new(code, detail).hint(hint)
    }

    /// The file that a certificate of the chain is in, or its subject for a root of a bundle.
    fn name_of(&self, certificate: &X509Ref) -> String {
        let der = certificate.to_der().ok();
        match self.certificates.0.iter().find(|(_, known)| known.to_der().ok() == der) {
            Some((file, _)) => file.clone(),
            None => format!("the root {}", shown(certificate.subject_name())),
        }
    }
}

/// What to do about a list that could not be fetched.
pub(super) fn hint_not_fetched(code: Code) -> &'static str {
    match code {
        codes::PROXY_LOGIN => {
            "Give user and password in the proxy's address, in the task's environment: http://USER:PASSWORD@HOST:PORT, with characters other than letters and digits as % and two hex digits (the filter urlencode), from a vault; or fetch the list elsewhere and name it in crls."
        }
        codes::PROXY_UNUSABLE => {
            "Correct the variable in the task's environment, as http://HOST:PORT or http://USER:PASSWORD@HOST:PORT, or empty it; or fetch the list elsewhere and name it in crls."
        }
        codes::CRL_SCOPE => "Get the issuer's list that covers the certificate from elsewhere, and name it in crls.",
        _ => {
            "Check the network, and the proxy in the task's environment; or fetch the list elsewhere and name it in crls."
        }
    }
}

/// Where to get a list of `whose` that is not there, if anywhere.
pub(super) fn hint_to_fetch(uris: &[String], whose: &str) -> String {
    if uris.is_empty() {
        return format!("Name the current list of {whose} in crls.");
    }
    format!("Fetch the current list from {} and name it in crls, or set download_crls: true.", uris.join(" or "))
}

/// That there is no list for `what`, and what came of fetching one.
pub(super) fn not_fetched(what: &str, why: &NotFetched) -> Fault {
    let detail = format!("The revocation list for {what} is missing, and none could be fetched: {}.", why.reason);
    Fault::new(why.code, detail).hint(hint_not_fetched(why.code))
}

fn rules(now: Option<&Instant>, with_crls: bool) -> std::result::Result<X509VerifyParam, ErrorStack> {
    let mut rules = X509VerifyParam::new()?;
    rules.set_flags(
        X509VerifyFlags::X509_STRICT
            | X509VerifyFlags::TRUSTED_FIRST
            | X509VerifyFlags::CHECK_SS_SIGNATURE
            | X509VerifyFlags::POLICY_CHECK,
    )?;
    if with_crls {
        rules.set_flags(X509VerifyFlags::CRL_CHECK | X509VerifyFlags::CRL_CHECK_ALL)?;
    }
    rules.set_purpose(X509PurposeId::ANY)?;
    rules.set_depth(DEPTH);
    rules.set_auth_level(SECURITY_LEVEL);
    match now {
        Some(now) => rules.set_time(now.unix),
        None => rules.set_flags(X509VerifyFlags::NO_CHECK_TIME)?,
    }
    Ok(rules)
}
