//! Signatures of user data, ours and those of IBM's library, each checked by both.

use openssl::{
    asn1::Asn1Time,
    ec::{EcGroup, EcKey},
    hash::MessageDigest,
    nid::Nid,
    pkey::{PKey, Private, Public},
    rand::rand_bytes,
    rsa::{Padding, Rsa},
    sign::{RsaPssSaltlen, Signer as OpensslSigner},
    x509::{X509, X509Name},
};
use pv_request::{AddSecret, Extension, HostKey, ImageTags, RequestKeys, Secret, Signature, Signer, Source, UserData};
use pv_wire::{RequestView, UserDataType, layout};
use s390_pv::{
    request::{BootHdrTags, ReqEncrCtx, Request as _},
    secret::{AddSecretFlags, AddSecretRequest, AddSecretVersion, GuestSecret, verify_asrcb_and_get_user_data},
};

fn random(len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    rand_bytes(&mut bytes).unwrap();
    bytes
}

fn on(curve: Nid) -> PKey<Private> {
    PKey::from_ec_key(EcKey::generate(&EcGroup::from_curve_name(curve).unwrap()).unwrap()).unwrap()
}

fn rsa(bits: u32) -> PKey<Private> {
    PKey::from_rsa(Rsa::generate(bits).unwrap()).unwrap()
}

/// One key of each kind that signs, with the kind and the room for data beside its signature.
fn signing_keys() -> [(PKey<Private>, UserDataType, usize); 3] {
    [
        (on(Nid::SECP521R1), UserDataType::EcP521, 256),
        (rsa(2048), UserDataType::Rsa2048, 256),
        (rsa(3072), UserDataType::Rsa3072, 128),
    ]
}

fn public(key: &PKey<Private>) -> PKey<Public> {
    PKey::public_key_from_der(&key.public_key_to_der().unwrap()).unwrap()
}

/// A certificate over the key, signed by itself, in PEM.
fn certificate(key: &PKey<Private>) -> Vec<u8> {
    let mut name = X509Name::builder().unwrap();
    name.append_entry_by_nid(Nid::COMMONNAME, "signer").unwrap();
    let name = name.build();
    let mut builder = X509::builder().unwrap();
    builder.set_version(2).unwrap();
    builder.set_subject_name(&name).unwrap();
    builder.set_issuer_name(&name).unwrap();
    builder.set_pubkey(key).unwrap();
    // Ended long ago: nobody looks.
    builder.set_not_before(&Asn1Time::from_unix(0).unwrap()).unwrap();
    builder.set_not_after(&Asn1Time::from_unix(86_400).unwrap()).unwrap();
    let digest = if key.raw_private_key().is_ok() { MessageDigest::null() } else { MessageDigest::sha512() };
    builder.sign(key, digest).unwrap();
    builder.build().to_pem().unwrap()
}

fn signer(key: &PKey<Private>) -> Signer {
    Signer::parse(&Source { name: "signer.crt".into(), bytes: certificate(key) }).unwrap()
}

/// A request of ours.
fn ours(user_data: UserData) -> Vec<u8> {
    let request = AddSecret {
        image: ImageTags(random(208).try_into().unwrap()),
        secret: Secret::meta(),
        extension: Extension::None,
        cuid: None,
        flags: 0,
        user_data,
    };
    let host = HostKey::new(public(&on(Nid::SECP521R1)), "host").unwrap();
    request.build([&host], RequestKeys::generate().unwrap()).unwrap()
}

/// A request of IBM's library.
fn theirs(data: Option<Vec<u8>>, key: Option<PKey<Private>>) -> Vec<u8> {
    let tags = BootHdrTags::try_from(random(208)).unwrap();
    let secret = GuestSecret::association("theirs", [7; 32]).unwrap();
    let mut request = AddSecretRequest::new(AddSecretVersion::One, secret, tags, AddSecretFlags::default());
    if let Some(data) = data {
        request.set_user_data(data, key).unwrap();
    }
    request.add_hostkey(public(&on(Nid::SECP521R1)));
    request.encrypt(&ReqEncrCtx::new_aes_256(None, None, None).unwrap()).unwrap()
}

fn check(request: &[u8], signer: Option<&Signer>) -> Result<Signature, &'static str> {
    Signature::check(&RequestView::parse(request).unwrap(), signer).map_err(|fault| fault.code.name)
}

/// What IBM's library says of the same: the data if it finds the signature right.
fn their_check(request: &[u8], key: &PKey<Private>) -> Option<Vec<u8>> {
    verify_asrcb_and_get_user_data(request.to_vec(), Some(public(key))).ok()?
}

#[test]
fn signed_requests_are_valid_whoever_made_them_and_the_data_are_the_same() {
    for (key, kind, room) in signing_keys() {
        let signer = signer(&key);
        for len in [0, 1, room] {
            let data = random(len);
            let pem = key.private_key_to_pem_pkcs8().unwrap();
            let mine = ours(UserData::signed(data.clone(), "data", &pem, "key").unwrap());
            for request in [mine, theirs(Some(data.clone()), Some(key.clone()))] {
                let view = RequestView::parse(&request).unwrap();
                assert_eq!((view.user_data_type, &view.user_data()[..len]), (kind, &data[..]));
                assert_eq!(their_check(&request, &key).unwrap(), view.user_data());
                assert_eq!(check(&request, Some(&signer)), Ok(Signature::Valid));
                assert_eq!(check(&request, None), Ok(Signature::Unchecked));
            }
        }
    }
}

#[test]
fn every_changed_byte_that_is_covered_makes_the_signature_invalid_and_the_tag_is_not() {
    for (key, kind, room) in signing_keys() {
        let signer = signer(&key);
        let good = theirs(Some(random(room)), Some(key.clone()));
        let end = good.len();
        // Behind an ECDSA signature there is padding, which is replaced with zeros before anything is checked.
        let signature_end = 0x318 + usize::from(u16::from_be_bytes([good[0x3a8], good[0x3a9]]));
        let is_padding = |at| kind == UserDataType::EcP521 && (signature_end..0x418).contains(&at);
        // The lengths and the type are no longer a request when changed, so everything else.
        let covered = (0x010..0x027).chain(0x030..end - 16).filter(|at| at % 13 == 0 || (0x218..0x418).contains(at));
        for at in covered {
            let mut bad = good.clone();
            bad[at] ^= 1;
            if RequestView::parse(&bad).is_err() {
                continue;
            }
            let found = check(&bad, Some(&signer)).unwrap();
            assert_eq!(found == Signature::Valid, their_check(&bad, &key).is_some(), "byte {at:#x}");
            assert!(found == Signature::Invalid || is_padding(at), "byte {at:#x} may be changed");
        }
        for at in end - 16..end {
            let mut other_tag = good.clone();
            other_tag[at] ^= 1;
            assert_eq!(check(&other_tag, Some(&signer)), Ok(Signature::Valid));
        }
    }
}

#[test]
fn another_key_of_the_same_kind_makes_it_invalid_and_one_of_another_kind_is_an_error() {
    let others = [on(Nid::SECP521R1), rsa(2048), rsa(3072), rsa(4096), on(Nid::SECP384R1)];
    let ed25519 = PKey::generate_ed25519().unwrap();
    for (at, (key, ..)) in signing_keys().into_iter().enumerate() {
        let request = theirs(Some(random(9)), Some(key.clone()));
        for (other, its) in others.iter().chain([&ed25519]).enumerate() {
            let expected = if at == other { Ok(Signature::Invalid) } else { Err("request.user_cert_mismatch") };
            assert_eq!(check(&request, Some(&signer(its))), expected, "{at} {other}");
            assert_eq!(their_check(&request, its), None);
        }
    }
}

#[test]
fn without_a_signature_a_certificate_is_ignored_for_no_data_and_an_error_for_unsigned_ones() {
    let key = rsa(2048);
    let data = random(40);
    for request in [ours(UserData::default()), theirs(None, None)] {
        assert_eq!(check(&request, None), Ok(Signature::None));
        assert_eq!(check(&request, Some(&signer(&key))), Ok(Signature::None));
        assert!(verify_asrcb_and_get_user_data(request, Some(public(&key))).unwrap().is_none());
    }
    for request in [ours(UserData::unsigned(data.clone(), "data").unwrap()), theirs(Some(data.clone()), None)] {
        let view = RequestView::parse(&request).unwrap();
        assert_eq!(verify_asrcb_and_get_user_data(request.clone(), None).unwrap().unwrap(), view.user_data());
        assert_eq!(check(&request, None), Ok(Signature::None));
        assert_eq!(check(&request, Some(&signer(&key))), Err("request.user_cert_mismatch"));
        assert!(verify_asrcb_and_get_user_data(request, Some(public(&key))).is_err());
    }
}

#[test]
fn an_ecdsa_signature_of_any_length_is_read_or_invalid_but_never_panics() {
    let key = on(Nid::SECP521R1);
    let signer = signer(&key);
    let good = theirs(Some(random(256)), Some(key.clone()));
    for length in (0..200).chain([0x8000, 0xffff]) {
        let mut request = good.clone();
        request[0x218 + 0x190..][..2].copy_from_slice(&u16::to_be_bytes(length));
        let valid = check(&request, Some(&signer)).unwrap() == Signature::Valid;
        assert_eq!(valid, their_check(&request, &key).is_some(), "length {length}");
    }
}

#[test]
fn the_salt_of_an_rsa_signature_may_have_any_length() {
    for (key, kind, _) in &signing_keys()[1..] {
        for salt in [RsaPssSaltlen::DIGEST_LENGTH, RsaPssSaltlen::MAXIMUM_LENGTH, RsaPssSaltlen::custom(20)] {
            let mut request = theirs(Some(random(5)), Some(key.clone()));
            let data_end = layout::USER_DATA + kind.data_len();
            request[data_end..layout::USER_DATA + 512].fill(0);
            let end = request.len() - 16;
            let mut signing = OpensslSigner::new(MessageDigest::sha512(), key).unwrap();
            signing.set_rsa_padding(Padding::PKCS1_PSS).unwrap();
            signing.set_rsa_pss_saltlen(salt).unwrap();
            let signature = signing.sign_oneshot_to_vec(&request[..end]).unwrap();
            request[data_end..layout::USER_DATA + 512].copy_from_slice(&signature);
            assert_eq!(check(&request, Some(&signer(key))), Ok(Signature::Valid));
        }
    }
}

#[test]
fn what_holds_no_certificate_is_refused() {
    let key = rsa(2048);
    for bytes in [Vec::new(), random(300), key.public_key_to_pem().unwrap()] {
        let fault = Signer::parse(&Source { name: "signer.crt".into(), bytes }).unwrap_err();
        assert!(fault.code.name == "hkd.not_a_certificate" && fault.detail.starts_with("signer.crt "), "{fault}");
    }
    let der = X509::from_pem(&certificate(&key)).unwrap().to_der().unwrap();
    let signer = Signer::parse(&Source { name: "signer.crt".into(), bytes: der }).unwrap();
    assert_eq!(check(&theirs(Some(random(9)), Some(key)), Some(&signer)), Ok(Signature::Valid));
}
