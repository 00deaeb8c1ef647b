//! What the options ask for, checked before anything is looked at.

use crate::choose::Freedom;
use crate::codes;
use crate::entries::{self, Wanted};
use crate::options::{Options, State};
use ansible_contract::{Context, codes as args};
use fault::{Fault, Result};
use pv_guest::ap::steps::Manner;
use std::io;
use std::time::Duration;

/// What is asked for.
#[derive(Debug)]
pub struct Task {
    /// Wanted queues, in order.
    pub wanted: Vec<Wanted>,
    /// What to do about them.
    pub aim: Aim,
    /// Fail if an entry cannot be served.
    pub strict: bool,
    /// How to work on queues.
    pub manner: Manner,
    /// Check mode: why the entries are not known yet. Then there are none, and nothing more can be predicted.
    pub unknown: Option<Fault>,
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aim {
    /// Serve the entries; with which freedom.
    Serve(Freedom),
    /// Release what serves the entries.
    ReleaseEntries,
    /// Release everything.
    ReleaseAll,
    /// There are no entries, so nothing is to be done.
    Nothing,
}

impl Task {
    /// Checks the options. In check mode a configuration that is not there is no error: an earlier task of the play may
    /// make it.
    ///
    /// # Errors
    /// `args.*` and `config.*`.
    pub fn from_options(options: Options, context: &Context) -> Result<Self> {
        let Options { state, all, strict, exclusive, rebalance, when_busy, timeout, .. } = options;
        let (entries, unknown) = match given_entries(options) {
            Err(fault) if context.check_mode && fault.code == codes::CONFIG_UNREADABLE && is_missing(&fault) => {
                (Some(Vec::new()), Some(fault))
            }
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
            (State::Bound, Some(list)) if list.is_empty() && exclusive && unknown.is_none() => {
                return Err(Fault::new(
                    codes::EMPTY_EXCLUSIVE,
                    "The list of entries is empty, and exclusive would release every queue that the guest holds.",
                )
                .hint("If that is wanted, say so with state=unbound and all=true."));
            }
            (_, Some(list)) if list.is_empty() => Aim::Nothing,
            (State::Bound, Some(_)) => Aim::Serve(Freedom { exclusive, rebalance }),
            (State::Unbound, Some(_)) => Aim::ReleaseEntries,
        };
        let wanted = entries::check(&entries.unwrap_or_default())?;
        Ok(Self { wanted, aim, strict, manner: Manner { timeout: Duration::from_secs(timeout), when_busy }, unknown })
    }

    /// Whether the secret store has to be looked at.
    pub fn needs_secrets(&self) -> bool {
        self.wanted.iter().any(|entry| entry.secret().is_some())
    }
}

/// Whether the kernel said that there is no such file.
fn is_missing(fault: &Fault) -> bool {
    fault.answer.errno.is_some_and(|errno| io::Error::from_raw_os_error(errno).kind() == io::ErrorKind::NotFound)
}

fn conflict(option: &str, with: &str) -> Fault {
    Fault::new(args::CONFLICT, format!("The option {option} cannot be given with {with}."))
}

fn given_entries(options: Options) -> Result<Option<Vec<crate::options::Entry>>> {
    let Options { entries, config, src, config_content, .. } = options;
    if config_content.is_none() && src.is_some() {
        return Err(Fault::new(args::SRC_NEEDS_COLLECTION, "The option src names a file on the controller, which the module on the guest cannot read.")
            .hint("Call the module by its full name, seguest.pv.ap_bind, so that the collection's action plugin reads the file."));
    }
    let file = src.unwrap_or_else(|| "config_content".into());
    match (entries, config, config_content) {
        (Some(entries), None, None) => Ok(Some(entries)),
        (None, Some(path), None) => entries::read_config(&path).map(Some),
        (None, None, Some(text)) => entries::parse_config(&file, &text).map(Some),
        (None, None, None) => Ok(None),
        _ => Err(conflict("entries", "config or src; only one of the three can say what is wanted")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn aim(json: &str) -> std::result::Result<Aim, &'static str> {
        let task = Task::from_options(serde_json::from_str(json).unwrap(), &Context::default());
        task.map(|task| task.aim).map_err(|fault| fault.code.name)
    }

    fn serving(exclusive: bool) -> Aim {
        Aim::Serve(Freedom { exclusive, rebalance: false })
    }

    #[test]
    fn what_is_asked_for_must_be_said_and_must_not_contradict_itself() {
        let accel = r#"[{"mode": "accel"}]"#;
        assert_eq!(aim(&format!(r#"{{"entries": {accel}}}"#)), Ok(serving(false)));
        assert_eq!(aim(&format!(r#"{{"entries": {accel}, "exclusive": true}}"#)), Ok(serving(true)));
        assert_eq!(aim(&format!(r#"{{"entries": {accel}, "state": "unbound"}}"#)), Ok(Aim::ReleaseEntries));
        assert_eq!(aim(r#"{"state": "unbound", "all": true}"#), Ok(Aim::ReleaseAll));
        assert_eq!(aim(r#"{"config_content": "- mode: accel"}"#), Ok(serving(false)));
        let both = Aim::Serve(Freedom { exclusive: false, rebalance: true });
        assert_eq!(aim(&format!(r#"{{"entries": {accel}, "rebalance": true}}"#)), Ok(both));
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
        assert_eq!(aim(r#"{"entries": []}"#), Ok(Aim::Nothing));
        assert_eq!(aim(r#"{"entries": [], "exclusive": true}"#), Err("args.empty_exclusive"));
    }
}
