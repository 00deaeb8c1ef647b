//! Tests of the lenient reading.

use super::*;
use crate::{HexText, NameText};
use serde::Deserialize;

#[derive(Deserialize, Debug, Default, PartialEq)]
#[serde(default)]
struct Options {
    name: Option<String>,
    force: bool,
    timeout: u32,
    flags: Vec<String>,
    mode: Option<Mode>,
    entries: Vec<Entry>,
    mkvp: Option<HexText<32, 64>>,
}

#[derive(Deserialize, Debug, PartialEq)]
#[serde(rename_all = "snake_case")]
enum Mode {
    Ep11,
    Accel,
}

#[derive(Deserialize, Debug, PartialEq)]
struct Entry {
    mode: String,
    serialnr: Option<String>,
}

fn read(json: &str) -> fault::Result<Options> {
    from_value(&serde_json::from_str(json).unwrap(), &BTreeMap::new())
}

#[test]
fn key_value_text_and_yaml_types_give_the_same_options() {
    let text = read(
        r#"{"force": "yes", "timeout": " 8 ", "flags": "a, b", "mode": "ep11", "entries": "[{\"mode\": \"accel\"}]"}"#,
    );
    let typed =
        read(r#"{"force": true, "timeout": 8, "flags": ["a", "b"], "mode": "ep11", "entries": [{"mode": "accel"}]}"#);
    assert_eq!(text, typed);
    let typed = typed.unwrap();
    assert_eq!((typed.force, typed.timeout, typed.flags.len(), typed.entries.len()), (true, 8, 2, 1));
}

#[test]
fn null_is_as_good_as_not_given() {
    assert_eq!(read(r#"{"force": null, "timeout": null, "name": null, "entries": null}"#).unwrap(), Options::default());
}

#[test]
fn a_mistyped_option_is_refused_with_the_nearest_name_wherever_it_stands() {
    let fault = read(r#"{"timeuot": 3}"#).unwrap_err();
    assert_eq!((fault.code, fault.detail.as_str()), (codes::UNKNOWN_OPTION, "The option timeuot does not exist."));
    assert_eq!(fault.hint, "Did you mean timeout?");
    let fault = read(r#"{"entries": [{"mode": "ep11"}, {"mode": "ep11", "serialnumber": "x"}]}"#).unwrap_err();
    assert_eq!(fault.detail, "The option entries[1].serialnumber does not exist.");
    let fault = read(r#"{"zzzzzzzz": 3}"#).unwrap_err();
    assert!(fault.hint.starts_with("There are: name, force"), "{fault}");
}

#[test]
fn a_value_of_the_wrong_kind_is_named_by_its_place_and_never_quoted() {
    for (json, place) in [
        (r#"{"force": "s3cret"}"#, "force"),
        (r#"{"timeout": "s3cret"}"#, "timeout"),
        (r#"{"timeout": -1}"#, "timeout"),
        (r#"{"timeout": 1.5}"#, "timeout"),
        (r#"{"name": ["s3cret"]}"#, "name"),
        (r#"{"entries": "s3cret"}"#, "entries[0]"),
        (r#"{"entries": "[s3cret"}"#, "entries"),
        (r#"{"mode": "s3cret"}"#, "mode"),
    ] {
        let fault = read(json).unwrap_err();
        assert_eq!(fault.code, codes::INVALID, "{json}");
        assert!(fault.detail.starts_with(&format!("The option {place} ")), "{fault}");
        assert!(!fault.to_string().contains("s3cret"), "{fault}");
    }
}

#[test]
fn a_required_option_that_is_missing_is_named() {
    let fault = read(r#"{"entries": [{}]}"#).unwrap_err();
    assert_eq!(
        (fault.code, fault.detail.as_str()),
        (codes::MISSING, "The option entries[0].mode is required and not given.")
    );
}

#[test]
fn a_wrong_choice_lists_the_right_ones() {
    let fault = read(r#"{"mode": "ep12"}"#).unwrap_err();
    assert_eq!(fault.detail, "The option mode must be one of ep11, accel.");
    assert_eq!(fault.hint, "Did you mean ep11?");
}

#[test]
fn numbers_become_text_where_text_is_wanted_and_hex_where_hex_is_wanted() {
    let entry = read(r#"{"entries": [{"mode": "ep11", "serialnr": 1234567890123456}]}"#).unwrap();
    assert_eq!(entry.entries[0].serialnr.as_deref(), Some("1234567890123456"));
    let options = read(r#"{"mkvp": 291413670323774062310978647687069158291}"#).unwrap();
    assert_eq!(options.mkvp, Some(HexText("0xdb3c3b3c3f097dd55ec7eb0e7fdbcb93".into())));
    let options = read(r#"{"mkvp": "db3c"}"#).unwrap();
    assert_eq!(options.mkvp, Some(HexText("db3c".into())));
}

#[test]
fn a_name_that_yaml_made_a_number_or_a_boolean_must_be_quoted() {
    #[derive(Deserialize, Debug)]
    struct Named {
        name: NameText,
    }
    let read = |json: &str| from_value::<Named>(&serde_json::from_str(json).unwrap(), &BTreeMap::new());
    for json in [r#"{"name": true}"#, r#"{"name": 1.1}"#, r#"{"name": 493}"#] {
        let fault = read(json).unwrap_err();
        assert_eq!(fault.code, codes::QUOTE_NAME, "{json}");
        assert!(fault.detail.starts_with("The option name ") && fault.detail.contains("in quotes"), "{fault}");
    }
    assert_eq!(&*read(r#"{"name": "1.10"}"#).unwrap().name, "1.10");
    assert_eq!(read(r#"{"name": ["a"]}"#).unwrap_err().code, codes::INVALID);
}

#[test]
fn an_integer_outside_its_range_is_refused_with_the_range() {
    for json in [
        r#"{"timeout": -1}"#,
        r#"{"timeout": 4294967296}"#,
        r#"{"timeout": "1.5"}"#,
        r#"{"timeout": 1e99}"#,
        r#"{"timeout": true}"#,
        r#"{"timeout": []}"#,
    ] {
        let fault = read(json).unwrap_err();
        assert_eq!(fault.code, codes::INVALID, "{json}");
        assert!(fault.detail.starts_with("The option timeout must be an integer from 0 to 4294967295"), "{fault}");
    }
}

#[test]
fn a_number_that_may_have_been_decimal_digits_must_be_quoted() {
    let fault = read(r#"{"mkvp": 12345678}"#).unwrap_err();
    assert_eq!(fault.code, codes::QUOTE_HEX);
    assert!(fault.detail.contains("mkvp"), "{fault}");
}
