//! Whether to lock: a pure function of what is required and what is there.

use crate::options::{Options, Requirement};
use fault::{Fault, Result};
use pv_guest::uv::{LockState, SecretList};

pub mod codes {
    //! Codes of this module's own.
    fault::codes! {
        LOCK_GUARD = "uv.lock_guard", "This task did not lock the store because it does not hold what is required; nothing was changed.";
        LOCKED_INCOMPLETE = "uv.locked_incomplete", "The store is locked and does not hold what is required; only a reboot helps.";
        LOCK_UNKNOWN = "uv.lock_unknown", "Whether the store is locked already cannot be told without locking it.";
    }
}

/// What to do.
#[derive(Debug, PartialEq, Eq)]
pub enum Plan {
    /// What is required is there: lock.
    Lock,
    /// What is required is there, and the lock is on already.
    LockedAlready,
}

/// What must be in the store for it to be locked.
#[derive(Debug)]
pub struct Guard {
    require: Vec<Requirement>,
    exact: bool,
    minimum: u16,
}

impl Guard {
    /// Takes the guard from the options.
    ///
    /// # Errors
    /// `args.missing` if nothing is demanded: a lock too early cannot be repaired until the next boot.
    pub fn from_options(options: Options) -> Result<Self> {
        let Options { require, exact, minimum_secrets } = options;
        let demands = exact || minimum_secrets.is_some() || require.as_ref().is_some_and(|list| !list.is_empty());
        if !demands || (require.is_none() && minimum_secrets.is_none()) {
            return Err(Fault::new(ansible_contract::codes::MISSING, "One of the options require and minimum_secrets must say what has to be in the store before it is locked.")
                .hint("A lock cannot be taken back before the guest's next boot: list the secrets that the guest needs."));
        }
        Ok(Self { require: require.unwrap_or_default(), exact, minimum: minimum_secrets.unwrap_or(0) })
    }

    /// What is wrong with the store, in a sentence's end; `None` if all is as required.
    ///
    /// # Errors
    /// `uv.list_incomplete` if something is not seen that may be among the secrets the kernel does not show.
    fn unmet(&self, list: &SecretList) -> Result<Option<String>> {
        let seen = |wanted: &Requirement| list.secrets.iter().any(|secret| wanted.is_met_by(&secret.id));
        let missing: Vec<_> = self.require.iter().filter(|wanted| !seen(wanted)).map(ToString::to_string).collect();
        if !list.is_complete() && (!missing.is_empty() || self.exact) {
            return Err(list.incomplete());
        }
        if !missing.is_empty() {
            return Ok(Some(format!("it lacks {}", missing.join(", "))));
        }
        if list.total < self.minimum {
            return Ok(Some(format!("it holds {} secrets, and at least {} are required", list.total, self.minimum)));
        }
        let twin = list.secrets.iter().enumerate().find(|(at, secret)| {
            list.secrets.iter().take(*at).any(|s| s.id == secret.id && s.secret_type == secret.secret_type)
        });
        if let (true, Some((_, secret))) = (self.exact, twin) {
            return Ok(Some(format!(
                "it holds {} more than once, and exact allows nothing but what is required",
                secret.id
            )));
        }
        let other = |id| !self.require.iter().any(|wanted| wanted.is_met_by(id));
        let others: Vec<_> =
            list.secrets.iter().filter(|secret| other(&secret.id)).map(|secret| secret.id.to_string()).collect();
        if self.exact && !others.is_empty() {
            return Ok(Some(format!(
                "it also holds {}, and exact allows nothing but what is required",
                others.join(", ")
            )));
        }
        Ok(None)
    }
}

/// Compares what is required with what is there.
///
/// # Errors
/// [`codes::LOCK_GUARD`], [`codes::LOCKED_INCOMPLETE`], `uv.list_incomplete`.
pub fn plan(guard: &Guard, list: &SecretList, lock: LockState) -> Result<Plan> {
    let Some(unmet) = guard.unmet(list)? else {
        return Ok(if lock == LockState::Locked { Plan::LockedAlready } else { Plan::Lock });
    };
    Err(match lock {
        LockState::Locked => Fault::new(codes::LOCKED_INCOMPLETE, format!("The secret store is locked, and {unmet}."))
            .hint("Reboot the guest, add all secrets, then lock."),
        LockState::Unlocked | LockState::Unknown => {
            Fault::new(codes::LOCK_GUARD, format!("The secret store was not locked by this task: {unmet}."))
                .hint("Add what is missing first (seguest.pv.secret_add), or correct what is required.")
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use pv_guest::uv::Secret;
    use pv_wire::{SecretId, SecretType};

    fn store(names: &[&str]) -> SecretList {
        let secret = |(index, name): (u16, &&str)| Secret {
            index,
            secret_type: SecretType::ASSOCIATION,
            length: 32,
            id: SecretId::of_name(name),
        };
        SecretList { total: names.len() as u16, secrets: (0..).zip(names).map(secret).collect() }
    }

    fn guard(require: &[&str], exact: bool, minimum_secrets: Option<u16>) -> Guard {
        let require = require.iter().map(|name| Requirement::Name((*name).into())).collect();
        Guard::from_options(Options { require: Some(require), exact, minimum_secrets }).unwrap()
    }

    #[test]
    fn a_store_that_holds_what_is_required_is_locked_once() {
        let guard = guard(&["a"], false, None);
        assert_eq!(plan(&guard, &store(&["a", "b"]), LockState::Unknown), Ok(Plan::Lock));
        assert_eq!(plan(&guard, &store(&["a", "b"]), LockState::Locked), Ok(Plan::LockedAlready));
    }

    #[test]
    fn a_store_that_lacks_something_is_not_locked() {
        let fault = plan(&guard(&["a", "c"], false, None), &store(&["a"]), LockState::Unlocked).unwrap_err();
        assert_eq!(
            (fault.code, fault.detail.as_str()),
            (codes::LOCK_GUARD, "The secret store was not locked by this task: it lacks c.")
        );
        let fault = plan(&guard(&[], false, Some(2)), &store(&["a"]), LockState::Unlocked).unwrap_err();
        assert_eq!(fault.code, codes::LOCK_GUARD);
    }

    #[test]
    fn exact_lets_nothing_else_be_locked_in() {
        let guard = guard(&["a"], true, None);
        assert!(
            plan(&guard, &store(&["a", "stranger"]), LockState::Unlocked)
                .unwrap_err()
                .detail
                .contains(&SecretId::of_name("stranger").to_string())
        );
        assert_eq!(plan(&guard, &store(&["a"]), LockState::Unlocked), Ok(Plan::Lock));
    }

    #[test]
    fn a_locked_store_that_lacks_something_needs_a_reboot() {
        let fault = plan(&guard(&["c"], false, None), &store(&["a"]), LockState::Locked).unwrap_err();
        assert_eq!(fault.code, codes::LOCKED_INCOMPLETE);
    }

    #[test]
    fn nothing_is_concluded_from_an_incomplete_list() {
        let mut store = store(&["a"]);
        store.total = 200;
        assert!(
            plan(&guard(&["c"], false, None), &store, LockState::Unlocked).unwrap_err().code.name
                == "uv.list_incomplete"
        );
        assert!(
            plan(&guard(&["a"], true, None), &store, LockState::Unlocked).unwrap_err().code.name
                == "uv.list_incomplete"
        );
        assert_eq!(plan(&guard(&["a"], false, None), &store, LockState::Unlocked), Ok(Plan::Lock));
    }

    #[test]
    fn a_lock_without_any_demand_is_refused() {
        let options = |json: &str| serde_json::from_str::<Options>(json).unwrap();
        for json in ["{}", r#"{"require": []}"#, r#"{"exact": true}"#] {
            assert!(Guard::from_options(options(json)).unwrap_err().code == ansible_contract::codes::MISSING, "{json}");
        }
        assert!(Guard::from_options(options(r#"{"require": [], "exact": true}"#)).is_ok());
        assert!(Guard::from_options(options(r#"{"minimum_secrets": 0}"#)).is_ok());
    }

    #[test]
    fn a_text_is_an_id_only_with_prefix_and_all_its_digits() {
        let id = SecretId::of_name("a");
        let read = |text: &str| serde_json::from_value::<Requirement>(text.into()).unwrap();
        assert_eq!(read(&id.to_string()), Requirement::Id(id));
        let bare = id.to_string().split_off(2);
        assert_eq!(read(&bare), Requirement::Name(bare.clone()));
        assert_eq!(read("0x12"), Requirement::Name("0x12".into()));
    }
}
