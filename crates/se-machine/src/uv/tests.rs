//! The ultravisor's rules, tried with requests that are put together byte by byte.

use super::*;
use crate::spec::FormCheck;
use request::HEAD_LEN;

use crate::testing::{Host, build, reference_image};
use build::Parts;

fn meta_request() -> Parts {
    Parts { secret_type: 1, secret: Vec::new(), ..Parts::default() }
}

fn with_id(id: u8) -> Parts {
    Parts { id: [id; 32], ..Parts::default() }
}

const DERIVED: &str = "b7e28c1ed1ecd063afe5eb9b54c6685aca5c193163e82e2071c3150ed6ff6473";

#[test]
fn a_request_for_this_host_and_image_is_accepted_and_its_secret_listed() {
    let host = Host::new();
    let mut uv = host.uv(reference_image(""));
    let request = Parts::default().build(&host.public);
    assert_eq!(uv.add(&request), Rc::SUCCESS);
    assert_eq!(uv.secrets()[0].value.as_slice(), [0x11; 32]);
    let (rc, list) = uv.list(0, 1);
    assert_eq!(rc, Rc::SUCCESS);
    assert_eq!(list[..16], [0, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(list[16..32], [0, 0, 0, 2, 0, 0, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(hex::encode(&list[32..]), "70dc758d711fef605b1b1b1774a2a4ab701020ea4b2cb399ebbdd5a3971c76a9");
    assert_eq!(uv.accepted_tags()[0], request[request.len() - 16..]);
}

#[test]
fn each_wrong_thing_has_its_return_code() {
    let host = Host::new();
    let mut uv = host.uv(reference_image(""));
    let changed = |at: usize, mask: u8| {
        let mut request = Parts::default().build(&host.public);
        request[at] ^= mask;
        request
    };
    let of = |parts: Parts| parts.build(&host.public);
    let mut other_image = Parts::default();
    other_image.binding[200] ^= 1;
    let cases = [
        (of(Parts { version: 0x200, ..Parts::default() }), Rc::VERSION),
        (changed(0x0f, 0x40), Rc::SIZE),
        (changed(0x2f, 1), Rc::SIZE),
        (of(Parts::default())[..0x4b7].to_vec(), Rc::SIZE),
        (of(Parts { slots: 0, ..Parts::default() }), Rc::HOST_KEYS),
        (of(Parts { flags: 1, ..Parts::default() }), Rc::FLAGS),
        (Parts::default().build(&Host::new().public), Rc::UNDECRYPTABLE),
        (changed(0x430, 1), Rc::UNDECRYPTABLE),
        (changed(0x4b8 + 0x25, 1), Rc::UNDECRYPTABLE),
        (changed(0x4b8 + 80 + 0x30, 1), Rc::UNDECRYPTABLE),
        (changed(0x38, 1), Rc::UNDECRYPTABLE),
        (of(other_image), Rc::UNDECRYPTABLE),
        (of(Parts { cuid: [0x42; 16], ..Parts::default() }), Rc::CONSTRAINT),
        (of(Parts { secret_type: 11, ..Parts::default() }), Rc::UNSUPPORTED_SECRET),
        (of(Parts { secret: vec![1; 31], ..Parts::default() }), Rc::SECRET_LENGTH),
        (of(Parts { secret_type: 22, ..Parts::default() }), Rc::CONSTRAINT),
    ];
    for (number, (request, rc)) in cases.into_iter().enumerate() {
        assert_eq!(uv.add(&request), rc, "case {number}");
    }
    assert!(uv.secrets().is_empty() && uv.accepted_tags().is_empty());
}

#[test]
fn the_right_cuid_and_several_slots_are_accepted() {
    let host = Host::new();
    let mut uv = host.uv(reference_image(""));
    uv.spec.cuid = Some("42".repeat(16));
    uv.reboot().unwrap();
    let parts = Parts { cuid: [0x42; 16], slots: 7, flags: 1 << 63, ..meta_request() };
    assert_eq!(uv.add(&parts.build(&host.public)), Rc::SUCCESS);
    assert!(uv.dump_disabled());
    assert!(uv.secrets().is_empty(), "a meta request leaves no entry");
}

#[test]
fn the_border_between_undecryptable_and_constraint_is_a_switch() {
    let host = Host::new();
    let mut uv = host.uv(reference_image(""));
    uv.switches.other_image_is_constraint = true;
    uv.switches.other_cuid_is_undecryptable = true;
    let mut other_image = Parts::default();
    other_image.binding[0] ^= 1;
    assert_eq!(uv.add(&other_image.build(&host.public)), Rc::CONSTRAINT);
    let other_cuid = Parts { cuid: [1; 16], ..Parts::default() };
    assert_eq!(uv.add(&other_cuid.build(&host.public)), Rc::UNDECRYPTABLE);
}

#[test]
fn a_malformed_block_is_refused_for_its_form_in_the_order_of_the_switch_and_as_locked_once_locked() {
    let mut probe = vec![0; HEAD_LEN];
    probe[..6].copy_from_slice(b"asrcbM");
    probe[0x08..0x0c].fill(0xff);
    probe[0x0c..0x10].copy_from_slice(&0x4b8_u32.to_be_bytes());
    let mut uv = Host::new().uv(reference_image(""));
    assert_eq!(uv.add(&probe), Rc::VERSION);
    uv.switches.check_order = vec![FormCheck::HostKeys];
    assert_eq!(uv.add(&probe), Rc::HOST_KEYS);
    uv.switches.check_order = vec![FormCheck::Size];
    assert_eq!(uv.add(&probe), Rc::SIZE);
    assert_eq!(uv.lock(), Rc::SUCCESS);
    assert_eq!((uv.add(&probe), uv.lock()), (Rc::LOCKED, Rc::LOCKED));
    uv.reboot().unwrap();
    assert!(!uv.locked());
}

#[test]
fn the_first_accepted_request_primes_the_store_with_its_extension_secret() {
    let host = Host::new();
    let mut uv = host.uv(reference_image(""));
    let with = |extension: [u8; 32]| Parts { extension, ..Parts::default() }.build(&host.public);
    assert_eq!(uv.add(&with([0x17; 32])), Rc::SUCCESS);
    assert_eq!(uv.add(&with([0; 32])), Rc::CONSTRAINT, "none is not the same");
    assert_eq!(uv.add(&with([0x17; 32])), Rc::SUCCESS);
    uv.reboot().unwrap();
    assert_eq!(uv.add(&with([0; 32])), Rc::SUCCESS);
    assert_eq!(uv.add(&with([0x17; 32])), Rc::CONSTRAINT);
}

#[test]
fn an_image_that_enforces_it_takes_only_the_derived_extension_secret() {
    let host = Host::new();
    let mut uv = host.uv(reference_image("enforce_extension_secret: true\nallow_cck_update: true\n"));
    let derived = hex::decode(DERIVED).unwrap();
    let of = |parts: Parts| parts.build(&host.public);
    assert_eq!(uv.add(&of(Parts::default())), Rc::CONSTRAINT);
    assert_eq!(uv.add(&of(Parts { extension: [0x17; 32], ..Parts::default() })), Rc::CONSTRAINT);
    assert_eq!(uv.add(&of(Parts { extension: derived, ..Parts::default() })), Rc::SUCCESS);
    // Another CCK: from now on its derived value counts.
    let update = Parts { secret_type: 22, secret: vec![9; 32], id: [0; 32], extension: derived, ..Parts::default() };
    assert_eq!(uv.add(&of(update)), Rc::SUCCESS);
    assert_eq!(uv.add(&of(Parts { extension: derived, ..Parts::default() })), Rc::CONSTRAINT);
    let new = *crypto::derived_extension_secret(&[9; 32], &[4; 16]);
    assert_eq!(uv.add(&of(Parts { extension: new, ..Parts::default() })), Rc::SUCCESS);
}

#[test]
fn an_update_of_the_cck_keeps_the_priming_if_the_switch_says_so() {
    let host = Host::new();
    let mut uv = host.uv(reference_image("allow_cck_update: true\n"));
    uv.switches.cck_update_unprimes = false;
    let update = Parts { secret_type: 22, id: [0; 32], extension: [5; 32], ..Parts::default() };
    assert_eq!(uv.add(&update.build(&host.public)), Rc::SUCCESS);
    assert_eq!(uv.add(&Parts::default().build(&host.public)), Rc::CONSTRAINT);
}

#[test]
fn the_store_has_a_capacity_by_kind_and_takes_an_id_twice() {
    let host = Host::new();
    let mut uv = host.uv(reference_image(""));
    (uv.spec.max_assoc_secrets, uv.spec.max_retr_secrets) = (2, 1);
    let retrievable = Parts { secret_type: 3, secret: vec![0; 16], ..Parts::default() }.build(&host.public);
    let association = Parts::default().build(&host.public);
    assert_eq!((uv.add(&association), uv.add(&association)), (Rc::SUCCESS, Rc::SUCCESS));
    assert_eq!(uv.add(&association), Rc::FULL);
    assert_eq!((uv.add(&retrievable), uv.add(&retrievable)), (Rc::SUCCESS, Rc::FULL));
    assert_eq!(uv.add(&meta_request().build(&host.public)), Rc::SUCCESS, "meta takes no room");
    uv.spec.dump_in_progress = true;
    assert_eq!(uv.add(&association), Rc::DUMPING);
}

#[test]
fn a_long_list_comes_in_pages_of_85_entries() {
    let host = Host::new();
    let mut uv = host.uv(reference_image(""));
    uv.spec.max_assoc_secrets = 100;
    for id in 0..86 {
        assert_eq!(uv.add(&with_id(id).build(&host.public)), Rc::SUCCESS);
    }
    let (rc, one) = uv.list(0, 1);
    assert_eq!((rc, one.len()), (Rc::MORE_DATA, 0x1000));
    assert_eq!(one[..6], [0, 85, 0, 86, 0, 85]);
    let (rc, two) = uv.list(0, 2);
    assert_eq!((rc, two.len()), (Rc::SUCCESS, 16 + 86 * 48));
    assert_eq!(two[16 + 85 * 48..][..2], [0, 85]);
    let (rc, rest) = uv.list(85, 1);
    assert_eq!((rc, rest.len()), (Rc::SUCCESS, 16 + 48));
    assert_eq!((&rest[..6], &rest[16..18]), ([0, 1, 0, 86, 0, 0].as_slice(), [0, 85].as_slice()));
}

#[test]
fn retrieving_gives_plaintext_as_it_was_and_keys_only_protected() {
    let host = Host::new();
    let mut uv = host.uv(reference_image(""));
    assert_eq!(uv.retrieve(0, 64).0, Rc::STORE_EMPTY);
    uv.add(&Parts::default().build(&host.public));
    uv.add(&Parts { secret_type: 3, secret: vec![7; 16], ..Parts::default() }.build(&host.public));
    uv.add(&Parts { secret_type: 6, secret: vec![8; 32], ..Parts::default() }.build(&host.public));
    assert_eq!(uv.lock(), Rc::SUCCESS, "a lock does not hinder reading");
    assert_eq!(uv.retrieve(0, 64).0, Rc::NOT_RETRIEVABLE);
    assert_eq!(uv.retrieve(1, 15).0, Rc::BUFFER_TOO_SMALL);
    assert_eq!(uv.retrieve(1, 16).1.as_slice(), [7; 16]);
    let (rc, key) = uv.retrieve(2, 0x2000);
    assert_eq!((rc, key.len()), (Rc::SUCCESS, 64));
    assert_ne!(key[..32], [8; 32]);
    assert_eq!(uv.retrieve(3, 64).0, Rc::NO_SUCH_INDEX);
}

#[test]
fn hostile_lengths_are_refused_and_never_read_past_the_buffer() {
    let host = Host::new();
    let mut uv = host.uv(reference_image(""));
    let good = Parts::default().build(&host.public);
    for len in [0, 1, 6, 0x27, 0x4b8, 0x508, good.len() - 1] {
        assert_eq!(uv.add(&good[..len]), Rc::SIZE, "{len} bytes");
    }
    for (at, bytes) in [(0x2c, [0xff; 4]), (0x0c, [0xff; 4]), (0x50c, [0xff; 4])] {
        let mut request = good.clone();
        request[at..at + 4].copy_from_slice(&bytes);
        assert_eq!(uv.add(&request), Rc::SIZE, "at {at:#x}");
    }
    let mut slots = good.clone();
    slots[0x27] = 255;
    assert_eq!(uv.add(&slots), Rc::SIZE);
    let mut longer = good;
    longer.push(0);
    assert_eq!(uv.add(&longer), Rc::SUCCESS, "the ultravisor is not told the buffer's length");
}

/// The builder of these tests against the requests that s390-tools made from the same inputs.
#[test]
fn the_tests_own_builder_gives_the_reference_requests() {
    let Some(folder) = std::env::var_os("SEGUEST_VECTORS").map(std::path::PathBuf::from) else {
        eprintln!("skipped: SEGUEST_VECTORS does not name the folder of reference requests");
        return;
    };
    let pem = std::fs::read_to_string(folder.join("keys/host.pem.crt")).unwrap();
    let body: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    let der = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, body).unwrap();
    // A bit string of 133 bytes that holds an uncompressed point.
    let start = der.windows(5).position(|bytes| bytes == [0x03, 0x81, 0x86, 0x00, 0x04]).unwrap() + 4;
    let host = p521::PublicKey::from_sec1_bytes(&der[start..start + 133]).unwrap();
    let cuid = [0x42; 16];
    let derived = hex::decode(DERIVED).unwrap();
    let meta = Parts { cuid, ..meta_request() };
    let assoc = Parts { cuid, ..Parts::default() };
    let cases = [
        ("null_none_default_cuid_one", meta.clone()),
        ("null_none_default_ncuid_one", meta_request()),
        ("null_none_dump_cuid_one", Parts { flags: 1 << 63, ..meta.clone() }),
        ("null_none_default_cuid_seven", Parts { slots: 7, ..meta.clone() }),
        ("null_simple_default_cuid_one", Parts { extension: [0x17; 32], ..meta.clone() }),
        ("null_derived_default_cuid_one", Parts { extension: derived, ..meta }),
        ("assoc_none_default_cuid_one", assoc.clone()),
        ("assoc_simple_default_cuid_one", Parts { extension: [0x17; 32], ..assoc.clone() }),
        ("assoc_derived_default_cuid_one", Parts { extension: derived, ..assoc }),
    ];
    let arcb = <sha2::Sha256 as sha2::Digest>::digest(crate::testing::arcb::Arcb::default().build(&host));
    assert_eq!(hex::encode(&arcb), "8eefb020aea5b26d6da24d601636cb3cf034825f71e81c7b1f29c4dfffcaa8a7");
    for (name, parts) in cases {
        assert!(parts.build(&host) == std::fs::read(folder.join("asrcb").join(name)).unwrap(), "{name}");
    }
}

#[test]
fn the_fixed_customer_key_is_the_documented_one() {
    use sha2::Digest;
    let public = build::encode(&build::customer_key().public_key());
    let expected = "5ee905a9be70366815a45641afae00973b1f45292f43bcd7638ee2a73fd7c45e";
    assert_eq!(hex::encode(&sha2::Sha256::digest(public)), expected);
}

#[test]
fn with_a_seed_each_start_has_the_same_id_in_every_run() {
    let ids = |seed| {
        let spec = Uv { seed, ..Uv::default() };
        let mut uv = Ultravisor::new(spec, Switches::default(), Host::new().key(), reference_image("")).unwrap();
        let first = uv.start.cuid;
        uv.reboot().unwrap();
        (first, uv.start.cuid)
    };
    assert_eq!(ids(Some(7)), ids(Some(7)));
    assert_ne!(ids(Some(7)).0, ids(Some(7)).1);
    assert_ne!(ids(None).0, ids(None).0);
}
