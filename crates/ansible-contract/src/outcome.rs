//! What a module gives back, and how it becomes Ansible's JSON.

use fault::Fault;
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::io::Write as _;

/// One changed thing, before and after, as lines of `key: value`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diff {
    /// What is changed, such as a path or an APQN.
    pub subject: String,
    /// Lines before; empty if it did not exist.
    pub before: String,
    /// Lines after; empty if it is gone.
    pub after: String,
}

/// A task that did what was asked, or in check mode says what it would do.
#[derive(Clone, Debug)]
pub struct Outcome<R> {
    /// Whether anything was changed, or would be.
    pub changed: bool,
    /// One sentence.
    pub msg: String,
    /// Things the operator should know.
    pub warnings: Vec<String>,
    /// One entry for each changed thing.
    pub diff: Vec<Diff>,
    /// Check mode only: what an earlier task may still make is not there yet, so the prediction has gaps.
    pub predicted_partial: bool,
    /// The module's own results.
    pub report: R,
}

/// A task that failed.
#[derive(Clone, Debug)]
pub struct Failure<R> {
    /// Why.
    pub fault: Fault,
    /// Whether something had been changed before.
    pub changed: bool,
    /// Things the operator should know beside the failure.
    pub warnings: Vec<String>,
    /// What was changed before the failure.
    pub diff: Vec<Diff>,
    /// The module's own results so far.
    pub report: Option<Box<R>>,
    /// What playbooks may test beside the code, such as `reboot_required`: in `error` and beside it.
    pub facts: Map<String, Value>,
}

impl<R> From<Fault> for Failure<R> {
    fn from(fault: Fault) -> Self {
        Self { fault, changed: false, warnings: Vec::new(), diff: Vec::new(), report: None, facts: Map::new() }
    }
}

/// A fault that does not stop the task, as a line of `warnings` that ends with its code.
pub fn warning(fault: &Fault) -> String {
    format!("{fault} [{}]", fault.code.name)
}

impl<R: Serialize> Outcome<R> {
    pub(crate) fn to_json(&self, with_diff: bool, invocation: Option<Value>) -> Value {
        let mut map = own_results(Some(&self.report)).unwrap_or_else(|_| Map::new());
        map.insert("changed".into(), self.changed.into());
        map.insert("msg".into(), self.msg.as_str().into());
        if self.predicted_partial {
            map.insert("predicted".into(), "partial".into());
        }
        common(map, &self.warnings, &self.diff, with_diff, invocation)
    }
}

impl<R: Serialize> Failure<R> {
    pub(crate) fn to_json(&self, with_diff: bool, invocation: Option<Value>) -> Value {
        let mut map = own_results(self.report.as_deref()).unwrap_or_else(|_| Map::new());
        map.insert("changed".into(), self.changed.into());
        map.insert("failed".into(), true.into());
        map.insert("msg".into(), self.fault.detail.as_str().into());
        map.extend(self.facts.clone());
        map.insert("error".into(), error_json(&self.fault, self.facts.clone()));
        common(map, &self.warnings, &self.diff, with_diff, invocation)
    }
}

/// The fault alone, as `error` of a result or of one entry of it.
pub fn fault_json(fault: &Fault) -> Value {
    error_json(fault, Map::new())
}

fn error_json(fault: &Fault, mut error: Map<String, Value>) -> Value {
    error.insert("code".into(), fault.code.name.into());
    error.insert("detail".into(), fault.detail.as_str().into());
    error.insert("hint".into(), fault.hint.as_str().into());
    let answer = fault.answer;
    let numbers =
        [("uv_rc", answer.uv_rc.map(i32::from)), ("uv_rrc", answer.uv_rrc.map(i32::from)), ("errno", answer.errno)];
    error.extend(numbers.into_iter().filter_map(|(key, number)| Some((key.to_owned(), number?.into()))));
    Value::Object(error)
}

fn own_results<R: Serialize>(report: Option<&R>) -> serde_json::Result<Map<String, Value>> {
    match report.map(serde_json::to_value).transpose()? {
        Some(Value::Object(map)) => Ok(map),
        _ => Ok(Map::new()),
    }
}

fn common(
    mut map: Map<String, Value>,
    warnings: &[String],
    diff: &[Diff],
    with_diff: bool,
    invocation: Option<Value>,
) -> Value {
    if !warnings.is_empty() {
        map.insert("warnings".into(), warnings.into());
    }
    if with_diff {
        let diff = diff.iter().map(
            |d| json!({"before_header": d.subject, "after_header": d.subject, "before": d.before, "after": d.after}),
        );
        map.insert("diff".into(), diff.collect());
    }
    if let Some(args) = invocation {
        map.insert("invocation".into(), json!({ "module_args": args }));
    }
    Value::Object(map)
}

/// Prints the one JSON object; false if standard output would not take it.
pub(crate) fn print(result: &Value) -> bool {
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{result}").and_then(|()| stdout.flush()).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    mod codes {
        fault::codes! { LOCKED = "uv.store_locked", "Locked."; }
    }

    #[derive(Serialize)]
    struct Report {
        total: u32,
    }

    #[test]
    fn a_failure_carries_its_code_its_numbers_and_what_was_done_already() {
        let mut failure = Failure::from(Fault::new(codes::LOCKED, "It is locked.").hint("Reboot.").uv(0x102, 0));
        failure.changed = true;
        failure.report = Some(Box::new(Report { total: 3 }));
        failure.facts.insert("reboot_required".into(), true.into());
        let json = failure.to_json(false, Some(json!({"path": "x"})));
        assert_eq!(
            json,
            json!({"failed": true, "changed": true, "msg": "It is locked.", "total": 3, "reboot_required": true,
                   "error": {"code": "uv.store_locked", "detail": "It is locked.", "hint": "Reboot.", "uv_rc": 0x102, "uv_rrc": 0, "reboot_required": true},
                   "invocation": {"module_args": {"path": "x"}}})
        );
    }

    #[test]
    fn the_diff_is_given_only_when_asked_for_and_there_is_never_a_top_level_rc() {
        let diff =
            vec![Diff { subject: "00.0001".into(), before: "bind: unbound\n".into(), after: "bind: bound\n".into() }];
        let outcome = Outcome {
            changed: true,
            msg: "Done.".into(),
            warnings: vec![],
            diff,
            predicted_partial: false,
            report: Report { total: 1 },
        };
        assert_eq!(outcome.to_json(false, None).get("diff"), None);
        let json = outcome.to_json(true, None);
        assert_eq!(json["diff"][0]["before_header"], "00.0001");
        assert_eq!(json.get("rc"), None);
    }
}
