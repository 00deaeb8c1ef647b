//! Signatures that can be forged, wherever they stand: on a document, on a certificate above it, on a revocation list.

use openssl::{hash::MessageDigest, nid::Nid, x509::X509};
use pv_request::{
    HostKeyDocument, Source,
    verify::{Outdated, Trust, Verifier},
};
use std::sync::LazyLock;
use test_pki::{Authority, Crl, Pki, Pss, Role, days_from_now, host_key, pretending, with_pss};

static PKI: LazyLock<Pki> = LazyLock::new(|| Pki::new("Armonk").unwrap());

/// Object identifiers of RSA with MD4, MD5, MD2, RIPEMD-160 and SHA-1, of ECDSA with SHA-1, and one that nobody knows.
const OLD: [&[u8]; 7] = [
    b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x03",
    b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x04",
    b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x02",
    b"\x2b\x24\x03\x03\x01\x02",
    b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x05",
    b"\x2a\x86\x48\xce\x3d\x04\x01",
    b"\x2a\x03\x04",
];
const WEAK_PSS: [Pss; 3] = [Pss::Sha1, Pss::Unsaid, Pss::Sha1Mask];

fn source(name: &str, bytes: Vec<u8>) -> Source {
    Source { name: name.into(), bytes }
}

fn document() -> X509 {
    PKI.host_document(&host_key(Nid::SECP521R1).unwrap(), None).unwrap()
}

fn trust() -> Trust {
    let certificate = |name, authority: &Authority| source(name, authority.certificate.to_der().unwrap());
    let list = |authority: &Authority| source("good.crl", authority.crl(&Crl::default()).unwrap().to_der().unwrap());
    Trust {
        certificates: vec![certificate("inter.crt", &PKI.intermediate), certificate("ibm.crt", &PKI.signing)],
        crls: vec![list(&PKI.root), list(&PKI.intermediate), list(&PKI.signing)],
        root: certificate("root.crt", &PKI.root),
    }
}

fn outcome(trust: &Trust, document: Vec<u8>) -> Result<(), (&'static str, String)> {
    let document = HostKeyDocument::parse(&source("host.crt", document));
    let verified = document
        .and_then(|document| Verifier::new(trust, days_from_now(0), Outdated::Report)?.verify(&document).map(drop));
    verified.map_err(|fault| (fault.code.name, fault.detail))
}

#[track_caller]
fn assert_weak(trust: &Trust, document: Vec<u8>, file: &str, case: &str) {
    let (code, detail) = outcome(trust, document).unwrap_err();
    assert_eq!(code, "hkd.weak_signature", "{case}: {detail}");
    assert!(detail.contains(file), "{case}: {detail}");
}

#[test]
fn a_weak_signature_on_a_document_is_refused() {
    let good = document().to_der().unwrap();
    assert_eq!(outcome(&trust(), with_pss(&good, &PKI.signing.key, Pss::Strong).unwrap()), Ok(()));
    for pss in WEAK_PSS {
        assert_weak(&trust(), with_pss(&good, &PKI.signing.key, pss).unwrap(), "host.crt", &format!("{pss:?}"));
    }
    for oid in OLD {
        assert_weak(&trust(), pretending(&good, oid), "host.crt", &format!("{oid:x?}"));
    }
}

#[test]
fn a_weak_signature_on_the_certificates_above_it_is_refused() {
    for (at, issuer, file) in [(0, &PKI.root, "inter.crt"), (1, &PKI.intermediate, "ibm.crt")] {
        let resigned = |pss| {
            let mut trust = trust();
            let bytes = &mut trust.certificates[at].bytes;
            *bytes = with_pss(bytes, &issuer.key, pss).unwrap();
            trust
        };
        assert_eq!(outcome(&resigned(Pss::Strong), document().to_der().unwrap()), Ok(()), "{file}");
        for pss in WEAK_PSS {
            assert_weak(&resigned(pss), document().to_der().unwrap(), file, &format!("{file} {pss:?}"));
        }
    }
}

#[test]
fn a_weak_signature_on_a_revocation_list_is_refused() {
    for (at, issuer) in [&PKI.root, &PKI.intermediate, &PKI.signing].into_iter().enumerate() {
        let with = |bytes: Vec<u8>| {
            let mut trust = trust();
            trust.crls[at] = source("this.crl", bytes);
            trust
        };
        let good = trust().crls[at].bytes.clone();
        let pss = |pss| with(with_pss(&good, &issuer.key, pss).unwrap());
        assert_eq!(outcome(&pss(Pss::Strong), document().to_der().unwrap()), Ok(()), "{at}");
        for weak in WEAK_PSS {
            assert_weak(&pss(weak), document().to_der().unwrap(), "this.crl", &format!("{at} {weak:?}"));
        }
        let sha1 = Crl { digest: MessageDigest::sha1(), ..Crl::default() };
        let sha1 = with(issuer.crl(&sha1).unwrap().to_der().unwrap());
        assert_weak(&sha1, document().to_der().unwrap(), "this.crl", &format!("{at} SHA-1"));
        for oid in OLD {
            let old = with(pretending(&good, oid));
            assert_weak(&old, document().to_der().unwrap(), "this.crl", &format!("{at} {oid:x?}"));
        }
    }
}

#[test]
fn the_usual_ways_to_sign_are_strong() {
    let issue = |digest| {
        let mut issue = PKI.signing.usual(PKI.root.certificate.subject_name(), Role::Host, 10).unwrap();
        issue.digest = digest;
        PKI.signing.issue(&issue, &host_key(Nid::SECP521R1).unwrap()).unwrap().to_der().unwrap()
    };
    for digest in [
        MessageDigest::sha224(),
        MessageDigest::sha256(),
        MessageDigest::sha384(),
        MessageDigest::sha512(),
        MessageDigest::sha3_256(),
        MessageDigest::sha3_512(),
    ] {
        assert_eq!(outcome(&trust(), issue(digest)), Ok(()), "{:?}", digest.type_());
    }
}
