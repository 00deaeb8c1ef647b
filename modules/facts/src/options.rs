//! What users type.

use serde::{Deserialize, Serialize};

/// Options of `facts`.
#[derive(Debug, Deserialize, Serialize)]
#[cfg_attr(feature = "docs", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct Options {
    /// Which parts to gather: V(all), V(min), V(ultravisor), V(secrets), V(ap); V(!name) leaves one out. V(min) is
    /// always gathered.
    pub gather_subset: Vec<String>,
    /// Whether to probe the ultravisor for the lock if no record of this boot shows it. The probe is an add-secret
    /// call that can never be accepted; it changes nothing.
    pub probe_lock: bool,
    /// Whether to bind each unbound EP11 queue briefly, one per card at a time, to read its MKVP and its card's
    /// serial number, and release it again. What an interrupted run of ap_bind left half done is released first, and
    /// reported. Needs root. Does not start while ap_bind or pvapconfig is at work. Queues that cannot be bound are
    /// listed as problems. Ignored with a warning in check mode.
    pub bind_to_inspect: bool,
    /// How many seconds to wait for the attributes of one card and its queues, and for each step of binding.
    pub timeout: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { gather_subset: vec!["all".into()], probe_lock: false, bind_to_inspect: false, timeout: 10 }
    }
}
