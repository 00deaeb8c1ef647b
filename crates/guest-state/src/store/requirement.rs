//! By what a secret that must be in the store is known.

use ansible_contract::{HexText, NameText, codes as args, hex_from_number, no_name};
use fault::Fault;
use pv_guest::uv::SecretList;
use pv_wire::SecretId;
use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// What an id is.
const HINT_ID: &str = "The id is in the id file that secret_request writes, and in its result; write it in quotes.";

/// One secret that must be in the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Requirement {
    /// A secret of this name.
    Name(String),
    /// The secret of this id.
    Id(SecretId),
}

impl Requirement {
    /// What must be there by a name or an id, as options give them; `None` if neither is given.
    ///
    /// # Errors
    /// `args.conflict`, `args.invalid`, naming `who`.
    pub fn of(who: &str, name: Option<NameText>, id: Option<HexText<64, 64>>) -> fault::Result<Option<Self>> {
        match (name, id) {
            (Some(_), Some(_)) => Err(Fault::new(
                args::CONFLICT,
                format!("{who} gives both name and id; only one of them may name the secret."),
            )
            .hint("Leave one of them out.")),
            (Some(name), None) => Ok(Some(Self::Name(name.0))),
            (None, Some(hex)) => {
                let id = hex
                    .0
                    .trim()
                    .parse()
                    .map_err(|what| Fault::new(args::INVALID, format!("{who}: the id {what}.")).hint(HINT_ID));
                id.map(|id| Some(Self::Id(id)))
            }
            (None, None) => Ok(None),
        }
    }

    /// The name, if it is one.
    pub fn name(&self) -> Option<String> {
        if let Self::Name(name) = self { Some(name.clone()) } else { None }
    }

    /// The id that a secret known so has, unless it was made with use_name.
    pub fn id(&self) -> SecretId {
        match self {
            Self::Name(name) => SecretId::of_name(name),
            Self::Id(id) => *id,
        }
    }

    /// Whether such a secret is among those that are shown.
    pub fn is_met_in(&self, list: &SecretList) -> bool {
        list.secrets.iter().any(|secret| self.is_met_by(&secret.id))
    }

    /// Whether a secret of this id is the one.
    pub fn is_met_by(&self, id: &SecretId) -> bool {
        match self {
            Self::Name(name) => id.is_of(name),
            Self::Id(wanted) => wanted == id,
        }
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => write!(f, "{name}"),
            Self::Id(id) => write!(f, "{id}"),
        }
    }
}

impl Serialize for Requirement {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let key = if matches!(self, Self::Name(_)) { "name" } else { "id" };
        serializer.collect_map([(key, self.to_string())])
    }
}

impl<'de> Deserialize<'de> for Requirement {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RequirementVisitor)
    }
}

struct RequirementVisitor;

fn id<E: de::Error>(text: &str) -> Result<Requirement, E> {
    text.parse().map(Requirement::Id).map_err(E::custom)
}

impl<'de> Visitor<'de> for RequirementVisitor {
    type Value = Requirement;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name, an id, or a dictionary with either name or id")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Requirement, E> {
        let is_id = text.len() == 66 && text.starts_with("0x");
        Ok(id::<E>(text).ok().filter(|_| is_id).unwrap_or_else(|| Requirement::Name(text.to_owned())))
    }

    fn visit_i64<E: de::Error>(self, _: i64) -> Result<Requirement, E> {
        Err(no_name())
    }

    fn visit_bool<E: de::Error>(self, _: bool) -> Result<Requirement, E> {
        Err(no_name())
    }

    fn visit_bytes<E: de::Error>(self, decimal: &[u8]) -> Result<Requirement, E> {
        if !decimal.iter().all(u8::is_ascii_digit) {
            return Err(no_name());
        }
        id(&hex_from_number::<E>(decimal, &[64])?)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Requirement, A::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Dictionary {
            name: Option<NameText>,
            id: Option<HexText<64, 64>>,
        }
        let given = Dictionary::deserialize(de::value::MapAccessDeserializer::new(map))?;
        match (given.name, given.id) {
            (Some(name), None) => Ok(Requirement::Name(name.0)),
            (None, Some(hex)) => id(&hex.0),
            _ => Err(de::Error::custom("must have either name or id")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_an_id_only_with_prefix_and_all_its_digits() {
        let id = SecretId::of_name("a");
        let read = |text: &str| serde_json::from_value::<Requirement>(text.into()).unwrap();
        assert_eq!(read(&id.to_string()), Requirement::Id(id));
        let bare = id.to_string().split_off(2);
        assert_eq!(read(&bare), Requirement::Name(bare.clone()));
        assert_eq!(read("0x12"), Requirement::Name("0x12".into()));
    }

    #[test]
    fn what_yaml_made_a_number_must_be_quoted() {
        #[derive(Deserialize, Debug)]
        struct Options {
            require: Vec<Requirement>,
        }
        let code = |value: &str| {
            let text = format!(r#"{{"require": [{value}]}}"#);
            ansible_contract::parse_arguments::<Options>(text.as_bytes())
                .map(|(options, _)| options.require)
                .unwrap_err()
                .code
        };
        for value in ["1.10", "493", "true", r#"{"name": 493}"#, r#"{"name": 1.10}"#] {
            assert_eq!(code(value), args::QUOTE_NAME, "{value}");
        }
        let digits = "1234567890".repeat(7);
        for value in [r#"{"id": 493}"#.to_owned(), r#"{"id": 0.5}"#.to_owned(), format!("{digits}0000000000")] {
            assert_eq!(code(&value), args::QUOTE_HEX, "{value}");
        }
    }

    #[test]
    fn a_number_or_a_boolean_is_no_name() {
        for json in ["5", "true", r#"{"name": 5}"#] {
            assert!(serde_json::from_str::<Requirement>(json).is_err(), "{json}");
        }
    }
}
