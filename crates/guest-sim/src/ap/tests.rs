//! The AP bus as programs meet it: reads and writes of attributes while a clock is turned by hand.

use crate::errno::Errno;
use crate::testing::Bench;

const CARDS: &str = r#"
cards:
  "0a":
    type: CEX8P
    queues:
      "0005": {mkvp: "000102030405060708090a0b0c0d0e0f"}
      "0006": {requestq_count: 2, pendingq_count: 1}
  "0b": {type: CEX7A, queues: {"0005": {}}}
  "0c": {type: CEX8C, queues: {"0005": {mkvp: "0102030405060708"}}}
delays: {bind_ms: 10, settle_ms: 5, associate_ms: 20, reset_ms: 30}
"#;

const BIND: &str = "devices/ap/card0a/0a.0005/se_bind";
const ASSOCIATE: &str = "devices/ap/card0a/0a.0005/se_associate";
const FUNCTIONS: &str = "devices/ap/card0a/0a.0005/ap_functions";
const RESET: &str = "devices/ap/card0a/0a.0005/reset";
const MKVPS: &str = "devices/ap/card0a/0a.0005/mkvps";

fn bench(more: &str) -> Bench {
    Bench::new(&format!("{CARDS}{more}"))
}

/// A guest with one secret whose first queue is bound and settled.
fn bound(more: &str) -> Bench {
    let mut bench = bench(more);
    bench.add(1);
    bench.write(BIND, "1\n").unwrap();
    bench.wait(15);
    bench
}

#[test]
fn a_queue_is_bound_associated_and_unbound_each_after_its_time() {
    let mut bench = bench("");
    bench.add(1);
    bench.write(BIND, "1\n").unwrap();
    assert_eq!(bench.read(BIND).unwrap(), "unbound");
    bench.wait(10);
    assert_eq!(bench.read(BIND).unwrap(), "bound");
    assert_eq!(bench.read(FUNCTIONS).unwrap(), "0x86004000");
    assert_eq!(bench.write(ASSOCIATE, "0"), Err(Errno::EBUSY), "still settling");
    bench.wait(5);
    assert_eq!(bench.read(ASSOCIATE).unwrap(), "unassociated");
    bench.write(ASSOCIATE, "0").unwrap();
    assert_eq!(bench.read(ASSOCIATE).unwrap(), "association pending");
    bench.wait(20);
    assert_eq!(bench.read(ASSOCIATE).unwrap(), "associated 0");
    assert_eq!(bench.read(FUNCTIONS).unwrap(), "0x86000000");
    let state = bench.guest.state(bench.now);
    assert_eq!(state["queues"][0]["secret_id"], "01".repeat(32));
    bench.write(BIND, "0").unwrap();
    assert_eq!(bench.read(ASSOCIATE).unwrap(), "unassociated");
    assert_eq!(
        (bench.read(BIND).unwrap(), bench.read(RESET).unwrap()),
        ("unbound".into(), "Reset in progress.".into())
    );
    assert_eq!(bench.write(BIND, "1"), Err(Errno::EIO), "still resetting");
    bench.wait(30);
    assert_eq!(bench.read(BIND).unwrap(), "unbound");
    assert_eq!(bench.read(FUNCTIONS).unwrap(), "0x86008000");
    bench.write(BIND, "on").unwrap();
}

#[test]
fn what_is_under_way_is_held_up_and_let_go_by_another_delay() {
    let mut bench = bench("");
    bench.guest.set("delays: {bind_ms: 600000}", bench.now).unwrap();
    bench.write(BIND, "1\n").unwrap();
    bench.wait(599_999);
    assert_eq!(bench.read(BIND).unwrap(), "unbound");
    bench.guest.set("delays: {bind_ms: 0}", bench.now).unwrap();
    assert_eq!(bench.read(BIND).unwrap(), "bound");
    bench.add(1);
    bench.write(ASSOCIATE, "0").unwrap();
}

#[test]
fn what_was_over_before_another_delay_was_set_stays_so() {
    let mut bench = bench("");
    bench.add(1);
    bench.write(BIND, "1\n").unwrap();
    bench.wait(15);
    bench.guest.set("delays: {bind_ms: 600000, settle_ms: 600000}", bench.now).unwrap();
    assert_eq!(bench.read(BIND).unwrap(), "bound");
    bench.write(ASSOCIATE, "0").unwrap();
}

#[test]
fn an_older_kernel_says_that_a_queue_is_busy_while_it_is_reset() {
    let mut bench = bound("kernel: {manners: old}");
    bench.write(BIND, "0").unwrap();
    assert_eq!(bench.write(BIND, "1"), Err(Errno::EBUSY));
}

#[test]
fn what_only_a_bound_queue_tells_reads_as_nothing_without_one() {
    let mut bench = bench("");
    assert_eq!(bench.read(MKVPS).unwrap(), "WK CUR: - -\nWK NEW: - -");
    assert_eq!(bench.read("devices/ap/card0a/serialnr").unwrap(), "");
    bench.write("devices/ap/card0a/0a.0006/se_bind", "1").unwrap();
    bench.wait(10);
    assert_eq!(bench.read("devices/ap/card0a/serialnr").unwrap(), "93AADFK719460083", "any queue of the card will do");
    assert_eq!(bench.read(MKVPS).unwrap(), "WK CUR: - -\nWK NEW: - -");
    assert_eq!(bench.read("devices/ap/card0a/0a.0006/mkvps").unwrap(), "WK CUR: invalid -\nWK NEW: empty -");
    bench.write(BIND, "1").unwrap();
    bench.wait(10);
    let padded = format!("WK CUR: valid 0x000102030405060708090a0b0c0d0e0f{}\nWK NEW: empty -", "0".repeat(32));
    assert_eq!(bench.read(MKVPS).unwrap(), padded);
    bench.write("devices/ap/card0a/0a.0005/online", "0").unwrap();
    assert_eq!(bench.read(MKVPS).unwrap(), "WK CUR: - -\nWK NEW: - -");
    assert_eq!(bench.read("devices/ap/card0a/0a.0005/request_count").unwrap(), "1");
}

#[test]
fn accelerators_are_bound_only_and_cca_cards_not_at_all() {
    let mut bench = bench("");
    bench.write("devices/ap/card0b/0b.0005/se_bind", "y").unwrap();
    bench.wait(15);
    assert_eq!(bench.read("devices/ap/card0b/0b.0005/se_bind").unwrap(), "bound");
    assert_eq!(bench.read("devices/ap/card0b/0b.0005/se_associate").unwrap(), "-");
    assert_eq!(bench.write("devices/ap/card0b/0b.0005/se_associate", "0"), Err(Errno::EINVAL));
    assert_eq!(bench.read("devices/ap/card0b/0b.0005/ap_functions").unwrap(), "0x6A000000");
    assert_eq!(bench.read("devices/ap/card0b/0b.0005/mkvps"), Err(Errno::ENODEV), "no such attribute");
    assert_eq!(bench.read("devices/ap/card0b/hwtype").unwrap(), "13");
    for name in ["se_bind", "se_associate"] {
        assert_eq!(bench.read(&format!("devices/ap/card0c/0c.0005/{name}")), Err(Errno::ENODEV), "no such attribute");
    }
    assert_eq!(bench.read("devices/ap/card0c/0c.0005/mkvps").unwrap(), "AES NEW: - -\nAES CUR: - -\nAPKA CUR: - -");
}

#[test]
fn kernels_refuse_the_same_things_with_other_errors() {
    for (manners, twice, early, again) in
        [("old", Errno::EIO, Errno::EIO, Errno::EINVAL), ("new", Errno::EINVAL, Errno::EINVAL, Errno::EINVAL)]
    {
        let mut bench = bench(&format!("kernel: {{manners: {manners}}}"));
        bench.add(1);
        assert_eq!(bench.write(ASSOCIATE, "0"), Err(early), "{manners}");
        bench.write(BIND, "1").unwrap();
        bench.wait(15);
        assert_eq!(bench.write(BIND, "1"), Err(twice), "{manners}");
        assert_eq!(bench.write(ASSOCIATE, "7"), Err(Errno::EIO), "no such secret");
        bench.write(ASSOCIATE, "0x0").unwrap();
        bench.wait(20);
        assert_eq!(bench.write(ASSOCIATE, "0"), Err(again), "{manners}");
        for (text, errno) in
            [("", Errno::EINVAL), ("-1", Errno::EINVAL), ("1 ", Errno::EINVAL), ("65536", Errno::EINVAL)]
        {
            assert_eq!(bench.write(ASSOCIATE, text), Err(errno), "{text:?}");
        }
        assert_eq!(bench.write(ASSOCIATE, "99999999999"), Err(Errno::ERANGE));
        assert_eq!(bench.write(BIND, "2"), Err(Errno::EINVAL));
    }
}

#[test]
fn a_failed_association_is_pending_then_an_error_and_unbinding_recovers() {
    for rc in ["0x35", "0x36"] {
        let mut bench = bound(&format!("faults: [{{on: associate, target: 0a.0005, ap_rc: {rc}}}]"));
        bench.write(ASSOCIATE, "0").unwrap();
        assert_eq!(bench.read(ASSOCIATE).unwrap(), "association pending");
        bench.wait(20);
        assert_eq!(bench.read(ASSOCIATE), Err(Errno::EIO));
        assert_eq!(bench.read(BIND), Err(Errno::EIO));
        assert_eq!(bench.read(FUNCTIONS), Err(Errno::EIO));
        bench.write(BIND, "0").unwrap();
        bench.wait(30);
        bench.write(BIND, "1").unwrap();
        bench.wait(15);
        bench.write(ASSOCIATE, "0").unwrap();
        bench.wait(20);
        assert_eq!(bench.read(ASSOCIATE).unwrap(), "associated 0");
    }
}

#[test]
fn a_reset_that_is_refused_puts_the_queue_into_error_until_the_bus_scan() {
    for rc in ["0x01", "0x04", "0x05", "0x0a", "0x31"] {
        let mut bench = bound(&format!("faults: [{{on: reset, ap_rc: {rc}}}]"));
        bench.write(ASSOCIATE, "0").unwrap();
        bench.wait(20);
        bench.write(BIND, "0").unwrap();
        bench.wait(1000);
        assert_eq!(
            (bench.read(BIND).unwrap().as_str(), bench.read(RESET).unwrap().as_str()),
            ("bound", "Reset in progress.")
        );
        assert_eq!(bench.read(MKVPS).unwrap(), "WK CUR: - -\nWK NEW: - -", "{rc}: it gets no requests");
        bench.wait(30_000);
        bench.read(BIND).unwrap();
        bench.wait(30);
        assert_eq!(bench.read(RESET).unwrap(), "No Reset Timer set.");
    }
    let mut bench = bound("faults: [{on: reset, ap_rc: 0x02}]");
    bench.write(BIND, "0").unwrap();
    assert!(bench.read(MKVPS).unwrap().starts_with("WK CUR: valid"), "the kernel waits for the reset that is going on");
}

#[test]
fn an_association_that_meets_a_change_of_state_is_waited_for() {
    let mut bench = bound("faults: [{on: associate, ap_rc: 0x0a}]");
    bench.write(ASSOCIATE, "0").unwrap();
    bench.wait(1000);
    assert_eq!(bench.read(ASSOCIATE).unwrap(), "association pending");
}

#[test]
fn the_bus_scan_initialises_a_queue_in_error_anew() {
    for (keeps, state) in [("true", "bound"), ("false", "unbound")] {
        let switches = format!("switches: {{reset_keeps_binding: {keeps}}}\nfaults: [{{on: associate, ap_rc: 0x36}}]");
        let mut bench = bound(&switches);
        bench.write(ASSOCIATE, "0").unwrap();
        bench.wait(20);
        assert_eq!(bench.read(ASSOCIATE), Err(Errno::EIO));
        bench.wait(30_000);
        bench.read(BIND).unwrap();
        bench.wait(30);
        assert_eq!(
            (bench.read(BIND).unwrap().as_str(), bench.read(ASSOCIATE).unwrap().as_str()),
            (state, "unassociated")
        );
    }
}

#[test]
fn a_doubled_id_is_refused_late_if_the_switch_says_so() {
    for (switch, answer) in [("true", Err(Errno::EIO)), ("false", Ok("associated 0".to_owned()))] {
        let mut bench = bound(&format!("switches: {{doubled_id_is_not_unique: {switch}}}"));
        bench.add(1);
        bench.write(ASSOCIATE, "0").unwrap();
        bench.wait(20);
        assert_eq!(bench.read(ASSOCIATE), answer);
    }
}

#[test]
fn stuck_and_refused_steps_leave_the_queue_as_it_was() {
    let mut bench = bound("faults: [{on: associate, stuck: true}, {on: bind, target: 0a.0006, ap_rc: 0x33}]");
    bench.write(ASSOCIATE, "0").unwrap();
    bench.wait(1_000_000);
    assert_eq!(bench.read(ASSOCIATE).unwrap(), "association pending");
    assert_eq!(bench.write("devices/ap/card0a/0a.0006/se_bind", "1"), Err(Errno::EIO));
    assert_eq!(bench.read("devices/ap/card0a/0a.0006/se_bind").unwrap(), "unbound");
    bench.write("devices/ap/card0a/0a.0006/se_bind", "1").unwrap();
}

#[test]
fn a_card_has_a_bind_limit() {
    let mut bench = bench("");
    bench.guest.set("cards: {\"0a\": {bind_limit: 1}}", bench.now).unwrap();
    bench.write(BIND, "1").unwrap();
    assert_eq!(bench.write("devices/ap/card0a/0a.0006/se_bind", "1"), Err(Errno::EIO));
    bench.wait(15);
    bench.write(BIND, "0").unwrap();
    bench.wait(30);
    bench.write("devices/ap/card0a/0a.0006/se_bind", "1").unwrap();
}

#[test]
fn an_unbind_flushes_waiting_requests_and_says_so_in_the_log() {
    let mut bench = bench("");
    bench.write("devices/ap/card0a/0a.0006/se_bind", "0").unwrap();
    assert_eq!(bench.last_event().flushed, 3);
    assert_eq!(bench.read("devices/ap/card0a/0a.0006/requestq_count").unwrap(), "0");
}

#[test]
fn a_dead_queue_swallows_an_unbind_and_comes_back_without_its_index() {
    let mut bench = bound("");
    bench.write(ASSOCIATE, "0").unwrap();
    bench.wait(20);
    bench.guest.set("cards: {\"0a\": {queues: {\"0005\": {config: false}}}}", bench.now).unwrap();
    assert_eq!(bench.read("devices/ap/card0a/0a.0005/config").unwrap(), "0");
    bench.write(BIND, "0").unwrap();
    bench.wait(1000);
    assert_eq!(bench.read(BIND).unwrap(), "bound", "nothing was done");
    assert_eq!(bench.read(MKVPS).unwrap(), "WK CUR: - -\nWK NEW: - -");
    bench.guest.set("cards: {\"0a\": {queues: {\"0005\": {config: true}}}}", bench.now).unwrap();
    bench.wait(30);
    assert_eq!(bench.read(ASSOCIATE), Err(Errno::EIO), "usable, but the kernel does not know the index");
    assert_eq!(bench.read(FUNCTIONS).unwrap(), "0x86000000");
    bench.write(BIND, "0").unwrap();
    bench.wait(30);
    assert_eq!(bench.read(BIND).unwrap(), "unbound");
}

#[test]
fn an_unusable_queue_reads_unbound_and_never_binds() {
    let mut bench = Bench::new("cards: {\"0a\": {type: CEX8P, queues: {\"0005\": {unusable: true}}}}");
    assert_eq!(bench.read(BIND).unwrap(), "unbound");
    assert_eq!(bench.read(FUNCTIONS).unwrap(), "0x8600C000");
    assert_eq!(bench.write(BIND, "1"), Err(Errno::EINVAL));
}

#[test]
fn queues_can_become_something_else_in_the_middle() {
    for (becomes, path, text) in [
        ("checkstopped", "chkstop", Ok("1")),
        ("deconfigured", "config", Ok("0")),
        ("offline", "online", Ok("0")),
        ("unbound", "se_bind", Ok("unbound")),
        ("lost", "config", Err(Errno::ENODEV)),
        ("recreated", "config", Err(Errno::ENODEV)),
    ] {
        let mut bench = bench(&format!("faults: [{{on: bind, becomes: {becomes}}}]"));
        bench.write(BIND, "1").unwrap();
        bench.wait(15);
        let found = bench.read(&format!("devices/ap/card0a/0a.0005/{path}"));
        assert_eq!(found, text.map(String::from), "{becomes}");
    }
}

#[test]
fn a_queue_that_is_made_anew_is_away_for_a_while_and_comes_back_free() {
    let mut bench = bound("faults: [{on: associate, becomes: recreated}]");
    bench.write(ASSOCIATE, "0").unwrap();
    bench.wait(20);
    assert_eq!(bench.read(BIND), Err(Errno::ENODEV));
    bench.wait(30);
    assert_eq!((bench.read(BIND).unwrap(), bench.read(ASSOCIATE).unwrap()), ("unbound".into(), "unassociated".into()));
    bench.write(BIND, "1").unwrap();
}

#[test]
fn a_plain_guest_has_no_secure_binding_and_reads_keys_at_once() {
    for plain in ["ap: {features: APXA RC8A}", "ultravisor: {guest: false}"] {
        let mut bench = bench(plain);
        assert_eq!(bench.read(BIND), Err(Errno::ENODEV));
        assert!(bench.read(MKVPS).unwrap().starts_with("WK CUR: valid 0x00010203"));
    }
}

#[test]
fn the_bus_says_when_all_queues_have_their_driver() {
    let mut bench = bench("ap: {bindings_complete_after_ms: 50}");
    assert_eq!(bench.read("bus/ap/features").unwrap(), "APXA RC8A APSB");
    assert_eq!(bench.read("bus/ap/bindings").unwrap(), "3/4");
    bench.wait(50);
    assert_eq!(bench.read("bus/ap/bindings").unwrap(), "4/4 (complete)");
    assert_eq!(bench.read("bus/ap/config_time").unwrap(), "30");
}

#[test]
fn a_slow_bind_is_an_error_that_succeeds_if_the_switch_says_so() {
    let mut bench = bench("switches: {slow_bind_is_eio: true}");
    assert_eq!(bench.write(BIND, "1"), Err(Errno::EIO));
    bench.wait(10);
    assert_eq!(bench.read(BIND).unwrap(), "bound");
}

#[test]
fn a_reset_keeps_or_drops_the_binding() {
    for (keeps, state) in [("true", "associated 0"), ("false", "unassociated")] {
        let mut bench = bound(&format!("switches: {{reset_keeps_binding: {keeps}}}"));
        bench.write(ASSOCIATE, "0").unwrap();
        bench.wait(20);
        bench.write("devices/ap/card0a/0a.0005/reset", "1").unwrap();
        bench.wait(30);
        assert_eq!(bench.read(ASSOCIATE).unwrap(), state);
    }
}

#[test]
fn a_fault_of_the_firmware_waits_until_the_firmware_is_asked() {
    let faults = "faults: [{on: associate, ap_rc: 0x34}, {on: bind, nth: 2, ap_rc: 0x30}]";
    let mut bench = bench(&format!("kernel: {{manners: old}}\n{faults}"));
    bench.add(1);
    bench.write(BIND, "1").unwrap();
    bench.wait(10);
    assert_eq!(bench.write(ASSOCIATE, "0"), Err(Errno::EBUSY), "the kernel itself refuses");
    bench.wait(5);
    assert_eq!(bench.write(ASSOCIATE, "0"), Err(Errno::EIO));
    bench.write(BIND, "0").unwrap();
    assert_eq!(bench.write(BIND, "1"), Err(Errno::EBUSY), "the kernel itself refuses");
    bench.wait(30);
    assert_eq!(bench.write(BIND, "1"), Err(Errno::EIO));
}

#[test]
fn a_queue_that_is_new_while_the_guest_runs_can_be_bound_at_once() {
    let mut bench = bench("");
    let added = r#"cards: {"0a": {queues: {"0007": {}}}, "0d": {type: CEX8P, queues: {"0005": {}}}}"#;
    bench.guest.set(added, bench.now).unwrap();
    for queue in ["devices/ap/card0a/0a.0007", "devices/ap/card0d/0d.0005"] {
        assert_eq!(bench.read(&format!("{queue}/reset")).unwrap(), "No Reset Timer set.");
        bench.write(&format!("{queue}/se_bind"), "1").unwrap();
    }
}

#[test]
fn a_reset_that_is_always_refused_ends_also_where_the_bus_is_scanned_without_a_pause() {
    let mut bench = bound("faults: [{on: reset, ap_rc: 0x05, times: 0}]");
    bench.guest.set("delays: {scan_ms: 0}", bench.now).unwrap();
    bench.write(BIND, "0").unwrap();
    for _ in 0..3 {
        assert_eq!(bench.read(RESET).unwrap(), "Reset in progress.");
        bench.wait(1);
    }
    bench.guest.set("clear_faults: true", bench.now).unwrap();
    bench.wait(1);
    bench.read(RESET).unwrap();
    bench.wait(30);
    assert_eq!(bench.read(RESET).unwrap(), "No Reset Timer set.");
}

#[test]
fn a_place_that_the_bus_scan_frees_counts_for_the_next_bind_of_the_card() {
    let scenario = "faults: [{on: associate, ap_rc: 0x36}]\nswitches: {reset_keeps_binding: false}";
    let mut bench = bound(scenario);
    bench.guest.set("delays: {scan_ms: 100, reset_ms: 0}\ncards: {\"0a\": {bind_limit: 1}}", bench.now).unwrap();
    bench.write(ASSOCIATE, "0").unwrap();
    bench.wait(20);
    bench.read(BIND).unwrap_err();
    let other = "devices/ap/card0a/0a.0006/se_bind";
    assert_eq!(bench.write(other, "1"), Err(Errno::EIO), "the place is taken");
    // The scan resets the first queue; nobody looks at that meanwhile.
    bench.wait(100);
    bench.write(other, "1").unwrap();
}

#[test]
fn a_card_is_asked_through_a_queue_whose_reset_was_refused_only_by_a_kernel_that_does_so() {
    for (kernel, serialnr) in [("", ""), ("kernel: {asks_refused_queue: true}\n", "93AADFK719460083")] {
        let mut bench = bound(&format!("{kernel}faults: [{{on: reset, ap_rc: 0x01, times: 0}}]"));
        let read = |bench: &mut Bench| bench.read("devices/ap/card0a/serialnr").unwrap();
        assert_eq!(read(&mut bench), "93AADFK719460083");
        bench.write(BIND, "0").unwrap();
        assert_eq!(
            (bench.read(BIND).unwrap(), bench.read(MKVPS).unwrap()),
            ("bound".into(), "WK CUR: - -\nWK NEW: - -".into())
        );
        assert_eq!(read(&mut bench), serialnr);
    }
}
