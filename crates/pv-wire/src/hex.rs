//! Hexadecimal text.

/// Lower-case hex digits of `bytes`, two a byte, without `0x`.
pub fn encode_hex(bytes: &[u8]) -> String {
    let mut digits = vec![0; bytes.len() * 2];
    for (pair, byte) in digits.chunks_exact_mut(2).zip(bytes) {
        if let [high, low] = pair {
            (*high, *low) = (digit(byte >> 4), digit(byte & 0xf));
        }
    }
    // They are ASCII.
    String::from_utf8(digits).unwrap_or_default()
}

/// The digit of a number below 16.
fn digit(nibble: u8) -> u8 {
    if nibble < 10 { b'0' + nibble } else { b'a' - 10 + nibble }
}

/// Reads hex digits of either case, with or without `0x`: two digits a byte, nothing else between them.
/// `None` for an odd number of digits or any other character.
pub fn decode_hex(text: &str) -> Option<Vec<u8>> {
    let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")).unwrap_or(text).as_bytes();
    if digits.len() % 2 != 0 {
        return None;
    }
    let mut bytes = Vec::with_capacity(digits.len() / 2);
    for pair in digits.chunks_exact(2) {
        let &[high, low] = pair else { return None };
        bytes.push(nibble(high)? << 4 | nibble(low)?);
    }
    Some(bytes)
}

fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_round_trips_with_and_without_prefix_and_in_either_case() {
        assert_eq!(encode_hex(&[0, 0xab, 0x10]), "00ab10");
        assert_eq!(decode_hex("0x00Ab10"), Some(vec![0, 0xab, 0x10]));
        assert_eq!(decode_hex("00AB10"), Some(vec![0, 0xab, 0x10]));
        assert_eq!(decode_hex(""), Some(vec![]));
    }

    #[test]
    fn odd_lengths_and_other_characters_are_not_hex() {
        for text in ["0", "0x123", "zz", "0x0x00", "+1", "ä0", " 00"] {
            assert_eq!(decode_hex(text), None, "{text}");
        }
    }
}
