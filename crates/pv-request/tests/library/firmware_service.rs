//! Firmware, judged by the word of a service on this machine.

use crate::answering::{Guest, names};
use fault::Code;
use pv_request::{
    FirmwareClient, Limits, Source,
    attest::{Expected, FirmwareAnswer, FirmwareInterface, FirmwareOpinion, FirmwareService, Status, Verdict, codes},
};
use pv_wire::attestation::Item;
use std::time::Duration;
use test_pki::{CrlServer, Pki, Reply};

const V1: &str = "/hmrs/firmware/attestation/v1/verify";
const V2: &str = "/hmrs/firmware/attestation/v2/verify";
const VALID: &str = r#"{"version":"1.0","valid":true,"referenceId":"r-1"}"#;
const INVALID: &str = r#"{"version":"2.0","valid":false,"reason":"too old","verifiedHashes":[]}"#;
const STATE: [u8; 320] = [0x5a; 320];
const LIMITS: Limits = Limits { proxy_from_environment: false, ..FirmwareClient::LIMITS };

/// A service with a certificate for 127.0.0.1, and the authority that issued it.
struct Service {
    server: CrlServer,
    roots: Source,
}

impl Service {
    fn start() -> Self {
        let web = Pki::new("Armonk").unwrap().root;
        let server = CrlServer::start_tls(&web).unwrap();
        Self { server, roots: Source { name: "web.crt".into(), bytes: web.certificate.to_pem().unwrap() } }
    }

    fn says(&self, path: &str, answer: impl Into<Vec<u8>>) {
        self.server.put(path, Reply::Content(answer.into()));
    }

    fn client(&self) -> FirmwareClient {
        FirmwareClient::new(Some(&self.roots), LIMITS).unwrap()
    }

    fn named(&self, interface: FirmwareInterface) -> FirmwareService {
        FirmwareService::new(&self.server.uri(""), interface).unwrap()
    }

    /// What it says about a state by its first interface.
    fn ask(&self, client: &FirmwareClient) -> fault::Result<FirmwareOpinion> {
        client.ask(&self.named(FirmwareInterface::V1), &STATE).said.clone()
    }
}

fn unreachable(said: fault::Result<FirmwareOpinion>, words: &str) {
    let fault = said.unwrap_err();
    assert!(fault.code == codes::FIRMWARE_UNREACHABLE && fault.detail.contains(words), "{words}: {fault}");
}

#[test]
fn the_service_is_told_the_state_and_nothing_else() {
    let service = Service::start();
    service.says(V1, VALID);
    service.says(V2, INVALID);
    let client = service.client();
    let valid = service.ask(&client).unwrap();
    assert_eq!(valid, FirmwareOpinion { valid: true, reason: None, reference: Some("r-1".into()) });
    let invalid = client.ask(&service.named(FirmwareInterface::V2), &STATE).said.clone().unwrap();
    assert_eq!(invalid, FirmwareOpinion { valid: false, reason: Some("too old".into()), reference: None });

    let posted = service.server.posted();
    assert_eq!(posted.iter().map(|question| question.path.as_str()).collect::<Vec<_>>(), [V1, V2]);
    for question in posted {
        assert_eq!(question.body, FirmwareService::question(&STATE).as_bytes());
        let mut headers: Vec<_> = question
            .head
            .lines()
            .skip(1)
            .filter_map(|line| line.split_once(": "))
            .map(|(name, _)| name.to_lowercase())
            .collect();
        headers.sort();
        assert_eq!(headers, ["accept", "content-length", "content-type", "host", "user-agent", "x-client-id"]);
        assert!(question.head.to_lowercase().contains("content-type: application/json"), "{}", question.head);
    }
}

#[test]
fn each_state_is_asked_about_once_whatever_came() {
    let service = Service::start();
    service.says(V1, VALID);
    let client = service.client();
    assert_eq!((service.ask(&client), service.ask(&client)), (service.ask(&client), service.ask(&client)));
    assert_eq!(service.server.asked().len(), 1);
    client.ask(&service.named(FirmwareInterface::V1), &[1; 320]);
    assert_eq!(service.server.asked().len(), 2);
    let failing = service.named(FirmwareInterface::V2);
    assert_eq!(client.ask(&failing, &STATE), client.ask(&failing, &STATE));
    assert_eq!(service.server.asked().len(), 3);
}

#[test]
fn only_a_complete_answer_of_the_service_itself_counts() {
    let service = Service::start();
    let elsewhere = Service::start();
    elsewhere.says(V1, VALID);
    for (reply, words) in [
        (Reply::Redirect(elsewhere.server.uri(V1)), "answered 302"),
        (Reply::Status(404), "answered 404"),
        (Reply::Status(503), "answered 503"),
        (Reply::Content(Vec::new()), "cannot be read"),
        (Reply::Content(b"{\"version\":\"9\",\"valid\":true}".into()), "unknown version"),
        (Reply::Content(vec![b' '; (1 << 20) + 1]), "larger than 1024 KiB"),
    ] {
        service.server.put(V1, reply);
        unreachable(service.ask(&service.client()), words);
    }
    assert_eq!(elsewhere.server.asked(), Vec::<String>::new());
}

#[test]
fn a_server_that_the_named_roots_do_not_vouch_for_is_told_nothing() {
    let (service, other) = (Service::start(), Service::start());
    service.says(V1, VALID);
    for roots in [Some(&other.roots), None] {
        unreachable(service.ask(&FirmwareClient::new(roots, LIMITS).unwrap()), "could not be");
    }
    assert!(service.server.posted().is_empty());
    let nothing = Source { name: "web.crt".into(), bytes: b"nothing".into() };
    let fault = FirmwareClient::new(Some(&nothing), LIMITS).unwrap_err();
    assert_eq!(fault.code, pv_request::codes::NOT_A_CERTIFICATE);
}

#[test]
fn a_service_that_is_silent_is_not_waited_for_twice() {
    let service = Service::start();
    service.server.put(V1, Reply::Silence);
    let each = Duration::from_millis(300);
    let client = FirmwareClient::new(Some(&service.roots), Limits { each, all: each, ..LIMITS }).unwrap();
    let since = std::time::Instant::now();
    unreachable(service.ask(&client), "no complete answer within 0.300 s");
    let other = client.ask(&service.named(FirmwareInterface::V1), &[1; 320]);
    unreachable(other.said.clone(), "was not asked, because other questions got no answer within 0.300 s");
    assert!(since.elapsed() < Duration::from_secs(10));
    // A busy machine may not come to the first question in that time.
    assert!(service.server.asked().len() <= 1);
}

#[test]
fn a_service_that_gives_no_answer_that_can_be_read_is_not_waited_for_without_end() {
    let service = Service::start();
    service.says(V1, "<html>later</html>");
    let limits = Limits { all: Duration::from_secs(1), ..LIMITS };
    let client = FirmwareClient::new(Some(&service.roots), limits).unwrap();
    let since = std::time::Instant::now();
    let states = (0_u8..=255).flat_map(|one| [0_u8, 1, 2, 3].map(|other| [[one; 160], [other; 160]].concat()));
    // Each takes some milliseconds: a second is full long before ten are over.
    let mut states = states.take_while(|_| since.elapsed() < Duration::from_secs(10));
    let gave_up = states.any(|state| {
        let answer = client.ask(&service.named(FirmwareInterface::V1), &state.try_into().unwrap());
        answer.said.as_ref().is_err_and(|fault| fault.detail.contains("was not asked"))
    });
    assert!(gave_up, "{} questions", service.server.asked().len());
}

/// The service of an answer that nobody has fetched.
fn named(base: &str) -> FirmwareService {
    FirmwareService::new(base, FirmwareInterface::V1).unwrap()
}

fn expecting(guest: &Guest) -> Expected {
    Expected { firmware: Some(named("https://here")), ..guest.expected() }
}

fn said(said: fault::Result<FirmwareOpinion>) -> FirmwareAnswer {
    FirmwareAnswer { service: named("https://here"), state: STATE, said }
}

fn opinion(valid: bool) -> FirmwareOpinion {
    FirmwareOpinion { valid, reason: (!valid).then(|| "too old".into()), reference: Some("r-1".into()) }
}

fn firmware_code(verdict: &Verdict) -> (Status, Option<bool>, Option<Code>) {
    let check = verdict.checks.iter().find(|check| check.name == "firmware").unwrap();
    (verdict.status(), check.ok, check.code())
}

#[test]
fn nothing_but_a_word_of_the_service_about_this_very_state_affirms() {
    let guest = Guest::asked();
    let (response, expected) = (guest.answer(), expecting(&guest));
    let judged = |answer: Option<&FirmwareAnswer>| firmware_code(&guest.verdict_with(&response, answer, &expected));
    assert_eq!(judged(Some(&said(Ok(opinion(true))))), (Status::Affirming, Some(true), None));
    let invalid = (Status::Contraindicated, Some(false), Some(codes::FIRMWARE_INVALID));
    assert_eq!(judged(Some(&said(Ok(opinion(false))))), invalid);
    let unknown = (Status::None, Some(false), Some(codes::FIRMWARE_UNREACHABLE));
    assert_eq!(judged(None), unknown);
    let failed = fault::Fault::new(codes::FIRMWARE_UNREACHABLE, "It answered 503.");
    assert_eq!(judged(Some(&said(Err(failed)))), unknown);
    assert_eq!(judged(Some(&FirmwareAnswer { state: [1; 320], ..said(Ok(opinion(true))) })), unknown);
    assert_eq!(judged(Some(&FirmwareAnswer { service: named("https://there"), ..said(Ok(opinion(true))) })), unknown);
}

#[test]
fn the_service_is_asked_only_about_a_guest_that_is_else_affirmed() {
    let guest = Guest::asked();
    let verdict = guest.verdict(&guest.answer(), &expecting(&guest));
    assert_eq!(verdict.firmware_question(), Some(&STATE));
    let with_answer = guest.verdict_with(&guest.answer(), Some(&said(Ok(opinion(true)))), &expecting(&guest));
    assert_eq!(with_answer.firmware_question(), None);
    assert_eq!(guest.verdict(&guest.answer(), &guest.expected()).firmware_question(), None);

    let unlocked = Guest { locked: false, ..Guest::asked() };
    let verdict = unlocked.verdict_with(&unlocked.answer(), Some(&said(Ok(opinion(true)))), &expecting(&unlocked));
    assert_eq!((verdict.firmware_question(), firmware_code(&verdict)), (None, (Status::Contraindicated, None, None)));
    let forged = guest.answer_with(&[vec![0; 128], STATE.to_vec()].concat());
    let verdict = guest.verdict(&[forged, vec![0]].concat(), &expecting(&guest));
    assert_eq!((verdict.firmware_question(), verdict.status()), (None, Status::None));
}

#[test]
fn a_request_that_did_not_ask_for_the_state_cannot_prove_firmware() {
    let guest = Guest::asked_for(&[Item::ImageHostKey, Item::AttestationHostKey, Item::SecretStore]);
    let verdict = guest.verdict_with(&guest.answer(), Some(&said(Ok(opinion(true)))), &expecting(&guest));
    assert_eq!(firmware_code(&verdict), (Status::Contraindicated, Some(false), Some(codes::NOT_ASKED)));
    assert!(names(&verdict, Some(false)) == ["firmware"] && verdict.firmware_question().is_none());
}

#[test]
fn who_is_asked_is_part_of_the_policy() {
    let guest = Guest::asked();
    let policy = |base: &str| Expected { firmware: Some(named(base)), ..guest.expected() }.policy_sha256();
    assert!(
        policy("https://here") != policy("https://there") && policy("https://here") != guest.expected().policy_sha256()
    );
}
