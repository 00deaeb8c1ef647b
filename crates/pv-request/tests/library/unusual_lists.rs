//! Revocation lists that a CA does not usually issue, put together byte by byte (RFC 5280 5.1).

use openssl::{hash::MessageDigest, nid::Nid, sign::Signer, x509::X509};
use pv_request::{
    HostKeyDocument, Source,
    verify::{Outdated, Trust, Verifier},
};
use std::sync::LazyLock;
use test_pki::{Authority, Crl, Pki, Role, days_from_now, host_key};

static PKI: LazyLock<Pki> = LazyLock::new(|| Pki::new("Armonk").unwrap());
static HOST: LazyLock<X509> = LazyLock::new(|| PKI.host_document(&host_key(Nid::SECP521R1).unwrap(), None).unwrap());

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
const OCTETS: u8 = 0x04;
const UTC_TIME: u8 = 0x17;
const SHA256_WITH_RSA: &[u8] = b"\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0b\x05\x00";
const UNSPECIFIED: u8 = 0;
const KEY_COMPROMISE: u8 = 1;
const ON_HOLD: u8 = 6;
const REMOVE_FROM_CRL: u8 = 8;

/// Tag, length in two bytes or one, content.
fn tlv(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let length = u16::try_from(content.len()).unwrap().to_be_bytes();
    let head = match length {
        [0, low @ ..0x80] => vec![tag, low],
        [0, low] => vec![tag, 0x81, low],
        [high, low] => vec![tag, 0x82, high, low],
    };
    [head, content].concat()
}

/// An extension of the number `last` below 2.5.29.
fn extension(last: u8, content: &[u8]) -> Vec<u8> {
    tlv(SEQUENCE, &[&[0x06, 3, 0x55, 0x1d, last], &tlv(OCTETS, &[content])])
}

/// What about a list is out of the ordinary.
struct Unusual {
    next_update: bool,
    /// The key id of the issuer that it names.
    key_id: Vec<u8>,
    /// Whom it lists, and why.
    entry: Option<(&'static X509, u8)>,
    /// A critical extension of that entry: its number below 2.5.29.
    critical: Option<u8>,
    /// From when to when.
    times: [&'static [u8]; 2],
}

const NOW: [&[u8]; 2] = [b"200101000000Z", b"491231235959Z"];
const PAST: [&[u8]; 2] = [b"200101000000Z", b"210101000000Z"];
const FUTURE: [&[u8]; 2] = [b"490101000000Z", b"491231235959Z"];

fn usual(issuer: &Authority) -> Unusual {
    Unusual { next_update: true, key_id: issuer.key_id().unwrap(), entry: None, critical: None, times: NOW }
}

/// The list, in DER.
fn list(issuer: &Authority, unusual: &Unusual) -> Source {
    let mut fields = vec![
        tlv(INTEGER, &[&[1]]),
        SHA256_WITH_RSA.to_vec(),
        issuer.certificate.subject_name().to_der().unwrap(),
        tlv(UTC_TIME, &[unusual.times[0]]),
    ];
    if unusual.next_update {
        fields.push(tlv(UTC_TIME, &[unusual.times[1]]));
    }
    if let Some((certificate, reason)) = unusual.entry {
        let mut serial = certificate.serial_number().to_bn().unwrap().to_vec();
        if serial[0] >= 0x80 {
            serial.insert(0, 0);
        }
        let critical = unusual.critical.map_or_else(Vec::new, |last| {
            tlv(SEQUENCE, &[&[0x06, 3, 0x55, 0x1d, last, 0x01, 1, 0xff], &tlv(OCTETS, &[&[SEQUENCE, 0]])])
        });
        let why = tlv(SEQUENCE, &[&extension(21, &[0x0a, 1, reason]), &critical]);
        let entry = tlv(SEQUENCE, &[&tlv(INTEGER, &[&serial]), &tlv(UTC_TIME, &[b"200101000000Z"]), &why]);
        fields.push(tlv(SEQUENCE, &[&entry]));
    }
    let key_id = extension(35, &tlv(SEQUENCE, &[&tlv(0x80, &[&unusual.key_id])]));
    let number = extension(20, &tlv(INTEGER, &[&[1]]));
    fields.push(tlv(0xa0, &[&tlv(SEQUENCE, &[&key_id, &number])]));
    let to_sign = tlv(SEQUENCE, &[&fields.concat()]);
    let mut signer = Signer::new(MessageDigest::sha256(), &issuer.key).unwrap();
    let signature = signer.sign_oneshot_to_vec(&to_sign).unwrap();
    let bytes = tlv(SEQUENCE, &[&to_sign, SHA256_WITH_RSA, &tlv(0x03, &[&[0], &signature])]);
    Source { name: "unusual.crl".into(), bytes }
}

fn source(name: &str, bytes: Vec<u8>) -> Source {
    Source { name: name.into(), bytes }
}

/// What verification says of the document, with this list in the place of an authority's: 1 intermediate, 2 signing key.
fn with_list(index: usize, unusual: Source) -> Result<(), &'static str> {
    with_lists(index, unusual, &[])
}

/// And with more lists.
fn with_lists(index: usize, unusual: Source, more: &[Source]) -> Result<(), &'static str> {
    with_certificates(&[], index, unusual, more)
}

/// And with more certificates, before the others.
fn with_certificates(
    certificates: &[X509],
    index: usize,
    unusual: Source,
    more: &[Source],
) -> Result<(), &'static str> {
    let pem = |authority: &Authority| source("crt", authority.certificate.to_pem().unwrap());
    let issuers = [&PKI.root, &PKI.intermediate, &PKI.signing];
    let mut crls: Vec<_> =
        issuers.iter().map(|issuer| source("crl", issuer.crl(&Crl::default()).unwrap().to_pem().unwrap())).collect();
    crls[index] = unusual;
    crls.extend_from_slice(more);
    let mut all: Vec<_> = certificates.iter().map(|one| source("crt", one.to_pem().unwrap())).collect();
    all.extend([pem(&PKI.intermediate), pem(&PKI.signing)]);
    let trust = Trust { certificates: all, crls, root: pem(&PKI.root) };
    let document = HostKeyDocument::parse(&source("host.crt", HOST.to_pem().unwrap()));
    let verifier = Verifier::new(&trust, days_from_now(0), Outdated::Refuse);
    document.and_then(|document| verifier?.verify(&document)).map(drop).map_err(|fault| fault.code.name)
}

#[test]
fn a_document_in_a_list_is_revoked_whatever_the_reason_even_removed_again() {
    assert_eq!(with_list(2, list(&PKI.signing, &usual(&PKI.signing))), Ok(()));
    for reason in [UNSPECIFIED, KEY_COMPROMISE, REMOVE_FROM_CRL] {
        let entry = Some((&*HOST, reason));
        let listed = list(&PKI.signing, &Unusual { entry, ..usual(&PKI.signing) });
        assert_eq!(with_list(2, listed), Err("hkd.revoked"), "reason {reason}");
    }
}

#[test]
fn a_list_of_the_signing_key_without_an_end_says_nothing() {
    for entry in [None, Some((&*HOST, KEY_COMPROMISE))] {
        let endless = Unusual { next_update: false, entry, ..usual(&PKI.signing) };
        assert_eq!(with_list(2, list(&PKI.signing, &endless)), Err("hkd.no_crl"));
    }
}

#[test]
fn a_list_above_the_signing_key_without_an_end_counts_and_can_revoke() {
    let endless = |entry| list(&PKI.intermediate, &Unusual { next_update: false, entry, ..usual(&PKI.intermediate) });
    assert_eq!(with_list(1, endless(None)), Ok(()));
    static SIGNING: LazyLock<X509> = LazyLock::new(|| PKI.signing.certificate.clone());
    assert_eq!(with_list(1, endless(Some((&*SIGNING, KEY_COMPROMISE)))), Err("hkd.chain_revoked"));
}

#[test]
fn the_key_id_that_a_list_of_the_signing_key_names_is_not_compared_but_its_signature_is() {
    let other_id = Unusual { key_id: vec![0xaa; 20], ..usual(&PKI.signing) };
    assert_eq!(with_list(2, list(&PKI.signing, &other_id)), Ok(()));
    let revoking = Unusual { entry: Some((&*HOST, KEY_COMPROMISE)), ..other_id };
    assert_eq!(with_list(2, list(&PKI.signing, &revoking)), Err("hkd.revoked"));
    // Signed by another key under the right name and key id.
    let stranger = Authority { key: PKI.intermediate.key.clone(), certificate: PKI.signing.certificate.clone() };
    assert_eq!(with_list(2, list(&stranger, &usual(&PKI.signing))), Err("hkd.no_crl"));
}

#[test]
fn whoever_is_revoked_for_good_is_revoked_in_a_list_of_any_time() {
    static SIGNING: LazyLock<X509> = LazyLock::new(|| PKI.signing.certificate.clone());
    for (index, issuer, named, code) in
        [(2, &PKI.signing, &*HOST, "hkd.revoked"), (1, &PKI.intermediate, &*SIGNING, "hkd.chain_revoked")]
    {
        for times in [PAST, FUTURE] {
            let of = |reason: u8| list(issuer, &Unusual { entry: Some((named, reason)), times, ..usual(issuer) });
            let good = || list(issuer, &usual(issuer));
            for reason in [UNSPECIFIED, KEY_COMPROMISE] {
                assert_eq!(with_list(index, of(reason)), Err(code), "alone, {times:?}");
                assert_eq!(with_lists(index, good(), &[of(reason)]), Err(code), "beside a current one, {times:?}");
                assert_eq!(with_lists(index, of(reason), &[good()]), Err(code), "before a current one, {times:?}");
            }
            // Who was on hold may be off it by now.
            let held = with_lists(index, good(), &[of(ON_HOLD)]);
            let is_later = times == FUTURE && index == 2;
            assert_eq!(held, if is_later { Err(code) } else { Ok(()) }, "{times:?}");
        }
    }
}

#[test]
fn what_is_looked_at_is_the_chain_that_was_taken_and_no_earlier_one_of_the_same_authority() {
    static SIGNING: LazyLock<X509> = LazyLock::new(|| PKI.signing.certificate.clone());
    fn earlier(digest: MessageDigest) -> X509 {
        let mut issue = PKI.root.usual(PKI.intermediate.certificate.subject_name(), Role::Ca, 1).unwrap();
        (issue.not_before, issue.not_after, issue.digest) = (days_from_now(-20), days_from_now(-10), digest);
        PKI.root.issue(&issue, &PKI.intermediate.key).unwrap()
    }
    // A weak one hides nothing.
    let weak = earlier(MessageDigest::sha1());
    let later = Unusual { entry: Some((&*SIGNING, KEY_COMPROMISE)), times: FUTURE, ..usual(&PKI.intermediate) };
    let good = list(&PKI.intermediate, &usual(&PKI.intermediate));
    let found = with_certificates(&[weak], 1, good, &[list(&PKI.intermediate, &later)]);
    assert_eq!(found, Err("hkd.chain_revoked"));
    // One that was revoked by now keeps nobody out.
    static REVOKED: LazyLock<X509> = LazyLock::new(|| earlier(MessageDigest::sha256()));
    let listed = list(&PKI.root, &Unusual { entry: Some((&*REVOKED, KEY_COMPROMISE)), ..usual(&PKI.root) });
    assert_eq!(with_certificates(std::slice::from_ref(&*REVOKED), 0, listed, &[]), Ok(()));
}

#[test]
fn a_list_whose_entries_have_a_critical_extension_that_is_not_understood_is_refused() {
    // An entry about another issuer's certificate, as indirect lists have it, and one that nobody knows.
    for last in [29, 99] {
        static OTHER: LazyLock<X509> =
            LazyLock::new(|| PKI.host_document(&host_key(Nid::SECP521R1).unwrap(), None).unwrap());
        let entry = Some((&*OTHER, KEY_COMPROMISE));
        let listed = list(&PKI.signing, &Unusual { entry, critical: Some(last), ..usual(&PKI.signing) });
        assert_eq!(with_list(2, listed), Err("hkd.critical_extension"), "{last}");
    }
}

#[test]
fn a_list_that_an_authority_of_the_chain_has_not_signed_revokes_nobody() {
    // Otherwise whoever can add a list, or swap one on its way, could have every document refused.
    static SIGNING: LazyLock<X509> = LazyLock::new(|| PKI.signing.certificate.clone());
    let stranger = Authority { key: PKI.root.key.clone(), certificate: PKI.intermediate.certificate.clone() };
    let entry = Some((&*SIGNING, KEY_COMPROMISE));
    for times in [NOW, PAST, FUTURE] {
        let forged = list(&stranger, &Unusual { entry, times, ..usual(&PKI.intermediate) });
        let good = list(&PKI.intermediate, &usual(&PKI.intermediate));
        assert_eq!(with_lists(1, good, &[forged]), Ok(()), "{times:?}");
    }
}
