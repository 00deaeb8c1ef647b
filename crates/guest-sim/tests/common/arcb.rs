//! Builds attestation requests byte by byte, and measures what answers must be, for tests: offsets and cryptography
//! written down a second time, from the customer's side.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends")]

use hmac::{Hmac, Mac};
use p521::PublicKey;
use sha2::{Digest, Sha512};

use super::request::{customer_key, encode, seal, slot};

/// Everything that goes into an attestation request. The defaults are the fixed inputs of the reference request of
/// s390-tools (rust/pv, tests/assets/exp/arcb.bin).
#[derive(Clone)]
pub struct Arcb {
    pub magic: [u8; 8],
    pub version: u32,
    /// Added to the right length.
    pub longer: u32,
    pub slots: usize,
    /// Added to the right size of the encrypted area.
    pub more_encrypted: u32,
    pub flags: u64,
    pub algorithm: u32,
    pub key: [u8; 64],
    /// Absent where the flags do not ask for it.
    pub nonce: [u8; 16],
}

impl Default for Arcb {
    fn default() -> Self {
        Self {
            magic: [0; 8],
            version: 0x100,
            longer: 0,
            slots: 1,
            more_encrypted: 0,
            flags: 0x7000_0000_0000_0000,
            algorithm: 1,
            key: [0x77; 64],
            nonce: [0xab; 16],
        }
    }
}

impl Arcb {
    pub fn flags(flags: u8) -> Self {
        Self { flags: u64::from(flags) << 56, ..Self::default() }
    }

    fn nonce(&self) -> &[u8] {
        if self.flags & 1 << 62 != 0 { &self.nonce } else { &[] }
    }

    /// The request for the host with this public key.
    pub fn build(&self, host: &PublicKey) -> Vec<u8> {
        let plain = [self.key.as_slice(), self.nonce()].concat();
        let total = 224 + 80 * self.slots + plain.len() + 16;
        let mut bytes = self.magic.to_vec();
        bytes.extend(self.version.to_be_bytes());
        bytes.extend((total as u32 + self.longer).to_be_bytes());
        bytes.extend([0x55; 12]);
        bytes.resize(39, 0);
        bytes.push(self.slots as u8);
        bytes.extend([0; 4]);
        bytes.extend((plain.len() as u32 + self.more_encrypted).to_be_bytes());
        bytes.extend(self.flags.to_be_bytes());
        bytes.extend(self.algorithm.to_be_bytes());
        bytes.extend([0; 4]);
        bytes.extend(encode(&customer_key().public_key()));
        for _ in 0..self.slots {
            bytes.extend(slot(host));
        }
        let sealed = seal(&[0x17; 32], &[0x55; 12], &bytes, &plain);
        bytes.extend(sealed);
        assert_eq!(bytes.len(), total);
        bytes
    }

    /// What the ultravisor must measure of the reference image (digests of 0x01, 0x02, 0x03, tag of 0x04).
    pub fn measured(&self, cuid: &[u8], user: &[u8], additional: &[u8]) -> Vec<u8> {
        let message = [
            [[1; 64], [2; 64], [3; 64]].concat().as_slice(),
            &[4; 16],
            cuid,
            &(user.len() as u16).to_be_bytes(),
            &[0, 0],
            &(additional.len() as u32).to_be_bytes(),
            user,
            self.nonce(),
            additional,
        ]
        .concat();
        let mut hmac = Hmac::<Sha512>::new_from_slice(&self.key).unwrap();
        hmac.update(&message);
        hmac.finalize().into_bytes().to_vec()
    }
}

/// What the hash of a store must be to which these requests were added.
pub fn store_hash(requests: &[&[u8]], locked: bool) -> Vec<u8> {
    let mut message: Vec<u8> = requests.iter().flat_map(|request| request[request.len() - 16..].to_vec()).collect();
    message.push(u8::from(locked));
    Sha512::digest(message).to_vec()
}
