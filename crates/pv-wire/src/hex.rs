//! Hexadecimal text.

/// Lower-case hex digits of `bytes`, two a byte, without `0x`.
pub fn encode_hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for nibble in bytes.iter().flat_map(|byte| [byte >> 4, byte & 0xf]) {
        text.extend(char::from_digit(nibble.into(), 16));
    }
    text
}

/// Reads hex digits of either case, with or without `0x`: two digits a byte, nothing else between them.
/// `None` for an odd number of digits or any other character.
pub fn decode_hex(text: &str) -> Option<Vec<u8>> {
    let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")).unwrap_or(text).as_bytes();
    if digits.len() % 2 != 0 {
        return None;
    }
    digits.chunks_exact(2).map(|pair| Some(nibble(*pair.first()?)? << 4 | nibble(*pair.get(1)?)?)).collect()
}

fn nibble(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|n| u8::try_from(n).ok())
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
