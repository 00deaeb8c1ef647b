//! The demonstration: the whole procedure on two simulated guests, and what is left of it in the simulated hardware.

use crate::chore::step;
use crate::machine;
use crate::prepare::prepare;
use anyhow::{Result, ensure};
use e2e::{Fleet, Play, place};
use pv_wire::{SecretId, encode_hex};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

/// Shows what guests refuse, provisions two of them, runs the same again, reboots one and runs it a third time,
/// and last finds out that somebody has tampered with one.
///
/// # Errors
/// If anything is not as it must be: the demonstration is checked, not only shown.
pub fn demo() -> Result<()> {
    machine::is_ready()?;
    prepare()?;
    let dir = place::target()?.join("demo");
    if dir.exists() {
        fs::remove_dir_all(&dir)?;
    }
    let fleet = step("Starting two simulated guests of one image on two simulated machines", || Fleet::new(&dir))?;

    let mut transcript = vec![json!({"run": "refusals", "tasks": refusals(&fleet)?})];
    let mut provision = |title: &str| -> Result<Play> {
        let play = step(title, || fleet.controller.playbook("provision.yml", &["--diff"]))?;
        show(&play);
        transcript.push(json!({"run": title, "tasks": tasks(&play)}));
        ensure!(play.ok, "the playbook failed:\n{}", play.output);
        ensure!(play.output.contains("proved by attestation: 2 of 2"), "a guest is not proved:\n{}", play.output);
        Ok(play)
    };
    let fresh = provision("First run: playbooks/provision.yml on fresh guests")?;
    ensure!(!fresh.changes().is_empty(), "the first run changed nothing");
    let again = provision("Second run: changes nothing")?;
    ensure!(again.changes().is_empty(), "the second run changed {:?}", again.changes());
    step("Rebooting guest2: its secrets and queues are gone", || fleet.second.reboot())?;
    let repair = provision("Third run: repairs guest2 and changes nothing else")?;
    let elsewhere: Vec<_> = repair.changes().into_iter().filter(|change| !change.starts_with("guest2: ")).collect();
    ensure!(!repair.changes().is_empty() && elsewhere.is_empty(), "the third run changed {:?}", repair.changes());

    let mut hardware = BTreeMap::new();
    for (name, guest) in [("guest1", &fleet.first), ("guest2", &fleet.second)] {
        hardware.insert(name, guest.state()?);
    }
    table(&hardware);
    ensure!(hardware.values().all(|state| state["locked"] == true), "a store is not locked");
    transcript.push(json!({"run": "tampered", "tasks": tampered(&fleet)?}));
    println!("\nWhat was shown, and checked on the way:");
    for (at, line) in SHOWN.iter().enumerate() {
        println!("    {}. {line}", at + 1);
    }
    let file = dir.join("transcript.json");
    fs::write(&file, serde_json::to_vec_pretty(&json!({"runs": transcript, "hardware": hardware}))?)?;
    println!("\nThe same as JSON: {}", file.display());
    println!("The guests have ended. To go on by hand: cargo xtask guest");
    Ok(())
}

/// What the demonstration shows; each is checked, or it fails.
const SHOWN: [&str; 8] = [
    "A request opens only on the machine whose host key it was built for.",
    "A request is accepted only in a guest of the image that it was built for.",
    "A store is locked only when it holds the required secrets, because only a reboot unlocks it.",
    "One run gave both guests their secrets, locked their stores and associated queues with the secrets.",
    "The guests share the cluster's key; each also has its own key.",
    "The same run again changed nothing.",
    "A rebooted guest was repaired, and the other one was left alone.",
    "In each run both guests proved their state; a store that accepted one more request was found out, and what it accepted.",
];

/// Somebody adds a secret to a guest before it is provisioned, where nothing else would object.
fn tampered(fleet: &Fleet) -> Result<Vec<Value>> {
    fleet.second.reboot()?;
    let foreign = e2e::request_of(&fleet.world, "image.hdr", "key_of_guest1")?;
    fleet.second.module("secret_add", &json!({"path": foreign}))?;
    let title = "Fourth run: somebody has added a secret to guest2 first";
    let play =
        step(title, || fleet.controller.playbook("provision.yml", &["-e", "provision_lock_exact=false", "--diff"]))?;
    ensure!(!play.ok && play.output.contains("proved by attestation: 1 of 2"), "nobody noticed:\n{}", play.output);
    let lines = play.output.lines().map(|line| line.trim().trim_matches(['"', ',']));
    let told: Vec<_> =
        lines.skip_while(|line| !line.starts_with("proved by")).take_while(|line| *line != "]").collect();
    ensure!(told.iter().any(|line| line.starts_with("FAILED attest.store_mismatch")), "{told:?}");
    told.iter().for_each(|line| println!("    {line}"));
    Ok(tasks(&play))
}

/// What guests refuse while they are still empty.
fn refusals(fleet: &Fleet) -> Result<Vec<Value>> {
    let world = &fleet.world;
    world.image("other", &[])?;
    let request = |name: &str, machine: &str, image: &str| -> Result<PathBuf> {
        let path = world.path(&format!("{name}.request"));
        let task = json!({"name": "Build", "seguest.pv.secret_request": {
            "host_keys": [world.path(&format!("pki/{machine}.crt"))], "certificates": "{{ provision_certificates }}",
            "crls": "{{ provision_crls }}", "root_ca": "{{ provision_root_ca }}", "image": world.path(image),
            "name": name, "secret": "{{ ('x' * 32) | b64encode }}", "path": path}});
        let play = fleet.controller.tasks("trusted", &json!([task]), &[])?;
        ensure!(play.ok, "the request {name} could not be built:\n{}", play.output);
        Ok(path)
    };
    let foreign = request("of machine1", "machine1", "image.hdr")?;
    let other = request("of another image", "machine1", "other.hdr")?;
    let wrong = [
        (
            "guest2, on machine2, is given a request for machine1",
            "guest2",
            json!({"seguest.pv.secret_add": {"src": foreign}}),
            "uv.request_not_for_this_guest",
        ),
        (
            "guest1 is given a request for another image",
            "guest1",
            json!({"seguest.pv.secret_add": {"src": other}}),
            "uv.request_not_for_this_guest",
        ),
        (
            "a task tries to lock guest1's empty store",
            "guest1",
            json!({"seguest.pv.secret_lock": {"require": [{"name": "cluster key"}]}}),
            "uv.lock_guard",
        ),
    ];
    let mut told = Vec::new();
    for (title, guest, mut task, code) in wrong {
        let result = step(title, || -> Result<Value> {
            task["name"] = title.into();
            let play = fleet.controller.tasks(guest, &json!([task]), &[])?;
            Ok(play.result(guest, title)?.clone())
        })?;
        ensure!(result["error"]["code"] == code, "{title}: {result}");
        println!("    {guest:<10} refused   {}", text(&result["error"]["detail"]));
        told.push(json!({"host": guest, "task": title, "error": result["error"]}));
    }
    for guest in [&fleet.first, &fleet.second] {
        ensure!(list(&guest.state()?["secrets"]).is_empty(), "a refusal left something in a store");
    }
    Ok(told)
}

fn tasks(play: &Play) -> Vec<Value> {
    let records = play.records.iter().filter(|record| !record.status.starts_with("item_"));
    let line = |record: &e2e::Record| {
        json!({"host": record.host, "task": record.task, "status": record.status, "changed": record.result["changed"] == true,
               "msg": record.result["msg"], "warnings": record.result["warnings"]})
    };
    records.map(line).collect()
}

fn show(play: &Play) {
    for task in tasks(play) {
        let status = if task["changed"] == true { "changed" } else { text(&task["status"]) };
        println!("    {:<10} {status:<9} {}", text(&task["host"]), text(&task["task"]));
    }
}

/// What the hardware holds, read back from it and not from what the modules said.
fn table(hardware: &BTreeMap<&str, Value>) {
    println!("\nWhat the simulated hardware holds now (read from it, not reported by the modules):");
    for (guest, state) in hardware {
        println!("\n    {guest}: secret store {}", if state["locked"] == true { "locked" } else { "open" });
        for secret in list(&state["secrets"]) {
            println!("        secret {}  {}  {}", secret["index"], text(&secret["id"]), name_of(text(&secret["id"])));
        }
        for queue in list(&state["queues"]) {
            let secret =
                if queue["index"].is_null() { String::new() } else { format!("  with secret {}", queue["index"]) };
            println!(
                "        queue {}  {}  {}{secret}",
                text(&queue["apqn"]),
                text(&queue["type"]),
                text(&queue["state"])
            );
        }
    }
}

/// The name that an id was made of, which the hardware does not know.
fn name_of(id: &str) -> &'static str {
    let names = ["cluster key", "key of guest1", "key of guest2"];
    names.into_iter().find(|name| encode_hex(&SecretId::of_name(name).0) == id).unwrap_or("")
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("-")
}
