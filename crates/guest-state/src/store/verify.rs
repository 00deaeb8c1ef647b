//! Whether every secret is in the store, and known to be the right one.

use super::plan::{Plan, Planned, Step, codes};
use super::report::Evidence;
use super::request::Wanted;
use fault::{Fault, Result};
use pv_guest::codes as uv;
use pv_guest::uv::SecretList;

/// That every secret is in the store once the plan is done, or was: `list` is the store then. With `proved_only` it must be
/// known of each by which request it came.
///
/// # Errors
/// `uv.secret_missing`, `uv.secret_not_proved`.
pub fn verify(wanted: &[Wanted], plan: &Plan, list: &SecretList, proved_only: bool) -> Result<()> {
    let each = || wanted.iter().zip(&plan.0);
    let is_there = |wanted: &Wanted, step: &Step| match (step, wanted.requirement()) {
        (Step::Missing, _) => false,
        // What is not shown was taken by the ultravisor, or the record of this boot knows it.
        (_, Some(known_as)) => !list.is_complete() || known_as.is_met_in(list),
        (_, None) => true,
    };
    let names =
        |found: Vec<&Wanted>| -> String { found.into_iter().map(Wanted::called).collect::<Vec<_>>().join(", ") };
    let missing: Vec<&Wanted> = each().filter(|(w, planned)| !is_there(w, &planned.step)).map(|(w, _)| w).collect();
    if !missing.is_empty() {
        return Err(Fault::new(uv::SECRET_MISSING, format!("The secret store lacks {}.", names(missing)))
            .hint("Give its request (path, content or src), or correct its name or id."));
    }
    let by_id = |planned: &Planned| planned.step == Step::Present(Evidence::IdOnly);
    let unproved: Vec<&Wanted> = each().filter(|(_, planned)| by_id(planned)).map(|(w, _)| w).collect();
    if proved_only && !unproved.is_empty() {
        let detail = format!(
            "The store has secrets with these ids, but nothing shows that they come from these requests: {}.",
            names(unproved)
        );
        return Err(Fault::new(codes::NOT_PROVED, detail)
            .hint("Reboot the guest and run this again before anything else adds secrets."));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::samples::store;
    use crate::store::{Given, Requirement};
    use pv_wire::SecretId;

    fn wanted(id: u8) -> Wanted {
        let known_as = Some(Requirement::Id(SecretId([id; 32])));
        Wanted { label: None, path: None, known_as, force: false, request: Given::None }
    }

    fn plan(steps: &[Step]) -> Plan {
        Plan(steps.iter().map(|step| Planned { step: step.clone(), warnings: Vec::new() }).collect())
    }

    #[test]
    fn a_secret_that_is_missing_is_named_and_no_other() {
        let plan = plan(&[Step::Present(Evidence::IdOnly), Step::Missing]);
        let fault = verify(&[wanted(1), wanted(3)], &plan, &store(&[1]), false).unwrap_err();
        assert_eq!(fault.code, uv::SECRET_MISSING);
        assert!(fault.detail.contains(&SecretId([3; 32]).to_string()), "{fault}");
        assert!(!fault.detail.contains(&SecretId([1; 32]).to_string()), "{fault}");
    }

    #[test]
    fn what_was_added_must_be_seen_unless_the_kernel_shows_only_a_part() {
        let mut part = store(&[2]);
        assert!(verify(&[wanted(1)], &plan(&[Step::Add]), &part, false).is_err());
        part.total = 100;
        assert_eq!(verify(&[wanted(1)], &plan(&[Step::Add]), &part, false), Ok(()));
    }

    #[test]
    fn a_secret_that_only_its_id_shows_is_refused_where_proof_is_asked_for() {
        let verify = |evidence, proved_only| {
            verify(&[wanted(1)], &plan(&[Step::Present(evidence)]), &store(&[1]), proved_only)
                .map_err(|fault| fault.code)
        };
        assert_eq!(verify(Evidence::IdOnly, false), Ok(()));
        assert_eq!(verify(Evidence::IdOnly, true), Err(codes::NOT_PROVED));
        assert_eq!(verify(Evidence::AddedThisBoot, true), Ok(()));
    }
}
