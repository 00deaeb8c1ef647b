//! Bytes behind certificates and revocation lists in DER: blank space at the end, which editors and shells append, is
//! nothing; all else may have been meant.

use openssl::nid::Nid;
use pv_request::{
    HostKeyDocument, Source, codes,
    verify::{Outdated, Trust, Verifier},
};
use std::sync::LazyLock;
use test_pki::{Authority, Crl, Pki, days_from_now, host_key};

static PKI: LazyLock<Pki> = LazyLock::new(|| Pki::new("Armonk").unwrap());

/// What stands behind the one file of each kind.
#[derive(Clone, Copy, Default)]
struct Behind<'a> {
    document: &'a [u8],
    certificate: &'a [u8],
    list: &'a [u8],
    root: &'a [u8],
}

fn outcome(behind: Behind<'_>) -> fault::Result<()> {
    let source = |name: &str, der: Vec<u8>, behind: &[u8]| Source { name: name.into(), bytes: [&der, behind].concat() };
    let certificate = |authority: &Authority, behind| source("crt", authority.certificate.to_der().unwrap(), behind);
    let list = |authority: &Authority, behind| {
        source("crl", authority.crl(&Crl::default()).unwrap().to_der().unwrap(), behind)
    };
    let trust = Trust {
        certificates: vec![certificate(&PKI.intermediate, b""), certificate(&PKI.signing, behind.certificate)],
        crls: vec![list(&PKI.root, b""), list(&PKI.intermediate, b""), list(&PKI.signing, behind.list)],
        root: certificate(&PKI.root, behind.root),
    };
    let document = PKI.host_document(&host_key(Nid::SECP521R1).unwrap(), None).unwrap();
    let document = HostKeyDocument::parse(&source("host.crt", document.to_der().unwrap(), behind.document))?;
    Verifier::new(&trust, days_from_now(0), Outdated::Refuse)?.verify(&document).map(drop)
}

/// With these bytes behind each of them in turn, and the code of what is refused then.
fn each(bytes: &[u8]) -> [(Behind<'_>, fault::Code); 4] {
    [
        (Behind { document: bytes, ..Behind::default() }, codes::NOT_A_CERTIFICATE),
        (Behind { certificate: bytes, ..Behind::default() }, codes::NOT_A_CERTIFICATE),
        (Behind { list: bytes, ..Behind::default() }, codes::NOT_A_CRL),
        (Behind { root: bytes, ..Behind::default() }, codes::NOT_A_CERTIFICATE),
    ]
}

#[test]
fn blank_space_at_the_end_is_nothing() {
    // A hundred line breaks could be taken for values with a tag, a length and a content.
    for blank in [&b""[..], b"\n", b"\r\n", b" \t\r\n\x0c", &[b'\n'; 100]] {
        for (behind, _) in each(blank) {
            outcome(behind).unwrap();
        }
    }
}

#[test]
fn all_else_is_refused_and_counted() {
    let der = PKI.signing.certificate.to_der().unwrap();
    for bytes in [&b"\0"[..], b"\nx", b"x\n", b"\n\0\n", "\u{a0}".as_bytes(), &der[..100]] {
        for (behind, code) in each(bytes) {
            let fault = outcome(behind).unwrap_err();
            assert_eq!(fault.code, code, "{bytes:?}");
            assert!(fault.detail.contains(&format!("{} extra bytes after", bytes.len())), "{fault}");
        }
    }
}
