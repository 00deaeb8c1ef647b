//! A tag is no commitment to a request: somebody on the way to the guest can replace a request by another with the same
//! tag, and the store's hash does not show it. What does, and what does not.

use crate::answering::{Guest, names, new_key};
use openssl::{
    sha::sha256,
    symm::{Cipher, Crypter, Mode, decrypt_aead},
};
use pv_request::{
    AddSecret, Extension, HostKey, ImageTags, RequestKeys, Secret, SecretClass, UserData,
    attest::{Expected, ExpectedClaims, Status, codes},
};
use pv_wire::{RequestView, SecretId, attestation::Claims, layout};
use zeroize::Zeroizing;

/// x to the power of 128 modulo the polynomial of GHASH (NIST SP 800-38D, 6.3): bits are in reflected order.
const R: u128 = 0xe1 << 120;

fn times(x: u128, y: u128) -> u128 {
    let (mut product, mut factor) = (0, y);
    for bit in 0..128 {
        if x >> (127 - bit) & 1 == 1 {
            product ^= factor;
        }
        factor = factor >> 1 ^ if factor & 1 == 1 { R } else { 0 };
    }
    product
}

fn power(base: u128, mut exponent: u128) -> u128 {
    let (mut result, mut square) = (1 << 127, base);
    while exponent > 0 {
        if exponent & 1 == 1 {
            result = times(result, square);
        }
        square = times(square, square);
        exponent >>= 1;
    }
    result
}

/// H, the key of GHASH: a block of zeros, encrypted.
fn ghash_key(key: &[u8; 32]) -> u128 {
    let mut crypter = Crypter::new(Cipher::aes_256_ecb(), Mode::Encrypt, key, None).unwrap();
    let mut block = [0; 32];
    crypter.pad(false);
    assert_eq!(crypter.update(&[0; 16], &mut block).unwrap(), 16);
    u128::from_be_bytes(block[..16].try_into().unwrap())
}

fn association(image: ImageTags, secret: &[u8; 32], user_data: UserData) -> AddSecret {
    let id = SecretId::of_name("disk key");
    AddSecret {
        image,
        secret: Secret::new(SecretClass::Association, id, secret, "secret").unwrap(),
        extension: Extension::None,
        cuid: Some([0x42; 16]),
        flags: 0,
        user_data,
    }
}

/// A request with another secret and the same id, length and tag, made from what anybody can see of the genuine one.
fn forge(genuine: &[u8], host: &HostKey, image: ImageTags) -> Vec<u8> {
    let customer = new_key();
    let request_key = [0x66; 32];
    let build = |user_data: Vec<u8>| {
        let keys = RequestKeys { customer: customer.clone(), request: Zeroizing::new(request_key), iv: [1; 12] };
        let user_data = UserData::unsigned(user_data, "data").unwrap();
        association(image, &[0xbd; 32], user_data).build([host], keys).unwrap()
    };
    let tag = |request: &[u8]| u128::from_be_bytes(RequestView::parse(request).unwrap().tag().try_into().unwrap());
    // The free block is that of the user data at 0x220, the 35th that is authenticated.
    let before = build(vec![0; 24]);
    let view = RequestView::parse(&before).unwrap();
    let clear = before.len() - layout::TAG_LEN - view.encrypted_size();
    let blocks = clear.div_ceil(16) + view.encrypted_size().div_ceil(16) + 1;
    let exponent = u128::try_from(blocks - 0x220 / 16).unwrap();
    let inverse = power(power(ghash_key(&request_key), exponent), u128::MAX - 1);
    let block = times(tag(genuine) ^ tag(&before), inverse);
    let forged = build([&[0; 8][..], &block.to_be_bytes()].concat());

    // It is a valid request: the host that holds the key finds the other secret.
    let view = RequestView::parse(&forged).unwrap();
    let sealed = &forged[clear..clear + view.encrypted_size()];
    let plain =
        decrypt_aead(Cipher::aes_256_gcm(), &request_key, Some(view.iv()), &forged[..clear], sealed, view.tag());
    assert_eq!(plain.unwrap()[..32], [0xbd; 32]);
    forged
}

/// A guest whose only request was replaced on its way, and what is expected of it. The guest hashes what it adds.
fn attacked() -> (Guest, Expected) {
    let mut guest = Guest::asked();
    let keys = RequestKeys::generate().unwrap();
    let genuine = association(guest.image, &[0x5a; 32], UserData::default()).build([&guest.host], keys).unwrap();
    let forged = forge(&genuine, &guest.host, guest.image);
    let (theirs, ours) = (RequestView::parse(&forged).unwrap(), RequestView::parse(&genuine).unwrap());
    assert_eq!((theirs.tag(), theirs.id, forged.len()), (ours.tag(), ours.id, genuine.len()));
    assert_ne!(forged, genuine);

    let mut expected = guest.expected();
    let store = expected.store.as_mut().unwrap();
    store.requests.truncate(1);
    store.requests[0].tag = ours.tag().try_into().unwrap();
    store.requests[0].sha256 = Some(sha256(&genuine));
    expected.claims = ExpectedClaims::default();
    guest.tags = vec![theirs.tag().try_into().unwrap()];
    let claims = Claims::default().with_added_requests(vec![sha256(&forged)]).unwrap();
    guest.user_data = claims.user_data().to_vec();
    guest.claims = Some(claims);
    (guest, expected)
}

#[test]
fn the_stores_hash_does_not_show_a_request_with_a_forged_tag_but_the_guests_claims_do() {
    let (guest, expected) = attacked();
    let verdict = guest.verdict(&guest.answer(), &expected);
    assert_eq!(names(&verdict, Some(false)), ["added_requests"]);
    assert_eq!((verdict.status(), verdict.fault().unwrap().code), (Status::Contraindicated, codes::ADDED_REQUESTS));
    let store = verdict.store.unwrap();
    assert_eq!((store.hash, store.explanation), (store.expected, None));
}

#[test]
fn without_claims_and_without_a_communication_key_a_forged_tag_goes_unseen() {
    let (mut guest, mut expected) = attacked();
    guest.claims = None;
    guest.user_data.clear();
    assert_eq!(guest.verdict(&guest.answer(), &expected).status(), Status::Affirming);
    // Unless the guest has to say what it added.
    expected.claims.added_requests = true;
    let fault = guest.verdict(&guest.answer(), &expected).fault().unwrap();
    assert_eq!(fault.code, codes::CLAIMS_MISSING);
}

#[test]
fn a_guest_whose_image_demands_the_communication_key_refuses_the_request_and_lacks_one() {
    let (mut guest, expected) = attacked();
    // The forger does not know the extension secret, so the ultravisor adds nothing.
    guest.tags.clear();
    let claims = Claims::default().with_added_requests(vec![]).unwrap();
    guest.user_data = claims.user_data().to_vec();
    guest.claims = Some(claims);
    let verdict = guest.verdict(&guest.answer(), &expected);
    assert_eq!(names(&verdict, Some(false)), ["secret_store", "added_requests"]);
    assert_eq!(verdict.fault().unwrap().code, codes::STORE_MISMATCH);
}
