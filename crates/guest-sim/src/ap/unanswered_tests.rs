//! Requests that are not answered, and queues that a bus scan takes away.

use crate::errno::Errno;
use crate::testing::Bench;
use std::time::Duration;

const CARDS: &str = r#"
cards:
  "0a":
    type: CEX8P
    queues:
      "0005": {mkvp: "000102030405060708090a0b0c0d0e0f"}
      "0006": {mkvp: "000102030405060708090a0b0c0d0e0f"}
delays: {bind_ms: 10, settle_ms: 5, associate_ms: 20, reset_ms: 30, scan_ms: 1000}
"#;

const QUEUE: &str = "devices/ap/card0a/0a.0005";
const OTHER: &str = "devices/ap/card0a/0a.0006";
const SERIAL: &str = "devices/ap/card0a/serialnr";
const UNREAD: &str = "WK CUR: - -\nWK NEW: - -";

/// A guest with one secret, whose queues are bound and settled.
fn bound(more: &str) -> Bench {
    let mut bench = Bench::new(&format!("{CARDS}{more}"));
    bench.add(1);
    for queue in [QUEUE, OTHER] {
        bench.write(&format!("{queue}/se_bind"), "1").unwrap();
    }
    bench.wait(15);
    bench
}

/// The request that a reader of the attribute waits for in vain, if it does.
fn unanswered(bench: &mut Bench, path: &str) -> Option<u64> {
    let answer = bench.guest.read(7, &format!("/sys/{path}"), bench.now);
    assert_eq!(answer.takes, Duration::from_secs(if answer.unanswered.is_some() { 900 } else { 0 }), "{path}");
    answer.unanswered
}

#[test]
fn a_card_that_takes_requests_and_answers_none_keeps_every_reader_waiting() {
    let mut bench = bound("");
    bench.guest.set("cards: {\"0a\": {answers: false}}", bench.now).unwrap();
    for path in [format!("{QUEUE}/mkvps"), format!("{QUEUE}/op_modes"), format!("{OTHER}/mkvps"), SERIAL.to_owned()] {
        assert!(unanswered(&mut bench, &path).is_some(), "{path}");
    }
    assert_eq!(bench.read(&format!("{QUEUE}/mkvps")).unwrap(), UNREAD);
    // What asks nothing of the card is told, and what is not bound is not asked.
    assert_eq!(unanswered(&mut bench, &format!("{QUEUE}/se_bind")), None);
    for queue in [QUEUE, OTHER] {
        bench.write(&format!("{queue}/se_bind"), "0").unwrap();
    }
    bench.wait(30);
    assert_eq!((unanswered(&mut bench, SERIAL), unanswered(&mut bench, &format!("{QUEUE}/mkvps"))), (None, None));
}

#[test]
fn a_request_waits_in_its_queue_until_it_is_taken_back_or_the_queue_is_reset() {
    let mut bench = bound("");
    bench.guest.set("cards: {\"0a\": {answers: false}}", bench.now).unwrap();
    let count = |bench: &mut Bench| bench.read(&format!("{QUEUE}/requestq_count")).unwrap();
    let first = unanswered(&mut bench, &format!("{QUEUE}/mkvps")).unwrap();
    let second = unanswered(&mut bench, &format!("{QUEUE}/mkvps")).unwrap();
    assert_eq!(count(&mut bench), "2");
    bench.guest.withdraw(first);
    assert_eq!((count(&mut bench), bench.guest.waits(first, bench.now)), ("1".into(), false));
    assert!(bench.guest.waits(second, bench.now));
    bench.write(&format!("{QUEUE}/se_bind"), "0").unwrap();
    assert_eq!(bench.last_event().flushed, 1);
    assert_eq!((count(&mut bench), bench.guest.waits(second, bench.now)), ("0".into(), false));
}

#[test]
fn while_an_association_is_pending_its_queue_answers_nothing() {
    let mut bench = bound("");
    bench.write(&format!("{QUEUE}/se_associate"), "0").unwrap();
    let waiting = unanswered(&mut bench, &format!("{QUEUE}/mkvps")).unwrap();
    assert_eq!(unanswered(&mut bench, &format!("{OTHER}/mkvps")), None);
    // The driver asks the queue for the serial number that has the least to do.
    assert_eq!(unanswered(&mut bench, SERIAL), None);
    bench.wait(20);
    assert_eq!(bench.read(&format!("{QUEUE}/se_associate")).unwrap(), "associated 0");
    // Who asks then is answered; who asked before goes on waiting.
    assert_eq!(unanswered(&mut bench, &format!("{QUEUE}/mkvps")), None);
    assert!(bench.guest.waits(waiting, bench.now));
}

#[test]
fn the_serial_number_may_be_asked_of_a_queue_that_is_being_associated() {
    let mut bench = bound("");
    bench.write(&format!("{QUEUE}/se_associate"), "0").unwrap();
    assert_eq!(unanswered(&mut bench, &format!("{OTHER}/mkvps")), None);
    assert!(unanswered(&mut bench, SERIAL).is_some());
    assert_eq!(unanswered(&mut bench, SERIAL), None);
}

#[test]
fn a_kernel_may_take_a_queue_away_whose_association_failed_and_find_it_again() {
    let mut bench = bound("kernel: {failed_queue: removed}\nfaults: [{on: associate, ap_rc: 0x36}]");
    bench.write(&format!("{QUEUE}/se_associate"), "0").unwrap();
    bench.wait(20);
    assert_eq!(bench.read(&format!("{QUEUE}/se_bind")), Err(Errno::EIO));
    bench.wait(1000);
    assert_eq!(bench.read(&format!("{QUEUE}/se_bind")), Err(Errno::ENODEV));
    assert_eq!(bench.read(&format!("{OTHER}/se_bind")).unwrap(), "bound");
    bench.wait(1000);
    bench.read(&format!("{QUEUE}/se_bind")).unwrap();
    bench.wait(30);
    assert_eq!(bench.read(&format!("{QUEUE}/se_bind")).unwrap(), "bound");
    assert_eq!(bench.read(&format!("{QUEUE}/se_associate")).unwrap(), "unassociated");
}

#[test]
fn a_kernel_may_show_the_serial_number_a_little_longer() {
    let mut bench = bound("kernel: {serialnr_lingers: 2}");
    assert_eq!(bench.read(SERIAL).unwrap(), "93AADFK719460083");
    for queue in [QUEUE, OTHER] {
        bench.write(&format!("{queue}/se_bind"), "0").unwrap();
    }
    let read: Vec<_> = (0..3).map(|_| bench.read(SERIAL).unwrap()).collect();
    assert_eq!(read, ["93AADFK719460083", "93AADFK719460083", ""]);
}
