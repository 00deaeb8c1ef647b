//! From JSON arguments to typed options, as leniently as `AnsibleModule` and no more.
//!
//! The options' serde type is the only description there is: which names exist is what its `Deserialize` asks for.
//! * `null` counts as not given.
//! * Booleans are Ansible's words; integers may be text; text may be a number or a boolean.
//! * A list may be comma-separated text, unless it is a list of dictionaries: those may be JSON text.
//! * A number too large for any integer type is given as its decimal digits ([`crate::hex_from_number`]).
//! * Other names than the type's are refused, with the nearest one.

mod error;
#[cfg(test)]
mod tests;

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
            _ if text.bytes().filter(|byte| *byte == b',').count() >= values::MAX => return Err(too_many()),
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

fn too_many() -> Error {
    Error::new(codes::INVALID, format!("contains more than {} values", values::MAX))
}

fn from_json(text: &str) -> Result<Value, Error> {
    if values::are_too_many(text.as_bytes()) {
        return Err(too_many());
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
