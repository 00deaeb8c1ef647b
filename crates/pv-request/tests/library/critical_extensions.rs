//! Extensions that must be understood, or what has them must not be used (RFC 5280 4.2, 5.2 and 5.3), and lists that are of
//! some certificates only.

use openssl::{nid::Nid, x509::X509};
use pv_request::{
    HostKeyDocument, Source,
    verify::{Outdated, Trust, Verifier},
};
use std::sync::LazyLock;
use test_pki::{Authority, Crl, MoreExtension, Pki, REVOKED_SERIAL, Role, days_from_now, host_key};

static PKI: LazyLock<Pki> = LazyLock::new(|| Pki::new("Armonk").unwrap());

const UNKNOWN: &str = "1.2.3.4";
const DELTA_INDICATOR: &str = "2.5.29.27";
const ISSUING_POINT: &str = "2.5.29.28";
const EXTENDED_USAGE: &str = "2.5.29.37";

fn source(name: &str, bytes: Vec<u8>) -> Source {
    Source { name: name.into(), bytes }
}

fn more(oid: &'static str, critical: bool, content: &[u8]) -> MoreExtension {
    MoreExtension { oid, critical, content: content.to_vec() }
}

fn certificate(name: &str, authority: &Authority) -> Source {
    source(name, authority.certificate.to_der().unwrap())
}

fn trust() -> Trust {
    let list = |authority: &Authority| source("good.crl", authority.crl(&Crl::default()).unwrap().to_der().unwrap());
    Trust {
        certificates: vec![certificate("inter.crt", &PKI.intermediate), certificate("ibm.crt", &PKI.signing)],
        crls: vec![list(&PKI.root), list(&PKI.intermediate), list(&PKI.signing)],
        root: certificate("root.crt", &PKI.root),
    }
}

fn document(extension: Option<MoreExtension>, serial: Option<u32>) -> X509 {
    let mut issue = PKI.signing.usual(PKI.root.certificate.subject_name(), Role::Host, 10).unwrap();
    issue.extensions.extend(extension);
    issue.serial = serial;
    issue.crl_uris = vec!["http://crl.invalid/ibm.crl".into()];
    PKI.signing.issue(&issue, &host_key(Nid::SECP521R1).unwrap()).unwrap()
}

fn outcome(trust: &Trust, document: &X509) -> Result<(), &'static str> {
    let document = HostKeyDocument::parse(&source("host.crt", document.to_der().unwrap()));
    let verified = document
        .and_then(|document| Verifier::new(trust, days_from_now(0), Outdated::Report)?.verify(&document).map(drop));
    verified.map_err(|fault| {
        assert!(!fault.hint.is_empty(), "{fault}");
        fault.code.name
    })
}

/// What comes of a list with this extension in the place of an authority's: 0 root, 1 intermediate, 2 signing key.
fn with_list(at: usize, extension: MoreExtension, revoked: Vec<u32>, document: &X509) -> Result<(), &'static str> {
    let mut trust = trust();
    let issuer = [&PKI.root, &PKI.intermediate, &PKI.signing][at];
    let list = Crl { extensions: vec![extension], revoked, ..Crl::default() };
    trust.crls[at] = source("this.crl", issuer.crl(&list).unwrap().to_der().unwrap());
    outcome(&trust, document)
}

#[test]
fn a_document_with_one_that_is_not_understood_is_refused() {
    let null = &[5, 0];
    assert_eq!(outcome(&trust(), &document(None, None)), Ok(()));
    assert_eq!(outcome(&trust(), &document(Some(more(UNKNOWN, false, null)), None)), Ok(()));
    assert_eq!(outcome(&trust(), &document(Some(more(UNKNOWN, true, null)), None)), Err("hkd.critical_extension"));
    // For signing code: whether a host key is for that nobody checks here.
    let usage = b"\x30\x0a\x06\x08\x2b\x06\x01\x05\x05\x07\x03\x03";
    assert_eq!(
        outcome(&trust(), &document(Some(more(EXTENDED_USAGE, true, usage)), None)),
        Err("hkd.critical_extension")
    );
    assert_eq!(outcome(&trust(), &document(Some(more(EXTENDED_USAGE, false, usage)), None)), Ok(()));
}

#[test]
fn a_certificate_above_it_with_one_that_is_not_understood_is_refused() {
    let mut issue = PKI.intermediate.usual(PKI.signing.certificate.subject_name(), Role::Signing, 10).unwrap();
    issue.extensions = vec![more(UNKNOWN, true, &[5, 0])];
    let mut trust = trust();
    let changed = Authority {
        certificate: PKI.intermediate.issue(&issue, &PKI.signing.key).unwrap(),
        key: PKI.signing.key.clone(),
    };
    trust.certificates[1] = certificate("ibm.crt", &changed);
    assert_eq!(outcome(&trust, &document(None, None)), Err("hkd.critical_extension"));
}

#[test]
fn a_list_with_one_that_is_not_understood_is_refused() {
    let good = document(None, None);
    for at in 0..3 {
        assert_eq!(with_list(at, more(UNKNOWN, false, &[5, 0]), Vec::new(), &good), Ok(()), "{at}");
        let refused = with_list(at, more(UNKNOWN, true, &[5, 0]), Vec::new(), &good);
        assert_eq!(refused, Err("hkd.critical_extension"), "{at}");
    }
}

#[test]
fn a_list_of_what_changed_only_is_refused() {
    for at in 0..3 {
        for critical in [true, false] {
            let delta = more(DELTA_INDICATOR, critical, &[2, 1, 1]);
            assert_eq!(
                with_list(at, delta, Vec::new(), &document(None, None)),
                Err("hkd.crl_scope"),
                "{at} {critical}"
            );
        }
    }
}

/// A distribution point with one address, in DER.
fn point(uri: &str) -> Vec<u8> {
    let tlv = |tag: u8, content: &[u8]| [&[tag, u8::try_from(content.len()).unwrap()], content].concat();
    tlv(0x30, &tlv(0xa0, &tlv(0xa0, &tlv(0x86, uri.as_bytes()))))
}

#[test]
fn a_list_of_some_certificates_counts_for_those_and_revokes_any() {
    let (good, revoked) = (document(None, None), document(None, Some(REVOKED_SERIAL)));
    let with =
        |content: &[u8], document| with_list(2, more(ISSUING_POINT, true, content), vec![REVOKED_SERIAL], document);
    // Of all, of those that are no authorities', and of those with this address.
    for content in [vec![0x30, 0], vec![0x30, 3, 0x81, 1, 0xff], point("http://crl.invalid/ibm.crl")] {
        assert_eq!(with(&content, &good), Ok(()), "{content:x?}");
        assert_eq!(with(&content, &revoked), Err("hkd.revoked"), "{content:x?}");
    }
    let elsewhere = point("http://crl.invalid/other.crl");
    assert_eq!(with(&elsewhere, &good), Err("hkd.crl_scope"));
    assert_eq!(with(&elsewhere, &revoked), Err("hkd.revoked"));
    // Of authorities only, of nobody, for some reasons only, of several issuers, of attributes; and what cannot be read.
    for content in [
        vec![0x30, 3, 0x82, 1, 0xff],
        vec![0x30, 6, 0x81, 1, 0xff, 0x82, 1, 0xff],
        vec![0x30, 4, 0x83, 2, 6, 0x40],
        vec![0x30, 3, 0x84, 1, 0xff],
        vec![0x30, 3, 0x85, 1, 0xff],
        vec![0x30, 4, 0xa0, 2, 0xa1, 0],
    ] {
        assert_eq!(with(&content, &good), Err("hkd.crl_scope"), "{content:x?}");
    }
}

#[test]
fn a_list_of_an_authority_that_is_of_some_certificates_only_is_no_list_of_others() {
    let good = document(None, None);
    let (users, authorities) = (vec![0x30, 3, 0x81, 1, 0xff], vec![0x30, 3, 0x82, 1, 0xff]);
    let (some_reasons, indirect) = (vec![0x30, 4, 0x83, 2, 6, 0x40], vec![0x30, 3, 0x84, 1, 0xff]);
    let with = |at, content: &Vec<u8>| with_list(at, more(ISSUING_POINT, true, content), Vec::new(), &good);
    // The root has issued an authority, and that one the signing key, which is none.
    assert_eq!((with(0, &authorities), with(1, &users)), (Ok(()), Ok(())));
    for (at, content) in
        [(0, &users), (1, &authorities), (0, &some_reasons), (1, &some_reasons), (0, &indirect), (1, &indirect)]
    {
        assert_eq!(with(at, content), Err("hkd.crl_scope"), "{at} {content:x?}");
    }
}
