//! What is told about entries and queues at the end.

use super::codes;
use super::desired::Aim;
use super::planning::Decision;
use super::results::{Binding, EntryReport, QueueReport, Report, Status};
use super::situation::Situation;
use super::wanted::{Purpose, Wanted};
use ansible_contract::{Diff, Failure, Outcome, warning};
use fault::Fault;
use pv_guest::ap::{self, Apqn, Observed, SeState};
use pv_guest::uv::SecretList;

/// What came of it, or why it came to an end.
pub type Answer = std::result::Result<Outcome<Report>, Failure<Report>>;

/// How it went with one entry.
#[derive(Clone, Debug)]
pub struct Served {
    /// How it stands.
    pub status: Status,
    /// The queue.
    pub apqn: Option<Apqn>,
    /// Why it is not served.
    pub fault: Option<Fault>,
}

impl Served {
    /// Nothing serves it, because of this.
    pub fn not(fault: Fault) -> Self {
        Self { status: Status::Unserved, apqn: None, fault: Some(fault) }
    }

    /// This queue serves it, or would.
    pub fn by(apqn: Apqn, status: Status) -> Self {
        Self { status, apqn: Some(apqn), fault: None }
    }
}

/// What else is to be said of queues where an entry is not served.
pub struct Others<'a> {
    /// Those that may be associated with its secret, which the kernel does not tell.
    pub unknown: &'a [Apqn],
    /// Those that could fit, but take no requests now, with the reason.
    pub out_of_service: &'a [String],
    /// Those that could fit, but cannot be read now, with the reason.
    pub unread: &'a [String],
    /// The fault of the card of the queue that the entry has, if that card does not answer.
    pub silent: Option<Fault>,
}

/// Why an entry with this decision is not served.
pub fn reason(wanted: &Wanted, decision: &Decision, secrets: &SecretList, others: Others<'_>) -> Fault {
    let Others { unknown, out_of_service, unread, silent } = others;
    let who = format!("The entry {} is not served", wanted.called);
    match decision {
        Decision::SecretMissing if !secrets.is_complete() => secrets.incomplete(),
        Decision::SecretMissing => {
            let id = wanted.secret().map(|id| id.to_string()).unwrap_or_default();
            Fault::new(codes::SECRET_MISSING, format!("{who}: its association secret {id} is not in the secret store."))
                .hint("Add it first (seguest.pv.secret_add, or secrets of seguest.pv.guest); if the store is locked, reboot the guest and add it before the lock.")
        }
        Decision::Mismatch(apqn) => mismatch(*apqn),
        Decision::Unreadable(apqn) => Fault::new(
            silent.map_or(pv_guest::codes::ATTRIBUTE_UNREADABLE, |fault| fault.code),
            format!("{who}: the queue {apqn} is associated with its secret, but its master key or serial number cannot be read now."),
        )
        .hint("It was left as it is. Check its card with lszcrypt -V, and run the task again."),
        Decision::Serve(..) | Decision::Move { .. } => Fault::new(
            codes::LEFT_UNDONE,
            format!("{who}: another entry cannot be served, and strict requires all or nothing."),
        )
        .hint("Set strict to false to serve what can be served."),
        Decision::Served(_) | Decision::Undetermined | Decision::NoQueue => {
            let mut detail = format!("{who}: no remaining queue has {}.", demands(wanted));
            if !out_of_service.is_empty() {
                detail += &format!(" Out of service, and not counted, are {}.", some_of(out_of_service));
            }
            if !unread.is_empty() {
                detail += &format!(" Not readable now, and not counted, are {}.", some_of(unread));
            }
            let fault = Fault::new(codes::NO_MATCHING_QUEUE, detail);
            if unknown.is_empty() && !out_of_service.is_empty() {
                return fault.hint("Bring them back (chzcrypt, lszcrypt -V), or change the entry to what other queues have.");
            }
            if unknown.is_empty() {
                return fault.hint(
                    "Compare with the queues in the result; queues held for something else are taken only with exclusive.",
                );
            }
            let list: Vec<_> = unknown.iter().map(Apqn::to_string).collect();
            fault.hint(format!("For {}, the kernel has forgotten the associated secret, so it is not known whether the queue may be taken. {HOW_TO_FREE}", list.join(", ")))
        }
    }
}

/// The first few of a list that may be long.
fn some_of(list: &[String]) -> String {
    const FEW: usize = 8;
    let some = list.iter().take(FEW).map(String::as_str).collect::<Vec<_>>().join(", ");
    if list.len() > FEW { format!("{some} and {} more", list.len() - FEW) } else { some }
}

/// What frees a queue of an unknown association.
const HOW_TO_FREE: &str = "If nothing uses it, seguest.pv.ap_bind or seguest.pv.guest with the wanted entries and exclusive=true takes it (and releases all others that no entry wants), and seguest.pv.ap_bind with state=unbound and all=true releases every queue.";

/// A queue that may be associated with the secret of an entry that is to be released, which nobody can know.
pub fn unknown(apqn: Apqn) -> Fault {
    Fault::new(codes::ASSOCIATION_UNKNOWN, format!("The queue {apqn} was not released: it is associated, but the kernel has forgotten with which secret, so it may serve one of the entries or something else."))
        .hint(HOW_TO_FREE)
}

/// A queue that is associated with a wanted secret and does not fit.
pub fn mismatch(apqn: Apqn) -> Fault {
    Fault::new(codes::MKVP_MISMATCH, format!("The queue {apqn} is associated with an entry's secret, but its master key or serial number does not match the entry."))
        .hint("Either the master key or the card was changed, or the entries were. Correct the entry, or release the queue (state=unbound), or let exclusive take the queue.")
}

/// A queue that was made to serve an entry, or did, and no longer does when the task ends.
pub fn lost(apqn: Apqn) -> Fault {
    Fault::new(pv_guest::codes::QUEUE_UNUSABLE, format!("The queue {apqn} had been associated or bound, but was offline, deconfigured, checkstopped or released when the task ended."))
        .hint("Check its card with lszcrypt -V, and run the task again when the card is back.")
}

fn demands(wanted: &Wanted) -> String {
    let mut parts = vec![format!("mode {}", wanted.mode().as_str())];
    if let Purpose::Ep11 { mkvp, serialnr, .. } = &wanted.purpose {
        parts.push(format!("MKVP {mkvp}"));
        parts.extend(serialnr.iter().map(|serial| format!("serial number {serial}")));
    }
    parts.extend((wanted.min_generation > 0).then(|| format!("generation {} or newer", wanted.min_generation)));
    parts.extend(wanted.apqn.map(|apqn| format!("the name {apqn}")));
    parts.join(", ")
}

fn binding(state: SeState) -> Binding {
    Binding { bind: state.bind_text().into(), associate: state.associate_text() }
}

/// The answer to a task, where entries are `served` so. `after` gives a queue's state at the end, or the predicted one.
///
/// # Errors
/// Why an entry is not served, if `strict` demands it.
pub fn answer(
    situation: Situation<'_>,
    served: Vec<Served>,
    predicted: bool,
    after: impl Fn(&Observed) -> SeState,
) -> Answer {
    let unsure = match situation.desired.aim {
        Aim::Serve(freedom) if predicted => !situation.to_look_at(freedom).is_empty(),
        _ => false,
    };
    let Situation { desired, fleet, before, .. } = situation;
    let report = report(&desired.wanted, &served, &before, &fleet.queues, after, fleet.looks.inspected);
    let diff = diff(&report);
    let unanswered = ap::unanswered(&fleet.queues);
    let undetermined = served.iter().any(|s| s.status == Status::Undetermined);
    let cause = why_in_vain(&served).filter(|_| desired.strict).cloned();
    let mut outcome = Outcome {
        // What is undetermined may change, but not where it is known that it would be in vain.
        changed: !diff.is_empty() || undetermined && cause.is_none(),
        msg: summary(&served, diff.len(), predicted, desired.aim),
        warnings: fleet.warnings.iter().chain(&unanswered).map(warning).collect(),
        diff,
        // A better queue may be among those that cannot be read.
        predicted_partial: undetermined || unsure,
        report,
    };
    let unserved: Vec<_> =
        served.into_iter().filter(|s| s.status == Status::Unserved).filter_map(|s| s.fault).collect();
    match cause {
        Some(fault) => Err(Failure::over(fault, outcome)),
        None => {
            outcome.warnings.extend(unserved.iter().map(warning));
            Ok(outcome)
        }
    }
}

/// Why a task that demands all or nothing comes to nothing: the first entry that cannot be served. One that could be, but was left
/// undone, is not why.
pub fn why_in_vain(served: &[Served]) -> Option<&Fault> {
    let unserved = served.iter().filter(|served| served.status == Status::Unserved);
    unserved.filter_map(|served| served.fault.as_ref()).find(|fault| fault.code != codes::LEFT_UNDONE)
}

fn summary(served: &[Served], changes: usize, predicted: bool, aim: Aim) -> String {
    let (is, change) = if predicted { ("would be", "would change") } else { ("are", "changed") };
    match aim {
        Aim::Serve(_) => {
            let count = served.iter().filter(|s| s.apqn.is_some()).count();
            format!("{count} of {} entries {is} served; {changes} queues {change}.", served.len())
        }
        _ => format!("{changes} queues {}.", if predicted { "would be released" } else { "released" }),
    }
}

/// Puts the report together. `after` gives a queue's state at the end, or the predicted one.
fn report(
    wanted: &[Wanted],
    served: &[Served],
    before: &[Observed],
    now: &[Observed],
    after: impl Fn(&Observed) -> SeState,
    inspected: impl IntoIterator<Item = Apqn>,
) -> Report {
    let entries = wanted.iter().zip(served).map(|(wanted, served)| EntryReport {
        name: wanted.name.clone(),
        mode: wanted.mode().as_str().into(),
        secretid: wanted.secret().map(|id| id.to_string()),
        status: served.status,
        reason: served.fault.as_ref().map(|fault| fault.code.name.to_owned()),
        apqn: served.apqn.map(|apqn| apqn.to_string()),
    });
    let queues = before.iter().zip(now).map(|(before, now)| QueueReport {
        apqn: now.seen.apqn.to_string(),
        card: now.seen.apqn.card,
        domain: now.seen.apqn.domain,
        mode: now.seen.mode.as_str().into(),
        generation: now.seen.generation,
        serialnr: now.seen.serialnr.clone(),
        mkvp: now.seen.mkvp.known().map(|mkvp| mkvp.to_string()),
        before: binding(before.seen.state),
        after: binding(after(now)),
        entry: served.iter().position(|served| served.apqn == Some(now.seen.apqn)),
    });
    Report {
        entries: entries.collect(),
        queues: queues.collect(),
        inspected: inspected.into_iter().map(|apqn| apqn.to_string()).collect(),
    }
}

/// One entry for each queue that changes hands.
fn diff(report: &Report) -> Vec<Diff> {
    let lines = |binding: &Binding| format!("bind: {}\nassociate: {}\n", binding.bind, binding.associate);
    let changed = report.queues.iter().filter(|queue| queue.before != queue.after);
    changed
        .map(|queue| Diff {
            subject: format!("queue {}", queue.apqn),
            before: lines(&queue.before),
            after: lines(&queue.after),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::samples;
    use pv_guest::ap::Mkvp;
    use pv_wire::SecretId;

    fn wanted() -> Wanted {
        let secret = SecretId([1; 32]);
        let purpose = Purpose::Ep11 { mkvp: Mkvp([7; 16]), serialnr: None, secret };
        Wanted { called: "x".into(), name: None, purpose, min_generation: 0, apqn: None }
    }

    #[test]
    fn of_a_long_list_the_first_are_named_and_the_others_counted() {
        let list = |count: usize| (0..count).map(|at| at.to_string()).collect::<Vec<_>>();
        assert_eq!(some_of(&list(2)), "0, 1");
        assert_eq!(some_of(&list(8)), "0, 1, 2, 3, 4, 5, 6, 7");
        assert_eq!(some_of(&list(9)), "0, 1, 2, 3, 4, 5, 6, 7 and 1 more");
    }

    #[test]
    fn what_helps_an_entry_depends_on_what_keeps_queues_from_it() {
        let apqn = Apqn { card: 1, domain: 2 };
        let off = ["01.0002 (offline)".to_owned()];
        let reason = |unknown: &[Apqn], out_of_service: &[String], unread: &[String]| {
            let others = Others { unknown, out_of_service, unread, silent: None };
            reason(&wanted(), &Decision::NoQueue, &samples::store(&[1]), others)
        };
        let nothing = reason(&[], &[], &[]);
        assert!(nothing.hint.contains("Compare with") && nothing.detail.ends_with("07."), "{nothing}");
        let off_only = reason(&[], &off, &[]);
        assert!(off_only.hint.contains("Bring them back") && off_only.detail.contains("Out of service"), "{off_only}");
        let forgotten = reason(&[apqn], &off, &off);
        assert!(forgotten.hint.contains("the kernel has forgotten the associated secret"), "{forgotten}");
        assert!(
            forgotten.detail.contains("Out of service") && forgotten.detail.contains("Not readable"),
            "{forgotten}"
        );
    }

    #[test]
    fn only_what_cannot_be_served_brings_a_task_to_nothing() {
        let not = |code| Served::not(Fault::new(code, ""));
        assert_eq!(
            why_in_vain(&[Served::by(Apqn { card: 1, domain: 2 }, Status::Served), not(codes::LEFT_UNDONE)]),
            None
        );
        let found = [not(codes::LEFT_UNDONE), not(codes::NO_MATCHING_QUEUE)];
        assert_eq!(why_in_vain(&found).map(|fault| fault.code), Some(codes::NO_MATCHING_QUEUE));
        let undetermined =
            Served { status: Status::Undetermined, apqn: None, fault: Some(Fault::new(codes::SECRET_MISSING, "")) };
        assert_eq!(why_in_vain(&[undetermined]), None);
    }
}
