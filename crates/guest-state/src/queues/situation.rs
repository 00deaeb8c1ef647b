//! What is wanted of the queues beside what is there, and what follows from that. Nothing is done here.

use super::desired::{Aim, Desired};
use super::planning::{self, Decision, Freedom, Plan, fit, is_held_for, may_be_held_for};
use super::report::{Others, reason};
use super::transitions::Fleet;
use super::wanted::Wanted;
use fault::Fault;
use pv_guest::ap::{Apqn, Fit, Observed, SeState, Seen, Wish};
use pv_guest::uv::SecretList;
use std::collections::BTreeSet;

/// What is wanted and what is there.
#[derive(Debug)]
pub struct Situation<'a> {
    /// What is wanted.
    pub desired: Desired,
    /// The queues.
    pub fleet: Fleet<'a>,
    /// The secrets in the store, or those that will be there.
    pub secrets: SecretList,
    /// The queues as they were at the beginning.
    pub before: Vec<Observed>,
}

impl<'a> Situation<'a> {
    /// Begins with what was observed.
    pub fn new(desired: Desired, fleet: Fleet<'a>, secrets: SecretList) -> Self {
        let before = fleet.queues.clone();
        Self { desired, fleet, secrets, before }
    }

    /// The best that can be had from what is known of the queues now.
    pub fn plan(&self, freedom: Freedom) -> Plan {
        planning::plan(&self.desired.wanted, &self.fleet.seen(), &self.secrets, freedom)
    }

    /// The queues that are to be bound next to see whether they fit; empty if that can make the plan no better.
    pub fn to_look_at(&self, freedom: Freedom) -> Vec<Apqn> {
        planning::to_look_at(&self.desired.wanted, &self.fleet.seen(), &self.secrets, freedom)
    }

    /// Queues that this guest holds and no entry wants.
    pub fn unwanted(&self, plan: &Plan) -> BTreeSet<Apqn> {
        let unwanted = |seen: &&Seen| seen.state.is_held() && plan.entry_of(seen.apqn).is_none();
        self.fleet.queues.iter().map(|o| &o.seen).filter(unwanted).map(|seen| seen.apqn).collect()
    }

    /// The queues that serve entries before anything is settled, no more of them than there are entries. They matter
    /// only where an earlier run left something.
    pub fn needed(&self) -> BTreeSet<Apqn> {
        if self.fleet.journal.is_empty() {
            return BTreeSet::new();
        }
        let serving = |decision: Decision| match decision {
            Decision::Served(apqn) | Decision::Unreadable(apqn) => Some(apqn),
            _ => None,
        };
        self.plan(Freedom::default()).decisions.into_iter().filter_map(serving).collect()
    }

    /// Whether a queue serves an entry as it was seen last. A key that cannot be read now was read before.
    pub fn serves(&self, wanted: &Wanted, apqn: Apqn) -> bool {
        let serves = |seen: &Seen| is_held_for(wanted, seen, &self.secrets) && fit(wanted, seen) != Fit::No;
        self.fleet.get(apqn).is_some_and(|observed| serves(&observed.seen))
    }

    /// Why an entry with this decision is not served.
    pub fn why(&self, wanted: &Wanted, decision: &Decision) -> Fault {
        let maybe = |o: &&Observed| may_be_held_for(wanted, &o.seen);
        let unknown: Vec<_> = self.fleet.queues.iter().filter(maybe).map(|o| o.seen.apqn).collect();
        // What would fit if its card or the queue itself were not switched off or broken.
        let out_of_service =
            |o: &&Observed| !o.seen.usable && fit(wanted, &Seen { usable: true, ..o.seen.clone() }) != Fit::No;
        let out_of_service: Vec<_> = self.fleet.queues.iter().filter(out_of_service).map(why_unusable).collect();
        let may_fit = |o: &&Observed| fit(wanted, &o.seen) == Fit::Unknown;
        let unread: Vec<_> = self.fleet.queues.iter().filter(may_fit).filter_map(why_unread).collect();
        if let (Decision::NoQueue | Decision::Undetermined, Some(refusal)) = (decision, self.limit_of_card(wanted)) {
            return refusal;
        }
        let silent = decision.queue().and_then(|apqn| self.fleet.get(apqn)?.card.line.fault());
        let others = Others { unknown: &unknown, out_of_service: &out_of_service, unread: &unread, silent };
        reason(wanted, decision, &self.secrets, others)
    }

    /// A card's refusal, with the queues that have its places.
    pub fn with_holders(&self, refusal: Fault, card: u8) -> Fault {
        let held = self.held_of(card);
        if held.is_empty() {
            return refusal;
        }
        let hint = format!("{} On this card it holds {}.", refusal.hint, held.join(", "));
        refusal.hint(hint)
    }

    /// The refusal of a card that has other queues of this guest and would not have one that may fit an entry bound: it
    /// takes no more of them, which is why that one could not even be looked at.
    fn limit_of_card(&self, wanted: &Wanted) -> Option<Fault> {
        let may_fit = |apqn: &Apqn| self.fleet.get(*apqn).is_some_and(|o| fit(wanted, &o.seen) == Fit::Unknown);
        let mut refused = self.fleet.looks.refused.iter();
        let (apqn, fault) = refused.find(|(apqn, _)| may_fit(apqn) && !self.held_of(apqn.card).is_empty())?;
        Some(self.with_holders(fault.clone(), apqn.card))
    }

    /// The queues of a card that the guest holds.
    fn held_of(&self, card: u8) -> Vec<String> {
        let of_card = self.fleet.queues.iter().map(|o| &o.seen).filter(|seen| seen.apqn.card == card);
        of_card.filter(|seen| seen.state.is_held()).map(|seen| seen.apqn.to_string()).collect()
    }

    /// Settles what an earlier run left half done.
    ///
    /// # Errors
    /// Those of the journal.
    pub fn settle(&mut self) -> fault::Result<()> {
        let needed = self.needed();
        let Self { desired, fleet, secrets, .. } = self;
        fleet.settle(&|seen| wish(desired, seen, &needed, secrets))
    }

    /// Takes what settling would release for released.
    pub fn predict_settled(&mut self) {
        let needed = self.needed();
        let Self { desired, fleet, secrets, .. } = self;
        fleet.predict_settled(&|seen| wish(desired, seen, &needed, secrets));
    }
}

/// A queue is kept that is `needed` to serve the entries of a task that wants them served.
fn wish(desired: &Desired, seen: &Seen, needed: &BTreeSet<Apqn>, secrets: &SecretList) -> Wish {
    let could_serve = |wanted: &Wanted| is_held_for(wanted, seen, secrets) && fit(wanted, seen) != Fit::No;
    match desired.aim {
        Aim::Serve(_) if needed.contains(&seen.apqn) => Wish::Keep,
        Aim::Serve(_) if desired.wanted.iter().any(could_serve) => Wish::Spare,
        _ => Wish::Release,
    }
}

/// A queue that is not usable, with the reason, in words.
fn why_unusable(observed: &Observed) -> String {
    let apqn = observed.seen.apqn;
    observed.queue.why_unusable().map_or_else(
        || format!("{apqn} (its card is offline, deconfigured or checkstopped)"),
        |why| format!("{apqn} ({why})"),
    )
}

/// A queue of which nobody can know whether it fits, with the reason, in words; `None` if it could be looked at.
fn why_unread(observed: &Observed) -> Option<String> {
    let apqn = observed.seen.apqn;
    match observed.seen.state {
        SeState::Pending => Some(format!("{apqn} (its association is under way)")),
        _ => observed.card.line.fault().map(|_| format!("{apqn} (its card does not answer)")),
    }
}
