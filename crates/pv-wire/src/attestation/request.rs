//! Reading an attestation request: what can be seen of it without its key.

use super::{Items, codes, layout, malformed};
use crate::{
    bytes::{array_at, size_at, u32_at, u64_at},
    layout::{CUSTOMER_KEY_LEN, IV_LEN, SLOT_LEN, TAG_LEN},
};
use fault::{Fault, Result};
use sha2::{Digest, Sha256};

/// An attestation request whose every length agrees with every other and in which nothing is unknown.
///
/// Nothing here proves that the request was not tampered with: its tag does, to who holds its key.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct AttestationRequest<'a> {
    bytes: &'a [u8],
    sealed_at: usize,
    has_nonce: bool,
    items: Items,
}

impl<'a> AttestationRequest<'a> {
    /// Reads a request. The bytes must be one whole request and nothing behind it.
    ///
    /// # Errors
    /// [`codes::MALFORMED`], [`codes::VERSION`] and [`codes::FLAG_UNKNOWN`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self> {
        let cut = || malformed(format!("The attestation request is cut off: {} bytes cannot be one.", bytes.len()));
        if array_at(bytes, 0) != Some(layout::MAGIC) {
            return Err(malformed("These bytes are no attestation request: they do not begin with its eight zeros."));
        }
        let version = u32_at(bytes, layout::REQUEST_VERSION).ok_or_else(cut)?;
        if version != layout::VERSION {
            return Err(unsupported(format!(
                "The attestation request has version 0x{version:04x}; only 0x0100 is known."
            )));
        }
        let length = size_at(bytes, layout::LENGTH).ok_or_else(cut)?;
        if length != bytes.len() {
            return Err(malformed(format!(
                "The attestation request says that it is {length} bytes long, but {} bytes are there.",
                bytes.len()
            )));
        }
        let slots = usize::from(*bytes.get(layout::SLOT_COUNT).ok_or_else(cut)?);
        if slots == 0 {
            return Err(malformed("The attestation request has no keyslot, so no host can open it."));
        }
        let encrypted = size_at(bytes, layout::ENCRYPTED_SIZE).ok_or_else(cut)?;
        let flags = u64_at(bytes, layout::FLAGS).ok_or_else(cut)?;
        let algorithm = u32_at(bytes, layout::ALGORITHM).ok_or_else(cut)?;
        if algorithm != layout::ALGORITHM_HMAC_SHA512 {
            return Err(unsupported(format!(
                "The attestation request asks for a measurement by algorithm {algorithm}; only 1, HMAC with SHA-512, is known."
            )));
        }
        let (items, rest) = Items::from_flags(flags);
        let (has_nonce, unknown) = (rest & layout::FLAG_NONCE != 0, rest & !layout::FLAG_NONCE);
        if unknown != 0 {
            let detail = format!("The attestation request has flags that are not known here: 0x{unknown:016x}.");
            return Err(Fault::new(codes::FLAG_UNKNOWN, detail)
                .hint("Make the request with attest_request of this collection."));
        }
        let expected = layout::MEASUREMENT_KEY_LEN + if has_nonce { layout::NONCE_LEN } else { 0 };
        let sealed_at = layout::SLOTS + slots * SLOT_LEN;
        if encrypted != expected || length != sealed_at + encrypted + TAG_LEN {
            return Err(malformed(format!(
                "The attestation request's lengths do not fit each other: {length} bytes in all, {slots} keyslots, {encrypted} bytes encrypted, {} nonce.",
                if has_nonce { "a" } else { "no" }
            )));
        }
        let reserved = [
            (layout::RESERVED_1, layout::SLOT_COUNT),
            (layout::RESERVED_2, layout::ENCRYPTED_SIZE),
            (layout::RESERVED_3, layout::CUSTOMER_KEY),
        ];
        if reserved.iter().any(|(from, to)| bytes.get(*from..*to).is_none_or(|part| part.iter().any(|byte| *byte != 0)))
        {
            return Err(malformed("The attestation request has something where it must have zeros."));
        }
        Ok(Self { bytes, sealed_at, has_nonce, items })
    }

    /// The whole request.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// SHA-256 of the whole request.
    pub fn sha256(&self) -> [u8; 32] {
        Sha256::digest(self.bytes).into()
    }

    /// What the ultravisor is to add to its measurement.
    pub fn items(&self) -> Items {
        self.items
    }

    /// Whether there is a nonce in the encrypted area.
    pub fn has_nonce(&self) -> bool {
        self.has_nonce
    }

    /// The size of the measurement that will answer it, in bytes.
    pub fn measurement_size(&self) -> usize {
        layout::MEASUREMENT_LEN
    }

    /// The size of the additional data that will answer it, in bytes. The kernel must be given a buffer of exactly this
    /// size: it returns the size that it was given, whatever the ultravisor wrote.
    pub fn additional_size(&self) -> usize {
        self.items.size()
    }

    /// The initialisation vector of the request.
    pub fn iv(&self) -> [u8; IV_LEN] {
        // `parse` has seen the fixed part.
        array_at(self.bytes, layout::IV).unwrap_or_default()
    }

    /// The customer's public key on P-521: x, then y, each left padded to 80 bytes. Nobody has checked that the point
    /// is on the curve.
    pub fn customer_key(&self) -> &'a [u8] {
        self.slice(layout::CUSTOMER_KEY, CUSTOMER_KEY_LEN)
    }

    /// SHA-256 of each host's public key that can open the request, in the order of the slots.
    pub fn host_key_hashes(&self) -> impl Iterator<Item = [u8; 32]> + use<'a> {
        let slots = self.slice(layout::SLOTS, self.sealed_at - layout::SLOTS);
        slots.chunks_exact(SLOT_LEN).filter_map(|slot| array_at(slot, 0))
    }

    /// What the tag covers in the clear: everything before the encrypted area.
    pub fn authenticated(&self) -> &'a [u8] {
        self.slice(0, self.sealed_at)
    }

    /// The encrypted area: measurement key, then the nonce if there is one.
    pub fn sealed(&self) -> &'a [u8] {
        self.slice(self.sealed_at, self.bytes.len() - TAG_LEN - self.sealed_at)
    }

    /// The request's GCM tag: its last 16 bytes.
    pub fn tag(&self) -> &'a [u8] {
        self.slice(self.bytes.len() - TAG_LEN, TAG_LEN)
    }

    /// `parse` has checked that all is there.
    fn slice(&self, at: usize, len: usize) -> &'a [u8] {
        self.bytes.get(at..at + len).unwrap_or_default()
    }
}

impl std::fmt::Debug for AttestationRequest<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AttestationRequest")
            .field("len", &self.bytes.len())
            .field("has_nonce", &self.has_nonce)
            .field("items", &self.items)
            .finish_non_exhaustive()
    }
}

fn unsupported(what: String) -> Fault {
    Fault::new(codes::VERSION, what).hint("Make the request with a tool for this version.")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attestation::Item;

    /// A request with two keyslots, a nonce and flags 2 and 4, typed from the layout table.
    fn request() -> Vec<u8> {
        let mut bytes = vec![0; 0xe0 + 2 * 80 + 80 + 16];
        bytes[0x08..0x10].copy_from_slice(&[0, 0, 1, 0, 0, 0, 0x01, 0xe0]);
        bytes[0x10..0x1c].fill(0x55);
        bytes[0x27] = 2;
        bytes[0x2c..0x30].copy_from_slice(&[0, 0, 0, 80]);
        bytes[0x30] = 0x68;
        bytes[0x3b] = 1;
        bytes[0x40..0x90].fill(0xc1);
        bytes[0x90..0xe0].fill(0xc2);
        bytes[0xe0..0x100].fill(0xa1);
        bytes[0x130..0x150].fill(0xa2);
        bytes[0x180..0x1d0].fill(0xee);
        bytes[0x1d0..].fill(0x7a);
        bytes
    }

    fn without_nonce() -> Vec<u8> {
        let mut bytes = request();
        bytes.drain(0x180..0x190);
        bytes[0x0e..0x10].copy_from_slice(&[0x01, 0xd0]);
        bytes[0x2f] = 64;
        bytes[0x30] = 0x28;
        bytes
    }

    #[test]
    fn every_visible_field_of_an_attestation_request_is_read() {
        let bytes = request();
        let read = AttestationRequest::parse(&bytes).unwrap();
        assert_eq!(read.items().iter().collect::<Vec<_>>(), [Item::ImageHostKey, Item::SecretStore]);
        assert_eq!((read.measurement_size(), read.additional_size(), read.has_nonce()), (64, 96, true));
        assert_eq!(read.host_key_hashes().collect::<Vec<_>>(), [[0xa1; 32], [0xa2; 32]]);
        assert_eq!((read.iv(), read.sealed(), read.tag()), ([0x55; 12], &[0xee; 80][..], &[0x7a; 16][..]));
        assert_eq!(read.customer_key(), [[0xc1; 80], [0xc2; 80]].concat());
        assert_eq!([read.authenticated(), read.sealed(), read.tag()].concat(), bytes);
        assert!(format!("{read:?}").contains("len: 480, has_nonce: true"), "{read:?}");
    }

    #[test]
    fn a_request_without_nonce_is_sixteen_bytes_shorter() {
        let bytes = without_nonce();
        let read = AttestationRequest::parse(&bytes).unwrap();
        assert_eq!((read.has_nonce(), read.sealed().len()), (false, 64));
    }

    #[test]
    fn the_nonces_flag_and_the_encrypted_size_must_agree() {
        let (mut with, mut without) = (request(), without_nonce());
        with[0x30] = 0x28;
        without[0x30] = 0x68;
        for bytes in [with, without] {
            assert_eq!(AttestationRequest::parse(&bytes).unwrap_err().code, codes::MALFORMED);
        }
    }

    #[test]
    fn every_cut_and_appended_byte_of_an_attestation_request_is_refused() {
        let mut bytes = request();
        for len in 0..bytes.len() {
            let fault = AttestationRequest::parse(&bytes[..len]).unwrap_err();
            assert_eq!(fault.code, codes::MALFORMED, "cut to {len}");
        }
        bytes.push(0);
        assert_eq!(AttestationRequest::parse(&bytes).unwrap_err().code, codes::MALFORMED);
    }

    #[test]
    fn another_version_or_algorithm_an_unknown_flag_and_used_reserves_are_refused() {
        let with = |at: usize, value: u8| {
            let mut bytes = request();
            bytes[at] = value;
            AttestationRequest::parse(&bytes).unwrap_err().code
        };
        assert_eq!(with(0x0a, 2), codes::VERSION);
        assert_eq!(with(0x3b, 2), codes::VERSION);
        for (at, value) in [(0x30, 0xe8), (0x30, 0x6a), (0x37, 1)] {
            assert_eq!(with(at, value), codes::FLAG_UNKNOWN);
        }
        for at in [0, 7, 0x1c, 0x26, 0x28, 0x2b, 0x3c, 0x3f] {
            assert_eq!(with(at, 1), codes::MALFORMED, "{at:#x}");
        }
        for (at, value) in [(0x27, 0), (0x27, 1), (0x27, 3), (0x2f, 79), (0x2c, 0xff), (0x0c, 0xff), (0x0f, 0xe1)] {
            assert_eq!(with(at, value), codes::MALFORMED, "{at:#x}");
        }
    }

    #[test]
    fn no_changed_byte_of_an_attestation_request_makes_the_reader_panic() {
        let good = request();
        for at in 0..good.len() {
            for value in [0, 1, 0x7f, 0xff] {
                let mut bytes = good.clone();
                bytes[at] = value;
                let _ =
                    AttestationRequest::parse(&bytes).map(|read| (read.tag().len(), read.host_key_hashes().count()));
            }
        }
    }
}
