//! Configuration unique ids that are pinned.

use crate::fleet::{BOOT_ID, Fleet, check, claims, ssh_host_key};
use crate::ultravisor::Guest;
use crate::world::{code, mode, warns, with};
use serde_json::{Value, json};
use std::fs;

const LATER: &str = "1d3a1f6e-2b4c-4d5e-8f90-123456789abc";

/// Judges a guest that was started as `start`, with an SSH host key and a boot id.
fn judge(fleet: &Fleet, start: u8, key: u8, boot_id: &str, known: bool) -> Value {
    let said = claims(key, boot_id, &[]);
    let guest = Guest { user_data: said.user_data().to_vec(), ..fleet.guest(start) };
    let mut more = json!({"cuid_file": fleet.text("g1.cuid"), "claims": said.to_json()});
    if known {
        more["ssh_host_keys"] = json!([ssh_host_key(1)]);
    }
    fleet.judge(&guest, more)
}

#[test]
fn the_first_affirming_verdict_pins_and_the_same_start_changes_nothing() {
    let fleet = Fleet::new();
    let bad = fleet.judge(&Guest { image: 0x52, ..fleet.guest(1) }, json!({"cuid_file": fleet.text("g1.cuid")}));
    assert!(bad["failed"] == true && !fleet.path("g1.cuid").exists(), "{bad}");
    assert_eq!(judge(&fleet, 1, 1, BOOT_ID, true)["changed"], true);
    let text = fs::read_to_string(fleet.path("g1.cuid")).unwrap();
    assert_eq!(text, format!("cuid: '0x{}'\nboot_id: '{BOOT_ID}'\n", "01".repeat(16)));
    assert_eq!(mode(&fleet.path("g1.cuid")), 0o644);
    assert_eq!(judge(&fleet, 1, 1, BOOT_ID, true)["changed"], false);
}

#[test]
fn another_start_is_refused_unless_the_guest_is_known_and_was_booted_again() {
    let fleet = Fleet::new();
    judge(&fleet, 1, 1, BOOT_ID, true);
    for (start, key, boot_id, known) in [(2, 1, BOOT_ID, true), (2, 1, LATER, false), (2, 2, LATER, false)] {
        assert_eq!(code(&judge(&fleet, start, key, boot_id, known)), "attest.cuid_changed", "{start} {key} {boot_id}");
    }
    let relayed = judge(&fleet, 2, 2, LATER, true);
    assert_eq!(code(&relayed), "attest.ssh_host_keys", "{relayed}");
    assert!(fs::read_to_string(fleet.path("g1.cuid")).unwrap().contains(&"01".repeat(16)));
    let again = judge(&fleet, 2, 1, LATER, true);
    assert!(again["changed"] == true && warns(&again, "attest.new_start"), "{again}");
    assert!(fs::read_to_string(fleet.path("g1.cuid")).unwrap().contains(LATER));
}

#[test]
fn where_no_key_is_known_the_guests_word_pins_another_boot_but_no_other_id_of_the_same() {
    let fleet = Fleet::new();
    let judge = |start: u8, boot_id: &str, key: u8| {
        let said = claims(key, boot_id, &[]);
        let guest = Guest { user_data: said.user_data().to_vec(), ..fleet.guest(start) };
        let more = json!({"cuid_file": fleet.text("g1.cuid"), "claims": said.to_json(), "trust_boot_id": true,
                          "ssh_host": "g1", "known_hosts_content": ""});
        fleet.judge(&guest, more)
    };
    assert_eq!(judge(1, BOOT_ID, 1)["changed"], true);
    let other = judge(2, BOOT_ID, 1);
    assert_eq!(code(&other), "attest.cuid_changed", "{other}");
    let hint = check(&other, "cuid")["hint"].as_str().unwrap();
    assert!(hint.starts_with("It claims the boot") && hint.contains(&fleet.text("g1.cuid")), "{hint}");
    let again = judge(2, LATER, 2);
    assert!(again["changed"] == true && warns(&again, "attest.new_start"), "{again}");
    assert!(again["warnings"][0].as_str().unwrap().contains("its own word"), "{again}");
    // Another boot with the same id is nothing to warn of.
    let same = judge(2, BOOT_ID, 2);
    assert!(same["changed"] == true && !warns(&same, "attest.new_start"), "{same}");
}

#[test]
fn a_file_that_pins_nothing_is_left_alone() {
    let fleet = Fleet::new();
    fs::write(fleet.path("g1.cuid"), "something else").unwrap();
    assert_eq!(code(&judge(&fleet, 1, 1, BOOT_ID, true)), "attest.pin_not_ours");
    assert_eq!(fs::read_to_string(fleet.path("g1.cuid")).unwrap(), "something else");
}

/// Judges, as a task of its own, a guest whose answer comes from the one that was started as `start`.
fn alone(fleet: &Fleet, name: &str, start: u8, more: Value) -> Value {
    fleet.ask(&[name]);
    let pin = json!({"image": fleet.text("header"), "cuid_file": fleet.text(&format!("{name}.cuid"))});
    fleet.run(&with(fleet.options(name, &fleet.answer(name, &fleet.guest(start)), json!({})), with(pin, more)))
}

#[test]
fn a_guest_that_answers_for_another_in_a_task_of_its_own_is_found_by_the_pins() {
    let fleet = Fleet::new();
    assert_eq!(alone(&fleet, "a", 1, json!({}))["responses"][0]["verdict"], "affirming");
    for check_mode in [true, false] {
        let result = alone(&fleet, "b", 1, json!({"_ansible_check_mode": check_mode}));
        assert_eq!(
            (code(&result), &result["responses"][0]["verdict"]),
            ("attest.cuid_shared", &json!("contraindicated"))
        );
        let hint = check(&result, "cuid_pinned")["hint"].as_str().unwrap();
        assert!(hint.contains(&fleet.text("a.cuid")) && !fleet.path("b.cuid").exists(), "{result}");
    }
    // The guest's own pin does not count, and another start of the same image is another guest.
    assert_eq!(alone(&fleet, "a", 1, json!({}))["responses"][0]["verdict"], "affirming");
    assert_eq!(alone(&fleet, "b", 2, json!({}))["changed"], true);
    // Whoever is pinned in another folder is of another fleet.
    fs::create_dir(fleet.path("other")).unwrap();
    assert_eq!(alone(&fleet, "c", 1, json!({"cuid_file": fleet.text("other/c.cuid")}))["changed"], true);
}

#[test]
fn only_files_that_pin_something_are_compared() {
    let fleet = Fleet::new();
    let line = format!("cuid: '0x{}'\n", "01".repeat(16));
    fs::write(fleet.path("a.cuid.old"), &line).unwrap();
    fs::write(fleet.path("b.cuid"), "something else").unwrap();
    fs::write(fleet.path("c.cuid"), [line.as_bytes(), &[b'#'; 1 << 17]].concat()).unwrap();
    fs::create_dir(fleet.path("d.cuid")).unwrap();
    std::os::unix::fs::symlink(fleet.path("a.cuid.old"), fleet.path("e.cuid")).unwrap();
    std::os::unix::fs::symlink("/dev/zero", fleet.path("f.cuid")).unwrap();
    nix::unistd::mkfifo(&fleet.path("g.cuid"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    assert_eq!(alone(&fleet, "h", 1, json!({}))["changed"], true);
}
