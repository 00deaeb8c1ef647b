//! Builds add-secret requests byte by byte, for tests: offsets and cryptography written down a second time, from the
//! customer's side.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on ends")]

use aes_gcm::aead::{Aead, KeyInit, Payload};
use aes_gcm::{Aes256Gcm, Nonce};
use p521::elliptic_curve::sec1::ToEncodedPoint;
use p521::pkcs8::DecodePublicKey;
use p521::{PublicKey, SecretKey};
use sha2::{Digest, Sha256};

/// Everything that goes into a request. The defaults are the fixed inputs of the reference requests of s390-tools
/// (rust/pv/tests): association secret `add_secret_request`, no extension secret, no CUID.
#[derive(Clone)]
pub struct Parts {
    pub version: u32,
    pub flags: u64,
    pub binding: [u8; 208],
    pub cuid: [u8; 16],
    pub secret_type: u16,
    pub id: [u8; 32],
    pub secret: Vec<u8>,
    pub extension: [u8; 32],
    pub slots: usize,
}

impl Default for Parts {
    fn default() -> Self {
        let mut binding = [4; 208];
        binding[..64].fill(1);
        binding[64..128].fill(2);
        binding[128..192].fill(3);
        Self {
            version: 0x100,
            flags: 0,
            binding,
            cuid: [0; 16],
            secret_type: 2,
            id: Sha256::digest(b"add_secret_request").into(),
            secret: vec![0x11; 32],
            extension: [0; 32],
            slots: 1,
        }
    }
}

impl Parts {
    /// The request for the host with this public key.
    pub fn build(&self, host: &PublicKey) -> Vec<u8> {
        let mut bytes = b"asrcbM\x00\x00".to_vec();
        let header_len = if self.secret_type == 1 { 0x10 } else { 0x30 };
        let sealed = self.secret.len() + 32;
        let total = 0x4b8 + 80 * self.slots + header_len + sealed + 16;
        bytes.extend(self.version.to_be_bytes());
        bytes.extend((total as u32).to_be_bytes());
        bytes.extend([0x55; 12]);
        bytes.resize(0x27, 0);
        bytes.push(self.slots as u8);
        bytes.extend([0; 4]);
        bytes.extend((sealed as u32).to_be_bytes());
        bytes.extend(self.flags.to_be_bytes());
        bytes.extend(self.binding);
        bytes.extend(self.cuid);
        bytes.resize(0x418, 0);
        bytes.extend(encode(&customer_key().public_key()));
        for _ in 0..self.slots {
            bytes.extend(slot(host));
        }
        assert_eq!(bytes.len(), 0x4b8 + 80 * self.slots);
        bytes.extend([0, 0]);
        bytes.extend(self.secret_type.to_be_bytes());
        bytes.extend((self.secret.len() as u32).to_be_bytes());
        bytes.extend([0; 8]);
        if self.secret_type != 1 {
            bytes.extend(self.id);
        }
        let plain = [self.secret.as_slice(), &self.extension].concat();
        let sealed = seal(&[0x17; 32], &[0x55; 12], &bytes, &plain);
        bytes.extend(sealed);
        assert_eq!(bytes.len(), total);
        bytes
    }
}

/// The fixed customer key: 0x01, then 64 times 0x88, zero padded on the left.
pub fn customer_key() -> SecretKey {
    let mut scalar = [0x88; 66];
    scalar[..2].copy_from_slice(&[0, 1]);
    SecretKey::from_slice(&scalar).unwrap()
}

/// The 160-byte form of a public key.
pub fn encode(key: &PublicKey) -> [u8; 160] {
    let point = key.to_encoded_point(false);
    let mut bytes = [0; 160];
    bytes[14..80].copy_from_slice(point.x().unwrap());
    bytes[94..].copy_from_slice(point.y().unwrap());
    bytes
}

/// The keyslot for a host.
pub fn slot(host: &PublicKey) -> Vec<u8> {
    let shared = p521::ecdh::diffie_hellman(customer_key().to_nonzero_scalar(), host.as_affine());
    let mut seed = shared.raw_secret_bytes().to_vec();
    seed.extend([0, 0, 0, 1]);
    let kek: [u8; 32] = Sha256::digest(seed).into();
    let mut slot = Sha256::digest(encode(host)).to_vec();
    slot.extend(seal(&kek, &[0; 12], &[], &[0x17; 32]));
    slot
}

/// AES-256-GCM, with the tag behind.
pub fn seal(key: &[u8; 32], iv: &[u8; 12], aad: &[u8], plain: &[u8]) -> Vec<u8> {
    Aes256Gcm::new(key.into()).encrypt(Nonce::from_slice(iv), Payload { msg: plain, aad }).unwrap()
}

/// A public key from its SPKI PEM.
pub fn public_key(pem: &str) -> PublicKey {
    PublicKey::from_public_key_pem(pem).unwrap()
}
