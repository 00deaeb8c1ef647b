//! The plan carried out.

use super::desired::Aim;
use super::report::{self, Answer, Served};
use super::serve::Service;
use super::situation::Situation;
use super::transitions::release::release;
use super::transitions::take;
use super::unbind;
use ansible_contract::{Failure, warning};
use fault::{Fault, Result};
use pv_guest::ap::Apqn;

/// Does what is wanted, and looks at everything once more.
///
/// # Errors
/// What could not be done; whatever was done, or could be, is in the report.
pub fn apply(mut situation: Situation<'_>) -> Answer {
    situation.settle()?;
    let (served, faults) = match situation.desired.aim {
        Aim::Serve(freedom) => Service::new(&mut situation, freedom).run(),
        Aim::ReleaseEntries | Aim::ReleaseAll => {
            let released = unbind::to_release(&situation)?;
            unbind::tell_unknown(&mut situation, &released);
            let released: Vec<Apqn> = released.into_iter().collect();
            let faults = release(&situation.fleet, &released).into_iter().filter_map(Result::err).collect();
            (unbind::left_unserved(&situation), faults)
        }
    };
    finish(situation, served, faults)
}

/// Looks at everything once more and tells how it went. A queue that could not be released is a failure in any case, an
/// entry that could not be served if `strict`.
fn finish(mut situation: Situation<'_>, mut served: Vec<Served>, mut faults: Vec<Fault>) -> Answer {
    situation.fleet.refresh();
    let mut lost = Vec::new();
    for (wanted, served) in situation.desired.wanted.iter().zip(&mut served) {
        match served.apqn {
            Some(apqn) if !situation.serves(wanted, apqn) => {
                *served = Served::not(report::lost(apqn));
                lost.extend(wanted.secret().map(|_| apqn));
            }
            _ => {}
        }
    }
    faults.extend(take::note_lost(&situation.fleet, &lost));
    let mut faults = faults.into_iter();
    let first = faults.next();
    let warnings = &mut situation.fleet.warnings;
    warnings.extend(faults);
    // What settling could not release may be what the task was to release.
    warnings.retain(|warning| first.as_ref().is_none_or(|first| first.detail != warning.detail));
    let outcome = report::answer(situation, served, false, |o| o.seen.state);
    match (first, outcome) {
        (Some(fault), Ok(outcome)) => Err(Failure::over(fault, outcome)),
        (Some(fault), Err(mut failed)) => {
            failed.warnings.push(warning(&fault));
            Err(failed)
        }
        (None, outcome) => outcome,
    }
}
