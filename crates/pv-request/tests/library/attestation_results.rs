//! Attestation results for others: the token is verified here by its public key alone.

use crate::answering::{CREATED, Guest};
use openssl::{
    base64::decode_block,
    bn::BigNum,
    ec::{EcGroup, EcKey},
    ecdsa::EcdsaSig,
    nid::Nid,
    pkey::{PKey, Private},
    rsa::Rsa,
    sha::{sha256, sha384},
};
use pv_request::attest::{Check, Ear, EarKey, Expected, Verdict, codes};
use serde_json::{Value, json};

fn key_on(curve: Nid) -> PKey<Private> {
    PKey::from_ec_key(EcKey::generate(&EcGroup::from_curve_name(curve).unwrap()).unwrap()).unwrap()
}

fn from_base64url(text: &str) -> Vec<u8> {
    assert!(!text.contains(['+', '/', '=']));
    let padded = format!("{}{}", text.replace('-', "+").replace('_', "/"), "=".repeat((4 - text.len() % 4) % 4));
    decode_block(&padded).unwrap()
}

/// Whether the signature of a token fits the key.
fn fits(token: &str, key: &PKey<Private>, digest: impl Fn(&[u8]) -> Vec<u8>) -> bool {
    let (message, signature) = token.rsplit_once('.').unwrap();
    let signature = from_base64url(signature);
    let (r, s) = signature.split_at(signature.len() / 2);
    let number = |bytes| BigNum::from_slice(bytes).unwrap();
    let signature = EcdsaSig::from_private_components(number(r), number(s)).unwrap();
    let public = PKey::public_key_from_der(&key.public_key_to_der().unwrap()).unwrap().ec_key().unwrap();
    signature.verify(&digest(message.as_bytes()), &public).unwrap()
}

/// The header and the claims.
fn parts(token: &str) -> (Value, Value) {
    let mut parts = token.split('.').take(2).map(|part| serde_json::from_slice(&from_base64url(part)).unwrap());
    (parts.next().unwrap(), parts.next().unwrap())
}

fn ear<'a>(guest: &'a Guest, verdict: &'a Verdict, expected: &'a Expected) -> Ear<'a> {
    Ear {
        guest: "guest1",
        verdict,
        expected,
        request_sha256: sha256(&guest.challenge.request),
        raw_evidence: None,
        issued: CREATED + 10,
    }
}

#[test]
fn tokens_are_signed_as_their_header_says_and_no_changed_one_is_valid() {
    let guest = Guest::asked();
    let (expected, response) = (guest.expected(), guest.answer());
    let verdict = guest.verdict(&response, &expected);
    type Digest = fn(&[u8]) -> Vec<u8>;
    let kinds: [(Nid, &str, Digest, usize); 2] = [
        (Nid::X9_62_PRIME256V1, "ES256", |bytes| sha256(bytes).to_vec(), 86),
        (Nid::SECP384R1, "ES384", |bytes| sha384(bytes).to_vec(), 128),
    ];
    for (curve, algorithm, digest, length) in kinds {
        let key = key_on(curve);
        let signer = EarKey::new(&key.private_key_to_pem_pkcs8().unwrap(), "key").unwrap();
        let ear = Ear { raw_evidence: Some(&response), ..ear(&guest, &verdict, &expected) };
        let token = ear.sign(&signer).unwrap();
        assert_eq!(token.rsplit('.').next().unwrap().len(), length);
        assert!(fits(&token, &key, digest) && !fits(&token, &key_on(curve), digest));
        let (header, claims) = parts(&token);
        assert_eq!(header, json!({ "alg": algorithm, "typ": "JWT" }));
        assert_eq!(claims, ear.claims());
        assert_eq!(from_base64url(claims["ear.raw-evidence"].as_str().unwrap()), response);
        assert_eq!(from_base64url(claims["eat_nonce"].as_str().unwrap()), sha256(&guest.challenge.request));
        let dot = token.find('.').unwrap();
        for at in [0, dot + 1, dot + 100] {
            let mut changed = token.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            assert!(!fits(&String::from_utf8(changed).unwrap(), &key, digest), "{at}");
        }
    }
}

#[test]
fn an_affirming_result_says_what_for_how_long_and_by_which_policy() {
    let guest = Guest::asked();
    let expected = guest.expected();
    let verdict = guest.verdict(&guest.answer(), &expected);
    let claims = ear(&guest, &verdict, &expected).claims();
    assert_eq!(claims["eat_profile"], "tag:galaxy.ansible.com,2026:seguest/pv/ear/1");
    assert_eq!((&claims["iat"], &claims["exp"]), (&json!(CREATED + 10), &json!(CREATED + 86_400)));
    assert_eq!(claims["ear.verifier-id"]["developer"], "seguest.pv");
    let about = &claims["submods"]["guest1"];
    assert_eq!(about["ear.status"], "affirming");
    assert_eq!(
        about["ear.trustworthiness-vector"],
        json!({ "configuration": 2, "executables": 3, "hardware": 2, "instance-identity": 2, "runtime-opaque": 2 })
    );
    let policy = about["ear.appraisal-policy-id"].as_str().unwrap().strip_prefix("ni:///sha-256;").unwrap();
    assert_eq!(from_base64url(policy), sha256(expected.policy().to_string().as_bytes()));
    let evidence = &about["ear.veraison.annotated-evidence"];
    assert_eq!(evidence["checks"].as_array().unwrap().len(), verdict.checks.len());
    assert_eq!(evidence["cuid"], format!("0x{}", "42".repeat(16)));
    assert_eq!(evidence["secret_store"]["locked"], true);

    let mut other = expected.clone();
    other.max_age += 1;
    assert_ne!(other.policy_sha256(), expected.policy_sha256());
}

#[test]
fn the_vectors_worst_entry_has_the_statuss_tier() {
    type Change = fn(&mut Guest, &mut Expected);
    let changes: [(Change, Value, Option<Value>); 7] = [
        (
            |_, e| e.image = Some(pv_request::ImageTags([0; 208])),
            json!("contraindicated"),
            Some(json!({ "executables": 99 })),
        ),
        (
            |_, e| e.image_host_keys = Some(vec![]),
            json!("contraindicated"),
            Some(
                json!({ "configuration": 2, "executables": 3, "hardware": 97, "instance-identity": 2, "runtime-opaque": 2 }),
            ),
        ),
        (
            |g, _| g.locked = false,
            json!("contraindicated"),
            Some(
                json!({ "configuration": 96, "executables": 3, "hardware": 2, "instance-identity": 2, "runtime-opaque": 2 }),
            ),
        ),
        (
            |_, e| e.cuid = Some([9; 16]),
            json!("contraindicated"),
            Some(
                json!({ "configuration": 2, "executables": 3, "hardware": 2, "instance-identity": 97, "runtime-opaque": 2 }),
            ),
        ),
        (
            |g, _| g.user_data = vec![1],
            json!("contraindicated"),
            Some(json!({
                "configuration": 2, "executables": 3, "hardware": 2, "instance-identity": 2, "runtime-opaque": 2, "sourced-data": 96
            })),
        ),
        (
            |g, e| *e = Expected { image: Some(g.image), ..Expected::default() },
            json!("affirming"),
            Some(json!({ "executables": 3, "runtime-opaque": 2 })),
        ),
        (|_, e| e.max_age = 1, json!("none"), None),
    ];
    for (change, status, vector) in changes {
        let mut guest = Guest::asked();
        let mut expected = guest.expected();
        change(&mut guest, &mut expected);
        let verdict = guest.verdict(&guest.answer(), &expected);
        let claims = ear(&guest, &verdict, &expected).claims();
        let about = &claims["submods"]["guest1"];
        assert_eq!((&about["ear.status"], about.get("ear.trustworthiness-vector")), (&status, vector.as_ref()));
        assert_eq!(claims.get("exp").is_some(), status == "affirming");
    }
}

#[test]
fn a_check_from_elsewhere_counts_in_the_vector_too() {
    let guest = Guest::asked();
    let expected = guest.expected();
    for (name, entry) in [
        ("firmware", "hardware"),
        ("cuid_shared", "instance-identity"),
        ("cuid_pinned", "instance-identity"),
        ("other", "configuration"),
    ] {
        let mut verdict = guest.verdict(&guest.answer(), &expected);
        verdict.add(Check::failed(name, fault::Fault::new(codes::RESULT, "Not so.")));
        let claims = ear(&guest, &verdict, &expected).claims();
        let about = &claims["submods"]["guest1"];
        assert_eq!(about["ear.status"], "contraindicated");
        assert!(about["ear.trustworthiness-vector"][entry].as_i64().unwrap() >= 96, "{name}");
    }
}

#[test]
fn only_keys_on_the_two_curves_sign() {
    let rsa = PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap();
    for key in [rsa, key_on(Nid::SECP521R1), key_on(Nid::SECP256K1), PKey::generate_ed25519().unwrap()] {
        let fault = EarKey::new(&key.private_key_to_pem_pkcs8().unwrap(), "key.pem").unwrap_err();
        assert!(fault.code == codes::SIGNING_KEY && fault.detail.starts_with("key.pem "), "{fault}");
    }
    let fault = EarKey::new(b"nothing", "key.pem").unwrap_err();
    assert_eq!(fault.code, codes::SIGNING_KEY);
    let key = EarKey::new(&key_on(Nid::SECP384R1).private_key_to_der().unwrap(), "key").unwrap();
    assert_eq!(format!("{key:?}"), "EarKey { algorithm: \"ES384\", .. }");
}
