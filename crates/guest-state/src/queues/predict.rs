//! The plan told. No queue is bound, so an entry whose candidates cannot be read is undetermined.

use super::desired::Aim;
use super::planning::Decision;
use super::report::{self, Answer, Served, mismatch};
use super::results::Status;
use super::situation::Situation;
use super::unbind;
use pv_guest::ap::SeState;

/// Tells what would be done. With `secrets_may_come`, an earlier task of the play may still add a secret that is missing, so
/// that only a warning is said of it.
///
/// # Errors
/// Why an entry cannot be served, if `strict` demands it; `uv.list_incomplete`.
pub fn predict(mut situation: Situation<'_>, secrets_may_come: bool) -> Answer {
    situation.predict_settled();
    let Aim::Serve(freedom) = situation.desired.aim else {
        let released = unbind::to_release(&situation)?;
        unbind::tell_unknown(&mut situation, &released);
        let served = unbind::left_unserved(&situation);
        return report::answer(situation, served, true, |o| {
            if released.contains(&o.seen.apqn) { SeState::Unbound } else { o.seen.state }
        });
    };
    let plan = situation.plan(freedom);
    let released = if freedom.exclusive { situation.unwanted(&plan) } else { plan.left() };
    let mut partial = Vec::new();
    let each = situation.desired.wanted.iter().zip(&plan.decisions);
    let served = each.map(|(wanted, decision)| match decision {
        Decision::Served(apqn) => Served::by(*apqn, Status::Served),
        Decision::Serve(apqn, _) | Decision::Move { to: apqn, .. } => Served::by(*apqn, Status::WouldServe),
        Decision::Undetermined => Served { status: Status::Undetermined, apqn: None, fault: None },
        Decision::SecretMissing if secrets_may_come && situation.secrets.is_complete() => {
            let fault = situation.why(wanted, decision);
            partial.push(fault.clone());
            Served { status: Status::Undetermined, apqn: None, fault: Some(fault) }
        }
        _ => Served::not(situation.why(wanted, decision)),
    });
    let mut served: Vec<_> = served.collect();
    // Then nothing would be done for the others either.
    let in_vain = situation.desired.strict && report::why_in_vain(&served).is_some();
    if in_vain {
        for ((wanted, decision), served) in situation.desired.wanted.iter().zip(&plan.decisions).zip(&mut served) {
            match decision {
                Decision::Move { from, .. } => *served = Served::by(*from, Status::Served),
                Decision::Serve(..) => *served = Served::not(situation.why(wanted, decision)),
                _ => {}
            }
        }
    }
    situation.fleet.warnings.extend(partial);
    situation.fleet.warnings.extend(plan.mismatched.iter().copied().map(mismatch));
    let decision_of = |apqn| plan.entry_of(apqn).and_then(|entry| plan.decisions.get(entry));
    report::answer(situation, served, true, |o| match decision_of(o.seen.apqn) {
        _ if in_vain => o.seen.state,
        Some(Decision::Serve(_, Some(index)) | Decision::Move { index: Some(index), .. }) => {
            SeState::Associated(*index)
        }
        Some(Decision::Serve(_, None) | Decision::Move { index: None, .. }) => SeState::Bound,
        _ if released.contains(&o.seen.apqn) => SeState::Unbound,
        _ => o.seen.state,
    })
}
