//! `secret_retrieve`: writes what may be retrieved into a file, and shows it nowhere else.

use crate::support::*;
use e2e::Guest;
use pv_request::{Secret, SecretClass};
use pv_wire::SecretId;
use serde_json::{Value, json};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

const MODULE: &str = "secret_retrieve";
const KERNEL: &str = "kernel: {retrieve: true}\n";

/// What a plaintext secret holds: found nowhere but in its file.
const PLAIN: &[u8] = b"correct horse battery staple";

fn secret(class: SecretClass, name: &str, value: &[u8]) -> Value {
    let secret = Secret::new(class, SecretId::of_name(name), value, name).unwrap();
    json!({"path": file(&build(&add(secret), &["m1"]))})
}

/// A guest with an association secret, a plaintext secret and a key: indices 0, 1 and 2.
fn filled(scenario: &str) -> Guest {
    let guest = guest(scenario);
    let requests = [
        json!({"path": request("assoc")}),
        secret(SecretClass::Plaintext, "plain", PLAIN),
        secret(SecretClass::Aes, "key", &[0x5a; 32]),
    ];
    ok(&guest, "secret_add", &json!({"requests": requests}));
    guest
}

fn retrievals(guest: &Guest) -> usize {
    guest.log().unwrap().iter().filter(|event| event["name"] == "retrieve_secret").count()
}

fn mode(path: &str) -> u32 {
    std::fs::metadata(path).unwrap().mode() & 0o7777
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_plaintext_secret_is_written_once_with_its_mode_and_shown_nowhere() {
    if !e2e::can_simulate("a_plaintext_secret_is_written_once_with_its_mode_and_shown_nowhere") {
        return;
    }
    let guest = filled(KERNEL);
    let folder = open_folder();
    let dest = folder.path().join("password").to_str().unwrap().to_owned();
    let arguments = json!({"name": "plain", "dest": dest, "format": "bin", "_ansible_diff": true});
    let first = ok(&guest, MODULE, &arguments);
    assert_eq!(std::fs::read(&dest).unwrap(), PLAIN);
    assert_eq!((mode(&dest), names(folder.path())), (0o600, vec!["password".to_owned()]));
    assert_eq!((&first["changed"], &first["index"], &first["type"]), (&json!(true), &json!(1), &json!("plaintext")));
    assert_eq!(
        (&first["id"], &first["kind"], &first["mode"]),
        (&json!(id("plain")), &json!("PLAINTEXT"), &json!("0600"))
    );
    assert_eq!(first["diff"][0]["after"], "content: the secret of index 1\nmode: 0600\n");
    let second = ok(&guest, MODULE, &arguments);
    assert_eq!((&second["changed"], &second["diff"]), (&json!(false), &json!([])));

    // Neither text nor base64 of it is in results, log or records.
    let mut told = format!("{first}{second}");
    for event in guest.log().unwrap() {
        told += &event.to_string();
    }
    told += &shell(&guest, "cat /run/seguest-pv/private/*.json");
    for hidden in ["correct horse", "Y29ycmVjdCBob3Jz", "636f7272656374"] {
        assert!(!told.contains(hidden), "{told}");
    }
}

#[test]
fn secrets_are_written_as_pvsecret_writes_them() {
    if !e2e::can_simulate("secrets_are_written_as_pvsecret_writes_them") {
        return;
    }
    let guest = filled(KERNEL);
    let dest = no_file();
    ok(&guest, MODULE, &json!({"name": "plain", "dest": dest}));
    assert_eq!(
        std::fs::read_to_string(&dest).unwrap(),
        "-----BEGIN PLAINTEXT SECRET-----\nY29ycmVjdCBob3JzZSBiYXR0ZXJ5IHN0YXBsZQ==\n-----END PLAINTEXT SECRET-----\n"
    );
    let result = ok(&guest, MODULE, &json!({"id": id("key"), "dest": dest}));
    assert_eq!((&result["changed"], &result["kind"]), (&json!(true), &json!("AES-256-KEY")));
    let text = std::fs::read_to_string(&dest).unwrap();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines[..3], ["-----BEGIN IBM PROTECTED KEY-----", "kind: AES-256-KEY", ""]);
    // 32 bytes of wrapped key and 32 of the wrapping key's pattern.
    assert_eq!(lines[3..].iter().map(|line| line.len()).collect::<Vec<_>>(), [64, 24, 31]);
    ok(&guest, MODULE, &json!({"index": "2", "dest": dest, "format": "bin"}));
    assert_eq!(std::fs::metadata(&dest).unwrap().len(), 64);
}

#[test]
fn every_length_of_plaintext_comes_back_as_it_was_put_in() {
    if !e2e::can_simulate("every_length_of_plaintext_comes_back_as_it_was_put_in") {
        return;
    }
    let guest = guest(KERNEL);
    for (at, length) in [0, 1, 13, 14, 15, 8190].into_iter().enumerate() {
        let value = vec![b'x'; length];
        ok(&guest, "secret_add", &secret(SecretClass::Plaintext, &format!("s{length}"), &value));
        let dest = no_file();
        ok(&guest, MODULE, &json!({"index": at, "dest": dest, "format": "bin"}));
        assert_eq!(std::fs::read(&dest).unwrap(), value);
    }
}

#[test]
fn what_was_changed_in_the_file_or_its_attributes_is_mended() {
    if !e2e::can_simulate("what_was_changed_in_the_file_or_its_attributes_is_mended") {
        return;
    }
    let guest = filled(KERNEL);
    let dest = no_file();
    let arguments = json!({"name": "plain", "dest": dest, "format": "bin", "_ansible_diff": true});
    std::fs::write(&dest, "somebody's").unwrap();
    let replaced = ok(&guest, MODULE, &arguments);
    assert_eq!((&replaced["changed"], std::fs::read(&dest).unwrap()), (&json!(true), PLAIN.to_vec()));
    assert!(!replaced.to_string().contains("somebody"), "{replaced}");

    std::fs::set_permissions(&dest, std::fs::Permissions::from_mode(0o644)).unwrap();
    let inode = std::fs::metadata(&dest).unwrap().ino();
    let predicted = ok(&guest, MODULE, &checked(&arguments));
    assert_eq!((&predicted["changed"], mode(&dest)), (&json!(true), 0o644));
    let set = ok(&guest, MODULE, &arguments);
    assert_eq!(set["diff"][0]["before"], "mode: 0644\n");
    assert_eq!((mode(&dest), std::fs::metadata(&dest).unwrap().ino()), (0o600, inode));

    let mut wider = arguments.clone();
    wider["mode"] = json!("u=rw,g=r");
    assert_eq!((ok(&guest, MODULE, &wider)["mode"].clone(), mode(&dest)), (json!("0640"), 0o640));
    assert_eq!(ok(&guest, MODULE, &wider)["changed"], false);
    fails(
        &guest,
        MODULE,
        &json!({"name": "plain", "dest": dest, "owner": "nobody-of-that-name"}),
        "file.no_such_owner",
    );
}

#[test]
fn check_mode_retrieves_nothing_and_tells_what_it_can() {
    if !e2e::can_simulate("check_mode_retrieves_nothing_and_tells_what_it_can") {
        return;
    }
    let guest = filled(KERNEL);
    let dest = no_file();
    let arguments = json!({"name": "plain", "dest": dest});
    let before = guest.log().unwrap().len();
    let new = ok(&guest, MODULE, &checked(&arguments));
    assert_eq!((&new["changed"], new.get("predicted")), (&json!(true), None));
    // A file of which nothing is known may hold the secret or not.
    std::fs::write(&dest, "x").unwrap();
    let unknown = ok(&guest, MODULE, &checked(&arguments));
    assert_eq!((&unknown["changed"], &unknown["predicted"]), (&json!(true), &json!("partial")));
    assert!(warned(&unknown, "file.content_unknown"), "{unknown}");
    let asked =
        guest.log().unwrap()[before..].iter().map(|e| e["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>();
    assert!(asked.iter().all(|name| name == "info" || name == "list_secrets"), "{asked:?}");
    assert_eq!(std::fs::read(&dest).unwrap(), b"x");

    // After a real run it is known, until somebody touches the file.
    ok(&guest, MODULE, &arguments);
    let known = ok(&guest, MODULE, &checked(&arguments));
    assert_eq!((&known["changed"], known.get("predicted"), retrievals(&guest)), (&json!(false), None, 1));
    std::fs::write(&dest, "touched").unwrap();
    assert_eq!(ok(&guest, MODULE, &checked(&arguments))["predicted"], "partial");

    // What an earlier task may still make only warns.
    for (arguments, code) in [
        (json!({"name": "later", "dest": no_file()}), "uv.secret_missing"),
        (json!({"index": 9, "dest": no_file()}), "uv.no_such_index"),
        (json!({"name": "plain", "dest": format!("{}/folder/file", no_file())}), "file.missing"),
        (json!({"name": "plain", "dest": no_file(), "owner": "later"}), "file.no_such_owner"),
    ] {
        let result = ok(&guest, MODULE, &checked(&arguments));
        assert!(warned(&result, code) && result["predicted"] == "partial", "{result}");
        fails(&guest, MODULE, &arguments, code);
    }
    fails(&guest, MODULE, &checked(&json!({"name": "assoc", "dest": no_file()})), "uv.not_retrievable");
}

#[test]
fn a_key_is_written_anew_after_a_reboot_and_not_before() {
    if !e2e::can_simulate("a_key_is_written_anew_after_a_reboot_and_not_before") {
        return;
    }
    for switches in ["", "switches: {fresh_wrapping: true}\n"] {
        let guest = guest(&format!("{KERNEL}{switches}"));
        let key = secret(SecretClass::Aes, "key", &[1; 16]);
        ok(&guest, "secret_add", &key);
        let (dest, other) = (no_file(), no_file());
        let arguments = json!({"name": "key", "dest": dest});
        assert_eq!(ok(&guest, MODULE, &arguments)["changed"], true);
        let first = std::fs::read(&dest).unwrap();
        ok(&guest, MODULE, &json!({"name": "key", "dest": other}));
        assert_eq!(std::fs::read(&other).unwrap() == first, switches.is_empty());
        assert_eq!(ok(&guest, MODULE, &arguments)["changed"], false, "{switches}");
        assert_eq!(ok(&guest, MODULE, &checked(&arguments))["changed"], false, "{switches}");

        guest.reboot().unwrap();
        fails(&guest, MODULE, &arguments, "uv.store_empty");
        assert_eq!(std::fs::read(&dest).unwrap(), first);
        ok(&guest, "secret_add", &key);
        assert_eq!(ok(&guest, MODULE, &checked(&arguments))["predicted"], "partial");
        assert_eq!(ok(&guest, MODULE, &arguments)["changed"], true);
        assert_ne!(std::fs::read(&dest).unwrap(), first);
    }
}

#[test]
fn a_secret_that_is_not_the_one_is_never_written() {
    if !e2e::can_simulate("a_secret_that_is_not_the_one_is_never_written") {
        return;
    }
    let guest = filled(KERNEL);
    let twin = secret(SecretClass::Plaintext, "key", b"twin");
    ok(&guest, "secret_add", &twin);
    let dest = no_file();
    let ambiguous = fails(&guest, MODULE, &json!({"name": "key", "dest": dest}), "uv.secret_ambiguous");
    assert!(ambiguous["msg"].as_str().unwrap().contains("index 2, 3"), "{ambiguous}");
    assert!(ambiguous["error"]["hint"].as_str().unwrap().contains("index"));
    fails(&guest, MODULE, &json!({"name": "assoc", "dest": dest}), "uv.not_retrievable");
    fails(&guest, MODULE, &json!({"index": 0, "dest": dest}), "uv.not_retrievable");
    assert_eq!((Path::new(&dest).exists(), retrievals(&guest)), (false, 0));
    ok(&guest, MODULE, &json!({"index": 3, "dest": dest, "format": "bin"}));
    assert_eq!(std::fs::read(&dest).unwrap(), b"twin");
}

#[test]
fn links_and_what_is_no_file_are_left_alone() {
    if !e2e::can_simulate("links_and_what_is_no_file_are_left_alone") {
        return;
    }
    let guest = filled(KERNEL);
    let (target, link) = (file(b"kept"), no_file());
    std::os::unix::fs::symlink(&target, &link).unwrap();
    let folder = open_folder();
    for dest in [link.as_str(), folder.path().to_str().unwrap(), "/dev/null", "/"] {
        for arguments in [json!({"name": "plain", "dest": dest}), checked(&json!({"name": "plain", "dest": dest}))] {
            fails(&guest, MODULE, &arguments, "file.not_regular");
        }
    }
    assert_eq!((std::fs::read(&target).unwrap(), retrievals(&guest)), (b"kept".to_vec(), 0));
}

#[test]
fn each_answer_of_the_ultravisor_has_its_own_code_and_leaves_the_file_as_it_is() {
    if !e2e::can_simulate("each_answer_of_the_ultravisor_has_its_own_code_and_leaves_the_file_as_it_is") {
        return;
    }
    let guest = filled(KERNEL);
    let dest = file(b"before");
    let arguments = json!({"name": "plain", "dest": dest});
    for (rc, code) in [
        (0x0000, "uv.invalid_answer"),
        (0x0002, "uv.invalid_command"),
        (0x0005, "uv.invalid_size"),
        (0x0009, "uv.buffer_too_small"),
        (0x0109, "uv.buffer_too_small"),
        (0x0030, "uv.home_space"),
        (0x0031, "uv.translation"),
        (0x0032, "uv.invalid_address"),
        (0x0102, "uv.retrieve_access_exception"),
        (0x0103, "uv.unknown_answer"),
        (0x010f, "uv.store_empty"),
        (0x0110, "uv.no_such_index"),
        (0x0111, "uv.not_retrievable"),
    ] {
        guest.set(&format!("clear_faults: true\nfaults: [{{on: retrieve_secret, uv_rc: {rc:#06x}}}]\n")).unwrap();
        let result = fails(&guest, MODULE, &arguments, code);
        assert_eq!(result["error"]["uv_rc"], rc, "{result}");
        assert!(!result["error"]["hint"].as_str().unwrap().is_empty());
        assert!(!result["error"]["detail"].as_str().unwrap().contains("locked"), "{result}");
    }
    for (errno, code) in
        [("ENOTTY", "uv.retrieve_unsupported"), ("EINVAL", "uv.ioctl_failed"), ("EPERM", "uv.not_permitted")]
    {
        guest.set(&format!("clear_faults: true\nfaults: [{{on: retrieve_secret, errno: {errno}}}]\n")).unwrap();
        assert_eq!(fails(&guest, MODULE, &arguments, code)["changed"], false);
    }
    assert_eq!(std::fs::read(&dest).unwrap(), b"before");
}

#[test]
fn where_nothing_can_be_retrieved_the_task_says_who_does_not_offer_it() {
    if !e2e::can_simulate("where_nothing_can_be_retrieved_the_task_says_who_does_not_offer_it") {
        return;
    }
    for (scenario, who) in [
        ("", "kernel"),
        ("kernel: {retrieve: true}\nultravisor: {retrieve: false}\n", "ultravisor"),
        ("kernel: {retrieve: true, info_knows_retrieve: true}\nultravisor: {retrieve: false}\n", "ultravisor"),
    ] {
        let guest = filled(scenario);
        let arguments = json!({"name": "plain", "dest": no_file()});
        for arguments in [&arguments, &checked(&arguments)] {
            let result = fails(&guest, MODULE, arguments, "uv.retrieve_unsupported");
            assert!(result["msg"].as_str().unwrap().contains(who), "{result}");
        }
        assert_eq!(retrievals(&guest), 0);
    }
}

#[test]
fn where_nothing_tells_whether_the_ultravisor_retrieves_its_answer_does() {
    if !e2e::can_simulate("where_nothing_tells_whether_the_ultravisor_retrieves_its_answer_does") {
        return;
    }
    let silent = "faults: [{on: read, target: query/facilities, times: 0, errno: EIO}]";
    let dest = no_file();
    let arguments = json!({"name": "plain", "dest": dest, "format": "bin"});
    let unable = filled("kernel: {retrieve: true}\nultravisor: {retrieve: false}\n");
    unable.set(silent).unwrap();
    fails(&unable, MODULE, &arguments, "uv.invalid_command");
    assert_eq!(retrievals(&unable), 1);
    assert!(!std::path::Path::new(&dest).exists());

    let able = filled(KERNEL);
    able.set(silent).unwrap();
    assert_eq!(ok(&able, MODULE, &arguments)["changed"], true);
    assert!(std::path::Path::new(&dest).exists());
}

#[test]
fn an_incomplete_list_proves_neither_absence_nor_that_there_is_only_one() {
    if !e2e::can_simulate("an_incomplete_list_proves_neither_absence_nor_that_there_is_only_one") {
        return;
    }
    let guest = guest("kernel: {retrieve: true}\nultravisor: {max_retr_secrets: 100}\n");
    let requests: Vec<_> =
        (0..86).map(|n| secret(SecretClass::Plaintext, &format!("s{n}"), format!("value {n}").as_bytes())).collect();
    ok(&guest, "secret_add", &json!({"requests": requests}));
    let dest = no_file();
    for name in ["s0", "s85", "none"] {
        for arguments in [json!({"name": name, "dest": dest}), checked(&json!({"name": name, "dest": dest}))] {
            fails(&guest, MODULE, &arguments, "uv.list_incomplete");
        }
    }
    ok(&guest, MODULE, &json!({"index": 84, "dest": dest, "format": "bin"}));
    assert_eq!(std::fs::read(&dest).unwrap(), b"value 84");
    guest.set("kernel: {list_pages: 2}").unwrap();
    ok(&guest, MODULE, &json!({"name": "s85", "dest": dest, "format": "bin"}));
    assert_eq!(std::fs::read(&dest).unwrap(), b"value 85");
}

#[test]
fn a_run_that_is_killed_leaves_the_old_file_and_the_next_one_finishes() {
    if !e2e::can_simulate("a_run_that_is_killed_leaves_the_old_file_and_the_next_one_finishes") {
        return;
    }
    let guest = filled(KERNEL);
    let dest = file(b"before");
    let arguments = json!({"name": "plain", "dest": dest, "format": "bin"});
    guest.set("faults: [{on: retrieve_secret, kill: after}]").unwrap();
    is_killed(&guest, MODULE, &arguments);
    assert_eq!(std::fs::read(&dest).unwrap(), b"before");
    assert_eq!(ok(&guest, MODULE, &arguments)["changed"], true);
    assert_eq!(std::fs::read(&dest).unwrap(), PLAIN);
}

#[test]
fn a_copy_that_a_killed_run_left_goes_although_the_file_is_as_wanted() {
    if !e2e::can_simulate("a_copy_that_a_killed_run_left_goes_although_the_file_is_as_wanted") {
        return;
    }
    let guest = filled(KERNEL);
    let folder = open_folder();
    let arguments = json!({"name": "plain", "dest": folder.path().join("password"), "format": "bin"});
    ok(&guest, MODULE, &arguments);
    let left = folder.path().join(".password.seguest-tmp");
    std::fs::write(&left, PLAIN).unwrap();
    ok(&guest, MODULE, &checked(&arguments));
    assert!(left.exists(), "check mode writes nothing");
    assert_eq!(ok(&guest, MODULE, &arguments)["changed"], false);
    assert_eq!(names(folder.path()), ["password"]);
}
