//! The option `firmware` of the modules that attest.

use serde::{Deserialize, Serialize};

/// Whether the service for firmware's state is asked, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "docs", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Firmware {
    /// Not at all.
    None,
    /// By its first interface.
    V1,
    /// By its second interface.
    V2,
}
