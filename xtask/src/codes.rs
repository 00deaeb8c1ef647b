//! The error codes as the sources declare them: each once, with one meaning, and each of them can be reported.

use anyhow::{Context, Result, ensure};
use e2e::place;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// Folders with what ships.
const SOURCES: [&str; 2] = ["crates", "modules"];
const PLUGINS: &str = "collection/plugins/plugin_utils";

/// Codes of the action plugins, which run on the controller and are no module's.
pub const CONTROLLER: [(&str, &str); 4] = [
    (
        "args.connection_without_input",
        "The connection cannot hand data to a command's standard input; use ssh or local.",
    ),
    ("args.no_binary_for_arch", "The collection has no binary of the module for the target's architecture."),
    (
        "module.no_result",
        "The binary ended without a result: it was killed, could not be executed, or printed other output.",
    ),
    ("module.not_sent", "The binary could not be put on the target."),
];

/// Compares what is declared with what is used.
///
/// # Errors
/// Naming the codes that are declared twice, that nothing can report, or that the action plugins report and no list has.
pub fn check() -> Result<()> {
    let root = place::repository();
    let (mut rust, mut python) = (Vec::new(), Vec::new());
    for folder in SOURCES {
        collect(&root.join(folder), "rs", &mut rust)?;
    }
    collect(&root.join(PLUGINS), "py", &mut python)?;
    let wrong = faults(&rust, &python);
    ensure!(wrong.is_empty(), "error codes:\n    {}", wrong.join("\n    "));
    Ok(())
}

/// A source file: its path and its text.
type Source = (String, String);

fn collect(folder: &Path, extension: &str, into: &mut Vec<Source>) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        if path.is_dir() {
            // What tests and benchmarks report is none of the product's.
            if !["tests", "examples"].iter().any(|name| path.ends_with(name)) {
                collect(&path, extension, into)?;
            }
        } else if path.extension().is_some_and(|found| found == extension) && !is_of_tests(&path) {
            into.push((path.display().to_string(), fs::read_to_string(&path)?));
        }
    }
    Ok(())
}

/// Whether a file holds nothing but tests: `tests.rs` and `NAME_tests.rs`.
fn is_of_tests(path: &Path) -> bool {
    path.file_stem().and_then(|stem| stem.to_str()).is_some_and(|stem| stem == "tests" || stem.ends_with("_tests"))
}

/// What is wrong, a line each.
fn faults(rust: &[Source], python: &[Source]) -> Vec<String> {
    let rust: Vec<_> = rust.iter().map(|(path, text)| (path, Parts::of(text))).collect();
    let mut declared: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (path, parts) in &rust {
        for (_, code) in &parts.declared {
            declared.entry(code).or_default().push(path);
        }
    }
    for (code, _) in CONTROLLER {
        declared.entry(code).or_default().push(PLUGINS);
    }
    let twice = declared.iter().filter(|(_, places)| places.len() > 1);
    let twice = twice.map(|(code, places)| format!("{code} is declared more than once: {}", places.join(", ")));

    let used = |name: &str| rust.iter().any(|(_, parts)| parts.rest.contains(&name));
    let dead = rust.iter().flat_map(|(path, parts)| parts.declared.iter().map(move |declared| (path, declared)));
    let dead = dead.filter(|(_, (name, _))| !used(name));
    let dead = dead.map(|(path, (_, code))| format!("{code} can never be reported: nothing uses it ({path})"));

    let reported: Vec<_> = python.iter().flat_map(|(_, text)| quoted_codes(text)).collect();
    let unknown = reported.iter().filter(|code| !declared.contains_key(*code));
    let unknown = unknown.map(|code| format!("{code} is reported by the action plugins, and no list explains it"));
    let silent = CONTROLLER.iter().filter(|(code, _)| !reported.contains(code));
    let silent = silent.map(|(code, _)| format!("{code} can never be reported: no action plugin does"));
    twice.chain(dead).chain(unknown).chain(silent).collect()
}

/// What a Rust file has of codes, its tests left out.
struct Parts<'a> {
    /// The constants declared with `fault::codes!`, and their codes.
    declared: Vec<(&'a str, &'a str)>,
    /// The words of everything else.
    rest: Vec<&'a str>,
}

impl<'a> Parts<'a> {
    fn of(text: &'a str) -> Self {
        // Tests stand at the end, in a block of their own.
        let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        let mut parts = Self { declared: Vec::new(), rest: Vec::new() };
        let mut declaring = false;
        for line in text.lines().map(str::trim).filter(|line| !line.starts_with("//")) {
            match line {
                "fault::codes! {" | "crate::codes! {" => declaring = true,
                "}" => declaring = false,
                _ if declaring => parts.declared.extend(declaration(line)),
                _ => parts.rest.extend(line.split(|c: char| !c.is_ascii_alphanumeric() && c != '_')),
            }
        }
        parts
    }
}

/// Of `NAME = "area.reason", "Meaning.";` the name and the code.
fn declaration(line: &str) -> Option<(&str, &str)> {
    let (name, rest) = line.split_once(" = \"")?;
    Some((name, rest.split_once("\", \"")?.0))
}

/// What is in quotes and looks like a code of an area that the action plugins have.
fn quoted_codes(text: &str) -> impl Iterator<Item = &str> {
    let words = text.split('"').filter(|word| word.bytes().all(|b| b.is_ascii_lowercase() || b == b'_' || b == b'.'));
    words.filter(|word| ["args.", "file.", "module."].iter().any(|area| word.starts_with(area)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(rust: &[&str]) -> Vec<String> {
        let source = |text: &&str| ("a.rs".to_owned(), (*text).to_owned());
        let all = CONTROLLER.map(|(code, _)| format!("\"{code}\"")).join(" ");
        let found = faults(&rust.iter().map(source).collect::<Vec<_>>(), &[("a.py".into(), all)]);
        found.into_iter().map(|line| line.split(':').next().unwrap_or_default().to_owned()).collect()
    }

    const FULL: &str = "fault::codes! {\n    FULL = \"uv.full\", \"Full.\";\n}\n";

    #[test]
    fn a_code_that_is_used_anywhere_is_right() {
        assert_eq!(of(&[FULL, "Fault::new(codes::FULL, text)"]), [""; 0]);
    }

    #[test]
    fn a_code_that_is_declared_twice_is_named_whatever_its_meanings() {
        assert_eq!(of(&[FULL, FULL, "FULL"]), ["uv.full is declared more than once"]);
        let controllers = "fault::codes! {\n    A = \"module.not_sent\", \"Other.\";\n}\nA";
        assert_eq!(of(&[controllers]), ["module.not_sent is declared more than once"]);
    }

    #[test]
    fn a_code_that_only_comments_and_tests_use_is_dead() {
        let tests = format!("{FULL}// FULL\nFULLER\n#[cfg(test)]\nmod tests {{\n    FULL\n}}\n");
        assert_eq!(of(&[&tests]), ["uv.full can never be reported"]);
    }

    #[test]
    fn what_the_action_plugins_report_is_listed_and_what_is_listed_they_report() {
        let found = faults(&[], &[("a.py".into(), "\"module.strange\" \"module.not_sent\"".into())]);
        assert!(found[0].starts_with("module.strange is reported"), "{found:?}");
        assert_eq!(found.len(), CONTROLLER.len(), "{found:?}");
    }
}
