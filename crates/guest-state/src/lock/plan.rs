//! Whether to lock: a pure function of what is required and what is there.

use crate::store::Requirement;
use fault::{Fault, Result};
use pv_guest::uv::{LockState, SecretList};

pub mod codes {
    //! Codes of this room's own.
    fault::codes! {
        LOCK_GUARD = "uv.lock_guard", "The store was not locked, because it does not hold the required secrets; nothing was changed.";
        LOCKED_INCOMPLETE = "uv.locked_incomplete", "The store is locked, and does not hold the required secrets; only a reboot helps.";
        LOCK_UNKNOWN = "uv.lock_unknown", "Whether the store is already locked cannot be known without locking it.";
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
#[derive(Clone, Debug)]
pub struct Guard {
    require: Vec<Requirement>,
    exact: bool,
    minimum: u16,
}

impl Guard {
    /// A guard that wants all of `require`, nothing else if `exact`, and at least so many secrets.
    pub fn new(require: Vec<Requirement>, exact: bool, minimum: u16) -> Self {
        Self { require, exact, minimum }
    }

    /// What is wrong with the store, in a sentence's end; `None` if all is as required.
    ///
    /// # Errors
    /// `uv.list_incomplete` if something is not seen that may be among the secrets the kernel does not show.
    fn unmet(&self, list: &SecretList) -> Result<Option<String>> {
        let missing: Vec<_> =
            self.require.iter().filter(|wanted| !wanted.is_met_in(list)).map(ToString::to_string).collect();
        if !list.is_complete() && !missing.is_empty() {
            return Err(list.incomplete());
        }
        if !list.is_complete() && self.exact {
            let mut fault = list.incomplete();
            fault.detail = format!(
                "The kernel shows {} of the store's {} secrets; the others cannot be seen, and exact allows only what is required.",
                list.secrets.len(),
                list.total
            );
            return Err(fault);
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
            return Ok(Some(format!("it holds {} more than once, and exact allows only what is required", secret.id)));
        }
        let other = |id| !self.require.iter().any(|wanted| wanted.is_met_by(id));
        let others: Vec<_> =
            list.secrets.iter().filter(|secret| other(&secret.id)).map(|secret| secret.id.to_string()).collect();
        if self.exact && !others.is_empty() {
            return Ok(Some(format!("it also holds {}, and exact allows only what is required", others.join(", "))));
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
            Fault::new(codes::LOCK_GUARD, format!("This task did not lock the secret store: {unmet}."))
                .hint("Add what is missing first (seguest.pv.secret_add, or secrets of seguest.pv.guest), or correct what is required.")
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
        Guard::new(require, exact, minimum_secrets.unwrap_or(0))
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
            (codes::LOCK_GUARD, "This task did not lock the secret store: it lacks c.")
        );
        let fault = plan(&guard(&[], false, Some(2)), &store(&["a"]), LockState::Unlocked).unwrap_err();
        assert_eq!(fault.code, codes::LOCK_GUARD);
        assert_eq!(plan(&guard(&[], false, Some(1)), &store(&["a"]), LockState::Unlocked), Ok(Plan::Lock));
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
    fn exact_lets_nothing_be_locked_in_twice_but_an_id_may_stand_for_secrets_of_two_types() {
        let guard = guard(&["a", "b"], true, None);
        assert_eq!(plan(&guard, &store(&["a", "b"]), LockState::Unlocked), Ok(Plan::Lock));
        let mut twins = store(&["a", "b", "a"]);
        let fault = plan(&guard, &twins, LockState::Unlocked).unwrap_err();
        assert!(fault.code == codes::LOCK_GUARD && fault.detail.contains("more than once"), "{fault}");
        twins.secrets[2].secret_type = SecretType::PLAINTEXT;
        assert_eq!(plan(&guard, &twins, LockState::Unlocked), Ok(Plan::Lock));
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
        let fault = plan(&guard(&["a"], true, None), &store, LockState::Unlocked).unwrap_err();
        assert_eq!(fault.code.name, "uv.list_incomplete");
        assert!(fault.detail.contains("1 of the store's 200") && !fault.detail.contains("wanted one"), "{fault}");
        assert_eq!(plan(&guard(&["a"], false, None), &store, LockState::Unlocked), Ok(Plan::Lock));
    }
}
