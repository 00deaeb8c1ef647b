//! Entries of a list that are read each by itself, so that a mistake in one is that one's alone.

use crate::args::Wiped;
use crate::de::{Error, Lenient};
use fault::Fault;
use serde::de::{self, DeserializeOwned, MapAccess, SeqAccess, Visitor};
use serde::ser::SerializeMap as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::fmt;

/// One entry of an option that is a list of dictionaries.
#[derive(Clone, Debug)]
pub enum Each<T> {
    /// It is as its type wants it.
    Read(Box<T>),
    /// It is not.
    Refused(Refused),
}

/// An entry that is not as its type wants it.
#[derive(Clone, Debug)]
pub struct Refused {
    label: Option<String>,
    error: Error,
}

impl<T> Each<T> {
    /// The entry, if it could be read.
    pub fn read(&self) -> Option<&T> {
        match self {
            Self::Read(entry) => Some(entry),
            Self::Refused(_) => None,
        }
    }
}

impl Refused {
    /// The entry's `label`, by which it can be known nevertheless.
    pub fn label(&self) -> Option<&str> {
        self.label.as_deref()
    }

    /// Why. `place` is where the entry stands, such as `requests[3]`.
    pub fn fault(&self, place: &str) -> Fault {
        self.error.clone().within(place).into_fault(&BTreeMap::new())
    }
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for Each<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let given = Wiped(deserializer.deserialize_any(AnyValue)?);
        Ok(match T::deserialize(Lenient::Lent(&given.0)) {
            Ok(entry) => Self::Read(Box::new(entry)),
            Err(error) => {
                let label = given.0.get("label").and_then(Value::as_str).map(ToOwned::to_owned);
                Self::Refused(Refused { label, error })
            }
        })
    }
}

/// What was refused may be a secret in the wrong place: only its label is shown.
impl<T: Serialize> Serialize for Each<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Read(entry) => entry.serialize(serializer),
            Self::Refused(refused) => {
                let mut map = serializer.serialize_map(Some(1))?;
                map.serialize_entry("label", &refused.label)?;
                map.end()
            }
        }
    }
}

/// Any value of the arguments, in a copy of its exact size: growing would leave pieces of secrets in memory.
struct AnyValue;

impl<'de> Deserialize<'de> for Copied {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyValue).map(Self)
    }
}

/// A [`Value`] that [`AnyValue`] has read.
struct Copied(Value);

impl<'de> Visitor<'de> for AnyValue {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a dictionary")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    /// The digits of a number of another kind.
    fn visit_bytes<E: de::Error>(self, digits: &[u8]) -> Result<Value, E> {
        serde_json::from_slice(digits)
            .map(Value::Number)
            .map_err(|_| E::invalid_type(de::Unexpected::Bytes(digits), &self))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Value, E> {
        Ok(Value::String(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let mut all = Vec::new();
        while let Some(Copied(value)) = list.next_element()? {
            all.push(value);
        }
        Ok(Value::Array(all))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut all = Map::new();
        while let Some((key, Copied(value))) = map.next_entry::<String, Copied>()? {
            all.insert(key, value);
        }
        Ok(Value::Object(all))
    }
}

#[cfg(feature = "docs")]
impl<T> schemars::JsonSchema for Each<T> {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Each".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({"type": "object"})
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{NoLog, codes, parse_arguments};

    #[derive(Clone, Debug, Default, Deserialize, Serialize)]
    #[serde(default)]
    struct Entry {
        label: Option<String>,
        size: Option<u8>,
        mkvp: Option<crate::HexText<32, 64>>,
        secret: Option<NoLog>,
    }

    #[derive(Debug, Deserialize, Serialize)]
    struct Options {
        requests: Vec<Each<Entry>>,
    }

    fn read(requests: &str) -> Options {
        parse_arguments::<Options>(format!(r#"{{"requests": {requests}}}"#).as_bytes()).unwrap().0
    }

    #[test]
    fn a_mistake_in_one_entry_leaves_the_others_as_they_are_meant() {
        let options = read(
            r#"[{"label": "a", "size": "7"}, {"label": "b", "size": "s3cret"}, {"label": "c", "siez": 1},
                "text", {"label": "d", "mkvp": 291413670323774062310978647687069158291, "size": null}]"#,
        );
        let refused = |at: usize| match &options.requests[at] {
            Each::Refused(refused) => (refused.label(), refused.fault(&format!("requests[{at}]"))),
            Each::Read(entry) => panic!("{entry:?}"),
        };
        assert_eq!(options.requests[0].read().unwrap().size, Some(7));
        assert_eq!(options.requests[4].read().unwrap().mkvp.as_ref().unwrap().0, "0xdb3c3b3c3f097dd55ec7eb0e7fdbcb93");
        let (label, fault) = refused(1);
        assert_eq!((label, fault.code), (Some("b"), codes::INVALID));
        assert!(fault.detail.starts_with("The option requests[1].size must be an integer"), "{fault}");
        assert!(!fault.to_string().contains("s3cret"), "{fault}");
        let (label, fault) = refused(2);
        assert_eq!((label, fault.hint.as_str()), (Some("c"), "Did you mean size?"));
        assert_eq!(refused(3).0, None);
    }

    #[test]
    fn what_is_echoed_of_a_refused_entry_is_its_label() {
        let options = read(r#"[{"label": "a", "size": "s3cret", "secret": "s3cret"}, {"secret": "s3cret"}]"#);
        let echoed = serde_json::to_string(&options).unwrap();
        assert!(echoed.contains(r#"{"label":"a"}"#) && !echoed.contains("s3cret"), "{echoed}");
    }
}
