//! From JSON arguments to typed options, as leniently as `AnsibleModule` and no more.
//!
//! The options' serde type is the only description there is: which names exist is what its `Deserialize` asks for.
//! * `null` counts as not given.
//! * Booleans are Ansible's words; integers may be text; text may be a number or a boolean.
//! * A list may be comma-separated text, unless it is a list of dictionaries: those may be JSON text.
//! * A number too large for any integer type is given as its decimal digits ([`crate::hex_from_number`]).
//! * Other names than the type's are refused, with the nearest one.

mod error;

use crate::{
    args::Wiped,
    codes,
    types::{HEX_MARK, NAME_MARK},
    values,
};
use serde::de::{self, DeserializeOwned, DeserializeSeed, Deserializer, IntoDeserializer, Visitor};
use serde_json::Value;
use std::borrow::Cow;
use std::collections::BTreeMap;
use zeroize::Zeroizing;

pub(crate) use error::{Error, QUOTE_HEX_MESSAGE, QUOTE_NAME_MESSAGE};

/// Reads the options from the arguments. `variables` are the names of variables that options were
/// taken from.
pub(crate) fn from_value<T: DeserializeOwned>(value: &Value, variables: &BTreeMap<String, String>) -> fault::Result<T> {
    T::deserialize(Lenient::Lent(value)).map_err(|error| error.into_fault(variables))
}

/// The boolean that Ansible sees in a value.
pub(crate) fn as_bool(value: &Value) -> Option<bool> {
    let word = match value {
        Value::Bool(b) => return Some(*b),
        Value::String(text) => text.trim().to_lowercase(),
        Value::Number(number) => number.to_string(),
        _ => return None,
    };
    match word.as_str() {
        "yes" | "on" | "1" | "true" | "t" | "y" | "1.0" => Some(true),
        "no" | "off" | "0" | "false" | "f" | "n" | "0.0" => Some(false),
        _ => None,
    }
}

/// One value of the arguments: lent by them, or parsed from text in them and then wiped after use like them.
pub(crate) enum Lenient<'a> {
    Lent(&'a Value),
    Parsed(Wiped),
}

impl<'a> Lenient<'a> {
    fn value(&self) -> &Value {
        match self {
            Self::Lent(value) => value,
            Self::Parsed(value) => &value.0,
        }
    }

    fn integer<T: std::str::FromStr + std::fmt::Display>(&self, least: T, most: T) -> Result<T, Error> {
        let text = match self.value() {
            Value::Number(number) => number.to_string(),
            Value::String(text) => text.trim().to_owned(),
            other => return Err(Error::expected(&format!("an integer from {least} to {most}"), other)),
        };
        text.parse().map_err(|_| Error::new(codes::INVALID, format!("must be an integer from {least} to {most}")))
    }

    fn text(&self) -> Result<Cow<'_, str>, Error> {
        match self.value() {
            Value::String(text) => Ok(Cow::Borrowed(text)),
            Value::Number(number) => Ok(Cow::Owned(number.to_string())),
            Value::Bool(b) => Ok(Cow::Borrowed(if *b { "True" } else { "False" })),
            other => Err(Error::expected("a text", other)),
        }
    }

    /// The elements of a list: of text, those between commas, or of the JSON that it is.
    fn list(mut self) -> Result<Vec<Lenient<'a>>, Error> {
        let text = match &mut self {
            Self::Lent(Value::Array(list)) => return Ok(list.iter().map(Lenient::Lent).collect()),
            Self::Parsed(Wiped(Value::Array(list))) => {
                return Ok(std::mem::take(list).into_iter().map(Lenient::parsed).collect());
            }
            Self::Lent(number @ Value::Number(_)) => return Ok(vec![Lenient::Lent(number)]),
            other => match other.value() {
                Value::String(text) => text.trim(),
                value => return Err(Error::expected("a list", value)),
            },
        };
        let json = match text.as_bytes().first() {
            None => return Ok(Vec::new()),
            Some(b'[') => Zeroizing::new(text.to_owned()),
            Some(b'{') => Zeroizing::new(format!("[{text}]")),
            _ => return Ok(text.split(',').map(|part| Lenient::parsed(part.trim().into())).collect()),
        };
        Lenient::parsed(from_json(&json)?).list()
    }

    fn dictionary(mut self) -> Result<Vec<(String, Lenient<'a>)>, Error> {
        match &mut self {
            Self::Lent(Value::Object(map)) => Ok(map.iter().map(|(k, v)| (k.clone(), Lenient::Lent(v))).collect()),
            Self::Parsed(Wiped(Value::Object(map))) => {
                Ok(std::mem::take(map).into_iter().map(|(k, v)| (k, Lenient::parsed(v))).collect())
            }
            other => match other.value() {
                Value::String(text) if text.trim_start().starts_with('{') => {
                    Lenient::parsed(from_json(text)?).dictionary()
                }
                value => Err(Error::expected("a dictionary", value)),
            },
        }
    }

    fn parsed(value: Value) -> Self {
        Self::Parsed(Wiped(value))
    }
}

fn from_json(text: &str) -> Result<Value, Error> {
    if values::are_too_many(text.as_bytes()) {
        return Err(Error::new(codes::INVALID, format!("contains more than {} values", values::MAX)));
    }
    serde_json::from_str(text).map_err(|e| {
        let place = format!("line {}, column {}", e.line(), e.column());
        Error::new(
            codes::INVALID,
            format!("looks like JSON but is not valid, {place}: write keys, texts and hex values in double quotes"),
        )
    })
}

macro_rules! integers {
    ($($method:ident $visit:ident $type:ty,)+) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            visitor.$visit(self.integer(<$type>::MIN, <$type>::MAX)?)
        })+
    };
}

impl<'de> Deserializer<'de> for Lenient<'_> {
    type Error = Error;

    integers! {
        deserialize_i8 visit_i8 i8, deserialize_i16 visit_i16 i16, deserialize_i32 visit_i32 i32,
        deserialize_i64 visit_i64 i64, deserialize_u8 visit_u8 u8, deserialize_u16 visit_u16 u16,
        deserialize_u32 visit_u32 u32, deserialize_u64 visit_u64 u64,
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.value() {
            Value::Null => visitor.visit_unit(),
            Value::Bool(b) => visitor.visit_bool(*b),
            Value::Number(number) => match number.as_i64() {
                Some(integer) => visitor.visit_i64(integer),
                None => visitor.visit_bytes(number.to_string().as_bytes()),
            },
            Value::String(text) => visitor.visit_str(text),
            Value::Array(_) => self.deserialize_seq(visitor),
            Value::Object(_) => self.deserialize_map(visitor),
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_bool(as_bool(self.value()).ok_or_else(|| Error::expected("a boolean (yes or no)", self.value()))?)
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_str(&self.text()?)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.value().is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, name: &'static str, visitor: V) -> Result<V::Value, Error> {
        match self.value() {
            Value::Number(number) if name == HEX_MARK => visitor.visit_bytes(number.to_string().as_bytes()),
            Value::Number(_) | Value::Bool(_) if name == NAME_MARK => visitor.visit_unit(),
            _ => visitor.visit_newtype_struct(self),
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_seq(Elements { list: self.list()?.into_iter().enumerate() })
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_map(Entries { map: self.dictionary()?.into_iter(), value: None })
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let mut map = self.dictionary()?;
        if let Some((unknown, _)) = map.iter().find(|(key, _)| !fields.contains(&key.as_str())) {
            return Err(de::Error::unknown_field(unknown, fields));
        }
        map.retain(|(_, value)| !value.value().is_null());
        visitor.visit_map(Entries { map: map.into_iter(), value: None })
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_enum(self.text()?.into_owned().into_deserializer())
    }

    serde::forward_to_deserialize_any! {
        f32 f64 i128 u128 char bytes byte_buf unit unit_struct tuple tuple_struct identifier ignored_any
    }
}

struct Elements<'a> {
    list: std::iter::Enumerate<std::vec::IntoIter<Lenient<'a>>>,
}

impl<'de> de::SeqAccess<'de> for Elements<'_> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        let Some((index, value)) = self.list.next() else { return Ok(None) };
        seed.deserialize(value).map(Some).map_err(|e| e.within(&format!("[{index}]")))
    }
}

struct Entries<'a> {
    map: std::vec::IntoIter<(String, Lenient<'a>)>,
    value: Option<(String, Lenient<'a>)>,
}

impl<'de> de::MapAccess<'de> for Entries<'_> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        self.value = self.map.next();
        self.value.as_ref().map(|(key, _)| seed.deserialize(key.as_str().into_deserializer())).transpose()
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        let (key, value) = self.value.take().ok_or_else(|| Error::new(codes::INVALID, "has no value"))?;
        seed.deserialize(value).map_err(|e| e.within(&key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{HexText, NameText};
    use serde::Deserialize;

    #[derive(Deserialize, Debug, Default, PartialEq)]
    #[serde(default)]
    struct Options {
        name: Option<String>,
        force: bool,
        timeout: u32,
        flags: Vec<String>,
        mode: Option<Mode>,
        entries: Vec<Entry>,
        mkvp: Option<HexText<32, 64>>,
    }

    #[derive(Deserialize, Debug, PartialEq)]
    #[serde(rename_all = "snake_case")]
    enum Mode {
        Ep11,
        Accel,
    }

    #[derive(Deserialize, Debug, PartialEq)]
    struct Entry {
        mode: String,
        serialnr: Option<String>,
    }

    fn read(json: &str) -> fault::Result<Options> {
        from_value(&serde_json::from_str(json).unwrap(), &BTreeMap::new())
    }

    #[test]
    fn key_value_text_and_yaml_types_give_the_same_options() {
        let text = read(
            r#"{"force": "yes", "timeout": " 8 ", "flags": "a, b", "mode": "ep11", "entries": "[{\"mode\": \"accel\"}]"}"#,
        );
        let typed = read(
            r#"{"force": true, "timeout": 8, "flags": ["a", "b"], "mode": "ep11", "entries": [{"mode": "accel"}]}"#,
        );
        assert_eq!(text, typed);
        let typed = typed.unwrap();
        assert_eq!((typed.force, typed.timeout, typed.flags.len(), typed.entries.len()), (true, 8, 2, 1));
    }

    #[test]
    fn null_is_as_good_as_not_given() {
        assert_eq!(
            read(r#"{"force": null, "timeout": null, "name": null, "entries": null}"#).unwrap(),
            Options::default()
        );
    }

    #[test]
    fn a_mistyped_option_is_refused_with_the_nearest_name_wherever_it_stands() {
        let fault = read(r#"{"timeuot": 3}"#).unwrap_err();
        assert_eq!((fault.code, fault.detail.as_str()), (codes::UNKNOWN_OPTION, "The option timeuot does not exist."));
        assert_eq!(fault.hint, "Did you mean timeout?");
        let fault = read(r#"{"entries": [{"mode": "ep11"}, {"mode": "ep11", "serialnumber": "x"}]}"#).unwrap_err();
        assert_eq!(fault.detail, "The option entries[1].serialnumber does not exist.");
        let fault = read(r#"{"zzzzzzzz": 3}"#).unwrap_err();
        assert!(fault.hint.starts_with("There are: name, force"), "{fault}");
    }

    #[test]
    fn a_value_of_the_wrong_kind_is_named_by_its_place_and_never_quoted() {
        for (json, place) in [
            (r#"{"force": "s3cret"}"#, "force"),
            (r#"{"timeout": "s3cret"}"#, "timeout"),
            (r#"{"timeout": -1}"#, "timeout"),
            (r#"{"timeout": 1.5}"#, "timeout"),
            (r#"{"name": ["s3cret"]}"#, "name"),
            (r#"{"entries": "s3cret"}"#, "entries[0]"),
            (r#"{"entries": "[s3cret"}"#, "entries"),
            (r#"{"mode": "s3cret"}"#, "mode"),
        ] {
            let fault = read(json).unwrap_err();
            assert_eq!(fault.code, codes::INVALID, "{json}");
            assert!(fault.detail.starts_with(&format!("The option {place} ")), "{fault}");
            assert!(!fault.to_string().contains("s3cret"), "{fault}");
        }
    }

    #[test]
    fn a_required_option_that_is_missing_is_named() {
        let fault = read(r#"{"entries": [{}]}"#).unwrap_err();
        assert_eq!(
            (fault.code, fault.detail.as_str()),
            (codes::MISSING, "The option entries[0].mode is required and not given.")
        );
    }

    #[test]
    fn a_wrong_choice_lists_the_right_ones() {
        let fault = read(r#"{"mode": "ep12"}"#).unwrap_err();
        assert_eq!(fault.detail, "The option mode must be one of ep11, accel.");
        assert_eq!(fault.hint, "Did you mean ep11?");
    }

    #[test]
    fn numbers_become_text_where_text_is_wanted_and_hex_where_hex_is_wanted() {
        let entry = read(r#"{"entries": [{"mode": "ep11", "serialnr": 1234567890123456}]}"#).unwrap();
        assert_eq!(entry.entries[0].serialnr.as_deref(), Some("1234567890123456"));
        let options = read(r#"{"mkvp": 291413670323774062310978647687069158291}"#).unwrap();
        assert_eq!(options.mkvp, Some(HexText("0xdb3c3b3c3f097dd55ec7eb0e7fdbcb93".into())));
        let options = read(r#"{"mkvp": "db3c"}"#).unwrap();
        assert_eq!(options.mkvp, Some(HexText("db3c".into())));
    }

    #[test]
    fn a_name_that_yaml_made_a_number_or_a_boolean_must_be_quoted() {
        #[derive(Deserialize, Debug)]
        struct Named {
            name: NameText,
        }
        let read = |json: &str| from_value::<Named>(&serde_json::from_str(json).unwrap(), &BTreeMap::new());
        for json in [r#"{"name": true}"#, r#"{"name": 1.1}"#, r#"{"name": 493}"#] {
            let fault = read(json).unwrap_err();
            assert_eq!(fault.code, codes::QUOTE_NAME, "{json}");
            assert!(fault.detail.starts_with("The option name ") && fault.detail.contains("in quotes"), "{fault}");
        }
        assert_eq!(&*read(r#"{"name": "1.10"}"#).unwrap().name, "1.10");
        assert_eq!(read(r#"{"name": ["a"]}"#).unwrap_err().code, codes::INVALID);
    }

    #[test]
    fn an_integer_outside_its_range_is_refused_with_the_range() {
        for json in [
            r#"{"timeout": -1}"#,
            r#"{"timeout": 4294967296}"#,
            r#"{"timeout": "1.5"}"#,
            r#"{"timeout": 1e99}"#,
            r#"{"timeout": true}"#,
            r#"{"timeout": []}"#,
        ] {
            let fault = read(json).unwrap_err();
            assert_eq!(fault.code, codes::INVALID, "{json}");
            assert!(fault.detail.starts_with("The option timeout must be an integer from 0 to 4294967295"), "{fault}");
        }
    }

    #[test]
    fn a_number_that_may_have_been_decimal_digits_must_be_quoted() {
        let fault = read(r#"{"mkvp": 12345678}"#).unwrap_err();
        assert_eq!(fault.code, codes::QUOTE_HEX);
        assert!(fault.detail.contains("mkvp"), "{fault}");
    }
}
