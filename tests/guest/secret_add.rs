//! `secret_add`: what it adds, when it does not, and what it says of it.

use crate::support::*;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use pv_request::{Extension, Secret, SecretClass};
use pv_wire::SecretId;
use serde_json::{Value, json};

const MODULE: &str = "secret_add";

fn requests(paths: &[&String]) -> Value {
    json!({"requests": paths.iter().map(|path| json!({"path": path})).collect::<Vec<_>>()})
}

#[test]
fn what_is_missing_is_added_in_the_order_given_and_only_once() {
    if !e2e::can_simulate("what_is_missing_is_added_in_the_order_given_and_only_once") {
        return;
    }
    let guest = guest("");
    let (z, a) = (request("z"), request("a"));
    let first = ok(&guest, MODULE, &requests(&[&z, &a]));
    assert_eq!(first["changed"], true);
    assert_eq!(column(&first["requests"], "evidence"), ["added_now", "added_now"]);
    assert_eq!(column(&first["requests"], "id"), [id("z"), id("a")]);
    assert_eq!(column(&first["requests"], "index"), [0, 1]);
    assert_eq!(column(&first["secrets"], "id"), [id("z"), id("a")]);
    assert_eq!(first["total"], 2);
    let state = guest.state().unwrap();
    assert_eq!(column(&state["secrets"], "id"), [&id("z")[2..], &id("a")[2..]]);
    assert_eq!(state["accepted"], json!(column(&first["requests"], "tag")));

    let second = ok(&guest, MODULE, &requests(&[&a, &z]));
    assert_eq!(second["changed"], false);
    assert_eq!(column(&second["requests"], "evidence"), ["added_this_boot", "added_this_boot"]);
    assert_eq!(column(&second["requests"], "index"), [1, 0]);
    assert_eq!(adds(&guest), ["0x0001", "0x0001"]);
    assert_eq!(guest.state().unwrap(), state);
}

#[test]
fn a_request_may_come_as_content_which_is_not_repeated_in_the_result() {
    if !e2e::can_simulate("a_request_may_come_as_content_which_is_not_repeated_in_the_result") {
        return;
    }
    let guest = guest("");
    let content = STANDARD.encode(build(&add(association("a")), &["m2", "m1"]));
    let result =
        ok(&guest, MODULE, &json!({"content": content, "label": "queue 1", "timeout": "5", "_ansible_diff": true}));
    assert_eq!((&result["requests"][0]["label"], &result["requests"][0]["changed"]), (&json!("queue 1"), &json!(true)));
    assert_eq!(result["diff"].as_array().unwrap().len(), 1);
    assert_eq!(result["invocation"]["module_args"]["timeout"], 5);
    assert!(!result.to_string().contains(&content[..40]));
}

#[test]
fn an_id_alone_is_weak_evidence_and_adds_nothing() {
    if !e2e::can_simulate("an_id_alone_is_weak_evidence_and_adds_nothing") {
        return;
    }
    let guest = guest("");
    let arguments = json!({"path": request("a")});
    ok(&guest, MODULE, &arguments);
    shell(&guest, "rm -r /run/seguest-pv");
    let again = ok(&guest, MODULE, &arguments);
    assert_eq!((&again["changed"], &again["requests"][0]["evidence"]), (&json!(false), &json!("id_only")));
    assert_eq!(again.get("warnings"), None);
    assert_eq!(adds(&guest).len(), 1);
}

#[test]
fn another_request_of_the_same_id_is_not_added_and_may_differ_unless_forced() {
    if !e2e::can_simulate("another_request_of_the_same_id_is_not_added_and_may_differ_unless_forced") {
        return;
    }
    let guest = guest("");
    let (first, other) = (request("a"), request("a"));
    ok(&guest, MODULE, &json!({"path": first}));
    let result = ok(&guest, MODULE, &json!({"path": other}));
    assert_eq!((&result["changed"], &result["requests"][0]["evidence"]), (&json!(false), &json!("id_only")));
    assert!(warned(&result, "uv.secret_may_differ"), "{result}");
    let forced = ok(&guest, MODULE, &json!({"path": other, "force": true}));
    assert_eq!((&forced["changed"], &forced["requests"][0]["index"]), (&json!(true), &json!(1)));
    // Later nothing tells which of the two is whose.
    assert_eq!(ok(&guest, MODULE, &json!({"path": other}))["requests"][0]["index"], Value::Null);
    // Force never hands the very same request over twice in one boot.
    assert_eq!(ok(&guest, MODULE, &json!({"path": first, "force": true}))["changed"], false);
    assert_eq!(guest.state().unwrap()["secrets"].as_array().unwrap().len(), 2);
}

#[test]
fn a_secret_of_another_type_with_the_same_id_is_another_secret() {
    if !e2e::can_simulate("a_secret_of_another_type_with_the_same_id_is_another_secret") {
        return;
    }
    let guest = guest("");
    let key = Secret::new(SecretClass::Aes, SecretId::of_name("a"), &[1; 16], "a").unwrap();
    ok(&guest, MODULE, &json!({"path": file(&build(&add(key), &["m1"]))}));
    let result = ok(&guest, MODULE, &json!({"path": request("a")}));
    assert_eq!((&result["changed"], &result["requests"][0]["index"]), (&json!(true), &json!(1)));
    assert_eq!(column(&result["secrets"], "type"), ["aes", "association"]);
}

#[test]
fn after_a_reboot_everything_is_added_again() {
    if !e2e::can_simulate("after_a_reboot_everything_is_added_again") {
        return;
    }
    let guest = guest("");
    let arguments = requests(&[&request("a"), &request("b")]);
    ok(&guest, MODULE, &arguments);
    // A record that survives, as after kexec, belongs to another boot.
    shell(&guest, "cp -a /run/seguest-pv /dev/shm/kept");
    guest.reboot().unwrap();
    shell(&guest, "cp -a /dev/shm/kept /run/seguest-pv");
    let result = ok(&guest, MODULE, &arguments);
    assert_eq!(column(&result["requests"], "evidence"), ["added_now", "added_now"]);
    assert_eq!(guest.state().unwrap()["secrets"].as_array().unwrap().len(), 2);
}

#[test]
fn the_same_request_twice_in_one_task_is_added_once() {
    if !e2e::can_simulate("the_same_request_twice_in_one_task_is_added_once") {
        return;
    }
    let guest = guest("");
    let path = request("a");
    let result = ok(&guest, MODULE, &requests(&[&path, &path]));
    assert_eq!(column(&result["requests"], "changed"), [true, false]);
    assert_eq!(column(&result["requests"], "index"), [0, 0]);
    assert_eq!(adds(&guest), ["0x0001"]);
}

#[test]
fn two_runs_at_once_add_a_request_once() {
    if !e2e::can_simulate("two_runs_at_once_add_a_request_once") {
        return;
    }
    let guest = guest("delays: {ioctl_ms: 60}");
    let arguments = json!({"path": request("a")});
    let results: Vec<Value> = std::thread::scope(|scope| {
        let run = || scope.spawn(|| ok(&guest, MODULE, &arguments));
        [run(), run()].map(|thread| thread.join().unwrap()).into()
    });
    assert_eq!(results.iter().filter(|result| result["changed"] == true).count(), 1);
    assert_eq!(adds(&guest), ["0x0001"]);
}

#[test]
fn requests_of_types_that_are_never_listed_are_idempotent_by_the_record() {
    if !e2e::can_simulate("requests_of_types_that_are_never_listed_are_idempotent_by_the_record") {
        return;
    }
    let guest = guest("");
    let mut meta = add(Secret::meta());
    meta.flags = pv_wire::layout::FLAG_DISABLE_DUMP;
    let arguments = json!({"path": file(&build(&meta, &["m1"]))});
    let first = ok(&guest, MODULE, &arguments);
    assert_eq!((&first["changed"], &first["requests"][0]["id"]), (&json!(true), &Value::Null));
    let second = ok(&guest, MODULE, &arguments);
    assert_eq!(second["requests"][0]["evidence"], "added_this_boot");
    assert_eq!((&second["changed"], adds(&guest).len()), (&json!(false), 1));
    guest.reboot().unwrap();
    assert_eq!(ok(&guest, MODULE, &arguments)["changed"], true);
    assert_eq!(guest.state().unwrap()["dump_disabled"], true);
}

#[test]
fn check_mode_predicts_and_sends_nothing_but_questions() {
    if !e2e::can_simulate("check_mode_predicts_and_sends_nothing_but_questions") {
        return;
    }
    let guest = guest("");
    let (a, b) = (request("a"), request("b"));
    let before = guest.state().unwrap();
    let arguments = requests(&[&a, &b]);
    let predicted = ok(&guest, MODULE, &checked(&arguments));
    assert_eq!((&predicted["changed"], predicted.get("predicted")), (&json!(true), None));
    assert_eq!(column(&predicted["requests"], "changed"), [true, true]);
    assert_eq!(guest.state().unwrap(), before);
    assert_eq!(effects(&guest), Vec::<String>::new());
    assert_eq!(shell(&guest, "ls /run"), "lock\n");
    ok(&guest, MODULE, &json!({"path": a}));
    let predicted = ok(&guest, MODULE, &checked(&arguments));
    assert_eq!(column(&predicted["requests"], "changed"), [false, true]);
    assert_eq!(effects(&guest).len(), 1);
    ok(&guest, MODULE, &arguments);
    assert_eq!(ok(&guest, MODULE, &checked(&arguments))["changed"], false);
}

#[test]
fn a_request_that_is_not_there_yet_is_an_error_but_in_check_mode_a_warning() {
    if !e2e::can_simulate("a_request_that_is_not_there_yet_is_an_error_but_in_check_mode_a_warning") {
        return;
    }
    let guest = guest("");
    let arguments = requests(&[&request("a"), &no_file()]);
    fails(&guest, MODULE, &arguments, "file.missing");
    assert_eq!(effects(&guest), Vec::<String>::new());
    let predicted = ok(&guest, MODULE, &checked(&arguments));
    assert_eq!((&predicted["changed"], &predicted["predicted"]), (&json!(true), &json!("partial")));
    assert_eq!(predicted["requests"][1]["id"], Value::Null);
    assert!(warned(&predicted, "file.missing"), "{predicted}");
    assert_eq!(effects(&guest), Vec::<String>::new());
}

#[test]
fn what_is_no_request_never_reaches_the_ultravisor() {
    if !e2e::can_simulate("what_is_no_request_never_reaches_the_ultravisor") {
        return;
    }
    let guest = guest("");
    let good = build(&add(association("a")), &["m1"]);
    let mut other_version = good.clone();
    other_version[0x0b] = 7;
    let random: Vec<u8> = (0..2000_u32).map(|n| ((n * 7919) >> 3) as u8).collect();
    let malformed = [
        vec![],
        b"asrcbM".to_vec(),
        random,
        good[..good.len() - 1].to_vec(),
        [&good[..], b"\n"].concat(),
        vec![0; 2 << 20],
    ];
    for bytes in malformed {
        let result = fails(&guest, MODULE, &json!({"path": file(&bytes)}), "request.malformed");
        assert_eq!(result["changed"], false);
    }
    let result = guest.module(MODULE, &json!({"path": file(&other_version)})).unwrap();
    assert!(result["error"]["code"].as_str().unwrap().starts_with("request."), "{result}");
    let fifo = no_file();
    shell(&guest, &format!("mkfifo {fifo}"));
    for other in [fifo.as_str(), world().path("pki").to_str().unwrap(), "/dev/zero", "/dev/null"] {
        fails(&guest, MODULE, &json!({"path": other}), "file.unreadable");
    }
    fails(&guest, MODULE, &json!({"content": "no base64!"}), "args.invalid");
    fails(&guest, MODULE, &json!({"src": "a"}), "args.src_needs_collection");
    fails(&guest, MODULE, &json!({}), "args.missing");
    fails(&guest, MODULE, &json!({"label": "x", "requests": [{"path": file(&good)}]}), "args.conflict");
    // One bad request among good ones: nothing is begun.
    fails(&guest, MODULE, &requests(&[&file(&good), &file(b"")]), "request.malformed");
    assert_eq!(guest.log().unwrap(), Vec::<Value>::new());
}

#[test]
fn an_update_of_the_customer_communication_key_is_handed_over_once() {
    if !e2e::can_simulate("an_update_of_the_customer_communication_key_is_handed_over_once") {
        return;
    }
    world().image("updatable", &["--allow-cck-update"]).unwrap();
    let guest = e2e::Guest::start_image(world(), "updatable-guest", "m1", "updatable", "").unwrap();
    let update = Secret::new(SecretClass::UpdateCck, SecretId([0; 32]), &[9; 32], "cck").unwrap();
    let mut update = add(update);
    update.image = pv_request::ImageTags::read(&world().path("updatable.hdr")).unwrap();
    let arguments = json!({"path": file(&build(&update, &["m1"]))});
    let first = ok(&guest, MODULE, &arguments);
    assert_eq!((&first["changed"], &first["requests"][0]["type"]), (&json!(true), &json!("update_cck")));
    assert_eq!(ok(&guest, MODULE, &arguments)["changed"], false);
    assert_eq!(adds(&guest), ["0x0001"]);
}

/// A request with an extension secret of this byte.
fn extended(name: &str, byte: u8) -> String {
    let mut request = add(association(name));
    request.extension = Extension::Simple(zeroize::Zeroizing::new([byte; 32]));
    file(&build(&request, &["m1"]))
}

#[test]
fn the_first_request_sets_the_extension_secret_for_all() {
    if !e2e::can_simulate("the_first_request_sets_the_extension_secret_for_all") {
        return;
    }
    let guest = guest("");
    let (first, same, other) = (extended("a", 1), extended("b", 1), extended("c", 2));
    let result = fails(&guest, MODULE, &requests(&[&first, &other, &same]), "uv.secret_refused");
    assert_eq!((&result["error"]["uv_rc"], &result["changed"]), (&json!(0x10c), &json!(true)));
    assert_eq!(column(&result["requests"], "changed"), [true, false, false]);
    assert_eq!(result["requests"][1]["error"]["code"], "uv.secret_refused");
    assert_eq!(ok(&guest, MODULE, &requests(&[&first, &same]))["changed"], true);
    assert_eq!(guest.state().unwrap()["secrets"].as_array().unwrap().len(), 2);
}

#[test]
fn a_request_given_twice_after_another_like_it_is_added_once() {
    if !e2e::can_simulate("a_request_given_twice_after_another_like_it_is_added_once") {
        return;
    }
    let meta = || file(&build(&add(Secret::meta()), &["m1"]));
    let like = [(meta(), meta(), false), (request("a"), request("a"), true)];
    for (first, other, force) in like {
        let guest = guest("");
        let mut arguments = requests(&[&first, &other, &other]);
        arguments["force"] = force.into();
        let result = ok(&guest, MODULE, &arguments);
        assert_eq!(column(&result["requests"], "changed"), [true, true, false]);
        assert_eq!(column(&result["requests"], "evidence"), ["added_now", "added_now", "added_this_boot"]);
        assert_eq!(adds(&guest), ["0x0001", "0x0001"]);
    }
}

#[test]
fn no_request_at_all_is_no_error_and_no_claim() {
    if !e2e::can_simulate("no_request_at_all_is_no_error_and_no_claim") {
        return;
    }
    let guest = guest("");
    for arguments in [json!({"requests": []}), checked(&json!({"requests": []}))] {
        let result = ok(&guest, MODULE, &arguments);
        assert_eq!((&result["changed"], &result["msg"]), (&json!(false), &json!("No request was given.")));
    }
}

#[test]
fn no_extension_secret_counts_as_one_of_zeros_and_the_first_request_decides() {
    if !e2e::can_simulate("no_extension_secret_counts_as_one_of_zeros_and_the_first_request_decides") {
        return;
    }
    let guest = guest("");
    let (zeros, other, last) = (extended("b", 0), extended("c", 1), request("d"));
    let result = fails(&guest, MODULE, &requests(&[&request("a"), &zeros, &other, &last]), "uv.secret_refused");
    // Behind the refused one nothing is tried, so the order stays that of the list.
    assert_eq!(column(&result["requests"], "changed"), [true, true, false, false]);
    assert_eq!(adds(&guest), ["0x0001", "0x0001", "0x010c"]);
    assert_eq!(ok(&guest, MODULE, &requests(&[&request("a"), &last]))["requests"][1]["index"], 2);
    // What the first one carries decides: now it is the plain ones that do not fit.
    guest.reboot().unwrap();
    let result = fails(&guest, MODULE, &requests(&[&other, &last]), "uv.secret_refused");
    assert_eq!(column(&result["requests"], "evidence"), [json!("added_now"), Value::Null]);
}
