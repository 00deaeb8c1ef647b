//! The folders of files with secrets: refused where everybody could replace the file, told where others could.

use crate::world::{World, code, warns};
use serde_json::{Value, json};
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, chown, symlink};
use std::path::Path;

const SHARED: &str = "file.folder_shared";

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// A world with the folder `kept`, in which are a secret, a CCK and a signing key.
fn world() -> World {
    let world = World::new();
    fs::create_dir(world.path("kept")).unwrap();
    set_mode(&world.path("kept"), 0o700);
    for (name, len) in [("kept/secret", 32), ("kept/cck", 32), ("own secret", 32)] {
        world.private(name, &vec![7; len]);
    }
    let key = test_pki::host_key(openssl::nid::Nid::SECP521R1).unwrap();
    world.private("kept/key.pem", &key.private_key_to_pem_pkcs8().unwrap());
    fs::write(world.path("data"), "hello").unwrap();
    world
}

/// The options of a request that reads one file from `kept`, each option once; the last makes it.
fn readers(world: &World) -> Vec<(&'static str, Value)> {
    let own = world.text("own secret");
    vec![
        ("secret_file", json!({"secret_file": world.text("kept/secret"), "create_secret": false})),
        ("cck_file", json!({"cck_file": world.text("kept/cck"), "secret_file": own})),
        ("extension_secret_file", json!({"extension_secret_file": world.text("kept/cck"), "secret_file": own})),
        (
            "user_signing_key",
            json!({
                "user_signing_key": world.text("kept/key.pem"), "user_data_file": world.text("data"), "secret_file": own,
            }),
        ),
        ("secret_key_file", json!({"secret_key_file": world.text("kept/key.pem")})),
        ("create_secret", json!({"secret_file": world.text("kept/new")})),
    ]
}

#[test]
fn a_folder_in_which_everybody_writes_is_refused_and_nothing_is_written() {
    let world = world();
    set_mode(&world.path("kept"), 0o777);
    let before = world.files();
    for (option, more) in readers(&world) {
        for check in [false, true] {
            let mut options = world.options("request", more.clone());
            options["_ansible_check_mode"] = json!(check);
            let result = world.run(&options);
            assert_eq!((code(&result), &result["changed"]), ("file.insecure", &json!(false)), "{option}: {result}");
            assert!(result["msg"].as_str().unwrap().contains("everybody can replace it"), "{result}");
            assert!(result["error"]["hint"].as_str().unwrap().contains("chmod go-w "), "{result}");
            assert_eq!(world.files(), before, "{option}, check mode {check}");
        }
    }
    // The secret itself is not judged where it is not in a file.
    let given =
        json!({"secret": "c2VjcmV0IHNlY3JldCBzZWNyZXQgc2VjcmV0IDMyISE=", "secret_file": null, "create_secret": null});
    assert_eq!(world.run(&world.options("request", given))["changed"], true);
}

#[test]
fn a_folder_in_which_a_group_writes_is_told_and_the_request_is_made() {
    for mode in [0o770, 0o2775] {
        let world = world();
        set_mode(&world.path("kept"), mode);
        for (option, more) in readers(&world) {
            // Its key opens no secret, so it is only for one that is to be made.
            let path = format!("request of {option}");
            let mut options = world.options(&path, more);
            // The secret of another name: one that a file shows to have existed is not made.
            options["name"] = json!(option);
            options["_ansible_check_mode"] = json!(true);
            assert!(warns(&world.run(&options), SHARED), "{option}");
            options["_ansible_check_mode"] = json!(false);
            let result = world.run(&options);
            assert!(result["changed"] == true && warns(&result, SHARED), "{option}: {result}");
            let warning = |w: &&Value| w.as_str().unwrap().ends_with("[file.folder_shared]");
            let warnings: Vec<_> = result["warnings"].as_array().unwrap().iter().filter(warning).collect();
            assert_eq!(warnings.len(), 1, "one for all files of a folder: {result}");
            assert!(warnings[0].as_str().unwrap().contains("the members of its group "), "{result}");
            if option != "secret_key_file" {
                let again = world.run(&options);
                assert!(again["changed"] == false && warns(&again, SHARED), "{option}: {again}");
            }
            let _ = fs::remove_file(world.path("secret"));
        }
    }
}

#[test]
fn a_private_folder_a_sticky_one_and_one_of_root_are_not_told() {
    let world = world();
    let options = world.options("request", json!({"secret_file": world.text("kept/secret")}));
    for mode in [0o700, 0o755, 0o1777, 0o1770] {
        set_mode(&world.path("kept"), mode);
        let result = world.run(&options);
        assert!(result["failed"] != true && !warns(&result, SHARED), "{mode:o}: {result}");
    }
    let tmp = tempfile::Builder::new().prefix("seguest-folders").tempfile_in("/tmp").unwrap();
    fs::write(tmp.path(), [7; 32]).unwrap();
    let result = world.run(&world.options("request", json!({"secret_file": tmp.path()})));
    assert!(result["failed"] != true && !warns(&result, SHARED), "{result}");
}

#[test]
fn a_folder_of_another_user_is_told_and_a_link_to_a_folder_is_judged_where_it_leads() {
    let world = world();
    symlink(world.path("kept"), world.path("link")).unwrap();
    let through_link = world.options("request", json!({"secret_file": world.text("link/secret")}));
    set_mode(&world.path("kept"), 0o777);
    assert_eq!(code(&world.run(&through_link)), "file.insecure");
    set_mode(&world.path("kept"), 0o755);
    let made = world.run(&through_link);
    assert!(made["changed"] == true && !warns(&made, SHARED), "{made}");
    // Only root can give a folder away.
    if chown(world.path("kept"), Some(12345), None).is_ok() {
        let told = world.run(&through_link);
        assert!(told["changed"] == false && warns(&told, SHARED), "{told}");
        assert!(told["warnings"].to_string().contains("its owner, who is user 12345,"), "{told}");
    }
}

#[test]
fn the_folder_of_the_users_key_is_judged_too() {
    let world = world();
    let options = world.options("request", json!({}));
    fs::create_dir_all(world.path("state/seguest-pv")).unwrap();
    set_mode(&world.path("state/seguest-pv"), 0o777);
    let before = world.files();
    let refused = world.run(&options);
    assert_eq!((code(&refused), world.files()), ("file.insecure", before));
    assert!(refused["msg"].as_str().unwrap().contains("manifest.key"), "{refused}");
    // A request that is only returned needs no key.
    let mut returned =
        world.options("request", json!({"return_content": true, "secret_file": world.text("own secret")}));
    returned["path"] = Value::Null;
    let returned = world.run(&returned);
    assert!(returned["changed"] == true && !warns(&returned, SHARED), "{returned}");

    set_mode(&world.path("state/seguest-pv"), 0o770);
    let mut check = options.clone();
    check["_ansible_check_mode"] = json!(true);
    assert!(warns(&world.run(&check), SHARED));
    let made = world.run(&options);
    assert!(made["changed"] == true && warns(&made, SHARED), "{made}");
    set_mode(&world.path("state/seguest-pv"), 0o700);
    let again = world.run(&options);
    assert!(again["changed"] == false && !warns(&again, SHARED), "{again}");
}

#[test]
fn folders_that_are_missing_are_made_only_where_that_is_wanted() {
    let world = World::new();
    let files = json!({"path": world.text("new/a/request"), "secret_file": world.text("new/b/secret")});
    let mut options = world.options("", files);
    let before = world.files();
    assert_eq!(code(&world.run(&options)), "file.missing");
    options["make_folders"] = json!(true);
    options["_ansible_check_mode"] = json!(true);
    assert_eq!((&world.run(&options)["changed"], world.files()), (&json!(true), before));
    assert!(!world.path("new").exists());
    options["_ansible_check_mode"] = json!(false);
    let made = world.run(&options);
    assert_eq!(made["changed"], true, "{made}");
    for folder in ["new", "new/a", "new/b"] {
        assert_eq!(fs::metadata(world.path(folder)).unwrap().permissions().mode() & 0o7777, 0o700, "{folder}");
    }
    assert_eq!(world.run(&options)["changed"], false);
}

#[test]
fn folders_of_a_request_that_is_only_returned_are_made_before_its_secret() {
    let world = World::new();
    let options = json!({
        "path": null, "return_content": true, "make_folders": true,
        "secret_file": world.text("secrets/new"), "id_file": world.text("ids/new.yaml"),
    });
    let result = world.run(&world.options("", options.clone()));
    assert_eq!(result["requests"][0]["secret_created"], true, "{result}");
    assert!(world.path("secrets/new").is_file() && world.path("ids/new.yaml").is_file());

    // Where nobody wants them made, what cannot be written is known before there is a secret.
    let world = World::new();
    fs::create_dir(world.path("secrets")).unwrap();
    set_mode(&world.path("secrets"), 0o700);
    let mut options = options;
    options["make_folders"] = json!(false);
    options["secret_file"] = json!(world.text("secrets/new"));
    options["id_file"] = json!(world.text("ids/new.yaml"));
    let result = world.run(&world.options("", options));
    assert_eq!(code(&result), "file.missing", "{result}");
    assert!(!world.path("secrets/new").exists());
}
