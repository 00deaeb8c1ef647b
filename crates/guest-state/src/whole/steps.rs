//! How each step of a run went, or would.

use crate::store;
use ansible_contract::{Diff, Failure, Outcome};
use fault::Fault;
use serde::Serialize;
use serde_json::{Map, Value};

/// The steps in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[cfg_attr(feature = "docs", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// The guest runs on an allowed machine.
    Machine,
    /// Its secrets are added.
    Add,
    /// They are in the store.
    Verify,
    /// The store is locked.
    Lock,
    /// Its queues are bound and associated.
    Bind,
    /// The guest does the same at each boot.
    AtBoot,
    /// It answers an attestation request. That changes nothing.
    Attest,
}

/// The state of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "docs", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// There was nothing to do.
    Unchanged,
    /// It was done.
    Changed,
    /// Check mode: it would be done.
    WouldChange,
    /// It could not be done; in check mode, it could not.
    Failed,
    /// A step before it failed.
    NotReached,
}

/// One step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "docs", derive(schemars::JsonSchema))]
pub struct StepReport {
    /// Which.
    pub step: Step,
    /// How it stands.
    pub state: State,
    /// Error code, if it failed or cannot be known.
    pub code: Option<String>,
    /// The error as a sentence, or what was done or would be done.
    pub detail: Option<String>,
    /// Whether the guest is as wanted in this step: in check mode as it is now, otherwise after the run. Null if that
    /// cannot be known.
    pub right: Option<bool>,
}

/// What is told of a run: its steps, and what they say together.
#[derive(Debug)]
pub struct Steps {
    predicted: bool,
    /// In their order; those that nobody asked for are not among them.
    pub reports: Vec<StepReport>,
    /// Whether anything was changed, or would be.
    pub changed: bool,
    /// Warnings of all steps.
    pub warnings: Vec<String>,
    /// What changed, or would.
    pub diff: Vec<Diff>,
    /// Check mode: not all could be known.
    pub partial: bool,
    /// Why the run failed: what its first failing step said.
    pub fault: Option<Fault>,
    /// What that step has for playbooks to test.
    pub facts: Map<String, Value>,
}

impl Steps {
    /// Nothing of what is `asked` for was reached yet.
    pub fn new(asked: impl IntoIterator<Item = Step>, predicted: bool) -> Self {
        let not_reached = |step| StepReport { step, state: State::NotReached, code: None, detail: None, right: None };
        Self {
            predicted,
            reports: asked.into_iter().map(not_reached).collect(),
            changed: false,
            warnings: Vec::new(),
            diff: Vec::new(),
            partial: false,
            fault: None,
            facts: Map::new(),
        }
    }

    /// Whether a step failed.
    pub fn is_over(&self) -> bool {
        self.fault.is_some()
    }

    /// Whether all that fails is that nothing shows of a request whether it was added.
    pub fn lacks_only_an_outcome(&self) -> bool {
        let mut failed = self.reports.iter().filter(|told| told.state == State::Failed);
        failed.all(|told| told.code.as_deref().is_some_and(store::is_unknown))
    }

    /// Takes up how a step went, and gives its report.
    pub fn take<R>(&mut self, step: Step, answer: Result<Outcome<R>, Failure<R>>) -> Option<R> {
        let (report, state, fault, right, detail) = match answer {
            Ok(outcome) => {
                self.changed |= outcome.changed;
                self.warnings.extend(outcome.warnings);
                self.diff.extend(outcome.diff);
                self.partial |= outcome.predicted_partial;
                let state = match (outcome.changed, self.predicted) {
                    (false, _) => State::Unchanged,
                    (true, false) => State::Changed,
                    (true, true) => State::WouldChange,
                };
                (Some(outcome.report), state, None, Some(state != State::WouldChange), outcome.msg)
            }
            Err(failure) => {
                self.changed |= failure.changed && !self.predicted;
                self.warnings.extend(failure.warnings);
                self.diff.extend(failure.diff);
                for (fact, value) in failure.facts {
                    self.facts.entry(fact).or_insert(value);
                }
                let (detail, right) = (failure.fault.to_string(), verdict(&failure.fault));
                (failure.report.map(|report| *report), State::Failed, Some(failure.fault), right, detail)
            }
        };
        if let Some(told) = self.of(step) {
            *told = StepReport {
                step,
                state,
                code: fault.as_ref().map(|fault| fault.code.name.to_owned()),
                detail: Some(detail),
                right,
            };
        }
        self.fault = self.fault.take().or(fault);
        report
    }

    /// The same for a step that is done although the plan as a whole is not.
    pub fn take_done<R>(&mut self, step: Step, answer: Result<Outcome<R>, Failure<R>>) -> Option<R> {
        self.predicted = false;
        self.take(step, answer)
    }

    fn of(&mut self, step: Step) -> Option<&mut StepReport> {
        self.reports.iter_mut().find(|told| told.step == step)
    }

    /// Takes back the verdict on a step: it cannot be known. `why` is told, if a fault does not say it already.
    pub fn unknown(&mut self, step: Step, why: Option<&Fault>) {
        if let Some(told) = self.of(step) {
            told.right = None;
            if let Some(fault) = why {
                told.code = Some(fault.code.name.to_owned());
                told.detail = Some(fault.to_string());
            }
        }
    }

    /// The same, unless the step is known to be wrong.
    pub fn unknown_unless_wrong(&mut self, step: Step) {
        if let Some(told) = self.of(step).filter(|told| told.state != State::Failed) {
            told.right = None;
        }
    }

    /// A step that is fine once those before it are done, and is not yet.
    pub fn not_yet(&mut self, step: Step, detail: &str) {
        if let Some(told) = self.of(step).filter(|told| told.right == Some(true)) {
            told.right = Some(false);
            told.detail = Some(detail.to_owned());
        }
    }

    /// A run that writes nothing because a step would fail: what would have been done was not reached.
    pub fn nothing_written(&mut self) {
        for told in self.reports.iter_mut().filter(|told| told.state == State::WouldChange) {
            told.state = State::NotReached;
        }
        if let Some(told) = self.of(Step::Attest).filter(|told| told.state != State::Failed) {
            *told = StepReport { step: Step::Attest, state: State::NotReached, code: None, detail: None, right: None };
        }
        self.changed = false;
        self.diff.clear();
    }

    /// One sentence on the whole.
    pub fn sentence(&self) -> String {
        let names = |state| -> Vec<String> {
            let of_state = self.reports.iter().filter(|told| told.state == state);
            of_state.map(|told| told.step.word().to_owned()).collect()
        };
        let (done, would) = (names(State::Changed), names(State::WouldChange));
        let is_right = self.reports.iter().all(|told| told.right == Some(true));
        match (done.is_empty(), would.is_empty()) {
            (true, true) if is_right => "The guest is as wanted.".into(),
            (true, true) => {
                "Nothing more can be done for the guest; see its steps for what is wrong or unknown.".into()
            }
            (false, _) if is_right => format!("The guest is as wanted now; changed: {}.", done.join(", ")),
            (false, _) => format!("As much as possible was done; changed: {}.", done.join(", ")),
            (true, false) => format!("The guest is not as wanted; would change: {}.", would.join(", ")),
        }
    }
}

/// What a fault says of the guest: that it is not as wanted, or that this cannot be known.
fn verdict(fault: &Fault) -> Option<bool> {
    let nothing_known = [
        super::codes::MACHINE_UNKNOWN,
        store::codes::OUTCOME_UNKNOWN,
        pv_guest::codes::LIST_INCOMPLETE,
        pv_guest::codes::ATTRIBUTE_UNREADABLE,
    ];
    if nothing_known.contains(&fault.code) { None } else { Some(false) }
}

impl Step {
    /// As results spell it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Machine => "machine",
            Self::Add => "add",
            Self::Verify => "verify",
            Self::Lock => "lock",
            Self::Bind => "bind",
            Self::AtBoot => "at_boot",
            Self::Attest => "attest",
        }
    }
}
