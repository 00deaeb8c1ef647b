//! Secrets: kept, never shown, never lost silently.

use crate::world::{World, code, warns};
use openssl::nid::Nid;
use pv_wire::{RequestView, UserDataType};
use serde_json::json;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use test_pki::host_key;

#[test]
fn a_secret_is_never_lost_or_replaced_silently() {
    let world = World::new();
    let options = world.options("request", json!({}));
    let missing = world.options("request", json!({"create_secret": false}));
    assert_eq!(code(&world.run(&missing)), "request.secret_missing");
    assert!(!world.path("request").exists());
    world.run(&options);
    let secret = fs::read(world.path("secret")).unwrap();

    fs::remove_file(world.path("secret")).unwrap();
    let lost = world.run(&options);
    assert_eq!(code(&lost), "request.secret_missing");
    assert!(!world.path("secret").exists());

    world.private("secret", &[9; 32]);
    assert_eq!(code(&world.run(&options)), "request.secret_changed");
    let check = world.options("request", json!({"_ansible_check_mode": true}));
    assert_eq!(code(&world.run(&check)), "request.secret_changed");
    let replace = world.options("request", json!({"replace_secret": true, "_ansible_diff": true}));
    let replaced = world.run(&replace);
    assert_eq!(replaced["changed"], true);
    assert!(replaced["diff"][0]["after"].as_str().unwrap().contains("secret: another one\n"), "{replaced}");
    assert_eq!(world.run(&options)["changed"], false);
    world.private("secret", &secret);
    assert_eq!(code(&world.run(&options)), "request.secret_changed");
}

#[test]
fn the_secret_appears_in_no_result() {
    let world = World::new();
    let base64 = "c2VjcmV0IHNlY3JldCBzZWNyZXQgc2VjcmV0IDMyISE=";
    let given = json!({"secret": base64, "secret_file": null, "create_secret": null, "_ansible_diff": true});
    let made = world.run(&world.options("request", given));
    assert_eq!(made["changed"], true, "{made}");
    assert_eq!(made["invocation"]["module_args"]["secret"], "VALUE_SPECIFIED_IN_NO_LOG_PARAMETER");
    let short = json!({"secret": "c2VjcmV0", "secret_file": null, "create_secret": null});
    let refused = world.run(&world.options("other", short));
    assert_eq!(code(&refused), "request.secret_size");
    let hint = refused["error"]["hint"].as_str().unwrap();
    assert!(hint.contains("{{ value | b64encode }}") && !hint.contains("file must contain"), "{refused}");
    let no_key = json!({"secret": base64, "secret_file": null, "create_secret": null, "type": "ec"});
    let no_key = world.run(&world.options("other", no_key));
    assert_eq!(code(&no_key), "request.secret_key");
    let hint = no_key["error"]["hint"].as_str().unwrap();
    assert!(hint.contains("P-521") && hint.contains("{{ value | b64encode }}"), "{no_key}");
    let mut options = world.options("x", json!({"secret_file": null, "create_secret": null}));
    options["requests"] = json!([{"path": world.text("third"), "secret": base64}]);
    let listed = world.run(&options);
    assert_eq!(listed["changed"], true);
    for result in [made, refused, listed] {
        assert!(!result.to_string().contains("c2VjcmV0") && !result.to_string().contains("secret secret"), "{result}");
    }
}

#[test]
fn every_type_of_secret_is_made_under_each_of_its_names() {
    let world = World::new();
    for (spellings, option, len, kind) in [
        (&["plaintext", "plain"][..], "plaintext", 5, "PLAINTEXT"),
        (&["aes"], "aes", 24, "AES-192-KEY"),
        (&["aes_xts", "aes-xts"], "aes_xts", 64, "AES-XTS-256-KEY"),
        (&["hmac_sha", "hmac-sha"], "hmac_sha", 64, "HMAC-SHA-256-KEY"),
        (&["update_cck", "update-cck", "cck"], "update_cck", 32, "update-cck"),
    ] {
        let secret = world.private(&format!("{option}.secret"), &vec![3; len]);
        for (at, spelling) in spellings.iter().enumerate() {
            let name = if option == "update_cck" { json!(null) } else { json!(option) };
            let more = json!({"type": spelling, "name": name, "secret_file": secret, "create_secret": false});
            let result = world.run(&world.options(option, more));
            let entry = &result["requests"][0];
            assert_eq!((&entry["type"], &entry["kind"]), (&json!(option), &json!(kind)), "{result}");
            assert_eq!(result["changed"], at == 0);
        }
    }
    let meta = json!({"type": "meta", "name": null, "secret_file": null, "create_secret": null});
    let result = world.run(&world.options("meta", meta));
    assert_eq!((&result["requests"][0]["kind"], &result["requests"][0]["id"]), (&json!("null"), &json!(null)));
}

#[test]
fn an_insecure_secret_is_refused_with_what_to_do() {
    let world = World::new();
    world.run(&world.options("request", json!({})));
    fs::set_permissions(world.path("secret"), fs::Permissions::from_mode(0o644)).unwrap();
    let result = world.run(&world.options("request", json!({})));
    assert_eq!(code(&result), "file.insecure");
    assert!(result["error"]["hint"].as_str().unwrap().contains("chmod 600"), "{result}");
}

#[test]
fn keys_proofs_and_signed_data_come_from_private_files() {
    let world = World::new();
    let key = host_key(Nid::SECP521R1).unwrap();
    world.private("key.pem", &key.private_key_to_pem_pkcs8().unwrap());
    world.private("cck", &[5; 32]);
    fs::write(world.path("data"), "hello").unwrap();
    fs::write(world.path("cuid"), [7; 16]).unwrap();
    let options = |more: serde_json::Value| {
        let mut options = world.options(
            "request",
            json!({
                "type": "ec", "create_secret": false, "secret_file": world.text("key.pem"), "cck_file": world.text("cck"),
                "user_data_file": world.text("data"), "user_signing_key": world.text("key.pem"), "cuid_file": world.text("cuid"),
            }),
        );
        options.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        options
    };
    let made = world.run(&options(json!({})));
    assert_eq!(made["requests"][0]["kind"], "EC-SECP521R1-PRIVATE-KEY", "{made}");
    assert!(!warns(&made, "request.origin_not_proved"));
    let bytes = fs::read(world.path("request")).unwrap();
    let view = RequestView::parse(&bytes).unwrap();
    assert_eq!((view.cuid(), view.user_data_type, view.secret_size), (Some([7; 16]), UserDataType::EcP521, 80));
    assert!(view.user_data().starts_with(b"hello"));
    assert_eq!(fs::read_to_string(world.path("my_secret.yaml")).unwrap().lines().next(), Some("!Retrievable"));
    assert_eq!(world.run(&options(json!({})))["changed"], false);

    fs::copy(world.path("cck"), world.path("open")).unwrap();
    fs::set_permissions(world.path("open"), fs::Permissions::from_mode(0o640)).unwrap();
    for option in ["secret_file", "cck_file", "user_signing_key"] {
        assert_eq!(code(&world.run(&options(json!({option: world.text("open")})))), "file.insecure", "{option}");
    }
}
