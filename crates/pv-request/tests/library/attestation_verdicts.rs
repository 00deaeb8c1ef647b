//! What is said of answers that are good, tampered with, old, or of another guest.

use crate::answering::{CREATED, Guest, names};
use fault::Code;
use pv_request::{
    ImageTags,
    attest::{Challenge, ChallengeKeys, Check, Expected, Status, Verdict, codes, demand_distinct_cuids, store_hash},
};
use pv_wire::attestation::{Claims, ExchangeRequest, ExchangeResponse, Item, codes as wire};

const NONE: Status = Status::None;
const CONTRA: Status = Status::Contraindicated;

fn outcome(verdict: &Verdict) -> (Status, Option<Code>) {
    (verdict.status(), verdict.fault().map(|fault| fault.code))
}

fn check<'a>(verdict: &'a Verdict, name: &str) -> &'a Check {
    verdict.checks.iter().find(|check| check.name == name).unwrap()
}

#[test]
fn a_guest_that_is_as_expected_is_affirmed_until_the_end_of_its_time() {
    let guest = Guest::asked();
    let verdict = guest.verdict(&guest.answer(), &guest.expected());
    assert_eq!(outcome(&verdict), (Status::Affirming, None), "{verdict:#?}");
    assert_eq!(
        names(&verdict, Some(true)),
        [
            "expected",
            "response",
            "request",
            "key",
            "age",
            "measurement",
            "additional",
            "image_host_key",
            "attestation_host_key",
            "secret_store",
            "claims",
            "added_requests",
            "ssh_host_keys",
            "boot_id",
            "cuid"
        ]
    );
    assert_eq!(names(&verdict, None), ["user_data"]);
    assert_eq!((verdict.age, verdict.valid_until()), (10, Some(CREATED + 86_400)));
    let store = verdict.store.as_ref().unwrap();
    assert_eq!((store.hash, store.locked, &store.explanation), (store.expected, Some(true), &None));
    assert_eq!(verdict.proved.as_ref().unwrap().claims, guest.claims);
}

#[test]
fn nothing_expected_is_nothing_affirmed() {
    let guest = Guest::asked();
    let nothing = Expected { cuid: Some([0x42; 16]), ..Expected::default() };
    assert_eq!(outcome(&guest.verdict(&guest.answer(), &nothing)), (NONE, Some(codes::NOTHING_EXPECTED)));
    assert_eq!(nothing.demand_something().unwrap_err().code, codes::NOTHING_EXPECTED);
    for part in 0..3 {
        let mut expected = Expected::default();
        match part {
            0 => expected.store = guest.expected().store,
            1 => expected.image_host_keys = guest.expected().image_host_keys,
            _ => expected.attestation_host_keys = guest.expected().attestation_host_keys,
        }
        let verdict = guest.verdict(&guest.answer(), &expected);
        assert_eq!(outcome(&verdict), (NONE, Some(codes::NO_IMAGE)));
        assert!(expected.demand_something().is_ok() && verdict.proved.is_none() && verdict.store.is_none());
        assert_eq!(names(&verdict, Some(true)), ["expected", "response", "request", "key", "age"]);
    }
}

/// Changes of the answer's parts, each with what is said of it.
#[test]
fn every_tampering_has_its_status_and_code() {
    type Change = fn(&mut Parts);
    let changes: [(&str, Change, Status, Code); 16] = [
        ("measurement", |p| p.measurement[0] ^= 1, CONTRA, codes::MEASUREMENT_MISMATCH),
        ("shorter measurement", |p| p.measurement.truncate(63), CONTRA, codes::MEASUREMENT_MISMATCH),
        ("longer measurement", |p| p.measurement.push(0), CONTRA, codes::MEASUREMENT_MISMATCH),
        ("additional data", |p| p.additional[0] ^= 1, CONTRA, codes::MEASUREMENT_MISMATCH),
        ("user data", |p| p.user_data[0] ^= 1, CONTRA, codes::MEASUREMENT_MISMATCH),
        ("CUID", |p| p.cuid[0] ^= 1, CONTRA, codes::MEASUREMENT_MISMATCH),
        ("no user data", |p| p.user_data.clear(), CONTRA, codes::MEASUREMENT_MISMATCH),
        ("no additional data", |p| p.additional.clear(), CONTRA, codes::MEASUREMENT_MISMATCH),
        ("request's tag", |p| *p.request.last_mut().unwrap() ^= 1, NONE, codes::REQUEST_MISMATCH),
        ("request's slot", |p| p.request[0xe0] ^= 1, NONE, codes::REQUEST_MISMATCH),
        ("request's flags", |p| p.request[0x30] = 0x40, NONE, codes::REQUEST_MISMATCH),
        ("request's version", |p| p.request[0x0a] = 2, NONE, wire::VERSION),
        ("request's algorithm", |p| p.request[0x3b] = 2, NONE, wire::VERSION),
        ("request's magic", |p| p.request[0] = 1, NONE, wire::MALFORMED),
        ("longer request", |p| p.request.push(0), NONE, wire::MALFORMED),
        ("shorter request", |p| p.request.truncate(399), NONE, wire::MALFORMED),
    ];
    let guest = Guest::asked();
    for (what, change, status, code) in changes {
        let answer = guest.answer();
        let mut parts = Parts::of(&answer);
        change(&mut parts);
        let verdict = guest.verdict(&parts.file(), &guest.expected());
        assert_eq!(outcome(&verdict), (status, Some(code)), "{what}: {verdict:#?}");
        assert!(verdict.proved.is_none() && verdict.store.is_none() && verdict.valid_until().is_none(), "{what}");
        // What agrees proves nothing, and is not said to be as expected.
        let before = ["expected", "response", "request", "key", "age", "measurement"];
        assert!(names(&verdict, Some(true)).iter().all(|name| before.contains(name)), "{what}");
    }
}

/// The parts of a response, to be changed.
struct Parts {
    request: Vec<u8>,
    measurement: Vec<u8>,
    additional: Vec<u8>,
    user_data: Vec<u8>,
    cuid: [u8; 16],
}

impl Parts {
    fn of(file: &[u8]) -> Self {
        let ExchangeResponse { request, measurement, additional, user_data, cuid } =
            ExchangeResponse::parse(file).unwrap();
        let [request, measurement, additional, user_data] =
            [request, measurement, additional, user_data].map(<[u8]>::to_vec);
        Self { request, measurement, additional, user_data, cuid }
    }

    fn file(&self) -> Vec<u8> {
        let Self { request, measurement, additional, user_data, cuid } = self;
        ExchangeResponse { request, measurement, additional, user_data, cuid: *cuid }.write().unwrap()
    }
}

#[test]
fn sizes_too_large_or_too_small_and_unknown_flags_in_the_answered_request_are_named() {
    let guest = Guest::asked();
    for (at, value, code) in [
        (0x2f, 63, wire::MALFORMED),
        (0x2f, 64, wire::MALFORMED),
        (0x2c, 0xff, wire::MALFORMED),
        (0x30, 0xfc, wire::FLAG_UNKNOWN),
        (0x37, 1, wire::FLAG_UNKNOWN),
        (0x27, 0, wire::MALFORMED),
    ] {
        let mut parts = Parts::of(&guest.answer());
        parts.request[at] = value;
        assert_eq!(outcome(&guest.verdict(&parts.file(), &guest.expected())), (NONE, Some(code)), "{at:#x}");
    }
}

#[test]
fn another_image_is_contraindicated_and_another_key_or_file_says_nothing() {
    let guest = Guest::asked();
    let mut expected = guest.expected();
    expected.image = Some(ImageTags([0x34; 208]));
    let verdict = guest.verdict(&guest.answer(), &expected);
    assert_eq!(outcome(&verdict), (CONTRA, Some(codes::MEASUREMENT_MISMATCH)));

    let mut other = Guest::asked();
    other.challenge.request = guest.challenge.request.clone();
    let verdict = other.verdict(&guest.answer(), &guest.expected());
    assert_eq!(outcome(&verdict), (NONE, Some(codes::KEY_MISMATCH)));

    // A good answer, but to a request that was sent to somebody else.
    let stranger = Guest::asked();
    let verdict = guest.verdict(&stranger.answer(), &guest.expected());
    assert_eq!(outcome(&verdict), (NONE, Some(codes::REQUEST_MISMATCH)));

    let request = guest.challenge.exchange_file().unwrap();
    assert!(ExchangeRequest::parse(&request).is_ok());
    for (response, code) in
        [(request, wire::NOT_A_RESPONSE), (vec![], wire::MALFORMED), (b"pvattest".to_vec(), wire::MALFORMED)]
    {
        let verdict = guest.verdict(&response, &guest.expected());
        assert_eq!(outcome(&verdict), (NONE, Some(code)));
        assert_eq!(names(&verdict, Some(true)), ["expected", "key", "age"]);
    }
}

#[test]
fn every_single_changed_byte_of_an_answer_ends_the_affirmation() {
    let guest = Guest::asked();
    let good = guest.answer();
    for at in 0..good.len() {
        let mut bytes = good.clone();
        bytes[at] ^= 1;
        assert_ne!(guest.verdict(&bytes, &guest.expected()).status(), Status::Affirming, "{at:#x}");
    }
    for len in (0..good.len()).step_by(7) {
        assert_eq!(guest.verdict(&good[..len], &guest.expected()).status(), NONE, "cut to {len}");
    }
}

#[test]
fn additional_data_that_were_well_measured_but_do_not_fit_the_flags_are_contraindicated() {
    let guest = Guest::asked();
    let all = guest.additional();
    for (additional, code) in [
        (&all[..0], wire::ADDITIONAL_INCOMPLETE),
        (&all[..447], wire::ADDITIONAL_INCOMPLETE),
        (&[&all[..], &[0xee]].concat()[..], wire::ADDITIONAL_EXCESS),
    ] {
        let verdict = guest.verdict(&guest.answer_with(additional), &guest.expected());
        assert_eq!(outcome(&verdict), (CONTRA, Some(code)));
        assert!(verdict.is_verified() && verdict.store.is_none());
        assert_eq!(check(&verdict, "secret_store").ok, None);
    }
}

#[test]
fn what_was_not_asked_for_cannot_be_compared() {
    let guest = Guest::asked_for(&[]);
    let verdict = guest.verdict(&guest.answer(), &guest.expected());
    assert_eq!(outcome(&verdict), (CONTRA, Some(codes::NOT_ASKED)));
    assert_eq!(names(&verdict, Some(false)), ["image_host_key", "attestation_host_key", "secret_store"]);
}

#[test]
fn an_old_answer_and_one_from_the_future_are_no_verdict() {
    let guest = Guest::asked();
    let (answer, mut expected) = (guest.answer(), guest.expected());
    for (now, status) in
        [(0, Status::Affirming), (600, Status::Affirming), (601, NONE), (-1, NONE), (i64::MAX / 2, NONE)]
    {
        let verdict = guest.verdict_at(&answer, &expected, CREATED + now);
        assert_eq!((verdict.status(), check(&verdict, "age").ok), (status, Some(status == Status::Affirming)), "{now}");
    }
    assert_eq!(outcome(&guest.verdict_at(&answer, &expected, i64::MIN)), (NONE, Some(codes::EXPIRED)));
    // A verdict that is over before it is made is none either.
    expected.valid_for = 5;
    assert_eq!(outcome(&guest.verdict(&answer, &expected)), (NONE, Some(codes::EXPIRED)));
    // And an old answer that is wrong beside says as little.
    expected.store = None;
    expected.cuid = Some([1; 16]);
    assert_eq!(guest.verdict(&answer, &expected).status(), NONE);
}

#[test]
fn other_machines_are_named_by_the_hash_of_their_keys() {
    let guest = Guest::asked();
    let mut expected = guest.expected();
    expected.image_host_keys = Some(vec![]);
    expected.attestation_host_keys = Some(vec![[9; 32]]);
    let verdict = guest.verdict(&guest.answer(), &expected);
    assert_eq!(outcome(&verdict), (CONTRA, Some(codes::IMAGE_HOST_KEY)));
    let other = check(&verdict, "attestation_host_key");
    assert_eq!(other.code(), Some(codes::ATTESTATION_HOST_KEY));
    assert!(other.detail.contains(&pv_wire::encode_hex(&guest.host.hash())));
}

#[test]
fn a_store_that_differs_is_explained() {
    for (tags, locked, code, words) in [
        (vec![[1; 16], [2; 16]], false, codes::NOT_LOCKED, "not locked"),
        (vec![], false, codes::STORE_MISMATCH, "rebooted"),
        (
            vec![[1; 16]],
            true,
            codes::STORE_MISMATCH,
            "1 of 2 expected requests are missing in the secret store (request 1)",
        ),
        (vec![[2; 16], [1; 16]], true, codes::STORE_MISMATCH, "another order: request 1, request 0"),
        (vec![[1; 16], [2; 16], [2; 16]], true, codes::STORE_MISMATCH, "twice: request 1"),
        (vec![[1; 16], [3; 16]], true, codes::STORE_MISMATCH, "not expected"),
    ] {
        let mut guest = Guest::asked();
        let expected = guest.expected();
        (guest.tags, guest.locked) = (tags, locked);
        let verdict = guest.verdict(&guest.answer(), &expected);
        assert_eq!(outcome(&verdict), (CONTRA, Some(code)), "{words}");
        let store = verdict.store.unwrap();
        assert_eq!(store.hash, store_hash(&guest.tags, locked));
        assert!(store.explanation.as_ref().unwrap().contains(words), "{store:?}");
    }
    // What the guest says of itself helps where tags do not.
    let mut guest = Guest::asked();
    let expected = guest.expected();
    guest.tags[1] = [3; 16];
    let claims = Claims::default().with_added_requests(vec![[0xa0; 32], [0xbb; 32]]).unwrap();
    guest.user_data = claims.user_data().to_vec();
    guest.claims = Some(claims);
    let store = guest.verdict(&guest.answer(), &expected).store.unwrap();
    assert!(store.explanation.unwrap().contains(&format!("number 2 (SHA-256 {}", "bb".repeat(32))));
}

#[test]
fn a_hash_that_nothing_proves_is_not_explained() {
    let mut guest = Guest::asked();
    let expected = Expected { image: Some(ImageTags([0; 208])), ..guest.expected() };
    assert_eq!(check(&guest.verdict(&guest.answer(), &expected), "secret_store").ok, None);
    guest.tags.clear();
    let verdict = guest.verdict(&guest.answer(), &expected);
    let store = check(&verdict, "secret_store");
    assert_eq!((store.ok, store.code()), (Some(false), Some(codes::STORE_MISMATCH)));
    assert!(verdict.store.is_none() && !store.detail.contains("rebooted"));
}

#[test]
fn claims_must_be_there_bound_and_as_expected() {
    let with = |change: &dyn Fn(&mut Guest, &mut Expected)| {
        let mut guest = Guest::asked();
        let mut expected = guest.expected();
        change(&mut guest, &mut expected);
        let verdict = guest.verdict(&guest.answer(), &expected);
        (outcome(&verdict), names(&verdict, Some(false)))
    };
    let bind = |guest: &mut Guest, claims: Claims| {
        guest.user_data = claims.user_data().to_vec();
        guest.claims = Some(claims);
    };
    let all_three = vec!["added_requests", "ssh_host_keys", "boot_id"];
    assert_eq!(with(&|guest, _| guest.claims = None), ((CONTRA, Some(codes::CLAIMS_MISSING)), all_three.clone()));
    assert_eq!(with(&|guest, _| bind(guest, Claims::default())), ((CONTRA, Some(codes::CLAIMS_MISSING)), all_three));
    assert_eq!(with(&|guest, _| guest.user_data = vec![1; 64]), ((CONTRA, Some(codes::USER_DATA)), vec!["claims"]));
    assert_eq!(with(&|guest, _| guest.user_data.clear()), ((CONTRA, Some(codes::USER_DATA)), vec!["claims"]));
    assert_eq!(
        with(&|_, expected| expected.user_data = Some(vec![1; 64])),
        ((CONTRA, Some(codes::USER_DATA)), vec!["user_data"])
    );
    assert_eq!(
        with(&|_, expected| expected.store.as_mut().unwrap().requests[1].sha256 = Some([9; 32])),
        ((CONTRA, Some(codes::ADDED_REQUESTS)), vec!["added_requests"])
    );
    for keys in [vec![], vec!["ssh-ed25519 AAAA".parse().unwrap(), "ssh-ed25519 AAAC".parse().unwrap()]] {
        assert_eq!(
            with(&|_, expected| expected.claims.ssh_host_keys = Some(keys.clone())),
            ((CONTRA, Some(codes::SSH_HOST_KEYS)), vec!["ssh_host_keys"])
        );
    }
    assert_eq!(
        with(&|_, expected| expected.claims.boot_id = Some("another".into())),
        ((CONTRA, Some(codes::BOOT_ID)), vec!["boot_id"])
    );
    assert_eq!(with(&|_, expected| expected.cuid = Some([1; 16])), ((CONTRA, Some(codes::CUID_CHANGED)), vec!["cuid"]));
    // Compared though it was not demanded, for the guest has said it.
    let undemanded = |_: &mut Guest, expected: &mut Expected| {
        expected.claims.added_requests = false;
        expected.store.as_mut().unwrap().requests[0].sha256 = Some([9; 32]);
    };
    assert_eq!(with(&undemanded), ((CONTRA, Some(codes::ADDED_REQUESTS)), vec!["added_requests"]));
    // Nothing demanded and nothing said.
    let nothing = |guest: &mut Guest, expected: &mut Expected| {
        guest.claims = None;
        expected.claims = pv_request::attest::ExpectedClaims::default();
    };
    assert_eq!(with(&nothing), ((Status::Affirming, None), vec![]));
}

#[test]
fn two_answers_of_a_batch_from_one_guest_are_found() {
    let guests = [(); 4].map(|()| Guest::asked());
    let mut verdicts = guests.each_ref().map(|guest| guest.verdict(&guest.answer(), &guest.expected()));
    verdicts[2].proved.as_mut().unwrap().cuid = [1; 16];
    let unread = guests[3].verdict(&[], &guests[3].expected());
    verdicts[3] = unread;
    let [a, b, c, d] = &mut verdicts;
    demand_distinct_cuids(&mut [("a", a), ("b", b), ("c", c), ("d", d)]);
    let shared = verdicts.each_ref().map(|verdict| check(verdict, "cuid_shared").ok);
    assert_eq!(shared, [Some(false), Some(false), Some(true), None]);
    assert_eq!(verdicts.each_ref().map(Verdict::status), [CONTRA, CONTRA, Status::Affirming, NONE]);
    assert_eq!(outcome(&verdicts[0]).1, Some(codes::CUID_SHARED));
    assert!(check(&verdicts[0], "cuid_shared").detail.ends_with("is also that of b."));
}

#[test]
fn what_is_added_to_a_verdict_counts_only_with_a_good_measurement() {
    let guest = Guest::asked();
    let mut verdict = guest.verdict(&guest.answer(), &guest.expected());
    verdict.add(Check::failed("firmware", fault::Fault::new(codes::NOT_ASKED, "Not asked.")));
    assert_eq!(verdict.status(), CONTRA);
    let mut verdict = guest.verdict(&[], &guest.expected());
    verdict.add(Check::passed("firmware", "It is valid."));
    assert_eq!(check(&verdict, "firmware").ok, None);
}

#[test]
fn keys_are_never_shown() {
    let challenge = Challenge::build(
        [Item::SecretStore].into_iter().collect(),
        [&Guest::asked().host],
        ChallengeKeys::generate().unwrap(),
    )
    .unwrap();
    let shown = format!("{:?} {:?}", challenge.key, ChallengeKeys::generate().unwrap());
    assert_eq!(shown, "ProtectionKey { .. } ChallengeKeys { .. }");
    for len in [0, 31, 33] {
        let fault = pv_request::attest::ProtectionKey::new(&vec![0; len], "file.key").unwrap_err();
        assert_eq!(fault.code, codes::KEY_FILE);
    }
}
