//! A whole fleet in one task.

use crate::fleet::{BOOT_ID, Fleet, claims};
use crate::schema;
use crate::ultravisor::Guest;
use crate::world::{code, mode, with};
use serde_json::{Value, json};
use std::fs;

/// The task's own options, and these answers.
fn task(fleet: &Fleet, responses: &[Value], more: Value) -> Value {
    with(json!({"image": fleet.text("header"), "responses": responses}), more)
}

#[test]
fn one_bad_answer_keeps_no_other_from_its_verdict() {
    let fleet = Fleet::new();
    fleet.ask(&["g1", "g2", "g3", "g4"]);
    let answer = |name: &str, number: u8| fleet.options(name, &fleet.answer(name, &fleet.guest(number)), json!({}));
    let mut responses = [answer("g1", 1), answer("g2", 2), answer("g3", 3), answer("g4", 4)];
    responses[1]["content"] = json!("bm9uc2Vuc2U=");
    let said = claims(1, BOOT_ID, &[]);
    let guest = Guest { user_data: said.user_data().to_vec(), ..fleet.guest(1) };
    responses[0]["content"] = json!(openssl::base64::encode_block(&fleet.answer("g1", &guest)));
    responses[0] = with(responses[0].clone(), json!({"claims": said.to_json(), "secrets": []}));
    let other = fleet.answer("g3", &Guest { image: 0x52, ..fleet.guest(3) });
    responses[2]["content"] = json!(openssl::base64::encode_block(&other));
    fs::remove_file(fleet.path("g4.key")).unwrap();

    let result = fleet.run(&task(&fleet, &responses, json!({"report": fleet.text("report.json")})));
    let verdicts = result["responses"].as_array().unwrap().iter().map(|entry| entry["verdict"].as_str().unwrap());
    assert_eq!(verdicts.collect::<Vec<_>>(), ["affirming", "none", "contraindicated", "none"], "{result}");
    assert!(result["msg"].as_str().unwrap().starts_with("3 of 4 responses failed; g2: "), "{result}");
    assert_eq!([1, 3].map(|n| fleet.path(&format!("g{n}.key")).exists()), [false, true]);

    let report: Value = serde_json::from_slice(&fs::read(fleet.path("report.json")).unwrap()).unwrap();
    assert_eq!((&report["affirming"], &report["contraindicated"], &report["none"]), (&json!(1), &json!(1), &json!(2)));
    schema::check(&report, &schema::of_report(), "report");
    assert_eq!((&report["responses"], mode(&fleet.path("report.json"))), (&result["responses"], 0o644));

    responses[0]["max_age"] = json!("soon");
    let lenient = fleet.run(&task(&fleet, &responses, json!({"fail": false})));
    assert_eq!((&lenient["failed"], &lenient["responses"][0]["verdict"]), (&json!(null), &json!("none")), "{lenient}");
    assert_eq!(lenient["responses"][0]["error"]["code"], "args.invalid", "{lenient}");
}

#[test]
fn no_guest_answers_for_another() {
    let fleet = Fleet::new();
    fleet.ask(&["g1", "g2"]);
    let relayed = |name: &str| fleet.options(name, &fleet.answer(name, &fleet.guest(1)), json!({}));
    let result = fleet.run(&task(&fleet, &[relayed("g1"), relayed("g2")], json!({"cuid_file": null})));
    for entry in result["responses"].as_array().unwrap() {
        assert_eq!(entry["verdict"], "contraindicated", "{result}");
    }
    assert_eq!(code(&result), "attest.cuid_shared");
}

#[test]
fn no_two_answers_share_a_key_or_a_pin_and_what_is_the_tasks_is_the_tasks() {
    let fleet = Fleet::new();
    fleet.ask(&["g2"]);
    let answer = |name: &str| fleet.options(name, &fleet.answer(name, &fleet.guest(1)), json!({}));
    let refused = |responses: &[Value], more: Value, expected: &str| {
        let result = fleet.run(&task(&fleet, responses, more));
        assert_eq!((code(&result), &result["responses"]), (expected, &json!(null)), "{result}");
    };
    refused(&[answer("g1"), answer("g1")], json!({}), "args.duplicate_path");
    refused(&[answer("g1"), answer("g2")], json!({"cuid_file": fleet.text("pin")}), "args.duplicate_path");
    let others_key = json!({"yaml_file": fleet.text("g2.key")});
    refused(&[with(answer("g1"), others_key), answer("g2")], json!({}), "args.duplicate_path");
    refused(
        &[with(answer("g1"), json!({"cuid_file": fleet.text("r")}))],
        json!({"report": fleet.text("r")}),
        "args.duplicate_path",
    );
    let conflict = |more: Value| {
        let before = fleet.files();
        refused(&[with(answer("g1"), more.clone())], json!({}), "args.conflict");
        assert_eq!(fleet.files(), before, "{more}");
    };
    fleet.private("signing.pem", b"a key");
    conflict(json!({"ear_file": fleet.text("signing.pem"), "signing_key": fleet.text("signing.pem")}));
    conflict(json!({"yaml_file": fleet.text("g1.key")}));
    conflict(json!({"yaml_file": fleet.text("g1.x"), "cuid_file": fleet.text("g1.x")}));
    conflict(json!({"cuid_file": answer("g1")["image"]}));
    refused(&[with(answer("g1"), json!({"fail": false}))], json!({}), "args.of_the_task");
    refused(&[with(answer("g1"), json!({"responses": []}))], json!({}), "args.unknown_option");
}

#[test]
fn a_thousand_guests_are_judged_in_one_task_each_by_its_own_key() {
    let fleet = Fleet::new();
    let names: Vec<_> = (0..1000_u32).map(|n| format!("guest{n}")).collect();
    fleet.ask(&names.iter().map(String::as_str).collect::<Vec<_>>());
    let responses: Vec<_> = names
        .iter()
        .zip(0_u128..)
        .map(|(name, n)| {
            let guest = Guest { cuid: (n + 1).to_be_bytes(), locked: n != 500, ..fleet.guest(1) };
            fleet.options(name, &fleet.answer(name, &guest), json!({}))
        })
        .collect();
    let result = fleet.run(&task(&fleet, &responses, json!({"secrets": [], "report": fleet.text("report.json")})));
    assert_eq!(code(&result), "attest.not_locked", "{}", result["msg"]);
    for (entry, (name, n)) in result["responses"].as_array().unwrap().iter().zip(names.iter().zip(0_u128..)) {
        let verdict = if n == 500 { "contraindicated" } else { "affirming" };
        assert_eq!((&entry["label"], &entry["verdict"]), (&json!(name), &json!(verdict)));
        assert_eq!(entry["cuid"], format!("0x{:032x}", n + 1));
    }
    assert!(names.iter().all(|name| !fleet.path(&format!("{name}.key")).exists()));
}
