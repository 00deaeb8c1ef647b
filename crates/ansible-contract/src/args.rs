//! The arguments file: one flat JSON object of options and Ansible's own `_ansible_*` keys.

use crate::{codes, de, values};
use fault::{Fault, Result};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd as _;
use zeroize::{Zeroize, Zeroizing};

/// No task has arguments as large as this (requests are at most 1 MiB each).
const MAX_ARGS_LEN: u64 = 256 << 20;
/// What a pipe holds is read at once.
const PIECE: usize = 64 << 10;

/// How the task is run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Context {
    /// Nothing may be changed; say what would be.
    pub check_mode: bool,
    /// The result should show what changes.
    pub diff: bool,
    /// The result should repeat the options. ansible-core 2.21 and later say so for each task (setting `INJECT_INVOCATION`);
    /// earlier ones always want it.
    pub invocation: bool,
}

/// A JSON value that is wiped when dropped, for it may hold secrets.
pub(crate) struct Wiped(pub(crate) Value);

impl Drop for Wiped {
    fn drop(&mut self) {
        wipe(&mut self.0);
    }
}

/// Parsed arguments.
pub(crate) struct Args {
    options: Wiped,
    context: Context,
    /// The names of the variables that options were taken from, by option.
    variables: BTreeMap<String, String>,
}

/// By this key ansible-core says [`Context::invocation`] (its `lib/ansible/plugins/action/__init__.py`).
const INVOCATION: &str = "_ansible_inject_invocation";

/// By this key the collection's action plugin hands over [`Args::variables`].
const VARIABLES: &str = "_ansible_seguest_variables";

fn wipe(value: &mut Value) {
    match value {
        Value::String(text) => text.zeroize(),
        Value::Array(list) => list.iter_mut().for_each(wipe),
        Value::Object(map) => map.values_mut().for_each(wipe),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Reads the arguments from the path in argv[1], which may be a pipe, or from standard input if it is `-`.
pub(crate) fn read(argument: Option<OsString>) -> Result<Args> {
    let path = argument.ok_or_else(|| {
        Fault::new(
            codes::UNREADABLE,
            "This is an Ansible module: it expects the path of its JSON arguments file, or - for standard input.",
        )
        .hint("Run it through Ansible, or with a file such as {\"_ansible_check_mode\": true}.")
    })?;
    // Not by way of the standard library's buffer for it, which is never wiped.
    let standard_input = || std::io::stdin().as_fd().try_clone_to_owned().map(File::from);
    let file = if path == "-" { standard_input() } else { File::open(&path) };
    let text = file.and_then(|file| read_wiped(file, MAX_ARGS_LEN + 1)).map_err(|e| {
        Fault::new(codes::UNREADABLE, format!("The arguments {} cannot be read: {e}.", path.to_string_lossy()))
            .hint("Check the path of the file and the permissions of the user who runs the module.")
    })?;
    if text.len() as u64 > MAX_ARGS_LEN {
        return Err(Fault::new(codes::UNREADABLE, "The arguments are larger than 256 MiB.")
            .hint("Split the task into several."));
    }
    from_json(&text)
}

/// At most `limit` bytes. A buffer that is too small is copied and wiped: growing by itself would leave pieces of secrets in memory.
fn read_wiped(mut source: impl Read, limit: u64) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut text = Zeroizing::new(Vec::with_capacity(PIECE));
    loop {
        let filled = text.len();
        if text.capacity() - filled < PIECE {
            let mut larger = Zeroizing::new(Vec::with_capacity(2 * text.capacity()));
            larger.extend_from_slice(&text);
            text = larger;
        }
        text.resize(filled + PIECE, 0);
        let read = match source.read(text.get_mut(filled..).unwrap_or_default()) {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => 0,
            Ok(0) => {
                text.truncate(filled);
                return Ok(text);
            }
            read => read?,
        };
        text.truncate(filled + read);
        if text.len() as u64 >= limit {
            return Ok(text);
        }
    }
}

/// Options and context from the text of the arguments, as [`crate::run`] takes them.
///
/// # Errors
/// The `args.*` codes.
pub fn parse_arguments<O: DeserializeOwned>(text: &[u8]) -> Result<(O, Context)> {
    from_json(text)?.parse()
}

fn from_json(text: &[u8]) -> Result<Args> {
    if values::are_too_many(text) {
        return Err(Fault::new(codes::UNREADABLE, format!("The arguments contain more than {} values.", values::MAX))
            .hint("Split the task into several."));
    }
    let no_object = |what: String| {
        Fault::new(codes::UNREADABLE, format!("The arguments are not one JSON object: {what}."))
            .hint("Give the module's options as JSON, such as {\"name\": \"value\"}; Ansible does that automatically.")
    };
    // Line and column only: serde_json's message may quote the text, and the text may be a secret.
    let mut options = serde_json::from_slice(text)
        .map(Wiped)
        .map_err(|e| no_object(format!("line {}, column {}", e.line(), e.column())))?;
    let Value::Object(map) = &mut options.0 else { return Err(no_object("they have another type".into())) };
    let word = |map: &Map<String, Value>, key: &str| map.get(key).is_some_and(|value| de::as_bool(value) == Some(true));
    let context = Context {
        check_mode: word(map, "_ansible_check_mode"),
        diff: word(map, "_ansible_diff"),
        invocation: !map.contains_key(INVOCATION) || word(map, INVOCATION),
    };
    let name = |(option, variable): (&String, &Value)| {
        Some((option.clone(), variable.as_str().filter(|text| is_a_name(text))?.to_owned()))
    };
    let variables = map.get(VARIABLES).and_then(Value::as_object).into_iter().flatten().filter_map(name).collect();
    // These keys change with Ansible's version: none that we do not know may disturb.
    map.retain(|key, value| {
        let own = key.starts_with("_ansible_");
        if own {
            wipe(value);
        }
        !own
    });
    Ok(Args { options, context, variables })
}

/// What goes into messages is at most a name.
fn is_a_name(text: &str) -> bool {
    text.len() < 64 && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

impl Args {
    pub(crate) fn parse<O: DeserializeOwned>(self) -> Result<(O, Context)> {
        Ok((de::from_value(&self.options.0, &self.variables)?, self.context))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Deserialize, Debug, PartialEq)]
    struct Options {
        name: String,
    }

    #[derive(Deserialize, Debug)]
    struct Lists {
        #[expect(dead_code, reason = "only refusals are looked at")]
        a: Vec<Value>,
    }

    #[test]
    fn ansibles_own_keys_set_the_context_and_are_never_options() {
        let args = from_json(
            br#"{"_ansible_check_mode": true, "_ansible_diff": "yes", "_ansible_new_in_3": {}, "name": "x"}"#,
        );
        let (options, context) = args.unwrap().parse::<Options>().unwrap();
        assert_eq!(options, Options { name: "x".into() });
        assert_eq!(context, Context { check_mode: true, diff: true, invocation: true });
    }

    #[test]
    fn arguments_of_millions_of_values_are_refused_as_json_and_in_a_text() {
        let list = format!("[{}0]", "0,".repeat(values::MAX));
        for value in [list.clone(), format!("\"{list}\""), format!("\"{}\"", ",".repeat(values::MAX))] {
            let fault = parse_arguments::<Lists>(format!(r#"{{"a": {value}}}"#).as_bytes()).unwrap_err();
            assert!(fault.detail.contains("more than 2000000 values"), "{fault}");
        }
    }

    #[test]
    fn options_are_repeated_unless_ansible_asks_for_a_result_without_them() {
        let wanted = |text: &str| from_json(text.as_bytes()).unwrap().context.invocation;
        assert!(wanted("{}"));
        assert!(wanted(r#"{"_ansible_inject_invocation": true}"#));
        assert!(!wanted(r#"{"_ansible_inject_invocation": false}"#));
    }

    #[test]
    fn an_option_that_a_role_takes_from_a_variable_is_named_with_it() {
        let fault = |text: &str| from_json(text.as_bytes()).unwrap().parse::<Options>().unwrap_err();
        let named = fault(r#"{"_ansible_seguest_variables": {"name": "guest_name"}, "name": ["x"]}"#);
        assert!(named.detail.starts_with("The option name (variable guest_name) must be a text"), "{named}");
        for other in [r#"{"name": "a b"}"#, r#"{"name": 1}"#, r#"{"other": "guest_name"}"#, r#""guest_""#] {
            let unnamed = fault(&format!(r#"{{"_ansible_seguest_variables": {other}, "name": ["x"]}}"#));
            assert!(unnamed.detail.starts_with("The option name must be a text"), "{unnamed}");
        }
    }

    #[test]
    fn arguments_that_are_no_json_object_are_refused_without_being_quoted() {
        for text in ["", "[]", "\"s3cret\"", "{\"secret\": \"s3cret\"", "\u{0}\u{1}"] {
            let fault = from_json(text.as_bytes()).err().unwrap();
            assert_eq!(fault.code, codes::UNREADABLE);
            assert!(!fault.detail.contains("s3cret"), "{fault}");
        }
    }

    #[test]
    fn a_missing_arguments_file_is_named() {
        let fault = read(Some("/nonexistent/args".into())).err().unwrap();
        assert_eq!(fault.code, codes::UNREADABLE);
        assert!(fault.detail.contains("/nonexistent/args"));
        assert_eq!(read(None).err().unwrap().code, codes::UNREADABLE);
    }

    #[test]
    fn what_is_read_is_whole_however_it_comes_and_not_much_more_than_the_limit() {
        /// Gives so many bytes at a time, after an interruption each.
        struct Drip(Vec<u8>, usize, bool);
        impl Read for Drip {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                self.2 = !self.2;
                if self.2 {
                    return Err(io::ErrorKind::Interrupted.into());
                }
                let count = self.1.min(buffer.len()).min(self.0.len());
                buffer[..count].copy_from_slice(&self.0[..count]);
                self.0.drain(..count);
                Ok(count)
            }
        }
        for len in [0, 1, PIECE - 1, PIECE, PIECE + 1, 5 * PIECE] {
            let bytes: Vec<u8> = (0..len).map(|at| at as u8).collect();
            for at_a_time in [PIECE / 3, 10 * PIECE] {
                let drip = |limit| read_wiped(Drip(bytes.clone(), at_a_time, false), limit).unwrap();
                assert!(*drip(u64::MAX) == bytes, "{len}, {at_a_time}");
                let cut = drip(1);
                assert!(cut.len() <= PIECE && bytes.starts_with(&cut) && cut.is_empty() == bytes.is_empty());
            }
        }
        let failing = io::Error::other("no");
        struct Failing(Option<io::Error>);
        impl Read for Failing {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(self.0.take().unwrap())
            }
        }
        assert!(read_wiped(Failing(Some(failing)), 9).is_err());
    }
}
