//! Where what the machine makes by chance comes from: the system, or a seed, with which every run is the same.

use crate::crypto;
use sha2::{Digest, Sha512};
use std::sync::atomic::{AtomicU64, Ordering};

/// A source of bytes. With a seed the first bytes are the same in each run, and the next are others.
#[derive(Debug)]
pub struct Random {
    seed: Option<u64>,
    made: AtomicU64,
}

impl Random {
    /// The system's randomness, or what follows from a seed.
    pub fn new(seed: Option<u64>) -> Self {
        Self { seed, made: AtomicU64::new(0) }
    }

    /// `N` bytes, at most 64.
    pub fn bytes<const N: usize>(&self) -> [u8; N] {
        const { assert!(N <= 64, "a hash has 64 bytes") };
        let Some(seed) = self.seed else { return crypto::random() };
        let number = self.made.fetch_add(1, Ordering::Relaxed);
        let hash = Sha512::new().chain_update(seed.to_be_bytes()).chain_update(number.to_be_bytes()).finalize();
        let mut bytes = [0; N];
        bytes.iter_mut().zip(hash).for_each(|(byte, of_hash)| *byte = of_hash);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_bytes_in_each_run_and_others_each_time() {
        let two = |seed| {
            let random = Random::new(seed);
            (random.bytes::<16>(), random.bytes::<16>())
        };
        assert_eq!(two(Some(7)), two(Some(7)));
        assert_ne!(two(Some(7)), two(Some(8)));
        assert_ne!(two(Some(7)).0, two(Some(7)).1);
        assert_ne!(two(None), two(None));
    }
}
