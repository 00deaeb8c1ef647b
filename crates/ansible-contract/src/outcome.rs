//! What a module gives back, and how it becomes Ansible's JSON.

use fault::Fault;
use serde::{Serialize, Serializer};
use serde_json::{Map, Value, value::RawValue};
use std::io::{BufWriter, Write as _};

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

impl<R> Failure<R> {
    /// A task that came to an end over a fault, with what was done before.
    pub fn over(fault: Fault, done: Outcome<R>) -> Self {
        let Outcome { changed, warnings, diff, report, .. } = done;
        Self { fault, changed, warnings, diff, report: Some(Box::new(report)), facts: Map::new() }
    }
}

/// A fault that does not stop the task, as a line of `warnings` that ends with its code.
pub fn warning(fault: &Fault) -> String {
    format!("{fault} [{}]", fault.code.name)
}

impl<R: Serialize> Outcome<R> {
    pub(crate) fn printed<'a>(&'a self, with_diff: bool, invocation: Option<&'a RawValue>) -> Printed<'a, R> {
        Printed {
            report: Some(&self.report),
            changed: self.changed,
            failed: false,
            msg: &self.msg,
            predicted: self.predicted_partial.then_some("partial"),
            facts: None,
            error: None,
            warnings: &self.warnings,
            diff: with_diff.then_some(&self.diff),
            invocation: invocation.map(|module_args| Invocation { module_args }),
        }
    }
}

impl<R: Serialize> Failure<R> {
    pub(crate) fn printed<'a>(&'a self, with_diff: bool, invocation: Option<&'a RawValue>) -> Printed<'a, R> {
        Printed {
            report: self.report.as_deref(),
            changed: self.changed,
            failed: true,
            msg: &self.fault.detail,
            predicted: None,
            facts: Some(&self.facts),
            error: Some(error_json(&self.fault, self.facts.clone())),
            warnings: &self.warnings,
            diff: with_diff.then_some(&self.diff),
            invocation: invocation.map(|module_args| Invocation { module_args }),
        }
    }
}

/// The fault alone, as `error` of a result or of one entry of it.
pub fn fault_json(fault: &Fault) -> Value {
    error_json(fault, Map::new())
}

fn error_json(fault: &Fault, mut error: Map<String, Value>) -> Value {
    error.insert("code".into(), fault.code.name.into());
    error.insert("detail".into(), fault.detail.as_str().into());
    error.insert("hint".into(), fault.known_hint().into());
    let answer = fault.answer;
    let numbers =
        [("uv_rc", answer.uv_rc.map(i32::from)), ("uv_rrc", answer.uv_rrc.map(i32::from)), ("errno", answer.errno)];
    error.extend(numbers.into_iter().filter_map(|(key, number)| Some((key.to_owned(), number?.into()))));
    Value::Object(error)
}

/// The one JSON object that a module prints. It is written as it stands, never built up in memory: a report may have
/// thousands of entries.
#[derive(Serialize)]
pub(crate) struct Printed<'a, R> {
    changed: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    failed: bool,
    msg: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    predicted: Option<&'static str>,
    #[serde(flatten)]
    facts: Option<&'a Map<String, Value>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Value>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    warnings: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    diff: Option<&'a Vec<Diff>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    invocation: Option<Invocation<'a>>,
    /// The module's own results.
    #[serde(flatten)]
    report: Option<&'a R>,
}

#[derive(Serialize)]
struct Invocation<'a> {
    module_args: &'a RawValue,
}

impl Serialize for Diff {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { subject, before, after } = self;
        let pairs = [("before_header", subject), ("after_header", subject), ("before", before), ("after", after)];
        serializer.collect_map(pairs)
    }
}

/// Prints the one JSON object; false if standard output would not take it.
pub(crate) fn print<T: Serialize>(result: &T) -> bool {
    let mut stdout = BufWriter::new(std::io::stdout().lock());
    let printed = serde_json::to_writer(&mut stdout, result).map_err(std::io::Error::from);
    printed.and_then(|()| writeln!(stdout)).and_then(|()| stdout.flush()).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    mod codes {
        fault::codes! { LOCKED = "uv.store_locked", "Locked."; }
    }

    #[derive(Serialize)]
    struct Report {
        total: u32,
    }

    fn as_json(printed: &Printed<'_, Report>) -> Value {
        serde_json::from_str(&serde_json::to_string(printed).unwrap()).unwrap()
    }

    #[test]
    fn a_failure_carries_its_code_its_numbers_and_what_was_done_already() {
        let mut failure = Failure::from(Fault::new(codes::LOCKED, "It is locked.").hint("Reboot.").uv(0x102, 0));
        failure.changed = true;
        failure.report = Some(Box::new(Report { total: 3 }));
        failure.facts.insert("reboot_required".into(), true.into());
        let echo = RawValue::from_string(r#"{"path": "x"}"#.into()).unwrap();
        assert_eq!(
            as_json(&failure.printed(false, Some(&echo))),
            json!({"failed": true, "changed": true, "msg": "It is locked.", "total": 3, "reboot_required": true,
                   "error": {"code": "uv.store_locked", "detail": "It is locked.", "hint": "Reboot.", "uv_rc": 0x102, "uv_rrc": 0, "reboot_required": true},
                   "invocation": {"module_args": {"path": "x"}}})
        );
    }

    #[test]
    fn an_error_without_a_hint_has_null_and_never_an_empty_text() {
        let fault = Fault::new(codes::LOCKED, "It is locked.");
        assert_eq!(fault_json(&fault), json!({"code": "uv.store_locked", "detail": "It is locked.", "hint": null}));
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
        assert_eq!(as_json(&outcome.printed(false, None)).get("diff"), None);
        let json = as_json(&outcome.printed(true, None));
        assert_eq!(json["diff"][0]["before_header"], "00.0001");
        assert_eq!(json.get("rc"), None);
    }
}
