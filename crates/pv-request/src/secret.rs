//! Secrets, in the form in which a request carries them.

use crate::codes;
use fault::{Fault, Result};
use openssl::{
    nid::Nid,
    pkey::{Id, PKey, Private},
};
use pv_wire::{SecretId, SecretType};
use std::fmt;
use zeroize::Zeroizing;

/// What a file with a secret of a fixed size holds.
pub const HINT_RAW_FILE: &str = "The file must contain the raw bytes: no hex, no base64, no line end.";

/// Most bytes of a plaintext secret.
const PLAINTEXT_MAX: usize = 8190;
const BLOCK: usize = 16;

/// What the user calls the type of a secret; the size or curve decides which [`SecretType`] it becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecretClass {
    /// 32 bytes that bind crypto queues to the guest.
    Association,
    /// 0 to 8190 bytes of anything.
    Plaintext,
    /// A key of 16, 24 or 32 bytes.
    Aes,
    /// Both keys, 32 or 64 bytes together.
    AesXts,
    /// A block-size key (K0) of 64 or 128 bytes, for SHA-256 and SHA-512.
    HmacSha,
    /// A private key, DER or PEM, on P-256, P-384, P-521, Ed25519 or Ed448.
    Ec,
    /// A new customer communication key of 32 bytes. It has no id.
    UpdateCck,
}

/// A secret with its type and id. It is wiped when dropped and never shown.
#[derive(Clone)]
pub struct Secret {
    kind: SecretType,
    id: SecretId,
    payload: Zeroizing<Vec<u8>>,
}

impl Secret {
    /// No secret at all: the request carries only flags, user data or an extension secret.
    pub fn meta() -> Self {
        Self { kind: SecretType::META, id: SecretId([0; 32]), payload: Zeroizing::default() }
    }

    /// A secret of `class` from its raw bytes (for [`SecretClass::Ec`]: DER or PEM). `id` is ignored where the
    /// class has none. `name` is what messages call where the bytes come from.
    ///
    /// # Errors
    /// [`codes::SECRET_SIZE`] unless the size is exactly one that the class allows, and [`codes::SECRET_KEY`].
    pub fn new(class: SecretClass, id: SecretId, bytes: &[u8], name: &str) -> Result<Self> {
        let sized = |sizes: &[(usize, u16)]| {
            sizes
                .iter()
                .find(|(size, _)| *size == bytes.len())
                .map(|(_, number)| (SecretType(*number), Zeroizing::new(bytes.to_vec())))
                .ok_or_else(|| wrong_size(class, bytes.len(), sizes, name))
        };
        let (kind, payload) = match class {
            SecretClass::Association => sized(&[(32, 0x02)])?,
            SecretClass::Plaintext => (SecretType(0x03), plaintext(bytes, name)?),
            SecretClass::Aes => sized(&[(16, 0x04), (24, 0x05), (32, 0x06)])?,
            SecretClass::AesXts => sized(&[(32, 0x07), (64, 0x08)])?,
            SecretClass::HmacSha => sized(&[(64, 0x09), (128, 0x0a)])?,
            SecretClass::Ec => ec(bytes, name)?,
            SecretClass::UpdateCck => sized(&[(32, 0x16)])?,
        };
        let id = if kind.is_listed() { id } else { SecretId([0; 32]) };
        Ok(Self { kind, id, payload })
    }

    /// Its type.
    pub fn kind(&self) -> SecretType {
        self.kind
    }

    /// Its id, where its type is listed by the ultravisor.
    pub fn id(&self) -> Option<SecretId> {
        self.kind.is_listed().then_some(self.id)
    }

    pub(crate) fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// The part of the request that says in the clear what the encrypted part is.
    pub(crate) fn header(&self) -> Vec<u8> {
        // A payload has 8192 bytes at most.
        let size = u32::try_from(self.payload.len()).unwrap_or(u32::MAX);
        let mut header = vec![0; 2];
        header.extend(self.kind.0.to_be_bytes());
        header.extend(size.to_be_bytes());
        header.extend([0; 8]);
        if self.kind != SecretType::META {
            header.extend(self.id.0);
        }
        header
    }
}

/// Type and id; never the secret.
impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secret").field("kind", &self.kind).field("id", &self.id).finish_non_exhaustive()
    }
}

fn wrong_size(class: SecretClass, len: usize, sizes: &[(usize, u16)], name: &str) -> Fault {
    let allowed: Vec<_> = sizes.iter().map(|(size, _)| size.to_string()).collect();
    let what = match class {
        SecretClass::Association => "an association secret",
        SecretClass::Aes => "an AES key",
        SecretClass::AesXts => "a pair of AES-XTS keys",
        SecretClass::HmacSha => "an HMAC key",
        SecretClass::UpdateCck => "a customer communication key",
        SecretClass::Plaintext | SecretClass::Ec => "this secret",
    };
    let fault =
        Fault::new(codes::SECRET_SIZE, format!("{name} holds {len} bytes; {what} has {}.", allowed.join(" or ")));
    match class {
        SecretClass::HmacSha => {
            fault.hint("Pad a shorter key with zeros to the block size; hash a longer one with its digest first.")
        }
        _ => fault.hint(HINT_RAW_FILE),
    }
}

/// u16 length, the bytes, zeros to a full block.
fn plaintext(bytes: &[u8], name: &str) -> Result<Zeroizing<Vec<u8>>> {
    let too_long = || {
        Fault::new(
            codes::SECRET_SIZE,
            format!("{name} holds {} bytes; a plaintext secret has at most {PLAINTEXT_MAX}.", bytes.len()),
        )
        .hint("Split it into several secrets, each with its own name.")
    };
    let length = u16::try_from(bytes.len()).ok().filter(|len| usize::from(*len) <= PLAINTEXT_MAX);
    let length = length.ok_or_else(too_long)?.to_be_bytes();
    // Made at its full size, so that growing leaves no copy behind.
    let mut payload = Zeroizing::new(vec![0; (length.len() + bytes.len()).next_multiple_of(BLOCK)]);
    for (to, from) in payload.iter_mut().zip(length.iter().chain(bytes)) {
        *to = *from;
    }
    Ok(payload)
}

/// The private scalar or raw private key, left padded to the size of its type.
fn ec(bytes: &[u8], name: &str) -> Result<(SecretType, Zeroizing<Vec<u8>>)> {
    let unusable = |what: String| {
        Fault::new(codes::SECRET_KEY, what)
            .hint("Give a private key on P-256, P-384, P-521, Ed25519 or Ed448, in DER or in unencrypted PEM.")
    };
    let key = private_key(bytes)
        .ok_or_else(|| unusable(format!("{name} contains no readable private key, neither DER nor PEM.")))?;
    let curve = key.ec_key().ok().map(|ec| (ec.group().curve_name(), ec));
    let (number, raw, size): (u16, Vec<u8>, usize) = match (&curve, key.id()) {
        (Some((Some(Nid::X9_62_PRIME256V1), ec)), _) => (0x11, ec.private_key().to_vec(), 32),
        (Some((Some(Nid::SECP384R1), ec)), _) => (0x12, ec.private_key().to_vec(), 48),
        (Some((Some(Nid::SECP521R1), ec)), _) => (0x13, ec.private_key().to_vec(), 80),
        (_, Id::ED25519) => (0x14, key.raw_private_key().unwrap_or_default(), 32),
        (_, Id::ED448) => (0x15, key.raw_private_key().unwrap_or_default(), 64),
        _ => return Err(unusable(format!("{name} contains a private key of a kind that cannot be a secret."))),
    };
    let raw = Zeroizing::new(raw);
    let padding = size.checked_sub(raw.len()).filter(|_| !raw.is_empty());
    let padding = padding.ok_or_else(|| unusable(format!("The private key in {name} has an impossible size.")))?;
    let mut payload = Zeroizing::new(vec![0; size]);
    for (to, from) in payload.iter_mut().skip(padding).zip(raw.iter()) {
        *to = *from;
    }
    Ok((SecretType(number), payload))
}

/// A private key in DER or PEM. An encrypted one is not read: OpenSSL would ask for its passphrase on the terminal.
pub(crate) fn private_key(bytes: &[u8]) -> Option<PKey<Private>> {
    PKey::private_key_from_der(bytes).or_else(|_| PKey::private_key_from_pem_callback(bytes, |_| Ok(0))).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use openssl::ec::{EcGroup, EcKey};

    fn made(class: SecretClass, bytes: &[u8]) -> Result<Secret> {
        Secret::new(class, SecretId([0x1d; 32]), bytes, "secret.bin")
    }

    #[test]
    fn exactly_the_sizes_of_each_type_are_taken() {
        let sizes: [(SecretClass, &[(usize, u16)]); 5] = [
            (SecretClass::Association, &[(32, 2)]),
            (SecretClass::Aes, &[(16, 4), (24, 5), (32, 6)]),
            (SecretClass::AesXts, &[(32, 7), (64, 8)]),
            (SecretClass::HmacSha, &[(64, 9), (128, 10)]),
            (SecretClass::UpdateCck, &[(32, 22)]),
        ];
        for (class, allowed) in sizes {
            for len in 0..200 {
                match (made(class, &vec![7; len]), allowed.iter().find(|(size, _)| *size == len)) {
                    (Ok(secret), Some((_, number))) => {
                        assert_eq!((secret.kind().0, secret.payload()), (*number, &vec![7; len][..]));
                    }
                    (Err(fault), None) => {
                        assert_eq!(fault.code, codes::SECRET_SIZE);
                        assert!(fault.detail.starts_with(&format!("secret.bin holds {len} bytes;")), "{fault}");
                    }
                    (outcome, _) => panic!("{class:?} of {len} bytes: {outcome:?}"),
                }
            }
        }
    }

    #[test]
    fn who_has_a_key_of_another_size_learns_what_to_do_with_an_hmac_key() {
        let hint = |class| made(class, &[7; 5]).unwrap_err().hint;
        assert!(hint(SecretClass::HmacSha).starts_with("Pad a shorter key"), "{}", hint(SecretClass::HmacSha));
        assert_eq!(hint(SecretClass::Aes), HINT_RAW_FILE);
    }

    #[test]
    fn what_the_ultravisor_lists_has_an_id() {
        assert_eq!(made(SecretClass::Association, &[7; 32]).unwrap().id(), Some(SecretId([0x1d; 32])));
        assert_eq!(made(SecretClass::UpdateCck, &[7; 32]).unwrap().id(), None);
    }

    #[test]
    fn a_plaintext_carries_its_length_and_is_padded_to_blocks() {
        let payload = |len| made(SecretClass::Plaintext, &vec![7; len]).unwrap().payload().to_vec();
        assert_eq!(payload(0), [0; 16]);
        assert_eq!(payload(10), [0, 10, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 0, 0, 0, 0]);
        assert_eq!(payload(14), [0, 14, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7]);
        assert_eq!((payload(15).len(), payload(8190).len()), (32, 8192));
        assert_eq!(made(SecretClass::Plaintext, &[7; 8191]).unwrap_err().code, codes::SECRET_SIZE);
        assert_eq!(made(SecretClass::Plaintext, &[7; 65536]).unwrap_err().code, codes::SECRET_SIZE);
    }

    #[test]
    fn headers_say_type_size_and_id_where_there_is_one() {
        assert_eq!(Secret::meta().header(), [0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        let header = made(SecretClass::Association, &[7; 32]).unwrap().header();
        assert_eq!(header[..16], [0, 0, 0, 2, 0, 0, 0, 32, 0, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(header[16..], [0x1d; 32]);
        let header = made(SecretClass::UpdateCck, &[7; 32]).unwrap().header();
        assert_eq!((&header[..8], &header[16..]), (&[0, 0, 0, 22, 0, 0, 0, 32][..], &[0; 32][..]));
    }

    #[test]
    fn private_keys_that_no_secret_can_be_are_refused_without_asking_for_a_passphrase() {
        let rsa = PKey::from_rsa(openssl::rsa::Rsa::generate(2048).unwrap()).unwrap();
        let x25519 = PKey::generate_x25519().unwrap();
        let ed25519 = PKey::generate_ed25519().unwrap();
        let encrypted =
            ed25519.private_key_to_pem_pkcs8_passphrase(openssl::symm::Cipher::aes_256_cbc(), b"passphrase").unwrap();
        for bytes in [rsa.private_key_to_der().unwrap(), x25519.private_key_to_der().unwrap(), encrypted, vec![7; 32]] {
            assert_eq!(made(SecretClass::Ec, &bytes).unwrap_err().code, codes::SECRET_KEY);
        }
        let secret = made(SecretClass::Ec, &ed25519.private_key_to_der().unwrap()).unwrap();
        assert_eq!((secret.kind().0, secret.payload()), (20, &ed25519.raw_private_key().unwrap()[..]));
    }

    #[test]
    fn a_private_key_on_each_curve_is_taken_in_der_and_in_pem() {
        let on = |curve| {
            let key = EcKey::generate(&EcGroup::from_curve_name(curve).unwrap()).unwrap();
            let scalar = key.private_key().to_vec();
            (PKey::from_ec_key(key).unwrap(), scalar)
        };
        let raw = |key: PKey<Private>| (key.clone(), key.raw_private_key().unwrap());
        for ((key, scalar), number, size) in [
            (on(Nid::X9_62_PRIME256V1), 17, 32),
            (on(Nid::SECP384R1), 18, 48),
            (on(Nid::SECP521R1), 19, 80),
            (raw(PKey::generate_ed25519().unwrap()), 20, 32),
            (raw(PKey::generate_ed448().unwrap()), 21, 64),
        ] {
            let padded = [vec![0; size - scalar.len()], scalar].concat();
            for bytes in [key.private_key_to_der().unwrap(), key.private_key_to_pem_pkcs8().unwrap()] {
                let secret = made(SecretClass::Ec, &bytes).unwrap();
                assert_eq!((secret.kind().0, secret.payload()), (number, &padded[..]));
            }
        }
    }

    #[test]
    fn the_secret_is_never_shown() {
        let shown = format!("{:?}", made(SecretClass::Association, &[0xa7; 32]).unwrap());
        assert!(shown.contains("SecretType(2)") && !shown.contains("167") && !shown.contains("a7a7"), "{shown}");
    }
}
