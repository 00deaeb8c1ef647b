//! Secrets that are encrypted in their files.

use crate::world::{World, code, mode, warns};
use openssl::cms::CmsContentInfo;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::symm::Cipher;
use serde_json::{Value, json};
use std::fs;
use std::process::{Command, Stdio};
use test_pki::{Role, host_key, rsa_key, write_file};

const BEGIN: &[u8] = b"-----BEGIN CMS-----";

/// Writes `NAME.crt` and `NAME.key`.
fn keeper(world: &World, name: &str, key: &PKey<Private>) {
    let root = &world.pki().root;
    let issue = root.usual(root.certificate.subject_name(), Role::Signing, 10).unwrap();
    let certificate = root.issue(&issue, key).unwrap();
    write_file(&world.path(&format!("{name}.crt")), &certificate.to_pem().unwrap()).unwrap();
    world.private(&format!("{name}.key"), &key.private_key_to_pem_pkcs8().unwrap());
}

/// A world with two keepers, one with an RSA key, and the options that name both and the key of the first.
fn world() -> (World, Value) {
    let world = World::new();
    keeper(&world, "one", &rsa_key().unwrap());
    keeper(&world, "two", &host_key(Nid::SECP384R1).unwrap());
    let options = json!({
        "secret_recipients": [world.text("one.crt"), world.text("two.crt")],
        "secret_key_file": world.text("one.key"),
    });
    (world, options)
}

fn with(mut options: Value, more: Value) -> Value {
    options.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    options
}

fn opened(world: &World, key: &str) -> Vec<u8> {
    let (secret, key) = (world.text("secret"), world.text(key));
    let output = Command::new("openssl")
        .args(["cms", "-decrypt", "-inform", "PEM", "-in", &secret, "-inkey", &key])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    output.stdout
}

#[test]
fn a_secret_that_is_made_is_encrypted_for_all_and_unchanged_with_any_of_their_keys() {
    let (world, sealing) = world();
    let made = world.run(&world.options("request", sealing.clone()));
    assert!(made["changed"] == true && warns(&made, "request.secret_created"), "{made}");
    assert!(fs::read(world.path("secret")).unwrap().starts_with(BEGIN));
    assert_eq!(mode(&world.path("secret")), 0o600);
    let secret = opened(&world, "one.key");
    assert_eq!((secret.len(), opened(&world, "two.key")), (32, secret.clone()));
    for (path, _, content) in world.files() {
        assert!(!content.windows(32).any(|window| window == secret), "{} holds the secret", path.display());
    }
    for key in ["one.key", "two.key"] {
        let options = with(sealing.clone(), json!({"secret_key_file": world.text(key)}));
        let again = world.run(&world.options("request", options));
        assert_eq!(again["changed"], false, "{again}");
    }
    // It is that secret from which the request was made.
    world.private("plain", &secret);
    let plain = json!({"secret_file": world.text("plain"), "create_secret": false});
    assert_eq!(world.run(&world.options("request", plain))["changed"], false);
    let other = with(sealing, json!({"image": world.text("header2")}));
    write_file(&world.path("header2"), &crate::world::header(0x52)).unwrap();
    assert_eq!(world.run(&world.options("request", other))["changed"], true);
    assert_eq!(opened(&world, "one.key"), secret);
}

#[test]
fn without_a_key_a_request_stays_and_none_is_built_from_a_secret_that_is_there() {
    let (world, sealing) = world();
    let sealing = with(sealing, json!({"secret_key_file": null}));
    let options = world.options("request", sealing.clone());
    assert_eq!(world.run(&options)["changed"], true);
    assert_eq!(world.run(&options)["changed"], false);
    let before = world.files();
    for more in [json!({"flags": ["disable_dump"]}), json!({"path": world.text("other")})] {
        let result = world.run(&world.options("request", with(sealing.clone(), more)));
        assert_eq!(code(&result), "request.secret_locked", "{result}");
        assert!(result["error"]["hint"].as_str().unwrap().contains("secret_key_file"));
    }
    // Also where nothing says that the file is encrypted.
    assert_eq!(code(&world.run(&world.options("other", json!({})))), "request.secret_locked");
    assert_eq!(world.files(), before);
}

#[test]
fn each_way_in_which_a_secret_cannot_be_read_has_its_code_and_changes_nothing() {
    let (world, sealing) = world();
    assert_eq!(world.run(&world.options("request", sealing.clone()))["changed"], true);
    let key = host_key(Nid::SECP384R1).unwrap();
    world.private("stranger.key", &host_key(Nid::SECP384R1).unwrap().private_key_to_pem_pkcs8().unwrap());
    let encrypted = key.private_key_to_pem_pkcs8_passphrase(Cipher::aes_256_cbc(), b"right").unwrap();
    world.private("locked.key", &encrypted);
    world.private("no.key", b"nothing");
    world.private("open", &[7; 32]);
    let good = fs::read(world.path("secret")).unwrap();
    let mut bad = good.clone();
    let at = bad.len() - 40;
    bad[at] = if bad[at] == b'A' { b'B' } else { b'A' };
    world.private("bad", &bad);
    let der = CmsContentInfo::from_pem(&good).unwrap().to_der().unwrap();
    world.private("cut", &der[..der.len() - 1]);
    let before = world.files();
    for (more, expected) in [
        (json!({"secret_key_file": world.text("stranger.key")}), "request.secret_wrong_key"),
        (json!({"secret_key_file": world.text("locked.key")}), "request.secret_key_passphrase"),
        (
            json!({"secret_key_file": world.text("locked.key"), "secret_key_passphrase": "wr0ng"}),
            "request.secret_key_passphrase",
        ),
        (json!({"secret_key_file": world.text("no.key")}), "request.secret_key_file"),
        (json!({"secret_key_file": world.text("absent.key")}), "file.missing"),
        (json!({"secret_file": world.text("bad")}), "request.secret_damaged"),
        (json!({"secret_file": world.text("cut")}), "request.secret_damaged"),
        (json!({"secret_file": world.text("cut"), "secret_key_file": null}), "request.secret_damaged"),
        // Of a type that has any length, this was taken for the secret itself.
        (
            json!({"secret_file": world.text("cut"), "secret_key_file": null, "secret_recipients": [], "create_secret": null, "type": "plaintext"}),
            "request.secret_damaged",
        ),
        (json!({"secret_file": world.text("open")}), "request.secret_in_clear"),
        (json!({"secret_file": world.text("open"), "secret_recipients": []}), "request.secret_in_clear"),
        (json!({"secret_recipients": [world.text("header")]}), "hkd.not_a_certificate"),
    ] {
        let result = world.run(&world.options("request", with(sealing.clone(), more)));
        assert_eq!(code(&result), expected, "{result}");
        assert!(!result.to_string().contains("wr0ng"), "{result}");
    }
    assert_eq!(world.files(), before);
}

#[test]
fn a_key_with_a_passphrase_opens_and_the_passphrase_is_in_no_result() {
    let (world, sealing) = world();
    let key = rsa_key().unwrap();
    keeper(&world, "one", &key);
    let encrypted = key.private_key_to_pem_pkcs8_passphrase(Cipher::aes_256_cbc(), b"t0psecret").unwrap();
    world.private("one.key", &encrypted);
    let options = world.options("request", with(sealing, json!({"secret_key_passphrase": "t0psecret"})));
    for changed in [true, false] {
        let result = world.run(&options);
        assert_eq!(result["changed"], changed, "{result}");
        assert!(!result.to_string().contains("t0psecret"));
    }
}

#[test]
fn a_file_that_leaves_out_a_recipient_is_kept_with_a_warning() {
    let (world, sealing) = world();
    let first = with(sealing.clone(), json!({"secret_recipients": [world.text("one.crt")]}));
    assert!(!warns(&world.run(&world.options("request", first)), "request.recipient_left_out"));
    let before = world.files();
    let result = world.run(&world.options("request", sealing));
    assert!(result["changed"] == false && warns(&result, "request.recipient_left_out"), "{result}");
    assert!(result["warnings"].to_string().contains("two.crt"));
    assert_eq!(world.files(), before);
}

#[test]
fn of_sixteen_runs_at_once_all_use_the_one_encrypted_secret() {
    let (world, sealing) = world();
    let runs: Vec<_> = (0..16)
        .map(|at| {
            let options = world.options(&format!("request{at}"), sealing.clone());
            fs::write(world.path(&format!("arguments{at}")), options.to_string()).unwrap();
            world.command().arg(world.path(&format!("arguments{at}"))).stdout(Stdio::piped()).spawn().unwrap()
        })
        .collect();
    let created = runs.into_iter().map(|run| {
        let result: Value = serde_json::from_slice(&run.wait_with_output().unwrap().stdout).unwrap();
        assert_eq!(result["changed"], true, "{result}");
        result["requests"][0]["secret_created"] == true
    });
    assert_eq!(created.filter(|created| *created).count(), 1);
    for at in 0..16 {
        assert_eq!(world.run(&world.options(&format!("request{at}"), sealing.clone()))["changed"], false);
    }
}

#[test]
fn check_mode_says_that_a_secret_would_be_made_and_makes_none() {
    let (world, sealing) = world();
    let before = world.files();
    let mut options = world.options("request", sealing);
    options["_ansible_check_mode"] = json!(true);
    let result = world.run(&options);
    assert_eq!((&result["changed"], world.files()), (&json!(true), before), "{result}");
}

#[test]
fn a_secret_made_for_others_serves_all_requests_of_its_task_and_none_of_a_later_one() {
    let (world, sealing) = world();
    let request = |name: &str| json!({"path": world.text(name)});
    let mut options = world.options("", with(sealing, json!({"requests": [request("one.req"), request("two.req")]})));
    options["path"] = json!(null);
    options["secret_key_file"] = json!(null);
    let made = world.run(&options);
    assert_eq!(made["changed"], true, "{made}");
    assert!(world.path("one.req").exists() && world.path("two.req").exists());
    assert_eq!(opened(&world, "two.key").len(), 32);
    options["requests"] = json!([request("three.req")]);
    assert_eq!(code(&world.run(&options)), "request.secret_locked");
}
