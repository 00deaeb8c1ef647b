//! `ap_bind`: which queue serves which entry, and what is written for it.

use crate::queues::*;
use crate::support::*;
use e2e::Guest;
use serde_json::{Value, json};

#[test]
fn entries_are_served_and_a_second_run_writes_nothing() {
    if !e2e::can_simulate("entries_are_served_and_a_second_run_writes_nothing") {
        return;
    }
    let guest = guest(CARDS);
    with_secrets(&guest, &["other", "a"]);
    let arguments = bind([ep11("a", KEY_A), accel()]);
    let first = ok(&guest, MODULE, &arguments);
    assert_eq!(first["changed"], true);
    assert_eq!(column(&first["entries"], "status"), ["served", "served"]);
    assert_eq!(column(&first["entries"], "apqn"), ["00.0005", "01.0005"]);
    assert_eq!(column(&first["entries"], "secretid"), [json!(id("a")), Value::Null]);
    let queue = &first["queues"][0];
    assert_eq!((&queue["serialnr"], &queue["mkvp"]), (&json!(SERIAL), &json!(format!("0x{KEY_A}"))));
    assert_eq!(queue["before"], json!({"bind": "unbound", "associate": "unassociated"}));
    assert_eq!(queue["after"], json!({"bind": "bound", "associate": "associated 1"}));
    assert_eq!(states(&guest)["00.0005"], "associated 1");
    assert_eq!(states(&guest)["01.0005"], "bound");
    assert_eq!(diffed(&first), ["queue 00.0005", "queue 01.0005"]);

    let (state, writes_before) = (guest.state().unwrap(), writes(&guest));
    for arguments in [&arguments, &checked(&arguments)] {
        let second = ok(&guest, MODULE, arguments);
        assert_eq!((&second["changed"], second["diff"].as_array().unwrap().len()), (&json!(false), 0));
        assert_eq!(second["entries"], first["entries"]);
        assert_eq!((guest.state().unwrap(), writes(&guest)), (state.clone(), writes_before.clone()));
    }
    assert_eq!(shell(&guest, "ls /run/lock"), "");
}

#[test]
fn check_mode_tells_what_it_can_and_binds_nothing() {
    if !e2e::can_simulate("check_mode_tells_what_it_can_and_binds_nothing") {
        return;
    }
    let guest = guest(CARDS);
    with_secrets(&guest, &["a"]);
    let state = guest.state().unwrap();
    let arguments = checked(&bind([ep11("a", KEY_A), accel()]));
    let predicted = ok(&guest, MODULE, &arguments);
    assert_eq!((&predicted["changed"], &predicted["predicted"]), (&json!(true), &json!("partial")));
    assert_eq!(column(&predicted["entries"], "status"), ["undetermined", "would_serve"]);
    assert_eq!((guest.state().unwrap(), writes(&guest)), (state, vec![]));
    // Once somebody has bound it, its key can be read and the prediction is whole.
    shell(&guest, "echo 1 > /sys/devices/ap/card00/00.0005/se_bind");
    until(&guest, "00.0005", "bound");
    let predicted = ok(&guest, MODULE, &arguments);
    assert_eq!(column(&predicted["entries"], "status"), ["would_serve", "would_serve"]);
    assert_eq!((predicted.get("predicted"), &predicted["changed"]), (None, &json!(true)));
    assert_eq!(predicted["queues"][0]["after"]["associate"], "associated 0");
    assert_eq!(writes(&guest).len(), 1);
    assert_eq!(shell(&guest, "ls /run/seguest-pv /run/lock"), "/run/lock:\n\n/run/seguest-pv:\nprivate\n");
}

#[test]
fn what_is_bound_only_to_look_at_it_is_released_and_no_change() {
    if !e2e::can_simulate("what_is_bound_only_to_look_at_it_is_released_and_no_change") {
        return;
    }
    let guest = guest(CARDS);
    with_secrets(&guest, &["b"]);
    let result = ok(&guest, MODULE, &bind([ep11("b", KEY_B)]));
    assert_eq!(column(&result["entries"], "apqn"), ["00.0006"]);
    assert_eq!(result["inspected"], json!(["00.0005", "02.0005"]));
    assert_eq!(diffed(&result), ["queue 00.0006"]);
    assert_eq!(held(&guest), ["00.0006"]);
    // Neither accelerators nor CCA queues have a key to look at.
    assert!(writes(&guest).iter().all(|write| write.starts_with("00.") || write.starts_with("02.")), "{guest:?}");
    let nothing_fits = bind([ep11("b", KEY_B), ep11("b", KEY_C)]);
    let result = fails(&guest, MODULE, &nothing_fits, "ap.no_matching_queue");
    assert_eq!((&result["changed"], &result["inspected"]), (&json!(false), &json!(["00.0005", "02.0005"])));
    assert_eq!(held(&guest), ["00.0006"]);
}

#[test]
fn a_queue_whose_master_key_is_no_longer_the_wanted_one_is_never_silently_kept() {
    if !e2e::can_simulate("a_queue_whose_master_key_is_no_longer_the_wanted_one_is_never_silently_kept") {
        return;
    }
    let guest = guest(CARDS);
    with_secrets(&guest, &["a"]);
    ok(&guest, MODULE, &bind([ep11("a", KEY_A)]));
    guest.set(&format!("cards: {{\"00\": {{queues: {{\"0005\": {{mkvp: \"{KEY_C}\"}}}}}}}}")).unwrap();
    guest.set(&format!("cards: {{\"02\": {{queues: {{\"0005\": {{mkvp: \"{KEY_C}\"}}}}}}}}")).unwrap();
    let result = fails(&guest, MODULE, &bind([ep11("a", KEY_A)]), "ap.mkvp_mismatch");
    assert_eq!((&result["entries"][0]["status"], &result["changed"]), (&json!("unserved"), &json!(false)));
    let predicted = ok(&guest, MODULE, &checked(&bind([ep11("a", KEY_A)])));
    assert!(warned(&predicted, "ap.mkvp_mismatch"), "{predicted}");
    // Where another queue fits, it serves; the mismatch is still told.
    guest.set(&format!("cards: {{\"02\": {{queues: {{\"0005\": {{mkvp: \"{KEY_A}\"}}}}}}}}")).unwrap();
    let result = ok(&guest, MODULE, &bind([ep11("a", KEY_A)]));
    assert_eq!(result["entries"][0]["apqn"], "02.0005");
    assert!(warned(&result, "ap.mkvp_mismatch"), "{result}");
}

#[test]
fn a_queue_that_is_offline_does_not_serve_and_is_no_mismatch() {
    if !e2e::can_simulate("a_queue_that_is_offline_does_not_serve_and_is_no_mismatch") {
        return;
    }
    let guest = guest(CARDS);
    with_secrets(&guest, &["a"]);
    let mut entry = ep11("a", KEY_A);
    entry["serialnr"] = SERIAL.into();
    ok(&guest, MODULE, &bind([entry.clone()]));
    for (fragment, why) in [
        ("online: false", "00.0005 (offline)"),
        ("online: true, chkstop: true", "00.0005 (checkstopped)"),
        ("chkstop: false, config: false", "00.0005 (deconfigured)"),
    ] {
        guest.set(&format!("cards: {{\"00\": {{queues: {{\"0005\": {{{fragment}}}}}}}}}")).unwrap();
        let result = fails(&guest, MODULE, &bind([entry.clone()]), "ap.no_matching_queue");
        assert_eq!((&result["changed"], &result["entries"][0]["status"]), (&json!(false), &json!("unserved")));
        assert!(result["error"]["detail"].as_str().unwrap().contains(why), "{result}");
    }
}

#[test]
fn a_free_queue_that_is_out_of_service_is_named_where_it_would_fit() {
    if !e2e::can_simulate("a_free_queue_that_is_out_of_service_is_named_where_it_would_fit") {
        return;
    }
    let guest = guest(CARDS);
    for (fragment, why) in [
        ("online: false", "01.0005 (offline), 01.0006 (offline)"),
        ("online: true, chkstop: true", "01.0005 (checkstopped), 01.0006 (checkstopped)"),
        ("chkstop: false, config: false", "01.0005 (deconfigured), 01.0006 (deconfigured)"),
    ] {
        guest.set(&format!("cards: {{\"01\": {{{fragment}}}}}")).unwrap();
        for arguments in [bind([accel()]), with(checked(&bind([accel()])), "strict", true)] {
            let result = guest.module(MODULE, &arguments).unwrap();
            let said = format!("{} {}", result["error"]["detail"], result["warnings"]);
            assert!(said.contains(why), "{result}");
        }
    }
}

#[test]
fn where_entries_were_exchanged_no_master_key_is_said_to_have_changed() {
    if !e2e::can_simulate("where_entries_were_exchanged_no_master_key_is_said_to_have_changed") {
        return;
    }
    let guest = guest(CARDS);
    with_secrets(&guest, &["a", "b"]);
    ok(&guest, MODULE, &bind([at("a", "00.0005"), ep11("b", KEY_B)]));
    for entries in [bind([ep11("a", KEY_C)]), bind([ep11("a", KEY_B)])] {
        let result = fails(&guest, MODULE, &entries, "ap.mkvp_mismatch");
        let (detail, hint) = (result["error"]["detail"].as_str().unwrap(), result["error"]["hint"].as_str().unwrap());
        assert!(detail.contains("00.0005") && !detail.contains("changed"), "{result}");
        assert!(hint.contains("or the entries were"), "{result}");
    }
}

#[test]
fn a_choosy_entry_is_served_though_an_earlier_one_could_have_its_queue() {
    if !e2e::can_simulate("a_choosy_entry_is_served_though_an_earlier_one_could_have_its_queue") {
        return;
    }
    let guest = guest(CARDS);
    with_secrets(&guest, &["a", "b"]);
    let mut choosy = ep11("b", KEY_A);
    choosy["serialnr"] = SERIAL.into();
    let result = ok(&guest, MODULE, &bind([ep11("a", KEY_A), choosy]));
    assert_eq!(column(&result["entries"], "apqn"), ["02.0005", "00.0005"]);
    assert_eq!(
        (states(&guest)["02.0005"].as_str(), states(&guest)["00.0005"].as_str()),
        ("associated 0", "associated 1")
    );
}

#[test]
fn the_newest_generation_then_the_lowest_name_is_taken_unless_a_queue_is_named() {
    if !e2e::can_simulate("the_newest_generation_then_the_lowest_name_is_taken_unless_a_queue_is_named") {
        return;
    }
    let cards = "cards:\n  \"00\": {type: CEX5A, queues: {\"0001\": {}}}\n  \"05\": {type: CEX10A, queues: {\"0002\": {}, \"0001\": {}}}\n";
    let choice = |entry: Value| ok(&guest(cards), MODULE, &bind([entry]))["entries"][0]["apqn"].clone();
    assert_eq!(choice(accel()), "05.0001");
    assert_eq!(choice(json!({"mode": "accel", "mingen": "CEX8"})), "05.0001");
    assert_eq!(choice(json!({"mode": "accel", "apqn": "00.0001"})), "00.0001");
    fails(&guest(cards), MODULE, &bind([json!({"mode": "accel", "mingen": "cex11"})]), "ap.no_matching_queue");
}

#[test]
fn strict_is_all_or_nothing_and_otherwise_what_can_be_served_is() {
    if !e2e::can_simulate("strict_is_all_or_nothing_and_otherwise_what_can_be_served_is") {
        return;
    }
    let guest = guest(CARDS);
    with_secrets(&guest, &["a"]);
    let mut arguments = bind([ep11("a", KEY_A), ep11("missing", KEY_B), accel()]);
    let result = fails(&guest, MODULE, &arguments, "ap.secret_missing");
    assert_eq!(result["changed"], false);
    assert_eq!(column(&result["entries"], "reason"), ["ap.left_undone", "ap.secret_missing", "ap.left_undone"]);
    assert_eq!(held(&guest), Vec::<String>::new());
    let predicted = ok(&guest, MODULE, &checked(&arguments));
    assert!(warned(&predicted, "ap.secret_missing"), "{predicted}");
    assert_eq!(predicted["predicted"], "partial");
    arguments["strict"] = false.into();
    let result = ok(&guest, MODULE, &arguments);
    assert_eq!(column(&result["entries"], "status"), ["served", "unserved", "served"]);
    assert!(warned(&result, "ap.secret_missing"), "{result}");
    assert_eq!(held(&guest), ["00.0005", "01.0005"]);
}

#[test]
fn check_mode_predicts_no_change_where_one_entry_keeps_strict_from_any() {
    if !e2e::can_simulate("check_mode_predicts_no_change_where_one_entry_keeps_strict_from_any") {
        return;
    }
    let guest = guest(CARDS);
    with_secrets(&guest, &["a"]);
    ok(&guest, MODULE, &bind([accel(), accel()]));
    // One of the two would go, were it not for an entry that nothing can serve.
    let newer = json!({"mode": "accel", "mingen": "cex99"});
    let mut arguments = bind([ep11("a", KEY_A), accel(), newer]);
    arguments["exclusive"] = true.into();
    let predicted = fails(&guest, MODULE, &checked(&arguments), "ap.no_matching_queue");
    assert_eq!((&predicted["changed"], diffed(&predicted)), (&json!(false), Vec::<String>::new()), "{predicted}");
    assert_eq!(column(&predicted["entries"], "status"), ["undetermined", "served", "unserved"]);
    let done = fails(&guest, MODULE, &arguments, "ap.no_matching_queue");
    assert_eq!((&done["changed"], diffed(&done)), (&json!(false), Vec::<String>::new()), "{done}");
    // Of queues that need not be looked at, all is known.
    let newer = json!({"mode": "accel", "mingen": "cex99"});
    let mut arguments = bind([accel(), accel(), newer]);
    ok(&guest, MODULE, &json!({"state": "unbound", "all": true}));
    arguments["exclusive"] = true.into();
    let predicted = fails(&guest, MODULE, &checked(&arguments), "ap.no_matching_queue");
    let done = fails(&guest, MODULE, &arguments, "ap.no_matching_queue");
    for part in ["changed", "diff", "entries"] {
        assert_eq!(predicted[part], done[part], "{part}");
    }
    assert_eq!((held(&guest), &done["changed"]), (Vec::<String>::new(), &json!(false)));
}

#[test]
fn only_exclusive_takes_and_releases_what_no_entry_wants() {
    if !e2e::can_simulate("only_exclusive_takes_and_releases_what_no_entry_wants") {
        return;
    }
    let guest = guest(CARDS);
    with_secrets(&guest, &["a", "b"]);
    ok(&guest, MODULE, &bind([ep11("a", KEY_A), accel(), accel()]));
    let mut arguments = bind([at("b", "00.0005"), accel()]);
    fails(&guest, MODULE, &arguments, "ap.no_matching_queue");
    assert_eq!(held(&guest), ["00.0005", "01.0005", "01.0006"]);
    arguments["exclusive"] = true.into();
    let predicted = ok(&guest, MODULE, &checked(&arguments));
    assert_eq!(held(&guest), ["00.0005", "01.0005", "01.0006"]);
    let result = ok(&guest, MODULE, &arguments);
    assert_eq!(
        (column(&result["entries"], "status"), result["changed"].clone()),
        (vec![json!("served"); 2], json!(true))
    );
    assert_eq!(diffed(&result), ["queue 00.0005", "queue 01.0006"]);
    assert_eq!(result["diff"], predicted["diff"]);
    assert_eq!(
        (held(&guest), states(&guest)["00.0005"].as_str()),
        (vec!["00.0005".into(), "01.0005".into()], "associated 1")
    );
    assert_eq!(ok(&guest, MODULE, &arguments)["changed"], false);
}

#[test]
fn unbound_releases_what_serves_the_entries_or_everything() {
    if !e2e::can_simulate("unbound_releases_what_serves_the_entries_or_everything") {
        return;
    }
    let guest = guest(CARDS);
    with_secrets(&guest, &["a", "b"]);
    ok(&guest, MODULE, &bind([ep11("a", KEY_A), ep11("b", KEY_B), accel()]));
    let mut release = bind([ep11("a", KEY_A)]);
    release["state"] = "unbound".into();
    let all = json!({"state": "unbound", "all": true, "_ansible_diff": true});
    for (arguments, left) in [(&release, vec!["00.0006", "01.0005"]), (&all, vec![])] {
        let (before, count) = (guest.state().unwrap(), writes(&guest).len());
        let predicted = ok(&guest, MODULE, &checked(arguments));
        assert_eq!((guest.state().unwrap(), writes(&guest).len()), (before, count));
        let result = ok(&guest, MODULE, arguments);
        assert_eq!((&result["changed"], &predicted["changed"]), (&json!(true), &json!(true)));
        assert_eq!(result["diff"], predicted["diff"]);
        assert_eq!(held(&guest), left);
        let again = ok(&guest, MODULE, arguments);
        assert_eq!(again["changed"], false, "{again}");
    }
}

#[test]
fn an_empty_list_does_nothing_and_is_never_exclusive() {
    if !e2e::can_simulate("an_empty_list_does_nothing_and_is_never_exclusive") {
        return;
    }
    let guest = guest(CARDS);
    for arguments in [json!({"entries": []}), json!({"config_content": ""}), json!({"config": file(b"# nothing\n")})] {
        let result = ok(&guest, MODULE, &arguments);
        assert!(result["changed"] == false && warned(&result, "config.no_entries"), "{result}");
    }
    fails(&guest, MODULE, &json!({"entries": [], "exclusive": true}), "args.empty_exclusive");
    assert_eq!(guest.log().unwrap(), Vec::<Value>::new());
}

#[test]
fn options_that_say_nothing_or_too_much_are_refused_before_anything_is_looked_at() {
    if !e2e::can_simulate("options_that_say_nothing_or_too_much_are_refused_before_anything_is_looked_at") {
        return;
    }
    let guest = guest(CARDS);
    for (arguments, code) in [
        (json!({}), "args.missing"),
        (json!({"state": "unbound"}), "args.missing"),
        (json!({"entries": [accel()], "config": "/x"}), "args.conflict"),
        (json!({"entries": [accel()], "state": "unbound", "all": true}), "args.conflict"),
        (json!({"entries": [accel()], "state": "unbound", "exclusive": true}), "args.conflict"),
        (json!({"entries": [accel()], "state": "unbound", "rebalance": true}), "args.conflict"),
        (json!({"src": "x"}), "args.src_needs_collection"),
        (json!({"config": no_file()}), "config.unreadable"),
        (json!({"config_content": "mode: accel"}), "config.invalid"),
        (json!({"entries": [{"mode": "ep11", "name": "a"}]}), "config.invalid_entry"),
        (json!({"entries": [{"mode": "accel", "mkpv": "1"}]}), "args.unknown_option"),
        (json!({"entries": [{"mode": "accel"}], "when_busy": "never"}), "args.invalid"),
        (json!({"entries": [{"mode": "ep11", "name": "a", "mkvp": 12}]}), "args.quote_hex"),
    ] {
        fails(&guest, MODULE, &arguments, code);
    }
    assert_eq!(guest.log().unwrap(), Vec::<Value>::new());
}

/// The sample of IBM's documentation.
const SAMPLE: &str = "
- name: my-secret
  description: queue for the HSM
  mode: EP11
  mkvp: 0xdb3c3b3c3f097dd55ec7eb0e7fdbcb933b773619640a1a75a9161cec00000000
  serialnr: 93AADFK719460083
  mingen: cex8
- mode: Accel
  mingen: cex4
";

#[test]
fn a_configuration_of_pvapconfig_is_taken_as_file_text_or_list() {
    if !e2e::can_simulate("a_configuration_of_pvapconfig_is_taken_as_file_text_or_list") {
        return;
    }
    let inline = json!([
        {"name": "my-secret", "mode": "EP11", "serialnr": SERIAL, "mingen": "cex8",
         "mkvp": "0xdb3c3b3c3f097dd55ec7eb0e7fdbcb933b773619640a1a75a9161cec00000000"},
        {"mode": "Accel", "mingen": "cex4"}
    ]);
    let guest = guest(CARDS);
    guest.set("cards: {\"00\": {queues: {\"0006\": {mkvp: \"db3c3b3c3f097dd55ec7eb0e7fdbcb93\"}}}}").unwrap();
    with_secrets(&guest, &["my-secret"]);
    let changed = |arguments: Value| {
        let result = ok(&guest, MODULE, &arguments);
        assert_eq!(column(&result["entries"], "apqn"), ["00.0006", "01.0005"]);
        result["changed"].clone()
    };
    assert_eq!(changed(json!({"config": file(SAMPLE.as_bytes())})), true);
    assert_eq!(changed(json!({"config_content": SAMPLE})), false);
    assert_eq!(changed(json!({"entries": inline})), false);
    assert_eq!(changed(json!({"entries": inline.to_string()})), false);
}

#[test]
fn a_configuration_that_is_no_file_or_too_long_is_refused_whole() {
    if !e2e::can_simulate("a_configuration_that_is_no_file_or_too_long_is_refused_whole") {
        return;
    }
    let guest = guest(CARDS);
    let fifo = no_file();
    shell(&guest, &format!("mkfifo {fifo}"));
    let entry = b"- mode: accel\n";
    let long = [entry.as_slice(), &vec![b'\n'; 4 << 20]].concat();
    for path in [fifo, "/proc".into(), "/dev/null".into(), file(&long), file(b"- mode: \xff")] {
        fails(&guest, MODULE, &json!({"config": path}), "config.unreadable");
    }
    assert_eq!(guest.log().unwrap(), Vec::<Value>::new());
    assert_eq!(ok(&guest, MODULE, &json!({"config": file(&long[..4 << 20])}))["changed"], true);
}

#[test]
fn check_mode_takes_a_configuration_that_is_not_there_for_one_that_an_earlier_task_makes() {
    if !e2e::can_simulate("check_mode_takes_a_configuration_that_is_not_there_for_one_that_an_earlier_task_makes") {
        return;
    }
    let guest = guest(CARDS);
    let check = |rest: Value| {
        let mut arguments = json!({"config": no_file(), "_ansible_check_mode": true});
        arguments.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
        arguments
    };
    for rest in [json!({}), json!({"exclusive": true}), json!({"state": "unbound"})] {
        let result = ok(&guest, MODULE, &check(rest));
        assert_eq!((&result["changed"], &result["predicted"]), (&json!(true), &json!("partial")));
        assert!(result["warnings"][0].as_str().unwrap().ends_with("[config.unreadable]"), "{result}");
    }
    // What no earlier task could mend.
    fails(&guest, MODULE, &check(json!({"all": true})), "args.conflict");
    let mut folder = check(json!({}));
    folder["config"] = json!("/proc");
    fails(&guest, MODULE, &folder, "config.unreadable");
    assert_eq!(guest.log().unwrap(), Vec::<Value>::new());
}

fn plan(guest: &Guest) -> Value {
    let arguments = bind([ep11("b", KEY_A), accel(), ep11("a", KEY_A), ep11("c", KEY_B), accel()]);
    let result = ok(guest, MODULE, &arguments);
    assert_eq!(ok(guest, MODULE, &arguments)["changed"], false);
    json!([result["entries"], states(guest)])
}

#[test]
fn after_a_reboot_the_same_queues_serve_the_same_entries_with_the_indices_of_that_boot() {
    if !e2e::can_simulate("after_a_reboot_the_same_queues_serve_the_same_entries_with_the_indices_of_that_boot") {
        return;
    }
    let guest = guest(CARDS);
    with_secrets(&guest, &["a", "b", "c"]);
    let first = plan(&guest);
    guest.reboot().unwrap();
    with_secrets(&guest, &["c", "b", "a"]);
    let second = plan(&guest);
    assert_eq!(first[0], second[0]);
    assert_eq!((&first[1]["02.0005"], &second[1]["02.0005"]), (&json!("associated 0"), &json!("associated 2")));
}

#[test]
fn whatever_the_kernel_and_the_firmware_do_that_nobody_documents_the_end_is_the_same() {
    if !e2e::can_simulate("whatever_the_kernel_and_the_firmware_do_that_nobody_documents_the_end_is_the_same") {
        return;
    }
    let under = |scenario: &str| {
        let guest = guest(CARDS);
        guest.set(scenario).unwrap();
        with_secrets(&guest, &["a", "b", "c"]);
        let served = plan(&guest);
        ok(&guest, MODULE, &json!({"state": "unbound", "all": true}));
        assert_eq!(held(&guest), Vec::<String>::new(), "{scenario}");
        served
    };
    let usual = under("");
    for manners in ["old", "new"] {
        for switch in [
            "reset_keeps_binding: false",
            "bound_during_reset: true",
            "slow_bind_is_eio: true",
            "accelerator_without_keys: true",
            "dead_queue_reads_zero: true",
            "doubled_id_is_not_unique: false",
        ] {
            let scenario = format!("kernel: {{manners: {manners}}}\nswitches: {{{switch}}}\n");
            assert_eq!(under(&scenario), usual, "{scenario}");
        }
        for delays in [
            "bind_ms: 0, settle_ms: 0, associate_ms: 0, reset_ms: 0",
            "bind_ms: 80, settle_ms: 40, associate_ms: 90, reset_ms: 70",
        ] {
            let scenario = format!("kernel: {{manners: {manners}}}\ndelays: {{{delays}}}\n");
            assert_eq!(under(&scenario), usual, "{scenario}");
        }
    }
}
