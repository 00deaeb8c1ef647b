//! Every test of the project by its name, so that pages can name tests that exist.

use anyhow::{Result, bail};
use std::fs;
use std::path::Path;

/// Folders with Rust sources.
const RUST: [&str; 4] = ["crates", "modules", "tests", "xtask"];
/// The folder with the tests of the collection's Python.
const PYTHON: &str = "tests/ansible";

/// The tests that there are.
#[derive(Debug)]
pub struct NamedTests(Vec<Test>);

/// One test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Test {
    /// Its file below the repository, without `.rs` or `.py`.
    stem: String,
    extension: &'static str,
    name: String,
}

impl Test {
    /// A link to it, from a page in a folder this far from the repository, such as `../..`.
    pub fn link(&self, up: &str) -> String {
        let Self { stem, extension, name } = self;
        format!("[{}]({up}/{stem}.{extension})::`{name}`", short(stem))
    }

    /// Its name without a link, for pages that are read without the repository.
    pub fn plain(&self) -> String {
        format!("`{}::{}`", short(&self.stem), self.name)
    }
}

impl NamedTests {
    /// Those in the repository.
    ///
    /// # Errors
    /// If a source cannot be read.
    pub fn of_repository(root: &Path) -> Result<Self> {
        let mut tests = Vec::new();
        for folder in RUST {
            collect(root, &root.join(folder), "rs", rust_names, &mut tests)?;
        }
        collect(root, &root.join(PYTHON), "py", python_names, &mut tests)?;
        Ok(Self(tests))
    }

    /// The one test of a name, or of a name behind the end of its file's path: `uv/tests::name`.
    ///
    /// # Errors
    /// What is wrong with the name.
    pub fn find(&self, wanted: &str) -> std::result::Result<&Test, String> {
        let (file, name) = wanted.rsplit_once("::").unwrap_or(("", wanted));
        let ends = |path: &str| {
            file.is_empty() || path.strip_suffix(file).is_some_and(|rest| rest.is_empty() || rest.ends_with('/'))
        };
        let mut found = self.0.iter().filter(|test| test.name == name && ends(&test.stem));
        match (found.next(), found.next()) {
            (Some(test), None) => Ok(test),
            (None, _) => Err(format!("there is no test {wanted}")),
            (Some(first), Some(second)) => Err(format!(
                "{wanted} is a test in {} and in {}: write the end of its file's path before it",
                first.stem, second.stem
            )),
        }
    }
}

/// The end of a file's path that tells it from others of its name.
fn short(file: &str) -> String {
    let parts: Vec<_> = file.split('/').collect();
    let crate_name = (parts.len() > 2 && parts[0] != "tests").then(|| parts[1]);
    let last = parts.last().copied().unwrap_or_default();
    crate_name.map_or_else(|| last.to_owned(), |name| format!("{name}/{last}"))
}

fn collect(
    root: &Path,
    folder: &Path,
    extension: &'static str,
    names: fn(&str) -> Vec<String>,
    tests: &mut Vec<Test>,
) -> Result<()> {
    let mut entries: Vec<_> = fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    entries.sort();
    for path in entries {
        if path.is_dir() {
            collect(root, &path, extension, names, tests)?;
        } else if path.extension().is_some_and(|of_file| of_file == extension) {
            let Ok(stem) = path.with_extension("").strip_prefix(root).map(|file| file.display().to_string()) else {
                bail!("{} is outside the repository", path.display());
            };
            let found = names(&fs::read_to_string(&path)?).into_iter();
            tests.extend(found.map(|name| Test { stem: stem.clone(), extension, name }));
        }
    }
    Ok(())
}

/// The functions of a source that are run as tests. One that is ignored shows nothing.
fn rust_names(source: &str) -> Vec<String> {
    let (mut names, mut is_test, mut ignored) = (Vec::new(), false, false);
    for line in source.lines().map(str::trim_start) {
        is_test |= line == "#[test]";
        ignored |= line.starts_with("#[ignore");
        if let Some(rest) = line.strip_prefix("fn ") {
            names.extend((is_test && !ignored).then(|| word(rest)));
            (is_test, ignored) = (false, false);
        }
    }
    names
}

/// The methods and functions that pytest runs.
fn python_names(source: &str) -> Vec<String> {
    let functions = source.lines().filter_map(|line| line.trim_start().strip_prefix("def "));
    functions.map(word).filter(|name| name.starts_with("test_")).collect()
}

fn word(text: &str) -> String {
    text.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default().to_owned()
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// These and no others, each a file without `.rs` and a name.
    pub fn made_up<const N: usize>(tests: [(&str, &str); N]) -> NamedTests {
        let test = |(stem, name): (&str, &str)| Test { stem: stem.to_owned(), extension: "rs", name: name.to_owned() };
        NamedTests(tests.map(test).into())
    }

    #[test]
    fn what_is_no_test_or_ignored_is_not_counted() {
        let source = "fn a() {}\n#[test]\n#[allow(x)]\nfn b() {}\nfn c() {}\n#[test]\n#[ignore]\nfn d() {}\n    #[test]\n    fn e() {}\n// #[test]\nfn f() {}";
        assert_eq!(rust_names(source), ["b", "e"]);
        assert_eq!(python_names("def a():\n    def test_b(self) -> None:\n# def test_c()\ntest_d = 1"), ["test_b"]);
    }

    #[test]
    fn a_test_is_found_by_its_name_or_with_the_end_of_its_path() {
        let tests = made_up([("crates/a/src/tests", "one"), ("crates/b/src/tests", "one"), ("tests/guest/c", "two")]);
        assert_eq!(tests.find("two").unwrap().link("../.."), "[c](../../tests/guest/c.rs)::`two`");
        assert_eq!(tests.find("two").unwrap().plain(), "`c::two`");
        assert_eq!(tests.find("b/src/tests::one").unwrap().link(".."), "[b/tests](../crates/b/src/tests.rs)::`one`");
        for (wanted, why) in [
            ("three", "there is no test three"),
            ("d::two", "there is no test d::two"),
            ("one", "one is a test in crates/a/src/tests and in crates/b/src/tests"),
        ] {
            let said = tests.find(wanted).unwrap_err();
            assert!(said.starts_with(why), "{said}");
        }
    }
}
