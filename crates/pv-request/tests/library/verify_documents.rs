//! Verification against a hierarchy made on the spot: every flaw of a document, of the lists and of the chain.

use openssl::{nid::Nid, x509::X509};
use pv_request::{
    HostKeyDocument, Source, codes,
    verify::{Outdated, Trust, VerifiedHostKey, Verifier},
};
use std::sync::LazyLock;
use test_pki::{
    Authority, Crl, Flaw, Pki, REVOKED_SERIAL, Role, Usage, days_from_now, host_key, signing_name, weak_key,
};

static PKI: LazyLock<Pki> = LazyLock::new(|| Pki::new("Armonk").unwrap());

fn pem(name: &str, bytes: Vec<u8>) -> Source {
    Source { name: name.into(), bytes }
}

fn certificate(name: &str, authority: &Authority) -> Source {
    pem(name, authority.certificate.to_pem().unwrap())
}

fn crl(name: &str, authority: &Authority, crl: &Crl) -> Source {
    pem(name, authority.crl(crl).unwrap().to_pem().unwrap())
}

fn revoking() -> Crl {
    Crl { revoked: vec![REVOKED_SERIAL], ..Crl::default() }
}

fn outdated(crl: Crl) -> Crl {
    Crl { last_update: days_from_now(-90), next_update: days_from_now(-1), ..crl }
}

fn trust() -> Trust {
    let pki = &*PKI;
    Trust {
        certificates: vec![certificate("inter.crt", &pki.intermediate), certificate("ibm.crt", &pki.signing)],
        crls: vec![
            crl("root.crl", &pki.root, &Crl::default()),
            crl("inter.crl", &pki.intermediate, &Crl::default()),
            crl("ibm.crl", &pki.signing, &revoking()),
        ],
        root: certificate("root.crt", &pki.root),
    }
}

/// The trust with another list of one authority: 0 root, 1 intermediate, 2 signing key.
fn trust_with_crl(index: usize, source: Source) -> Trust {
    let mut trust = trust();
    trust.crls[index] = source;
    trust
}

fn document(certificate: &X509) -> fault::Result<HostKeyDocument> {
    HostKeyDocument::parse(&pem("host.crt", certificate.to_pem().unwrap()))
}

fn host(flaw: Option<Flaw>) -> X509 {
    PKI.host_document(&host_key(Nid::SECP521R1).unwrap(), flaw).unwrap()
}

fn verify(trust: &Trust, certificate: &X509, mode: Outdated) -> fault::Result<VerifiedHostKey> {
    let document = document(certificate)?;
    Verifier::new(trust, days_from_now(0), mode)?.verify(&document)
}

fn refused(trust: &Trust, certificate: &X509) -> &'static str {
    verify(trust, certificate, Outdated::Refuse).unwrap_err().code.name
}

#[test]
fn a_good_document_verifies_and_says_how_long_it_will() {
    let certificate = host(None);
    let verified = verify(&trust(), &certificate, Outdated::Refuse).unwrap();
    assert_eq!(verified.hash, document(&certificate).unwrap().key.hash());
    assert!((verified.not_after - days_from_now(365)).abs() < 3600);
    assert!((verified.crl_next_update - days_from_now(90)).abs() < 3600);
    assert!(verified.outdated.is_empty());
    assert_eq!(verified.serial.len(), 32);
}

#[test]
fn every_flaw_of_a_document_has_its_code() {
    let trust = trust();
    for (name, flaw) in Flaw::ALL {
        let expected = match flaw {
            Flaw::Expired => "hkd.expired",
            Flaw::NotYetValid => "hkd.not_yet_valid",
            Flaw::Revoked => "hkd.revoked",
            Flaw::OtherIssuer => "hkd.wrong_issuer",
            Flaw::ForgedSignature => "hkd.signature",
            Flaw::OtherAuthorityKey => "hkd.authority_key_id",
            Flaw::OtherCurve => "hkd.wrong_curve",
            Flaw::WeakKey => "hkd.weak_key",
            Flaw::OtherUsage => "hkd.key_usage",
        };
        let fault = verify(&trust, &host(Some(flaw)), Outdated::Refuse).unwrap_err();
        assert_eq!(fault.code.name, expected, "{name}");
        assert!(fault.detail.contains("host.crt"), "{fault}");
    }
}

#[test]
fn a_document_without_authority_key_id_is_bound_by_name_and_signature() {
    let signing = &PKI.signing;
    let key = host_key(Nid::SECP521R1).unwrap();
    let mut issue = signing.usual(signing.certificate.subject_name(), Role::Host, 10).unwrap();
    issue.authority_key_id = None;
    assert!(verify(&trust(), &signing.issue(&issue, &key).unwrap(), Outdated::Refuse).is_ok());
    issue.digest = openssl::hash::MessageDigest::sha1();
    assert_eq!(refused(&trust(), &signing.issue(&issue, &key).unwrap()), "hkd.weak_signature");
}

#[test]
fn a_document_that_does_not_say_what_its_key_is_for_passes() {
    let signing = &PKI.signing;
    let mut issue = signing.usual(signing.certificate.subject_name(), Role::Host, 10).unwrap();
    issue.usage = Usage::Unsaid;
    let certificate = signing.issue(&issue, &host_key(Nid::SECP521R1).unwrap()).unwrap();
    assert!(certificate.key_usage().is_none());
    assert!(verify(&trust(), &certificate, Outdated::Refuse).is_ok());
}

#[test]
fn a_signing_key_that_is_not_for_signatures_is_refused_and_one_that_does_not_say_passes() {
    let (signing, trust) = other_signing(|issue| issue.usage = Usage::Other);
    let fault = verify(&trust, &issued_by(&signing), Outdated::Report).unwrap_err();
    assert_eq!(fault.code, codes::KEY_USAGE);
    assert!(fault.detail.contains("ibm.crt") && fault.detail.contains("digitalSignature"), "{fault}");

    let (signing, trust) = other_signing(|issue| issue.usage = Usage::Unsaid);
    assert!(verify(&trust, &issued_by(&signing), Outdated::Refuse).is_ok());
}

#[test]
fn a_revoked_signing_key_is_refused_in_both_modes() {
    let (signing, mut trust) = other_signing(|issue| issue.serial = Some(7));
    let certificate = issued_by(&signing);
    assert!(verify(&trust, &certificate, Outdated::Refuse).is_ok());
    trust.crls[1] = crl("inter.crl", &PKI.intermediate, &Crl { revoked: vec![7], ..Crl::default() });
    for mode in [Outdated::Refuse, Outdated::Report] {
        assert_eq!(verify(&trust, &certificate, mode).unwrap_err().code, codes::CHAIN_REVOKED);
    }
}

#[test]
fn two_signing_keys_are_refused_and_both_files_named_but_one_in_two_files_is_one() {
    let (other, _) = other_signing(|_| {});
    let mut trust = trust();
    trust.certificates.push(certificate("again.crt", &PKI.signing));
    assert!(verify(&trust, &host(None), Outdated::Refuse).is_ok());
    trust.certificates.push(certificate("other.crt", &other));
    let fault = verify(&trust, &host(None), Outdated::Refuse).unwrap_err();
    assert_eq!(fault.code, codes::SEVERAL_SIGNING_KEYS);
    assert!(fault.detail.contains("ibm.crt") && fault.detail.contains("other.crt"), "{fault}");
}

#[test]
fn a_signing_key_of_poughkeepsie_takes_documents_and_lists_that_name_armonk() {
    let unit = "IBM Z Host Key Signing Service";
    let (signing, mut trust) = other_signing(|issue| issue.subject = signing_name("Poughkeepsie", unit).unwrap());
    let armonk = || Some(signing_name("Armonk", unit).unwrap());
    trust.crls[2] = crl("ibm.crl", &signing, &Crl { issuer: armonk(), ..revoking() });
    let mut issue = signing.usual(signing.certificate.subject_name(), Role::Host, 10).unwrap();
    issue.issuer = armonk();
    let key = host_key(Nid::SECP521R1).unwrap();
    assert!(verify(&trust, &signing.issue(&issue, &key).unwrap(), Outdated::Refuse).is_ok());
    issue.serial = Some(REVOKED_SERIAL);
    assert_eq!(refused(&trust, &signing.issue(&issue, &key).unwrap()), "hkd.revoked");
}

#[test]
fn poughkeepsie_and_armonk_are_one_issuer_for_documents_and_lists() {
    let unit = "IBM Z Host Key Signing Service";
    let (signing, key) = (&PKI.signing, host_key(Nid::SECP521R1).unwrap());
    let mut issue = signing.usual(signing.certificate.subject_name(), Role::Host, 10).unwrap();
    issue.issuer = Some(signing_name("Poughkeepsie", unit).unwrap());
    let elsewhere = Crl { issuer: Some(signing_name("Poughkeepsie", unit).unwrap()), ..revoking() };
    let trust = trust_with_crl(2, crl("ibm.crl", signing, &elsewhere));
    assert!(verify(&trust, &signing.issue(&issue, &key).unwrap(), Outdated::Refuse).is_ok());
    assert_eq!(refused(&trust, &host(Some(Flaw::Revoked))), "hkd.revoked");
    issue.issuer = Some(signing_name("Poughkeepsie", "Another Key Signing Service").unwrap());
    assert_eq!(refused(&trust, &signing.issue(&issue, &key).unwrap()), "hkd.wrong_issuer");
}

#[test]
fn a_missing_list_is_named_with_the_place_to_fetch_it_from() {
    for (index, uri) in ["root_ca.crl", "inter_ca.crl", "ibm.crl"].into_iter().enumerate() {
        let mut trust = trust();
        trust.crls.remove(index);
        let fault = verify(&trust, &host(None), Outdated::Refuse).unwrap_err();
        assert_eq!(fault.code, codes::NO_CRL);
        assert!(fault.hint.contains(&format!("http://crl.invalid/{uri}")), "{fault}");
    }
}

#[test]
fn lists_may_be_outdated_only_where_that_is_reported() {
    let lists = [
        (0, crl("root.crl", &PKI.root, &outdated(Crl::default()))),
        (1, crl("inter.crl", &PKI.intermediate, &outdated(Crl::default()))),
        (2, crl("ibm.crl", &PKI.signing, &outdated(revoking()))),
    ];
    for (index, list) in lists {
        let trust = trust_with_crl(index, list);
        assert_eq!(refused(&trust, &host(None)), "hkd.crl_outdated");
        let verifier = Verifier::new(&trust, days_from_now(0), Outdated::Report).unwrap();
        let verified = verifier.verify(&document(&host(None)).unwrap()).unwrap();
        let reported: Vec<_> = verifier.chain_outdated.iter().chain(&verified.outdated).map(|f| f.code).collect();
        assert_eq!(reported, [codes::CRL_OUTDATED], "{index}");
        // An outdated list still knows what was revoked.
        let revoked = verifier.verify(&document(&host(Some(Flaw::Revoked))).unwrap());
        assert_eq!(revoked.unwrap_err().code, codes::REVOKED);
    }
}

#[test]
fn an_expired_document_is_reported_but_what_is_worse_comes_first() {
    let verified = verify(&trust(), &host(Some(Flaw::Expired)), Outdated::Report).unwrap();
    assert_eq!(verified.outdated.iter().map(|f| f.code).collect::<Vec<_>>(), [codes::EXPIRED]);

    let signing = &PKI.signing;
    let mut issue = signing.usual(signing.certificate.subject_name(), Role::Host, -1).unwrap();
    (issue.serial, issue.not_before) = (Some(REVOKED_SERIAL), days_from_now(-9));
    let certificate = signing.issue(&issue, &host_key(Nid::SECP521R1).unwrap()).unwrap();
    assert_eq!(refused(&trust(), &certificate), "hkd.revoked");
    let without = trust_with_crl(2, crl("ibm.crl", &PKI.intermediate, &Crl::default()));
    assert_eq!(refused(&without, &certificate), "hkd.no_crl");
}

/// A signing key below the intermediate authority with something changed about its certificate, and the trust
/// that names it.
fn other_signing(change: impl FnOnce(&mut test_pki::Issue)) -> (Authority, Trust) {
    let mut issue = PKI.intermediate.usual(PKI.signing.certificate.subject_name(), Role::Signing, 10).unwrap();
    change(&mut issue);
    let signing = PKI.intermediate.issue_authority(&issue).unwrap();
    let mut trust = trust_with_crl(2, crl("ibm.crl", &signing, &Crl::default()));
    trust.certificates[1] = certificate("ibm.crt", &signing);
    (signing, trust)
}

fn issued_by(signing: &Authority) -> X509 {
    let issue = signing.usual(signing.certificate.subject_name(), Role::Host, 10).unwrap();
    signing.issue(&issue, &host_key(Nid::SECP521R1).unwrap()).unwrap()
}

#[test]
fn an_expired_signing_key_is_reported_unless_it_is_revoked_too() {
    let expired = |issue: &mut test_pki::Issue| {
        (issue.serial, issue.not_before, issue.not_after) = (Some(7), days_from_now(-9), days_from_now(-1));
    };
    let (signing, mut trust) = other_signing(expired);
    let certificate = issued_by(&signing);
    assert_eq!(refused(&trust, &certificate), "hkd.chain_expired");
    let verifier = Verifier::new(&trust, days_from_now(0), Outdated::Report).unwrap();
    assert_eq!(verifier.chain_outdated[0].code, codes::CHAIN_EXPIRED);

    trust.crls[1] = crl("inter.crl", &PKI.intermediate, &Crl { revoked: vec![7], ..Crl::default() });
    for mode in [Outdated::Refuse, Outdated::Report] {
        assert_eq!(verify(&trust, &certificate, mode).unwrap_err().code, codes::CHAIN_REVOKED);
    }
}

#[test]
fn a_chain_must_be_valid_signed_and_have_an_intermediate_authority() {
    let (signing, trust_early) = other_signing(|issue| issue.not_before = days_from_now(1));
    assert_eq!(refused(&trust_early, &issued_by(&signing)), "hkd.chain_not_yet_valid");

    let (signing, weak) = other_signing(|issue| issue.digest = openssl::hash::MessageDigest::sha1());
    assert_eq!(refused(&weak, &issued_by(&signing)), "hkd.weak_signature");

    let issue = PKI.intermediate.usual(PKI.signing.certificate.subject_name(), Role::Signing, 10).unwrap();
    let key = weak_key().unwrap();
    let signing = Authority { certificate: PKI.intermediate.issue(&issue, &key).unwrap(), key };
    let mut weak = trust_with_crl(2, crl("ibm.crl", &signing, &Crl::default()));
    weak.certificates[1] = certificate("ibm.crt", &signing);
    let fault = verify(&weak, &issued_by(&signing), Outdated::Report).unwrap_err();
    assert_eq!(fault.code, codes::SIGNING_KEY_INVALID, "80 bits of security");
    assert!(fault.detail.contains("ibm.crt") && fault.detail.contains("(66)"), "X509_V_ERR_EE_KEY_TOO_SMALL: {fault}");

    let issue = PKI.root.usual(PKI.signing.certificate.subject_name(), Role::Signing, 10).unwrap();
    let signing = PKI.root.issue_authority(&issue).unwrap();
    let mut direct = trust_with_crl(2, crl("ibm.crl", &signing, &Crl::default()));
    direct.certificates[1] = certificate("ibm.crt", &signing);
    assert_eq!(refused(&direct, &issued_by(&signing)), "hkd.no_intermediate");

    let mut other_root = trust();
    let stranger = Authority::root(PKI.root.certificate.subject_name().to_owned().unwrap()).unwrap();
    other_root.root = certificate("root.crt", &stranger);
    assert_eq!(refused(&other_root, &host(None)), "hkd.signing_key_invalid");
}

#[test]
fn a_list_is_current_up_to_the_second_of_its_next_update() {
    let next_update = days_from_now(5);
    let list = crl("ibm.crl", &PKI.signing, &Crl { next_update, ..Crl::default() });
    let document = document(&host(None)).unwrap();
    let at = |now| {
        let verified = Verifier::new(&trust_with_crl(2, list.clone()), now, Outdated::Refuse);
        verified.and_then(|verifier| verifier.verify(&document)).map(drop).map_err(|fault| fault.code)
    };
    assert_eq!(at(next_update), Ok(()));
    assert_eq!(at(next_update + 1), Err(codes::CRL_OUTDATED));
}

#[test]
fn a_chain_is_held_against_the_strict_rules_of_rfc_5280() {
    let (signing, keyless) = other_signing(|issue| issue.authority_key_id = None);
    let fault = verify(&keyless, &issued_by(&signing), Outdated::Report).unwrap_err();
    assert_eq!(fault.code, codes::SIGNING_KEY_INVALID);
    assert!(fault.detail.contains("(85)"), "X509_V_ERR_MISSING_AUTHORITY_KEY_IDENTIFIER: {fault}");
}

#[test]
fn the_clock_is_the_callers() {
    let document = document(&host(None)).unwrap();
    let at = |days| Verifier::new(&trust(), days_from_now(days), Outdated::Refuse).and_then(|v| v.verify(&document));
    assert!(at(30).is_ok());
    assert_eq!(at(100).unwrap_err().code, codes::CRL_OUTDATED);
    assert_eq!(at(-30).unwrap_err().code, codes::CRL_NOT_YET_VALID);
}

#[test]
fn noise_in_any_file_is_refused_and_never_panics() {
    for len in [0, 1, 2, 16, 100, 5000] {
        let mut noise = vec![0; len];
        openssl::rand::rand_bytes(&mut noise).unwrap();
        for begin in [&b""[..], b"-----BEGIN X509 CRL-----", b"-----BEGIN CERTIFICATE-----\n", b"\x30\x82\xff\xff"] {
            let source = pem("noise", [begin, &noise].concat());
            let mut crl_noise = trust();
            crl_noise.crls.push(source.clone());
            assert_eq!(refused(&crl_noise, &host(None)), "hkd.not_a_crl");
            let mut certificate_noise = trust();
            certificate_noise.certificates.push(source.clone());
            assert_eq!(refused(&certificate_noise, &host(None)), "hkd.not_a_certificate");
            let root_noise = Trust { root: source, ..trust() };
            assert_eq!(refused(&root_noise, &host(None)), "hkd.not_a_certificate");
        }
    }
}

/// Both, one behind the other, in PEM with words between them and in DER.
fn together(one: &[u8], other: &[u8], to_der: impl Fn(&[u8]) -> Vec<u8>) -> [Vec<u8>; 2] {
    [[one, b"\nand this:\n", other].concat(), [to_der(one), to_der(other)].concat()]
}

#[test]
fn a_file_with_two_documents_is_refused_and_says_how_many_it_holds() {
    let [one, other] = [host(None), host(Some(Flaw::Revoked))].map(|document| document.to_pem().unwrap());
    for bytes in together(&one, &other, |pem| X509::from_pem(pem).unwrap().to_der().unwrap()) {
        let fault = HostKeyDocument::parse(&pem("host.crt", bytes)).unwrap_err();
        assert_eq!(fault.code, codes::SEVERAL_CERTIFICATES);
        assert!(fault.detail.contains("host.crt contains 2 host key documents"), "{fault}");
        assert!(fault.hint.contains("its own file"), "{fault}");
    }
    let der = host(None).to_der().unwrap();
    assert!(HostKeyDocument::parse(&pem("host.crt", der)).is_ok());
    // A second one that is damaged is not passed over either.
    let damaged = [&one[..], &other[..200], b"\n-----END CERTIFICATE-----\n"].concat();
    let fault = HostKeyDocument::parse(&pem("host.crt", damaged)).unwrap_err();
    assert_eq!(
        (fault.code, fault.detail.as_str()),
        (codes::NOT_A_CERTIFICATE, "A certificate in host.crt is damaged.")
    );
}

#[test]
fn all_certificates_and_all_lists_of_a_file_count() {
    let pki = &*PKI;
    let revoking = revoking();
    let lists =
        [pki.intermediate.crl(&Crl::default()), pki.signing.crl(&revoking)].map(|crl| crl.unwrap().to_pem().unwrap());
    let certificates = [&pki.intermediate, &pki.signing].map(|authority| authority.certificate.to_pem().unwrap());
    let der_of_list = |pem: &[u8]| openssl::x509::X509Crl::from_pem(pem).unwrap().to_der().unwrap();
    let lists = together(&lists[0], &lists[1], der_of_list);
    let certificates =
        together(&certificates[0], &certificates[1], |pem| X509::from_pem(pem).unwrap().to_der().unwrap());
    for (lists, certificates) in lists.into_iter().zip(certificates) {
        let mut all = trust();
        all.crls.truncate(1);
        all.crls.push(pem("two.crl", lists.clone()));
        all.certificates = vec![pem("two.crt", certificates.clone())];
        assert!(verify(&all, &host(None), Outdated::Refuse).is_ok());
        assert_eq!(refused(&all, &host(Some(Flaw::Revoked))), "hkd.revoked");
        all.crls[1].bytes.extend(b"-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n");
        assert_eq!(refused(&all, &host(None)), "hkd.not_a_crl");
        all.crls[1].bytes = lists;
        all.certificates[0].bytes.extend(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
        assert_eq!(refused(&all, &host(None)), "hkd.not_a_certificate");
    }
    // Lists among certificates, too.
    let mut mixed = trust();
    let list = mixed.crls.pop().unwrap();
    mixed.certificates[1].bytes.extend(list.bytes);
    assert!(verify(&mixed, &host(None), Outdated::Refuse).is_ok());
    assert_eq!(refused(&mixed, &host(Some(Flaw::Revoked))), "hkd.revoked");
}
