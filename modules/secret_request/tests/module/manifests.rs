//! When a request is made again, and what is told of it.

use crate::world::{World, header, warns};
use serde_json::json;
use std::fs;

#[test]
fn every_input_that_differs_makes_the_request_again_and_is_named_in_the_diff() {
    let world = World::new();
    world.run(&world.options("request", json!({})));
    fs::write(world.path("other header"), header(0x52)).unwrap();
    fs::write(world.path("data"), "hello").unwrap();
    world.private("extension", &[7; 32]);
    for (line, more) in [
        ("flags: disable_dump", json!({"flags": "disable_dump"})),
        ("image: ", json!({"image": world.text("other header")})),
        ("cuid: 0x0102030405060708090a0b0c0d0e0f10", json!({"cuid": "0x0102030405060708090a0b0c0d0e0f10"})),
        ("user_data: ", json!({"user_data_file": world.text("data")})),
        ("extension_secret: simple", json!({"extension_secret_file": world.text("extension")})),
        ("host_keys: ", json!({"host_keys": [world.text("host1.crt")]})),
    ] {
        let mut options = world.options("request", more);
        options["_ansible_diff"] = true.into();
        let result = world.run(&options);
        assert_eq!(result["changed"], true, "{line}");
        let (before, after) =
            (result["diff"][0]["before"].as_str().unwrap(), result["diff"][0]["after"].as_str().unwrap());
        let found = after.lines().find(|l| l.starts_with(line)).unwrap_or_else(|| panic!("{line}: {after}"));
        assert!(!before.lines().any(|l| l == found), "{line}: {before}");
        assert_eq!(world.run(&options)["changed"], false, "{line}");
    }
    let reordered = [world.text("host2.crt"), world.text("host1.crt")];
    world.run(&world.options("request", json!({})));
    assert_eq!(world.run(&world.options("request", json!({"host_keys": reordered})))["changed"], false);
}

#[test]
fn a_request_without_a_trusted_manifest_is_made_again_with_a_warning() {
    let world = World::new();
    let options = world.options("request", json!({}));
    world.run(&options);
    let manifest = world.path("request.manifest.json");
    let good = fs::read_to_string(&manifest).unwrap();
    let spoil: [(&str, &dyn Fn()); 5] = [
        ("request.no_manifest", &|| fs::remove_file(&manifest).unwrap()),
        ("request.untrusted_manifest", &|| fs::write(&manifest, good.replace("\"none\"", "\"simple\"")).unwrap()),
        ("request.untrusted_manifest", &|| fs::write(&manifest, "{").unwrap()),
        ("request.untrusted_manifest", &|| fs::remove_file(world.path("state/seguest-pv/manifest.key")).unwrap()),
        ("request.altered", &|| {
            let mut bytes = fs::read(world.path("request")).unwrap();
            *bytes.last_mut().unwrap() ^= 1;
            fs::write(world.path("request"), bytes).unwrap();
        }),
    ];
    let secret = fs::read(world.path("secret")).unwrap();
    for (code, spoil) in spoil {
        spoil();
        let result = world.run(&options);
        assert_eq!(result["changed"], true, "{result}");
        assert!(warns(&result, code), "{code}: {result}");
        assert_eq!(world.run(&options)["changed"], false);
    }
    assert_eq!(fs::read(world.path("secret")).unwrap(), secret);
}

#[test]
fn a_run_that_ended_between_manifest_and_request_is_completed_by_the_next() {
    let world = World::new();
    let options = world.options("request", json!({}));
    world.run(&options);
    let old = fs::read(world.path("request")).unwrap();
    let flagged = world.options("request", json!({"flags": ["disable_dump"]}));
    world.run(&flagged);
    // As if the second run had written its manifest only.
    fs::write(world.path("request"), &old).unwrap();
    assert_eq!(world.run(&flagged)["changed"], true);
    assert_ne!(fs::read(world.path("request")).unwrap(), old);
    // As if the first run had written nothing but its manifest.
    fs::remove_file(world.path("request")).unwrap();
    fs::remove_file(world.path("my_secret.yaml")).unwrap();
    assert_eq!(world.run(&flagged)["changed"], true);
    assert_eq!(world.run(&flagged)["changed"], false);
}

#[test]
fn a_replacement_of_the_secret_that_failed_is_completed_without_being_decided_again() {
    let world = World::new();
    let old_options = world.options("request", json!({}));
    world.run(&old_options);
    let (request, old) = (world.path("request"), fs::read(world.path("secret")).unwrap());
    let before = fs::read(&request).unwrap();
    let new = json!({"secret_file": world.private("new secret", &[9; 32])});
    let mut replace = world.options("request", new.clone());
    replace["replace_secret"] = json!(true);
    world.run(&replace);
    // As if that run had written its manifest only.
    fs::write(&request, &before).unwrap();

    let back = world.run(&old_options);
    assert_eq!(back["error"]["code"], "request.secret_changed", "{back}");
    assert_eq!((fs::read(&request).unwrap(), world.secret_in(&request)), (before, old));
    let completed = world.run(&world.options("request", new));
    assert!(completed["changed"] == true && warns(&completed, "request.altered"), "{completed}");
    assert_eq!(world.secret_in(&request), [9; 32]);
}
