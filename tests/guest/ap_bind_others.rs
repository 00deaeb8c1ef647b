//! `ap_bind` while others are at work on the queues: pvapconfig, and another of its own.

use crate::queues::*;
use crate::support::*;
use serde_json::{Value, json};
use std::process::{Child, Command};
use std::time::Duration;

/// A process of this name that lives until dropped.
struct Process(Child, #[allow(dead_code, reason = "its program must stay as long as it runs")] tempfile::TempDir);

impl Process {
    fn named(name: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        // A copy could not be run as long as a process that another test starts has it open for writing.
        std::os::unix::fs::symlink("/bin/sleep", folder.path().join(name)).unwrap();
        let process = Self(Command::new(folder.path().join(name)).arg("60").spawn().unwrap(), folder);
        // Between fork and exec it still has the name of this program.
        let comm = format!("/proc/{}/comm", process.0.id());
        while std::fs::read_to_string(&comm).unwrap().trim_end() != name {
            std::thread::sleep(Duration::from_millis(1));
        }
        process
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn while_pvapconfig_is_at_work_nothing_is_touched() {
    if !e2e::can_simulate("while_pvapconfig_is_at_work_nothing_is_touched") {
        return;
    }
    let guest = guest_with(&["a"], "");
    let pvapconfig = Process::named("pvapconfig");
    let lock = format!("echo {} > /run/lock/pvapconfig.lock", pvapconfig.0.id());
    shell(&guest, &lock);
    let arguments = bind([ep11("a", KEY_A), accel()]);
    assert_eq!(fails(&guest, MODULE, &arguments, "ap.in_use_by_another")["changed"], false);
    fails(&guest, MODULE, &json!({"state": "unbound", "all": true}), "ap.in_use_by_another");
    assert_eq!(writes(&guest), NOTHING);
    assert_eq!(shell(&guest, "cat /run/lock/pvapconfig.lock"), format!("{}\n", pvapconfig.0.id()));
    // Check mode only looks.
    ok(&guest, MODULE, &checked(&arguments));
    // Once the process has died, the lock that it left is stale.
    drop(pvapconfig);
    ok(&guest, MODULE, &arguments);
    assert_eq!(shell(&guest, "ls -A /run/lock"), "");
}

#[test]
fn a_lock_is_respected_as_long_as_the_process_that_made_it_lives_whatever_it_is_called() {
    if !e2e::can_simulate("a_lock_is_respected_as_long_as_the_process_that_made_it_lives_whatever_it_is_called") {
        return;
    }
    let guest = guest(CARDS);
    let other = Process::named("other");
    shell(&guest, &format!("echo {} > /run/lock/pvapconfig.lock", other.0.id()));
    let result = fails(&guest, MODULE, &bind([accel()]), "ap.in_use_by_another");
    assert!(result["msg"].as_str().unwrap().contains(&format!("process {} (other)", other.0.id())), "{result}");
    assert_eq!(writes(&guest), NOTHING);
    // A process that began after the lock was made has only been given the id of the one that made it.
    shell(&guest, "touch -d '1 hour ago' /run/lock/pvapconfig.lock");
    assert_eq!(ok(&guest, MODULE, &bind([accel()]))["changed"], true);
}

#[test]
fn a_lock_that_pvapconfig_would_not_have_made_is_neither_followed_nor_quoted() {
    if !e2e::can_simulate("a_lock_that_pvapconfig_would_not_have_made_is_neither_followed_nor_quoted") {
        return;
    }
    let guest = guest(CARDS);
    for make in [
        "echo s3cret > /run/lock/pvapconfig.lock",
        "echo s3cret > /run/s3cret; ln -sf /run/s3cret /run/lock/pvapconfig.lock",
        "rm /run/lock/pvapconfig.lock; mkdir /run/lock/pvapconfig.lock",
        "rmdir /run/lock/pvapconfig.lock; mkfifo /run/lock/pvapconfig.lock",
    ] {
        shell(&guest, make);
        let result = fails(&guest, MODULE, &bind([accel()]), "ap.lock_blocked");
        assert!(!result.to_string().contains("s3cret"), "{result}");
        let told = result["msg"].as_str().unwrap();
        assert!(told.contains("/run/lock/pvapconfig.lock") && told.contains(" of user 0"), "{result}");
        shell(&guest, "test -e /run/lock/pvapconfig.lock");
    }
    assert_eq!(writes(&guest), NOTHING);
}

#[test]
fn of_two_runs_at_once_one_works_and_the_other_says_so() {
    if !e2e::can_simulate("of_two_runs_at_once_one_works_and_the_other_says_so") {
        return;
    }
    let guest = guest_with(&["a"], "delays: {bind_ms: 400}");
    let arguments = bind([ep11("a", KEY_A), accel()]);
    let results: Vec<Value> = std::thread::scope(|scope| {
        let run = || scope.spawn(|| guest.module(MODULE, &arguments).unwrap());
        [run(), run()].map(|thread| thread.join().unwrap()).into()
    });
    let codes: Vec<_> = results.iter().filter_map(|result| result["error"]["code"].as_str()).collect();
    assert_eq!(codes, ["ap.in_use_by_another"], "{results:?}");
    assert_eq!(results.iter().filter(|result| result["changed"] == true).count(), 1);
    assert_eq!(held(&guest), ["00.0005", "01.0005"]);
}

#[test]
fn where_pvapconfig_has_no_folder_for_its_lock_none_is_needed() {
    if !e2e::can_simulate("where_pvapconfig_has_no_folder_for_its_lock_none_is_needed") {
        return;
    }
    let guest = guest(CARDS);
    shell(&guest, "rmdir /run/lock");
    assert_eq!(ok(&guest, MODULE, &bind([accel()]))["changed"], true);
    shell(&guest, "test ! -e /run/lock");
}
