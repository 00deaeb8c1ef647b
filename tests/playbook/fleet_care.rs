//! The other playbooks: a new image, a guest that is retired, facts that make groups, the compliance report.

use crate::support::{Single, associated, contents, effects, fleet, secrets};
use anyhow::{Context, Result, ensure};
use e2e::{Controller, Guest, Host, Play, World, can_simulate, fleet_cards, place, request_of, variables};
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;

/// Runs a playbook that must succeed.
fn ok(controller: &Controller, book: &str, vars: &Value) -> Result<Play> {
    let play = controller.playbook(book, &["--extra-vars", &vars.to_string()])?;
    ensure!(play.ok, "{book}: {}", play.output);
    Ok(play)
}

#[test]
fn a_rotation_builds_beside_the_old_requests_and_serves_guests_of_both_images() -> Result<()> {
    const TEST: &str = "a_rotation_builds_beside_the_old_requests_and_serves_guests_of_both_images";
    if !can_simulate(TEST) {
        return Ok(());
    }
    let Single { world, guest: old, controller, .. } = &Single::new(json!({}))?;
    ok(controller, "provision.yml", &json!({}))?;
    let before = contents(&world.path("trusted"))?;
    world.image("image2", &[])?;
    let rotation = json!({"rotate_image": world.path("image2.hdr")});

    let wrong_kinds = [json!(["a"]), json!({"a": 1}), json!(7)].map(|wrong| json!({"rotate_image": wrong}));
    for refused in [json!({}), json!({"rotate_image": world.path("image.hdr")})].iter().chain(&wrong_kinds) {
        let play = controller.playbook("rotate.yml", &["--extra-vars", &refused.to_string()])?;
        assert!(!play.ok && play.output.contains("Give the new image"), "{}", play.output);
    }
    assert_eq!(contents(&world.path("trusted"))?, before);

    let rotated = ok(controller, "rotate.yml", &rotation)?;
    assert!(rotated.changes().iter().all(|change| change.starts_with("localhost: ")), "{:?}", rotated.changes());
    assert!(rotated.output.contains("1 guests: 1 changed, 0 unchanged, 0 failed"), "{}", rotated.output);
    let after = contents(&world.path("trusted"))?;
    assert!(before.iter().all(|file| after.contains(file)), "something that was there is not as it was");
    request_of(world, "image2.hdr", "key_of_guest1")?;
    assert_eq!(ok(controller, "rotate.yml", &rotation)?.changes(), Vec::<String>::new());

    // The guest is started anew from the new image: the old requests are not for it, the new ones are.
    let new = &Guest::start_image(world, "guest1-2", "machine1", "image2", &fleet_cards())?;
    let moved =
        |host: Host| Controller::new(&world.path("controller"), &Host::controller(), &[host], &variables(world));
    let play = moved(Host::guest("guest1", new)?)?.playbook("provision.yml", &[])?;
    assert!(!play.ok && play.output.contains("FAILED uv.request_not_for_this_guest, 1: guest1"), "{}", play.output);
    let of_new_image = Host::guest("guest1", new)?.with(json!({"provision_image": world.path("image2.hdr")}));
    let provisioned = ok(&moved(of_new_image)?, "provision.yml", &json!({}))?;
    assert!(provisioned.changes().iter().all(|change| change.starts_with("guest1: ")), "{:?}", provisioned.changes());
    assert_eq!((associated(new)?, secrets(new)?), (associated(old)?, secrets(old)?));
    // And one of the old image still is repaired with the old ones.
    old.reboot()?;
    ok(controller, "provision.yml", &json!({}))?;
    assert_eq!(associated(old)?, secrets(old)?);
    Ok(())
}

#[test]
fn a_lost_secret_is_not_made_anew_by_a_rotation() -> Result<()> {
    if !can_simulate("a_lost_secret_is_not_made_anew_by_a_rotation") {
        return Ok(());
    }
    let Single { world, controller, .. } = &Single::new(json!({}))?;
    ok(controller, "provision.yml", &json!({}))?;
    std::fs::remove_file(world.path("trusted/secrets/cluster_key"))?;
    world.image("image2", &[])?;
    let rotation = json!({"rotate_image": world.path("image2.hdr")});
    let play = controller.playbook("rotate.yml", &["--extra-vars", &rotation.to_string()])?;
    assert!(!play.ok);
    let built = &play.result("localhost", "Build the requests")?["requests"];
    assert!(built.as_array().is_some_and(|all| all.iter().any(|one| one["error"]["code"] == "request.secret_missing")));
    assert!(play.output.contains("1 of 2 requests could not be built"), "{}", play.output);
    assert!(play.output.contains("FAILED request.secret_missing, 1: guest1"), "{}", play.output);
    assert!(!world.path("trusted/secrets/cluster_key").exists());
    Ok(())
}

#[test]
fn a_retired_guest_loses_its_queues_and_requests_and_its_secret_only_on_demand() -> Result<()> {
    const TEST: &str = "a_retired_guest_loses_its_queues_and_requests_and_its_secret_only_on_demand";
    if !can_simulate(TEST) {
        return Ok(());
    }
    let Single { world, guest, controller, .. } = &Single::new(json!({}))?;
    ok(controller, "provision.yml", &json!({}))?;
    let (state, files) = (guest.state()?, contents(&world.path("trusted"))?);
    for refused in [
        json!({}),
        json!({"retire_guest": "all"}),
        json!({"retire_guest": "guest1", "retire_destroy_secret": "yes"}),
        json!({"retire_guest": "guest1", "retire_destroy_secret": "common"}),
    ] {
        let play = controller.playbook("retire.yml", &["--extra-vars", &refused.to_string()])?;
        assert!(!play.ok && play.output.contains("names of guests"), "{}", play.output);
    }
    for wrong_kind in [json!(7), json!({"guest1": true}), json!([["guest1"]])] {
        let refused = json!({"retire_guest": wrong_kind}).to_string();
        let play = controller.playbook("retire.yml", &["--extra-vars", &refused])?;
        assert!(!play.ok && play.output.contains("retire_guest"), "{refused}: {}", play.output);
    }
    let check = controller.playbook("retire.yml", &["--check", "-e", "retire_guest=guest1"])?;
    assert!(check.ok, "{}", check.output);
    assert_eq!((guest.state()?, contents(&world.path("trusted"))?), (state, files));

    // Copies that the collection made: of a request that was replaced, and of a rotation.
    let request = request_of(world, "image.hdr", "key_of_guest1")?;
    std::fs::copy(&request, request.with_file_name("key_of_guest1.request.77.2026-01-01@00:00:00~"))?;
    world.image("image2", &[])?;
    ok(controller, "rotate.yml", &json!({"rotate_image": world.path("image2.hdr")}))?;
    let of_guest = |path: &Path| path.display().to_string().contains("key_of_guest1");

    let retired = ok(controller, "retire.yml", &json!({"retire_guest": "guest1"}))?;
    assert!(retired.output.contains("Kept, because other guests name them"), "{}", retired.output);
    assert!(guest.state()?["queues"].as_array().context("no queues")?.iter().all(|queue| queue["state"] == "unbound"));
    let left: Vec<_> = contents(&world.path("trusted/requests"))?.into_iter().map(|(path, _)| path).collect();
    assert!(!left.iter().any(|path| of_guest(path)), "{left:?}");
    assert!(world.path("trusted/secrets/key_of_guest1").exists(), "nobody asked to destroy the secret");
    assert_eq!(ok(controller, "retire.yml", &json!({"retire_guest": "guest1"}))?.changes(), Vec::<String>::new());

    let destroy = json!({"retire_guest": "guest1", "retire_destroy_secret": "guest1"});
    let changes = ok(controller, "retire.yml", &destroy)?.changes();
    // No other guest of this inventory names the cluster's key, so it is this guest's own, too.
    assert!(changes.iter().all(|change| change == "localhost: Destroy their own secrets"), "{changes:?}");
    assert!(!world.path("trusted/secrets/key_of_guest1").exists());
    Ok(())
}

#[test]
fn of_two_guests_one_or_both_are_retired_and_what_they_share_stays_as_long_as_one_is_left() -> Result<()> {
    const TEST: &str = "of_two_guests_one_or_both_are_retired_and_what_they_share_stays_as_long_as_one_is_left";
    if !can_simulate(TEST) {
        return Ok(());
    }
    let (fleet, _dir) = fleet()?;
    ok(&fleet.controller, "provision.yml", &json!({}))?;
    let world = &fleet.world;
    let limited = fleet.controller.playbook("retire.yml", &["--limit", "guest2", "-e", "retire_guest=guest1"])?;
    assert!(!limited.ok && limited.output.contains("--limit trusted,guest1"), "{}", limited.output);
    let one = json!({"retire_guest": "guest1", "retire_destroy_secret": "guest1"});
    let play = ok(&fleet.controller, "retire.yml", &one)?;
    assert!(play.output.contains("Kept, because other guests name them: cluster key."), "{}", play.output);
    assert!(play.output.contains("1 guests: 1 changed, 0 unchanged, 0 failed"), "{}", play.output);
    let secrets_left =
        |names: &[&str]| names.iter().all(|name| world.path(&format!("trusted/secrets/{name}")).exists());
    assert!(secrets_left(&["cluster_key", "key_of_guest2"]) && !secrets_left(&["key_of_guest1"]));
    assert_eq!(associated(&fleet.second)?, secrets(&fleet.second)?, "the other guest was touched");

    let both = json!({"retire_guest": ["guest1", "guest2"], "retire_destroy_secret": "guest2, guest1"});
    ok(&fleet.controller, "retire.yml", &both)?;
    assert_eq!(contents(&world.path("trusted/secrets"))?, []);
    assert!(associated(&fleet.second)?.is_empty());
    Ok(())
}

#[test]
fn a_guest_that_keeps_its_queues_keeps_its_secrets_and_does_not_hold_up_the_others() -> Result<()> {
    const TEST: &str = "a_guest_that_keeps_its_queues_keeps_its_secrets_and_does_not_hold_up_the_others";
    if !can_simulate(TEST) {
        return Ok(());
    }
    let (fleet, _dir) = fleet()?;
    ok(&fleet.controller, "provision.yml", &json!({}))?;
    fleet.first.set("faults: [{on: write, target: se_bind, errno: EIO, times: 0}]")?;
    let both = json!({"retire_guest": "guest1,guest2", "retire_destroy_secret": "guest1,guest2"});
    let play = fleet.controller.playbook("retire.yml", &["--extra-vars", &both.to_string()])?;
    assert!(!play.ok && play.output.contains("Not released: guest1."), "{}", play.output);
    assert!(play.output.contains("2 guests: 1 changed, 0 unchanged, 1 failed"), "{}", play.output);
    let secret = |name: &str| fleet.world.path(&format!("trusted/secrets/{name}")).exists();
    assert!(secret("key_of_guest1") && secret("cluster_key") && !secret("key_of_guest2"), "{}", play.output);
    assert!(associated(&fleet.second)?.is_empty() && !associated(&fleet.first)?.is_empty());

    fleet.first.set("{clear_faults: true}")?;
    ok(&fleet.controller, "retire.yml", &both)?;
    assert!(!secret("key_of_guest1") && !secret("cluster_key"));
    Ok(())
}

/// Three guests: one to be provisioned, one that never is and has a hostile name, one that cannot be reached.
struct Mixed {
    good: Guest,
    bare: Guest,
    controller: Controller,
    dir: tempfile::TempDir,
}

const HOSTILE: &str = "<script>alert(1)<script>";

impl Mixed {
    fn new() -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let world = World::new(dir.path(), &["machine1", "machine2"])?;
        let good = Guest::start(&world, "good", "machine1", &fleet_cards())?;
        let bare = Guest::start(&world, "bare", "machine2", &fleet_cards())?;
        let mut vars = variables(&world);
        vars["compliance_folder"] = json!(world.path("reports"));
        let one = [Host::guest("good", &good)?];
        let provision = Controller::new(&world.path("first"), &Host::controller(), &one, &vars)?;
        ok(&provision, "provision.yml", &json!({}))?;
        let gone = Host::guest("gone", &bare)?.with(json!({"ansible_guest_sim_bin": "/nonexistent/guest-sim"}));
        let hosts = [Host::guest("good", &good)?, Host::guest(HOSTILE, &bare)?, gone];
        std::fs::create_dir(world.path("reports"))?;
        let controller = Controller::new(&world.path("controller"), &Host::controller(), &hosts, &vars)?;
        Ok(Self { good, bare, controller, dir })
    }

    /// A program of ansible-core that keeps facts.
    fn caching(&self, program: &str) -> Result<Command> {
        let mut command = self.controller.command(program)?;
        command
            .env("ANSIBLE_CACHE_PLUGIN", "jsonfile")
            .env("ANSIBLE_CACHE_PLUGIN_CONNECTION", self.dir.path().join("facts"))
            .env("RECORDER_FILE", self.dir.path().join("record"));
        Ok(command)
    }

    fn caching_playbook(&self, book: &str, arguments: &[&str]) -> Result<String> {
        let book = place::repository().join("playbooks").join(book);
        let output = self.caching("ansible-playbook")?.arg(book).args(arguments).output()?;
        // A guest that cannot be reached is none of the playbook's faults: 4 says only that.
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said).into_owned();
        ensure!(matches!(output.status.code(), Some(0 | 4)), "{said}");
        Ok(said)
    }

    fn report(&self) -> Result<Value> {
        Ok(serde_json::from_slice(&std::fs::read(self.dir.path().join("reports/compliance.json"))?)?)
    }
}

fn verdicts(report: &Value) -> Vec<(&str, &str)> {
    let guests = report["guests"].as_array().map_or(&[][..], Vec::as_slice);
    guests.iter().map(|g| (g["host"].as_str().unwrap_or_default(), g["verdict"].as_str().unwrap_or_default())).collect()
}

#[test]
fn the_compliance_report_tells_good_bare_and_unreachable_guests_apart() -> Result<()> {
    if !can_simulate("the_compliance_report_tells_good_bare_and_unreachable_guests_apart") {
        return Ok(());
    }
    let fleet = Mixed::new()?;
    let before = (effects(&fleet.good)?, effects(&fleet.bare)?);
    let failed = fleet.controller.playbook("compliance.yml", &[])?;
    assert!(!failed.ok && failed.output.contains("unknown: gone."), "{}", failed.output);
    let play = ok(&fleet.controller, "compliance.yml", &json!({"compliance_report_only": true}))?;
    let report = fleet.report()?;
    assert_eq!(verdicts(&report), [(HOSTILE, "fail"), ("gone", "unknown"), ("good", "pass")], "{report:#}");
    assert_eq!(report["counts"], json!({"guests": 3, "fail": 1, "unknown": 1, "pass": 1}));
    assert!(play.changes().iter().all(|change| change.starts_with("localhost: ")), "{:?}", play.changes());
    assert_eq!((effects(&fleet.good)?, effects(&fleet.bare)?), before, "asking changed something");

    let page = std::fs::read_to_string(fleet.dir.path().join("reports/compliance.html"))?;
    assert!(page.starts_with("<!DOCTYPE html>") && !page.contains(HOSTILE));
    assert!(page.contains("&lt;script&gt;alert(1)&lt;script&gt;") && page.contains("Proved by attestation: 1 of "));
    let valid = Command::new(place::python_program("python")?)
        .args(["-c", "import json, sys, jsonschema; jsonschema.validate(*(json.load(open(f)) for f in sys.argv[1:]))"])
        .arg(fleet.dir.path().join("reports/compliance.json"))
        .arg(place::repository().join("collection/docs/compliance-report.schema.json"))
        .output()?;
    assert!(valid.status.success(), "{}", String::from_utf8_lossy(&valid.stderr));
    Ok(())
}

#[test]
fn what_is_kept_makes_groups_and_counts_for_nothing_after_a_reboot() -> Result<()> {
    if !can_simulate("what_is_kept_makes_groups_and_counts_for_nothing_after_a_reboot") {
        return Ok(());
    }
    let fleet = Mixed::new()?;
    fleet.caching_playbook("compliance.yml", &["-e", "compliance_report_only=true"])?;
    let gathered = fleet.caching_playbook("inventory.yml", &[])?;
    assert!(gathered.contains("3 guests: 0 changed, 2 unchanged, 1 failed"), "{gathered}");
    let groups = place::repository().join("playbooks/inventory/secure_execution.yml");
    let output = fleet.caching("ansible-inventory")?.arg("-i").arg(groups).arg("--list").output()?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let listed: Value = serde_json::from_slice(&output.stdout)?;
    assert_eq!(listed["se_guests"]["hosts"], json!([HOSTILE, "good"]));
    assert_eq!(
        (&listed["se_locked"]["hosts"], &listed["se_associated"]["hosts"]),
        (&json!(["good"]), &json!(["good"]))
    );
    assert!(listed.get("se_with_problems").is_none(), "{listed:#}");

    let cached: [&str; 4] = ["-e", "compliance_cached=true", "-e", "compliance_report_only=true"];
    fleet.caching_playbook("compliance.yml", &cached)?;
    assert!(verdicts(&fleet.report()?).contains(&("good", "pass")));
    fleet.good.reboot()?;
    fleet.caching_playbook("compliance.yml", &cached)?;
    let report = fleet.report()?;
    assert!(verdicts(&report).contains(&("good", "unknown")), "{report:#}");
    assert!(report.to_string().contains("The answer is from another boot"));
    Ok(())
}
