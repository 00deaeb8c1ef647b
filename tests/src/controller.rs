//! Real Ansible on a controller of its own: nothing of the user's configuration, home or cache is used.

use crate::{Guest, place};
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Whether results hold the options that reached a module.
const INVOCATION: &str = "ANSIBLE_INJECT_INVOCATION";

/// A folder with an inventory and a home of its own.
#[derive(Debug)]
pub struct Controller {
    dir: PathBuf,
    /// Where the collection is found, if not where it was installed.
    collections: Option<PathBuf>,
}

/// A line of the inventory: a host's name and variables.
#[derive(Clone, Debug)]
pub struct Host {
    name: String,
    variables: Value,
}

impl Host {
    /// A host with these variables, a JSON object.
    pub fn new(name: &str, variables: Value) -> Self {
        Self { name: name.to_owned(), variables }
    }

    /// The controller itself.
    pub fn controller() -> Self {
        // On its own machine, Ansible asks the list of users for the home folder, not the environment.
        let variables = json!({"ansible_connection": "local", "ansible_python_interpreter": "{{ ansible_playbook_python }}",
                               "ansible_remote_tmp": "{{ lookup('env', 'HOME') }}/.ansible/tmp"});
        Self::new("localhost", variables)
    }

    /// A simulated guest, without Python, as `playbooks/provision.yml` wants it.
    ///
    /// # Errors
    /// If the simulator is not built.
    pub fn guest(name: &str, guest: &Guest) -> Result<Self> {
        let own = json!({"ansible_python_interpreter": "/nonexistent/python", "ansible_become": false});
        Ok(Self::simulated(name, guest)?.with(own))
    }

    /// Another simulated machine, with Python.
    ///
    /// # Errors
    /// If the simulator is not built.
    pub fn simulated(name: &str, machine: &Guest) -> Result<Self> {
        let variables = json!({"ansible_connection": "guest_sim", "ansible_guest_sim_dir": machine.dir(),
                               "ansible_guest_sim_bin": place::binary("guest-sim")?,
                               "ansible_python_interpreter": "{{ ansible_playbook_python }}"});
        Ok(Self::new(name, variables))
    }

    /// The same host with these variables, a JSON object, laid over its own.
    #[must_use]
    pub fn with(mut self, variables: Value) -> Self {
        if let (Value::Object(all), Value::Object(more)) = (&mut self.variables, variables) {
            all.extend(more);
        }
        self
    }
}

/// An inventory with the groups that the playbooks work on: the trusted machine and the guests.
pub(crate) fn inventory(trusted: &Host, guests: &[Host]) -> Value {
    let hosts = |hosts: &[Host]| -> Value {
        hosts.iter().map(|host| (host.name.clone(), host.variables.clone())).collect::<serde_json::Map<_, _>>().into()
    };
    let trusted = hosts(std::slice::from_ref(trusted));
    json!({"all": {"children": {"trusted": {"hosts": trusted}, "guests": {"hosts": hosts(guests)}}}})
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

    /// What the task of this name did on this host.
    ///
    /// # Errors
    /// If it was not run there.
    pub fn record(&self, host: &str, task: &str) -> Result<&Record> {
        let found = self.records.iter().rfind(|record| record.host == host && record.task == task);
        found.with_context(|| format!("no result of {task:?} on {host}:\n{}", self.output))
    }

    /// What the task of this name returned on this host.
    ///
    /// # Errors
    /// As [`Play::record`].
    pub fn result(&self, host: &str, task: &str) -> Result<&Value> {
        Ok(&self.record(host, task)?.result)
    }
}

impl Controller {
    /// A controller that knows the trusted machine and these guests. `vars` go to all hosts.
    ///
    /// # Errors
    /// If its files cannot be written.
    pub fn new(dir: &Path, trusted: &Host, guests: &[Host], vars: &Value) -> Result<Self> {
        let controller = Self { dir: dir.to_path_buf(), collections: None };
        std::fs::create_dir_all(controller.home())?;
        let mut inventory = inventory(trusted, guests);
        inventory["all"]["vars"] = vars.clone();
        std::fs::write(controller.inventory(), inventory.to_string())?;
        Ok(controller)
    }

    /// The same with the collection in another folder.
    #[must_use]
    pub fn with_collections(mut self, folder: &Path) -> Self {
        self.collections = Some(folder.to_path_buf());
        self
    }

    /// The home folder that programs are told: on the controller, and by its path on simulated machines too.
    pub fn home(&self) -> PathBuf {
        self.dir.join("home")
    }

    /// The inventory.
    pub fn inventory(&self) -> PathBuf {
        self.dir.join("inventory.json")
    }

    /// What any Ansible must be told to find the collection as installed and the way into simulated guests: variables of
    /// the environment with the folders that they name.
    ///
    /// # Errors
    /// If the collection is not installed.
    pub fn plugins() -> Result<[(&'static str, PathBuf); 2]> {
        let connections = place::repository().join("tests/ansible/connection_plugins");
        Ok([("ANSIBLE_COLLECTIONS_PATH", place::collections()?), ("ANSIBLE_CONNECTION_PLUGINS", connections)])
    }

    /// Runs a playbook of the project's folder `playbooks`.
    ///
    /// # Errors
    /// If Ansible cannot be run; a failed task is no error.
    pub fn playbook(&self, name: &str, arguments: &[&str]) -> Result<Play> {
        self.play(&place::repository().join("playbooks").join(name), arguments)
    }

    /// Runs a playbook as users run it: nothing records its results, which takes Ansible a good part of its time. Gives what was
    /// printed.
    ///
    /// # Errors
    /// If Ansible cannot be run, or says that not all went well.
    pub fn unrecorded(&self, name: &str, arguments: &[&str]) -> Result<String> {
        let mut command = self.command("ansible-playbook")?;
        command.env_remove("ANSIBLE_CALLBACKS_ENABLED").env_remove(INVOCATION);
        let output = command.arg(place::repository().join("playbooks").join(name)).args(arguments).output()?;
        ensure!(output.status.success(), "{}", printed(&output));
        Ok(printed(&output))
    }

    /// Runs one play on the guests, made of these tasks.
    ///
    /// # Errors
    /// As [`Controller::playbook`].
    pub fn tasks(&self, hosts: &str, tasks: &Value, arguments: &[&str]) -> Result<Play> {
        let book = self.dir.join("book.json");
        std::fs::write(&book, json!([{"hosts": hosts, "gather_facts": false, "tasks": tasks}]).to_string())?;
        self.play(&book, arguments)
    }

    /// Runs one module on the guests from the command line, in the folder `playbooks` and with its `ansible.cfg`.
    ///
    /// # Errors
    /// As [`Controller::playbook`].
    pub fn ad_hoc(&self, module: &str, arguments: &str) -> Result<Play> {
        let mut command = self.command("ansible")?;
        // They would hide what ansible.cfg says.
        command.env_remove("ANSIBLE_COLLECTIONS_PATH").current_dir(place::repository().join("playbooks"));
        command.env("ANSIBLE_LOAD_CALLBACK_PLUGINS", "true").args(["guests", "-m", module, "-a", arguments]);
        self.recorded(command)
    }

    fn play(&self, book: &Path, arguments: &[&str]) -> Result<Play> {
        let mut command = self.command("ansible-playbook")?;
        command.arg(book).args(arguments);
        self.recorded(command)
    }

    fn recorded(&self, mut command: Command) -> Result<Play> {
        let record = self.dir.join("record");
        std::fs::write(&record, "")?;
        let output = command.env("RECORDER_FILE", &record).output()?;
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
        let mut command = self.program(program)?;
        command.arg("-i").arg(self.inventory());
        Ok(command)
    }

    /// The same for programs that take no inventory, such as `ansible-doc`.
    ///
    /// # Errors
    /// If it is not installed.
    pub fn program(&self, program: &str) -> Result<Command> {
        let mut command = Command::new(place::python_program(program)?);
        for (key, _) in std::env::vars().filter(|(key, _)| key.starts_with("ANSIBLE_")) {
            command.env_remove(key);
        }
        command
            .current_dir(&self.dir)
            .env("HOME", self.home())
            .env_remove("XDG_STATE_HOME")
            .envs(Self::plugins()?)
            .envs(self.collections.iter().map(|folder| ("ANSIBLE_COLLECTIONS_PATH", folder)))
            .env("ANSIBLE_CALLBACK_PLUGINS", place::repository().join("tests/ansible/callback_plugins"))
            .env("ANSIBLE_CALLBACKS_ENABLED", "recorder")
            // What reached a module is what tests look at; from 2.21 on, Ansible has to be asked for it.
            .env(INVOCATION, "true")
            .env("ANSIBLE_NOCOLOR", "true")
            .env("LC_ALL", "C.UTF-8");
        Ok(command)
    }
}

/// Standard output and error of a program, as one text.
pub(crate) fn printed(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}
