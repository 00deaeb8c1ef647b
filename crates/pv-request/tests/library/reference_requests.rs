//! The builder against IBM's: nine reference requests byte for byte, and equal bytes for random parameters.

use openssl::{
    ec::{EcGroup, EcKey},
    nid::Nid,
    pkey::{PKey, Private, Public},
    rand::rand_bytes,
    rsa::Rsa,
    sha::sha256,
};
use pv_request::{AddSecret, Extension, HostKey, ImageTags, RequestKeys, Secret, SecretClass, UserData, codes};
use pv_wire::{SecretId, encode_hex, layout};
use s390_pv::{
    request::{BootHdrTags, ReqEncrCtx, Request as _, SymKey},
    secret::{
        AddSecretFlags, AddSecretRequest, AddSecretVersion, ExtSecret, GuestSecret, verify_asrcb_and_get_user_data,
    },
    test_utils::get_test_keys,
};
use zeroize::Zeroizing;

/// A reference request: what it carries, its tag and its SHA-256.
struct Reference {
    association: bool,
    extension: fn() -> Extension,
    dump_disabled: bool,
    bound_to_start: bool,
    hosts: usize,
    tag: &'static str,
    sha256: &'static str,
}

fn simple() -> Extension {
    Extension::simple(&[0x17; 32], "secret").unwrap()
}

fn derived() -> Extension {
    Extension::derived(&[0; 32], "cck").unwrap()
}

fn none() -> Extension {
    Extension::None
}

const PLAIN: Reference = Reference {
    association: false,
    extension: none,
    dump_disabled: false,
    bound_to_start: true,
    hosts: 1,
    tag: "04e2c301200abaf71117ac30b972a70c",
    sha256: "b876883df0400ecef29830dc34f8e6a1f82d88983b92fe5fb229742c49aa2675",
};

/// s390-tools 2.43, `rust/pv/tests/assets/exp/asrcb`.
const REFERENCES: [Reference; 9] = [
    PLAIN,
    Reference {
        bound_to_start: false,
        tag: "7c5f4a3ddfab6e2e9c45575515508ee0",
        sha256: "e7449fd652bad05fd6ed1429fbefc88f1368bde9052f68f652f81f201f1611ef",
        ..PLAIN
    },
    Reference {
        dump_disabled: true,
        tag: "af18671392f569ca610176e2c1606889",
        sha256: "352baebab01bce8dae08bf6ffdff6eadb735fd8af150e188c60acc0a672107d4",
        ..PLAIN
    },
    Reference {
        hosts: 7,
        tag: "5ea37a9e1120360598dee2ad3ec232ab",
        sha256: "7f765ebb286e703be7feb0408223fc1b1ae1ac8dcad46760b4e421e66003ca26",
        ..PLAIN
    },
    Reference {
        extension: simple,
        tag: "497926d1c60026ebbc40c2e12dbf85ce",
        sha256: "c7fd1eb5c826d594951ab0f22cb9acf49689c3fb2a47f2c60c44784c5b0c0d19",
        ..PLAIN
    },
    Reference {
        extension: derived,
        tag: "bfaf761c7c6955c99e600dcacd39283e",
        sha256: "d3e173bdf4e3c051a542c3ec620404b73432247c38574c04d48c505f7b4c8f38",
        ..PLAIN
    },
    Reference {
        association: true,
        tag: "fbf57e5391337ffd69fc201c589e4ae2",
        sha256: "2faeb8b140e8bd2d25130883cac2e13b97593e04af033cd567bd1dcbbd044982",
        ..PLAIN
    },
    Reference {
        association: true,
        extension: simple,
        tag: "b66e9b837739e3e1c4ab4ecdcc536820",
        sha256: "f004c98623ff891d947d3537ea546103b1a65223a9aa5cd0af5e4af3e1ecc8c0",
        ..PLAIN
    },
    Reference {
        association: true,
        extension: derived,
        tag: "40b8cb4ecd5090c3e68b81e62cd5c5d0",
        sha256: "e1173b735e0d18b98766fc1299803863b5fd59530f1c811b5ca5eecdc3048fb6",
        ..PLAIN
    },
];

#[test]
fn the_nine_reference_requests_come_out_byte_for_byte() {
    let (customer, host) = get_test_keys();
    let keys = || RequestKeys { customer: customer.clone(), request: Zeroizing::new([0x17; 32]), iv: [0x55; 12] };
    let host = HostKey::new(host, "host.pem.crt").unwrap();
    assert_eq!(encode_hex(&host.hash()), "415c25a5d19c381e619733e1c1b7fbd88bdd1c31d882d5ade04b97043c5010f0");

    let mut tags = [0x03; 208];
    tags[..64].fill(0x01);
    tags[64..128].fill(0x02);
    tags[192..].fill(0x04);
    for reference in REFERENCES {
        let id = SecretId::of_name("add_secret_request");
        let secret = if reference.association {
            Secret::new(SecretClass::Association, id, &[0x11; 32], "secret").unwrap()
        } else {
            Secret::meta()
        };
        let request = AddSecret {
            image: ImageTags(tags),
            secret,
            extension: (reference.extension)(),
            cuid: reference.bound_to_start.then_some([0x42; 16]),
            flags: if reference.dump_disabled { layout::FLAG_DISABLE_DUMP } else { 0 },
            user_data: UserData::default(),
        };
        let bytes = request.build(std::iter::repeat_n(&host, reference.hosts), keys()).unwrap();
        assert_eq!(encode_hex(&bytes[bytes.len() - 16..]), reference.tag);
        assert_eq!(encode_hex(&sha256(&bytes)), reference.sha256);
        let view = pv_wire::RequestView::parse(&bytes).unwrap();
        assert_eq!(view.id, reference.association.then_some(id));
        assert_eq!(view.host_key_hashes().collect::<Vec<_>>(), vec![host.hash(); reference.hosts]);
    }
}

/// Random bytes, and choices made from them.
struct Dice;

impl Dice {
    fn bytes<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        rand_bytes(&mut bytes).unwrap();
        bytes
    }

    fn vec(&self, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        rand_bytes(&mut bytes).unwrap();
        bytes
    }

    fn below(&self, limit: usize) -> usize {
        u32::from_be_bytes(self.bytes()) as usize % limit
    }

    fn one_of<T: Copy>(&self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }
}

fn new_key() -> PKey<Private> {
    key_on(Nid::SECP521R1)
}

fn key_on(curve: Nid) -> PKey<Private> {
    PKey::from_ec_key(EcKey::generate(&EcGroup::from_curve_name(curve).unwrap()).unwrap()).unwrap()
}

fn public(key: &PKey<Private>) -> PKey<Public> {
    PKey::public_key_from_der(&key.public_key_to_der().unwrap()).unwrap()
}

/// One secret, ours and theirs.
fn secret(dice: &Dice, name: &str) -> (Secret, GuestSecret) {
    let id = SecretId::of_name(name);
    let ours = |class, bytes: &[u8]| Secret::new(class, id, bytes, "secret").unwrap();
    match dice.below(8) {
        0 => (Secret::meta(), GuestSecret::Null),
        1 => {
            let bytes: [u8; 32] = dice.bytes();
            (ours(SecretClass::Association, &bytes), GuestSecret::association(name, bytes).unwrap())
        }
        2 => {
            let length = dice.one_of(&[0, 1, 13, 14, 15, 8189, 8190]);
            let bytes = dice.vec(length);
            (ours(SecretClass::Plaintext, &bytes), GuestSecret::plaintext(name, bytes.into()).unwrap())
        }
        3 => {
            let bytes = dice.vec(dice.one_of(&[16, 24, 32]));
            (ours(SecretClass::Aes, &bytes), GuestSecret::aes(name, bytes.into()).unwrap())
        }
        4 => {
            let bytes = dice.vec(dice.one_of(&[32, 64]));
            (ours(SecretClass::AesXts, &bytes), GuestSecret::aes_xts(name, bytes.into()).unwrap())
        }
        5 => {
            let bytes = dice.vec(dice.one_of(&[64, 128]));
            (ours(SecretClass::HmacSha, &bytes), GuestSecret::hmac_sha(name, bytes.into()).unwrap())
        }
        6 => {
            let key = match dice.below(5) {
                0 => key_on(Nid::X9_62_PRIME256V1),
                1 => key_on(Nid::SECP384R1),
                2 => key_on(Nid::SECP521R1),
                3 => PKey::generate_ed25519().unwrap(),
                _ => PKey::generate_ed448().unwrap(),
            };
            let pem = key.private_key_to_pem_pkcs8().unwrap();
            (ours(SecretClass::Ec, &pem), GuestSecret::ec(name, key).unwrap())
        }
        _ => {
            let bytes: [u8; 32] = dice.bytes();
            (ours(SecretClass::UpdateCck, &bytes), GuestSecret::update_cck(bytes))
        }
    }
}

#[test]
fn random_requests_equal_those_of_ibms_library() {
    let dice = Dice;
    let hosts: Vec<_> = (0..5).map(|_| public(&new_key())).collect();
    for round in 0..200 {
        let name = format!("secret {round} {}", encode_hex(&dice.bytes::<4>()));
        let (ours, theirs) = secret(&dice, &name);
        let (request_key, iv, customer) = (dice.bytes::<32>(), dice.bytes::<12>(), new_key());
        let (tags, flags, cuid) = (dice.bytes::<208>(), u64::from_be_bytes(dice.bytes()), dice.bytes::<16>());
        let extension_secret = dice.bytes::<32>();
        let which = dice.below(3);
        let hosts: Vec<_> = (0..=dice.below(8)).map(|_| hosts[dice.below(hosts.len())].clone()).collect();

        let boot_tags = BootHdrTags::try_from(tags.to_vec()).unwrap();
        let mut oracle = AddSecretRequest::new(AddSecretVersion::One, theirs, boot_tags, AddSecretFlags::from(&flags));
        oracle.set_cuid(cuid);
        let user_data = dice.vec(dice.one_of(&[0, 1, 256, 512]));
        if !user_data.is_empty() {
            oracle.set_user_data(user_data.clone(), None).unwrap();
        }
        match which {
            1 => oracle.set_ext_secret(ExtSecret::Simple(extension_secret.into())).unwrap(),
            2 => oracle.set_ext_secret(ExtSecret::Derived(extension_secret.into())).unwrap(),
            _ => {}
        }
        for host in &hosts {
            oracle.add_hostkey(host.clone());
        }
        let context =
            ReqEncrCtx::new_aes_256(Some(iv), Some(customer.clone()), Some(SymKey::Aes256(request_key.into())))
                .unwrap();

        let request = AddSecret {
            image: ImageTags(tags),
            secret: ours,
            extension: match which {
                1 => Extension::simple(&extension_secret, "secret").unwrap(),
                2 => Extension::derived(&extension_secret, "cck").unwrap(),
                _ => Extension::None,
            },
            cuid: Some(cuid),
            flags,
            user_data: if user_data.is_empty() {
                UserData::default()
            } else {
                UserData::unsigned(user_data, "data").unwrap()
            },
        };
        let hosts: Vec<_> = hosts.into_iter().map(|key| HostKey::new(key, "host").unwrap()).collect();
        let keys = RequestKeys { customer, request: Zeroizing::new(request_key), iv };
        let built = request.build(&hosts, keys).unwrap();
        assert!(built == oracle.encrypt(&context).unwrap(), "round {round}: {:?}", request.secret);
    }
}

fn rsa(bits: u32) -> PKey<Private> {
    PKey::from_rsa(Rsa::generate(bits).unwrap()).unwrap()
}

#[test]
fn signed_user_data_verify_with_ibms_library() {
    let host = HostKey::new(public(&new_key()), "host").unwrap();
    for (key, most, other) in [(new_key(), 256, rsa(2048)), (rsa(2048), 256, rsa(2048)), (rsa(3072), 128, new_key())] {
        for len in [0, 1, most] {
            let data = Dice.vec(len);
            let pem = key.private_key_to_pem_pkcs8().unwrap();
            let request = AddSecret {
                image: ImageTags(Dice.bytes()),
                secret: Secret::meta(),
                extension: Extension::None,
                cuid: None,
                flags: 0,
                user_data: UserData::signed(data.clone(), "data", &pem, "key").unwrap(),
            };
            let built = request.build([&host], RequestKeys::generate().unwrap()).unwrap();
            let verified = verify_asrcb_and_get_user_data(built.clone(), Some(public(&key))).unwrap().unwrap();
            assert_eq!((&verified[..len], verified[len..].iter().all(|byte| *byte == 0)), (&data[..], true));
            assert!(verify_asrcb_and_get_user_data(built, Some(public(&other))).is_err());
        }
        let pem = key.private_key_to_pem_pkcs8().unwrap();
        let fault = UserData::signed(vec![0; most + 1], "data", &pem, "key").err().unwrap();
        assert_eq!(fault.code, codes::USER_DATA_SIZE);
    }
    for key in [rsa(4096), key_on(Nid::SECP256K1), key_on(Nid::SECP384R1), PKey::generate_ed25519().unwrap()] {
        let pem = key.private_key_to_pem_pkcs8().unwrap();
        assert_eq!(UserData::signed(vec![], "data", &pem, "key").err().unwrap().code, codes::SIGNING_KEY);
    }
    assert_eq!(UserData::unsigned(vec![0; 513], "data").err().unwrap().code, codes::USER_DATA_SIZE);
}

#[test]
fn the_tag_of_a_signed_request_covers_the_signature() {
    let host_key = new_key();
    let host = HostKey::new(public(&host_key), "host").unwrap();
    let pem = new_key().private_key_to_pem_pkcs8().unwrap();
    let request = AddSecret {
        image: ImageTags(Dice.bytes()),
        secret: Secret::new(SecretClass::Association, SecretId([7; 32]), &[0x5a; 32], "secret").unwrap(),
        extension: Extension::None,
        cuid: None,
        flags: 0,
        user_data: UserData::signed(vec![1; 9], "data", &pem, "key").unwrap(),
    };
    let keys = RequestKeys::generate().unwrap();
    let (key, iv) = (keys.request.clone(), keys.iv);
    let built = request.build([&host], keys).unwrap();
    let sealed_at = built.len() - 16 - 64;
    let plain = openssl::symm::decrypt_aead(
        openssl::symm::Cipher::aes_256_gcm(),
        key.as_slice(),
        Some(&iv),
        &built[..sealed_at],
        &built[sealed_at..built.len() - 16],
        &built[built.len() - 16..],
    );
    assert_eq!(plain.unwrap(), [[0x5a; 32], [0; 32]].concat());
}

#[test]
fn a_request_takes_1_to_255_host_keys() {
    let host = HostKey::new(public(&new_key()), "host").unwrap();
    let request = AddSecret {
        image: ImageTags([0; 208]),
        secret: Secret::meta(),
        extension: Extension::None,
        cuid: None,
        flags: 0,
        user_data: UserData::default(),
    };
    let code = |count| {
        let keys = RequestKeys::generate().unwrap();
        request.build(std::iter::repeat_n(&host, count), keys).map(|request| request.len()).map_err(|fault| fault.code)
    };
    assert_eq!(code(0), Err(codes::NO_HOST_KEY));
    assert_eq!(code(255), Ok(0x4b8 + 255 * 80 + 16 + 32 + 16));
    assert_eq!(code(256), Err(codes::TOO_MANY_HOST_KEYS));
    // Counted before any key is agreed on: that would take minutes.
    assert_eq!(code(1_000_000), Err(codes::TOO_MANY_HOST_KEYS));
}

#[test]
fn the_reference_header_is_read_as_ibms_library_reads_it() {
    let Some(dir) = std::env::var_os("SEGUEST_VECTORS") else {
        println!("skipped: SEGUEST_VECTORS does not name the folder with s390-tools' test assets");
        return;
    };
    let path = std::path::Path::new(&dir).join("secure_guest.hdr");
    let tags = ImageTags::read(&path).unwrap();
    assert_eq!(encode_hex(&tags.header_tag()), "92309d4589b9a85b427f8753171d1520");
    let theirs = BootHdrTags::from_se_image(&mut std::fs::File::open(path).unwrap()).unwrap();
    assert_eq!(theirs, BootHdrTags::try_from(tags.0.to_vec()).unwrap());
}
