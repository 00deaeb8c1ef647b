use super::*;
use pv_guest::ap::Mkvp;
use pv_guest::uv::Secret;

const KEY: Mkvp = Mkvp([0x11; 16]);
const OTHER_KEY: Mkvp = Mkvp([0x22; 16]);

fn store(ids: &[u8]) -> SecretList {
    let secret =
        |(index, id): (u16, &u8)| Secret { index, secret_type: SecretType::ASSOCIATION, id: SecretId([*id; 32]) };
    SecretList { total: ids.len() as u16, secrets: (0..).zip(ids).map(secret).collect() }
}

fn ep11(secret: u8) -> Wanted {
    let purpose = Purpose::Ep11 { mkvp: KEY, serialnr: None, secret: SecretId([secret; 32]) };
    Wanted { name: None, purpose, min_generation: 0, apqn: None }
}

fn accel() -> Wanted {
    Wanted { name: None, purpose: Purpose::Accel, min_generation: 0, apqn: None }
}

fn queue(apqn: &str, mode: Mode, state: SeState, mkvp: MkvpState) -> Seen {
    Seen { apqn: apqn.parse().unwrap(), mode, generation: 8, serialnr: None, mkvp, state, usable: true }
}

fn free(apqn: &str) -> Seen {
    queue(apqn, Mode::Ep11, SeState::Unbound, MkvpState::NotRead)
}

fn bound(apqn: &str, key: Mkvp) -> Seen {
    queue(apqn, Mode::Ep11, SeState::Bound, MkvpState::Valid(key))
}

fn associated(apqn: &str, index: u16, key: Mkvp) -> Seen {
    queue(apqn, Mode::Ep11, SeState::Associated(index), MkvpState::Valid(key))
}

fn apqn(text: &str) -> Apqn {
    text.parse().unwrap()
}

fn decide(wanted: &[Wanted], queues: &[Seen], secrets: &SecretList) -> Vec<Decision> {
    plan(wanted, queues, secrets, false).decisions
}

#[test]
fn an_associated_queue_that_fits_serves_and_stays() {
    let queues = [associated("01.0002", 0, KEY), bound("00.0001", KEY)];
    assert_eq!(decide(&[ep11(1)], &queues, &store(&[1])), [Decision::Served(apqn("01.0002"))]);
}

#[test]
fn a_bound_queue_whose_key_fits_is_chosen_and_associated_with_the_secrets_index() {
    assert_eq!(
        decide(&[ep11(2)], &[bound("00.0001", KEY)], &store(&[1, 2])),
        [Decision::Serve(apqn("00.0001"), Some(1))]
    );
}

#[test]
fn a_queue_whose_key_is_not_read_neither_satisfies_nor_refutes() {
    let queues = [free("00.0001")];
    let secrets = store(&[1]);
    let plan = plan(&[ep11(1)], &queues, &secrets, false);
    assert_eq!(plan.decisions, [Decision::Undetermined]);
    assert_eq!(to_look_at(&[ep11(1)], &queues, &secrets, &plan), [apqn("00.0001")]);
}

#[test]
fn an_entry_without_its_secret_in_the_store_gets_no_queue_and_no_look() {
    let queues = [free("00.0001"), bound("00.0002", KEY)];
    let secrets = store(&[]);
    let plan = plan(&[ep11(1)], &queues, &secrets, false);
    assert_eq!(plan.decisions, [Decision::SecretMissing]);
    assert!(to_look_at(&[ep11(1)], &queues, &secrets, &plan).is_empty());
}

#[test]
fn a_queue_with_another_key_or_none_does_not_fit() {
    let none_set = queue("00.0002", Mode::Ep11, SeState::Bound, MkvpState::NoneSet);
    assert_eq!(decide(&[ep11(1)], &[bound("00.0001", OTHER_KEY), none_set], &store(&[1])), [Decision::NoQueue]);
}

#[test]
fn an_associated_queue_whose_key_changed_is_a_mismatch_and_never_silently_kept() {
    let changed = associated("00.0001", 0, OTHER_KEY);
    let only = plan(&[ep11(1)], std::slice::from_ref(&changed), &store(&[1]), false);
    assert_eq!((only.decisions, only.mismatched), (vec![Decision::Mismatch(apqn("00.0001"))], vec![apqn("00.0001")]));
    let with_other = plan(&[ep11(1)], &[changed, bound("00.0002", KEY)], &store(&[1]), false);
    assert_eq!(with_other.decisions, [Decision::Serve(apqn("00.0002"), Some(0))]);
    assert_eq!(with_other.mismatched, [apqn("00.0001")]);
}

#[test]
fn a_queue_that_serves_another_entry_of_the_same_secret_or_is_merely_offline_is_no_mismatch() {
    let mut other = ep11(1);
    other.purpose = Purpose::Ep11 { mkvp: OTHER_KEY, serialnr: None, secret: SecretId([1; 32]) };
    let queues = [associated("00.0001", 0, KEY)];
    let shared = plan(&[ep11(1), other], &queues, &store(&[1]), false);
    assert_eq!(shared.decisions, [Decision::Served(apqn("00.0001")), Decision::NoQueue]);
    assert_eq!(shared.mismatched, []);
    let mut offline = associated("00.0001", 0, KEY);
    (offline.usable, offline.mkvp) = (false, MkvpState::NotRead);
    assert_eq!(decide(&[ep11(1)], &[offline], &store(&[1])), [Decision::NoQueue]);
}

#[test]
fn queues_held_for_something_else_are_taken_only_if_exclusive() {
    let queues = [associated("00.0001", 7, KEY)];
    assert_eq!(plan(&[ep11(1)], &queues, &store(&[1]), false).decisions, [Decision::NoQueue]);
    assert_eq!(plan(&[ep11(1)], &queues, &store(&[1]), true).decisions, [Decision::Serve(apqn("00.0001"), Some(0))]);
}

#[test]
fn an_unknown_association_never_counts_as_serving() {
    let unknown = queue("00.0001", Mode::Ep11, SeState::AssociatedUnknown, MkvpState::Valid(KEY));
    assert_eq!(decide(&[ep11(1)], &[unknown], &store(&[1])), [Decision::NoQueue]);
}

#[test]
fn newest_generation_then_lowest_card_then_lowest_domain_whatever_the_enumeration() {
    let mut newest = free("09.0005");
    newest.generation = 9;
    newest.mode = Mode::Accel;
    let accel_queue = |name| queue(name, Mode::Accel, SeState::Unbound, MkvpState::NotRead);
    let mut queues = vec![accel_queue("02.0001"), newest, accel_queue("01.0004"), accel_queue("01.0003")];
    let wanted = [accel(), accel(), accel()];
    let expected = ["09.0005", "01.0003", "01.0004"].map(|name| Decision::Serve(apqn(name), None));
    for _ in 0..queues.len() {
        queues.rotate_left(1);
        assert_eq!(decide(&wanted, &queues, &store(&[])), expected);
    }
}

#[test]
fn a_newer_card_than_mingen_will_do_and_an_older_one_will_not() {
    let mut wanted = accel();
    wanted.min_generation = 8;
    let mut old = queue("00.0001", Mode::Accel, SeState::Unbound, MkvpState::NotRead);
    old.generation = 7;
    let mut new = old.clone();
    (new.apqn, new.generation) = (apqn("01.0001"), 10);
    assert_eq!(decide(&[wanted], &[old, new], &store(&[])), [Decision::Serve(apqn("01.0001"), None)]);
}

#[test]
fn an_entry_with_a_serial_number_waits_until_the_card_tells_its_own() {
    let mut wanted = ep11(1);
    wanted.purpose = Purpose::Ep11 { mkvp: KEY, serialnr: Some("93AADFK719460083".into()), secret: SecretId([1; 32]) };
    let mut candidate = bound("00.0001", KEY);
    assert_eq!(fit(&wanted, &candidate), Fit::Unknown);
    candidate.serialnr = Some("93AADFK719460083".into());
    assert_eq!(fit(&wanted, &candidate), Fit::Yes);
    candidate.serialnr = Some("93AADFK719460084".into());
    assert_eq!(fit(&wanted, &candidate), Fit::No);
}

#[test]
fn a_pinned_entry_takes_its_queue_and_leaves_the_others() {
    let mut pinned = ep11(1);
    pinned.apqn = Some(apqn("00.0001"));
    let queues = [bound("00.0001", KEY), bound("00.0002", KEY)];
    let decisions = decide(&[ep11(1), pinned], &queues, &store(&[1]));
    assert_eq!(decisions, [Decision::Serve(apqn("00.0002"), Some(0)), Decision::Serve(apqn("00.0001"), Some(0))]);
}

#[test]
fn an_accelerator_is_never_looked_at_and_an_unusable_queue_is_no_candidate() {
    let accelerator = queue("00.0001", Mode::Accel, SeState::Unbound, MkvpState::NotRead);
    let mut offline = free("00.0002");
    offline.usable = false;
    let queues = [accelerator, offline];
    let secrets = store(&[1]);
    let plan = plan(&[ep11(1)], &queues, &secrets, false);
    assert_eq!(plan.decisions, [Decision::NoQueue]);
    assert!(to_look_at(&[ep11(1)], &queues, &secrets, &plan).is_empty());
}

#[test]
fn two_entries_of_one_secret_get_two_queues() {
    let queues = [associated("00.0001", 0, KEY), bound("00.0002", KEY)];
    let decisions = decide(&[ep11(1), ep11(1)], &queues, &store(&[1]));
    assert_eq!(decisions, [Decision::Served(apqn("00.0001")), Decision::Serve(apqn("00.0002"), Some(0))]);
}
