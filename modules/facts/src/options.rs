//! What users type.

use serde::{Deserialize, Serialize};

/// Options of `facts`.
#[derive(Debug, Deserialize, Serialize)]
#[cfg_attr(feature = "docs", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct Options {
    /// Which parts to gather: V(all), V(min), V(ultravisor), V(secrets), V(ap); V(!name) leaves one out.
    /// V(min) is always there.
    pub gather_subset: Vec<String>,
    /// Whether to ask the ultravisor if the store is locked where no record of this boot says so. The question is an
    /// add-secret call that can never be accepted; it changes nothing.
    pub probe_lock: bool,
    /// Whether to bind each unbound EP11 queue for a moment, one of a card at a time, to read its master key and its
    /// card's serial number, and release it again. What an earlier run of ap_bind left half done is settled first, and
    /// told. Needs root; keeps off while ap_bind or pvapconfig is at work; what cannot be bound is a problem. Ignored with
    /// a warning in check mode.
    pub bind_to_inspect: bool,
    /// For how many seconds to wait for one card's attributes and those of its queues, and for each step of binding.
    pub timeout: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { gather_subset: vec!["all".into()], probe_lock: false, bind_to_inspect: false, timeout: 10 }
    }
}
