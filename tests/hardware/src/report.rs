//! The report. What is in it is numbers, words of this program, and the kernel's release: the types have no room for texts
//! that a machine, a card or a secret could be known by.

use crate::questions::{Part, Question};
use fault::Answer;
use nix::errno::Errno;
use serde::{Serialize, Serializer};
use std::time::Duration;

/// Of the report's form.
pub const VERSION: u32 = 1;

/// All of it.
#[derive(Debug, Serialize)]
pub struct Report {
    /// See [`VERSION`].
    pub version: u32,
    /// The version of this program.
    pub program: &'static str,
    /// Where it ran.
    pub system: System,
    /// What was asked, and what was not.
    pub answers: Vec<Finding>,
}

/// What is known of the place, and would be the same on many others.
#[derive(Debug, Serialize)]
pub struct System {
    /// The kernel.
    pub kernel: Release,
    /// Names of the ultravisor's calls; none where the kernel does not show them.
    pub facilities: Vec<&'static str>,
    /// Names of its features.
    pub features: Vec<&'static str>,
    /// The store after everything was asked.
    pub store: Store,
    /// The cards.
    pub cards: Vec<CardFacts>,
}

/// What is known of the store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, serde::Deserialize)]
pub struct Store {
    /// How many secrets there are.
    pub secrets: Option<u16>,
    /// Whether it is locked, as modules conclude it.
    pub locked: Option<bool>,
}

/// What is known of a card.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct CardFacts {
    /// 8 for a CEX8.
    pub generation: u32,
    /// `accel`, `cca` or `ep11`.
    pub mode: &'static str,
    /// Online, configured and not checkstopped.
    pub usable: bool,
    /// How many queues of it there are.
    pub queues: usize,
    /// How many of those were bound before anything was asked.
    pub bound: usize,
}

/// A kernel's release, such as `6.12.95+deb12-s390x`.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Release(String);

impl Release {
    /// Of a text that is one; anything else is not repeated.
    pub fn new(text: &str) -> Self {
        let is_known = |c: char| c.is_ascii_alphanumeric() || ".-+_~".contains(c);
        let is_one = (1..=64).contains(&text.len()) && text.starts_with(|c: char| c.is_ascii_digit());
        Self(if is_one && text.chars().all(is_known) { text.to_owned() } else { "unknown".into() })
    }
}

/// What belongs to an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Number {
    /// A number.
    One(u64),
    /// Words in an order.
    Words(Vec<&'static str>),
}

/// What came of a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// This answer of its table, with what belongs to it.
    Observed(&'static str, Option<Number>),
    /// It was asked, and nothing follows; why.
    Inconclusive(&'static str),
    /// It was not asked; why.
    NotTried(&'static str),
}

/// Something that was done for a question, and what came of it.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Step {
    /// What was done.
    pub what: &'static str,
    /// The ultravisor's return code or the kernel's errno.
    #[serde(flatten)]
    pub answer: Numbers,
    /// What was read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shows: Option<&'static str>,
    /// How long it took.
    #[serde(rename = "ms", serialize_with = "milliseconds")]
    pub took: Duration,
}

/// The numbers of an answer.
#[derive(Clone, Copy, Debug, Default)]
pub struct Numbers(pub Answer);

impl Serialize for Numbers {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let hex = |number: u16| format!("0x{number:04x}");
        let uv_rc = self.0.uv_rc.map(|rc| ("uv_rc", hex(rc)));
        let uv_rrc = self.0.uv_rrc.filter(|rrc| *rrc != 0).map(|rrc| ("uv_rrc", hex(rrc)));
        let errno = self.0.errno.map(|number| ("errno", format!("{:?}", Errno::from_raw(number))));
        serializer.collect_map(uv_rc.into_iter().chain(uv_rrc).chain(errno))
    }
}

fn milliseconds<S: Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(time.as_micros() as f64 / 1000.0)
}

/// A question with what came of it.
#[derive(Debug, Serialize)]
pub struct Finding {
    id: &'static str,
    part: Part,
    does: &'static str,
    rows: &'static [&'static str],
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    answer: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    meaning: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<Number>,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    steps: Vec<Step>,
}

impl Finding {
    /// Puts them together.
    pub fn new(question: &'static Question, verdict: Verdict, steps: Vec<Step>) -> Self {
        let Question { id, part, does, rows, .. } = *question;
        let (state, answer, value, why) = match verdict {
            Verdict::Observed(answer, value) => ("observed", Some(answer), value, None),
            Verdict::Inconclusive(why) => ("inconclusive", None, None, Some(why)),
            Verdict::NotTried(why) => ("not_tried", None, None, Some(why)),
        };
        let meaning = answer.and_then(|answer| question.meaning(answer));
        Self { id, part, does, rows, state, answer, meaning, value, why, steps }
    }

    /// The name of its question.
    pub fn id(&self) -> &'static str {
        self.id
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_that_could_be_anything_else_is_not_repeated() {
        assert_eq!(Release::new("6.12.95+deb12-s390x").0, "6.12.95+deb12-s390x");
        for text in ["", "secret", "6.12 host.example", "6.12\n", &"6".repeat(65)] {
            assert_eq!(Release::new(text).0, "unknown", "{text}");
        }
    }

    #[test]
    fn a_step_shows_numbers_by_their_names_and_milliseconds() {
        let answer = Numbers(Answer { uv_rc: Some(0x104), uv_rrc: Some(0), errno: None });
        let step = Step { what: "sent", answer, shows: None, took: Duration::from_micros(1500) };
        let text = serde_json::to_string(&step).unwrap();
        assert_eq!(text, r#"{"what":"sent","uv_rc":"0x0104","ms":1.5}"#);
        let answer = Numbers(Answer { errno: Some(5), ..Answer::default() });
        let text = serde_json::to_string(&Step { answer, shows: Some("bound"), ..step }).unwrap();
        assert_eq!(text, r#"{"what":"sent","errno":"EIO","shows":"bound","ms":1.5}"#);
    }
}
