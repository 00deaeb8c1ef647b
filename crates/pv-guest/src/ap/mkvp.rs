//! Master key verification patterns of EP11 queues.

use pv_wire::{decode_hex, encode_hex};
use std::fmt;

/// The first 16 bytes of the pattern of an EP11 domain's current wrapping key.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Mkvp(pub [u8; 16]);

impl Mkvp {
    /// Reads 32 or 64 hex digits, optionally after `0x`, of which the first 32 count (as pvapconfig).
    pub fn from_hex(text: &str) -> Option<Self> {
        let bytes = decode_hex(text).filter(|bytes| [16, 32].contains(&bytes.len()))?;
        bytes.first_chunk().copied().map(Self)
    }
}

impl fmt::Display for Mkvp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{}", encode_hex(&self.0))
    }
}

impl fmt::Debug for Mkvp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What is known of a queue's current wrapping key. Not knowing it neither satisfies nor refutes an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MkvpState {
    /// It cannot be read now: the queue is unbound, offline or in error.
    NotRead,
    /// No wrapping key is set.
    NoneSet,
    /// It is set.
    Valid(Mkvp),
}

impl MkvpState {
    /// Reads the attribute `mkvps` of an EP11 queue: lines `WK CUR: <state> <pattern>` and `WK NEW: ...`.
    pub fn parse(text: &str) -> Self {
        let current = text.lines().find_map(|line| line.trim().strip_prefix("WK CUR:"));
        let mut words = current.unwrap_or_default().split_whitespace();
        match (words.next(), words.next()) {
            (Some("valid"), Some(hex)) => Mkvp::from_hex(hex).map_or(Self::NotRead, Self::Valid),
            (Some("invalid"), _) => Self::NoneSet,
            _ => Self::NotRead,
        }
    }

    /// The pattern, where it is known.
    pub fn known(self) -> Option<Mkvp> {
        if let Self::Valid(mkvp) = self { Some(mkvp) } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_three_states_of_a_wrapping_key_are_kept_apart() {
        let hex = "db3c3b3c3f097dd55ec7eb0e7fdbcb93aabbccddeeff00112233445566778899";
        let valid = MkvpState::parse(&format!("WK CUR: valid 0x{hex}\nWK NEW: empty -\n"));
        assert_eq!(valid.known().unwrap().to_string(), format!("0x{}", &hex[..32]));
        assert_eq!(MkvpState::parse("WK CUR: invalid -\nWK NEW: empty -"), MkvpState::NoneSet);
        assert_eq!(MkvpState::parse("WK CUR: - -\nWK NEW: - -"), MkvpState::NotRead);
        assert_eq!(MkvpState::parse(""), MkvpState::NotRead);
        assert_eq!(MkvpState::parse("WK CUR: valid 0x12"), MkvpState::NotRead);
    }

    #[test]
    fn half_and_whole_patterns_are_read_and_nothing_between() {
        let half = "0xDB3C3b3c3f097dd55ec7eb0e7fdbcb93";
        assert_eq!(Mkvp::from_hex(half), Mkvp::from_hex(&format!("{half}{}", "0".repeat(32))));
        assert_eq!(Mkvp::from_hex(&half[..30]), None);
        assert_eq!(Mkvp::from_hex(&format!("{half}00")), None);
    }
}
