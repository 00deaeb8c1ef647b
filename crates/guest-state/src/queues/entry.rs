//! A wanted queue as users write it.

use ansible_contract::{HexText, NameText};
use serde::{Deserialize, Serialize};

/// One wanted queue, with the fields of pvapconfig's configuration.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[cfg_attr(feature = "docs", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct Entry {
    /// Name of the association secret, whose id is its SHA-256 hash. Blanks around it do not count, as pvapconfig has
    /// it; a secret whose name has such blanks is given by V(secretid).
    pub name: Option<NameText>,
    /// Free text.
    pub description: Option<String>,
    /// V(ep11) or V(accel), in upper or lower case. Required.
    pub mode: Option<String>,
    /// EP11 only, and required there: master key verification pattern of the queue's current wrapping key; 32 or 64
    /// hex digits, of which the first 32 count. Write it in quotes.
    pub mkvp: Option<HexText<32, 64>>,
    /// EP11 only: serial number of the card, 16 characters.
    pub serialnr: Option<String>,
    /// The oldest generation of card that will do, such as V(cex8).
    pub mingen: Option<String>,
    /// EP11 only: id of the association secret, 64 hex digits. This or V(name) is required. Write it in quotes.
    pub secretid: Option<HexText<64, 64>>,
    /// Only this queue will do, C(XX.YYYY). Write it in quotes.
    pub apqn: Option<NameText>,
}
