//! Bytes in options.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

/// The bytes that are given in base64, wiped when dropped, for they may be a secret; `None` for what is no base64.
///
/// Blanks and line ends come with block scalars and from base64(1) and do not count.
pub fn from_base64(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    // Both are made at their full size, so that growing leaves no copy behind.
    let mut compact = Zeroizing::new(String::with_capacity(text.len()));
    compact.extend(text.split_whitespace());
    let mut bytes = Zeroizing::new(Vec::with_capacity(compact.len()));
    STANDARD.decode_vec(compact.as_bytes(), &mut bytes).ok()?;
    Some(bytes)
}

/// Bytes that are no secret, in base64.
pub fn to_base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blanks_and_line_ends_do_not_count_and_other_characters_are_refused() {
        let bytes = |text| from_base64(text).map(|bytes| bytes.to_vec());
        assert_eq!(bytes("c2Vj\ncmV0\n"), Some(b"secret".to_vec()));
        assert_eq!(bytes(" "), Some(Vec::new()));
        for text in ["c2VjcmV", "c2Vj.mV0", "c2VjcmV0=", "ä"] {
            assert_eq!(bytes(text), None, "{text}");
        }
    }
}
