//! pvapconfig's configuration file.

use super::codes;
use super::entry::Entry;
use ansible_contract::PathText;
use fault::{Fault, Result};
use std::fmt::Display;
use std::io;

/// A configuration of pvapconfig has a few lines a queue.
const MAX_CONFIG_LEN: u64 = 4 << 20;

/// How deep brackets may nest in a configuration; entries need two. Counted before it is parsed, because that takes
/// time that grows with the square of the depth: a file within the length that is allowed could keep the task for hours.
const MAX_NESTING: usize = 64;

/// Reads a configuration file.
///
/// # Errors
/// [`codes::CONFIG_UNREADABLE`] and those of [`parse`].
pub fn read(path: &PathText) -> Result<Vec<Entry>> {
    let text = read_text(path).map_err(|e| {
        Fault::new(codes::CONFIG_UNREADABLE, format!("The configuration {path} cannot be read: {e}."))
            .hint("Put the file on the guest first, or give it as src, or give its entries inline.")
            .io(&e)
    })?;
    parse(&path.to_string(), &text)
}

fn read_text(path: &PathText) -> io::Result<String> {
    let refused = |why| Err(io::Error::new(io::ErrorKind::InvalidData, why));
    let bytes = path.read(MAX_CONFIG_LEN + 1)?;
    if bytes.len() as u64 > MAX_CONFIG_LEN {
        return refused("it is larger than 4 MiB");
    }
    String::from_utf8(bytes).or_else(|_| refused("it is not UTF-8 text"))
}

/// Reads the text of a configuration: a YAML list of entries, in which scalars keep their text.
///
/// # Errors
/// [`codes::CONFIG_INVALID`].
pub fn parse(name: &str, text: &str) -> Result<Vec<Entry>> {
    if text.trim().is_empty() {
        return Ok(Vec::new());
    }
    let invalid = |why: &dyn Display| {
        Fault::new(codes::CONFIG_INVALID, format!("The configuration {name} is not a list of entries: {why}.")).hint(
            "Its entries have the fields of pvapconfig: name, description, mode, mkvp, serialnr, mingen, secretid.",
        )
    };
    if nests_too_deep(text) {
        return Err(invalid(&format_args!("its brackets are nested more than {MAX_NESTING} deep")));
    }
    serde_yaml::from_str::<Option<Vec<Entry>>>(text).map(Option::unwrap_or_default).map_err(|e| invalid(&e))
}

/// Whether brackets nest too deep, those in texts and comments counted too.
fn nests_too_deep(text: &str) -> bool {
    let depths = text.bytes().scan(0_usize, |depth, byte| {
        match byte {
            b'[' | b'{' => *depth += 1,
            b']' | b'}' => *depth = depth.saturating_sub(1),
            _ => {}
        }
        Some(*depth)
    });
    depths.max().is_some_and(|deepest| deepest > MAX_NESTING)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_at_all_is_an_empty_list() {
        for text in ["", "\n", "[]", "# nothing\n", "null"] {
            assert!(parse("test", text).unwrap().is_empty(), "{text:?}");
        }
    }

    #[test]
    fn what_is_no_list_of_entries_is_refused() {
        for text in ["mode: ep11", "- ep11", "- {mode: ep11, mkpv: x}", "- [", "\u{0}", "- !x y"] {
            assert_eq!(parse("test", text).unwrap_err().code, codes::CONFIG_INVALID, "{text:?}");
        }
    }

    #[test]
    fn brackets_that_nest_deeper_than_any_entry_are_refused_before_they_are_parsed() {
        for text in ["[".repeat(4 << 20), format!("- name: {}", "{a: ".repeat(1 << 20)), "[{".repeat(33)] {
            let fault = parse("test", &text).unwrap_err();
            assert_eq!(fault.code, codes::CONFIG_INVALID);
            assert!(fault.detail.contains("more than 64 deep"), "{fault}");
        }
        let flow = format!("[{}]", "{mode: accel, description: '[x]'}, ".repeat(100));
        assert_eq!(parse("test", &flow).unwrap().len(), 100);
    }

    fn read_file(content: &[u8]) -> Result<Vec<Entry>> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), content).unwrap();
        read(&serde_json::from_value(serde_json::json!(file.path())).unwrap())
    }

    #[test]
    fn a_file_is_read_as_it_is_and_one_that_is_too_long_or_no_text_is_refused_whole() {
        assert_eq!(read_file(b"- mode: accel\n").unwrap()[0].mode.as_deref(), Some("accel"));
        let mut longest = b"- mode: accel\n".to_vec();
        longest.resize(4 << 20, b'#');
        assert_eq!(read_file(&longest).unwrap().len(), 1);
        longest.push(b'#');
        let fault = read_file(&longest).unwrap_err();
        assert!(fault.code == codes::CONFIG_UNREADABLE && fault.detail.contains("larger than 4 MiB"), "{fault}");
        let fault = read_file(b"- mode: \xff\n").unwrap_err();
        assert!(fault.code == codes::CONFIG_UNREADABLE && fault.detail.contains("not UTF-8"), "{fault}");
    }

    #[test]
    fn brackets_may_nest_as_deep_as_the_limit() {
        let nested = |depth: usize| parse("test", &format!("{}{}", "[".repeat(depth), "]".repeat(depth))).unwrap_err();
        assert!(!nested(64).detail.contains("nested"));
        assert!(nested(65).detail.contains("nested"));
    }
}
