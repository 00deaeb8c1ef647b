//! What users type.

use ansible_contract::{PathText, codes as args};
use fault::{Fault, Result};
use guest_state::queues::{Aim, Desired, Entry, Freedom, Source, check, codes};
use pv_guest::ap::steps::{Manner, WhenBusy};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Options of `ap_bind`.
#[derive(Debug, Deserialize, Serialize)]
#[cfg_attr(feature = "docs", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct Options {
    /// The wanted queues, one entry per queue; earlier entries are served first. One of O(entries), O(config), O(src)
    /// and O(all) is required. An empty list does nothing, with a warning.
    pub entries: Option<Vec<Entry>>,
    /// A configuration file of pvapconfig on the guest, with the wanted entries.
    pub config: Option<PathText>,
    /// A configuration file of pvapconfig on the controller, searched for like that of M(ansible.builtin.copy).
    /// Only through the collection's action plugin.
    pub src: Option<String>,
    /// The text of a configuration file; set by the collection's action plugin from O(src).
    pub config_content: Option<String>,
    /// V(bound): every entry has a queue that is bound and, for EP11, associated with its secret. V(unbound): every
    /// queue that serves an entry, or could, is released; for an accelerator entry, every bound accelerator that fits
    /// it.
    pub state: State,
    /// With O(state=unbound) and no entries: every queue that this guest holds is released.
    pub all: bool,
    /// Whether the task fails if an entry cannot be served. If not, it serves the others, with a warning.
    pub strict: bool,
    /// Whether to release queues that no entry wants, and to allow taking those bound for something else, as
    /// pvapconfig always does.
    pub exclusive: bool,
    /// Whether entries that are already served may be moved to other queues if that improves the whole: more entries
    /// served, then earlier entries rather than later ones, then the newest generation, lowest card and lowest
    /// domain. An entry has its new queue before it gives up the old one; only if entries swap queues, one of them,
    /// the last, is not served for a moment. To find out what is better, free queues may be bound briefly.
    pub rebalance: bool,
    /// What to do if a queue that must be released has requests in it.
    pub when_busy: WhenBusy,
    /// How many seconds to wait for one step of one queue, and for the AP bus to be complete.
    pub timeout: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            entries: None,
            config: None,
            src: None,
            config_content: None,
            state: State::default(),
            all: false,
            strict: true,
            exclusive: false,
            rebalance: false,
            when_busy: WhenBusy::default(),
            timeout: 60,
        }
    }
}

/// The wanted state of the entries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "docs", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Served.
    #[default]
    Bound,
    /// Released.
    Unbound,
}

/// What the options ask for.
#[derive(Debug)]
pub enum Asked {
    /// This, of the queues.
    For(Desired),
    /// Nothing: the list of entries is empty.
    Nothing,
    /// Check mode: what is in a configuration that an earlier task of the play may still make, and of which this is told;
    /// and for how long a step of it may take.
    Later(Fault, Duration),
}

/// What the options ask for, checked before anything is looked at.
///
/// # Errors
/// `args.*` and `config.*`.
pub fn asked(options: Options, check_mode: bool) -> Result<Asked> {
    let Options { entries, config, src, config_content, state, all, strict, exclusive, rebalance, when_busy, timeout } =
        options;
    let given = Source { entries, config, src, config_content }.entries(["entries", "config", "src"]);
    let (entries, later) = match given {
        Err(fault) if check_mode && codes::is_missing(&fault) => (Some(Vec::new()), Some(fault)),
        given => (given?, None),
    };
    let aim = match (state, &entries) {
        (State::Bound, _) if all => return Err(conflict("all", "state=bound; it belongs to state=unbound")),
        (State::Unbound, _) if exclusive => return Err(conflict("exclusive", "state=unbound")),
        (State::Unbound, _) if rebalance => return Err(conflict("rebalance", "state=unbound")),
        (_, Some(_)) if all => return Err(conflict("all", "entries, config or src")),
        (State::Unbound, None) if all => Aim::ReleaseAll,
        (_, None) => {
            return Err(Fault::new(
                args::MISSING,
                "One of the options entries, config and src must say which queues are wanted.",
            )
            .hint("To release every queue, give state=unbound with all=true."));
        }
        (State::Bound, Some(_)) => Aim::Serve(Freedom { exclusive, rebalance }),
        (State::Unbound, Some(_)) => Aim::ReleaseEntries,
    };
    let entries = entries.unwrap_or_default();
    if let Some(fault) = later {
        return Ok(Asked::Later(fault, Duration::from_secs(timeout)));
    }
    if entries.is_empty() && exclusive {
        return Err(Fault::new(
            codes::EMPTY_EXCLUSIVE,
            "The list of entries is empty, and exclusive would release every queue that the guest holds.",
        )
        .hint("To release all queues, use state=unbound and all=true."));
    }
    if entries.is_empty() && aim != Aim::ReleaseAll {
        return Ok(Asked::Nothing);
    }
    let manner = Manner { timeout: Duration::from_secs(timeout), when_busy };
    Ok(Asked::For(Desired { wanted: check("entries", &entries)?, aim, strict, manner }))
}

fn conflict(option: &str, with: &str) -> Fault {
    Fault::new(args::CONFLICT, format!("The option {option} cannot be given with {with}."))
        .hint("Leave one of them out.")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn aim(json: &str) -> std::result::Result<Option<Aim>, &'static str> {
        match asked(serde_json::from_str(json).unwrap(), false).map_err(|fault| fault.code.name)? {
            Asked::For(desired) => Ok(Some(desired.aim)),
            Asked::Nothing | Asked::Later(..) => Ok(None),
        }
    }

    fn serving(exclusive: bool) -> Aim {
        Aim::Serve(Freedom { exclusive, rebalance: false })
    }

    #[test]
    fn what_is_asked_for_must_be_said_and_must_not_contradict_itself() {
        let accel = r#"[{"mode": "accel"}]"#;
        assert_eq!(aim(&format!(r#"{{"entries": {accel}}}"#)), Ok(Some(serving(false))));
        assert_eq!(aim(&format!(r#"{{"entries": {accel}, "exclusive": true}}"#)), Ok(Some(serving(true))));
        assert_eq!(aim(&format!(r#"{{"entries": {accel}, "state": "unbound"}}"#)), Ok(Some(Aim::ReleaseEntries)));
        assert_eq!(aim(r#"{"state": "unbound", "all": true}"#), Ok(Some(Aim::ReleaseAll)));
        assert_eq!(aim(r#"{"config_content": "- mode: accel"}"#), Ok(Some(serving(false))));
        let both = Aim::Serve(Freedom { exclusive: false, rebalance: true });
        assert_eq!(aim(&format!(r#"{{"entries": {accel}, "rebalance": true}}"#)), Ok(Some(both)));
        assert_eq!(aim(r#"{"state": "unbound", "all": true, "rebalance": true}"#), Err("args.conflict"));
        assert_eq!(aim("{}"), Err("args.missing"));
        assert_eq!(aim(r#"{"state": "unbound"}"#), Err("args.missing"));
        assert_eq!(aim(r#"{"all": true}"#), Err("args.conflict"));
        assert_eq!(aim(&format!(r#"{{"entries": {accel}, "state": "unbound", "all": true}}"#)), Err("args.conflict"));
        assert_eq!(aim(&format!(r#"{{"entries": {accel}, "config": "/x"}}"#)), Err("args.conflict"));
        assert_eq!(aim(r#"{"src": "x"}"#), Err("args.src_needs_collection"));
        assert_eq!(aim(r#"{"config": "/nonexistent/x"}"#), Err("config.unreadable"));
    }

    #[test]
    fn an_empty_list_does_nothing_and_is_never_exclusive() {
        assert_eq!(aim(r#"{"entries": []}"#), Ok(None));
        assert_eq!(aim(r#"{"entries": [], "exclusive": true}"#), Err("args.empty_exclusive"));
    }
}
