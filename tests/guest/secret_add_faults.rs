//! `secret_add` where something is in the way: refusals, full and locked stores, and kernels that fail.

use crate::support::*;
use pv_request::ImageTags;
use serde_json::{Value, json};

const MODULE: &str = "secret_add";

/// GUEST column `add`: what the ultravisor may answer, and the code that each has of its own.
const ANSWERS: [(u16, &str); 20] = [
    (0x0000, "uv.invalid_answer"),
    (0x0002, "uv.invalid_command"),
    (0x0005, "uv.invalid_size"),
    (0x0030, "uv.home_space"),
    (0x0031, "uv.translation"),
    (0x0032, "uv.invalid_address"),
    (0x0101, "uv.store_not_modifiable"),
    (0x0102, "uv.store_locked"),
    (0x0103, "uv.access_exception"),
    (0x0104, "uv.request_version"),
    (0x0105, "uv.request_size"),
    (0x0106, "uv.request_host_keys"),
    (0x0107, "uv.request_flags"),
    (0x0108, "uv.request_not_for_this_guest"),
    (0x0109, "uv.secret_unsupported"),
    (0x010a, "uv.secret_length"),
    (0x010b, "uv.store_full"),
    (0x010c, "uv.secret_refused"),
    (0x010d, "uv.dump_in_progress"),
    (0x0777, "uv.unknown_answer"),
];

#[test]
fn every_answer_of_the_ultravisor_has_its_code_and_changes_nothing() {
    if !e2e::can_simulate("every_answer_of_the_ultravisor_has_its_code_and_changes_nothing") {
        return;
    }
    let guest = guest("");
    let arguments = json!({"path": request("a"), "timeout": 0});
    for (rc, code) in ANSWERS {
        guest.set(&format!("{{clear_faults: true, faults: [{{on: add_secret, uv_rc: {rc}}}]}}")).unwrap();
        let result = fails(&guest, MODULE, &arguments, code);
        assert_eq!((&result["changed"], &result["error"]["uv_rc"]), (&json!(false), &json!(rc)), "{result}");
        assert!(result["msg"].as_str().unwrap().contains(&format!("0x{rc:04x}")), "{result}");
        assert_eq!(result.get("reboot_required"), (rc == 0x102).then_some(&json!(true)));
    }
    assert_eq!(guest.state().unwrap()["accepted"], json!([]));
    assert_eq!(ok(&guest, MODULE, &arguments)["changed"], true);
}

#[test]
fn every_error_of_the_kernel_has_its_code() {
    if !e2e::can_simulate("every_error_of_the_kernel_has_its_code") {
        return;
    }
    let guest = guest("");
    let arguments = json!({"path": request("a")});
    for (call, errno, number, code) in [
        ("add_secret", "EIO", 5, "uv.ioctl_failed"),
        ("add_secret", "EINVAL", 22, "uv.ioctl_failed"),
        ("add_secret", "ENOTTY", 25, "uv.ioctl_unknown"),
        ("add_secret", "EPERM", 1, "uv.not_permitted"),
        ("list_secrets", "EIO", 5, "uv.ioctl_failed"),
        ("list_secrets", "ENOTTY", 25, "uv.ioctl_unknown"),
    ] {
        guest.set(&format!("{{clear_faults: true, faults: [{{on: {call}, errno: {errno}}}]}}")).unwrap();
        let result = fails(&guest, MODULE, &arguments, code);
        assert_eq!((&result["changed"], &result["error"]["errno"]), (&json!(false), &json!(number)), "{result}");
    }
    assert_eq!(guest.state().unwrap()["accepted"], json!([]));
}

#[test]
fn without_the_device_the_error_says_so() {
    if !e2e::can_simulate("without_the_device_the_error_says_so") {
        return;
    }
    for scenario in ["absent: [/dev/uv]", "ultravisor: {guest: false}"] {
        fails(&guest(scenario), MODULE, &json!({"path": request("a")}), "uv.no_device");
    }
}

#[test]
fn an_ultravisor_without_secret_store_is_told_from_an_empty_one() {
    if !e2e::can_simulate("an_ultravisor_without_secret_store_is_told_from_an_empty_one") {
        return;
    }
    fails(&guest("ultravisor: {secrets: false}"), MODULE, &json!({"path": request("a")}), "uv.invalid_command");
}

#[test]
fn a_request_for_another_machine_or_image_says_whether_this_host_could_open_it() {
    if !e2e::can_simulate("a_request_for_another_machine_or_image_says_whether_this_host_could_open_it") {
        return;
    }
    const CODE: &str = "uv.request_not_for_this_guest";
    let mut other_image = add(association("a"));
    other_image.image = ImageTags::read(&world().path("other.hdr")).unwrap();
    let other_image = file(&build(&other_image, &["m1"]));
    let other_machine = file(&build(&add(association("a")), &["m2"]));
    let mut tampered = build(&add(association("a")), &["m1"]);
    *tampered.last_mut().unwrap() ^= 1;
    let tampered = file(&tampered);

    let (tells, silent) = (guest(""), guest("ultravisor: {keys: false}"));
    for (path, matches) in [(&other_image, true), (&other_machine, false), (&tampered, true)] {
        let result = fails(&tells, MODULE, &json!({"path": path}), CODE);
        assert_eq!((&result["changed"], &result["host_key_match"]), (&json!(false), &json!(matches)));
        assert_eq!(result["error"]["host_key_match"], matches);
        let result = fails(&silent, MODULE, &json!({"path": path}), CODE);
        assert_eq!(result.get("host_key_match"), Some(&Value::Null));
    }
    // From what is not understood nothing is concluded.
    for text in ["hostile".to_owned(), "0".repeat(64), format!("{}\nhostile", "a1".repeat(32))] {
        tells.set(&json!({"attributes": {"/sys/firmware/uv/keys/all": text}}).to_string()).unwrap();
        let result = fails(&tells, MODULE, &json!({"path": other_machine}), CODE);
        assert_eq!(result.get("host_key_match"), Some(&Value::Null), "{text}");
    }
    // Whichever of its codes the ultravisor chooses, nothing counts as added.
    for switch in ["other_image_is_constraint", "full_before_decryption"] {
        let guest = guest(&format!("switches: {{{switch}: true, check_order: [flags, host_keys]}}"));
        let result = guest.module(MODULE, &json!({"path": other_image})).unwrap();
        let code = result["error"]["code"].as_str().unwrap();
        assert!([CODE, "uv.secret_refused"].contains(&code), "{result}");
        assert_eq!(result["changed"], false);
        assert_eq!(ok(&guest, MODULE, &json!({"path": request("a")}))["changed"], true);
    }
}

#[test]
fn a_request_for_another_start_of_the_guest_is_refused() {
    if !e2e::can_simulate("a_request_for_another_start_of_the_guest_is_refused") {
        return;
    }
    let guest = guest("");
    let cuid = guest.state().unwrap()["cuid"].as_str().unwrap().to_owned();
    let mut bound = add(association("a"));
    bound.cuid = pv_wire::decode_hex(&cuid).unwrap().try_into().ok();
    let arguments = json!({"path": file(&build(&bound, &["m1"]))});
    assert_eq!(ok(&guest, MODULE, &arguments)["changed"], true);
    guest.reboot().unwrap();
    fails(&guest, MODULE, &arguments, "uv.secret_refused");
    guest.set("switches: {other_cuid_is_undecryptable: true}").unwrap();
    let result = fails(&guest, MODULE, &arguments, "uv.request_not_for_this_guest");
    assert_eq!((&result["changed"], &result["host_key_match"]), (&json!(false), &json!(true)));
}

#[test]
fn a_full_store_keeps_what_was_added_before_and_the_result_tells_it() {
    if !e2e::can_simulate("a_full_store_keeps_what_was_added_before_and_the_result_tells_it") {
        return;
    }
    let guest = guest("ultravisor: {max_assoc_secrets: 2}");
    let paths = ["a", "b", "c", "d"].map(request);
    let arguments = json!({"requests": paths.map(|path| json!({"path": path}))});
    let result = fails(&guest, MODULE, &arguments, "uv.store_full");
    assert_eq!((&result["changed"], &result["total"]), (&json!(true), &json!(2)));
    assert_eq!(
        column(&result["requests"], "evidence"),
        [json!("added_now"), json!("added_now"), Value::Null, Value::Null]
    );
    assert_eq!(column(&result["requests"], "index"), [json!(0), json!(1), Value::Null, Value::Null]);
    // Behind the one that failed nothing was done, and the result has a place for it.
    assert_eq!(result["requests"][2]["error"]["code"], "uv.store_full");
    assert_eq!((&result["requests"][3]["error"], &result["requests"][3]["changed"]), (&Value::Null, &json!(false)));
    assert_eq!(result["requests"][3]["id"], id("d"));
    assert_eq!(column(&result["secrets"], "id"), [id("a"), id("b")]);
    assert_eq!(adds(&guest), ["0x0001", "0x0001", "0x010b"]);
    let again = fails(&guest, MODULE, &arguments, "uv.store_full");
    assert_eq!(again["changed"], false);
}

#[test]
fn a_locked_store_matters_only_if_something_is_missing() {
    if !e2e::can_simulate("a_locked_store_matters_only_if_something_is_missing") {
        return;
    }
    let guest = guest("");
    let (there, missing) = (json!({"path": request("a")}), json!({"path": request("b")}));
    ok(&guest, MODULE, &there);
    ok(&guest, "secret_lock", &json!({"require": ["a"]}));
    let state = guest.state().unwrap();
    for arguments in [&there, &checked(&there)] {
        assert_eq!(ok(&guest, MODULE, arguments)["changed"], false);
    }
    for arguments in [&missing, &checked(&missing)] {
        let result = fails(&guest, MODULE, arguments, "uv.store_locked");
        assert_eq!((&result["changed"], &result["reboot_required"]), (&json!(false), &json!(true)));
        assert_eq!(column(&result["secrets"], "id"), [id("a")]);
    }
    // The error is that of the request it is about, wherever that stands.
    let both = json!({"requests": [missing, there]});
    for arguments in [&both, &checked(&both)] {
        let result = fails(&guest, MODULE, arguments, "uv.store_locked");
        assert_eq!(result["requests"][0]["error"]["code"], "uv.store_locked", "{result}");
        assert_ne!(result["requests"][1]["error"]["code"], "uv.store_locked", "{result}");
    }
    assert_eq!(guest.state().unwrap(), state);
}

#[test]
fn nothing_is_added_where_the_kernel_shows_only_a_part_of_the_store() {
    if !e2e::can_simulate("nothing_is_added_where_the_kernel_shows_only_a_part_of_the_store") {
        return;
    }
    let guest = guest("kernel: {list_pages: 1}\nultravisor: {max_assoc_secrets: 200}");
    let names: Vec<_> = (0..90).map(|number| format!("s{number}")).collect();
    let paths: Vec<_> = names.iter().map(|name| request(name)).collect();
    let all = json!({"requests": paths.iter().map(|path| json!({"path": path})).collect::<Vec<_>>()});
    let result = ok(&guest, MODULE, &all);
    assert_eq!((&result["total"], result["secrets"].as_array().unwrap().len()), (&json!(90), 85));
    // Those that this boot's record knows are known to be there, seen or not.
    assert_eq!(ok(&guest, MODULE, &all)["changed"], false);
    // It knows all that is there, so what is not in it is missing.
    let new = json!({"path": request("new")});
    assert_eq!(ok(&guest, MODULE, &checked(&new))["changed"], true);
    assert_eq!(ok(&guest, MODULE, &new)["changed"], true);
    assert_eq!(ok(&guest, MODULE, &new)["changed"], false);
    let forgotten = guest.run(std::path::Path::new("/bin/rm"), &["-r", "/run/seguest-pv"], b"").unwrap();
    assert!(forgotten.status.success());
    let before = adds(&guest).len();
    let another = json!({"path": request("another")});
    for arguments in [&another, &checked(&another)] {
        fails(&guest, MODULE, arguments, "uv.list_incomplete");
    }
    assert_eq!(adds(&guest).len(), before);
    let forced = json!({"path": request("forced"), "force": true});
    assert_eq!(ok(&guest, MODULE, &forced)["changed"], true);
    guest.set("kernel: {list_pages: 2}").unwrap();
    let result = ok(&guest, MODULE, &another);
    assert_eq!((&result["changed"], &result["requests"][0]["index"]), (&json!(true), &json!(92)));
}

#[test]
fn a_dump_is_waited_for_and_no_longer_than_the_timeout() {
    if !e2e::can_simulate("a_dump_is_waited_for_and_no_longer_than_the_timeout") {
        return;
    }
    let guest = guest("ultravisor: {dump_in_progress: true}");
    let mut arguments = json!({"path": request("a"), "timeout": 1});
    let started = std::time::Instant::now();
    fails(&guest, MODULE, &arguments, "uv.dump_in_progress");
    assert!((500..3000).contains(&started.elapsed().as_millis()), "{:?}", started.elapsed());
    arguments["timeout"] = 30.into();
    let result = std::thread::scope(|scope| {
        let run = scope.spawn(|| ok(&guest, MODULE, &arguments));
        std::thread::sleep(std::time::Duration::from_millis(200));
        guest.set("ultravisor: {dump_in_progress: false}").unwrap();
        run.join().unwrap()
    });
    assert_eq!((&result["changed"], adds(&guest).last().unwrap()), (&json!(true), &json!("0x0001")));
}

#[test]
fn a_record_that_others_could_have_written_is_not_used() {
    if !e2e::can_simulate("a_record_that_others_could_have_written_is_not_used") {
        return;
    }
    let guest = guest("");
    let arguments = json!({"path": request("a")});
    ok(&guest, MODULE, &arguments);
    for spoil in [
        "chmod 666 /run/seguest-pv/private/requests.json",
        "echo '{}' > /run/seguest-pv/private/requests.json; chmod 600 /run/seguest-pv/private/requests.json",
        "ln -sf /dev/shm/forged /run/seguest-pv/private/requests.json",
    ] {
        shell(&guest, spoil);
        fails(&guest, MODULE, &arguments, "file.record_unusable");
    }
    shell(&guest, "rm -r /run/seguest-pv; mkdir -m 777 /run/seguest-pv");
    fails(&guest, MODULE, &json!({"path": request("b")}), "file.record_unusable");
    assert_eq!(adds(&guest).len(), 1);
}

#[test]
fn another_task_on_the_store_is_waited_for_and_no_longer_than_the_timeout() {
    if !e2e::can_simulate("another_task_on_the_store_is_waited_for_and_no_longer_than_the_timeout") {
        return;
    }
    let guest = guest("");
    ok(&guest, MODULE, &json!({"path": request("a")}));
    let mut arguments = json!({"path": request("b"), "timeout": 1});
    std::thread::scope(|scope| {
        let hangs = "flock /run/seguest-pv/private/requests.lock sh -c 'touch /run/held; sleep 4'";
        let other = scope.spawn(|| shell(&guest, hangs));
        shell(&guest, "until [ -e /run/held ]; do sleep 0.05; done");
        let result = fails(&guest, MODULE, &arguments, "uv.in_use_by_another");
        assert_eq!(result["changed"], false);
        // Check mode changes nothing and waits for nobody.
        assert_eq!(ok(&guest, MODULE, &checked(&arguments))["changed"], true);
        assert_eq!(ok(&guest, "secret_lock", &checked(&json!({"require": ["a"]})))["changed"], true);
        assert!(!other.is_finished());
        arguments["timeout"] = 20.into();
        assert_eq!(ok(&guest, MODULE, &arguments)["changed"], true);
        assert!(other.join().is_ok());
    });
    assert_eq!(guest.state().unwrap()["secrets"].as_array().unwrap().len(), 2);
}
