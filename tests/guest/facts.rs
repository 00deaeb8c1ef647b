//! `facts`: what it tells, what it tolerates, and that it changes nothing.

use crate::queues::{self, CARDS, KEY_A, accel, bind, ep11, guest_with, writes};
use crate::support::*;
use e2e::Guest;
use serde_json::{Value, json};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

const MODULE: &str = "facts";

fn facts(guest: &Guest, arguments: &Value) -> Value {
    let result = ok(guest, MODULE, arguments);
    assert_eq!(result["changed"], false);
    result["ansible_facts"]["ansible_secure_execution"].clone()
}

#[test]
fn a_guest_tells_of_itself_and_nothing_is_changed_by_asking() {
    if !e2e::can_simulate("a_guest_tells_of_itself_and_nothing_is_changed_by_asking") {
        return;
    }
    let guest = guest_with(&["b", "a"], "");
    ok(&guest, queues::MODULE, &bind([ep11("a", KEY_A), accel()]));
    let (state, writes_before, adds_before) = (guest.state().unwrap(), writes(&guest), adds(&guest));
    let facts = facts(&guest, &json!({}));
    assert_eq!((&facts["role"], &facts["self_reported"]), (&json!("guest"), &json!(true)));
    assert_eq!((&facts["boot_id"], &facts["problems"]), (&state["boot_id"], &json!([])));
    assert_eq!(facts["gathered_at"].as_str().unwrap().len(), "2026-01-01T00:00:00Z".len());

    let uv = &facts["ultravisor"];
    assert_eq!((&uv["facilities"]["add_secret"], &uv["facilities"]["attestation"]), (&json!(true), &json!(true)));
    assert_eq!((&uv["limits"]["max_cpus"], &uv["limits"]["max_secrets"]), (&json!(257), &json!(60)));
    assert_eq!(uv["supported"]["add_secret_versions"], json!(["0x0100"]));
    assert_eq!(uv["host_key_hashes"].as_array().unwrap().len(), 1);

    let secrets = &facts["secrets"];
    assert_eq!((&secrets["total"], &secrets["complete"]), (&json!(2), &json!(true)));
    assert_eq!(
        (column(&secrets["list"], "id"), &secrets["locked"]),
        (vec![json!(id("b")), json!(id("a"))], &Value::Null)
    );

    let ap = &facts["ap"];
    assert_eq!((&ap["bus"], &ap["sb_support"], &ap["bindings_complete"]), (&json!(true), &json!(true), &json!(true)));
    assert_eq!(column(&ap["cards"], "mode"), ["ep11", "accel", "ep11", "cca"]);
    let first = &ap["queues"][0];
    assert_eq!((&first["apqn"], &first["associate"]), (&json!("00.0005"), &json!("associated 1")));
    assert_eq!((&first["secret_index"], &first["mkvp"]), (&json!(1), &json!(format!("0x{KEY_A}"))));
    // A queue that is not bound is not bound to read its key.
    assert_eq!((&ap["queues"][1]["bind"], &ap["queues"][1]["mkvp"]), (&json!("unbound"), &Value::Null));
    assert_eq!((guest.state().unwrap(), writes(&guest), adds(&guest)), (state, writes_before, adds_before));
}

#[test]
fn what_is_no_guest_has_no_store_and_that_is_no_problem() {
    if !e2e::can_simulate("what_is_no_guest_has_no_store_and_that_is_no_problem") {
        return;
    }
    for (scenario, role) in [
        ("ultravisor: {guest: false}", "none"),
        ("ultravisor: {guest: false, host: true}", "host"),
        ("absent: [/sys/firmware, /dev/uv, /sys/bus/ap, /sys/devices/ap]", "none"),
    ] {
        let facts = facts(&guest(scenario), &json!({"probe_lock": true}));
        assert_eq!((&facts["role"], &facts["secrets"], &facts["problems"]), (&json!(role), &Value::Null, &json!([])));
    }
}

#[test]
fn the_record_of_this_boot_tells_of_the_lock_and_only_else_a_probe_if_wanted() {
    if !e2e::can_simulate("the_record_of_this_boot_tells_of_the_lock_and_only_else_a_probe_if_wanted") {
        return;
    }
    let guest = guest("");
    with_secrets(&guest, &["a"]);
    let lock = |probe: bool| {
        let facts = facts(&guest, &json!({"gather_subset": "secrets", "probe_lock": probe}));
        json!([facts["secrets"]["locked"], facts["secrets"]["locked_source"]])
    };
    assert_eq!((lock(false), lock(true)), (json!([null, null]), json!([false, "probe"])));
    ok(&guest, "secret_lock", &json!({"require": ["a"]}));
    let asked = adds(&guest).len();
    assert_eq!((lock(false), lock(true)), (json!([true, "record"]), json!([true, "record"])));
    assert_eq!(adds(&guest).len(), asked);
    // Locked by somebody else.
    shell(&guest, "rm /run/seguest-pv/store-lock.json");
    assert_eq!((lock(false), lock(true)), (json!([null, null]), json!([true, "probe"])));
    guest.reboot().unwrap();
    assert_eq!((lock(false), lock(true)), (json!([null, null]), json!([false, "probe"])));
    guest.set("faults: [{on: add_secret, uv_rc: 0x0101, times: 0}]").unwrap();
    assert_eq!(lock(true), json!([null, null]));
}

#[test]
fn parts_are_chosen_and_left_out() {
    if !e2e::can_simulate("parts_are_chosen_and_left_out") {
        return;
    }
    let guest = guest(CARDS);
    let there = |subset: Value| {
        let facts = facts(&guest, &json!({"gather_subset": subset}));
        ["ultravisor", "secrets", "ap"].map(|part| !facts.get(part).unwrap().is_null())
    };
    assert_eq!(there(json!(["all"])), [true, true, true]);
    assert_eq!(there(json!("min")), [false, false, false]);
    assert_eq!(there(json!("secrets,ap")), [false, true, true]);
    assert_eq!(there(json!(["!ap"])), [true, true, false]);
    assert_eq!(there(json!(["!all", "ultravisor"])), there(json!(["min"])));
    let result = fails(&guest, MODULE, &json!({"gather_subset": ["network"]}), "args.invalid");
    assert!(result["error"]["hint"].as_str().unwrap().contains("ultravisor"), "{result}");
}

#[test]
fn files_that_are_not_there_are_null_and_no_problem() {
    if !e2e::can_simulate("files_that_are_not_there_are_null_and_no_problem") {
        return;
    }
    let query = "/sys/firmware/uv/query";
    let absent = format!(
        "absent: [/sys/firmware/uv/keys, {query}/facilities, {query}/supp_secret_types, {query}/max_secrets, /sys/bus/ap/bindings]"
    );
    let told = facts(&guest(&format!("{CARDS}{absent}")), &json!({}));
    let uv = &told["ultravisor"];
    let nulls =
        [&uv["host_key_hashes"], &uv["facilities"], &uv["supported"]["secret_kinds"], &uv["limits"]["max_secrets"]];
    assert_eq!((nulls, &told["ap"]["bindings_complete"]), ([&Value::Null; 4], &Value::Null));
    assert_eq!((&uv["limits"]["max_cpus"], &told["problems"]), (&json!(257), &json!([])));
    let without = facts(&guest("absent: [/sys/firmware/uv/query, /sys/firmware/uv/keys]"), &json!({}));
    assert_eq!((&without["role"], &without["problems"]), (&json!("guest"), &json!([])));
}

#[test]
fn files_that_cannot_be_read_are_problems_and_no_failure() {
    if !e2e::can_simulate("files_that_cannot_be_read_are_problems_and_no_failure") {
        return;
    }
    for (target, errno) in [
        ("prot_virt_guest", "EACCES"),
        ("query/facilities", "EACCES"),
        ("query/max_cpus", "EIO"),
        ("keys/all", "EACCES"),
        ("boot_id", "EIO"),
        ("ap/features", "EIO"),
        ("ap/bindings", "EIO"),
        ("card00/type", "EIO"),
    ] {
        let fault = format!("{CARDS}faults: [{{on: read, target: {target}, errno: {errno}, times: 0}}]");
        let facts = facts(&guest(&fault), &json!({}));
        let problems = facts["problems"].as_array().unwrap();
        assert!(!problems.is_empty() && problems[0]["detail"].as_str().unwrap().contains(target), "{target}: {facts}");
    }
    for fault in ["on: list_secrets, errno: EIO", "on: list_secrets, uv_rc: 0x0002"] {
        let facts = facts(&guest(&format!("{CARDS}faults: [{{{fault}, times: 0}}]")), &json!({}));
        assert_eq!((&facts["secrets"], facts["problems"].as_array().unwrap().len()), (&Value::Null, 1));
        assert_eq!(facts["ap"]["bus"], true);
    }
    let facts = facts(&guest("absent: [/dev/uv]"), &json!({}));
    assert_eq!((&facts["role"], &facts["problems"][0]["code"]), (&json!("guest"), &json!("uv.no_device")));
}

#[test]
fn numbers_that_the_kernel_prints_without_leading_zeros_are_read_right() {
    if !e2e::can_simulate("numbers_that_the_kernel_prints_without_leading_zeros_are_read_right") {
        return;
    }
    let query = "/sys/firmware/uv/query";
    let attributes = json!({"attributes": {
        format!("{query}/facilities"): "1ff00000000000\n0\n0\n0\n",
        format!("{query}/supp_secret_types"): "600000000000000\n",
        format!("{query}/supp_add_secret_req_ver"): "4000000000000000\n",
        format!("{query}/max_address"): "7ffff\n",
        format!("{query}/feature_indications"): "c00000000000000\n",
    }});
    let guest = guest("");
    guest.set(&attributes.to_string()).unwrap();
    let facts = facts(&guest, &json!({"gather_subset": ["ultravisor"]}));
    let uv = &facts["ultravisor"];
    let there: Vec<_> = uv["facilities"].as_object().unwrap().iter().filter(|(_, has)| **has == true).collect();
    // Bits 11 to 19 of the first word.
    assert!(there.len() == 9 && uv["facilities"]["cpu_reset_clear"] == true, "{there:?}");
    assert_eq!(uv["supported"]["secret_kinds"].as_array().unwrap().len(), 2);
    assert_eq!(uv["supported"]["add_secret_versions"], json!(["0x0200"]));
    assert_eq!(uv["limits"]["max_address"], "0x000000000007ffff");
    assert_eq!(
        (&uv["features"]["ap_pass_through"], &uv["features"]["ap_interpretation"]),
        (&json!(true), &json!(true))
    );
}

#[test]
fn attributes_that_make_no_sense_are_null_and_no_failure() {
    if !e2e::can_simulate("attributes_that_make_no_sense_are_null_and_no_failure") {
        return;
    }
    let long = "f".repeat(5000);
    for text in ["", "\u{0}\u{1b}[2J", "-1", "xyz", "99999999999999999999999", long.as_str()] {
        let query = |name: &str| format!("/sys/firmware/uv/query/{name}");
        let queue = |name: &str| format!("/sys/devices/ap/card00/00.0005/{name}");
        let attributes = json!({"attributes": {
            query("facilities"): text, query("max_cpus"): text, "/sys/firmware/uv/keys/all": text,
            queue("se_bind"): text, queue("mkvps"): text, queue("ap_functions"): text,
        }});
        let guest = guest(CARDS);
        guest.set(&attributes.to_string()).unwrap();
        let facts = facts(&guest, &json!({"timeout": 5}));
        assert_eq!(facts["role"], "guest");
        assert_eq!(facts["ultravisor"]["limits"]["max_cpus"], Value::Null, "{text:?}");
        assert_eq!(facts["ap"]["queues"][0]["mkvp"], Value::Null);
    }
}

#[test]
fn a_card_that_takes_too_long_is_a_problem_and_the_others_are_told() {
    if !e2e::can_simulate("a_card_that_takes_too_long_is_a_problem_and_the_others_are_told") {
        return;
    }
    let guest = guest(&format!("{CARDS}faults: [{{on: read, target: 00.0005/se_bind, delay_ms: 2000}}]"));
    let facts = facts(&guest, &json!({"timeout": 1}));
    assert_eq!(facts["problems"][0]["code"], "ap.card_timeout");
    assert_eq!(column(&facts["ap"]["queues"], "card"), [1, 1, 2, 3]);
}

#[test]
fn a_bus_without_its_list_of_features_is_a_bus() {
    if !e2e::can_simulate("a_bus_without_its_list_of_features_is_a_bus") {
        return;
    }
    // As on Linux 6.1, whose queues have no secure binding either.
    let ap = facts(&guest(&format!("{CARDS}absent: [/sys/bus/ap/features]")), &json!({"bind_to_inspect": true}));
    assert_eq!(column(&ap["problems"], "code"), ["ap.no_secure_binding"], "{ap}");
    let ap = &ap["ap"];
    assert_eq!((&ap["bus"], &ap["sb_support"], &ap["bindings_complete"]), (&json!(true), &json!(false), &json!(true)));
    assert_eq!(column(&ap["cards"], "card"), [0, 1, 2, 3]);
}

#[test]
fn a_part_of_a_long_list_is_told_as_such() {
    if !e2e::can_simulate("a_part_of_a_long_list_is_told_as_such") {
        return;
    }
    let guest = guest("kernel: {list_pages: 1}\nultravisor: {max_assoc_secrets: 200}");
    let names: Vec<_> = (0..87).map(|number| format!("s{number}")).collect();
    with_secrets(&guest, &names.iter().map(String::as_str).collect::<Vec<_>>());
    let secrets = facts(&guest, &json!({}))["secrets"].clone();
    assert_eq!((&secrets["total"], &secrets["complete"]), (&json!(87), &json!(false)));
    assert_eq!(secrets["list"].as_array().unwrap().len(), 85);
}

#[test]
fn an_ordinary_user_is_told_what_everybody_may_know() {
    const NAME: &str = "an_ordinary_user_is_told_what_everybody_may_know";
    if !e2e::can_simulate(NAME) {
        return;
    }
    if std::fs::metadata("/proc/self").unwrap().uid() != 0 {
        println!("skipped: {NAME}: only root can become another user in a guest");
        return;
    }
    let guest = guest_with(&["a"], "");
    ok(&guest, "secret_lock", &json!({"require": ["a"]}));
    let folder = open_folder();
    let program = folder.path().join(MODULE);
    std::fs::copy(binary(MODULE), &program).unwrap();
    let arguments = ["--reuid", "65534", "--regid", "65534", "--clear-groups", program.to_str().unwrap(), "-"];
    let output = guest.run(Path::new("/usr/bin/setpriv"), &arguments, b"{}").unwrap();
    let result: Value = serde_json::from_slice(&output.stdout).unwrap();
    let facts = &result["ansible_facts"]["ansible_secure_execution"];
    assert_eq!((result.get("failed"), &facts["role"]), (None, &json!("guest")));
    let secrets = json!({"locked": true, "locked_source": "record", "total": null, "complete": null, "list": null});
    assert_eq!(facts["secrets"], secrets);
    assert_eq!((&facts["ap"]["bus"], &facts["ultravisor"]["limits"]["max_cpus"]), (&json!(true), &json!(257)));
    assert_eq!(facts["problems"][0]["code"], "uv.not_permitted");
    // What was recorded of the lock may be read by everybody, that of requests only by root.
    let as_nobody = "setpriv --reuid 65534 --regid 65534 --clear-groups";
    shell(&guest, &format!("{as_nobody} cat /run/seguest-pv/store-lock.json"));
    shell(&guest, &format!("! {as_nobody} cat /run/seguest-pv/private/requests.json"));
}

#[test]
fn the_timeout_covers_a_cards_own_attributes_too() {
    if !e2e::can_simulate("the_timeout_covers_a_cards_own_attributes_too") {
        return;
    }
    for attribute in ["type", "online"] {
        let fault = format!("{{on: read, target: card00/{attribute}, delay_ms: 5000, times: 0}}");
        let guest = guest(&format!("{CARDS}faults: [{fault}]"));
        let facts = facts(&guest, &json!({"timeout": 1}));
        assert_eq!(column(&facts["problems"], "code"), ["ap.card_timeout"], "{attribute}");
        assert_eq!(column(&facts["ap"]["cards"], "card"), [1, 2, 3], "{attribute}");
        assert_eq!(column(&facts["ap"]["queues"], "card"), [1, 1, 2, 3], "{attribute}");
    }
}

#[test]
fn a_list_is_whole_at_every_border_of_its_pages() {
    if !e2e::can_simulate("a_list_is_whole_at_every_border_of_its_pages") {
        return;
    }
    let guest = guest("kernel: {list_pages: 16}\nultravisor: {max_assoc_secrets: 400}");
    let list = || facts(&guest, &json!({"gather_subset": ["secrets"]}))["secrets"].clone();
    let mut there = 0;
    // A page holds 85; from four pages on their headers' room would hold one more, but the kernel leaves it empty.
    for count in [85, 86, 170, 171, 340, 341] {
        let names: Vec<_> = (there..count).map(|number| format!("s{number}")).collect();
        with_secrets(&guest, &names.iter().map(String::as_str).collect::<Vec<_>>());
        there = count;
        let secrets = list();
        assert_eq!((&secrets["total"], &secrets["complete"]), (&json!(count), &json!(true)), "{count}");
        assert_eq!(column(&secrets["list"], "index"), (0..count).map(|index| json!(index)).collect::<Vec<_>>());
        guest.set("kernel: {list_pages: 1}").unwrap();
        let page = list();
        assert_eq!((&page["complete"], page["list"].as_array().unwrap().len()), (&json!(count == 85), 85));
        guest.set("kernel: {list_pages: 16}").unwrap();
    }
}

#[test]
fn only_a_kernel_that_takes_no_longer_buffer_gets_away_with_one_page() {
    if !e2e::can_simulate("only_a_kernel_that_takes_no_longer_buffer_gets_away_with_one_page") {
        return;
    }
    let guest = guest("kernel: {list_pages: 16}\nultravisor: {max_assoc_secrets: 200}");
    let names: Vec<_> = (0..87).map(|number| format!("s{number}")).collect();
    with_secrets(&guest, &names.iter().map(String::as_str).collect::<Vec<_>>());
    for (fault, code) in [
        ("errno: EIO", "uv.ioctl_failed"),
        ("errno: ENOMEM", "uv.ioctl_failed"),
        ("errno: EPERM", "uv.not_permitted"),
        ("uv_rc: 0x0032", "uv.invalid_address"),
    ] {
        guest.set(&format!("faults: [{{on: list_secrets, nth: 2, {fault}}}]")).unwrap();
        let facts = facts(&guest, &json!({"gather_subset": ["secrets"]}));
        assert_eq!(
            (&facts["secrets"], column(&facts["problems"], "code")),
            (&Value::Null, vec![json!(code)]),
            "{fault}"
        );
    }
    guest.set("faults: [{on: list_secrets, nth: 2, errno: EINVAL}]").unwrap();
    let facts = facts(&guest, &json!({"gather_subset": ["secrets"]}));
    assert_eq!((&facts["secrets"]["complete"], &facts["problems"]), (&json!(false), &json!([])));
}
