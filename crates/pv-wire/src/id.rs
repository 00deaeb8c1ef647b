//! Ids of secrets.

use crate::{decode_hex, encode_hex};
use sha2::{Digest, Sha256};
use std::{fmt, str::FromStr};

/// The 32 bytes by which a listable secret is known to the ultravisor.
///
/// An id is chosen by whoever builds the request: it names a secret and proves nothing about its value.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SecretId(pub [u8; 32]);

impl SecretId {
    /// The usual id of a name: SHA-256 over the untouched UTF-8 bytes, as `pvsecret create` makes it.
    pub fn of_name(name: &str) -> Self {
        Self(Sha256::digest(name.as_bytes()).into())
    }

    /// The id that is the name itself: its first 31 bytes, padded with zeros (`pvsecret create --use-name`).
    /// The cut may fall within a UTF-8 character.
    pub fn from_name_bytes(name: &str) -> Self {
        let mut id = [0; 32];
        for (to, from) in id.iter_mut().take(31).zip(name.bytes()) {
            *to = from;
        }
        Self(id)
    }

    /// Whether this is an id that `name` can have: its hash or its first 31 bytes.
    pub fn is_of(&self, name: &str) -> bool {
        *self == Self::of_name(name) || *self == Self::from_name_bytes(name)
    }

    /// The name, where the id is one in printable ASCII: ended by a NUL and only NULs behind it.
    pub fn printable_name(&self) -> Option<String> {
        let end = self.0.iter().position(|b| *b == 0)?;
        let (name, rest) = self.0.split_at(end);
        let printable = !name.is_empty() && name.iter().all(|b| (0x20..0x7f).contains(b));
        (printable && rest.iter().all(|b| *b == 0)).then(|| name.iter().map(|b| char::from(*b)).collect())
    }
}

/// `0x` and 64 lower-case hex digits.
impl fmt::Display for SecretId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{}", encode_hex(&self.0))
    }
}

impl fmt::Debug for SecretId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Reads 64 hex digits, with or without `0x`. The error is a phrase that says what is expected.
impl FromStr for SecretId {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        decode_hex(text)
            .and_then(|bytes| bytes.try_into().ok())
            .map(Self)
            .ok_or("must be 64 hex digits, optionally after 0x")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_of_a_name_is_its_sha256() {
        let id = SecretId::of_name("association secret");
        assert_eq!(id.to_string(), "0x75ad01b403a9e4595df07ace38129799ddad908a8f82f9c32cdd7d53efc73c62");
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!(format!("{id:?}"), id.to_string());
        assert!(id.is_of("association secret") && !id.is_of("association secret "));
        assert_eq!(id.printable_name(), None);
    }

    #[test]
    fn a_name_used_as_id_keeps_31_bytes_and_a_closing_zero() {
        let id = SecretId::from_name_bytes("0123456789012345678901234567890X");
        assert_eq!(id.0[30..], [b'0', 0]);
        assert_eq!(id.printable_name().as_deref(), Some("0123456789012345678901234567890"));
        assert!(id.is_of("0123456789012345678901234567890X"));
    }

    #[test]
    fn only_printable_ascii_with_zeros_behind_it_is_shown_as_a_name() {
        let mut id = SecretId::from_name_bytes("abc");
        assert_eq!(id.printable_name().as_deref(), Some("abc"));
        id.0[20] = 1;
        assert_eq!(id.printable_name(), None);
        assert_eq!(SecretId([0; 32]).printable_name(), None);
        assert_eq!(SecretId::from_name_bytes("a\nb").printable_name(), None);
    }
}
