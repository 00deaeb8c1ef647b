//! An argument that does not fit, and how the operator is told.

use crate::{codes, nearest::nearest};
use fault::{Code, Fault};
use serde::de;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt;

/// Recognised in [`Error::custom`], for a visitor cannot name a code.
pub(crate) const QUOTE_HEX_MESSAGE: &str =
    "arrived as a number that does not show its hex digits: write the value in quotes";

/// As [`QUOTE_HEX_MESSAGE`].
pub(crate) const QUOTE_NAME_MESSAGE: &str = "was turned into a number or a boolean by YAML, as happens to an unquoted 1.10, 00.0005, 0755 or yes: write it in quotes";

/// An argument that does not fit: where it stands, and why.
#[derive(Clone, Debug)]
pub(crate) struct Error {
    code: Code,
    path: String,
    reason: String,
    hint: String,
}

impl Error {
    pub(super) fn new(code: Code, reason: impl Into<String>) -> Self {
        Self { code, path: String::new(), reason: reason.into(), hint: String::new() }
    }

    pub(super) fn expected(what: &str, got: &Value) -> Self {
        let kind = match got {
            Value::Null => "nothing",
            Value::Bool(_) => "a boolean",
            Value::Number(_) => "a number",
            // Never the text itself: it may be a secret put into the wrong option.
            Value::String(_) => "a text that is not one",
            Value::Array(_) => "a list",
            Value::Object(_) => "a dictionary",
        };
        Self::new(codes::INVALID, format!("must be {what}, not {kind}"))
    }

    pub(crate) fn within(mut self, part: &str) -> Self {
        let joint = if self.path.is_empty() || self.path.starts_with('[') { "" } else { "." };
        self.path = format!("{part}{joint}{}", self.path);
        self
    }

    pub(crate) fn into_fault(self, variables: &BTreeMap<String, String>) -> Fault {
        let option = self.path.split(['.', '[']).next().unwrap_or_default();
        let variable = variables.get(option).map_or_else(String::new, |name| format!(" (variable {name})"));
        let subject =
            if self.path.is_empty() { "An option".into() } else { format!("The option {}{variable}", self.path) };
        let hint = if self.hint.is_empty() { hint_for(self.code).to_owned() } else { self.hint };
        Fault::new(self.code, format!("{subject} {}.", self.reason)).hint(hint)
    }
}

/// What to do where nothing better is known than which kind of error it is.
fn hint_for(code: Code) -> &'static str {
    match code {
        codes::QUOTE_HEX => "In YAML: mkvp: \"0x0123...\". For a variable, quote it where its value is set.",
        codes::QUOTE_NAME => "In YAML: name: \"1.10\". For a variable, quote it where its value is set.",
        codes::MISSING => "Give it; ansible-doc shows which options the module needs.",
        _ => "Correct it; ansible-doc shows what the option takes, with examples.",
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

impl std::error::Error for Error {}

impl de::Error for Error {
    fn custom<T: fmt::Display>(message: T) -> Self {
        let message = message.to_string();
        let code = match message.as_str() {
            QUOTE_HEX_MESSAGE => codes::QUOTE_HEX,
            QUOTE_NAME_MESSAGE => codes::QUOTE_NAME,
            _ => codes::INVALID,
        };
        Self::new(code, message)
    }

    fn missing_field(field: &'static str) -> Self {
        let mut error = Self::new(codes::MISSING, "is required and not given");
        error.path = field.into();
        error
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        let mut error = Self::new(codes::UNKNOWN_OPTION, "does not exist");
        error.hint = nearest(field, expected)
            .map_or_else(|| format!("There are: {}.", expected.join(", ")), |name| format!("Did you mean {name}?"));
        error.within(field)
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        let meant = nearest(variant, expected).map_or_else(String::new, |name| format!(" Did you mean {name}?"));
        let mut error = Self::new(codes::INVALID, format!("must be one of {}", expected.join(", ")));
        error.hint = meant.trim_start().to_owned();
        error
    }

    fn invalid_type(_: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::new(codes::INVALID, format!("must be {expected}"))
    }

    fn invalid_value(_: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::new(codes::INVALID, format!("must be {expected}"))
    }
}
