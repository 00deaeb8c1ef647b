//! Releasing what entries name, or everything.

use super::desired::Aim;
use super::planning::{indices, may_be_held_for, names};
use super::report::{self, Served};
use super::results::Status;
use super::situation::Situation;
use super::wanted::Wanted;
use fault::Result;
use pv_guest::ap::{Apqn, SeState, Seen};
use std::collections::BTreeSet;

/// What is to be released: what is held for an entry, or everything.
///
/// # Errors
/// `uv.list_incomplete` if an entry's secret may be one that the kernel does not show: a queue could be held for it.
pub fn to_release(situation: &Situation<'_>) -> Result<BTreeSet<Apqn>> {
    let (seen, wanted, secrets) = (situation.fleet.seen(), &situation.desired.wanted, &situation.secrets);
    if situation.desired.aim == Aim::ReleaseAll {
        // One that answers with an error is held as far as is known.
        let held = |seen: &&Seen| seen.state.is_held() || seen.state == SeState::Failing;
        return Ok(seen.iter().filter(held).map(|seen| seen.apqn).collect());
    }
    let is_shown = |id| !indices(secrets, id).is_empty();
    if !secrets.is_complete() && !wanted.iter().filter_map(Wanted::secret).all(is_shown) {
        return Err(secrets.incomplete());
    }
    // All of them, not one for each entry: a second run must find nothing left to release.
    let named = |seen: &Seen| wanted.iter().any(|wanted| names(wanted, seen, secrets));
    // What an earlier run could not release is still held, though the kernel has forgotten for which secret.
    let as_it_was = |seen: &Seen| {
        let index = situation.fleet.stuck.get(&seen.apqn)?.was?;
        Some(Seen { state: SeState::Associated(index), ..seen.clone() })
    };
    let is_named = |seen: &&Seen| named(seen) || as_it_was(seen).is_some_and(|seen| named(&seen));
    Ok(seen.iter().filter(is_named).map(|seen| seen.apqn).collect())
}

/// Tells of queues that may be held for an entry, which nobody can know, and are therefore not released.
pub fn tell_unknown(situation: &mut Situation<'_>, released: &BTreeSet<Apqn>) {
    if situation.desired.aim != Aim::ReleaseEntries {
        return;
    }
    let seen = situation.fleet.seen();
    let maybe = |seen: &&Seen| situation.desired.wanted.iter().any(|wanted| may_be_held_for(wanted, seen));
    let unknown = seen.iter().filter(maybe).map(|seen| seen.apqn).filter(|apqn| !released.contains(apqn));
    situation.fleet.warnings.extend(unknown.map(report::unknown));
}

/// No entry is to be served then, and that is no fault.
pub fn left_unserved(situation: &Situation<'_>) -> Vec<Served> {
    let wanted = situation.desired.wanted.iter();
    wanted.map(|_| Served { status: Status::Unserved, apqn: None, fault: None }).collect()
}
