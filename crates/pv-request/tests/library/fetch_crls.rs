//! Revocation lists that are fetched: from a web server on this machine, which knows what it was asked.

use openssl::{nid::Nid, x509::X509};
use pv_request::{
    Downloads, HostKeyDocument, Limits, Source, codes,
    verify::{Outdated, Trust, VerifiedHostKey, Verifier},
};
use std::{sync::Arc, time::Duration};
use test_pki::{
    Authority, Crl, CrlServer, Flaw, MoreExtension, Pki, REVOKED_SERIAL, Reply, Role, days_from_now, host_key,
};

/// A server, and a hierarchy whose certificates say that the revocation lists are there.
struct World {
    server: CrlServer,
    pki: Pki,
}

const PATHS: [&str; 3] = ["/inter_ca.crl", "/root_ca.crl", "/ibm.crl"];

impl World {
    /// With all the lists, in DER and in PEM.
    fn new() -> Self {
        let server = CrlServer::start().unwrap();
        let pki = Pki::with_crls_at("Armonk", &server.uri("")).unwrap();
        let world = Self { server, pki };
        world.put("/inter_ca.crl", &world.pki.intermediate, &Crl::default());
        let root = world.pki.root.crl(&Crl::default()).unwrap().to_pem().unwrap();
        world.server.put("/root_ca.crl", Reply::Content(root));
        world.put("/ibm.crl", &world.pki.signing, &revoking(REVOKED_SERIAL));
        world
    }

    fn put(&self, path: &str, issuer: &Authority, crl: &Crl) {
        self.server.put(path, Reply::Content(issuer.crl(crl).unwrap().to_der().unwrap()));
    }

    /// Certificates and root, and the lists of these authorities.
    fn trust(&self, crls: &[(&Authority, Crl)]) -> Trust {
        let certificate = |name, authority: &Authority| pem(name, authority.certificate.to_pem().unwrap());
        Trust {
            certificates: vec![
                certificate("inter.crt", &self.pki.intermediate),
                certificate("ibm.crt", &self.pki.signing),
            ],
            crls: crls
                .iter()
                .map(|(issuer, crl)| pem("local.crl", issuer.crl(crl).unwrap().to_pem().unwrap()))
                .collect(),
            root: certificate("root.crt", &self.pki.root),
        }
    }

    /// The lists of the chain, so that only that of a document is to be fetched.
    fn chain_lists(&self) -> Vec<(&Authority, Crl)> {
        vec![(&self.pki.root, Crl::default()), (&self.pki.intermediate, Crl::default())]
    }

    fn document(&self, flaw: Option<Flaw>) -> X509 {
        self.pki.host_document(&host_key(Nid::SECP521R1).unwrap(), flaw).unwrap()
    }

    /// A good document that says that its list is at these addresses.
    fn document_with(&self, uris: &[String]) -> X509 {
        let mut issue = self.pki.signing.usual(self.pki.root.certificate.subject_name(), Role::Host, 10).unwrap();
        issue.crl_uris = uris.to_vec();
        self.pki.signing.issue(&issue, &host_key(Nid::SECP521R1).unwrap()).unwrap()
    }
}

fn revoking(serial: u32) -> Crl {
    Crl { revoked: vec![serial], ..Crl::default() }
}

fn outdated() -> Crl {
    Crl { last_update: days_from_now(-90), next_update: days_from_now(-1), ..Crl::default() }
}

fn pem(name: &str, bytes: Vec<u8>) -> Source {
    Source { name: name.into(), bytes }
}

/// Nothing here may wait for a proxy of this machine.
fn limits() -> Limits {
    Limits { proxy_from_environment: false, ..Limits::default() }
}

fn verifier(trust: &Trust, mode: Outdated, limits: Limits) -> fault::Result<Verifier> {
    Verifier::with_fetch(trust, days_from_now(0), mode, Some(Arc::new(Downloads::new(limits))))
}

fn verify(verifier: &Verifier, certificate: &X509) -> fault::Result<VerifiedHostKey> {
    verifier.verify(&HostKeyDocument::parse(&pem("host.crt", certificate.to_pem().unwrap()))?)
}

#[test]
fn all_lists_of_a_chain_and_its_documents_are_fetched_once() {
    let world = World::new();
    let verifier = verifier(&world.trust(&[]), Outdated::Refuse, limits()).unwrap();
    assert!(verifier.chain_outdated.is_empty());
    for _ in 0..3 {
        let verified = verify(&verifier, &world.document(None)).unwrap();
        assert!((verified.crl_next_update - days_from_now(90)).abs() < 3600);
    }
    assert_eq!(verify(&verifier, &world.document(Some(Flaw::Revoked))).unwrap_err().code, codes::REVOKED);
    assert_eq!(world.server.asked(), PATHS);
}

#[test]
fn one_download_serves_every_chain_of_a_task() {
    let world = World::new();
    let downloads = Arc::new(Downloads::new(limits()));
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let fetch = Arc::clone(&downloads);
                let verifier =
                    Verifier::with_fetch(&world.trust(&[]), days_from_now(0), Outdated::Refuse, Some(fetch)).unwrap();
                verify(&verifier, &world.document(None)).unwrap();
            });
        }
    });
    let mut asked = world.server.asked();
    asked.sort();
    let mut expected = PATHS;
    expected.sort_unstable();
    assert_eq!(asked, expected);
}

#[test]
fn nothing_is_fetched_where_a_current_list_is_there() {
    let world = World::new();
    let mut lists = world.chain_lists();
    lists.push((&world.pki.signing, Crl::default()));
    let verifier = verifier(&world.trust(&lists), Outdated::Refuse, limits()).unwrap();
    verify(&verifier, &world.document(None)).unwrap();
    assert_eq!(world.server.asked(), Vec::<String>::new());
}

#[test]
fn an_outdated_list_is_replaced_by_a_current_one() {
    let world = World::new();
    let lists =
        [(&world.pki.root, outdated()), (&world.pki.intermediate, outdated()), (&world.pki.signing, outdated())];
    let verifier = verifier(&world.trust(&lists), Outdated::Refuse, limits()).unwrap();
    let verified = verify(&verifier, &world.document(None)).unwrap();
    assert!(verified.outdated.is_empty() && verified.crl_next_update > days_from_now(80));
    assert_eq!(world.server.asked(), PATHS);
}

/// A current list that is of some certificates only.
fn only_of(scope: &[u8]) -> Crl {
    let point = MoreExtension { oid: "2.5.29.28", critical: true, content: scope.to_vec() };
    Crl { extensions: vec![point], ..Crl::default() }
}

/// Of those that name another place for their list, `http://x`.
const ELSEWHERE: &[u8] = b"\x30\x0e\xa0\x0c\xa0\x0a\x86\x08http://x";
const OF_USERS: &[u8] = b"\x30\x03\x81\x01\xff";
const OF_AUTHORITIES: &[u8] = b"\x30\x03\x82\x01\xff";

#[test]
fn a_current_list_of_other_certificates_does_not_keep_the_right_one_from_being_fetched() {
    let world = World::new();
    let World { pki: Pki { root, intermediate, signing, .. }, server } = &world;
    // The root has issued an authority, and that one the signing key, which is none.
    for (list, fetched) in [
        ((root, only_of(ELSEWHERE)), &["/root_ca.crl"][..]),
        ((root, only_of(OF_USERS)), &["/root_ca.crl"]),
        ((root, only_of(OF_AUTHORITIES)), &[]),
        ((intermediate, only_of(ELSEWHERE)), &["/inter_ca.crl"]),
        ((intermediate, only_of(OF_AUTHORITIES)), &["/inter_ca.crl"]),
        ((intermediate, only_of(OF_USERS)), &[]),
        ((signing, only_of(ELSEWHERE)), &["/ibm.crl"]),
        ((signing, only_of(OF_USERS)), &[]),
    ] {
        let others = [root, intermediate, signing].into_iter().filter(|other| !std::ptr::eq(*other, list.0));
        let mut lists: Vec<_> = others.map(|issuer| (issuer, Crl::default())).collect();
        lists.push(list);
        let asked = server.asked().len();
        let verifier = verifier(&world.trust(&lists), Outdated::Refuse, limits()).unwrap();
        verify(&verifier, &world.document(None)).unwrap();
        assert_eq!(server.asked()[asked..], *fetched);
    }
}

#[test]
fn a_list_of_other_certificates_that_cannot_be_replaced_is_named_and_says_why() {
    let world = World::new();
    let World { pki: Pki { root, intermediate, signing, .. }, server } = &world;
    server.put("/inter_ca.crl", Reply::Status(503));
    server.put("/ibm.crl", Reply::Status(503));
    let of_chain = world.trust(&[(root, Crl::default()), (intermediate, only_of(ELSEWHERE))]);
    let of_document =
        world.trust(&[(root, Crl::default()), (intermediate, Crl::default()), (signing, only_of(ELSEWHERE))]);
    for (trust, path) in [(of_chain, "/inter_ca.crl"), (of_document, "/ibm.crl")] {
        let verifier = verifier(&trust, Outdated::Refuse, limits());
        let fault = verifier.and_then(|verifier| verify(&verifier, &world.document(None))).unwrap_err();
        assert_eq!(fault.code, codes::CRL_SCOPE, "{fault}");
        assert!(fault.detail.contains(&format!("{} answered 503", server.uri(path))), "{fault}");
        assert!(!fault.hint.contains("download_crls"), "{fault}");
    }
}

#[test]
fn an_address_whose_list_is_of_other_certificates_is_not_the_last_that_is_asked() {
    let world = World::new();
    let signing = &world.pki.signing;
    let uris = ["/other", "/ibm.crl"].map(|path| world.server.uri(path));
    let trust = world.trust(&world.chain_lists());
    for scope in [ELSEWHERE, OF_AUTHORITIES] {
        world.put("/other", signing, &only_of(scope));
        let verify = |uris| verify(&verifier(&trust, Outdated::Refuse, limits()).unwrap(), &world.document_with(uris));
        verify(&uris).unwrap();
        let fault = verify(&uris[..1]).unwrap_err();
        assert_eq!(fault.code, codes::CRL_SCOPE, "{fault}");
        let reason = format!("{} has a revocation list that covers only other certificates", uris[0]);
        assert!(fault.detail.contains(&reason), "{fault}");
    }
    // It revokes nevertheless.
    let revoking = Crl { revoked: vec![REVOKED_SERIAL], ..only_of(ELSEWHERE) };
    world.put("/other", signing, &revoking);
    world.put("/ibm.crl", signing, &Crl::default());
    let mut issue = signing.usual(world.pki.root.certificate.subject_name(), Role::Host, 10).unwrap();
    (issue.serial, issue.crl_uris) = (Some(REVOKED_SERIAL), uris.to_vec());
    let revoked = signing.issue(&issue, &host_key(Nid::SECP521R1).unwrap()).unwrap();
    let fault = verify(&verifier(&trust, Outdated::Refuse, limits()).unwrap(), &revoked).unwrap_err();
    assert_eq!(fault.code, codes::REVOKED, "{fault}");
}

#[test]
fn an_outdated_list_that_cannot_be_replaced_is_outdated_and_says_why() {
    let world = World::new();
    for path in PATHS {
        world.server.put(path, Reply::Status(503));
    }
    let lists =
        [(&world.pki.root, Crl::default()), (&world.pki.intermediate, outdated()), (&world.pki.signing, outdated())];
    let trust = world.trust(&lists);
    let fault = verifier(&trust, Outdated::Refuse, limits()).err().unwrap();
    let asked = verifier(&trust, Outdated::Report, limits()).unwrap();
    let verified = verify(&asked, &world.document(None)).unwrap();
    for (fault, path) in
        [(&fault, "/inter_ca.crl"), (&asked.chain_outdated[0], "/inter_ca.crl"), (&verified.outdated[0], "/ibm.crl")]
    {
        assert_eq!(fault.code, codes::CRL_OUTDATED);
        assert!(fault.detail.contains(&format!("{} answered 503", world.server.uri(path))), "{fault}");
    }
}

#[test]
fn the_addresses_are_tried_in_order_until_one_has_a_list_that_counts() {
    let world = World::new();
    let server = &world.server;
    server.put("/garbage", Reply::Content(b"<html>not here</html>".to_vec()));
    world.put("/foreign", &world.pki.intermediate, &Crl::default());
    world.put("/old", &world.pki.signing, &outdated());
    let future = Crl { last_update: days_from_now(1), ..Crl::default() };
    world.put("/early", &world.pki.signing, &future);
    server.put("/damaged", Reply::Content(b"-----BEGIN X509 CRL-----\nMII\n-----END X509 CRL-----\n".to_vec()));
    let paths = ["/missing", "/garbage", "/damaged", "/foreign", "/old", "/early"];
    let mut uris: Vec<_> = paths.iter().map(|path| server.uri(path)).collect();
    uris.insert(0, "ldap://127.0.0.1/cn=crl".into());

    let trust = world.trust(&world.chain_lists());
    let without = world.document_with(&uris);
    let fault = verify(&verifier(&trust, Outdated::Refuse, limits()).unwrap(), &without).unwrap_err();
    assert_eq!(fault.code, codes::CRL_DOWNLOAD);
    for reason in [
        "ldap://127.0.0.1/cn=crl was not tried, because it is neither http nor https".to_owned(),
        format!("{} answered 404", server.uri("/missing")),
        format!("{} has no revocation list", server.uri("/garbage")),
        format!("{} has a damaged revocation list", server.uri("/damaged")),
        format!("{} has a revocation list that the certificate's issuer has not signed", server.uri("/foreign")),
        format!("{} has a revocation list that is outdated since", server.uri("/old")),
        format!("{} has a revocation list that is not valid yet", server.uri("/early")),
    ] {
        assert!(fault.detail.contains(&reason), "{reason}: {fault}");
    }

    uris.push(server.uri("/ibm.crl"));
    uris.push(server.uri("/never"));
    let asked = server.asked().len();
    verify(&verifier(&trust, Outdated::Refuse, limits()).unwrap(), &world.document_with(&uris)).unwrap();
    assert_eq!(server.asked()[asked..], [&paths[..], &["/ibm.crl"]].concat());
}

#[test]
fn a_server_can_neither_delay_nor_fill_nor_lead_elsewhere() {
    let world = World::new();
    let server = &world.server;
    server.put("/large", Reply::Content(vec![0x30; 70 << 10]));
    server.put("/silence", Reply::Silence);
    server.put("/loop", Reply::Redirect("/loop".into()));
    server.put("/ftp", Reply::Redirect("ftp://127.0.0.1/ibm.crl".into()));
    server.put("/file", Reply::Redirect("file:///etc/hostname".into()));
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let limits = Limits { each: Duration::from_millis(300), bytes: 64 << 10, ..limits() };
    let trust = world.trust(&world.chain_lists());
    let verifier = verifier(&trust, Outdated::Refuse, limits).unwrap();
    for (uri, reason) in [
        (server.uri("/large"), "gave an answer larger than 64 KiB"),
        (server.uri("/silence"), "gave no complete answer within 0.300 s"),
        (server.uri("/loop"), "redirects more than 3 times"),
        (server.uri("/ftp"), "is or redirects to an address that is neither http nor https"),
        (server.uri("/file"), "is or redirects to an address that is neither http nor https"),
        (format!("http://{closed}/"), "could not be reached (Connection refused"),
        ("http://".into(), ""),
        ("http://[".into(), ""),
    ] {
        let fault = verify(&verifier, &world.document_with(std::slice::from_ref(&uri))).unwrap_err();
        assert_eq!(fault.code, codes::CRL_DOWNLOAD);
        assert!(fault.detail.contains(&format!("{uri} {reason}")), "{fault}");
    }
    server.put("/moved", Reply::Redirect(server.uri("/ibm.crl")));
    verify(&verifier, &world.document_with(&[server.uri("/moved")])).unwrap();
}

#[test]
fn all_downloads_of_a_task_have_a_limit_together() {
    let world = World::new();
    world.server.put("/silence", Reply::Silence);
    let limits = Limits { all: Duration::from_millis(200), ..limits() };
    let verifier = verifier(&world.trust(&world.chain_lists()), Outdated::Refuse, limits).unwrap();
    let uris = [world.server.uri("/silence"), world.server.uri("/ibm.crl")];
    let fault = verify(&verifier, &world.document_with(&uris)).unwrap_err();
    assert!(fault.detail.contains("/ibm.crl was not tried, because other downloads already took 0.200 s"), "{fault}");
    assert_eq!(world.server.asked(), ["/silence"]);
}

#[test]
fn no_address_in_a_certificate_that_is_not_verified_is_asked() {
    let world = World::new();
    let trusted = world.trust(&world.chain_lists());
    let good = verifier(&trusted, Outdated::Report, limits()).unwrap();
    for flaw in [Flaw::ForgedSignature, Flaw::OtherIssuer, Flaw::OtherAuthorityKey, Flaw::NotYetValid] {
        verify(&good, &world.document(Some(flaw))).unwrap_err();
    }

    // Of a chain that leads elsewhere, and of one that the intermediate authority has not signed.
    let stranger = Authority::root(world.pki.root.certificate.subject_name().to_owned().unwrap()).unwrap();
    let elsewhere = Trust { root: pem("root.crt", stranger.certificate.to_pem().unwrap()), ..world.trust(&[]) };
    let mut issue =
        world.pki.intermediate.usual(world.pki.signing.certificate.subject_name(), Role::Signing, 10).unwrap();
    issue.issuer = Some(world.pki.intermediate.certificate.subject_name().to_owned().unwrap());
    issue.crl_uris = vec![world.server.uri("/inter_ca.crl")];
    let forged = stranger.issue_authority(&issue).unwrap();
    let mut unsigned = world.trust(&[]);
    unsigned.certificates[1] = pem("ibm.crt", forged.certificate.to_pem().unwrap());
    // And without an intermediate authority.
    let mut issue = world.pki.root.usual(world.pki.signing.certificate.subject_name(), Role::Signing, 10).unwrap();
    issue.crl_uris = vec![world.server.uri("/root_ca.crl")];
    let mut short = world.trust(&[]);
    short.certificates[1] =
        pem("ibm.crt", world.pki.root.issue_authority(&issue).unwrap().certificate.to_pem().unwrap());
    for trust in [elsewhere, unsigned, short] {
        verifier(&trust, Outdated::Report, limits()).err().unwrap();
    }
    assert_eq!(world.server.asked(), Vec::<String>::new());
}

#[test]
fn a_fetched_list_that_revokes_the_signing_key_is_heeded() {
    let world = World::new();
    let mut issue =
        world.pki.intermediate.usual(world.pki.signing.certificate.subject_name(), Role::Signing, 10).unwrap();
    (issue.serial, issue.crl_uris) = (Some(7), vec![world.server.uri("/inter_ca.crl")]);
    let revoked = world.pki.intermediate.issue_authority(&issue).unwrap();
    world.put("/inter_ca.crl", &world.pki.intermediate, &revoking(7));
    let mut trust = world.trust(&[]);
    trust.certificates[1] = pem("ibm.crt", revoked.certificate.to_pem().unwrap());
    for mode in [Outdated::Refuse, Outdated::Report] {
        assert_eq!(verifier(&trust, mode, limits()).err().unwrap().code, codes::CHAIN_REVOKED);
    }
}

#[test]
fn each_missing_list_of_the_chain_names_where_it_was_looked_for() {
    for path in ["/inter_ca.crl", "/root_ca.crl"] {
        let world = World::new();
        world.server.put(path, Reply::Status(404));
        let fault = verifier(&world.trust(&[]), Outdated::Refuse, limits()).err().unwrap();
        assert_eq!(fault.code, codes::CRL_DOWNLOAD, "{fault}");
        assert!(fault.detail.contains(&format!("{} answered 404", world.server.uri(path))), "{fault}");
    }
}

#[test]
fn a_server_of_https_must_be_trusted() {
    let world = World::new();
    let server = CrlServer::start_tls(&world.pki.root).unwrap();
    let verifier = verifier(&world.trust(&world.chain_lists()), Outdated::Refuse, limits()).unwrap();
    let fault = verify(&verifier, &world.document_with(&[server.uri("/ibm.crl")])).unwrap_err();
    assert_eq!(fault.code, codes::CRL_DOWNLOAD);
    assert!(fault.detail.contains("certificate verify failed"), "{fault}");
    assert_eq!(server.asked(), Vec::<String>::new());
}
