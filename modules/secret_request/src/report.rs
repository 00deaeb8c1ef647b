//! What users get.

use serde::Serialize;
use serde_json::Value;
use std::sync::Arc;
use trusted::HostKeyInfo;

/// Results of `secret_request`.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "docs", derive(schemars::JsonSchema))]
pub struct Report {
    /// One entry for each request, in their order; also for a single one.
    pub requests: Vec<Entry>,
}

/// The state of one request.
#[derive(Clone, Debug, Default, Serialize)]
#[cfg_attr(feature = "docs", derive(schemars::JsonSchema))]
pub struct Entry {
    /// As given.
    pub label: Option<String>,
    /// The request's file, as given.
    pub path: Option<String>,
    /// Whether anything of this request was changed, or in check mode would be.
    pub changed: bool,
    /// Whether this request could not be built.
    pub failed: bool,
    /// Why not: C(code), C(detail), C(hint).
    pub error: Option<Value>,
    /// The secret's name, as given.
    pub name: Option<String>,
    /// Id of the secret, C(0x) and 64 hex digits; null for types without one.
    pub id: Option<String>,
    /// Type of the secret as O(type) spells it.
    #[serde(rename = "type")]
    pub option: Option<String>,
    /// Type of the secret as pvsecret calls it.
    pub kind: Option<String>,
    /// Size of the request in bytes.
    pub size: Option<usize>,
    /// Tag of the request, hex. Null in check mode if the request would be built.
    pub tag: Option<String>,
    /// SHA-256 of the request, hex. Null in check mode if the request would be built.
    pub sha256: Option<String>,
    /// The host keys that can open the request, in the order of O(host_keys).
    pub host_keys: Vec<Arc<HostKeyInfo>>,
    /// The root certificate, or bundle of root certificates, with which the host keys were verified.
    pub root_ca: Option<String>,
    /// The YAML file that names the secret.
    pub id_file: Option<String>,
    /// The file with the secret, as given.
    pub secret_file: Option<String>,
    /// Whether the secret was created in this run, or in check mode would be.
    pub secret_created: bool,
    /// The request in base64, with O(return_content).
    pub content: Option<String>,
    /// The request that was replaced, with O(backup).
    pub backup_file: Option<String>,
}
