//! What the stories share: fleets in folders of their own, and questions to the simulated hardware.

use anyhow::Result;
use e2e::{Controller, Fleet, Guest, Host, Play, World, fleet_cards, variables};
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::Path;
use tempfile::TempDir;

/// A fleet in a folder that is removed with it.
pub fn fleet() -> Result<(Fleet, TempDir)> {
    let dir = tempfile::tempdir()?;
    Ok((Fleet::new(dir.path())?, dir))
}

/// One guest, `guest1` on `machine1`, for stories that need no second.
pub struct Single {
    pub world: World,
    pub guest: Guest,
    pub controller: Controller,
    _dir: TempDir,
}

impl Single {
    /// Starts it; its host has these variables on top of those that every guest has.
    pub fn new(host: Value) -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let world = World::new(dir.path(), &["machine1", "machine2"])?;
        let guest = Guest::start(&world, "guest1", "machine1", &fleet_cards())?;
        let hosts = [Host::guest("guest1", &guest)?.with(host)];
        let controller =
            Controller::new(&dir.path().join("controller"), &Host::controller(), &hosts, &variables(&world))?;
        Ok(Self { world, guest, controller, _dir: dir })
    }
}

/// The ids of the secrets that the guest's EP11 queues are associated with, as the hardware has it.
pub fn associated(guest: &Guest) -> Result<Vec<String>> {
    sorted(&guest.state()?["queues"], "secret_id")
}

/// The ids of the secrets in the guest's store, as the hardware has it.
pub fn secrets(guest: &Guest) -> Result<Vec<String>> {
    sorted(&guest.state()?["secrets"], "id")
}

fn sorted(list: &Value, field: &str) -> Result<Vec<String>> {
    let elements = list.as_array().map_or(&[][..], Vec::as_slice);
    let mut ids: Vec<_> = elements.iter().filter_map(|element| element[field].as_str().map(str::to_owned)).collect();
    ids.sort();
    Ok(ids)
}

/// Calls of the log that could have changed something: all but asking, listing, attesting and the probe of the lock.
pub fn effects(guest: &Guest) -> Result<Vec<Value>> {
    let harmless = |entry: &Value| {
        let name = entry["name"].as_str().unwrap_or_default();
        let is_probe = name == "add_secret" && ["0x0102", "0x0104", "0x0106"].iter().any(|rc| entry["uv_rc"] == *rc);
        ["info", "list_secrets", "attest"].contains(&name) || is_probe
    };
    Ok(guest.log()?.into_iter().filter(|entry| !harmless(entry)).collect())
}

/// What the guest was asked since its log had this many lines, each once: `ioctl info`, and `ioctl add_secret 0x0104`
/// with the answer, for a probe is an add that can only be refused.
pub fn asked(guest: &Guest, since: usize) -> Result<BTreeSet<String>> {
    let told = |event: &Value| {
        let text = |key: &str| event[key].as_str().unwrap_or_default().to_owned();
        let answer = if event["name"] == "add_secret" { format!(" {}", text("uv_rc")) } else { String::new() };
        format!("{} {}{answer}", text("what"), text("name"))
    };
    Ok(guest.log()?.iter().skip(since).map(told).collect())
}

/// The one task of the role `guest`.
pub const MAKE: &str = "Bring the guest to its state";

/// Each step that the role's task was asked for on this host, as `add changed`.
pub fn steps(play: &Play, host: &str) -> Result<Vec<String>> {
    let told =
        |step: &Value| format!("{} {}", step["step"].as_str().unwrap_or("?"), step["state"].as_str().unwrap_or("?"));
    Ok(play.result(host, MAKE)?["steps"].as_array().into_iter().flatten().map(told).collect())
}

/// What is only asked where the store is open.
pub const OPEN_STORE_PROBED: [&str; 3] = ["ioctl add_secret 0x0104", "ioctl info", "ioctl list_secrets"];
/// And where it is locked.
pub const LOCKED_STORE_PROBED: [&str; 3] = ["ioctl add_secret 0x0102", "ioctl info", "ioctl list_secrets"];

/// The error of a task that must have failed on this host.
pub fn error(play: &Play, host: &str, task: &str) -> Result<Value> {
    let record = play.record(host, task)?;
    assert_eq!(record.status, "failed", "{}", play.output);
    Ok(record.result["error"].clone())
}

/// Whether a warning of the result ends with this code.
pub fn warned(result: &Value, code: &str) -> bool {
    let code = format!("[{code}]");
    let mut warnings = result["warnings"].as_array().into_iter().flatten().filter_map(Value::as_str);
    warnings.any(|warning| warning.ends_with(&code))
}

/// Everything that a folder holds, by path.
pub fn contents(folder: &Path) -> Result<Vec<(std::path::PathBuf, Vec<u8>)>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            found.extend(contents(&entry.path())?);
        } else if kind.is_file() {
            found.push((entry.path(), std::fs::read(entry.path())?));
        }
    }
    found.sort();
    Ok(found)
}
