//! Real Ansible on a controller of its own: nothing of the user's configuration, home or cache is used.

use crate::{Guest, place};
use anyhow::{Context, Result};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A folder with an inventory and a home of its own.
#[derive(Debug)]
pub struct Controller {
    dir: PathBuf,
}

/// One task's result on one host.
#[derive(Clone, Debug)]
pub struct Record {
    /// `ok`, `failed`, `unreachable`, `skipped`, `item_ok` or `item_failed`.
    pub status: String,
    /// Name of the task.
    pub task: String,
    /// Name of the host in the inventory.
    pub host: String,
    /// What the task returned.
    pub result: Value,
}

/// A run of Ansible.
#[derive(Debug)]
pub struct Play {
    /// The results, in order.
    pub records: Vec<Record>,
    /// Whether Ansible says that all went well.
    pub ok: bool,
    /// All that was printed.
    pub output: String,
}

impl Play {
    /// Results that changed something, as `host: task`.
    pub fn changes(&self) -> Vec<String> {
        let changed = self.records.iter().filter(|record| record.result["changed"] == true);
        changed.map(|record| format!("{}: {}", record.host, record.task)).collect()
    }

    /// The result of the task of this name on this host.
    ///
    /// # Errors
    /// If there is none.
    pub fn result(&self, host: &str, task: &str) -> Result<&Value> {
        let found = self.records.iter().rfind(|record| record.host == host && record.task == task);
        found.map(|record| &record.result).with_context(|| format!("no result of {task:?} on {host}:\n{}", self.output))
    }
}

impl Controller {
    /// A controller that knows the trusted machine (itself) and these guests. `vars` go to all hosts.
    ///
    /// # Errors
    /// If its files cannot be written.
    pub fn new(dir: &Path, guests: &[(&str, &Guest, Value)], vars: &Value) -> Result<Self> {
        let controller = Self { dir: dir.to_path_buf() };
        std::fs::create_dir_all(dir.join("home"))?;
        let simulator = place::binary("guest-sim")?;
        let host = |(name, guest, own): &(&str, &Guest, Value)| {
            let mut host = json!({"ansible_connection": "guest_sim", "ansible_guest_sim_dir": guest.dir(),
                                  "ansible_guest_sim_bin": simulator, "ansible_python_interpreter": "/nonexistent/python"});
            if let (Some(host), Some(own)) = (host.as_object_mut(), own.as_object()) {
                host.extend(own.clone());
            }
            ((*name).to_owned(), host)
        };
        let guests: serde_json::Map<String, Value> = guests.iter().map(host).collect();
        let trusted = json!({"localhost": {"ansible_connection": "local", "ansible_python_interpreter": "{{ ansible_playbook_python }}"}});
        let inventory =
            json!({"all": {"vars": vars, "children": {"trusted": {"hosts": trusted}, "guests": {"hosts": guests}}}});
        std::fs::write(dir.join("inventory.json"), inventory.to_string())?;
        Ok(controller)
    }

    /// Runs a playbook of the project's folder `playbooks`.
    ///
    /// # Errors
    /// If Ansible cannot be run; a failed task is no error.
    pub fn playbook(&self, name: &str, arguments: &[&str]) -> Result<Play> {
        self.play(&place::repository().join("playbooks").join(name), arguments)
    }

    /// Runs one play on the guests, made of these tasks.
    ///
    /// # Errors
    /// As [`Controller::playbook`].
    pub fn tasks(&self, hosts: &str, tasks: Value, arguments: &[&str]) -> Result<Play> {
        let book = self.dir.join("book.json");
        std::fs::write(&book, json!([{"hosts": hosts, "gather_facts": false, "tasks": tasks}]).to_string())?;
        self.play(&book, arguments)
    }

    fn play(&self, book: &Path, arguments: &[&str]) -> Result<Play> {
        let record = self.dir.join("record");
        std::fs::write(&record, "")?;
        let mut command = self.command("ansible-playbook")?;
        let output = command.env("RECORDER_FILE", &record).arg(book).args(arguments).output()?;
        let records = std::fs::read_to_string(&record)?;
        let records = records.lines().map(|line| {
            let mut line: Value = serde_json::from_str(line)?;
            let text = |key: &str| line[key].as_str().unwrap_or_default().to_owned();
            Ok(Record { status: text("status"), task: text("task"), host: text("host"), result: line["result"].take() })
        });
        Ok(Play { records: records.collect::<Result<_>>()?, ok: output.status.success(), output: printed(&output) })
    }

    /// A program of ansible-core, set to this controller's inventory and to the collection as installed.
    ///
    /// # Errors
    /// If it is not installed.
    pub fn command(&self, program: &str) -> Result<Command> {
        let tests = place::repository().join("tests/ansible");
        let mut command = Command::new(place::python_program(program)?);
        for (key, _) in std::env::vars().filter(|(key, _)| key.starts_with("ANSIBLE_")) {
            command.env_remove(key);
        }
        command
            .arg("-i")
            .arg(self.dir.join("inventory.json"))
            .current_dir(&self.dir)
            .env("HOME", self.dir.join("home"))
            .env_remove("XDG_STATE_HOME")
            .env("ANSIBLE_COLLECTIONS_PATH", place::collections()?)
            .env("ANSIBLE_CONNECTION_PLUGINS", tests.join("connection_plugins"))
            .env("ANSIBLE_CALLBACK_PLUGINS", tests.join("callback_plugins"))
            .env("ANSIBLE_CALLBACKS_ENABLED", "recorder")
            .env("ANSIBLE_NOCOLOR", "true")
            .env("LC_ALL", "C.UTF-8");
        Ok(command)
    }
}

/// Standard output and error of a program, as one text.
fn printed(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}
