use super::*;
use crate::store::Requirement;
use crate::store::samples::store;
use pv_wire::SecretId;

fn wanted(request: &Loaded, force: bool) -> Wanted {
    Wanted { label: None, path: None, known_as: None, force, request: Given::Read(request.clone()) }
}

fn request(id: Option<u8>, sha256: &str) -> Loaded {
    let secret_type = if id.is_some() { SecretType::ASSOCIATION } else { SecretType::META };
    Loaded { bytes: vec![], id: id.map(|b| SecretId([b; 32])), secret_type, tag: String::new(), sha256: sha256.into() }
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
    let planned = plan_one(&meta, &store(&[]), &record(&meta, Fate::Intended), false).unwrap();
    assert!(matches!(planned.step, Step::Unknown(fault) if fault.code == codes::OUTCOME_UNKNOWN));
    assert_eq!(plan_one(&meta, &store(&[]), &record(&meta, Fate::Intended), true).unwrap().step, Step::Add);
    for (list, step) in [(store(&[1]), Step::Present(Evidence::IdOnly)), (store(&[]), Step::Add)] {
        let planned = plan_one(&ours, &list, &record(&ours, Fate::Intended), false).unwrap();
        assert_eq!((planned.step, planned.warnings[0].code), (step, codes::OUTCOME_UNKNOWN));
    }
}

#[test]
fn that_a_ccks_update_may_replace_another_is_said_of_no_other_request() {
    for (secret_type, is_said) in [(SecretType::UPDATE_CCK, true), (SecretType::META, false)] {
        let ours = Loaded { secret_type, ..request(None, "m") };
        let step = plan_one(&ours, &store(&[]), &record(&ours, Fate::Intended), false).unwrap().step;
        assert!(matches!(step, Step::Unknown(fault) if fault.hint.contains("CCK") == is_said));
    }
}

#[test]
fn a_request_whose_outcome_is_unknown_stops_none_of_the_others() {
    let meta = request(None, "m");
    let requests = [request(Some(1), "a"), meta.clone(), request(Some(2), "b"), request(None, "n")];
    let requests = requests.map(|request| wanted(&request, false));
    let plan = plan(&requests, &store(&[1]), &record(&meta, Fate::Intended)).unwrap();
    let adds: Vec<_> = plan.0.iter().map(|planned| planned.step == Step::Add).collect();
    assert_eq!(adds, [false, false, true, true]);
    let (at, fault) = plan.first_unknown().unwrap();
    assert_eq!((at, fault.code, plan.is_empty()), (1, codes::OUTCOME_UNKNOWN, false));
}

#[test]
fn what_the_store_told_of_an_earlier_run_is_said_once() {
    let (ours, list) = (request(Some(1), "a"), store(&[1]));
    let mut record = Record::default();
    record.intend(&ours, 0);
    record.settle_by(&list);
    let planned = plan_one(&ours, &list, &record, false).unwrap();
    assert_eq!(
        (planned.step, planned.warnings[0].code),
        (Step::Present(Evidence::AddedThisBoot), codes::OUTCOME_FOUND)
    );
    let kept: Record = serde_json::from_str(&serde_json::to_string(&record).unwrap()).unwrap();
    assert_eq!(plan_one(&ours, &list, &kept, false).unwrap().warnings, []);
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
    let wanted = [wanted(&request(Some(1), "a"), false), wanted(&request(None, "m"), false), expected(2), expected(1)];
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

#[test]
fn the_first_change_is_that_of_a_request_that_is_there_or_is_yet_to_come() {
    let plan = |steps: &[Step]| {
        Plan(steps.iter().map(|step| Planned { step: step.clone(), warnings: vec![] }).collect()).first_change()
    };
    let present = Step::Present(Evidence::IdOnly);
    assert_eq!(plan(&[present.clone(), Step::Missing, Step::Later, Step::Add]), Some(2));
    assert_eq!(plan(&[present.clone(), present.clone(), present.clone(), Step::Add]), Some(3));
    assert_eq!(plan(&[present, Step::Missing]), None);
}

#[test]
fn only_an_unknown_outcome_is_one() {
    assert!(is_unknown(codes::OUTCOME_UNKNOWN.name));
    assert!(!is_unknown(codes::OUTCOME_FOUND.name) && !is_unknown(""));
}

#[test]
fn other_ids_and_other_types_of_one_id_are_other_secrets_of_a_task() {
    let plaintext = Loaded { secret_type: SecretType::PLAINTEXT, ..request(Some(1), "b") };
    for other in [plaintext, request(Some(2), "c")] {
        let requests = [wanted(&request(Some(1), "a"), false), wanted(&other, false)];
        let plan = plan(&requests, &store(&[]), &Record::default()).unwrap();
        assert!(plan.0.iter().all(|planned| planned.step == Step::Add && planned.warnings.is_empty()), "{plan:?}");
    }
}

#[test]
fn what_comes_later_is_predicted_as_a_secret_once() {
    let wanted = [Wanted { request: Given::Later(None), ..expected(1) }];
    for (there, then) in [(&[2][..], 2), (&[1, 2], 2)] {
        let list = store(there);
        let plan = plan(&wanted, &list, &Record::default()).unwrap();
        assert_eq!((plan.0[0].step == Step::Later, plan.predicted(&wanted, &list).total), (true, then));
    }
}

#[test]
fn a_secret_without_a_request_is_proved_where_the_record_knows_all_of_its_id() {
    let known = record(&request(Some(1), "a"), Fate::Added);
    let incomplete = SecretList { total: 9, ..store(&[1]) };
    let step = |list: &SecretList, record: &Record| plan(&[expected(1)], list, record).unwrap().0.remove(0).step;
    assert_eq!(step(&store(&[1]), &known), Step::Present(Evidence::AddedThisBoot));
    assert_eq!(step(&store(&[1, 1]), &known), Step::Present(Evidence::IdOnly));
    assert_eq!(step(&store(&[1]), &Record::default()), Step::Present(Evidence::IdOnly));
    assert_eq!(step(&incomplete, &known), Step::Present(Evidence::IdOnly));
    assert_eq!(step(&store(&[2]), &known), Step::Missing);
}
