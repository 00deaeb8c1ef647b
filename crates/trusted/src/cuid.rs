//! Reading a configuration unique id.

use crate::codes;
use ansible_contract::HexText;
use fault::{Fault, Result};
use pv_request::Source;
use pv_wire::decode_hex;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::fmt;
use std::path::Path;

/// The 16 bytes.
pub type Cuid = [u8; 16];

/// How deep a mapping in a file is searched, as pvsecret does.
const DEPTH: u8 = 8;

/// In bytes. To parse deeply nested YAML takes a time that grows with the square of its length.
const LONGEST_YAML: usize = 64 << 10;

/// From the option `cuid`.
///
/// # Errors
/// `args.invalid`.
pub fn from_option(text: &HexText<32, 32>) -> Result<Cuid> {
    from_hex(&text.0).ok_or_else(|| {
        Fault::new(ansible_contract::codes::INVALID, "The option cuid must be 32 hex digits and not all zeros.")
            .hint("Leave it out if the request is not for one start of one guest.")
    })
}

/// From a file; see [`from_source`].
///
/// # Errors
/// The `file.*` codes, `request.cuid`.
pub fn from_file(path: &Path) -> Result<Cuid> {
    from_source(&Source::read(path)?)
}

/// From what a file holds: 16 raw bytes, or YAML that is `0x` and 32 hex digits or a mapping with such a value under
/// `cuid`.
///
/// # Errors
/// `request.cuid`.
pub fn from_source(source: &Source) -> Result<Cuid> {
    let raw = Cuid::try_from(source.bytes.as_slice()).ok().filter(|cuid| *cuid != [0; 16]);
    let text = std::str::from_utf8(&source.bytes).ok().filter(|text| text.len() <= LONGEST_YAML);
    raw.or_else(|| from_yaml(text?)).ok_or_else(|| {
        Fault::new(codes::CUID, format!("{} contains no configuration unique id.", source.name))
            .hint("It must be 16 raw bytes, or YAML with cuid: \"0x...\" of 32 hex digits, and not all zeros.")
    })
}

fn from_yaml(text: &str) -> Option<Cuid> {
    let deserializer = || serde_yaml::Deserializer::from_str(text);
    let found = serde_yaml::from_str::<String>(text).ok().or_else(|| Search(DEPTH).deserialize(deserializer()).ok()?);
    found.filter(|text| text.starts_with("0x")).and_then(|text| from_hex(&text))
}

fn from_hex(text: &str) -> Option<Cuid> {
    decode_hex(text)?.try_into().ok().filter(|cuid| *cuid != [0; 16])
}

/// Finds the first `cuid` in a mapping, depth first. Its value is taken by its text, however YAML would type it.
struct Search(u8);

impl<'de> DeserializeSeed<'de> for Search {
    type Value = Option<String>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> std::result::Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

macro_rules! scalars {
    ($($visit:ident($type:ty))+) => {
        $(fn $visit<E>(self, _: $type) -> std::result::Result<Self::Value, E> {
            Ok(None)
        })+
    };
}

impl<'de> Visitor<'de> for Search {
    type Value = Option<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a mapping with the key cuid")
    }

    scalars! {
        visit_bool(bool) visit_i64(i64) visit_u64(u64) visit_i128(i128) visit_u128(u128) visit_f64(f64) visit_str(&str)
    }

    fn visit_unit<E>(self) -> std::result::Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> std::result::Result<Self::Value, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(None)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some(key) = map.next_key::<String>()? {
            let value = match self.0.checked_sub(1) {
                Some(_) if key == "cuid" => Some(map.next_value::<String>()?),
                Some(depth) => map.next_value_seed(Search(depth))?,
                None => map.next_value::<IgnoredAny>().map(|_| None)?,
            };
            found = found.or(value);
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    const HEX: &str = "0x0102030405060708090a0b0c0d0e0f10";
    const CUID: Cuid = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16];

    #[test]
    fn an_option_must_have_all_digits() {
        assert_eq!(from_option(&HexText(HEX.into())).unwrap(), CUID);
        assert_eq!(from_option(&HexText(HEX[2..].into())).unwrap(), CUID);
        for text in ["", "0x01", "0x00000000000000000000000000000000", &HEX[..33]] {
            assert_eq!(from_option(&HexText(text.into())).unwrap_err().code, ansible_contract::codes::INVALID);
        }
    }

    #[test]
    fn files_are_raw_bytes_or_yaml_quoted_or_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cuid");
        let read = |content: &[u8]| {
            fs::write(&path, content).unwrap();
            from_file(&path).map_err(|fault| fault.code)
        };
        assert_eq!(read(&CUID), Ok(CUID));
        assert_eq!(read(b"0123456789abcdef"), Ok(*b"0123456789abcdef"));
        for yaml in [
            format!("{HEX}\n"),
            format!("\"{HEX}\"\n"),
            format!("cuid: {HEX}\n"),
            format!("cuid: '{HEX}'\n"),
            format!("a: 1\nb:\n  c: [1, {{cuid: x}}]\n  d: {{cuid: \"{HEX}\"}}\n"),
            format!("{{a: {{a: {{a: {{a: {{a: {{a: {{a: {{cuid: {HEX}}}}}}}}}}}}}}}}}"),
        ] {
            assert_eq!(read(yaml.as_bytes()), Ok(CUID), "{yaml}");
        }
        for text in [
            String::new(),
            HEX[2..].to_owned(),
            "cuid: 0x01\n".into(),
            format!("id: {HEX}\n"),
            format!("{{a: {{a: {{a: {{a: {{a: {{a: {{a: {{a: {{cuid: {HEX}}}}}}}}}}}}}}}}}}}"),
            "[".into(),
            format!("cuid: {HEX}\n#{}", "x".repeat(LONGEST_YAML)),
            "{a: ".repeat(500_000),
        ] {
            assert_eq!(read(text.as_bytes()), Err(codes::CUID), "{text}");
        }
        assert_eq!(read(&[0; 16]), Err(codes::CUID));
    }
}
