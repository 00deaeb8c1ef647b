//! The cases of `tests/guest/scenarios.yaml`, as far as a real kernel can be brought into them from outside: all in one boot,
//! each from an empty store and unbound queues on.

use anyhow::{Context, Result};
use e2e::cards::{KEY_A, KEY_B};
use e2e::lab::Step;
use e2e::{World, place};
use openssl::pkey::PKey;
use pv_request::{AddSecret, Extension, HostKey, ImageTags, RequestKeys, Secret, SecretClass, UserData};
use pv_wire::SecretId;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use zeroize::Zeroizing;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// The image of these cases, which allows updates of its CCK.
pub const IMAGE: &str = "scenarios";
/// Seconds that tasks wait for queues: programs take longer on an emulated processor than in `tests/guest`.
const TIMEOUT: u32 = 4;
/// So many times as long must be what a case itself allows, where it is less: while a card does not answer, the kernel polls it
/// without end, which leaves an emulated processor little time for all else.
const SLOWER: u64 = 4;

/// What holds before each case, whatever the last one has laid over it.
const BEFORE: &str = r#"
clear_faults: true
delays: {bind_ms: 2, settle_ms: 1, associate_ms: 2, reset_ms: 2, ioctl_ms: 0}
ultravisor: {max_assoc_secrets: 30, dump_in_progress: false}
cards: {"00": {answers: true}, "01": {bind_limit: 9}, "02": {answers: true}}
"#;

/// A case, as `scenarios.yaml` describes its fields. What it promises is checked where the file is at home.
#[derive(Clone, Debug, Deserialize)]
pub struct Case {
    /// Its name.
    pub id: String,
    task: Task,
    start: Option<Value>,
    prep: Option<Prep>,
    set: Option<Value>,
    give: Option<Vec<String>>,
    args: Option<Value>,
    #[serde(default)]
    heal: Vec<Value>,
    #[serde(default)]
    reboot: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Task {
    Add,
    Lock,
    Bind,
    Release,
    Facts,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Prep {
    Lock,
    LockEarly,
    Twice,
    NoSecret,
}

/// All cases of the file.
pub fn all() -> Result<Vec<Case>> {
    let path = place::repository().join("tests/guest/scenarios.yaml");
    let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    serde_yaml::from_str(&text).context("scenarios.yaml")
}

impl Case {
    /// Why a real kernel cannot be brought into the case, if so.
    pub fn out_of_reach(&self) -> Option<&'static str> {
        let set = self.set.clone().unwrap_or_default();
        let faults = set["faults"].as_array().cloned().unwrap_or_default();
        let any = |holds: &dyn Fn(&Value) -> bool| faults.iter().any(holds);
        let of_queues = |key: &str| {
            let cards = set["cards"].as_object();
            let queues = cards.into_iter().flatten().flat_map(|(_, card)| card["queues"].as_object()).flatten();
            queues.into_iter().any(|(_, queue)| !queue[key].is_null())
        };
        if any(&|fault| ["read", "write", "info"].iter().any(|on| fault["on"] == *on) || !fault["errno"].is_null()) {
            return Some("the kernel's own errors cannot be ordered");
        }
        if any(&|fault| !fault["kill"].is_null()) {
            return Some("the kernel kills nobody: troubles.rs does");
        }
        if !set["absent"].is_null() || !set["attributes"].is_null() {
            return Some("the kernel's files say what they say");
        }
        if of_queues("online") || of_queues("requestq_count") || any(&|fault| fault["becomes"] == "offline") {
            return Some("the kernel's own state, not the machine's");
        }
        let found_by_scan = ["present", "config", "chkstop"].iter().any(|key| of_queues(key));
        if found_by_scan || any(&|fault| !fault["becomes"].is_null()) || self.start.is_some() {
            return Some(
                "the kernel learns of it with its next bus scan, up to 30 s later: compare.rs boots with such queues",
            );
        }
        let read_at_boot = ["secrets", "secret_types"].iter().any(|key| !set["ultravisor"][*key].is_null());
        read_at_boot.then_some("the kernel asks the ultravisor for it at its boot only")
    }

    /// The steps of the case, with their names.
    pub fn steps(&self, given: &Given) -> Vec<(String, Step)> {
        let mut steps = Vec::new();
        let mut push = |name: &str, step: Step| steps.push((format!("{}: {name}", self.id), step));
        let lay = || {
            let mut fragment = self.set.clone().unwrap_or_else(|| json!({}));
            fragment["clear_faults"] = true.into();
            Step::Set(fragment.to_string())
        };
        push("empty", Step::Empty);
        push("before", Step::Set(BEFORE.to_owned()));
        self.prepare(self.prep, given, &mut push);
        for check_mode in [true, false] {
            push("set", lay());
            let mut task = self.arguments(given, &self.given());
            for (name, value) in self.args.as_ref().and_then(Value::as_object).into_iter().flatten() {
                task[name] = value.clone();
            }
            if let Some(short) = task["timeout"].as_u64().filter(|seconds| (1..TIMEOUT.into()).contains(seconds)) {
                task["timeout"] = (short * SLOWER).into();
            }
            task["_ansible_diff"] = true.into();
            task["_ansible_check_mode"] = check_mode.into();
            push(if check_mode { "in check mode" } else { "task" }, Step::Module(self.module(), task));
            push("state", Step::State);
        }
        push("no faults", Step::Set("clear_faults: true".to_owned()));
        for fragment in &self.heal {
            push("healed", Step::Set(fragment.to_string()));
        }
        match (self.reboot, self.prep) {
            (true, _) => {
                push("empty again", Step::Empty);
                self.prepare(None, given, &mut push);
            }
            (false, Some(Prep::NoSecret)) => push("add", Step::Module("secret_add", given.requests(&["a"]))),
            _ => {}
        }
        for name in ["goal", "goal again"] {
            push(name, Step::Module(self.module(), self.arguments(given, &["a", "b"])));
        }
        push("state in the end", Step::State);
        steps
    }

    fn given(&self) -> Vec<&str> {
        let given: Vec<&str> = self.give.iter().flatten().map(String::as_str).collect();
        if given.is_empty() { vec!["a", "b"] } else { given }
    }

    fn prepare(&self, prep: Option<Prep>, given: &Given, push: &mut impl FnMut(&str, Step)) {
        let forget = || Step::Shell("rm /run/seguest-pv/store-lock.json".into(), Vec::new());
        let lock = || Step::Module("secret_lock", json!({"require": ["old"]}));
        let names: &[&str] = match prep {
            _ if self.task == Task::Add => &["old"],
            Some(Prep::LockEarly) => &["old"],
            Some(Prep::NoSecret) => &["old", "b"],
            _ => &["old", "a", "b"],
        };
        push("add before", Step::Module("secret_add", given.requests(names)));
        if prep == Some(Prep::LockEarly) {
            push("lock before", lock());
            push("forget the lock", forget());
        }
        if matches!(self.task, Task::Bind | Task::Release | Task::Facts) {
            let mut others = [ep11("old", KEY_A), json!({"mode": "accel"})];
            others[0]["apqn"] = "02.0005".into();
            others[1]["apqn"] = "01.0006".into();
            push("bind of others", Step::Module("ap_bind", json!({"entries": others})));
        }
        if matches!(self.task, Task::Release | Task::Facts) {
            push("bind before", Step::Module("ap_bind", bound()));
        }
        match prep {
            Some(Prep::Lock) => {
                push("lock before", lock());
                push("forget the lock", forget());
            }
            Some(Prep::Twice) => {
                let mut another = given.requests(&["another_a"]);
                another["force"] = true.into();
                push("add twice", Step::Module("secret_add", another));
            }
            _ => {}
        }
    }

    fn module(&self) -> &'static str {
        match self.task {
            Task::Add => "secret_add",
            Task::Lock => "secret_lock",
            Task::Bind | Task::Release => "ap_bind",
            Task::Facts => "facts",
        }
    }

    fn arguments(&self, given: &Given, requests: &[&str]) -> Value {
        match self.task {
            Task::Add => given.requests(requests),
            Task::Lock => json!({"require": ["old", "a", "b"], "exact": true}),
            Task::Bind => bound(),
            Task::Release => {
                let entries = [ep11("a", KEY_A), ep11("b", KEY_B)];
                json!({"entries": entries, "state": "unbound", "timeout": TIMEOUT})
            }
            Task::Facts => json!({"probe_lock": true, "timeout": TIMEOUT}),
        }
    }
}

fn ep11(name: &str, mkvp: &str) -> Value {
    json!({"name": name, "mode": "ep11", "mkvp": mkvp})
}

fn bound() -> Value {
    json!({"entries": [ep11("a", KEY_A), ep11("b", KEY_B), {"mode": "accel", "apqn": "01.0005"}], "timeout": TIMEOUT})
}

/// Requests by name, whatever is wrong with some of them.
#[derive(Debug)]
pub struct Given(BTreeMap<&'static str, String>);

impl Given {
    /// Builds them; the world has the machines `m1` and `m2`.
    pub fn new(world: &World) -> Result<Self> {
        world.image(IMAGE, &["--allow-cck-update"])?;
        let build = |request: &AddSecret, machine: &str| -> Result<Vec<u8>> {
            let pem = std::fs::read(world.path(&format!("{machine}.pub")))?;
            let key = HostKey::new(PKey::public_key_from_pem(&pem)?, machine)?;
            Ok(request.build(&[key], RequestKeys::generate()?)?)
        };
        let of = |image: &str, secret: Secret| -> Result<AddSecret> {
            let image = ImageTags::read(&world.path(&format!("{image}.hdr")))?;
            Ok(AddSecret {
                image,
                secret,
                extension: Extension::None,
                cuid: None,
                flags: 0,
                user_data: UserData::default(),
            })
        };
        let named = |name: &str| Secret::new(SecretClass::Association, SecretId::of_name(name), &[7; 32], name);
        let built = |name: &str| -> Result<Vec<u8>> { build(&of(IMAGE, named(name)?)?, "m1") };
        let mut tampered = built("a")?;
        if let Some(last) = tampered.last_mut() {
            *last ^= 1;
        }
        let mut cuid = of(IMAGE, named("b")?)?;
        cuid.cuid = Some([0x42; 16]);
        let mut flag = of(IMAGE, named("a")?)?;
        flag.flags = 1;
        let mut extended = of(IMAGE, named("a")?)?;
        extended.extension = Extension::Simple(Zeroizing::new([1; 32]));
        let update = Secret::new(SecretClass::UpdateCck, SecretId([0; 32]), &[9; 32], "cck")?;
        let all = [
            ("old", built("old")?),
            ("a", built("a")?),
            ("b", built("b")?),
            ("another_a", built("a")?),
            ("other_image", build(&of("image", named("a")?)?, "m1")?),
            ("other_host", build(&of(IMAGE, named("a")?)?, "m2")?),
            ("tampered", tampered),
            ("other_cuid", build(&cuid, "m1")?),
            ("unknown_flag", build(&flag, "m1")?),
            ("extended", build(&extended, "m1")?),
            ("update_cck", build(&of(IMAGE, update)?, "m1")?),
        ];
        Ok(Self(all.into_iter().map(|(name, request)| (name, STANDARD.encode(request))).collect()))
    }

    fn requests(&self, names: &[&str]) -> Value {
        let request = |name: &&str| json!({"content": self.0.get(*name)});
        json!({"requests": names.iter().map(request).collect::<Vec<_>>(), "timeout": 0})
    }
}
