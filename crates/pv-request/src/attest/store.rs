//! The hash of a secret store's history.

use openssl::sha::Sha512;
use pv_wire::{attestation::layout::STORE_HASH_LEN, layout::TAG_LEN};

/// The hash that an ultravisor gives of its secret store: SHA-512 over the tags of all requests that were added since
/// boot, in the order of adding, and one byte, 1 if the store is locked.
///
/// A tag is no commitment: who knows a request's key can give another request the same tag.
pub fn store_hash(tags: &[[u8; TAG_LEN]], locked: bool) -> [u8; STORE_HASH_LEN] {
    let mut history = History::default();
    tags.iter().for_each(|tag| history.add(tag));
    history.hash(locked)
}

/// A history that can go on in several ways.
#[derive(Clone)]
pub(super) struct History(Sha512);

impl Default for History {
    fn default() -> Self {
        Self(Sha512::new())
    }
}

impl History {
    /// One more request.
    pub(super) fn add(&mut self, tag: &[u8; TAG_LEN]) {
        self.0.update(tag);
    }

    /// The hash if it ends here.
    pub(super) fn hash(&self, locked: bool) -> [u8; STORE_HASH_LEN] {
        let mut end = self.0.clone();
        end.update(&[u8::from(locked)]);
        end.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pv_wire::{decode_hex, encode_hex};

    #[test]
    fn hashes_are_those_of_the_reference() {
        // The tags of nine files of s390-tools 2.43, `rust/pv/tests/assets/exp/asrcb`, in the order of its test:
        // assoc_derived, assoc_simple, null_none (one start, then any), null_simple, assoc_none, null_derived, seven
        // hosts, no dump.
        let tags = [
            "40b8cb4ecd5090c3e68b81e62cd5c5d0",
            "b66e9b837739e3e1c4ab4ecdcc536820",
            "04e2c301200abaf71117ac30b972a70c",
            "7c5f4a3ddfab6e2e9c45575515508ee0",
            "497926d1c60026ebbc40c2e12dbf85ce",
            "fbf57e5391337ffd69fc201c589e4ae2",
            "bfaf761c7c6955c99e600dcacd39283e",
            "5ea37a9e1120360598dee2ad3ec232ab",
            "af18671392f569ca610176e2c1606889",
        ]
        .map(|tag| decode_hex(tag).unwrap().try_into().unwrap());
        for (tags, locked, expected) in [
            (
                &tags[..],
                true,
                "d048702b4a79478b985e92e7edff453f63f2044e7d72faf12efd2eaea0cd0505559ed6665a06f6b4f9c6fcf9f2960e6cd3c3cc8cafe57ac8406e616bf9529517",
            ),
            (
                &tags,
                false,
                "51ce62af1f67b9e3254b184e33b2aad31007581a39e99cdeb02998a3b67ff456c44a05ee7d68e24dfd436f2be4c1e9f5c1016468da64015e9f9fa3156e110d6c",
            ),
            (
                &[],
                true,
                "7b54b66836c1fbdd13d2441d9e1434dc62ca677fb68f5fe66a464baadecdbd00576f8d6b5ac3bcc80844b7d50b1cc6603444bbe7cfcf8fc0aa1ee3c636d9e339",
            ),
            (
                &[],
                false,
                "b8244d028981d693af7b456af8efa4cad63d282e19ff14942c246e50d9351d22704a802a71c3580b6370de4ceb293c324a8423342557d4e5c38438f0e36910ee",
            ),
        ] {
            assert_eq!(encode_hex(&store_hash(tags, locked)), expected);
        }
    }
}
