//! What users type, and what they get.

use ansible_contract::hex_from_number;
use pv_guest::uv::SecretInfo;
use pv_wire::SecretId;
use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// Options of `secret_lock`.
#[derive(Debug, Default, Deserialize, Serialize)]
#[cfg_attr(feature = "docs", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct Options {
    /// Secrets that must be in the store before it is locked. Each is a dictionary with V(name) or V(id), or a plain
    /// text, which is an id if it is C(0x) and 64 hex digits, else a name.
    /// A name matches by its SHA-256 hash or by its first 31 bytes.
    /// One of O(require) and O(minimum_secrets) must be given, for a lock cannot be taken back before the next boot.
    #[cfg_attr(feature = "docs", schemars(with = "Option<Vec<serde_json::Value>>"))]
    pub require: Option<Vec<Requirement>>,
    /// Whether nothing but the required secrets may be in the store.
    pub exact: bool,
    /// How many secrets must at least be in the store.
    pub minimum_secrets: Option<u16>,
}

/// One secret that must be in the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Requirement {
    /// A secret of this name.
    Name(String),
    /// The secret of this id.
    Id(SecretId),
}

impl Requirement {
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

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Requirement, E> {
        Ok(Requirement::Name(number.to_string()))
    }

    fn visit_bytes<E: de::Error>(self, decimal: &[u8]) -> Result<Requirement, E> {
        id(&hex_from_number::<E>(decimal, &[64])?)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Requirement, A::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Dictionary {
            name: Option<String>,
            id: Option<ansible_contract::HexText<64, 64>>,
        }
        let given = Dictionary::deserialize(de::value::MapAccessDeserializer::new(map))?;
        match (given.name, given.id) {
            (Some(name), None) => Ok(Requirement::Name(name)),
            (None, Some(hex)) => id(&hex.0),
            _ => Err(de::Error::custom("must have either name or id")),
        }
    }
}

/// Results of `secret_lock`.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "docs", derive(schemars::JsonSchema))]
pub struct Report {
    /// Whether the secret store is locked now; null where it cannot be told (check mode).
    pub locked: Option<bool>,
    /// The secrets in the store.
    pub secrets: Vec<SecretInfo>,
}
