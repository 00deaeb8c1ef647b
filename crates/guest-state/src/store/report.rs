//! What is told of the store.

use pv_guest::uv::SecretInfo;
use serde::Serialize;
use serde_json::Value;

/// The state of the wanted secrets, and what is in the store.
#[derive(Clone, Debug, Default, Serialize)]
#[cfg_attr(feature = "docs", derive(schemars::JsonSchema))]
pub struct Report {
    /// One entry for each request, in their order. After one that was refused, nothing was done: the later entries have
    /// no RV(requests[].changed), RV(requests[].evidence) or RV(requests[].error). One with C(uv.outcome_unknown) stops
    /// none of the others.
    pub requests: Vec<Added>,
    /// The secrets in the store.
    pub secrets: Vec<SecretInfo>,
    /// How many secrets are in the store; more than are listed if the kernel shows only a part.
    pub total: u16,
}

/// The state of one request.
#[derive(Clone, Debug, Default, Serialize)]
#[cfg_attr(feature = "docs", derive(schemars::JsonSchema))]
pub struct Added {
    /// As given.
    pub label: Option<String>,
    /// The secret's name, if given (M(seguest.pv.guest)).
    pub name: Option<String>,
    /// As given.
    pub path: Option<String>,
    /// Id of the secret, C(0x) and 64 hex digits; null for types that are never listed.
    pub id: Option<String>,
    /// Type, as the option O(seguest.pv.secret_request#module:type) spells it.
    #[serde(rename = "type")]
    pub option: Option<String>,
    /// Type, as pvsecret names it.
    pub kind: Option<String>,
    /// The request's tag in hex. It identifies the request, but anybody can copy it into another one.
    pub tag: Option<String>,
    /// SHA-256 of the request in hex.
    pub sha256: Option<String>,
    /// The secret's index in the store; null if it is not listed, not there (check mode), or if several have its type
    /// and id and it is not known which one it is.
    pub index: Option<u16>,
    /// Whether it was added, or in check mode would be.
    pub changed: bool,
    /// Why the secret is considered to be in the store. V(added_now). V(added_this_boot): exactly this request was
    /// added in this boot, by its SHA-256; for a secret without a request, all secrets with its id came from requests
    /// added in this boot. V(id_only): one of its type and id is there, which does not prove that it is the same
    /// secret.
    pub evidence: Option<Evidence>,
    /// Why it could not be added.
    pub error: Option<Value>,
}

/// Why a secret is considered to be in the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "docs", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Evidence {
    /// This run added it.
    AddedNow,
    /// The record of this boot shows that exactly this request was added.
    AddedThisBoot,
    /// Only its type and id are there.
    IdOnly,
}
