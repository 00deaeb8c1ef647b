//! Requests from the first run to their removal.

use crate::world::{World, code, mode, warns};
use pv_wire::RequestView;
use serde_json::json;
use std::fs;

#[test]
fn the_first_run_makes_everything_and_the_second_changes_nothing() {
    let world = World::new();
    let options = world.options("request", json!({"label": "guest1"}));
    let first = world.run(&options);
    assert_eq!(first["changed"], true, "{first}");
    let entry = &first["requests"][0];
    assert_eq!(entry["label"], "guest1");
    assert_eq!(entry["secret_created"], true);
    assert_eq!((&entry["type"], &entry["kind"]), (&json!("association"), &json!("Association")));
    assert_eq!(entry["root_ca"], world.text("root_ca.crt"));
    assert_eq!(entry["host_keys"].as_array().unwrap().len(), 2);
    assert_eq!(entry["error"], json!(null));
    assert!(warns(&first, "request.secret_created") && warns(&first, "request.origin_not_proved"), "{first}");
    assert_eq!(first["invocation"]["module_args"]["create_secret"], true);

    let bytes = fs::read(world.path("request")).unwrap();
    let view = RequestView::parse(&bytes).unwrap();
    assert_eq!(entry["id"], view.id.unwrap().to_string());
    assert_eq!(entry["tag"], pv_wire::encode_hex(view.tag()));
    assert_eq!(entry["size"], bytes.len());
    for (file, wanted) in [
        ("request", 0o600),
        ("request.manifest.json", 0o600),
        ("secret", 0o600),
        ("my_secret.yaml", 0o644),
        ("state/seguest-pv/manifest.key", 0o600),
    ] {
        assert_eq!(mode(&world.path(file)), wanted, "{file}");
    }

    let before = world.files();
    let second = world.run(&options);
    assert_eq!((second["changed"].as_bool(), world.files()), (Some(false), before), "{second}");
    assert_eq!(second["requests"][0]["sha256"], entry["sha256"]);
    assert_eq!(second["requests"][0]["secret_created"], false);
    assert_eq!(world.run_with_file(&options)["changed"], false);
}

#[test]
fn check_mode_writes_nothing_and_tells_what_would_be() {
    let world = World::new();
    let before = world.files();
    let options = world.options("request", json!({"_ansible_check_mode": true, "_ansible_diff": true}));
    let result = world.run(&options);
    assert_eq!((result["changed"].as_bool(), world.files()), (Some(true), before), "{result}");
    let entry = &result["requests"][0];
    assert_eq!((&entry["secret_created"], &entry["tag"]), (&json!(true), &json!(null)));
    assert_eq!(result.get("predicted"), None);
    let subjects: Vec<_> = result["diff"].as_array().unwrap().iter().map(|d| d["after_header"].as_str()).collect();
    let expected = ["secret", "request", "my_secret.yaml"].map(|name| world.text(name));
    assert_eq!(subjects, expected.iter().map(|name| Some(name.as_str())).collect::<Vec<_>>());

    world.run(&world.options("request", json!({})));
    assert_eq!(world.run(&options)["changed"], false);
}

#[test]
fn what_an_earlier_task_may_still_make_is_predicted_in_part() {
    let world = World::new();
    for more in [
        json!({"image": world.text("nothing")}),
        json!({"host_keys": [world.text("nothing")]}),
        json!({"create_secret": false}),
        json!({"cck_file": world.text("nothing")}),
        json!({"owner": "no such user"}),
    ] {
        let mut options = world.options("request", more);
        let code = code(&world.run(&options)).to_owned();
        options["_ansible_check_mode"] = true.into();
        let result = world.run(&options);
        assert_eq!((&result["changed"], &result["predicted"]), (&json!(true), &json!("partial")), "{result}");
        assert!(warns(&result, &code), "{code}: {result}");
    }
    assert!(!world.path("secret").exists() && !world.path("state").exists());
}

#[test]
fn mode_is_corrected_without_making_the_request_again() {
    let world = World::new();
    let sha256 = world.run(&world.options("request", json!({})))["requests"][0]["sha256"].clone();
    for (given, wanted) in
        [(json!("0640"), 0o640), (json!(416), 0o640), (json!("u=rw,g=r,o=r"), 0o644), (json!(null), 0o600)]
    {
        let changed = mode(&world.path("request")) != wanted;
        let result = world.run(&world.options("request", json!({"mode": given, "_ansible_diff": true})));
        assert_eq!((result["changed"].as_bool(), mode(&world.path("request"))), (Some(changed), wanted), "{result}");
        assert_eq!(result["requests"][0]["sha256"], sha256);
        if changed {
            assert_eq!(result["diff"][0]["after"], format!("mode: {wanted:04o}\n"));
        }
    }
}

#[test]
fn other_files_are_never_written_over() {
    let world = World::new();
    fs::write(world.path("request"), "my diary").unwrap();
    assert_eq!(code(&world.run(&world.options("request", json!({})))), "request.not_ours");
    assert_eq!(code(&world.run(&world.options("request", json!({"state": "absent"})))), "request.not_ours");
    let check = world.options("request", json!({"_ansible_check_mode": true}));
    assert_eq!(code(&world.run(&check)), "request.not_ours");
    fs::write(world.path("my_secret.yaml"), "!Association\nname: other\nid: 0x00\n").unwrap();
    assert_eq!(code(&world.run(&world.options("r", json!({})))), "args.id_file_collision");
    assert_eq!(fs::read_to_string(world.path("request")).unwrap(), "my diary");
    assert!(!world.path("secret").exists());
}

#[test]
fn a_missing_id_file_is_written_again() {
    let world = World::new();
    let options = world.options("request", json!({}));
    world.run(&options);
    let text = fs::read(world.path("my_secret.yaml")).unwrap();
    fs::remove_file(world.path("my_secret.yaml")).unwrap();
    assert_eq!(world.run(&options)["changed"], true);
    assert_eq!(fs::read(world.path("my_secret.yaml")).unwrap(), text);
}

#[test]
fn absent_removes_all_but_the_secret_and_an_id_file_that_another_request_has() {
    let world = World::new();
    for path in ["one", "two"] {
        assert_eq!(world.run(&world.options(path, json!({})))["changed"], true);
    }
    let absent = |path: &str| world.run(&json!({"path": world.text(path), "state": "absent"}));
    let first = absent("one");
    assert!(first["changed"] == true && warns(&first, "request.left_in_place"), "{first}");
    assert!(!world.path("one").exists() && !world.path("one.manifest.json").exists());
    assert!(world.path("my_secret.yaml").exists());
    assert_eq!(absent("two")["changed"], true);
    assert!(!world.path("my_secret.yaml").exists() && world.path("secret").exists());
    let again = absent("two");
    assert_eq!((&again["changed"], again.get("warnings")), (&json!(false), None));
}

#[test]
fn an_id_file_that_is_named_anew_is_recorded_and_outlives_another_request_that_has_it() {
    let world = World::new();
    world.run(&world.options("one", json!({})));
    let renamed = json!({"id_file": world.text("shared.yaml"), "_ansible_diff": true});
    let result = world.run(&world.options("one", renamed.clone()));
    assert_eq!(result["changed"], true);
    let sha256 = &result["requests"][0]["sha256"];
    let again = world.run(&world.options("one", renamed.clone()));
    assert_eq!((&again["changed"], &again["requests"][0]["sha256"]), (&json!(false), sha256), "{again}");

    world.run(&world.options("two", renamed));
    let absent = json!({"path": world.text("two"), "id_file": world.text("shared.yaml"), "state": "absent"});
    assert!(warns(&world.run(&absent), "request.left_in_place"));
    assert!(world.path("shared.yaml").exists());
}

#[test]
fn one_task_removes_the_id_file_with_the_last_request_that_has_it() {
    let world = World::new();
    let paths: Vec<_> = ["one", "two", "three"].iter().map(|path| json!({"path": world.text(path)})).collect();
    let mut options = world.options("x", json!({"requests": paths}));
    world.run(&options);
    options["state"] = "absent".into();
    options["requests"][1]["state"] = "present".into();
    let kept = world.run(&options);
    assert!(warns(&kept, "request.left_in_place") && world.path("my_secret.yaml").exists(), "{kept}");
    options["requests"] = json!(paths);
    let result = world.run(&options);
    assert!(result["changed"] == true && !world.path("my_secret.yaml").exists(), "{result}");
    assert!(!world.path("two.manifest.json").exists() && world.path("secret").exists());
}

#[test]
fn a_file_in_the_manifests_place_that_is_none_is_neither_removed_nor_written_over() {
    let world = World::new();
    fs::write(world.path("app.manifest.json"), "{\"app\": 1}").unwrap();
    let absent = world.run(&json!({"path": world.text("app"), "state": "absent"}));
    assert!(absent["changed"] == false && warns(&absent, "request.left_in_place"), "{absent}");
    assert_eq!(code(&world.run(&world.options("app", json!({})))), "request.not_ours");
    assert_eq!(fs::read_to_string(world.path("app.manifest.json")).unwrap(), "{\"app\": 1}");
    assert!(!world.path("secret").exists());
}

#[test]
fn a_manifest_that_nobody_vouches_for_removes_no_id_file_elsewhere() {
    let world = World::new();
    fs::create_dir(world.path("mine")).unwrap();
    fs::create_dir(world.path("theirs")).unwrap();
    world.run(&world.options("mine/request", json!({"id_file": world.text("mine/x.yaml")})));
    world.run(&world.options("theirs/request", json!({"id_file": world.text("mine/x.yaml")})));
    fs::remove_file(world.path("mine/request.manifest.json")).unwrap();
    fs::remove_file(world.path("state/seguest-pv/manifest.key")).unwrap();
    let absent = world.run(&json!({"path": world.text("theirs/request"), "state": "absent"}));
    assert_eq!(absent["changed"], true);
    assert!(world.path("mine/x.yaml").exists() && !world.path("theirs/request").exists());
}

#[test]
fn no_secret_is_made_where_the_request_cannot_be_written() {
    let world = World::new();
    let before = world.files();
    assert_eq!(code(&world.run(&world.options("no folder/request", json!({})))), "file.missing");
    assert_eq!(
        code(&world.run(&world.options("request", json!({"id_file": world.text("no folder/x.yaml")})))),
        "file.missing"
    );
    assert_eq!(world.files(), before);
}

#[test]
fn check_mode_leaves_even_what_a_killed_run_left() {
    let world = World::new();
    world.run(&world.options("request", json!({})));
    fs::hard_link(world.path("secret"), world.path(".secret.seguest-tmp")).unwrap();
    let before = world.files();
    let checked = world.run(&world.options("request", json!({"_ansible_check_mode": true})));
    assert_eq!((checked["changed"].as_bool(), world.files()), (Some(false), before), "{checked}");
    assert_eq!(world.run(&world.options("request", json!({})))["changed"], false);
    assert!(!world.path(".secret.seguest-tmp").exists());
}

#[test]
fn one_task_makes_many_requests_and_those_that_succeed_stay() {
    let world = World::new();
    world.document("revoked", Some(test_pki::Flaw::Revoked));
    let mut options = world.options("ignored", json!({}));
    options["requests"] = json!([
        {"path": world.text("one"), "label": "a"},
        {"path": world.text("two"), "label": "b", "host_keys": [world.text("revoked.crt")]},
        {"path": world.text("three"), "label": "c", "flags": "disable-dump"},
    ]);
    let result = world.run(&options);
    assert_eq!((&result["failed"], &result["changed"], code(&result)), (&json!(true), &json!(true), "hkd.revoked"));
    let entries = result["requests"].as_array().unwrap();
    let told: Vec<_> = entries.iter().map(|e| (e["label"].as_str().unwrap(), &e["changed"], &e["failed"])).collect();
    let (yes, no) = (&json!(true), &json!(false));
    assert_eq!(told, [("a", yes, no), ("b", no, yes), ("c", yes, no)]);
    assert_eq!(entries[1]["error"]["code"], "hkd.revoked");
    assert!(world.path("one").exists() && !world.path("two").exists() && world.path("three").exists());

    options["requests"] = json!([{"path": world.text("one")}, {"path": world.text("./one")}]);
    assert_eq!(code(&world.run(&options)), "args.duplicate_path");
    options["requests"] = json!([{"path": world.text("one"), "hostkeys": []}]);
    let unknown = world.run(&options);
    assert_eq!(unknown["msg"], "The option requests[0].hostkeys does not exist.");
    options["requests"] = json!([]);
    assert_eq!(world.run(&options)["changed"], false);
}

#[test]
fn a_request_without_a_path_is_returned_and_made_anew_each_time() {
    let world = World::new();
    let options = world.options("x", json!({"path": null, "return_content": true}));
    let results = [world.run(&options), world.run(&options)];
    assert!(results.iter().all(|result| result["changed"] == true));
    assert_ne!(results[0]["requests"][0]["content"], results[1]["requests"][0]["content"]);
    assert!(!world.path("my_secret.yaml").exists() && !world.path("state").exists());

    let stored = world.run(&world.options("request", json!({"return_content": true})));
    let again = world.run(&world.options("request", json!({"return_content": true})));
    assert_eq!(stored["requests"][0]["content"], again["requests"][0]["content"]);
    assert!(again["requests"][0]["content"].is_string());
}

#[test]
fn backup_keeps_the_request_that_is_replaced() {
    let world = World::new();
    let first = world.run(&world.options("request", json!({"backup": true})));
    assert_eq!(first["requests"][0]["backup_file"], json!(null));
    let old = fs::read(world.path("request")).unwrap();
    let second = world.run(&world.options("request", json!({"backup": true, "flags": "disable_dump"})));
    let kept = second["requests"][0]["backup_file"].as_str().unwrap();
    assert!(kept.starts_with(&world.text("request.")) && kept.ends_with('~'), "{kept}");
    assert_eq!(fs::read(kept).unwrap(), old);
}

#[test]
fn a_name_used_as_id_is_cut_to_31_bytes_even_within_a_character() {
    let world = World::new();
    let name = format!("{}\u{e9}tude", "a".repeat(30));
    let result = world.run(&world.options("request", json!({"name": name, "use_name": true})));
    let id = format!("0x{}c300", "61".repeat(30));
    let entry = &result["requests"][0];
    assert_eq!((&entry["id"], &entry["name"]), (&json!(id), &json!(name)), "{result}");
    let text = fs::read_to_string(world.path(&format!("{name}.yaml"))).unwrap();
    assert_eq!(text, format!("!Association\nname: {name}\nid: {id}\n"));
    assert_eq!(world.run(&world.options("request", json!({"name": name, "use_name": true})))["changed"], false);
}
