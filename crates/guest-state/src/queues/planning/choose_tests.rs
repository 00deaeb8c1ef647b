use super::*;
use crate::queues::wanted::Purpose;
use crate::store::samples::store;
use pv_guest::ap::{Mkvp, MkvpState};
use pv_wire::SecretId;

const KEY: Mkvp = Mkvp([0x11; 16]);
const OTHER_KEY: Mkvp = Mkvp([0x22; 16]);
const SERVING: Freedom = Freedom { exclusive: false, rebalance: false };
const EXCLUSIVE: Freedom = Freedom { exclusive: true, rebalance: false };
const REBALANCE: Freedom = Freedom { exclusive: false, rebalance: true };

fn ep11(secret: u8) -> Wanted {
    let purpose = Purpose::Ep11 { mkvp: KEY, serialnr: None, secret: SecretId([secret; 32]) };
    Wanted { called: String::new(), name: None, purpose, min_generation: 0, apqn: None }
}

fn accel() -> Wanted {
    Wanted { called: String::new(), name: None, purpose: Purpose::Accel, min_generation: 0, apqn: None }
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
    plan(wanted, queues, secrets, SERVING).decisions
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
    let plan = plan(&[ep11(1)], &queues, &secrets, SERVING);
    assert_eq!(plan.decisions, [Decision::Undetermined]);
    assert_eq!(to_look_at(&[ep11(1)], &queues, &secrets, SERVING), [apqn("00.0001")]);
}

#[test]
fn an_entry_without_its_secret_in_the_store_gets_no_queue_and_no_look() {
    let queues = [free("00.0001"), bound("00.0002", KEY)];
    let secrets = store(&[]);
    let plan = plan(&[ep11(1)], &queues, &secrets, SERVING);
    assert_eq!(plan.decisions, [Decision::SecretMissing]);
    assert!(to_look_at(&[ep11(1)], &queues, &secrets, SERVING).is_empty());
}

#[test]
fn a_queue_with_another_key_or_none_does_not_fit() {
    let none_set = queue("00.0002", Mode::Ep11, SeState::Bound, MkvpState::NoneSet);
    assert_eq!(decide(&[ep11(1)], &[bound("00.0001", OTHER_KEY), none_set], &store(&[1])), [Decision::NoQueue]);
}

#[test]
fn an_associated_queue_whose_key_changed_is_a_mismatch_and_never_silently_kept() {
    let changed = associated("00.0001", 0, OTHER_KEY);
    let only = plan(&[ep11(1)], std::slice::from_ref(&changed), &store(&[1]), SERVING);
    assert_eq!((only.decisions, only.mismatched), (vec![Decision::Mismatch(apqn("00.0001"))], vec![apqn("00.0001")]));
    let with_other = plan(&[ep11(1)], &[changed, bound("00.0002", KEY)], &store(&[1]), SERVING);
    assert_eq!(with_other.decisions, [Decision::Serve(apqn("00.0002"), Some(0))]);
    assert_eq!(with_other.mismatched, [apqn("00.0001")]);
}

#[test]
fn a_queue_that_serves_another_entry_of_the_same_secret_or_is_merely_offline_is_no_mismatch() {
    let mut other = ep11(1);
    other.purpose = Purpose::Ep11 { mkvp: OTHER_KEY, serialnr: None, secret: SecretId([1; 32]) };
    let queues = [associated("00.0001", 0, KEY)];
    let shared = plan(&[ep11(1), other], &queues, &store(&[1]), SERVING);
    assert_eq!(shared.decisions, [Decision::Served(apqn("00.0001")), Decision::NoQueue]);
    assert_eq!(shared.mismatched, []);
    let mut offline = associated("00.0001", 0, KEY);
    (offline.usable, offline.mkvp) = (false, MkvpState::NotRead);
    assert_eq!(decide(&[ep11(1)], &[offline], &store(&[1])), [Decision::NoQueue]);
}

#[test]
fn queues_held_for_something_else_are_taken_only_if_exclusive() {
    let queues = [associated("00.0001", 7, KEY)];
    assert_eq!(plan(&[ep11(1)], &queues, &store(&[1]), SERVING).decisions, [Decision::NoQueue]);
    assert_eq!(
        plan(&[ep11(1)], &queues, &store(&[1]), EXCLUSIVE).decisions,
        [Decision::Serve(apqn("00.0001"), Some(0))]
    );
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
    let plan = plan(&[ep11(1)], &queues, &secrets, SERVING);
    assert_eq!(plan.decisions, [Decision::NoQueue]);
    assert!(to_look_at(&[ep11(1)], &queues, &secrets, SERVING).is_empty());
}

#[test]
fn two_entries_of_one_secret_get_two_queues() {
    let queues = [associated("00.0001", 0, KEY), bound("00.0002", KEY)];
    let decisions = decide(&[ep11(1), ep11(1)], &queues, &store(&[1]));
    assert_eq!(decisions, [Decision::Served(apqn("00.0001")), Decision::Serve(apqn("00.0002"), Some(0))]);
}

#[test]
fn a_queue_of_two_entries_serves_the_one_that_can_have_no_other() {
    let mut pinned = ep11(1);
    pinned.apqn = Some(apqn("00.0001"));
    let queues = [associated("00.0001", 0, KEY), bound("00.0002", KEY)];
    let decisions = decide(&[ep11(1), pinned], &queues, &store(&[1]));
    assert_eq!(decisions, [Decision::Serve(apqn("00.0002"), Some(0)), Decision::Served(apqn("00.0001"))]);
}

#[test]
fn a_served_entry_moves_only_with_rebalance_and_only_to_a_better_queue() {
    let queues = [associated("00.0002", 0, KEY), bound("00.0001", KEY), bound("00.0003", KEY)];
    assert_eq!(decide(&[ep11(1)], &queues, &store(&[1])), [Decision::Served(apqn("00.0002"))]);
    let moved = plan(&[ep11(1)], &queues, &store(&[1]), REBALANCE);
    let (from, to) = (apqn("00.0002"), apqn("00.0001"));
    assert_eq!(moved.decisions, [Decision::Move { from, to, index: Some(0) }]);
    assert_eq!(Vec::from_iter(moved.left()), [from]);
    let best = plan(&[ep11(1)], &queues[..1], &store(&[1]), REBALANCE);
    assert_eq!((best.decisions.clone(), best.left().len()), (vec![Decision::Served(from)], 0));
}

#[test]
fn rebalance_lets_a_served_entry_make_room_for_a_choosy_one() {
    let mut choosy = ep11(2);
    choosy.apqn = Some(apqn("00.0001"));
    let queues = [associated("00.0001", 0, KEY), bound("00.0002", KEY)];
    let wanted = [ep11(1), choosy];
    let staying = [Decision::Served(apqn("00.0001")), Decision::NoQueue];
    assert_eq!(decide(&wanted, &queues, &store(&[1, 2])), staying);
    let moved = plan(&wanted, &queues, &store(&[1, 2]), REBALANCE);
    let (from, to) = (apqn("00.0001"), apqn("00.0002"));
    assert_eq!(
        moved.decisions,
        [Decision::Move { from, to, index: Some(0) }, Decision::Serve(apqn("00.0001"), Some(1))]
    );
    assert!(moved.left().is_empty());
}

#[test]
fn whether_a_served_entry_can_make_room_is_open_until_the_queue_that_it_would_move_to_is_read() {
    let mut choosy = ep11(2);
    choosy.apqn = Some(apqn("00.0001"));
    let (wanted, queues) = ([ep11(1), choosy], [associated("00.0001", 0, KEY), free("00.0002")]);
    let staying = Decision::Served(apqn("00.0001"));
    assert_eq!(decide(&wanted, &queues, &store(&[1, 2])), [staying, Decision::NoQueue]);
    let hopeful = plan(&wanted, &queues, &store(&[1, 2]), REBALANCE);
    assert_eq!(hopeful.decisions, [staying, Decision::Undetermined]);
    // Not one that somebody holds.
    let held = [associated("00.0001", 0, KEY), queue("00.0002", Mode::Ep11, SeState::Pending, MkvpState::NotRead)];
    let hopeless = plan(&wanted, &held, &store(&[1, 2]), REBALANCE);
    assert_eq!(hopeless.decisions, [staying, Decision::NoQueue]);
}

#[test]
fn the_queue_that_is_left_is_the_one_that_no_entry_of_the_secret_goes_on_with() {
    let on = |name: &str, serial: &str, state: SeState| Seen {
        serialnr: Some(serial.into()),
        ..queue(name, Mode::Ep11, state, MkvpState::Valid(KEY))
    };
    let mut local = ep11(1);
    local.purpose = Purpose::Ep11 { mkvp: KEY, serialnr: Some("here".into()), secret: SecretId([1; 32]) };
    let queues = [
        on("00.0001", "there", SeState::Bound),
        on("01.0001", "here", SeState::Associated(0)),
        on("01.0002", "here", SeState::Associated(0)),
    ];
    let moved = plan(&[ep11(1), local], &queues, &store(&[1]), REBALANCE);
    let (from, to) = (apqn("01.0002"), apqn("00.0001"));
    assert_eq!(moved.decisions, [Decision::Move { from, to, index: Some(0) }, Decision::Served(apqn("01.0001"))]);
    assert_eq!(Vec::from_iter(moved.left()), [from]);
}

#[test]
fn entries_that_would_exchange_queues_in_the_next_run_have_them_after_this_one() {
    // Two queues are held for the first entry, and none for the second.
    let queues = [associated("00.0001", 0, KEY), associated("00.0002", 0, KEY)];
    let served = plan(&[ep11(1), ep11(2)], &queues, &store(&[1, 2]), REBALANCE);
    assert_eq!(served.decisions, [Decision::Served(apqn("00.0001")), Decision::Serve(apqn("00.0002"), Some(1))]);
}

#[test]
fn rebalance_alone_takes_nothing_that_is_held_for_something_else_or_cannot_be_read() {
    let elsewhere = associated("00.0001", 7, KEY);
    let mut unread = associated("00.0003", 0, KEY);
    unread.mkvp = MkvpState::NotRead;
    let queues = [elsewhere, bound("00.0002", KEY), unread];
    let decisions = plan(&[ep11(1)], &queues, &store(&[1]), REBALANCE).decisions;
    assert_eq!(decisions, [Decision::Unreadable(apqn("00.0003"))]);
    assert_eq!(
        plan(&[ep11(1)], &queues[..2], &store(&[1]), REBALANCE).decisions,
        [Decision::Serve(apqn("00.0002"), Some(0))]
    );
}

#[test]
fn only_queues_that_would_make_the_plan_better_are_looked_at_one_of_a_card_at_a_time() {
    let look = |queues: &[Seen], freedom| to_look_at(&[ep11(1)], queues, &store(&[1]), freedom);
    let names = |names: &[&str]| names.iter().map(|name| apqn(name)).collect::<Vec<_>>();
    let queues = [free("00.0001"), free("00.0002"), free("01.0003"), free("02.0001")];
    assert_eq!(look(&queues, SERVING), names(&["00.0001", "01.0003", "02.0001"]));
    let found = [free("00.0001"), bound("01.0001", KEY), free("02.0001")];
    assert_eq!(look(&found, SERVING), names(&["00.0001"]));
    let served = [free("00.0001"), associated("01.0001", 0, KEY), free("02.0001")];
    assert_eq!(look(&served, SERVING), names(&[]));
    assert_eq!(look(&served, REBALANCE), names(&["00.0001"]));
}
