//! Many requests in one task: built at once, observed and written in their order.

use crate::world::{World, code};
use pv_wire::RequestView;
use serde_json::{Value, json};
use std::fs;

fn paths(world: &World, count: usize) -> Vec<String> {
    (0..count).map(|at| world.text(&format!("request{at}"))).collect()
}

/// The task's own options without a path, and these requests.
fn task(world: &World, requests: &[Value]) -> Value {
    let mut options = world.options("", json!({ "requests": requests }));
    options["path"] = json!(null);
    options
}

#[test]
fn a_hundred_requests_for_one_new_secret_are_made_and_told_in_their_order() {
    let world = World::new();
    let paths = paths(&world, 100);
    let requests: Vec<_> = paths.iter().map(|path| json!({"path": path, "label": path})).collect();
    let options = task(&world, &requests);
    let result = world.run(&options);
    let entries = result["requests"].as_array().unwrap();
    assert_eq!(entries.iter().map(|entry| entry["label"].as_str().unwrap()).collect::<Vec<_>>(), paths);
    assert_eq!(entries.iter().filter(|entry| entry["secret_created"] == true).count(), 1);
    let mut tags: Vec<_> = paths
        .iter()
        .zip(entries)
        .map(|(path, entry)| {
            let bytes = fs::read(path).unwrap();
            let tag = pv_wire::encode_hex(RequestView::parse(&bytes).unwrap().tag());
            assert_eq!(entry["tag"], tag);
            tag
        })
        .collect();
    tags.sort();
    tags.dedup();
    assert_eq!(tags.len(), 100, "no two requests are alike");
    let again = world.run(&options);
    assert_eq!(again["changed"], false, "{again}");
}

#[test]
fn a_later_request_finds_what_an_earlier_one_of_the_task_made() {
    let world = World::new();
    let [one, two] = ["one", "two"].map(|name| world.text(name));
    let without = json!({"path": two, "create_secret": false});
    let result = world.run(&task(&world, &[json!({"path": one}), without.clone()]));
    assert_eq!(result["failed"], Value::Null, "the secret is there when its second request comes: {result}");

    let world = World::new();
    let result = world.run(&task(&world, &[without, json!({"path": one})]));
    assert_eq!(result["requests"][0]["error"]["code"], "request.secret_missing", "{result}");
}

#[test]
fn nothing_that_one_request_of_a_task_writes_is_another_ones_secret_or_file() {
    let world = World::new();
    let [one, two] = ["one", "two"].map(|name| world.text(name));
    let manifest = format!("{one}.manifest.json");
    for (first, second) in [
        (json!({"path": one}), json!({"path": two, "secret_file": one})),
        (json!({"path": one}), json!({"path": two, "secret_file": manifest})),
        (json!({"path": one}), json!({"path": manifest})),
        (json!({"path": one, "id_file": world.text("ids")}), json!({"path": two, "secret_file": world.text("ids")})),
        (json!({"path": one}), json!({"path": two, "secret_file": world.text("my_secret.yaml")})),
        (json!({"path": one}), json!({"path": two, "id_file": one})),
        (json!({"path": two, "secret_file": one}), json!({"path": one})),
    ] {
        let before = world.files();
        let result = world.run(&task(&world, &[first, second.clone()]));
        assert_eq!(code(&result), "args.duplicate_path", "{second}: {result}");
        assert_eq!(world.files(), before, "{second}");
    }
}

#[test]
fn two_secrets_in_one_task_do_not_get_one_id_file() {
    let world = World::new();
    let shared = world.text("shared.yaml");
    let entry = |name: &str| json!({"path": world.text(name), "name": name, "id_file": shared, "secret_file": world.text(&format!("secret of {name}"))});
    let result = world.run(&task(&world, &[entry("one"), entry("two")]));
    assert_eq!(code(&result), "args.id_file_collision", "{result}");
    assert_eq!((&result["requests"][0]["failed"], &result["requests"][1]["failed"]), (&json!(false), &json!(true)));
    assert!(fs::read_to_string(&shared).unwrap().contains("name: one\n"));
    assert!(!world.path("two").exists(), "nothing is written of a request that fails");
}

#[test]
fn an_id_file_that_requests_share_is_written_and_told_once() {
    let world = World::new();
    let requests: Vec<_> = paths(&world, 20).iter().map(|path| json!({"path": path})).collect();
    let mut options = task(&world, &requests);
    options["_ansible_diff"] = json!(true);
    let result = world.run(&options);
    let id_file = world.text("my_secret.yaml");
    let told = result["diff"].as_array().unwrap().iter().filter(|diff| diff["after_header"] == id_file);
    assert_eq!(told.count(), 1, "{result}");
}

#[test]
fn a_request_is_removed_after_all_that_come_before_it_are_made() {
    let world = World::new();
    let mut requests: Vec<_> = paths(&world, 20).iter().map(|path| json!({"path": path})).collect();
    // The id file tells the order: it stays only because requests that have it were written before.
    requests.push(json!({"path": world.text("gone"), "state": "absent"}));
    world.run(&task(&world, &[json!({"path": world.text("gone")})]));
    let result = world.run(&task(&world, &requests));
    assert_eq!(result["failed"], Value::Null, "{result}");
    assert!(!world.path("gone").exists() && world.path("my_secret.yaml").exists());
}

#[test]
fn a_fault_that_only_building_finds_leaves_the_others() {
    let world = World::new();
    world.private("secret", &[7; 32]);
    fs::write(world.path("too long"), [1; 513]).unwrap();
    let mut requests: Vec<_> = paths(&world, 9).iter().map(|path| json!({"path": path})).collect();
    requests[4]["user_data_file"] = json!(world.text("too long"));
    let result = world.run(&task(&world, &requests));
    assert_eq!(code(&result), "request.user_data_size", "{result}");
    assert!(result["msg"].as_str().unwrap().starts_with("1 of 9 requests failed; "), "{result}");
    let there: Vec<_> = (0..9).map(|at| world.path(&format!("request{at}")).exists()).collect();
    assert_eq!(there.iter().filter(|there| **there).count(), 8);
    assert!(!there[4] && !world.path("request4.manifest.json").exists());
}

#[test]
fn a_request_with_a_wrong_option_stops_the_task_before_anything_is_made() {
    let world = World::new();
    let [good, bad] = ["good", "bad"].map(|name| world.text(name));
    let result = world.run(&task(&world, &[json!({"path": good}), json!({"path": bad, "type": "aess"})]));
    assert_eq!(code(&result), "args.invalid", "{result}");
    let detail = result["error"]["detail"].as_str().unwrap();
    assert!(detail.starts_with("The option requests[1].type must be one of association"), "{detail}");
    assert_eq!(result["error"]["hint"], "Did you mean aes?");
    assert!(!world.path("good").exists() && !world.path("bad").exists());
}

#[test]
fn with_keep_going_a_request_that_cannot_be_made_is_its_own_entry_and_no_failure_of_the_task() {
    let world = World::new();
    let [good, bad, lost] = ["good", "bad", "lost"].map(|name| world.text(name));
    let requests = [
        json!({"path": bad, "label": "bad", "type": "aess"}),
        json!({"path": good, "label": "good"}),
        json!({"path": lost, "label": "lost", "create_secret": false, "secret_file": world.text("nowhere")}),
    ];
    let mut options = task(&world, &requests);
    options["keep_going"] = json!(true);
    let result = world.run(&options);
    assert_eq!((&result["failed"], &result["changed"]), (&Value::Null, &json!(true)), "{result}");
    assert_eq!(result["msg"], "1 of 3 requests changed. 2 of 3 could not be built.");
    let entries = result["requests"].as_array().unwrap();
    let told = |entry: &Value| (entry["label"].clone(), entry["failed"].clone(), entry["error"]["code"].clone());
    assert_eq!(
        entries.iter().map(told).collect::<Vec<_>>(),
        [
            (json!("bad"), json!(true), json!("args.invalid")),
            (json!("good"), json!(false), Value::Null),
            (json!("lost"), json!(true), json!("request.secret_missing")),
        ]
    );
    assert!(world.path("good").exists());
    let again = world.run(&options);
    assert_eq!(again["msg"], "Every other request is as wanted. 2 of 3 could not be built.");

    let mut options = task(&world, &[json!({"path": good})]);
    options["keep_going"] = json!(true);
    options["type"] = json!("aess");
    assert_eq!(code(&world.run(&options)), "args.invalid", "a mistake in the task's own options fails it");
}
