//! A retrieved secret as it is written, in pvsecret's formats: PEM with the label `PLAINTEXT SECRET`, or with
//! `IBM PROTECTED KEY` and the kind in a header; or the bytes alone.

use crate::options::Format;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use pv_wire::SecretType;
use zeroize::Zeroizing;

/// The longest plaintext secret: with the two bytes of its length it fills what can be retrieved.
const MAX_PLAINTEXT: usize = 8190;
/// Plaintext is padded with zeros to a multiple of this.
const BLOCK: usize = 16;
/// Characters of a line of base64.
const LINE: usize = 64;

/// The content of the file for what was retrieved of a secret of this type.
pub fn encode(retrieved: &[u8], secret_type: SecretType, format: Format) -> Zeroizing<Vec<u8>> {
    let plaintext = secret_type == SecretType::PLAINTEXT;
    let value = if plaintext { unwrapped(retrieved) } else { retrieved };
    match format {
        Format::Bin => copied(&[value]),
        Format::Pem if plaintext => pem("PLAINTEXT SECRET", "", value),
        Format::Pem => pem("IBM PROTECTED KEY", &format!("kind: {}\n\n", secret_type.kind()), value),
    }
}

/// What was put into a plaintext secret: u16 length, that many bytes, zeros to a multiple of 16. Whatever does not look
/// like that was put in by another tool and is taken as it is.
fn unwrapped(retrieved: &[u8]) -> &[u8] {
    let Some((length, rest)) = retrieved.split_first_chunk() else { return retrieved };
    let length = usize::from(u16::from_be_bytes(*length));
    match rest.split_at_checked(length) {
        Some((value, padding))
            if length <= MAX_PLAINTEXT && padding.len() < BLOCK && padding.iter().all(|b| *b == 0) =>
        {
            value
        }
        _ => retrieved,
    }
}

fn pem(label: &str, headers: &str, value: &[u8]) -> Zeroizing<Vec<u8>> {
    // Sized beforehand: a buffer that grows leaves copies of the secret behind.
    let mut base64 = Zeroizing::new(vec![0; value.len().div_ceil(3) * 4]);
    let written = STANDARD.encode_slice(value, &mut base64).unwrap_or(0);
    base64.truncate(written);
    let (begin, end) = (format!("-----BEGIN {label}-----\n{headers}"), format!("-----END {label}-----\n"));
    let mut parts = vec![begin.as_bytes()];
    parts.extend(base64.chunks(LINE).flat_map(|line| [line, b"\n"]));
    parts.push(end.as_bytes());
    copied(&parts)
}

/// The parts one after the other, in a buffer that never grew.
fn copied(parts: &[&[u8]]) -> Zeroizing<Vec<u8>> {
    let mut whole = Zeroizing::new(Vec::with_capacity(parts.iter().map(|part| part.len()).sum()));
    parts.iter().for_each(|part| whole.extend_from_slice(part));
    whole
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(retrieved: &[u8], number: u16) -> String {
        String::from_utf8(encode(retrieved, SecretType(number), Format::Pem).to_vec()).unwrap()
    }

    fn plain(retrieved: &[u8]) -> Vec<u8> {
        encode(retrieved, SecretType::PLAINTEXT, Format::Bin).to_vec()
    }

    #[test]
    fn plaintext_has_a_label_and_no_header() {
        let mut retrieved = vec![0, 5];
        retrieved.extend_from_slice(b"hello\0\0\0\0\0\0\0\0\0");
        assert_eq!(text(&retrieved, 3), "-----BEGIN PLAINTEXT SECRET-----\naGVsbG8=\n-----END PLAINTEXT SECRET-----\n");
    }

    #[test]
    fn a_key_has_its_kind_in_a_header_and_lines_of_64_characters() {
        let expected = format!(
            "-----BEGIN IBM PROTECTED KEY-----\nkind: AES-128-KEY\n\n{}\n{}\n-----END IBM PROTECTED KEY-----\n",
            "A".repeat(64),
            "A".repeat(4)
        );
        assert_eq!(text(&[0; 51], 4), expected);
        assert_eq!(text(&[0; 48], 4).lines().count(), 5);
        assert_eq!(encode(&[7; 48], SecretType(4), Format::Bin).as_slice(), [7; 48]);
    }

    #[test]
    fn plaintext_is_unwrapped_only_if_length_and_padding_are_as_they_must_be() {
        assert_eq!(plain(&[[0, 14].as_slice(), &[1; 14]].concat()), [1; 14]);
        assert_eq!(plain(&[[0, 0].as_slice(), &[0; 14]].concat()), [0; 0]);
        let whole = [[0x1f, 0xfe].as_slice(), &[9; 8190]].concat();
        assert_eq!(plain(&whole), [9; 8190]);
        for raw in [
            [[0, 15].as_slice(), &[1; 14]].concat(),        // longer than what is there
            [[0, 1].as_slice(), &[1; 14]].concat(),         // padding that is not zero
            [[0, 1].as_slice(), &[1], &[0; 16]].concat(),   // a whole block of padding
            [[0x1f, 0xff].as_slice(), &[9; 8191]].concat(), // longer than plaintext may be
            vec![1],
            vec![],
        ] {
            assert_eq!(plain(&raw), raw);
        }
    }
}
