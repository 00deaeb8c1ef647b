//! `hardware-questions`, the program for who has the hardware: in simulated guests it must find out what the scenario says.

use crate::support::*;
use e2e::{Guest, OTHER_KEY, WANTED_KEY};
use pv_request::{Secret, SecretClass};
use pv_wire::SecretId;
use serde_json::{Value, json};

const PROGRAM: &str = "hardware-questions";

/// The serial number of the card of [`CARDS`].
const SERIALNR: &str = "93AADFK719460083";

/// The id of the guest's start.
const CUID: &str = "00112233445566778899aabbccddee0f";

/// Names of secrets; the last is added by the program itself.
const NAMES: [&str; 4] = ["sesame-associated", "sesame-text", "sesame-key", "sesame-own"];

/// A card with two queues, an accelerator, a card that is deconfigured, and a CCA card.
fn cards() -> String {
    format!(
        "\
cards:
  \"00\":
    type: CEX8P
    serialnr: {SERIALNR}
    queues: {{\"0005\": {{mkvp: \"{WANTED_KEY}\"}}, \"0006\": {{mkvp: \"{OTHER_KEY}\"}}}}
  \"01\": {{type: CEX8A, queues: {{\"0005\": {{}}}}}}
  \"02\": {{type: CEX8P, config: false, queues: {{\"0005\": {{}}}}}}
  \"03\": {{type: CEX7C, queues: {{\"0005\": {{}}}}}}
"
    )
}

/// Delays that are long enough to be seen.
const SLOW: &str = "delays: {bind_ms: 50, associate_ms: 150, reset_ms: 50}\n";

/// The report of a run that must succeed.
fn report(guest: &Guest, arguments: &[&str]) -> Value {
    let output = guest.run(&binary(PROGRAM), arguments, b"").unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {said}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["version"], 1);
    report
}

/// What came of a question.
fn finding<'a>(report: &'a Value, id: &str) -> &'a Value {
    let all = report["answers"].as_array().unwrap();
    all.iter().find(|finding| finding["id"] == id).unwrap()
}

/// The answers of these questions; where there is none, the state.
fn answers<const N: usize>(report: &Value, ids: [&str; N]) -> [String; N] {
    ids.map(|id| {
        let finding = finding(report, id);
        finding["answer"].as_str().or(finding["state"].as_str()).unwrap().to_owned()
    })
}

/// Adds a secret, a text and a key.
fn fill(guest: &Guest) {
    let secret = |class, name: &str, value: &[u8]| {
        let secret = Secret::new(class, SecretId::of_name(name), value, name).unwrap();
        json!({"path": file(&build(&add(secret), &["m1"]))})
    };
    let requests = [
        json!({"path": request(NAMES[0])}),
        secret(SecretClass::Plaintext, NAMES[1], b"correct horse battery staple"),
        secret(SecretClass::Aes, NAMES[2], &[0x5a; 32]),
    ];
    ok(guest, "secret_add", &json!({"requests": requests}));
}

#[test]
fn without_options_it_only_reads_and_asks_for_the_lock_as_facts_do() {
    if !e2e::can_simulate("without_options_it_only_reads_and_asks_for_the_lock_as_facts_do") {
        return;
    }
    let guest = guest(&format!("kernel: {{retrieve: true}}\n{}", cards()));
    let before = effects(&guest);
    let report = report(&guest, &[]);
    assert_eq!(effects(&guest), [&before[..], &["\"ioctl\" \"retrieve_secret\" null".to_owned()]].concat());
    assert_eq!(
        answers(&report, ["info.words", "list.end", "list.pages", "lock.probe", "lock.probe_harmless", "keys.lines"]),
        ["own_order", "zeros", "one_page_only", "version", "unchanged", "fifteen"]
    );
    assert_eq!(answers(&report, ["retrieve.missing", "queue.cca"]), ["empty", "without"]);
    assert_eq!(answers(&report, ["bind.write", "form.order", "lock.call"]), ["not_tried"; 3]);
    assert_eq!(report["system"]["store"], json!({"secrets": 0, "locked": false}));
    assert_eq!(
        report["system"]["cards"][0],
        json!({"generation": 8, "mode": "ep11", "usable": true, "queues": 2, "bound": 0})
    );
}

#[test]
fn what_kernel_and_store_are_set_to_is_found_out() {
    if !e2e::can_simulate("what_kernel_and_store_are_set_to_is_found_out") {
        return;
    }
    for (scenario, info, pages, twice) in [
        (
            "kernel: {retrieve: true, list_pages: 2}\nultravisor: {retrieve: true, attestation: false}\nswitches: {fresh_wrapping: true}\n",
            "attestation",
            "taken",
            "fresh",
        ),
        (
            "kernel: {retrieve: true, info_knows_retrieve: true}\nultravisor: {retrieve: true, attestation: false}\n",
            "facility",
            "one_page_only",
            "same",
        ),
    ] {
        let guest = guest(scenario);
        fill(&guest);
        let report = report(&guest, &[]);
        assert_eq!(answers(&report, ["info.retrieve", "list.pages", "retrieve.twice"]), [info, pages, twice]);
        assert_eq!(
            answers(&report, ["retrieve.missing", "retrieve.small", "retrieve.locked"]),
            ["no_such_index", "0009", "not_tried"]
        );
        ok(&guest, "secret_lock", &json!({"require": [NAMES[0]]}));
        let report = self::report(&guest, &[]);
        assert_eq!(answers(&report, ["lock.probe", "retrieve.locked"]), ["locked", "allowed"]);
        assert_eq!(report["system"]["store"], json!({"secrets": 3, "locked": true}));
    }
}

#[test]
fn the_order_of_checks_and_the_border_between_refusals_are_found_out() {
    if !e2e::can_simulate("the_order_of_checks_and_the_border_between_refusals_are_found_out") {
        return;
    }
    let other_start = {
        let mut request = add(association("elsewhere"));
        request.cuid = Some([9; 16]);
        file(&build(&request, &["m1"]))
    };
    let other_image = {
        let mut request = add(association("other"));
        request.image = pv_request::ImageTags::read(&world().path("other.hdr")).unwrap();
        file(&build(&request, &["m1"]))
    };
    let arguments = ["--until-reboot", "--other-image", &other_image, "--other-start", &other_start];
    for (switches, probe, order, image, start) in [
        ("{}", "version", ["version", "size", "host_keys", "flags"], "undecryptable", "constraint"),
        (
            "{check_order: [flags, host_keys], other_image_is_constraint: true, other_cuid_is_undecryptable: true}",
            "host_keys",
            ["flags", "host_keys", "version", "size"],
            "constraint",
            "undecryptable",
        ),
    ] {
        let guest = guest(&format!("switches: {switches}\n"));
        let report = report(&guest, &arguments);
        assert_eq!(answers(&report, ["lock.probe", "add.other_image", "add.other_start"]), [probe, image, start]);
        assert_eq!(finding(&report, "form.order")["value"], json!(order), "{report}");
        assert_eq!(guest.state().unwrap()["secrets"], json!([]));
    }
}

#[test]
fn what_switches_say_of_queues_is_found_out_and_the_queue_is_free_afterwards() {
    if !e2e::can_simulate("what_switches_say_of_queues_is_found_out_and_the_queue_is_free_afterwards") {
        return;
    }
    let asked = ["bind.write", "reset.binding", "unbind.shows", "bind.again", "bind.in_reset", "unbind.in_reset"];
    let seen = ["bind.mkvps", "bind.serialnr"];
    for (scenario, found, lingers, dead, accelerator) in [
        (
            "switches: {slow_bind_is_eio: true, reset_keeps_binding: true, bound_during_reset: true, accelerator_without_keys: true, dead_queue_reads_zero: true}\nkernel: {serialnr_lingers: 2}\n",
            ["eio_then_bound", "kept", "old_state", "einval", "eio", "free"],
            "lingered",
            "usable",
            "without_keys",
        ),
        (
            "switches: {slow_bind_is_eio: false, reset_keeps_binding: false, bound_during_reset: false, accelerator_without_keys: false, dead_queue_reads_zero: false}\n",
            ["later", "dropped", "free", "einval", "eio", "free"],
            "gone",
            "not_usable",
            "usable",
        ),
    ] {
        let guest = guest(&format!("{SLOW}{scenario}{}", cards()));
        let report = report(&guest, &["--queue", "00.0005"]);
        assert_eq!(answers(&report, asked), found, "{report:#}");
        assert_eq!(answers(&report, seen), ["at_once"; 2], "{report:#}");
        assert_eq!(answers(&report, ["serialnr.lingers", "queue.dead"]), [lingers, dead], "{report:#}");
        let report = self::report(&guest, &["--queue", "01.0005"]);
        assert_eq!(answers(&report, ["bind.accelerator"]), [accelerator], "{report:#}");
        let queues = guest.until_reset().unwrap()["queues"].clone();
        assert!(queues.as_array().unwrap().iter().all(|queue| queue["state"] != "bound"), "{queues}");
        // Nothing is left to be settled.
        assert_eq!(
            shell(&guest, "cat /run/seguest-pv/private/queue-journal.json | grep -c '\"content\":\\[\\]'"),
            "1\n"
        );
    }
}

#[test]
fn a_queue_that_is_not_free_is_left_alone() {
    if !e2e::can_simulate("a_queue_that_is_not_free_is_left_alone") {
        return;
    }
    let guest = guest(&cards());
    shell(&guest, "echo 1 > /sys/devices/ap/card01/01.0005/se_bind; sleep 0.1");
    let before = effects(&guest);
    for queue in ["01.0005", "02.0005", "03.0005", "00.0099", "55.0005"] {
        let report = report(&guest, &["--queue", queue]);
        assert_eq!(finding(&report, "bind.write")["why"], "the named queue is not free", "{queue}");
    }
    assert_eq!(effects(&guest), before);
}

#[test]
fn what_cannot_be_taken_back_is_announced_and_found_out() {
    if !e2e::can_simulate("what_cannot_be_taken_back_is_announced_and_found_out") {
        return;
    }
    for (switch, doubled) in [(true, "failed"), (false, "associated")] {
        let guest = guest(&format!("{SLOW}switches: {{doubled_id_is_not_unique: {switch}}}\n{}", cards()));
        let own = request("own");
        let arguments = ["--queue", "00.0005", "--until-reboot", "--request", &own, "--lock"];
        let output = guest.run(&binary(PROGRAM), &arguments, b"").unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        for announced in
            ["adding the given request", "adding the same request a second time", "locking the secret store"]
        {
            assert!(said.contains(announced), "{said}");
        }
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(
            answers(&report, ["add.request", "add.again", "associate.write"]),
            ["added", "added", "pending"],
            "{report:#}"
        );
        assert_eq!(answers(&report, ["associate.mkvps", "associate.doubled"]), ["blocked", doubled], "{report:#}");
        assert_eq!(
            answers(&report, ["lock.call", "lock.again", "lock.form", "lock.add"]),
            ["locked", "already", "locked_first", "locked"]
        );
        let state = guest.until_reset().unwrap();
        assert_eq!((&state["locked"], state["secrets"].as_array().unwrap().len()), (&json!(true), 2));
        // And after a reboot.
        let earlier = file(&output.stdout);
        guest.reboot().unwrap();
        let report = self::report(&guest, &["--rebooted-since", &earlier]);
        assert_eq!(answers(&report, ["reboot.store"]), ["emptied"]);
    }
}

#[test]
fn without_the_word_for_it_nothing_is_added_or_locked() {
    if !e2e::can_simulate("without_the_word_for_it_nothing_is_added_or_locked") {
        return;
    }
    let guest = guest("");
    let own = request("own");
    for arguments in [&["--lock"][..], &["--request", &own], &["--until-reboot", "--request", "/dev/null"]] {
        let output = guest.run(&binary(PROGRAM), arguments, b"").unwrap();
        assert!(!output.status.success() && output.stdout.is_empty(), "{arguments:?}");
    }
    assert_eq!((adds(&guest).len(), &guest.state().unwrap()["locked"]), (0, &json!(false)));
}

/// What must not be in a report: all that the guest, its machine and its secrets could be known by.
fn telling(guest: &Guest) -> Vec<String> {
    let keys = shell(guest, "cat /sys/firmware/uv/keys/all");
    let keys = keys.split_whitespace().filter(|key| key.bytes().any(|b| b != b'0')).map(str::to_owned);
    let ids = NAMES.map(|name| id(name).trim_start_matches("0x").to_owned());
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    let boot = shell(guest, "cat /proc/sys/kernel/random/boot_id");
    let folder = world().path("").to_str().unwrap().to_owned();
    let known = [SERIALNR, CUID, WANTED_KEY, OTHER_KEY, "0005", "0006", "correct horse"].map(str::to_owned);
    let names = NAMES.map(str::to_owned);
    let all = keys.chain(ids).chain(known).chain(names).chain([host, boot, folder]);
    all.map(|text| text.trim().to_ascii_lowercase()).collect()
}

#[test]
fn nothing_that_a_machine_a_guest_or_a_secret_could_be_known_by_is_in_a_report() {
    if !e2e::can_simulate("nothing_that_a_machine_a_guest_or_a_secret_could_be_known_by_is_in_a_report") {
        return;
    }
    let guest = guest(&format!(
        "{SLOW}kernel: {{retrieve: true, serialnr_lingers: 2}}\nultravisor: {{retrieve: true, cuid: \"{CUID}\"}}\n{}",
        cards()
    ));
    fill(&guest);
    let own = request(NAMES[3]);
    let arguments = ["--queue", "00.0005", "--until-reboot", "--request", &own, "--lock"];
    let report = report(&guest, &arguments);
    // Whatever can be asked here was asked.
    let observed =
        report["answers"].as_array().unwrap().iter().filter(|finding| finding["state"] == "observed").count();
    assert!(observed > 25, "{report:#}");
    let text = report.to_string().to_ascii_lowercase();
    let telling = telling(&guest);
    assert!(telling.len() > 18 && telling.iter().all(|text| text.len() > 1), "{telling:?}");
    for telling in telling {
        assert!(!text.contains(&telling), "{telling} is in the report: {report:#}");
    }
}
