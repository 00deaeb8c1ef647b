//! ansible-runner, which AWX, Automation Controller and execution environments run playbooks with: it is handed a folder
//! and leaves what happened, as files, in that folder.

use crate::support::{MAKE, Single, associated, contents, effects, fleet, secrets};
use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use e2e::{Controller, OWN_SECRET, WANTED_KEY, World, can_simulate, place, request_of};
use pv_wire::{SecretId, encode_hex};
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// The folder of one runner: the project's playbooks, an inventory, and what `env` is to hold.
struct Data {
    folder: PathBuf,
    home: PathBuf,
}

/// What one run left behind.
struct Artifacts(PathBuf);

impl Data {
    /// The inventory is the controller's, and `extra` goes above it.
    fn new(name: &str, world: &World, controller: &Controller, extra: &Value) -> Result<Self> {
        let folder = world.path(name);
        for part in ["inventory", "env"] {
            std::fs::create_dir_all(folder.join(part))?;
        }
        let playbooks = place::repository().join("playbooks");
        for (path, content) in contents(&playbooks)? {
            let name = path.strip_prefix(&playbooks)?;
            // The project's own inventory has no such guests.
            if !name.starts_with("inventory") {
                let to = folder.join("project").join(name);
                std::fs::create_dir_all(to.parent().context("no folder")?)?;
                std::fs::write(to, content)?;
            }
        }
        std::fs::copy(controller.inventory(), folder.join("inventory/hosts.json"))?;
        let environment: Map<_, _> =
            Controller::plugins()?.into_iter().map(|(key, path)| (key.to_owned(), json!(path))).collect();
        for (name, content) in [
            ("envvars", Value::from(environment)),
            ("extravars", extra.clone()),
            ("settings", json!({"fact_cache": "facts", "fact_cache_type": "jsonfile", "idle_timeout": 300})),
        ] {
            std::fs::write(folder.join("env").join(name), content.to_string())?;
        }
        Ok(Self { folder, home: controller.home() })
    }

    fn command(&self, run: &str, arguments: &[&str]) -> Result<Command> {
        let runner = place::python_program("ansible-runner")?;
        let programs = runner.parent().context("no folder")?.to_path_buf();
        let path = std::env::var_os("PATH").unwrap_or_default();
        let path = std::env::join_paths(std::iter::once(programs).chain(std::env::split_paths(&path)))?;
        let mut command = Command::new(&runner);
        for (key, _) in std::env::vars().filter(|(key, _)| key.starts_with("ANSIBLE_")) {
            command.env_remove(key);
        }
        command.arg("run").arg(&self.folder).args(["--playbook", "provision.yml", "--ident", run]).args(arguments);
        command.env("PATH", path).env("HOME", &self.home).env("LC_ALL", "C.UTF-8").current_dir(&self.folder);
        Ok(command)
    }

    fn artifacts(&self, run: &str) -> Artifacts {
        Artifacts(self.folder.join("artifacts").join(run))
    }

    fn run(&self, run: &str, arguments: &[&str]) -> Result<Artifacts> {
        self.command(run, arguments)?.output()?;
        Ok(self.artifacts(run))
    }
}

impl Artifacts {
    fn text(&self, name: &str) -> Result<String> {
        std::fs::read_to_string(self.0.join(name)).with_context(|| format!("{} has no {name}", self.0.display()))
    }

    /// The data of the events of this name, in order.
    fn events(&self, name: &str) -> Result<Vec<Value>> {
        let mut found = Vec::new();
        for (_, event) in contents(&self.0.join("job_events"))? {
            let mut event: Value = serde_json::from_slice(&event)?;
            if event["event"] == name {
                found.push((event["counter"].as_u64(), event["event_data"].take()));
            }
        }
        found.sort_by_key(|(counter, _)| *counter);
        Ok(found.into_iter().map(|(_, data)| data).collect())
    }

    /// What the last event says of all hosts: those with failures, and how much was changed on each.
    fn stats(&self) -> Result<(Value, Value)> {
        let stats = self.events("playbook_on_stats")?.pop().with_context(|| self.text("stdout").unwrap_or_default())?;
        Ok((stats["failures"].clone(), stats["changed"].clone()))
    }

    fn went_well(&self) -> Result<()> {
        ensure!(self.text("rc")? == "0" && self.text("status")? == "successful", "{}", self.text("stdout")?);
        Ok(())
    }
}

/// The forms in which bytes may be within text: as they are, in hexadecimal digits, and in base64 wherever it begins.
fn forms(secret: &[u8]) -> Vec<Vec<u8>> {
    let hex: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
    let mut forms = vec![secret.to_vec(), hex.to_uppercase().into_bytes(), hex.into_bytes()];
    for before in 0..3 {
        for engine in [STANDARD_NO_PAD, URL_SAFE_NO_PAD] {
            let text = engine.encode([&vec![0; before], secret].concat());
            // Its first and last digits depend on what surrounds it.
            forms.push(text.as_bytes()[4..text.len() - 4].to_vec());
        }
    }
    forms
}

/// The files below a folder in which these bytes are in any form.
fn holding(folder: &Path, secret: &[u8]) -> Result<Vec<PathBuf>> {
    let forms = forms(secret);
    let holds = |content: &[u8]| forms.iter().any(|form| content.windows(form.len()).any(|part| part == form));
    Ok(contents(folder)?.into_iter().filter(|(_, content)| holds(content)).map(|(path, _)| path).collect())
}

#[test]
fn a_runner_tells_what_changed_and_that_nothing_did_and_keeps_no_secret() -> Result<()> {
    const TEST: &str = "a_runner_tells_what_changed_and_that_nothing_did_and_keeps_no_secret";
    if !can_simulate(TEST) {
        return Ok(());
    }
    let (fleet, _dir) = fleet()?;
    let extra = json!({"provision_secrets": [{"name": "named by the extra variables"}, {"name": OWN_SECRET}],
        "provision_queues": [{"name": "named by the extra variables", "mode": "ep11", "mkvp": WANTED_KEY},
                             {"name": OWN_SECRET, "mode": "ep11", "mkvp": WANTED_KEY}]});
    let data = Data::new("runner", &fleet.world, &fleet.controller, &extra)?;
    let first = data.run("first", &[])?;
    first.went_well()?;
    let (failures, changed) = first.stats()?;
    assert_eq!(failures, json!({}));
    for host in ["guest1", "guest2", "localhost"] {
        assert!(changed[host].as_u64().is_some_and(|count| count > 0), "{host}: {changed}");
    }
    let named = encode_hex(&SecretId::of_name("named by the extra variables").0);
    for guest in [&fleet.first, &fleet.second] {
        assert_eq!((guest.state()?["locked"].as_bool(), associated(guest)?), (Some(true), secrets(guest)?));
        assert!(secrets(guest)?.contains(&named), "{named}: {:?}", secrets(guest)?);
    }

    let before = (effects(&fleet.first)?.len(), effects(&fleet.second)?.len());
    let second = data.run("second", &["--omit-env-files", "--forks", "1"])?;
    second.went_well()?;
    assert_eq!(second.stats()?, (json!({}), json!({})));
    assert_eq!((effects(&fleet.first)?.len(), effects(&fleet.second)?.len()), before);

    let kept = contents(&fleet.world.path("trusted/secrets"))?;
    assert_eq!(kept.len(), 3);
    for (path, secret) in kept {
        assert_eq!(secret.len(), 32);
        assert_eq!(holding(&data.folder, &secret)?, Vec::<PathBuf>::new(), "{}", path.display());
    }
    // The same search finds what is there: requests are in results, encrypted as they are.
    let request = std::fs::read(request_of(&fleet.world, "image.hdr", "key_of_guest1")?)?;
    assert!(!holding(&first.0, &request[64..96])?.is_empty());
    Ok(())
}

#[test]
fn a_failed_task_tells_a_runner_its_code_and_what_to_do() -> Result<()> {
    if !can_simulate("a_failed_task_tells_a_runner_its_code_and_what_to_do") {
        return Ok(());
    }
    let Single { world, controller, .. } = &Single::new(json!({}))?;
    let extra = json!({"provision_host_keys": [world.path("pki/machine2.crt")]});
    let run = Data::new("runner", world, controller, &extra)?.run("failing", &[])?;
    assert_eq!((run.text("rc")?.as_str(), run.text("status")?.as_str()), ("2", "failed"));
    assert_eq!(run.stats()?.0, json!({"guest1": 1}));
    let failed = run.events("runner_on_failed")?;
    assert_eq!(failed.len(), 1, "{failed:?}");
    let (data, result) = (&failed[0], &failed[0]["res"]);
    assert_eq!((data["host"].as_str(), data["task"].as_str()), (Some("guest1"), Some(MAKE)));
    assert_eq!(result["error"]["code"], "uv.request_not_for_this_guest", "{result}");
    assert_eq!(result["error"]["uv_rc"], 0x0108);
    let told = |what: &Value, expected: &str| what.as_str().is_some_and(|text| text.contains(expected));
    assert!(told(&result["error"]["hint"], "no slot for this host's key"), "{result}");
    assert!(!result["msg"].as_str().context("no msg")?.is_empty());
    // And the same in what a person reads.
    assert!(run.text("stdout")?.contains("uv.request_not_for_this_guest"));
    Ok(())
}

/// Runs both at the same time, each with its slice of the hosts.
fn together(runners: [(&Data, &str); 2], run: &str) -> Result<[Artifacts; 2]> {
    let start = |(data, slice): (&Data, &str)| -> Result<Child> {
        let mut command = data.command(run, &["--limit", slice])?;
        Ok(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?)
    };
    for child in runners.map(start) {
        // How it went is in its folder.
        child?.wait()?;
    }
    Ok(runners.map(|(data, _)| data.artifacts(run)))
}

#[test]
fn two_runners_at_once_share_a_fleet_by_slices_and_make_each_secret_once() -> Result<()> {
    const TEST: &str = "two_runners_at_once_share_a_fleet_by_slices_and_make_each_secret_once";
    if !can_simulate(TEST) {
        return Ok(());
    }
    let (fleet, _dir) = fleet()?;
    // Both build the request that the guests share, and one of the two stays: both guests must get that one, or attestation would
    // find that one of them holds another.
    let data = |name| Data::new(name, &fleet.world, &fleet.controller, &json!({}));
    let (one, other) = (data("runner1")?, data("runner2")?);
    let slices = [(&one, "trusted,guest1"), (&other, "trusted,guest2")];
    // On a trusted machine where nothing is yet, not even a folder.
    let runs = together(slices, "first")?;
    runs.iter().try_for_each(Artifacts::went_well)?;
    for guest in [&fleet.first, &fleet.second] {
        assert_eq!((guest.state()?["locked"].as_bool(), secrets(guest)?.len()), (Some(true), 2));
        assert_eq!(associated(guest)?, secrets(guest)?);
    }
    let made = |run: &Artifacts| -> Result<Vec<String>> {
        let ended = run.events("runner_on_ok")?;
        let requests = ended.iter().filter_map(|event| event["res"]["requests"].as_array()).flatten();
        let made = requests.filter(|request| request["secret_created"] == true);
        Ok(made.filter_map(|request| request["name"].as_str().map(str::to_owned)).collect())
    };
    let mut labels = [made(&runs[0])?, made(&runs[1])?].concat();
    labels.sort();
    assert_eq!(
        labels,
        ["cluster key", "key of guest1", "key of guest2"],
        "each of the three secrets is made by one of the two"
    );

    let files = contents(&fleet.world.path("trusted"))?;
    for run in together(slices, "second")? {
        run.went_well()?;
        assert_eq!(run.stats()?, (json!({}), json!({})));
    }
    assert_eq!(contents(&fleet.world.path("trusted"))?, files);
    Ok(())
}

#[test]
fn two_runners_at_once_on_one_guest_leave_it_as_one_would() -> Result<()> {
    if !can_simulate("two_runners_at_once_on_one_guest_leave_it_as_one_would") {
        return Ok(());
    }
    let Single { world, guest, controller, .. } = &Single::new(json!({}))?;
    let data = |name| Data::new(name, world, controller, &json!({}));
    let (one, other) = (data("runner1")?, data("runner2")?);
    let runs = together([(&one, "all"), (&other, "all")], "first")?;
    let failed = runs.iter().map(|run| run.events("runner_on_failed")).collect::<Result<Vec<_>>>()?.concat();
    // Nobody waits for another task: who finds one at work on the queues says so, and the other one ends what it began.
    assert!(failed.iter().all(|event| event["res"]["error"]["code"] == "ap.in_use_by_another"), "{failed:?}");
    assert!(runs.iter().any(|run| run.went_well().is_ok()), "{failed:?}");
    let state = guest.state()?;
    assert_eq!((state["locked"].as_bool(), secrets(guest)?.len()), (Some(true), 2));
    assert_eq!(associated(guest)?, secrets(guest)?);

    let again = one.run("again", &[])?;
    again.went_well()?;
    assert_eq!((again.stats()?, guest.state()?), ((json!({}), json!({})), state));
    Ok(())
}
