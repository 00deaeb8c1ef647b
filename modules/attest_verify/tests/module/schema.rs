//! The report is as its schema says.

use serde_json::Value;
use std::path::Path;

/// The schema of the report, as it is in the collection.
pub fn of_report() -> Value {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../collection/docs/attestation-report.schema.json");
    serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap()
}

/// Holds a value against the parts of JSON Schema that this one uses.
pub fn check(value: &Value, schema: &Value, at: &str) {
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    match &schema["type"] {
        Value::Null => {}
        Value::Array(kinds) => assert!(kinds.iter().any(|one| one == kind), "{at}: {value}"),
        one => assert_eq!(one, kind, "{at}: {value}"),
    }
    for (key, test) in schema.as_object().unwrap() {
        match (key.as_str(), value) {
            ("const", _) => assert_eq!(value, test, "{at}"),
            ("enum", _) => assert!(test.as_array().unwrap().contains(value), "{at}: {value}"),
            ("pattern", Value::String(text)) => assert!(fits(text, test.as_str().unwrap()), "{at}: {text}"),
            ("items", Value::Array(items)) => items.iter().for_each(|item| check(item, test, &format!("{at}[]"))),
            ("required", Value::Object(object)) => {
                test.as_array().unwrap().iter().for_each(|key| {
                    assert!(object.contains_key(key.as_str().unwrap()), "{at} has no {key}");
                });
            }
            ("properties", Value::Object(object)) => object.iter().for_each(|(key, value)| {
                let known = test.get(key).filter(|_| schema["additionalProperties"] == false);
                assert!(known.is_some(), "{at}.{key} is not in the schema");
                check(value, known.unwrap(), &format!("{at}.{key}"));
            }),
            _ => {}
        }
    }
}

/// The patterns of the schema: a prefix, then so many digits of one kind; or a time.
fn fits(text: &str, pattern: &str) -> bool {
    if pattern.contains('T') {
        return text.len() == 20 && text.ends_with('Z') && text.is_ascii();
    }
    let pattern = pattern.trim_start_matches('^').trim_end_matches('$');
    let (prefix, digits) = pattern.split_once("[0-9a-f]").unwrap();
    let count: usize = digits.trim_matches(['{', '}']).parse().unwrap();
    let hex =
        |text: &str| text.len() == count && text.bytes().all(|c| c.is_ascii_digit() || (b'a'..=b'f').contains(&c));
    text.strip_prefix(prefix).is_some_and(hex)
}
