//! The table of cases.

use super::settings::Setting;
use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use serde_json::Value;

/// One thing that goes wrong; `scenarios.yaml` says what its fields are.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    pub id: String,
    rows: Vec<String>,
    pub task: Task,
    pub start: Option<Value>,
    pub prep: Option<Prep>,
    pub set: Option<Value>,
    pub give: Option<Vec<String>>,
    pub args: Option<Value>,
    #[serde(default)]
    code: Codes,
    pub warns: Option<String>,
    #[serde(default)]
    under: Vec<Value>,
    #[serde(default)]
    pub killed: bool,
    #[serde(default)]
    pub unheard: bool,
    #[serde(default)]
    pub heal: Vec<Value>,
    #[serde(default)]
    pub reboot: bool,
}

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Task {
    Add,
    Lock,
    Bind,
    Release,
    Facts,
}

impl Task {
    /// Whether it works on queues.
    pub fn is_about_queues(self) -> bool {
        matches!(self, Self::Bind | Self::Release)
    }
}

/// What is done beforehand, besides what the task needs anyhow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Prep {
    /// The store is locked by somebody else.
    Lock,
    /// It is locked before the secrets that the task wants are in it.
    LockEarly,
    /// Secret `a` is in the store twice.
    Twice,
    /// Secret `a` is not in the store.
    NoSecret,
}

/// The codes that may come: nothing (success), one, or any of several.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(untagged)]
enum Codes {
    #[default]
    None,
    One(String),
    Any(Vec<Option<String>>),
}

impl Case {
    /// The codes that are promised under this setting; `None` stands for success.
    pub fn codes(&self, setting: &Setting) -> Vec<Option<String>> {
        let applies = |rule: &&Value| {
            let mut conditions = rule.as_object().into_iter().flatten().filter(|(name, _)| *name != "code");
            conditions.all(|(name, value)| setting.is(name, value))
        };
        if let Some(rule) = self.under.iter().find(applies) {
            return vec![rule["code"].as_str().map(str::to_owned)];
        }
        match &self.code {
            Codes::None => vec![None],
            Codes::One(code) => vec![Some(code.clone())],
            Codes::Any(codes) => codes.clone(),
        }
    }

    /// Whether its faults are the answers themselves, which nothing else decides about.
    pub fn gives_the_answer(&self) -> bool {
        let faults = self.set.as_ref().and_then(|set| set["faults"].as_array());
        let answers = |fault: &Value| ["errno", "uv_rc", "ap_rc"].iter().any(|key| !fault[key].is_null());
        self.switches().is_empty() && faults.is_some_and(|faults| faults.iter().all(answers))
    }

    /// The switches that decide about its code or that it is the row of.
    pub fn switches(&self) -> Vec<&str> {
        let of_rows = self.rows.iter().filter_map(|row| row.strip_prefix("switch."));
        let of_codes = self.under.iter().filter_map(Value::as_object).flatten().map(|(name, _)| name.as_str());
        of_rows.chain(of_codes.filter(|name| *name != "code")).collect()
    }
}

/// All cases.
pub fn all() -> Result<Vec<Case>> {
    let path = e2e::place::repository().join("tests/guest/scenarios.yaml");
    let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let cases: Vec<Case> = serde_yaml::from_str(&text).context("scenarios.yaml")?;
    for case in &cases {
        ensure!(case.task == Task::Add || case.give.is_none(), "{}: only add is given requests", case.id);
        for name in case.switches() {
            ensure!(super::settings::is_switch(name), "{}: {name} is no switch", case.id);
        }
    }
    Ok(cases)
}
