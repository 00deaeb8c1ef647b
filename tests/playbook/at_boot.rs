//! A guest that provisions itself at each boot.

use crate::support::{MAKE, Single, associated, secrets, steps};
use anyhow::{Context, Result, ensure};
use e2e::{Guest, Play, WANTED_KEY, can_simulate, request_of};
use serde_json::{Value, json};
use std::path::Path;
use std::process::Output;

const FOLDERS: [&str; 2] = ["/etc", "/usr/local"];

/// A guest with folders of its own, so that nothing is installed on the machine that the test runs on.
fn guest() -> Result<Single> {
    let single = Single::new(json!({}))?;
    for folder in FOLDERS {
        own(&single.guest, folder)?;
    }
    let play = single.controller.playbook("provision.yml", &["--limit", "trusted"])?;
    ensure!(play.ok, "{}", play.output);
    Ok(single)
}

/// An empty folder in a folder's place, which everybody may look into.
fn own(guest: &Guest, folder: &str) -> Result<()> {
    guest.own_folder(Path::new(folder))?;
    shell(guest, &format!("chmod 755 {folder}")).map(|_| ())
}

fn shell(guest: &Guest, command: &str) -> Result<String> {
    let output = run(guest, command)?;
    ensure!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}

fn run(guest: &Guest, command: &str) -> Result<Output> {
    guest.run(Path::new("/bin/sh"), &["-c", command], b"")
}

fn role(single: &Single, at_boot: bool, arguments: &[&str]) -> Result<Play> {
    let request = |name: &str| request_of(&single.world, "image.hdr", name).map(|path| path.display().to_string());
    let vars = json!({
        "guest_secrets": [{"name": "cluster key", "src": request("cluster_key")?}, {"name": "key of guest1", "src": request("key_of_guest1")?}],
        "guest_queues": "{{ provision_queues }}", "guest_at_boot": at_boot});
    let tasks = json!([{"name": "Include", "ansible.builtin.import_role": {"name": "seguest.pv.guest"}, "vars": vars}]);
    single.controller.tasks("guests", &tasks, arguments)
}

/// What systemd would start, as the installed unit has it.
fn exec_start(guest: &Guest) -> Result<String> {
    let unit = shell(guest, "cat /etc/systemd/system/multi-user.target.wants/seguest-pv.service")?;
    let line = unit.lines().find_map(|line| line.strip_prefix("ExecStart="));
    Ok(line.context("the unit has no ExecStart")?.to_owned())
}

fn listing(guest: &Guest) -> Result<String> {
    shell(
        guest,
        "cd / && find etc/seguest.pv usr/local/libexec etc/systemd -not -type d -printf '%p %M %U\\n' 2>/dev/null | sort",
    )
}

#[test]
fn a_guest_with_its_unit_has_its_queues_after_a_reboot_before_anybody_comes() -> Result<()> {
    const TEST: &str = "a_guest_with_its_unit_has_its_queues_after_a_reboot_before_anybody_comes";
    if !can_simulate(TEST) {
        return Ok(());
    }
    let single = &guest()?;
    let check = role(single, true, &["--check", "--diff"])?;
    assert!(check.ok, "{}", check.output);
    assert!(steps(&check, "guest1")?.contains(&"at_boot would_change".to_owned()), "{}", check.output);
    assert_eq!(shell(&single.guest, "ls -A /etc /usr/local")?.split_whitespace().count(), 2, "check mode wrote");

    let first = role(single, true, &[])?;
    assert!(first.ok, "{}", first.output);
    let installed = listing(&single.guest)?;
    assert_eq!(installed.lines().count(), 4, "{installed}");
    for line in installed.lines() {
        let mode = line.split_whitespace().nth(1).unwrap_or_default();
        let private = ["-rw-------", "-rwx------"].contains(&mode);
        assert!(private || line.contains("seguest-pv.service"), "{line}");
    }
    let again = role(single, true, &["--diff"])?;
    assert!(again.ok, "{}", again.output);
    assert_eq!(again.changes(), Vec::<String>::new());

    let before = associated(&single.guest)?;
    single.guest.reboot()?;
    assert!(associated(&single.guest)?.is_empty());
    let started = exec_start(&single.guest)?;
    let said: Value = serde_json::from_str(&shell(&single.guest, &started)?)?;
    assert_eq!((&said["changed"], said.get("failed")), (&json!(true), None), "{said}");
    assert_eq!((associated(&single.guest)?, secrets(&single.guest)?.len()), (before, 2));
    assert_eq!(single.guest.state()?["locked"], true);
    // And when a controller comes, there is nothing left to do.
    assert_eq!(role(single, true, &[])?.changes(), Vec::<String>::new());

    let removed = role(single, false, &[])?;
    assert!(removed.ok, "{}", removed.output);
    assert_eq!(listing(&single.guest)?, "");
    assert_eq!(role(single, false, &[])?.changes(), Vec::<String>::new());
    Ok(())
}

#[test]
fn a_locked_guest_takes_a_new_list_of_secrets_at_its_next_boot() -> Result<()> {
    if !can_simulate("a_locked_guest_takes_a_new_list_of_secrets_at_its_next_boot") {
        return Ok(());
    }
    let single = &guest()?;
    assert!(role(single, true, &[])?.ok);
    // One secret less: what is locked in is too much, and only a boot mends that.
    let fewer = json!({"guest_secrets": [{"name": "cluster key", "src": request_of(&single.world, "image.hdr", "cluster_key")?}],
                       "guest_queues": [{"name": "cluster key", "mode": "ep11", "mkvp": WANTED_KEY}]})
    .to_string();
    let checked = role(single, true, &["--check", "--extra-vars", &fewer])?;
    assert_eq!(checked.result("guest1", MAKE)?["error"]["code"], "uv.locked_incomplete", "{}", checked.output);
    let refused = role(single, true, &["--extra-vars", &fewer])?;
    let result = refused.result("guest1", MAKE)?;
    assert_eq!(
        (&result["error"]["code"], &result["changed"]),
        (&json!("uv.locked_incomplete"), &json!(true)),
        "{result}"
    );
    assert!(steps(&refused, "guest1")?.contains(&"at_boot changed".to_owned()), "{result}");
    assert_eq!(secrets(&single.guest)?.len(), 2, "the store was touched");
    // Nothing is written for a boot that would not make it right.
    let wrong = json!({"guest_secrets": [{"name": "cluster key", "src": request_of(&single.world, "image.hdr", "cluster_key")?}],
                       "guest_queues": [{"name": "nobody's", "mode": "ep11", "mkvp": WANTED_KEY}]})
    .to_string();
    let mistaken = role(single, true, &["--extra-vars", &wrong])?;
    assert_eq!(mistaken.result("guest1", MAKE)?["changed"], false, "{}", mistaken.output);

    single.guest.reboot()?;
    let said: Value = serde_json::from_str(&shell(&single.guest, &exec_start(&single.guest)?)?)?;
    assert_eq!(said.get("failed"), None, "{said}");
    assert_eq!(
        (associated(&single.guest)?, single.guest.state()?["locked"].as_bool()),
        (secrets(&single.guest)?, Some(true))
    );
    assert_eq!(secrets(&single.guest)?.len(), 1);
    let again = role(single, true, &["--extra-vars", &fewer])?;
    assert!(again.ok && again.changes().is_empty(), "{}", again.output);
    Ok(())
}

#[test]
fn a_retired_guest_takes_nothing_again_at_its_next_boot() -> Result<()> {
    if !can_simulate("a_retired_guest_takes_nothing_again_at_its_next_boot") {
        return Ok(());
    }
    let single = &guest()?;
    // As text, a list of names is one with commas.
    assert!(role(single, true, &["-e", "guest_at_boot_before=a.service,b.service"])?.ok);
    let unit = shell(&single.guest, "cat /etc/systemd/system/seguest-pv.service")?;
    assert!(unit.contains("\nBefore=a.service b.service\n"), "{unit}");
    let vars = json!({"retire_guest": "guest1"}).to_string();
    let retired = single.controller.playbook("retire.yml", &["--extra-vars", &vars])?;
    assert!(retired.ok, "{}", retired.output);
    assert_eq!(listing(&single.guest)?, "");
    Ok(())
}

#[test]
fn a_failure_at_boot_is_one_error_line_in_the_journal() -> Result<()> {
    if !can_simulate("a_failure_at_boot_is_one_error_line_in_the_journal") {
        return Ok(());
    }
    let single = &guest()?;
    assert!(role(single, true, &[])?.ok);
    single.guest.reboot()?;
    single.guest.set("faults:\n  - {on: add_secret, nth: 2, uv_rc: 0x0108, times: 0}\n")?;
    // As systemd runs it, with the journal behind its output.
    let output = run(
        &single.guest,
        &format!("JOURNAL_STREAM=$(stat -Lc %d:%i /proc/self/fd/2) {}", exec_start(&single.guest)?),
    )?;
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr)?;
    assert!(said.starts_with("<3>The ultravisor was asked to add a secret and answered 0x0108"), "{said}");
    assert!(said.ends_with("[uv.request_not_for_this_guest]\n") && said.lines().count() == 1, "{said}");
    assert_eq!(single.guest.state()?["locked"], false);
    assert!(associated(&single.guest)?.is_empty());
    Ok(())
}

#[test]
fn what_is_installed_is_repaired_and_an_unsafe_folder_is_refused() -> Result<()> {
    if !can_simulate("what_is_installed_is_repaired_and_an_unsafe_folder_is_refused") {
        return Ok(());
    }
    let single = &guest()?;
    assert!(role(single, true, &[])?.ok);
    let whole = listing(&single.guest)?;
    shell(&single.guest, "echo x >>/usr/local/libexec/seguest.pv/guest && chmod 644 /etc/seguest.pv/guest.json")?;
    let repaired = role(single, true, &[])?;
    let changed = &repaired.result("guest1", MAKE)?["at_boot"]["changed"];
    assert_eq!(changed, &json!(["/usr/local/libexec/seguest.pv/guest", "/etc/seguest.pv/guest.json"]));
    assert_eq!(listing(&single.guest)?, whole);

    shell(&single.guest, "chmod 777 /etc/seguest.pv && rm /etc/seguest.pv/guest.json")?;
    let refused = role(single, true, &[])?;
    assert!(!refused.ok);
    let error = &refused.result("guest1", MAKE)?["error"];
    assert_eq!(error["code"], "boot.unsafe_folder");
    assert!(error["detail"].to_string().contains("users other than root can write to /etc/seguest.pv"), "{error}");
    Ok(())
}

#[test]
fn systemd_understands_the_unit() -> Result<()> {
    const TEST: &str = "systemd_understands_the_unit";
    if !can_simulate(TEST) {
        return Ok(());
    }
    if !Path::new("/usr/bin/systemd-analyze").exists() {
        println!("skipped: {TEST}: systemd-analyze is not installed");
        return Ok(());
    }
    let single = &guest()?;
    assert!(role(single, true, &[])?.ok);
    let output = run(&single.guest, "systemd-analyze verify /etc/systemd/system/seguest-pv.service")?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    // Other units of the machine may have faults of their own.
    assert!(!said.contains("seguest-pv"), "{said}");
    Ok(())
}
