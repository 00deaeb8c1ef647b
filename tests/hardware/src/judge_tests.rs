//! Tests of the judging: what goes in is what answers look like, what comes out is in the question's table.

use super::*;
use crate::questions::*;

const fn rc(rc: u16) -> Answer {
    Answer { uv_rc: Some(rc), uv_rrc: Some(0), errno: None }
}

const fn errno(errno: Errno) -> Answer {
    Answer { uv_rc: None, uv_rrc: None, errno: Some(errno as i32) }
}

const DONE: Answer = Answer { uv_rc: None, uv_rrc: None, errno: None };

/// That an answer was observed, and that the table has it.
fn is(question: &Question, verdict: &Verdict, name: &str) {
    assert!(matches!(verdict, Observed(answer, _) if *answer == name), "{} {name}: {verdict:?}", question.id);
    assert!(question.meaning(name).is_some(), "{} has no answer {name}", question.id);
}

fn is_open(verdict: &Verdict) {
    assert!(matches!(verdict, Inconclusive(_)), "{verdict:?}");
}

#[test]
fn info_words_are_compared_with_the_facilities() {
    let calls = |ultravisor| Calls { device: 0x3f, ultravisor };
    let all: &[u32] = &[28, 29, 30, 31];
    is(&INFO_WORDS, &info_words(calls(0x1e), Some(all)), "own_order");
    is(&INFO_WORDS, &info_words(calls(0x1e_u64.swap_bytes()), Some(all)), "swapped");
    assert_eq!(info_words(calls(0x1c), Some(all)), Observed("other", Some(Number::One(0x1c))));
    is(&INFO_WORDS, &info_words(calls(0x1c), Some(all)), "other");
    is_open(&info_words(calls(0x1e), None));
    is_open(&info_words(calls(0), Some(&[0])));
}

#[test]
fn whose_bit_retrieving_is_shows_only_where_the_two_calls_differ() {
    let calls = |device, ultravisor| Calls { device, ultravisor };
    is(&INFO_RETRIEVE, &info_retrieve(calls(0x3f, 0x3e), Some(&[28])), "attestation");
    is(&INFO_RETRIEVE, &info_retrieve(calls(0x3f, 0x1c), Some(&[33])), "attestation");
    is(&INFO_RETRIEVE, &info_retrieve(calls(0x3f, 0x1e), Some(&[28])), "facility");
    is(&INFO_RETRIEVE, &info_retrieve(calls(0x3f, 0x20), Some(&[33])), "facility");
    is_open(&info_retrieve(calls(0x3f, 0x3e), Some(&[28, 33])));
    is_open(&info_retrieve(calls(0x1f, 0x3e), Some(&[28])));
    is_open(&info_retrieve(calls(0x3f, 0x3e), None));
}

#[test]
fn the_end_of_a_list_is_looked_at_only_if_it_is_in_the_page() {
    let mut page = vec![0; 4096];
    page[1] = 1;
    page[3] = 1;
    page[16..64].fill(0xff);
    is(&LIST_END, &list_end(rc(1), &page), "zeros");
    page[64] = 1;
    is(&LIST_END, &list_end(rc(1), &page), "rest");
    page[5] = 1;
    is(&LIST_END, &list_end(rc(1), &page), "next_index");
    is_open(&list_end(rc(0x100), &page));
    is_open(&list_end(errno(Errno::EINVAL), &page));
    is(&LIST_PAGES, &list_pages(rc(1)), "taken");
    is(&LIST_PAGES, &list_pages(rc(0x100)), "taken");
    is(&LIST_PAGES, &list_pages(errno(Errno::EINVAL)), "one_page_only");
    is_open(&list_pages(errno(Errno::EIO)));
}

#[test]
fn every_return_code_that_is_looked_for_has_its_answer_and_others_have_one_too() {
    for (question, codes, other) in [
        (&PROBE, codes::PROBE, "other"),
        (&RETRIEVE_MISSING, codes::MISSING, "other"),
        (&RETRIEVE_SMALL, codes::SMALL, "other"),
        (&OTHER_IMAGE, codes::BORDER, "other"),
        (&OTHER_START, codes::BORDER, "other"),
        (&ADD, codes::ADD, "refused"),
        (&ADD_AGAIN, codes::ADD, "refused"),
        (&LOCK, codes::LOCK, "other"),
        (&LOCK_AGAIN, codes::LOCK_AGAIN, "other"),
        (&LOCKED_ADD, codes::LOCKED_ADD, "other"),
        (&RETRIEVE_LOCKED, codes::RETRIEVE, "refused"),
        (&LOCKED_RETRIEVE, codes::RETRIEVE, "refused"),
    ] {
        for (code, name) in codes {
            is(question, &by_rc(rc(*code), codes, other), name);
        }
        is(question, &by_rc(rc(0x0777), codes, other), other);
        is_open(&by_rc(errno(Errno::EIO), codes, other));
    }
}

#[test]
fn keys_are_counted_and_not_repeated() {
    let lines = |keys: usize, all: usize| {
        let line = |at: usize| if at < keys { "a1".repeat(32) } else { "00".repeat(32) };
        (0..all).map(line).collect::<Vec<_>>().join("\n")
    };
    assert_eq!(keys_lines(&lines(2, 15)), Observed("fifteen", Some(Number::One(2))));
    is(&KEYS_LINES, &keys_lines(&lines(2, 15)), "fifteen");
    is(&KEYS_LINES, &keys_lines(&lines(2, 3)), "other");
    is(&KEYS_LINES, &keys_lines("0x12\n"), "not_hex");
}

#[test]
fn a_bind_is_judged_by_the_end_and_then_by_the_write() {
    let (free, bound) = (SeState::Unbound, SeState::Bound);
    is(&BIND, &bind(DONE, bound, bound), "at_once");
    is(&BIND, &bind(DONE, free, bound), "later");
    is(&BIND, &bind(errno(Errno::EIO), free, bound), "eio_then_bound");
    is_open(&bind(errno(Errno::EBUSY), free, bound));
    is_open(&bind(DONE, free, free));
    is(&BIND_AGAIN, &by_errno(errno(Errno::EINVAL), errnos::AGAIN), "einval");
    is(&BIND_AGAIN, &by_errno(errno(Errno::EIO), errnos::AGAIN), "eio");
    is(&BIND_AGAIN, &by_errno(errno(Errno::EBUSY), errnos::AGAIN), "other");
    is(&BIND_AGAIN, &by_errno(DONE, errnos::AGAIN), "taken");
}

#[test]
fn what_was_over_too_soon_says_nothing() {
    is(&BIND_IN_RESET, &bind_in_reset(true, errno(Errno::EIO), false), "eio");
    is(&BIND_IN_RESET, &bind_in_reset(true, errno(Errno::EBUSY), true), "ebusy");
    is(&BIND_IN_RESET, &bind_in_reset(true, errno(Errno::EINVAL), true), "other");
    is(&BIND_IN_RESET, &bind_in_reset(true, DONE, true), "taken");
    is_open(&bind_in_reset(true, DONE, false));
    is_open(&bind_in_reset(false, errno(Errno::EIO), false));
    is(&UNBIND, &unbind(Some("bound"), false), "old_state");
    is(&UNBIND, &unbind(Some("unbound"), true), "free");
    is(&UNBIND, &unbind(None, true), "error");
    is_open(&unbind(Some("unbound"), false));
    is(&MKVPS_PENDING, &mkvps_pending(true, false, false), "blocked");
    is(&MKVPS_PENDING, &mkvps_pending(true, true, true), "answered");
    is_open(&mkvps_pending(true, true, false));
    is_open(&mkvps_pending(false, true, false));
}

#[test]
fn states_of_queues_have_their_answers() {
    let (free, bound, index) = (SeState::Unbound, SeState::Bound, SeState::Associated(0));
    for state in [bound, index] {
        is(&RESET, &afterwards(state, "kept", "dropped"), "kept");
        is(&UNBIND_IN_RESET, &afterwards(state, "bound", "free"), "bound");
    }
    is(&RESET, &afterwards(free, "kept", "dropped"), "dropped");
    is(&RESET, &afterwards(SeState::Failing, "kept", "dropped"), "other");
    is(&UNBIND_IN_RESET, &afterwards(free, "bound", "free"), "free");
    is(&UNBIND_IN_RESET, &afterwards(SeState::Unusable, "bound", "free"), "other");
    is(&ASSOCIATE, &associate(index, index), "at_once");
    is(&ASSOCIATE, &associate(SeState::Pending, index), "pending");
    is(&ASSOCIATE, &associate(SeState::Pending, SeState::Failing), "failed");
    is(&DOUBLED, &doubled(index), "associated");
    is(&DOUBLED, &doubled(SeState::Failing), "failed");
    is(&DEAD_QUEUE, &dead_queue(Some(0)), "usable");
    is(&DEAD_QUEUE, &dead_queue(Some(3)), "not_usable");
    is(&DEAD_QUEUE, &dead_queue(None), "error");
    is(&BIND_STATE, &bound_accelerator(Some(0)), "usable");
    is(&BIND_STATE, &bound_accelerator(Some(1)), "without_keys");
    is(&BIND_STATE, &bound_accelerator(Some(2)), "other");
    is_open(&bound_accelerator(None));
    for question in [&MKVPS, &SERIALNR] {
        is(question, &readable(true, true), "at_once");
        is(question, &readable(false, true), "later");
        is(question, &readable(false, false), "not_read");
    }
    is(&SERIALNR_LINGERS, &lingers(&[false]), "gone");
    is(&SERIALNR_LINGERS, &lingers(&[true, true, false]), "lingered");
    is(&SERIALNR_LINGERS, &lingers(&[true, true]), "stayed");
}

/// The answers of an ultravisor that checks in this order.
fn in_order(order: [usize; 4]) -> Vec<(Malformed, Malformed, Answer)> {
    let first = |one: usize, other: usize| *order.iter().find(|at| [one, other].contains(at)).unwrap();
    let at = |fault| FAULTS.iter().position(|(known, ..)| *known == fault).unwrap();
    PAIRS.map(|(one, other, _)| (one, other, rc(FAULTS[first(at(one), at(other))].1))).to_vec()
}

#[test]
fn the_order_of_checks_is_found_from_pairs_of_faults() {
    for order in [[0, 1, 2, 3], [3, 2, 1, 0], [2, 0, 3, 1]] {
        let names = order.map(|at| FAULTS[at].2).to_vec();
        assert_eq!(form_order(&in_order(order)), Observed("order", Some(Number::Words(names))));
    }
    let mut answers = in_order([0, 1, 2, 3]);
    // Version before size, size before host keys, host keys before version.
    answers[1].2 = rc(0x0106);
    is(&FORM, &form_order(&answers), "no_order");
    answers[1].2 = rc(0x0108);
    is(&FORM, &form_order(&answers), "no_order");
    answers.iter_mut().for_each(|(.., answer)| *answer = rc(0x0102));
    is(&FORM, &form_order(&answers), "locked");
    is(&LOCKED_FORM, &locked_form(&[rc(0x0102), rc(0x0102)]), "locked_first");
    is(&LOCKED_FORM, &locked_form(&[rc(0x0102), rc(0x0104)]), "form_first");
}

#[test]
fn a_reboot_shows_only_in_a_store_that_had_something() {
    let store = |secrets, locked| Store { secrets: Some(secrets), locked: Some(locked) };
    is(&REBOOT, &reboot(store(1, false), store(0, false)), "emptied");
    is(&REBOOT, &reboot(store(0, true), store(0, false)), "emptied");
    is(&REBOOT, &reboot(store(1, true), store(0, true)), "kept");
    is(&REBOOT, &reboot(store(1, true), store(1, false)), "kept");
    is_open(&reboot(store(0, false), store(0, false)));
    is_open(&reboot(store(1, false), Store::default()));
}
