//! Option types that serde does not have.

use serde::de::{self, Deserialize, Deserializer, Visitor};
use serde::ser::{Serialize, Serializer};
use std::fmt;
use std::ops::Deref;
use zeroize::Zeroizing;

/// What Ansible itself shows in place of a `no_log` value.
const MASK: &str = "VALUE_SPECIFIED_IN_NO_LOG_PARAMETER";

/// The text of a `no_log` option: wiped when dropped, never printed, masked where options are echoed. Like a name, it must
/// arrive as text: of an unquoted 0755 the digits are lost, and a wrong secret shows only when it is too late.
#[derive(Clone)]
pub struct NoLog(Zeroizing<String>);

impl NoLog {
    /// The secret text.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for NoLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

impl Serialize for NoLog {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(MASK)
    }
}

impl<'de> Deserialize<'de> for NoLog {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        NameText::deserialize(deserializer).map(|NameText(text)| Self(Zeroizing::new(text)))
    }
}

/// The name by which [`HexText`] tells the arguments' deserializer that a number stands for hex digits.
pub(crate) const HEX_MARK: &str = "ansible-contract hex text";

/// A hex value as the user wrote it, with `0x` or without; its length is the reader's to judge.
///
/// `A` and `B` are the numbers of hex digits that are right (equal where there is one): needed because YAML turns
/// an unquoted `0x...` into a number, which has lost its leading zeros and cannot always be told from decimal
/// digits. See [`hex_from_number`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HexText<const A: usize, const B: usize>(pub String);

impl<const A: usize, const B: usize> Serialize for HexText<A, B> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de, const A: usize, const B: usize> Deserialize<'de> for HexText<A, B> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct HexVisitor<const A: usize, const B: usize>;
        impl<'de, const A: usize, const B: usize> Visitor<'de> for HexVisitor<A, B> {
            type Value = HexText<A, B>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                if A == B {
                    write!(f, "{A} hex digits in quotes")
                } else {
                    write!(f, "{A} or {B} hex digits in quotes")
                }
            }

            fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
                String::deserialize(deserializer).map(HexText)
            }

            fn visit_bytes<E: de::Error>(self, decimal: &[u8]) -> Result<Self::Value, E> {
                hex_from_number(decimal, &[A, B]).map(HexText)
            }
        }
        deserializer.deserialize_newtype_struct(HEX_MARK, HexVisitor::<A, B>)
    }
}

/// The hex value of one of the `widths` (in digits) that a visitor is given as the decimal digits of a number.
///
/// # Errors
/// `args.quote_hex` where the digits cannot be seen from the number.
pub fn hex_from_number<E: de::Error>(decimal: &[u8], widths: &[usize]) -> Result<String, E> {
    let hex = widths.iter().find_map(|width| number_as_hex(decimal, *width));
    hex.ok_or_else(|| E::custom(crate::de::QUOTE_HEX_MESSAGE))
}

/// The name by which [`NameText`] tells the arguments' deserializer that only text will do.
pub(crate) const NAME_MARK: &str = "ansible-contract name";

/// A name, which only its own text can be: YAML turns an unquoted `yes`, `1.10` or `0755` into something else before a
/// module sees it, and what it was cannot be known any more. So a value that is no text is refused with the advice to
/// quote it. In a file that is read as YAML here, scalars keep their text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NameText(pub String);

impl Deref for NameText {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl From<&str> for NameText {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl Serialize for NameText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for NameText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NameVisitor;
        impl<'de> Visitor<'de> for NameVisitor {
            type Value = NameText;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text")
            }

            fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<NameText, D::Error> {
                String::deserialize(deserializer).map(NameText)
            }

            fn visit_unit<E: de::Error>(self) -> Result<NameText, E> {
                Err(no_name())
            }
        }
        deserializer.deserialize_newtype_struct(NAME_MARK, NameVisitor)
    }
}

/// The error for a number or a boolean where a name is meant.
pub fn no_name<E: de::Error>() -> E {
    E::custom(crate::de::QUOTE_NAME_MESSAGE)
}

/// The `width` hex digits (after `0x`) of a number that YAML made of an unquoted hex value, given in decimal digits.
///
/// `None` where it could have been meant as decimal digits, that is, where it has `width` decimal digits or
/// fewer, or where it is too large for the width: the user has to quote it.
fn number_as_hex(decimal: &[u8], width: usize) -> Option<String> {
    if decimal.len() <= width || !decimal.iter().all(u8::is_ascii_digit) {
        return None;
    }
    // Schoolbook: divide the decimal number by 16 until nothing is left; at most 78 digits.
    let mut digits: Vec<u8> = decimal.iter().map(|d| d - b'0').collect();
    let mut hex = Vec::new();
    while digits.iter().any(|d| *d != 0) {
        let mut remainder = 0;
        for digit in &mut digits {
            let value = remainder * 10 + *digit;
            *digit = value / 16;
            remainder = value % 16;
        }
        hex.push(char::from_digit(u32::from(remainder), 16)?);
        if hex.len() > width {
            return None;
        }
    }
    hex.resize(width, '0');
    Some(format!("0x{}", hex.iter().rev().collect::<String>()))
}

#[cfg(feature = "docs")]
mod schema {
    use super::{HexText, NameText, NoLog};
    use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
    use std::borrow::Cow;

    impl JsonSchema for NoLog {
        fn inline_schema() -> bool {
            true
        }
        fn schema_name() -> Cow<'static, str> {
            "NoLog".into()
        }
        fn json_schema(_: &mut SchemaGenerator) -> Schema {
            json_schema!({"type": "string", "no_log": true})
        }
    }

    impl JsonSchema for NameText {
        fn inline_schema() -> bool {
            true
        }
        fn schema_name() -> Cow<'static, str> {
            "NameText".into()
        }
        fn json_schema(_: &mut SchemaGenerator) -> Schema {
            json_schema!({"type": "string"})
        }
    }

    impl<const A: usize, const B: usize> JsonSchema for HexText<A, B> {
        fn inline_schema() -> bool {
            true
        }
        fn schema_name() -> Cow<'static, str> {
            format!("HexText{A}or{B}").into()
        }
        fn json_schema(_: &mut SchemaGenerator) -> Schema {
            json_schema!({"type": "string"})
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_too_large_for_decimal_digits_is_taken_back_as_hex_of_full_width() {
        // 0xdb3c3b3c3f097dd55ec7eb0e7fdbcb93 and, below it, one whose first hex digit was a zero.
        assert_eq!(
            number_as_hex(b"291413670323774062310978647687069158291", 32).as_deref(),
            Some("0xdb3c3b3c3f097dd55ec7eb0e7fdbcb93")
        );
        assert_eq!(
            number_as_hex(b"15000000000000000000000000000000000000", 32).as_deref(),
            Some("0x0b48e51940c76a45816e51f000000000")
        );
    }

    #[test]
    fn a_number_that_may_have_been_decimal_digits_or_is_too_wide_must_be_quoted() {
        assert_eq!(number_as_hex(b"12345678901234567890123456789012", 32), None);
        assert_eq!(number_as_hex(b"0", 32), None);
        assert_eq!(number_as_hex(&[b'9'; 40], 32), None);
        assert_eq!(number_as_hex(b"-29140617100364008763280642415801462261", 32), None);
        assert_eq!(number_as_hex(b"1e50", 3), None);
    }

    #[test]
    fn a_secret_that_yaml_made_a_number_or_a_boolean_must_be_quoted() {
        #[derive(serde::Deserialize, Debug)]
        struct Options {
            passphrase: Option<NoLog>,
        }
        let read = |value: &str| {
            let text = format!(r#"{{"passphrase": {value}}}"#);
            crate::parse_arguments::<Options>(text.as_bytes()).map(|(options, _)| options.passphrase)
        };
        for value in ["493", "1.1", "true"] {
            let fault = read(value).unwrap_err();
            assert_eq!(fault.code, crate::codes::QUOTE_NAME, "{value}");
            assert!(fault.detail.starts_with("The option passphrase ") && !fault.detail.contains("493"), "{fault}");
        }
        assert_eq!(read(r#""0755""#).unwrap().unwrap().expose(), "0755");
        assert!(read("null").unwrap().is_none());
    }

    #[test]
    fn a_no_log_value_shows_itself_to_nobody() {
        let secret: NoLog = serde_json::from_str("\"hunter2\"").unwrap();
        assert_eq!(secret.expose(), "hunter2");
        assert!(!format!("{secret:?}").contains("hunter2"));
        assert!(!serde_json::to_string(&secret).unwrap().contains("hunter2"));
    }
}
