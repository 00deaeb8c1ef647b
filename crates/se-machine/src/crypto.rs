//! The host's half of the cryptography: what the firmware does with a request.
//!
//! Pure Rust and nothing shared with the code that builds requests. The scheme is that of s390-tools' rust/pv: ECDH on
//! P-521, a key-encrypting key by one round of a concatenation KDF with SHA-256, AES-256-GCM for slots and requests.

use aes_gcm::aead::{Aead, KeyInit, OsRng, Payload, rand_core::RngCore};
use aes_gcm::{Aes256Gcm, Nonce};
use anyhow::{Context, Result};
use hkdf::Hkdf;
use p521::elliptic_curve::sec1::ToEncodedPoint;
use p521::pkcs8::{DecodePrivateKey, EncodePrivateKey, EncodePublicKey, LineEnding};
use p521::{EncodedPoint, PublicKey, SecretKey};
use sha2::{Digest, Sha256, Sha512};
use zeroize::Zeroizing;

/// Bytes of a P-521 coordinate.
const COORDINATE: usize = 66;
/// Bytes that a coordinate takes in headers and requests, zero padded on the left.
const PADDED: usize = 80;
/// Bytes of a public key in headers and requests: x, then y.
pub const PUBLIC_KEY_LEN: usize = 2 * PADDED;
/// Bytes of a keyslot: hash of the host key, wrapped request key, tag.
pub const SLOT_LEN: usize = 80;

/// A simulated machine's private host key.
pub struct HostKey {
    secret: SecretKey,
    hash: [u8; 32],
}

impl std::fmt::Debug for HostKey {
    /// Nothing of what it holds: there are secrets in it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HostKey").finish_non_exhaustive()
    }
}

impl HostKey {
    /// A new random key.
    pub fn generate() -> Self {
        Self::new(SecretKey::random(&mut OsRng))
    }

    /// Reads a P-521 private key from PKCS#8 PEM.
    pub fn from_pem(pem: &str) -> Result<Self> {
        Ok(Self::new(SecretKey::from_pkcs8_pem(pem).context("not a P-521 private key in PKCS#8 PEM form")?))
    }

    fn new(secret: SecretKey) -> Self {
        let hash = Sha256::digest(padded_public_key(&secret.public_key())).into();
        Self { secret, hash }
    }

    /// The private key as PKCS#8 PEM.
    pub fn to_pem(&self) -> Result<Zeroizing<String>> {
        self.secret.to_pkcs8_pem(LineEnding::LF).context("cannot encode the host key")
    }

    /// The public key as SPKI PEM.
    pub fn public_pem(&self) -> Result<String> {
        self.secret.public_key().to_public_key_pem(LineEnding::LF).context("cannot encode the public host key")
    }

    /// SHA-256 over the 160-byte form of the public key: what keyslots and `/sys/firmware/uv/keys` carry.
    pub fn hash(&self) -> [u8; 32] {
        self.hash
    }

    /// Takes the request key out of the first of `slots` that is for this host. `None` if there is none, or the
    /// customer's key is no point of the curve, or the slot does not open.
    pub fn unwrap(&self, customer: &[u8], slots: &[u8]) -> Option<Zeroizing<[u8; 32]>> {
        let slot = slots.chunks_exact(SLOT_LEN).find(|slot| slot[..32] == self.hash)?;
        let customer = read_public_key(customer)?;
        let shared = p521::ecdh::diffie_hellman(self.secret.to_nonzero_scalar(), customer.as_affine());
        let mut kdf = Sha256::new();
        kdf.update(shared.raw_secret_bytes());
        kdf.update([0, 0, 0, 1]);
        let kek: Zeroizing<[u8; 32]> = Zeroizing::new(kdf.finalize().into());
        let key = open(&kek, &[0; 12], &[], &slot[32..])?;
        Some(Zeroizing::new(key.as_slice().try_into().ok()?))
    }
}

/// Opens AES-256-GCM: `sealed` is the ciphertext with its 16-byte tag behind it. `None` if the tag does not fit.
pub fn open(key: &[u8; 32], iv: &[u8; 12], aad: &[u8], sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let cipher = Aes256Gcm::new(key.into());
    cipher.decrypt(Nonce::from_slice(iv), Payload { msg: sealed, aad }).ok().map(Zeroizing::new)
}

/// The extension secret that belongs to a customer communication key (CCK) and the tag of an image's SE header.
pub fn derived_extension_secret(cck: &[u8; 32], header_tag: &[u8; 16]) -> Zeroizing<[u8; 32]> {
    let mut secret = Zeroizing::new([0; 32]);
    // 32 bytes are far below what HKDF can give, so this cannot fail.
    let _ = Hkdf::<Sha512>::new(Some(header_tag), cck).expand(b"IBM Z Ultravisor Add-Secret", secret.as_mut());
    secret
}

/// Length of the pattern behind a protected key.
pub const WRAPPING_PATTERN_LEN: usize = 32;

/// What a guest gets to see of a key that never leaves the machine in the clear: as many bytes that stand for the
/// wrapped key, and a 32-byte pattern that names the wrapping key. Another `salt` gives other bytes.
pub fn protected_key(secret: &[u8], wrapping_key: &[u8; 32], salt: &[u8; 32]) -> Zeroizing<Vec<u8>> {
    let mut protected = Zeroizing::new(vec![0; secret.len()]);
    let info = [&b"simulated protected key"[..], salt].concat();
    let _ = Hkdf::<Sha512>::new(Some(wrapping_key), secret).expand(&info, &mut protected);
    protected.extend_from_slice(&Sha256::digest(wrapping_key));
    protected
}

/// `N` bytes of the system's randomness.
pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    OsRng.fill_bytes(&mut bytes);
    bytes
}

/// The 160-byte form of a fresh public key, for headers that need one.
pub fn random_public_key() -> [u8; PUBLIC_KEY_LEN] {
    padded_public_key(&SecretKey::random(&mut OsRng).public_key())
}

fn padded_public_key(key: &PublicKey) -> [u8; PUBLIC_KEY_LEN] {
    let mut bytes = [0; PUBLIC_KEY_LEN];
    let point = key.to_encoded_point(false);
    if let (Some(x), Some(y)) = (point.x(), point.y()) {
        bytes[PADDED - COORDINATE..PADDED].copy_from_slice(x);
        bytes[2 * PADDED - COORDINATE..].copy_from_slice(y);
    }
    bytes
}

fn read_public_key(bytes: &[u8]) -> Option<PublicKey> {
    let (x, y) = bytes.split_at_checked(PADDED)?;
    let pad = PADDED - COORDINATE;
    if y.len() != PADDED || x[..pad].iter().chain(&y[..pad]).any(|&byte| byte != 0) {
        return None;
    }
    let mut sec1 = vec![4];
    sec1.extend_from_slice(&x[pad..]);
    sec1.extend_from_slice(&y[pad..]);
    PublicKey::from_sec1_bytes(EncodedPoint::from_bytes(sec1).ok()?.as_bytes()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hex;

    #[test]
    fn a_host_key_survives_its_pem_form() {
        let key = HostKey::generate();
        assert_eq!(HostKey::from_pem(&key.to_pem().unwrap()).unwrap().hash(), key.hash());
        assert!(HostKey::from_pem("-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n").is_err());
    }

    #[test]
    fn the_derived_extension_secret_is_the_documented_one() {
        let expected = "b7e28c1ed1ecd063afe5eb9b54c6685aca5c193163e82e2071c3150ed6ff6473";
        assert_eq!(hex::encode(derived_extension_secret(&[0; 32], &[4; 16]).as_slice()), expected);
    }

    #[test]
    fn a_customer_key_with_bytes_in_its_padding_or_off_the_curve_is_refused() {
        let good = random_public_key();
        assert!(read_public_key(&good).is_some());
        for byte in [0, 80, 100] {
            let mut bad = good;
            bad[byte] ^= 1;
            assert!(read_public_key(&bad).is_none(), "byte {byte}");
        }
        assert!(read_public_key(&good[..159]).is_none());
    }
}
