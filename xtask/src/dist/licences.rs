//! The licences of what is linked into the programs, in one text that goes with them.

use super::linked::{Brought, Linked, RUST, is_foreign, licence, text};
use super::programs::Built;
use anyhow::{Context, Result, ensure};
use e2e::place;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// A file whose name begins so has a package's licence, or what its licence asks to be told.
const NAMES: [&str; 6] = ["LICENSE", "LICENCE", "COPYING", "COPYRIGHT", "NOTICE", "UNLICENSE"];
const LINE: &str = "------------------------------------------------------------------------------";

/// The text for all programs.
///
/// # Errors
/// Naming what has no licence that can be told.
pub fn of(built: &[Built], linked: &Linked<'_>) -> Result<String> {
    let mut licences = Licences::default();
    for one in built {
        let packages = linked.packages(one.machine)?;
        licences.packages(packages.all_linked_with(packages.package(one.module)?))?;
        linked.brought(one.found.needs.is_empty()).iter().try_for_each(|brought| licences.brought(brought))?;
    }
    licences.packages(linked.in_library()?)?;
    Ok(licences.document())
}

/// Texts by what they are for.
#[derive(Default)]
struct Licences {
    /// Licence by name and version.
    names: BTreeMap<String, String>,
    /// Names by text.
    texts: BTreeMap<String, BTreeSet<String>>,
}

impl Licences {
    /// Adds packages, but for the project's own, which are under the licence that lies beside this text.
    fn packages(&mut self, packages: Vec<&Value>) -> Result<()> {
        for package in packages.into_iter().filter(|package| is_foreign(package)) {
            let manifest = text(package, "manifest_path");
            let folder = Path::new(&manifest).parent().context("a package without a folder")?;
            let name = format!("{} {}", text(package, "name"), text(package, "version"));
            self.add(&name, &licence(package), of_folder(folder)?)?;
        }
        Ok(())
    }

    /// Adds what a tool brings along.
    fn brought(&mut self, one: &Brought) -> Result<()> {
        let text = fs::read_to_string(&one.text).with_context(|| one.text.display().to_string())?;
        let is_source = one.text.extension().is_some_and(|extension| extension == "S");
        let text = if is_source { first_comment(&text).context("no comment")? } else { text };
        self.add(&format!("{} {}", one.name, one.version), one.licence, vec![text])
    }

    fn add(&mut self, name: &str, licence: &str, mut texts: Vec<String>) -> Result<()> {
        // The one licence whose text is the same for everybody. Rust's own notice refers to it.
        if texts.is_empty() || name.starts_with(RUST) {
            ensure!(
                licence.contains("Apache-2.0"),
                "{name} comes without the text of its licence ({licence}): add the text, or do without it"
            );
            texts.push(fs::read_to_string(place::repository().join("LICENSE"))?);
        }
        self.names.insert(name.to_owned(), licence.to_owned());
        for text in texts {
            self.texts.entry(tidy(&text)).or_default().insert(name.to_owned());
        }
        Ok(())
    }

    /// All of it: what there is, then each text once, with the names that it is for above it.
    fn document(&self) -> String {
        let mut document = "\
The programs in this folder are the project's own code, under Apache-2.0 (LICENSE), and what is listed here, which is
linked into them; sbom.cdx.json, beside the collection's tarball, says into which. Of licences with OR between them, either
may be chosen. The texts follow, each once, under the names of those that came with it.

"
        .to_owned();
        for (name, licence) in &self.names {
            document += &format!("{name}: {licence}\n");
        }
        // In the order of the first name, so that it does not depend on the wording.
        let mut texts: Vec<_> = self.texts.iter().map(|(text, names)| (names, text)).collect();
        texts.sort();
        for (names, text) in texts {
            let names: Vec<_> = names.iter().map(String::as_str).collect();
            document += &format!("\n{LINE}\n{}\n{LINE}\n\n{text}\n", names.join(", "));
        }
        document
    }
}

fn of_folder(folder: &Path) -> Result<Vec<String>> {
    let mut texts = BTreeMap::new();
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().to_uppercase();
        if NAMES.iter().any(|start| name.starts_with(start)) && entry.file_type()?.is_file() {
            texts.insert(name, fs::read_to_string(entry.path())?);
        }
    }
    Ok(texts.into_values().collect())
}

/// The first comment of a C or assembler file, which is where the GNU project puts a licence.
fn first_comment(source: &str) -> Option<String> {
    let comment = source.split_once("/*")?.1.split_once("*/")?.0;
    Some(comment.lines().map(|line| line.trim_start().to_owned() + "\n").collect())
}

/// Without what differs and says nothing: blanks at ends of lines, empty lines at both ends.
fn tidy(text: &str) -> String {
    let lines: Vec<_> = text.lines().map(str::trim_end).collect();
    lines.join("\n").trim_matches('\n').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dist::linked::Resolved;
    use serde_json::json;

    fn package(folder: &Path, name: &str, licence: &str) -> Value {
        json!({"id": name, "name": name, "version": "1.0.0", "license": licence, "source": "registry",
               "manifest_path": folder.join(name).join("Cargo.toml"), "targets": [{"kind": ["lib"]}]})
    }

    /// A package's name, its licence, and its files.
    type Made<'a> = (&'a str, &'a str, &'a [(&'a str, &'a str)]);

    /// Packages in a folder; the first is linked with the others.
    fn resolved(folder: &Path, packages: &[Made<'_>]) -> Resolved {
        for (name, _, files) in packages {
            fs::create_dir(folder.join(name)).unwrap();
            files.iter().for_each(|(file, text)| fs::write(folder.join(name).join(file), text).unwrap());
        }
        let deps = |(name, ..): &Made<'_>| json!({"pkg": name, "dep_kinds": [{"kind": null}]});
        let all: Vec<_> = packages.iter().map(|(name, licence, _)| package(folder, name, licence)).collect();
        let others: Vec<_> = packages.iter().skip(1).map(deps).collect();
        Resolved(json!({"packages": all, "resolve": {"nodes": [{"id": packages[0].0, "deps": others}]}}))
    }

    fn licences(packages: &[Made<'_>]) -> Result<String> {
        let folder = tempfile::tempdir()?;
        let resolved = resolved(folder.path(), packages);
        let mut licences = Licences::default();
        licences.packages(resolved.all_linked_with(resolved.package(packages[0].0)?))?;
        Ok(licences.document())
    }

    #[test]
    fn the_same_text_is_there_once_for_all_that_came_with_it() {
        let document = licences(&[
            ("a", "MIT", &[("LICENSE-MIT", "Copyright A\nPermission\n"), ("README.md", "no licence")]),
            ("b", "MIT/Apache-2.0", &[("license.txt", "Copyright A  \r\nPermission\r\n\r\n"), ("NOTICE", "Made by B")]),
        ])
        .unwrap();
        assert!(document.contains("\na 1.0.0: MIT\nb 1.0.0: MIT OR Apache-2.0\n"), "{document}");
        assert!(document.contains(&format!("\n{LINE}\na 1.0.0, b 1.0.0\n{LINE}\n\nCopyright A\nPermission\n")));
        assert!(document.contains(&format!("\n{LINE}\nb 1.0.0\n{LINE}\n\nMade by B\n")));
        assert!(!document.contains("no licence"));
    }

    #[test]
    fn a_package_without_a_text_has_that_of_its_licence_or_is_refused() {
        let document = licences(&[("a", "Apache-2.0 OR MIT", &[])]).unwrap();
        assert!(document.contains("TERMS AND CONDITIONS FOR USE, REPRODUCTION, AND DISTRIBUTION"));
        let error = licences(&[("a", "Apache-2.0", &[]), ("b", "MIT", &[])]).unwrap_err().to_string();
        assert_eq!(error, "b 1.0.0 comes without the text of its licence (MIT): add the text, or do without it");
    }

    #[test]
    fn a_source_files_first_comment_is_its_licence() {
        assert_eq!(first_comment("/* One\n   two.  */\nint x; /* three */").unwrap(), "One\ntwo.  \n");
        assert_eq!(first_comment("int x;"), None);
    }
}
