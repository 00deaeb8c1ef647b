//! The demonstration: the whole procedure on two simulated guests, and what is left of it in the simulated hardware.

use crate::chore::step;
use crate::prepare::prepare;
use anyhow::{Result, ensure};
use e2e::{Controller, Guest, Play, World, place};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;

/// The master key that the entries of the demonstration ask for, and another one.
const WANTED_KEY: &str = "db3c3b3c3f097dd55ec7eb0e7fdbcb93";
const OTHER_KEY: &str = "00112233445566778899aabbccddeeff";

/// Provisions two guests, runs the same again, reboots one and runs it a third time.
///
/// # Errors
/// If anything is not as it must be: the demonstration is checked, not only shown.
pub fn demo() -> Result<()> {
    prepare()?;
    let dir = place::target()?.join("demo");
    if dir.exists() {
        fs::remove_dir_all(&dir)?;
    }
    ensure!(
        fs::File::options().read(true).write(true).open("/dev/fuse").is_ok(),
        "/dev/fuse cannot be opened, and the simulated guests need it; as root: modprobe fuse && chmod 0666 /dev/fuse"
    );
    let (world, guests) = step("Starting two simulated guests of one image on two simulated machines", || {
        let world = World::new(&dir, &["machine1", "machine2"])?;
        let cards = cards();
        let first = Guest::start(&world, "guest1", "machine1", &cards)?;
        let second = Guest::start(&world, "guest2", "machine2", &cards)?;
        Ok((world, [("guest1", first), ("guest2", second)]))
    })?;
    let [(_, first), (_, second)] = &guests;
    let own = |name: &str| json!({"provision_own_secret": format!("key of {name}"), "ansible_become": false});
    let inventory = [("guest1", first, own("guest1")), ("guest2", second, own("guest2"))];
    let controller = Controller::new(&dir.join("controller"), &inventory, &variables(&world))?;

    let mut transcript = Vec::new();
    let mut provision = |title: &str| -> Result<Play> {
        let play = step(title, || controller.playbook("provision.yml", &["--diff"]))?;
        show(&play);
        transcript.push(json!({"run": title, "tasks": tasks(&play)}));
        ensure!(play.ok, "the playbook failed:\n{}", play.output);
        Ok(play)
    };
    let fresh = provision("First run: playbooks/provision.yml on fresh guests")?;
    ensure!(!fresh.changes().is_empty(), "the first run changed nothing");
    let again = provision("Second run: nothing is to be changed")?;
    ensure!(again.changes().is_empty(), "the second run changed {:?}", again.changes());
    step("Rebooting guest2: its secrets and queues are gone", || second.reboot())?;
    let repair = provision("Third run: repairs guest2 and leaves everything else")?;
    let elsewhere: Vec<_> = repair.changes().into_iter().filter(|change| !change.starts_with("guest2: ")).collect();
    ensure!(!repair.changes().is_empty() && elsewhere.is_empty(), "the third run changed {:?}", repair.changes());

    let mut hardware = BTreeMap::new();
    for (name, guest) in &guests {
        hardware.insert(*name, guest.state()?);
    }
    table(&hardware);
    let file = dir.join("transcript.json");
    fs::write(&file, serde_json::to_vec_pretty(&json!({"runs": transcript, "hardware": hardware}))?)?;
    println!("\nThe same for machines: {}", file.display());
    Ok(())
}

/// Two EP11 cards, of which three queues have the wanted master key, and an accelerator.
fn cards() -> String {
    format!(
        r#"cards:
  "00":
    type: CEX8P
    serialnr: 93AADFK719460083
    queues:
      "0005": {{mkvp: "{WANTED_KEY}"}}
      "0006": {{mkvp: "{OTHER_KEY}"}}
  "01":
    type: CEX8P
    serialnr: 93AADFK719460084
    queues:
      "0005": {{mkvp: "{WANTED_KEY}"}}
      "0006": {{mkvp: "{OTHER_KEY}"}}
  "02":
    type: CEX8A
    queues:
      "0005": {{}}
"#
    )
}

fn variables(world: &World) -> Value {
    let pki = |name: &str| world.path(&format!("pki/{name}"));
    let entry = |name: &str| json!({"name": name, "mode": "ep11", "mkvp": format!("0x{WANTED_KEY}"), "mingen": "cex8"});
    json!({
        "provision_host_keys": [pki("machine1.crt"), pki("machine2.crt")],
        "provision_certificates": [pki("ibm.crt"), pki("inter_ca.crt")],
        "provision_crls": [pki("ibm.crl"), pki("inter_ca.crl"), pki("root_ca.crl")],
        "provision_root_ca": pki("root_ca.crt"),
        "provision_image": world.path("image.hdr"),
        "provision_output": world.path("trusted"),
        "provision_common_secret": "cluster key",
        "provision_queues": [
            entry("{{ provision_common_secret }}"),
            entry("{{ provision_own_secret }}"),
            {"mode": "accel", "description": "for clear keys, so without a secret"},
        ],
    })
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
