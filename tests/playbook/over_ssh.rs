//! Real SSH: the guests run OpenSSH's own server and have no Python.

use crate::support::{OPEN_STORE_PROBED, asked, associated, effects, error, secrets};
use anyhow::{Context, Result, ensure};
use e2e::{Controller, Guest, Host, PASSWORD, Play, Ssh, World, can_ssh, fleet_cards, request_of, variables};
use serde_json::{Value, json};
use std::path::Path;
use tempfile::TempDir;

const FACTS: &str = "Gather the guest's facts";

/// One guest behind SSH, reached by a user.
struct Behind {
    world: World,
    guest: Guest,
    ssh: Ssh,
    controller: Controller,
    _dir: TempDir,
}

impl Behind {
    fn new(user: &str, host: Value) -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let world = World::new(dir.path(), &["machine1", "machine2"])?;
        let guest = Guest::start(&world, "guest1", "machine1", &fleet_cards())?;
        let ssh = Ssh::start(&world, &guest, 1)?;
        let hosts = [ssh.host("guest1", user).with(host)];
        let controller = Controller::new(&dir.path().join("c"), &Host::controller(), &hosts, &variables(&world))?;
        Ok(Self { world, guest, ssh, controller, _dir: dir })
    }

    /// Runs a shell command in the guest, not over SSH.
    fn shell(&self, command: &str) -> Result<()> {
        let output = self.guest.run(Path::new("/bin/sh"), &["-c", command], b"")?;
        ensure!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(())
    }

    /// The number of commands that these tasks were, and how they went.
    fn counted(&self, tasks: &Value, arguments: &[&str]) -> Result<(usize, Play)> {
        let before = self.ssh.commands()?.len();
        let play = self.controller.tasks("guests", tasks, arguments)?;
        Ok((self.ssh.commands()?.len() - before, play))
    }
}

fn facts() -> Value {
    json!([{"name": FACTS, "seguest.pv.facts": {}}])
}

/// Builds a request on the controller and keeps it there.
fn built(behind: &Behind) -> Result<()> {
    let play = behind.controller.playbook("provision.yml", &["--limit", "trusted"])?;
    ensure!(play.ok, "{}", play.output);
    Ok(())
}

#[test]
fn a_fleet_without_python_is_provisioned_over_ssh_and_a_second_run_changes_nothing() -> Result<()> {
    if !can_ssh("a_fleet_without_python_is_provisioned_over_ssh_and_a_second_run_changes_nothing") {
        return Ok(());
    }
    let dir = tempfile::tempdir()?;
    let world = World::new(dir.path(), &["machine1", "machine2"])?;
    let guests = [
        Guest::start(&world, "guest1", "machine1", &fleet_cards())?,
        Guest::start(&world, "guest2", "machine2", &fleet_cards())?,
    ];
    let servers = [Ssh::start(&world, &guests[0], 1)?, Ssh::start(&world, &guests[1], 2)?];
    let hosts = [servers[0].host("guest1", "root"), servers[1].host("guest2", "root")];
    let controller = Controller::new(&world.path("c"), &Host::controller(), &hosts, &variables(&world))?;

    let look = "for name in python python3 python2; do command -v $name && exit 1; done; command -v sha256sum";
    let looked = controller.tasks("guests", &json!([{"name": "Look for Python", "ansible.builtin.raw": look}]), &[])?;
    assert!(looked.ok, "{}", looked.output);
    let ping = controller.tasks("guests", &json!([{"name": "Ping", "ansible.builtin.ping": {}}]), &[])?;
    assert!(!ping.ok && ping.output.contains("/nonexistent/python"), "{}", ping.output);

    let first = controller.playbook("provision.yml", &[])?;
    assert!(first.ok, "{}", first.output);
    for guest in &guests {
        assert_eq!(guest.state()?["locked"], true);
        assert_eq!(secrets(guest)?.len(), 2);
        assert_eq!(associated(guest)?, secrets(guest)?);
    }
    let (effects_before, commands) = (effects(&guests[0])?.len(), servers[0].commands()?.len());
    let second = controller.playbook("provision.yml", &["--diff"])?;
    assert!(second.ok, "{}", second.output);
    assert_eq!(second.changes(), Vec::<String>::new());
    assert_eq!(effects(&guests[0])?.len(), effects_before);
    // One task, one command.
    assert_eq!(servers[0].commands()?.len() - commands, 1);
    Ok(())
}

#[test]
fn a_task_with_a_warm_cache_is_one_command_on_one_connection() -> Result<()> {
    if !can_ssh("a_task_with_a_warm_cache_is_one_command_on_one_connection") {
        return Ok(());
    }
    let behind = &Behind::new("root", json!({}))?;
    let (first, play) = behind.counted(&facts(), &[])?;
    assert!(play.ok, "{}", play.output);
    // It is missing, it is sent, it runs.
    assert_eq!(first, 3);
    assert_eq!(behind.counted(&facts(), &[])?.0, 1);
    // Another play still, with a loop and each mode: whatever is asked, one command an item.
    let looped = json!([{"name": FACTS, "seguest.pv.facts": {"gather_subset": ["{{ item }}"]}, "loop": ["ap", "secrets", "ultravisor"]}]);
    let (items, play) = behind.counted(&looped, &["--check", "--diff"])?;
    assert!(play.ok, "{}", play.output);
    assert_eq!(items, 3);
    let subsets = play.records.iter().filter(|record| record.status == "item_ok");
    let subsets: Vec<_> = subsets.map(|item| &item.result["invocation"]["module_args"]["gather_subset"]).collect();
    assert_eq!(subsets, [&json!(["ap"]), &json!(["secrets"]), &json!(["ultravisor"])]);
    // ControlPersist kept the first connection.
    assert_eq!(behind.ssh.connections()?, ["root"]);
    Ok(())
}

#[test]
fn an_ordinary_user_becomes_root_with_and_without_a_password() -> Result<()> {
    const TEST: &str = "an_ordinary_user_becomes_root_with_and_without_a_password";
    if !can_ssh(TEST) {
        return Ok(());
    }
    for (user, host) in [("operator", json!({})), ("careful", json!({"ansible_become_password": PASSWORD}))] {
        let behind = &Behind::new(user, host)?;
        let unprivileged = behind.controller.tasks(
            "guests",
            &json!([{"name": "Bind", "seguest.pv.ap_bind":
            {"entries": [{"mode": "accel"}]}}]),
            &[],
        )?;
        assert_eq!(error(&unprivileged, "guest1", "Bind")?["code"], "ap.not_permitted");
        let first = behind.controller.playbook("provision.yml", &["--extra-vars", "ansible_become=true"])?;
        assert!(first.ok, "{user}: {}", first.output);
        assert_eq!(associated(&behind.guest)?.len(), 2);
        let second = behind.controller.playbook("provision.yml", &["--extra-vars", "ansible_become=true"])?;
        assert!(second.ok, "{user}: {}", second.output);
        assert_eq!(second.changes(), Vec::<String>::new());
        // Root's binaries are root's, and the user's own are the user's.
        behind.shell(&format!("test -O /root/.cache/seguest.pv && test -d /home/{user}/.cache/seguest.pv"))?;
        behind.shell(&format!(
            "find /home/{user} -user root | grep . && exit 1; test -z \"$(ls -A /tmp /var/tmp | grep seguest)\""
        ))?;
        assert!(!first.output.contains(PASSWORD));
    }
    Ok(())
}

#[test]
fn an_ordinary_user_becomes_another_ordinary_user() -> Result<()> {
    if !can_ssh("an_ordinary_user_becomes_another_ordinary_user") {
        return Ok(());
    }
    let behind = &Behind::new("operator", json!({"ansible_become": true, "ansible_become_user": "auditor"}))?;
    let tasks = json!([
        {"name": FACTS, "seguest.pv.facts": {}},
        {"name": "Lock", "seguest.pv.secret_lock": {"minimum_secrets": 1}},
    ]);
    let play = behind.controller.tasks("guests", &tasks, &[])?;
    let facts = &play.result("guest1", FACTS)?["ansible_facts"]["ansible_secure_execution"];
    assert_eq!(facts["role"], "guest", "{}", play.output);
    assert_eq!(error(&play, "guest1", "Lock")?["code"], "uv.not_permitted");
    assert_eq!(asked(&behind.guest, 0)?, [].into());
    behind.shell("test \"$(stat -c %U /home/auditor/.cache/seguest.pv)\" = auditor && test ! -e /home/operator/.cache")
}

#[test]
fn check_mode_environment_no_log_and_delegation_keep_their_meaning() -> Result<()> {
    if !can_ssh("check_mode_environment_no_log_and_delegation_keep_their_meaning") {
        return Ok(());
    }
    let behind = &Behind::new("root", json!({}))?;
    built(behind)?;
    // src is on the controller only: in the guest, /tmp is its own.
    let request = request_of(&behind.world, "image.hdr", "cluster_key")?;
    let queues = behind.world.path("queues.yml");
    std::fs::write(&queues, "- mode: accel\n")?;
    let tasks = json!([
        {"name": "Add", "seguest.pv.secret_add": {"src": request}, "environment": {"X": "a  'b' \"$c\" \\ !\n`d`"}},
        {"name": "Bind", "seguest.pv.ap_bind": {"src": queues}},
        {"name": "Quiet", "seguest.pv.facts": {}, "no_log": true},
    ]);
    let predicted = behind.controller.tasks("guests", &tasks, &["--check", "--diff"])?;
    assert!(predicted.ok, "{}", predicted.output);
    assert_eq!(predicted.changes(), ["guest1: Add", "guest1: Bind"]);
    assert!(predicted.output.contains("\n+"), "no diff: {}", predicted.output);
    assert_eq!(asked(&behind.guest, 0)?, OPEN_STORE_PROBED.map(str::to_owned).into());

    let done = behind.controller.tasks("guests", &tasks, &["-vvv"])?;
    assert!(done.ok, "{}", done.output);
    assert_eq!((secrets(&behind.guest)?.len(), done.changes().len()), (1, 2), "{}", done.output);
    let quiet = done.result("guest1", "Quiet")?;
    assert!(quiet["censored"].is_string() && quiet.get("ansible_facts").is_none(), "{quiet}");
    assert!(!done.output.contains("\"ultravisor\""), "{}", done.output);

    // From the trusted machine's play to the guest.
    let before = behind.ssh.commands()?.len();
    let delegated =
        json!([{"name": FACTS, "seguest.pv.facts": {"gather_subset": ["secrets"]}, "delegate_to": "guest1"}]);
    let play = behind.controller.tasks("trusted", &delegated, &[])?;
    assert!(play.ok, "{}", play.output);
    assert_eq!(play.result("localhost", FACTS)?["ansible_facts"]["ansible_secure_execution"]["secrets"]["total"], 1);
    assert_eq!(behind.ssh.commands()?.len() - before, 1);
    Ok(())
}

#[test]
fn asynchronous_tasks_are_refused_in_ansibles_own_words() -> Result<()> {
    if !can_ssh("asynchronous_tasks_are_refused_in_ansibles_own_words") {
        return Ok(());
    }
    let behind = &Behind::new("root", json!({}))?;
    let tasks = json!([{"name": FACTS, "seguest.pv.facts": {}, "async": 10, "poll": 0}]);
    let (commands, play) = behind.counted(&tasks, &[])?;
    assert!(!play.ok);
    let msg = play.result("guest1", FACTS)?["msg"].as_str().context("no msg")?.to_owned();
    assert!(msg.contains("does not support async"), "{msg}");
    assert_eq!(commands, 0);
    Ok(())
}

#[test]
fn where_a_folder_takes_no_binaries_another_does_or_a_sentence_says_what_to_set() -> Result<()> {
    if !can_ssh("where_a_folder_takes_no_binaries_another_does_or_a_sentence_says_what_to_set") {
        return Ok(());
    }
    let behind = &Behind::new("operator", json!({"ansible_remote_tmp": "/srv/ansible"}))?;
    // remote_tmp that nothing may be executed on, while the home is as usual: it is not even looked at.
    behind.shell(
        "mount -t tmpfs -o noexec,mode=0755 none /srv && mkdir -m 0700 /srv/ansible && chown operator /srv/ansible",
    )?;
    let warm = |expected: usize, why: &str| -> Result<()> {
        let (commands, play) = behind.counted(&facts(), &[])?;
        assert!(play.ok, "{why}: {}", play.output);
        assert_eq!(commands, expected, "{why}");
        Ok(())
    };
    warm(3, "sent to the home")?;
    warm(1, "kept in the home")?;

    // A home that cannot be written to: the shared folder for temporary files has a cache of the user's own.
    behind.shell("mount -t tmpfs -o ro,mode=0755 none /home/operator")?;
    warm(3, "sent to /tmp")?;
    warm(1, "kept in /tmp")?;
    behind.shell("test \"$(stat -c '%U %a' /tmp/seguest.pv-2001)\" = 'operator 700'")?;

    // Nowhere a cache, but a remote_tmp that will do: sent each time, and gone afterwards.
    behind.shell("mount -o remount,noexec /tmp && mount -o remount,exec /srv")?;
    behind.shell("mount -t tmpfs -o noexec,mode=1777 none /var/tmp")?;
    warm(3, "sent to remote_tmp")?;
    warm(3, "sent to remote_tmp again")?;
    behind.shell("test -z \"$(ls -A /srv/ansible)\"")?;

    behind.shell("mount -o remount,noexec /srv")?;
    let (_, play) = behind.counted(&facts(), &[])?;
    let error = error(&play, "guest1", FACTS)?;
    assert_eq!(error["code"], "module.not_sent");
    assert!(error["detail"].as_str().context("no detail")?.contains("read-only, mounted noexec"), "{error}");
    assert!(error["hint"].as_str().context("no hint")?.contains("ansible_remote_tmp"), "{error}");
    behind.shell("for folder in /srv/ansible /tmp /var/tmp; do test -z \"$(ls -A $folder | grep -v seguest.pv-2001)\" || exit 1; done")
}

#[test]
fn a_guest_that_goes_away_is_unreachable_and_not_failed() -> Result<()> {
    if !can_ssh("a_guest_that_goes_away_is_unreachable_and_not_failed") {
        return Ok(());
    }
    let Behind { guest: _guest, ssh, controller, _dir, .. } = Behind::new("root", json!({}))?;
    assert!(controller.tasks("guests", &facts(), &[])?.ok);
    drop(ssh);
    let play = controller.tasks("guests", &facts(), &[])?;
    assert_eq!(play.record("guest1", FACTS)?.status, "unreachable", "{}", play.output);
    Ok(())
}
