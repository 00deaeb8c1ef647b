//! Attestation against IBM's: reference requests and responses byte for byte, and equal bytes for random parameters.

use crate::answering::{Guest, host_key, measurement, names, new_key, public};
use openssl::{pkey::PKey, rand::rand_bytes, sha::sha256};
use pv_request::{
    HostKey, ImageTags, RequestKeys,
    attest::{
        Challenge, ChallengeKeys, Evidence, Expected, ExpectedRequest, ExpectedStore, Sent, Status, store_hash, verify,
    },
};
use pv_wire::{
    attestation::{AttestationRequest, ExchangeRequest, ExchangeResponse, Item, Items},
    decode_hex, encode_hex,
};
use s390_pv::{
    attest::{AttestationFlags, AttestationMeasAlg, AttestationRequest as Theirs, AttestationVersion},
    request::{ReqEncrCtx, Request as _, SymKey},
    test_utils::{get_cert_asset, get_test_keys},
};
use std::io::Cursor;
use zeroize::Zeroizing;

/// A file of s390-tools 2.43, `rust/pv/tests/assets/exp`.
fn asset(name: &str) -> Vec<u8> {
    get_cert_asset(format!("../exp/{name}"))
}

fn keys() -> ChallengeKeys {
    let request = RequestKeys { customer: get_test_keys().0, request: Zeroizing::new([0x17; 32]), iv: [0x55; 12] };
    ChallengeKeys { request, measurement: Zeroizing::new([0x77; 64]), nonce: Zeroizing::new([0xab; 16]) }
}

fn tag(hex: &str) -> [u8; 16] {
    decode_hex(hex).unwrap().try_into().unwrap()
}

#[test]
fn the_reference_attestation_request_comes_out_byte_for_byte() {
    let host = HostKey::new(get_test_keys().1, "host").unwrap();
    let items = [Item::ImageHostKey, Item::AttestationHostKey].into_iter().collect();
    let built = Challenge::build(items, [&host], keys()).unwrap();
    assert_eq!(encode_hex(&sha256(&built.request)), "8eefb020aea5b26d6da24d601636cb3cf034825f71e81c7b1f29c4dfffcaa8a7");
    assert!(built.request == asset("arcb.bin"));
    let read = AttestationRequest::parse(&built.request).unwrap();
    assert_eq!(encode_hex(read.tag()), "92cff0ab3e9131bc2984efb24b699cb4");
    assert_eq!((read.items(), read.has_nonce(), read.host_key_hashes().next()), (items, true, Some(host.hash())));
}

#[test]
fn the_reference_exchange_file_is_read_and_written_byte_for_byte() {
    let file = asset("exchange.bin");
    let response = ExchangeResponse {
        request: &[0x11; 16],
        measurement: &[0x12; 64],
        additional: &[0x13; 32],
        user_data: &[0x13; 256],
        cuid: [0x14; 16],
    };
    assert_eq!(ExchangeResponse::parse(&file), Ok(response));
    assert!(response.write().unwrap() == file);
}

#[test]
fn random_attestation_requests_equal_those_of_ibms_library() {
    let hosts: Vec<_> = (0..3).map(|_| new_key()).collect();
    for round in 0..40_usize {
        let (mut request_key, mut iv) = ([0; 32], [0; 12]);
        rand_bytes(&mut request_key).unwrap();
        rand_bytes(&mut iv).unwrap();
        let customer = new_key();
        let items: Items =
            Item::ALL.into_iter().enumerate().filter(|(n, _)| round & 1 << n != 0).map(|(_, i)| i).collect();
        let mut flags = AttestationFlags::default();
        items.iter().for_each(|item| match item {
            Item::ImageHostKey => flags.set_image_phkh(),
            Item::AttestationHostKey => flags.set_attest_phkh(),
            Item::SecretStore => flags.set_secret_store_hash(),
            Item::FirmwareState => flags.set_firmware_state(),
        });
        assert_eq!(items.size(), usize::try_from(flags.expected_additional_size()).unwrap());
        let mut oracle = Theirs::new(AttestationVersion::One, AttestationMeasAlg::HmacSha512, flags).unwrap();
        let hosts = &hosts[..=round % 3];
        hosts.iter().for_each(|host| oracle.add_hostkey(public(host)));
        let context =
            ReqEncrCtx::new_aes_256(Some(iv), Some(customer.clone()), Some(SymKey::Aes256(request_key.into())))
                .unwrap();
        let hidden = oracle.confidential_data();
        let keys = ChallengeKeys {
            request: RequestKeys { customer, request: Zeroizing::new(request_key), iv },
            measurement: Zeroizing::new(hidden.measurement_key().try_into().unwrap()),
            nonce: Zeroizing::new(*hidden.nonce().as_ref().unwrap().value()),
        };
        let hosts: Vec<_> = hosts.iter().map(host_key).collect();
        let built = Challenge::build(items, &hosts, keys).unwrap();
        assert!(built.request == oracle.encrypt(&context).unwrap(), "round {round}");
        assert_eq!(built.key.as_bytes(), request_key);
    }
}

/// Made by an independent implementation, and accepted by `pvattest verify` 2.43.
#[test]
fn a_request_and_its_answer_are_those_of_the_reference_from_end_to_end() {
    let host = PKey::private_key_from_pem(&get_cert_asset("host.key")).unwrap();
    let host = host_key(&host);
    assert_eq!(encode_hex(&host.hash()), "24933f75ee107c806fe602a7da7b610e54369af96a847f2dcc4fcfdbd81fbc05");
    let image = ImageTags::find(&mut Cursor::new(asset("secure_guest.hdr")), "header").unwrap();
    let tags = [tag("fbf57e5391337ffd69fc201c589e4ae2"), tag("04e2c301200abaf71117ac30b972a70c")];
    let store = store_hash(&tags, true);
    assert_eq!(
        encode_hex(&store),
        "020722ae15ece29c1ace2cb56bcc4d2db60cfaa4d0c6a353f2998e7625856f4210288900b24c4c5a4f94e39411c28b621dfeb9b215b65df807c3a4a5f8d1ea45"
    );
    let firmware: Vec<u8> = (0..=255).chain([0x5a; 64]).collect();
    let full = [&host.hash()[..], &host.hash(), &store, &firmware].concat();

    let requests = tags.map(|tag| ExpectedRequest { label: encode_hex(&tag), tag, sha256: None });
    let expected = Expected {
        image: Some(image),
        store: Some(ExpectedStore { requests: requests.to_vec(), locked: true }),
        image_host_keys: Some(vec![host.hash()]),
        attestation_host_keys: Some(vec![host.hash()]),
        user_data: Some(b"hello".to_vec()),
        ..Expected::default()
    };
    let least = Expected { image: Some(image), ..Expected::default() };
    for (items, additional, user_data, expected, hashes) in [
        (
            &Item::ALL[..],
            full.as_slice(),
            &b"hello"[..],
            expected,
            [
                "24062aefa48b788629ef267b3191e517bd3e545d530477d912226b28e1c5828f",
                "225a5884822cb5508a899d04608b6f2a",
                "e74b78b236a6bf1f1ce5997fc846a7c838282be80705bdae1a86e20e06197da479938d041572b21e48b241f935f0968849a05143135e249536e6a2d9851ed087",
                "053f5bf45a9ef12d9e2f1e0b6cec8525275ff2ca0ad4d6f5da214c6b390884b6",
            ],
        ),
        (
            &[],
            &[],
            &[],
            least,
            [
                "07194831b0e274e527bbfa681a9d33eb1bbfa2d207c17f641d53a5739df1c782",
                "a36b68161afbbfb63ce91fd8608dc60a",
                "e4f73dc4fc5e991047c8618610ae902fee2aab01427e6690cc07fa08d5faa2b3d07ffb13cae8956eccd819854b115907956ce1d3786995c79f8c9e57c066ee5c",
                "16d9ba65966bbce4543d7a3564d55112fa331f4c461da96b5bf241429ae0a210",
            ],
        ),
    ] {
        let built = Challenge::build(items.iter().copied().collect(), [&host], keys()).unwrap();
        let request = AttestationRequest::parse(&built.request).unwrap();
        assert_eq!([encode_hex(&request.sha256()), encode_hex(request.tag())], hashes[..2]);
        let file = built.exchange_file().unwrap();
        assert_eq!(ExchangeRequest::parse(&file).unwrap().attestation_request(), Ok(request));
        if !items.is_empty() {
            assert_eq!(
                (file.len(), encode_hex(&sha256(&file)).as_str()),
                (464, "87063250193a5a8d2f5f68305532daa0589555f43b7b4dab776347785a4c7388")
            );
        }
        let response =
            ExchangeResponse { request: request.bytes(), measurement: &[], additional, user_data, cuid: [0x42; 16] };
        let measurement = measurement(request.bytes(), built.key.as_bytes(), &image, &response);
        assert_eq!(encode_hex(&measurement), hashes[2]);
        let response = ExchangeResponse { measurement: &measurement, ..response }.write().unwrap();
        assert_eq!(encode_hex(&sha256(&response)), hashes[3]);

        let sent = Sent { request, key: &built.key, created: 0 };
        let verdict = verify(&Evidence { response: &response, claims: None, firmware: None }, &sent, &expected, 1);
        assert_eq!((verdict.status(), verdict.fault()), (Status::Affirming, None), "{verdict:#?}");
        let yaml = verdict.proved.unwrap().to_pvattest_yaml().unwrap();
        assert_eq!(yaml, pvattests_yaml(additional, user_data));
    }
}

/// What `pvattest verify` 2.43 writes: what could be read as a number of 128 bits is quoted, longer texts are not.
fn pvattests_yaml(additional: &[u8], user_data: &[u8]) -> String {
    let mut yaml = format!("cuid: '0x{}'\n", "42".repeat(16));
    if !additional.is_empty() {
        let parts = [
            ("image_phkh", 0..32),
            ("attestation_phkh", 32..64),
            ("secret_store_hash", 64..128),
            ("firmware_state", 128..448),
        ];
        yaml += &format!("add: 0x{}\nadd_fields:\n", encode_hex(additional));
        for (name, range) in parts {
            yaml += &format!("  {name}: 0x{}\n", encode_hex(&additional[range]));
        }
    }
    if !user_data.is_empty() {
        yaml += &format!("user_data: '0x{}'\n", encode_hex(user_data));
    }
    yaml
}

#[test]
fn answers_that_ibms_library_measures_are_verified_for_every_choice_of_items() {
    for set in 0..16 {
        let items: Vec<_> = (0..4).filter(|n| set & 1 << n != 0).map(|n| Item::ALL[n]).collect();
        let guest = Guest::asked_for(&items);
        let expected = Expected { image: Some(guest.image), ..Expected::default() };
        let verdict = guest.verdict(&guest.answer(), &expected);
        assert_eq!(verdict.status(), Status::Affirming);
        assert_eq!(names(&verdict, Some(false)), [""; 0]);
        let proved = verdict.proved.unwrap();
        assert_eq!(proved.additional_bytes, guest.additional());
        assert_eq!(proved.additional.firmware_state.is_some(), items.contains(&Item::FirmwareState));
    }
}
