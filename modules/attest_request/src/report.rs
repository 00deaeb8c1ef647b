//! What users get.

use serde::Serialize;
use serde_json::Value;
use std::sync::Arc;
use trusted::HostKeyInfo;

/// Results of `attest_request`.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "docs", derive(schemars::JsonSchema))]
pub struct Report {
    /// One entry for each request, in their order; also for a single one.
    pub requests: Vec<Entry>,
}

/// How it stands with one request.
#[derive(Clone, Debug, Default, Serialize)]
#[cfg_attr(feature = "docs", derive(schemars::JsonSchema))]
pub struct Entry {
    /// As given.
    pub label: Option<String>,
    /// The request's file, as given.
    pub path: Option<String>,
    /// The file of the request's key.
    pub key_file: Option<String>,
    /// Whether anything of this request was written, or in check mode would be.
    pub changed: bool,
    /// Whether this request could not be made.
    pub failed: bool,
    /// Why not: C(code), C(detail), C(hint).
    pub error: Option<Value>,
    /// The request's file in base64: what the guest is to answer. It is no secret. Null in check mode.
    pub content: Option<String>,
    /// SHA-256 of the request itself, without the file around it, hex. Null in check mode.
    pub sha256: Option<String>,
    /// When the request was made, UTC. Null in check mode.
    pub created: Option<String>,
    /// The host keys that can open the request, in the order of O(host_keys).
    pub host_keys: Vec<Arc<HostKeyInfo>>,
    /// The root certificate, or bundle of them, by which the host keys were verified.
    pub root_ca: Option<String>,
    /// How many bytes the answer is to have beside its measurement.
    pub additional_size: Option<usize>,
}
