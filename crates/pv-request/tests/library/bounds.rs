//! More certificates and longer lists than anybody needs.

use openssl::nid::Nid;
use pv_request::{
    HostKeyDocument, Source, codes,
    verify::{MOST_CERTIFICATES, MOST_LISTS, Outdated, Trust, Verifier},
};
use std::sync::LazyLock;
use test_pki::{Authority, Crl, MoreExtension, Pki, Role, days_from_now, host_key};

static PKI: LazyLock<Pki> = LazyLock::new(|| Pki::new("Armonk").unwrap());

fn source(name: &str, bytes: Vec<u8>) -> Source {
    Source { name: name.into(), bytes }
}

fn trust() -> Trust {
    let certificate = |authority: &Authority| source("crt", authority.certificate.to_der().unwrap());
    let list = |authority: &Authority| source("crl", authority.crl(&Crl::default()).unwrap().to_der().unwrap());
    Trust {
        certificates: vec![certificate(&PKI.intermediate), certificate(&PKI.signing)],
        crls: vec![list(&PKI.root), list(&PKI.intermediate), list(&PKI.signing)],
        root: certificate(&PKI.root),
    }
}

fn outcome(trust: &Trust) -> fault::Result<()> {
    let document = PKI.host_document(&host_key(Nid::SECP521R1).unwrap(), None).unwrap();
    let document = HostKeyDocument::parse(&source("host.crt", document.to_der().unwrap()))?;
    Verifier::new(trust, days_from_now(0), Outdated::Refuse)?.verify(&document).map(drop)
}

/// Different certificates, one behind the other: serial numbers count upwards in a copy of one. Nobody looks at their
/// signatures before they are part of a chain.
fn many(count: usize) -> Vec<u8> {
    let mut issue = PKI.root.usual(PKI.signing.certificate.issuer_name(), Role::Ca, 10).unwrap();
    issue.serial = Some(0x7f00_0000);
    let one = PKI.root.issue(&issue, &host_key(Nid::X9_62_PRIME256V1).unwrap()).unwrap().to_der().unwrap();
    let at = one.windows(4).position(|window| window == [0x7f, 0, 0, 0]).unwrap();
    let numbered = |number: usize| {
        let mut copy = one.clone();
        copy[at + 1..at + 4].copy_from_slice(&u32::try_from(number).unwrap().to_be_bytes()[1..]);
        copy
    };
    (0..count).flat_map(numbered).collect()
}

#[test]
fn as_many_certificates_as_are_taken_are_read_and_one_more_is_refused() {
    let mut all = trust();
    all.certificates.push(source("many.crt", many(MOST_CERTIFICATES - 2)));
    outcome(&all).unwrap();
    all.certificates.push(source("more.crt", many(MOST_CERTIFICATES - 1)));
    let fault = outcome(&all).unwrap_err();
    assert_eq!(fault.code, codes::TOO_MANY);
    assert!(fault.detail.contains(&MOST_CERTIFICATES.to_string()), "{fault}");

    let mut roots = trust();
    let own = roots.root.bytes.clone();
    roots.root.bytes.extend(many(MOST_CERTIFICATES - 1));
    outcome(&roots).unwrap();
    roots.root.bytes = [own, many(MOST_CERTIFICATES)].concat();
    let fault = outcome(&roots).unwrap_err();
    assert_eq!(fault.code, codes::TOO_MANY);
    assert!(fault.detail.contains("1000"), "{fault}");
}

#[test]
fn as_many_lists_as_are_taken_are_read_and_one_more_is_refused() {
    let list = PKI.signing.crl(&Crl::default()).unwrap().to_der().unwrap();
    let mut all = trust();
    // Blank space behind the last one is none.
    all.crls.push(source("many.crl", [list.repeat(MOST_LISTS - 3), vec![b'\n'; 100]].concat()));
    outcome(&all).unwrap();
    all.crls.push(source("more.crl", list));
    let fault = outcome(&all).unwrap_err();
    assert_eq!(fault.code, codes::TOO_MANY);
    assert!(fault.detail.contains(&MOST_LISTS.to_string()), "{fault}");
}

#[test]
fn lists_longer_than_is_taken_are_refused_wherever_they_are() {
    let of_size = |size: usize| {
        let content = vec![0; size];
        let long = MoreExtension { oid: "1.2.3.4", critical: false, content };
        let list = Crl { extensions: vec![long], ..Crl::default() };
        PKI.signing.crl(&list).unwrap()
    };
    let fits = of_size((4 << 20) - 2000);
    let mut all = trust();
    all.crls[2] = source("long.crl", fits.to_der().unwrap());
    outcome(&all).unwrap();
    // Together they must not be longer than twice that.
    let mut sum = all.clone();
    sum.crls.extend([all.crls[2].clone(), all.crls[2].clone()]);
    let fault = outcome(&sum).unwrap_err();
    assert_eq!(fault.code, codes::FILE_TOO_LARGE);
    assert!(fault.detail.contains("8 MiB"), "{fault}");

    let long = of_size(4 << 20);
    for bytes in [long.to_der().unwrap(), long.to_pem().unwrap()] {
        let mut among_lists = trust();
        among_lists.crls[2] = source("long.crl", bytes.clone());
        let mut among_certificates = trust();
        among_certificates.certificates.push(source("long.crl", bytes));
        for trust in [among_lists, among_certificates] {
            let fault = outcome(&trust).unwrap_err();
            assert_eq!(fault.code, codes::FILE_TOO_LARGE);
            assert!(fault.detail.contains("long.crl") && fault.detail.contains("4 MiB"), "{fault}");
        }
    }
}
