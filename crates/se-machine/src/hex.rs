//! Hexadecimal text, as scenario and image files carry it.

use std::fmt::Write;

/// Lower-case digits, two for each byte, no prefix.
pub fn encode(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Reads digits of either case with or without `0x` in front; `None` unless they are exactly `N` bytes.
pub fn decode<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digits = text.strip_prefix("0x").unwrap_or(text).as_bytes();
    if digits.len() != 2 * N {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let high = char::from(pair[0]).to_digit(16)?;
        let low = char::from(pair[1]).to_digit(16)?;
        *byte = u8::try_from(16 * high + low).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_and_bytes_go_both_ways_and_other_lengths_are_refused() {
        assert_eq!(encode(&[0x0a, 0xff]), "0aff");
        assert_eq!(decode::<2>("0x0AfF"), Some([0x0a, 0xff]));
        assert_eq!(decode::<2>("0aff00"), None);
        assert_eq!(decode::<2>("0axy"), None);
    }
}
