//! Which requests to add: a pure function of what is wanted, the store and the record of this boot.

use super::record::{Fate, Record};
use super::report::Evidence;
use super::request::{Given, Loaded, Wanted};
use super::requirement::Requirement;
use fault::{Fault, Result};
use pv_guest::codes as uv;
use pv_guest::uv::{LockState, Secret, SecretList};
use pv_wire::SecretType;

pub mod codes {
    //! Codes of this room's own.
    fault::codes! {
        OUTCOME_UNKNOWN = "uv.outcome_unknown", "An earlier run handed this request to the ultravisor, and ended before it recorded the answer.";
        MAY_DIFFER = "uv.secret_may_differ", "The secret in the store was added by another request of the same type and id: its value may differ.";
        NOT_PROVED = "uv.secret_not_proved", "Only an id shows that a secret in the store is the right one, and proved_only requires more.";
        OTHER_SECRET = "request.other_secret", "A request is for a secret other than the name or id given with it.";
    }
}

/// What to do about one secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// It is in the store (or, for types that are never listed, was handed over in this boot).
    Present(Evidence),
    /// Its request is to be added.
    Add,
    /// Check mode: its request is not there yet.
    Later,
    /// It has no request and is not in the store.
    Missing,
}

/// The step for one secret, and what the operator should know of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planned {
    /// What to do.
    pub step: Step,
    /// Warnings.
    pub warnings: Vec<Fault>,
}

/// The steps for all secrets, in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan(pub Vec<Planned>);

impl Plan {
    /// The first request that is to be added, by its place.
    pub fn first_add(&self) -> Option<usize> {
        self.0.iter().position(|planned| planned.step == Step::Add)
    }

    /// The first that is to be added, or may have to be.
    pub fn first_change(&self) -> Option<usize> {
        self.0.iter().position(|planned| matches!(planned.step, Step::Add | Step::Later))
    }

    /// Whether nothing is to be done.
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|planned| matches!(planned.step, Step::Present(_) | Step::Missing))
    }

    /// The fault that a locked store is for this plan. A request that is not there yet cannot help a locked store either, if
    /// its secret is known not to be in it.
    ///
    /// # Errors
    /// `uv.store_locked`.
    pub fn can_be_done(&self, wanted: &[Wanted], list: &SecretList, lock: LockState) -> Result<()> {
        let is_missing = |known_as: &Requirement| !known_as.is_met_in(list);
        let comes_too_late = |(wanted, planned): (&Wanted, &Planned)| {
            planned.step == Step::Later && list.is_complete() && wanted.known_as.as_ref().is_some_and(is_missing)
        };
        let adds = self.first_add().is_some() || wanted.iter().zip(&self.0).any(comes_too_late);
        if lock != LockState::Locked || !adds {
            return Ok(());
        }
        Err(Fault::new(
            uv::STORE_LOCKED,
            "The secret store is locked (the ultravisor answered 0x0102 to a probe), and a secret is missing from it.",
        )
        .hint("A lock cannot be removed: reboot the guest, then add all secrets before locking."))
    }

    /// The store as it will be when this is done. A request that is not there yet counts for the association secret that it
    /// is known as.
    pub fn predicted(&self, wanted: &[Wanted], list: &SecretList) -> SecretList {
        let mut list = list.clone();
        for (wanted, planned) in wanted.iter().zip(&self.0) {
            let (id, secret_type) = match (&planned.step, &wanted.request, &wanted.known_as) {
                (Step::Add, Given::Read(Loaded { id: Some(id), secret_type, .. }), _) => (*id, *secret_type),
                (Step::Later, _, Some(known_as)) if !known_as.is_met_in(&list) => {
                    (known_as.id(), SecretType::ASSOCIATION)
                }
                _ => continue,
            };
            // Secrets are numbered in the order in which they are added.
            list.secrets.push(Secret { index: list.total, secret_type, length: 0, id });
            list.total = list.total.saturating_add(1);
        }
        list
    }
}

/// The secrets in the store that a request's may be: those of its type and id.
pub fn matching<'a>(list: &'a SecretList, request: &Loaded) -> impl Iterator<Item = &'a Secret> {
    let (id, secret_type) = (request.id, request.secret_type);
    list.secrets.iter().filter(move |secret| Some(secret.id) == id && secret.secret_type == secret_type)
}

/// Plans for all secrets, in order.
///
/// # Errors
/// `uv.list_incomplete` where an absence cannot be concluded; `uv.outcome_unknown` where nothing can tell whether a
/// request of a type that is never listed was taken.
pub fn plan(wanted: &[Wanted], list: &SecretList, record: &Record) -> Result<Plan> {
    let mut planned_adds: Vec<&Loaded> = Vec::new();
    let mut plan = Vec::new();
    for each in wanted {
        let planned = match &each.request {
            Given::Later(_) => Planned { step: Step::Later, warnings: Vec::new() },
            Given::None => Planned { step: expected(each, wanted, list, record)?, warnings: Vec::new() },
            Given::Read(request) => one(request, list, record, &planned_adds, each.force)?,
        };
        if let (Step::Add, Given::Read(request)) = (&planned.step, &each.request) {
            planned_adds.push(request);
        }
        plan.push(planned);
    }
    Ok(Plan(plan))
}

/// A secret without a request must be there, or come with another of the task's requests. Where the record of this boot knows
/// all secrets of its id, it came by one of our requests.
fn expected(wanted: &Wanted, all: &[Wanted], list: &SecretList, record: &Record) -> Result<Step> {
    let Some(known_as) = &wanted.known_as else { return Ok(Step::Missing) };
    let there = list.secrets.iter().filter(|secret| known_as.is_met_by(&secret.id)).count();
    if there > 0 {
        let proved = list.is_complete() && record.added_of(|id| known_as.is_met_by(id)) == there;
        return Ok(Step::Present(if proved { Evidence::AddedThisBoot } else { Evidence::IdOnly }));
    }
    let mut brought = all.iter().filter_map(|other| other.loaded()?.id);
    if brought.any(|id| known_as.is_met_by(&id)) {
        return Ok(Step::Present(Evidence::AddedThisBoot));
    }
    if list.is_complete() { Ok(Step::Missing) } else { Err(list.incomplete()) }
}

fn one(request: &Loaded, list: &SecretList, record: &Record, planned_adds: &[&Loaded], force: bool) -> Result<Planned> {
    let mut warnings = Vec::new();
    if planned_adds.iter().any(|add| add.sha256 == request.sha256) {
        return Ok(Planned { step: Step::Present(Evidence::AddedThisBoot), warnings });
    }
    let is_twin = |add: &&Loaded| add.id == request.id && add.secret_type == request.secret_type;
    if request.id.is_some() && !force && planned_adds.iter().copied().any(|add| is_twin(&add)) {
        warnings.push(may_differ(request));
        return Ok(Planned { step: Step::Present(Evidence::IdOnly), warnings });
    }
    let fate = record.fate(request);
    let step = if request.id.is_none() {
        match fate {
            Some(Fate::Added) => Step::Present(Evidence::AddedThisBoot),
            Some(Fate::Intended) if !force => return Err(outcome_unknown(request)),
            _ => Step::Add,
        }
    } else if matching(list, request).next().is_some() {
        match fate {
            Some(Fate::Added) => Step::Present(Evidence::AddedThisBoot),
            _ if force => Step::Add,
            _ => {
                warnings.extend((fate == Some(Fate::Intended)).then(|| outcome_unknown(request)));
                warnings.extend(record.another_added(request).then(|| may_differ(request)));
                Step::Present(Evidence::IdOnly)
            }
        }
    } else if list.is_complete() {
        // An intent that left no secret behind was not carried out: adding it now is safe, and is said.
        warnings.extend((fate == Some(Fate::Intended)).then(|| outcome_unknown(request)));
        Step::Add
    } else if fate == Some(Fate::Added) {
        Step::Present(Evidence::AddedThisBoot)
    } else if force {
        warnings.extend((fate == Some(Fate::Intended)).then(|| outcome_unknown(request)));
        Step::Add
    } else if record.listed_secrets() != usize::from(list.total) {
        return Err(list
            .incomplete()
            .hint(
            "Use a kernel whose uvdevice lists more than one page of secrets. If the secret is not among the hidden ones, force adds this request.",
        ));
    } else if record.another_added(request) {
        // Not shown, but all that is in the store came from requests that are in the record.
        warnings.push(may_differ(request));
        Step::Present(Evidence::IdOnly)
    } else {
        warnings.extend((fate == Some(Fate::Intended)).then(|| outcome_unknown(request)));
        Step::Add
    };
    Ok(Planned { step, warnings })
}

fn outcome_unknown(request: &Loaded) -> Fault {
    let what = request
        .id
        .map_or_else(|| format!("The {} request", request.secret_type.kind()), |id| format!("The request for {id}"));
    Fault::new(
        codes::OUTCOME_UNKNOWN,
        format!("{what} was handed to the ultravisor by an earlier run that ended before it recorded the answer."),
    )
    .hint("If in doubt, reboot the guest and add all requests again; force adds it once more.")
}

fn may_differ(request: &Loaded) -> Fault {
    let id = request.id.map(|id| id.to_string()).unwrap_or_default();
    Fault::new(
        codes::MAY_DIFFER,
        format!("The secret {id} in the store was added by another request: its value may differ."),
    )
    .hint(
        "If the secret was replaced on purpose, reboot the guest and add the new one. If not, keep the guest running, and restore the secret from the backup: the guest may hold the last correct one.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Requirement;
    use crate::store::samples::store;
    use pv_wire::SecretId;

    fn wanted(request: &Loaded, force: bool) -> Wanted {
        Wanted { label: None, path: None, known_as: None, force, request: Given::Read(request.clone()) }
    }

    fn request(id: Option<u8>, sha256: &str) -> Loaded {
        let secret_type = if id.is_some() { SecretType::ASSOCIATION } else { SecretType::META };
        Loaded {
            bytes: vec![],
            id: id.map(|b| SecretId([b; 32])),
            secret_type,
            tag: String::new(),
            sha256: sha256.into(),
        }
    }

    fn plan_one(request: &Loaded, list: &SecretList, record: &Record, force: bool) -> Result<Planned> {
        plan(&[wanted(request, force)], list, record).map(|mut plan| plan.0.remove(0))
    }

    fn record(request: &Loaded, fate: Fate) -> Record {
        let mut record = Record::default();
        record.note(request, fate);
        record
    }

    #[test]
    fn a_secret_that_is_missing_from_a_complete_list_is_added() {
        let planned = plan_one(&request(Some(1), "a"), &store(&[2]), &Record::default(), false).unwrap();
        assert_eq!(planned, Planned { step: Step::Add, warnings: vec![] });
    }

    #[test]
    fn a_secret_of_another_type_with_the_same_id_does_not_count() {
        let mut list = store(&[1]);
        list.secrets[0].secret_type = SecretType(3);
        assert_eq!(plan_one(&request(Some(1), "a"), &list, &Record::default(), false).unwrap().step, Step::Add);
    }

    #[test]
    fn the_record_tells_this_very_request_from_a_mere_id() {
        let (ours, other) = (request(Some(1), "a"), request(Some(1), "b"));
        let step = |record: &Record| plan_one(&ours, &store(&[1]), record, false).unwrap();
        assert_eq!(step(&record(&ours, Fate::Added)).step, Step::Present(Evidence::AddedThisBoot));
        assert_eq!(step(&Record::default()), Planned { step: Step::Present(Evidence::IdOnly), warnings: vec![] });
        let by_other = step(&record(&other, Fate::Added));
        assert_eq!(by_other.step, Step::Present(Evidence::IdOnly));
        assert_eq!(by_other.warnings[0].code, codes::MAY_DIFFER);
    }

    #[test]
    fn nothing_is_concluded_from_an_incomplete_list() {
        let mut list = store(&[2]);
        list.total = 100;
        let ours = request(Some(1), "a");
        assert_eq!(plan_one(&ours, &list, &Record::default(), false).unwrap_err().code.name, "uv.list_incomplete");
        assert_eq!(
            plan_one(&ours, &list, &record(&ours, Fate::Added), false).unwrap().step,
            Step::Present(Evidence::AddedThisBoot)
        );
        assert_eq!(
            plan_one(&request(Some(2), "b"), &list, &Record::default(), false).unwrap().step,
            Step::Present(Evidence::IdOnly)
        );
    }

    #[test]
    fn force_adds_a_second_of_the_same_id_but_never_the_very_same_request() {
        let ours = request(Some(1), "a");
        assert_eq!(plan_one(&ours, &store(&[1]), &Record::default(), true).unwrap().step, Step::Add);
        assert_eq!(
            plan_one(&ours, &store(&[1]), &record(&ours, Fate::Added), true).unwrap().step,
            Step::Present(Evidence::AddedThisBoot)
        );
    }

    #[test]
    fn types_that_are_never_listed_are_idempotent_by_the_record() {
        let meta = request(None, "m");
        assert_eq!(plan_one(&meta, &store(&[]), &Record::default(), false).unwrap().step, Step::Add);
        assert_eq!(plan_one(&meta, &store(&[]), &record(&meta, Fate::Refused), false).unwrap().step, Step::Add);
        assert_eq!(
            plan_one(&meta, &store(&[]), &record(&meta, Fate::Added), false).unwrap().step,
            Step::Present(Evidence::AddedThisBoot)
        );
    }

    #[test]
    fn an_intent_without_outcome_is_never_settled_silently() {
        let (meta, ours) = (request(None, "m"), request(Some(1), "a"));
        assert_eq!(
            plan_one(&meta, &store(&[]), &record(&meta, Fate::Intended), false).unwrap_err().code,
            codes::OUTCOME_UNKNOWN
        );
        assert_eq!(plan_one(&meta, &store(&[]), &record(&meta, Fate::Intended), true).unwrap().step, Step::Add);
        for (list, step) in [(store(&[1]), Step::Present(Evidence::IdOnly)), (store(&[]), Step::Add)] {
            let planned = plan_one(&ours, &list, &record(&ours, Fate::Intended), false).unwrap();
            assert_eq!((planned.step, planned.warnings[0].code), (step, codes::OUTCOME_UNKNOWN));
        }
    }

    #[test]
    fn a_list_that_shows_only_a_part_proves_an_absence_where_the_record_knows_all_that_is_there() {
        let (ours, other) = (request(Some(1), "a"), request(Some(1), "b"));
        let mut record = Record::default();
        for (id, sha256) in [(2, "c"), (3, "d")] {
            record.note(&request(Some(id), sha256), Fate::Added);
        }
        let part = SecretList { total: 2, ..store(&[2]) };
        assert_eq!(plan_one(&ours, &part, &record, false).unwrap().step, Step::Add);
        // Somebody else added one more: it may be the one.
        let more = SecretList { total: 3, ..store(&[2]) };
        assert_eq!(plan_one(&ours, &more, &record, false).unwrap_err().code.name, "uv.list_incomplete");
        assert_eq!(plan_one(&ours, &more, &record, true).unwrap().step, Step::Add);
        // Its id is among those that are not shown.
        record.note(&other, Fate::Added);
        let planned = plan_one(&ours, &more, &record, false).unwrap();
        assert_eq!((planned.step, planned.warnings[0].code), (Step::Present(Evidence::IdOnly), codes::MAY_DIFFER));
        // An intent without outcome may have left one there, or not.
        let mut record = Record::default();
        for (request, fate) in
            [(request(Some(2), "c"), Fate::Added), (request(Some(3), "d"), Fate::Added), (other, Fate::Intended)]
        {
            record.note(&request, fate);
        }
        assert_eq!(plan_one(&ours, &part, &record, false).unwrap().step, Step::Add);
        assert_eq!(plan_one(&ours, &more, &record, false).unwrap_err().code.name, "uv.list_incomplete");
        // An intent of this very request that left nothing behind is said.
        record.note(&ours, Fate::Intended);
        for (list, force) in [(&part, false), (&part, true), (&more, true)] {
            let planned = plan_one(&ours, list, &record, force).unwrap();
            assert_eq!((planned.step, planned.warnings[0].code), (Step::Add, codes::OUTCOME_UNKNOWN));
        }
    }

    #[test]
    fn the_same_request_twice_in_one_task_is_added_once() {
        let ours = wanted(&request(Some(1), "a"), false);
        let plan = plan(&[ours.clone(), ours], &store(&[]), &Record::default()).unwrap();
        let steps: Vec<_> = plan.0.into_iter().map(|planned| planned.step).collect();
        assert_eq!(steps, [Step::Add, Step::Present(Evidence::AddedThisBoot)]);
    }

    #[test]
    fn two_requests_of_one_id_in_one_task_add_the_first_and_warn_of_the_second() {
        let requests = [wanted(&request(Some(1), "a"), false), wanted(&request(Some(1), "b"), false)];
        let plan = plan(&requests, &store(&[]), &Record::default()).unwrap();
        assert_eq!(plan.0[1].warnings[0].code, codes::MAY_DIFFER);
    }

    /// A secret that is known by its id and must be in the store already.
    fn expected(id: u8) -> Wanted {
        let known_as = Some(Requirement::Id(SecretId([id; 32])));
        Wanted { known_as, request: Given::None, ..wanted(&request(None, ""), false) }
    }

    #[test]
    fn the_store_is_predicted_with_what_will_be_added_numbered_in_that_order() {
        let wanted =
            [wanted(&request(Some(1), "a"), false), wanted(&request(None, "m"), false), expected(2), expected(1)];
        let list = store(&[2]);
        let plan = plan(&wanted, &list, &Record::default()).unwrap();
        let predicted = plan.predicted(&wanted, &list);
        let shown: Vec<_> = predicted.secrets.iter().map(|secret| (secret.index, secret.id.0[0])).collect();
        assert_eq!((shown, predicted.total), (vec![(0, 2), (1, 1)], 2));
        assert_eq!(plan.0[3].step, Step::Present(Evidence::AddedThisBoot), "it comes with the first");
    }

    #[test]
    fn a_locked_store_stops_only_who_has_something_to_add() {
        let later = Given::Later(Some(Fault::new(fault::file::MISSING, "It is not there yet.")));
        let pending = Wanted { request: later, ..expected(1) };
        for wanted in [wanted(&request(Some(1), "a"), false), pending] {
            let wanted = [wanted];
            let can = |ids: &[u8], lock| {
                let plan = plan(&wanted, &store(ids), &Record::default()).unwrap();
                plan.can_be_done(&wanted, &store(ids), lock).map_err(|fault| fault.code)
            };
            assert_eq!(can(&[1], LockState::Locked), Ok(()));
            assert_eq!(can(&[], LockState::Unlocked), Ok(()));
            assert_eq!(can(&[], LockState::Locked), Err(uv::STORE_LOCKED));
        }
    }
}
