//! The guest that a case is tried on, what each task is given, and what it must reach.
//!
//! Every guest has the secret `old` and, where queues matter, two that others use: 02.0005, associated with `old`, and
//! the accelerator 01.0006. The tasks want the secrets `a` and `b`, queues for them, and one accelerator.

use super::case::{Case, Prep, Task};
use super::settings::Setting;
use super::truth::Truth;
use crate::queues::{self, CARDS, KEY_A, KEY_B, ep11};
use crate::support::{add, association, binary, build, file, id, request, world};
use anyhow::{Context, Result, bail, ensure};
use e2e::Guest;
use pv_request::{Extension, ImageTags, Secret, SecretClass};
use pv_wire::SecretId;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;
use std::sync::LazyLock;

/// Queues that others use.
pub const OTHERS: [&str; 2] = ["01.0006", "02.0005"];
/// The image allows updates of its CCK: one of the requests is one.
const IMAGE: &str = "scenarios";

/// Requests by name, built once: whatever is wrong with some of them.
static REQUESTS: LazyLock<BTreeMap<&str, String>> = LazyLock::new(|| {
    world().image(IMAGE, &["--allow-cck-update"]).unwrap();
    let image = || ImageTags::read(&world().path(&format!("{IMAGE}.hdr"))).unwrap();
    let of = |secret: Secret| {
        let mut request = add(secret);
        request.image = image();
        request
    };
    let built = |name: &str| build(&of(association(name)), &["m1"]);
    let mut tampered = built("a");
    if let Some(last) = tampered.last_mut() {
        *last ^= 1;
    }
    let mut cuid = of(association("b"));
    cuid.cuid = Some([0x42; 16]);
    let mut flag = of(association("a"));
    flag.flags = 1;
    let mut extended = of(association("a"));
    extended.extension = Extension::Simple(zeroize::Zeroizing::new([1; 32]));
    let update = Secret::new(SecretClass::UpdateCck, SecretId([0; 32]), &[9; 32], "cck").unwrap();
    BTreeMap::from([
        ("old", file(&built("old"))),
        ("a", file(&built("a"))),
        ("b", file(&built("b"))),
        ("another_a", file(&built("a"))),
        ("other_image", request("a")),
        ("other_host", file(&build(&of(association("a")), &["m2"]))),
        ("tampered", file(&tampered)),
        ("other_cuid", file(&build(&cuid, &["m1"]))),
        ("unknown_flag", file(&build(&flag, &["m1"]))),
        ("extended", file(&build(&extended, &["m1"]))),
        ("update_cck", file(&build(&of(update), &["m1"]))),
    ])
});

/// A guest that is ready for its task.
pub struct World {
    pub guest: Guest,
}

impl World {
    /// Starts it under this setting and does all that comes before the task.
    pub fn start(case: &Case, setting: &Setting) -> Result<Self> {
        LazyLock::force(&REQUESTS);
        let name = crate::support::unique("scenario");
        let guest = Guest::start_image(
            world(),
            &name,
            "m1",
            IMAGE,
            if case.task == Task::Add || case.task == Task::Lock { "" } else { CARDS },
        )?;
        guest.set(&setting.scenario().to_string())?;
        if let Some(fragment) = &case.start {
            guest.set(&fragment.to_string())?;
            guest.reboot()?;
        }
        let world = Self { guest };
        world.prepare(case, case.prep)?;
        Ok(world)
    }

    fn prepare(&self, case: &Case, prep: Option<Prep>) -> Result<()> {
        let add = |names: &[&str]| self.must("secret_add", &requests(names)).map(|_| ());
        let lock = |names: &[&str]| {
            self.must("secret_lock", &json!({"require": names}))?;
            self.shell("rm /run/seguest-pv/store-lock.json")
        };
        match prep {
            _ if case.task == Task::Add => add(&["old"])?,
            Some(Prep::LockEarly) => {
                add(&["old"])?;
                lock(&["old"])?;
            }
            Some(Prep::NoSecret) => add(&["old", "b"])?,
            _ => add(&["old", "a", "b"])?,
        }
        if case.task.is_about_queues() || case.task == Task::Facts {
            let mut others = [ep11("old", KEY_A), json!({"mode": "accel"})];
            others[0]["apqn"] = OTHERS[1].into();
            others[1]["apqn"] = OTHERS[0].into();
            self.must(queues::MODULE, &json!({"entries": others}))?;
        }
        if matches!(case.task, Task::Release | Task::Facts) {
            self.must(queues::MODULE, &bound())?;
        }
        match prep {
            Some(Prep::Lock) => lock(&["old"]),
            Some(Prep::Twice) => {
                let mut another = requests(&["another_a"]);
                another["force"] = true.into();
                self.must("secret_add", &another).map(|_| ())
            }
            Some(Prep::LockEarly | Prep::NoSecret) | None => Ok(()),
        }
    }

    /// Runs the task; `None` if it was killed.
    pub fn task(&self, case: &Case, check_mode: bool) -> Result<Option<Value>> {
        let given: Vec<&str> = case.give.iter().flatten().map(String::as_str).collect();
        let (module, mut arguments) = arguments(case.task, if given.is_empty() { &["a", "b"] } else { &given });
        for (name, value) in case.args.as_ref().and_then(Value::as_object).into_iter().flatten() {
            arguments[name] = value.clone();
        }
        arguments["_ansible_diff"] = true.into();
        arguments["_ansible_check_mode"] = check_mode.into();
        let output = self.guest.run(&binary(module), &["-"], arguments.to_string().as_bytes())?;
        if output.status.signal() == Some(9) && output.stdout.is_empty() {
            return Ok(None);
        }
        let result: Value = serde_json::from_slice(&output.stdout).with_context(|| format!("{output:?}"))?;
        ensure!(output.status.code() == Some(i32::from(result["failed"] == true)), "{output:?}");
        Ok(Some(result))
    }

    /// Takes away what is wrong.
    pub fn heal(&self, case: &Case) -> Result<()> {
        self.guest.set("clear_faults: true")?;
        for fragment in &case.heal {
            self.guest.set(&fragment.to_string())?;
        }
        match (case.reboot, case.prep) {
            (true, _) => {
                self.guest.reboot()?;
                self.prepare(case, None)
            }
            (false, Some(Prep::NoSecret)) => self.must("secret_add", &requests(&["a"])).map(|_| ()),
            _ => Ok(()),
        }
    }

    /// Runs the task once more, as it should be.
    pub fn goal(&self, case: &Case) -> Result<Value> {
        let (module, arguments) = arguments(case.task, &["a", "b"]);
        self.must(module, &arguments)
    }

    /// Whether what the task is for has come about.
    pub fn is_reached(&self, case: &Case, truth: &Truth) -> Result<()> {
        let mut ids = truth.ids();
        ids.sort();
        let mut wanted = ["old", "a", "b"].map(id);
        wanted.sort();
        ensure!(ids == wanted, "the store holds {ids:?}");
        let held = match case.task {
            Task::Add => return Ok(()),
            Task::Lock => {
                ensure!(truth.locked, "the store is not locked");
                return Ok(());
            }
            Task::Bind | Task::Facts => {
                for (apqn, state, name) in [
                    ("00.0005", "associated", Some("a")),
                    ("00.0006", "associated", Some("b")),
                    ("01.0005", "bound", None),
                ] {
                    let found = truth.queue(apqn);
                    ensure!(found == (state, name.map(id)), "{apqn} is {found:?}");
                }
                vec!["00.0005", "00.0006", "01.0005", "01.0006", "02.0005"]
            }
            Task::Release => vec!["01.0005", "01.0006", "02.0005"],
        };
        ensure!(truth.held() == held, "held are {:?}", truth.held());
        Ok(())
    }

    fn must(&self, module: &str, arguments: &Value) -> Result<Value> {
        let result = self.guest.module(module, arguments)?;
        ensure!(result["failed"] != true, "{module}: {result}");
        if module == "facts" {
            let problems = &result["ansible_facts"]["ansible_secure_execution"]["problems"];
            ensure!(*problems == json!([]), "facts: {problems}");
        }
        Ok(result)
    }

    fn shell(&self, command: &str) -> Result<()> {
        let output = self.guest.run(std::path::Path::new("/bin/sh"), &["-c", command], b"")?;
        if !output.status.success() {
            bail!("{command}: {}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(())
    }
}

fn requests(names: &[&str]) -> Value {
    let request = |name: &&str| json!({"path": REQUESTS[name]});
    json!({"requests": names.iter().map(request).collect::<Vec<_>>(), "timeout": 0})
}

fn bound() -> Value {
    json!({"entries": [ep11("a", KEY_A), ep11("b", KEY_B), {"mode": "accel", "apqn": "01.0005"}], "timeout": 2})
}

fn arguments(task: Task, given: &[&str]) -> (&'static str, Value) {
    match task {
        Task::Add => ("secret_add", requests(given)),
        Task::Lock => ("secret_lock", json!({"require": ["old", "a", "b"], "exact": true})),
        Task::Bind => (queues::MODULE, bound()),
        Task::Release => {
            let entries = [ep11("a", KEY_A), ep11("b", KEY_B)];
            (queues::MODULE, json!({"entries": entries, "state": "unbound", "timeout": 2}))
        }
        Task::Facts => ("facts", json!({"probe_lock": true, "timeout": 1})),
    }
}
