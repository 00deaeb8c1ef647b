//! What users type.

use fault::{Fault, Result};
use guest_state::lock::Guard;
use guest_state::store::Requirement;
use serde::{Deserialize, Serialize};

/// Options of `secret_lock`.
#[derive(Debug, Default, Deserialize, Serialize)]
#[cfg_attr(feature = "docs", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct Options {
    /// Secrets that must be in the store before it is locked. Each is a dictionary with V(name) or V(id), or plain
    /// text: an id if it is C(0x) and 64 hex digits, otherwise a name. A name matches by its SHA-256 hash or by its
    /// first 31 bytes. One of O(require) and O(minimum_secrets) is required, because the lock cannot be removed
    /// before the next boot.
    #[cfg_attr(feature = "docs", schemars(with = "Option<Vec<serde_json::Value>>"))]
    pub require: Option<Vec<Requirement>>,
    /// Whether only the required secrets may be in the store.
    pub exact: bool,
    /// The minimum number of secrets in the store.
    pub minimum_secrets: Option<u16>,
}

/// The guard that the options ask for.
///
/// # Errors
/// `args.missing` if nothing is demanded: a lock too early cannot be repaired until the next boot.
pub fn guard(options: Options) -> Result<Guard> {
    let Options { require, exact, minimum_secrets } = options;
    let demands = exact || minimum_secrets.is_some() || require.as_ref().is_some_and(|list| !list.is_empty());
    if !demands || (require.is_none() && minimum_secrets.is_none()) {
        return Err(Fault::new(
            ansible_contract::codes::MISSING,
            "One of the options require and minimum_secrets must say what has to be in the store before it is locked.",
        )
        .hint("A lock cannot be removed before the guest's next boot: list the secrets that the guest needs."));
    }
    Ok(Guard::new(require.unwrap_or_default(), exact, minimum_secrets.unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_without_any_demand_is_refused() {
        let options = |json: &str| serde_json::from_str::<Options>(json).unwrap();
        for json in ["{}", r#"{"require": []}"#, r#"{"exact": true}"#] {
            assert!(guard(options(json)).unwrap_err().code == ansible_contract::codes::MISSING, "{json}");
        }
        assert!(guard(options(r#"{"require": [], "exact": true}"#)).is_ok());
        assert!(guard(options(r#"{"minimum_secrets": 0}"#)).is_ok());
    }
}
