//! The guests that are measured, and the plays on them.

use super::FORKS;
use crate::bench::processes;
use anyhow::{Result, ensure};
use e2e::{Controller, Guest, Host, OWN_SECRET, Play, World, variables};
use pv_wire::{SecretId, encode_hex};
use serde_json::{Value, json};
use std::fs;
use std::path::PathBuf;
use std::time::Instant;

const ADD: &str = "Add the secret";
const LOCK: &str = "Lock the store";
const BIND: &str = "Bind a queue";
const FACTS: &str = "Ask how it stands";
/// Tasks of the play on guests, and whether they change a fresh one.
pub const TASKS: [(&str, bool); 4] = [(ADD, true), (LOCK, true), (BIND, true), (FACTS, false)];
/// What the one secret of [`Fleet::modules`] is called.
pub const SECRET: &str = "cluster key";
const KEY: &str = "db3c3b3c3f097dd55ec7eb0e7fdbcb93";

/// What one play took.
#[derive(Clone, Copy)]
pub struct Taken {
    /// Seconds on the clock.
    pub seconds: f64,
    /// Seconds of processor time of the controller and its forks, without what they started in guests.
    pub controller: f64,
    /// Of the programs that ran in guests, shells included.
    pub programs: f64,
    /// Of the simulators, which stand for kernels and firmware.
    pub simulators: f64,
}

/// Guests, and a controller that knows them.
pub struct Fleet {
    guests: Vec<Guest>,
    controller: Controller,
    /// For books, and what the connection writes.
    folder: PathBuf,
    request: Value,
}

impl Fleet {
    /// Starts guests, numbered from `first`.
    ///
    /// # Errors
    /// If one does not come up.
    pub fn start(world: &World, request: &Value, first: usize, count: usize) -> Result<Self> {
        let folder = world.path(&format!("fleet{first}-{count}"));
        fs::create_dir_all(&folder)?;
        let mut guests = Vec::new();
        let mut hosts = Vec::new();
        for number in first..first + count {
            let queues = json!({"0005": {"mkvp": KEY}});
            let cards = json!({"00": {"type": "CEX8P", "serialnr": serial(number), "queues": queues}});
            let guest = Guest::start(world, &name(number), "machine1", &format!("cards: {cards}\n"))?;
            hosts.push(
                Host::guest(&name(number), &guest)?.with(json!({"ansible_guest_sim_times": folder.join("times")})),
            );
            guests.push(guest);
        }
        let mut told = variables(world);
        told["provision_host_keys"] = json!([world.path("pki/machine1.crt")]);
        told["provision_output"] = json!(folder.join("trusted"));
        told["compliance_folder"] = json!(folder);
        told["provision_secrets"] = json!([{"name": SECRET}, {"name": OWN_SECRET}]);
        told["provision_queues"] = json!([{"name": OWN_SECRET, "mode": "ep11", "mkvp": KEY}]);
        let controller = Controller::new(&folder, &Host::controller(), &hosts, &told)?;
        // Each guest has a home of its own, and with it a cache.
        guests.iter().try_for_each(|guest| guest.own_folder(&controller.home()))?;
        Ok(Self { guests, controller, folder, request: request.clone() })
    }

    /// Runs each guest module once.
    ///
    /// # Errors
    /// If it does not go well.
    pub fn modules(&self, strategy: &str, forks: usize) -> Result<(Taken, Play)> {
        self.play(
            &json!([
                {"name": ADD, "seguest.pv.secret_add": {"requests": [self.request]}},
                {"name": LOCK, "seguest.pv.secret_lock": {"require": [{"name": SECRET}]}},
                {"name": BIND, "seguest.pv.ap_bind": {"entries": [{"name": SECRET, "mode": "ep11", "mkvp": KEY}]}},
                {"name": FACTS, "seguest.pv.facts": {}},
            ]),
            strategy,
            forks,
        )
    }

    /// The least that Ansible can do, as often.
    ///
    /// # Errors
    /// If it does not go well.
    pub fn raw(&self) -> Result<(Taken, Play)> {
        let task = |(name, _)| json!({"name": name, "ansible.builtin.raw": "true", "changed_when": false});
        self.play(&TASKS.map(task).to_vec().into(), "linear", FORKS)
    }

    /// The same once.
    ///
    /// # Errors
    /// If it does not go well.
    pub fn one_raw(&self, forks: usize) -> Result<Taken> {
        let task = json!([{"name": "Nothing", "ansible.builtin.raw": "true", "changed_when": false}]);
        self.unrecorded(&self.book(&task, "linear")?, forks, &[]).map(|(taken, _)| taken)
    }

    /// A play without tasks: what Ansible takes before it comes to a guest.
    ///
    /// # Errors
    /// If it does not go well.
    pub fn nothing(&self, forks: usize) -> Result<Taken> {
        self.unrecorded(&self.book(&json!([]), "linear")?, forks, &[]).map(|(taken, _)| taken)
    }

    /// What provision does for a guest, written without the collection: two requests and a configuration are copied, and two
    /// times pvsecret add, then pvsecret lock and pvapconfig are started. Here they do nothing.
    ///
    /// # Errors
    /// If it does not go well.
    pub fn by_hand(&self, forks: usize) -> Result<Taken> {
        let copy = |name: &str| {
            let dest = self.folder.join(format!("by-hand-{{{{ inventory_hostname }}}}-{name}"));
            json!({"name": format!("Copy {name}"),
                   "ansible.builtin.copy": {"content": format!("{name} of {{{{ inventory_hostname }}}}"), "dest": dest, "mode": "0600"}})
        };
        let command = |name: &str| json!({"name": name, "ansible.builtin.command": "true", "changed_when": false});
        let tasks = json!([
            copy("common"),
            copy("own"),
            command("Add"),
            command("Add another"),
            command("Lock"),
            copy("queues"),
            command("Bind"),
        ]);
        // It needs Python; a simulated guest has this machine's.
        let python =
            json!([{"ansible.builtin.set_fact": {"ansible_python_interpreter": "{{ ansible_playbook_python }}"}}]);
        let tasks = [python, tasks].into_iter().flat_map(|list| list.as_array().cloned().unwrap_or_default()).collect();
        self.unrecorded(&self.book(&Value::Array(tasks), "linear")?, forks, &[]).map(|(taken, _)| taken)
    }

    /// What the collection's own playbook does before it comes to guests.
    ///
    /// # Errors
    /// If it does not go well.
    pub fn provision_trusted(&self, forks: usize) -> Result<Taken> {
        self.unrecorded("provision.yml", forks, &["--limit", "trusted"]).map(|(taken, _)| taken)
    }

    /// The collection's own playbook, all the way from host key documents to bound queues.
    ///
    /// # Errors
    /// If it does not go well.
    pub fn provision(&self, forks: usize) -> Result<Taken> {
        self.unrecorded("provision.yml", forks, &[]).map(|(taken, _)| taken)
    }

    /// The same where nothing is left to do.
    ///
    /// # Errors
    /// If it does not go well, or changes something.
    pub fn provision_again(&self, forks: usize) -> Result<Taken> {
        let (taken, said) = self.unrecorded("provision.yml", forks, &[])?;
        let recap = said.rsplit("PLAY RECAP").next().unwrap_or_default();
        ensure!(
            recap.matches(" changed=0 ").count() > self.guests.len(),
            "not all of the second run's hosts are in {recap}"
        );
        ensure!(
            recap.matches(" changed=").count() == recap.matches(" changed=0 ").count(),
            "it changed something: {recap}"
        );
        Ok(taken)
    }

    /// The same without its last step, in which guests prove their state.
    ///
    /// # Errors
    /// If it does not go well.
    pub fn provision_unattested(&self, forks: usize) -> Result<Taken> {
        self.unrecorded("provision.yml", forks, &["-e", "provision_attest=false"]).map(|(taken, _)| taken)
    }

    /// The collection's playbook that asks all guests how they stand and writes one page.
    ///
    /// # Errors
    /// If it does not go well, or a guest does not stand well.
    pub fn compliance(&self, forks: usize) -> Result<Taken> {
        let (taken, _) = self.unrecorded("compliance.yml", forks, &[])?;
        let report: Value = serde_json::from_slice(&fs::read(self.folder.join("compliance.json"))?)?;
        ensure!(report["counts"]["pass"] == self.guests.len(), "not all are well: {}", report["counts"]);
        Ok(taken)
    }

    /// Runs tasks on all guests, and records what they return.
    ///
    /// # Errors
    /// If they do not go well.
    pub fn play(&self, tasks: &Value, strategy: &str, forks: usize) -> Result<(Taken, Play)> {
        let book = self.book(tasks, strategy)?;
        let (taken, play) = self.timed(|| self.controller.playbook(&book, &["--forks", &forks.to_string()]))?;
        ensure!(play.ok, "{}", play.output);
        Ok((taken, play))
    }

    /// Writes a playbook of one play on all guests, and gives its path.
    fn book(&self, tasks: &Value, strategy: &str) -> Result<String> {
        let book = self.folder.join("book.json");
        let play = json!([{"hosts": "guests", "gather_facts": false, "strategy": strategy, "tasks": tasks}]);
        fs::write(&book, play.to_string())?;
        // An absolute path is taken as it is.
        Ok(book.display().to_string())
    }

    fn unrecorded(&self, book: &str, forks: usize, more: &[&str]) -> Result<(Taken, String)> {
        let forks = forks.to_string();
        let arguments = [&["--forks", forks.as_str()], more].concat();
        self.timed(|| self.controller.unrecorded(book, &arguments))
    }

    fn timed<T>(&self, run: impl FnOnce() -> Result<T>) -> Result<(Taken, T)> {
        let times = self.folder.join("times");
        fs::write(&times, "")?;
        let (processes, simulators) = (processes::ended_children()?, processes::simulators());
        let started = Instant::now();
        let done = run()?;
        let seconds = started.elapsed().as_secs_f64();
        let programs: f64 = fs::read_to_string(&times)?.lines().filter_map(|line| line.parse::<f64>().ok()).sum();
        let controller = processes::ended_children()? - processes - programs;
        Ok((Taken { seconds, controller, programs, simulators: processes::simulators() - simulators }, done))
    }

    /// Whether each host's results of [`Fleet::modules`] are its own guest's, and the guest is as they say.
    ///
    /// # Errors
    /// What is wrong.
    pub fn check(&self, play: &Play, first: usize, fresh: bool) -> Result<()> {
        let count = self.guests.len() * TASKS.len();
        ensure!(play.records.len() == count, "{} results instead of {count}", play.records.len());
        for (number, guest) in (first..).zip(&self.guests) {
            let name = name(number);
            for (task, changes) in TASKS {
                let record = play.record(&name, task)?;
                ensure!(record.status == "ok", "{name}: {task}: {}", record.result);
                ensure!(record.result["changed"] == (fresh && changes), "{name}: {task}: {}", record.result);
            }
            let facts = &play.result(&name, FACTS)?["ansible_facts"]["ansible_secure_execution"];
            ensure!(facts["ap"]["cards"][0]["serialnr"] == serial(number).as_str(), "{name} answered as {facts}");
            ensure!(facts["secrets"]["locked"] == true && facts["secrets"]["total"] == 1, "{name}: {facts}");
            let state = guest.state()?;
            let (secret, queue) = (&state["secrets"][0]["id"], &state["queues"][0]["secret_id"]);
            ensure!(state["locked"] == true && secret.is_string() && secret == queue, "{name}: {state}");
        }
        Ok(())
    }

    /// Empties all guests, as a reboot does.
    ///
    /// # Errors
    /// If one does not boot.
    pub fn reboot(&self) -> Result<()> {
        self.guests.iter().try_for_each(Guest::reboot)
    }

    /// Whether each guest is as [`Fleet::provision`] leaves it, with its own secret's queue.
    ///
    /// # Errors
    /// What is wrong.
    pub fn check_provisioned(&self, first: usize) -> Result<()> {
        for (number, guest) in (first..).zip(&self.guests) {
            let state = guest.state()?;
            let own = encode_hex(&SecretId::of_name(&own_secret(number)).0);
            let secrets = state["secrets"].as_array().map_or(0, Vec::len);
            ensure!(state["locked"] == true && secrets == 2, "{}: {state}", name(number));
            ensure!(state["queues"][0]["secret_id"] == own.as_str(), "{}: {state}", name(number));
        }
        Ok(())
    }
}

/// What the guest's own secret is called, as [`Host::guest`] says.
fn own_secret(number: usize) -> String {
    format!("key of {}", name(number))
}

fn name(number: usize) -> String {
    format!("guest{number:04}")
}

/// Of the guest's card, by which its answers are known.
fn serial(number: usize) -> String {
    format!("93AADFK7{number:08}")
}
