//! A secret that was there once is never made again, whatever is left of it.

use crate::world::{World, code, warns};
use pv_wire::SecretId;
use serde_json::{Value, json};
use std::fs;
use std::path::PathBuf;

/// A world in which a request was made and its secret was lost.
fn lost() -> World {
    let world = World::new();
    let made = world.run(&world.options("request", json!({"backup": true})));
    assert_eq!(made["changed"], true, "{made}");
    fs::remove_file(world.path("secret")).unwrap();
    world
}

fn names(world: &World) -> Vec<PathBuf> {
    world.files().into_iter().map(|(path, ..)| path).collect()
}

/// The code with which another request for the secret is refused; nothing is written then.
fn refused(world: &World, more: Value) -> String {
    let before = world.files();
    let result = world.run(&world.options("another", more));
    assert_eq!(world.files(), before, "{result}");
    assert!(!result.to_string().contains("\"hint\":\"\""), "{result}");
    code(&result).to_owned()
}

#[test]
fn any_file_that_is_left_of_a_request_shows_that_its_secret_existed() {
    for kept in ["request", "request.manifest.json", "my_secret.yaml", "request.123.2026-01-01@00:00:00~"] {
        let world = lost();
        fs::copy(world.path("request"), world.path("request.123.2026-01-01@00:00:00~")).unwrap();
        for name in ["request", "request.manifest.json", "my_secret.yaml", "request.123.2026-01-01@00:00:00~"] {
            if name != kept {
                fs::remove_file(world.path(name)).unwrap();
            }
        }
        assert_eq!(refused(&world, json!({})), "request.secret_existed", "{kept}");
        // In check mode it is no different: no other task brings the secret back.
        assert_eq!(refused(&world, json!({"_ansible_check_mode": true})), "request.secret_existed", "{kept}");
        // Another secret is none of this.
        let other = world.options("other", json!({"name": "other", "secret_file": world.text("other.secret")}));
        assert_eq!(world.run(&other)["changed"], true);
    }
}

#[test]
fn the_id_file_shows_that_its_secret_existed_wherever_it_is() {
    let world = World::new();
    fs::create_dir(world.path("elsewhere")).unwrap();
    let id_file = json!({"id_file": world.text("elsewhere/ids.yaml")});
    assert_eq!(world.run(&world.options("request", id_file.clone()))["changed"], true);
    for name in ["secret", "request", "request.manifest.json"] {
        fs::remove_file(world.path(name)).unwrap();
    }
    assert_eq!(refused(&world, id_file.clone()), "request.secret_existed");
    let in_memory = json!({"path": null, "return_content": true, "id_file": world.text("elsewhere/ids.yaml")});
    assert_eq!(refused(&world, in_memory), "request.secret_existed");
    // What somebody else has put there is refused, as before.
    fs::write(world.path("elsewhere/ids.yaml"), "mine").unwrap();
    assert_eq!(refused(&world, id_file), "args.id_file_collision");
}

#[test]
fn folders_of_other_images_are_looked_into_where_they_are_named() {
    let world = lost();
    fs::create_dir_all(world.path("requests/image1")).unwrap();
    fs::rename(world.path("request"), world.path("requests/image1/request")).unwrap();
    for name in ["request.manifest.json", "my_secret.yaml"] {
        fs::remove_file(world.path(name)).unwrap();
    }
    fs::create_dir(world.path("linked")).unwrap();
    std::os::unix::fs::symlink(world.path("requests/image1"), world.path("linked/image1")).unwrap();
    for folder in ["requests", "requests/image1", "linked"] {
        assert_eq!(refused(&world, json!({"history": [world.text(folder)]})), "request.secret_existed", "{folder}");
    }
    // Who does not name them has a new secret; that a folder is not there yet is no hindrance.
    let made = world.run(&world.options("another", json!({"history": [world.text("nothing")]})));
    assert_eq!((&made["changed"], warns(&made, "request.secret_created")), (&json!(true), true), "{made}");
}

#[test]
fn what_cannot_be_read_is_not_taken_for_nothing() {
    for (name, content) in [("x.manifest.json", "{"), ("y.request", "asrcbM and no more")] {
        let world = World::new();
        fs::create_dir(world.path("requests")).unwrap();
        fs::write(world.path("requests").join(name), content).unwrap();
        let folder = json!({"history": [world.text("requests")]});
        assert_eq!(refused(&world, folder.clone()), "request.not_ours", "{name}");
        // A secret that is there needs no proof that it is new.
        world.private("secret", &[7; 32]);
        assert_eq!(world.run(&world.options("another", folder))["changed"], true);
    }
}

#[test]
fn a_secret_that_a_guest_holds_is_not_made_and_the_guest_is_named() {
    let world = World::new();
    let held = |name: &str| json!({"held": [{"id": SecretId::of_name(name).to_string(), "by": "guest7"}]});
    let result = world.run(&world.options("request", held("my secret")));
    assert_eq!(code(&result), "request.secret_held");
    let error = result["error"].to_string();
    assert!(error.contains("guest7") && error.contains("Do not reboot"), "{error}");
    assert!(!world.path("secret").exists() && !world.path("request").exists());
    assert_eq!(world.run(&world.options("request", held("another")))["changed"], true);
}

#[test]
fn a_third_request_for_a_lost_secret_does_not_make_it_again() {
    let world = lost();
    let request = |name: &str| json!({"path": world.text(name)});
    let more = json!({"requests": [request("first of its name"), request("request"), request("third")]});
    let mut options = world.options("", more);
    options["path"] = json!(null);
    let before = names(&world);
    let result = world.run(&options);
    let codes: Vec<_> =
        result["requests"].as_array().unwrap().iter().map(|entry| entry["error"]["code"].clone()).collect();
    let existed = json!("request.secret_existed");
    assert_eq!(codes, [existed.clone(), json!("request.secret_missing"), existed], "{result}");
    assert_eq!(names(&world), before);
}

#[test]
fn who_gives_a_secret_up_gets_a_new_one() {
    let world = lost();
    let options = world.options("another", json!({"replace_secret": true}));
    assert_eq!(world.run(&options)["requests"][0]["secret_created"], true);
}

#[test]
fn several_requests_for_one_new_secret_are_no_history_of_each_other() {
    let world = World::new();
    let request = |name: &str| json!({"path": world.text(name)});
    let mut options = world.options("", json!({"requests": [request("one"), request("two")]}));
    options["path"] = json!(null);
    for check in [true, false] {
        options["_ansible_check_mode"] = check.into();
        let result = world.run(&options);
        assert_eq!((&result["failed"], &result["changed"]), (&json!(null), &json!(true)), "{result}");
        assert_eq!(warns(&result, "request.secret_created"), !check, "{result}");
    }
}

#[test]
fn where_all_inputs_are_there_check_mode_fails_as_the_run_would() {
    let world = World::new();
    for more in [json!({"certificates": [world.text("nothing")]}), json!({"create_secret": false})] {
        let mut options = world.options("request", more);
        options["inputs_complete"] = true.into();
        let without = code(&world.run(&options)).to_owned();
        options["_ansible_check_mode"] = true.into();
        assert_eq!(code(&world.run(&options)), without);
    }
}

#[test]
fn a_request_that_is_removed_takes_with_it_what_was_kept_of_it() {
    let world = World::new();
    world.run(&world.options("request", json!({})));
    let replaced = world.run(&world.options("request", json!({"backup": true, "flags": "disable_dump"})));
    let kept = replaced["requests"][0]["backup_file"].as_str().unwrap().to_owned();
    // Of another request, and of nobody.
    fs::copy(&kept, world.path("request2.1.2026-01-01@00:00:00~")).unwrap();
    fs::copy(&kept, world.path("request.new.1.2026-01-01@00:00:00~")).unwrap();
    fs::write(world.path("request.notes~"), "mine").unwrap();
    fs::create_dir(world.path("request.2.2026-01-01@00:00:00~")).unwrap();
    let absent = json!({"path": world.text("request"), "state": "absent"});
    let mut check = absent.clone();
    check["_ansible_check_mode"] = true.into();
    assert_eq!((&world.run(&check)["changed"], PathBuf::from(&kept).exists()), (&json!(true), true));
    assert_eq!(world.run(&absent)["changed"], true);
    assert!(!PathBuf::from(&kept).exists());
    for others in ["request2.1.2026-01-01@00:00:00~", "request.new.1.2026-01-01@00:00:00~", "request.notes~"] {
        assert!(world.path(others).exists(), "{others}");
    }
    assert_eq!(world.run(&absent)["changed"], false);
}
