//! The demonstration: the whole procedure on two simulated guests, and what is left of it in the simulated hardware.

use crate::chore::step;
use crate::machine;
use crate::prepare::prepare;
use anyhow::{Result, ensure};
use e2e::{Fleet, Play, place};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;

/// Provisions two guests, runs the same again, reboots one and runs it a third time.
///
/// # Errors
/// If anything is not as it must be: the demonstration is checked, not only shown.
pub fn demo() -> Result<()> {
    machine::can_run_guests()?;
    prepare()?;
    let dir = place::target()?.join("demo");
    if dir.exists() {
        fs::remove_dir_all(&dir)?;
    }
    let fleet = step("Starting two simulated guests of one image on two simulated machines", || Fleet::new(&dir))?;

    let mut transcript = Vec::new();
    let mut provision = |title: &str| -> Result<Play> {
        let play = step(title, || fleet.controller.playbook("provision.yml", &["--diff"]))?;
        show(&play);
        transcript.push(json!({"run": title, "tasks": tasks(&play)}));
        ensure!(play.ok, "the playbook failed:\n{}", play.output);
        Ok(play)
    };
    let fresh = provision("First run: playbooks/provision.yml on fresh guests")?;
    ensure!(!fresh.changes().is_empty(), "the first run changed nothing");
    let again = provision("Second run: nothing is to be changed")?;
    ensure!(again.changes().is_empty(), "the second run changed {:?}", again.changes());
    step("Rebooting guest2: its secrets and queues are gone", || fleet.second.reboot())?;
    let repair = provision("Third run: repairs guest2 and leaves everything else")?;
    let elsewhere: Vec<_> = repair.changes().into_iter().filter(|change| !change.starts_with("guest2: ")).collect();
    ensure!(!repair.changes().is_empty() && elsewhere.is_empty(), "the third run changed {:?}", repair.changes());

    let mut hardware = BTreeMap::new();
    for (name, guest) in [("guest1", &fleet.first), ("guest2", &fleet.second)] {
        hardware.insert(name, guest.state()?);
    }
    table(&hardware);
    let file = dir.join("transcript.json");
    fs::write(&file, serde_json::to_vec_pretty(&json!({"runs": transcript, "hardware": hardware}))?)?;
    println!("\nThe same for machines: {}", file.display());
    println!("The guests have ended. To go on by hand: cargo xtask guest");
    Ok(())
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
    println!("\nWhat the simulated hardware holds now (read back from it, not told by the modules):");
    for (guest, state) in hardware {
        println!("\n    {guest}: secret store {}", if state["locked"] == true { "locked" } else { "open" });
        for secret in list(&state["secrets"]) {
            println!("        secret {}  {}", secret["index"], text(&secret["id"]));
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

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("-")
}
