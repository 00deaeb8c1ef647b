//! The catalogues of rows, `tests/*/rows.yaml`: every rule of formats, kernel, ultravisor, crypto adapters and IBM's tools
//! that a side rests on, and the tests that show it. A row that nothing shows is an error, and so is a test that is named
//! and does not exist.

use crate::named_tests::{NamedTests, Test};
use anyhow::{Context, Result, ensure};
use e2e::place;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;
use std::path::PathBuf;

const CATALOGUE: &str = "rows.yaml";
const PAGE: &str = "ROWS.md";
/// The folder with scenarios, and its head of a page.
const GUEST: (&str, &str) = (
    "tests/guest",
    "\
# Rows: every rule the guest side rests on, and the tests that show it

Rules of `/dev/uv`, the ultravisor, its files in sysfs, the AP bus, pvapconfig and the simulator, in the project's own words.
*Shown by* names tests as file and function, and as *scenario* the cases of [scenarios.yaml](scenarios.yaml), which the test
`scenarios::every_scenario_ends_as_promised_under_every_switch` runs under all settings of what nobody can know without hardware.
",
);
const REQUEST: (&str, &str) = (
    "tests/request",
    "\
# Rows: every rule of add-secret requests and of attestation, and the tests that show it

Rules of the formats of requests, responses and claims, of their cryptography, of secrets, images, host key documents and
verdicts, and of the files and options of IBM's pvsecret and pvattest, in the project's own words. *Shown by* names tests as file and function.
",
);
const SCENARIOS: &str = "tests/guest/scenarios.yaml";
/// Its example names every switch, and a test of the simulator keeps it so.
const SIMULATOR: &str = "crates/guest-sim/README.md";

/// The pages of rows with their paths.
///
/// # Errors
/// Rows that nothing shows, tests and rows that are named and do not exist, and files that cannot be read.
pub fn pages(tests: &NamedTests) -> Result<[(PathBuf, String); 2]> {
    let root = place::repository();
    let read = |path: &str| fs::read_to_string(root.join(path)).with_context(|| path.to_owned());
    let parse = |folder: &str, scenarios: &str| {
        let path = format!("{folder}/{CATALOGUE}");
        Catalogue::parse(&read(&path)?, scenarios, tests).context(path)
    };
    let (guest, request) = (parse(GUEST.0, &read(SCENARIOS)?)?, parse(REQUEST.0, "[]")?);
    guest.has_every_switch(&read(SIMULATOR)?)?;
    let path = |folder: &str| root.join(folder).join(PAGE);
    Ok([(path(GUEST.0), guest.page(GUEST.1)?), (path(REQUEST.0), request.page(REQUEST.1)?)])
}

struct Row {
    id: String,
    says: String,
    tests: Vec<Test>,
    scenarios: Vec<String>,
}

struct Catalogue {
    sections: Vec<(String, Vec<Row>)>,
}

impl Catalogue {
    fn parse(catalogue: &str, scenarios: &str, tests: &NamedTests) -> Result<Self> {
        let mut cases = cases_by_row(scenarios)?;
        let sections: Vec<Value> = serde_yaml::from_str(catalogue)?;
        let (mut seen, mut wrong) = (BTreeSet::new(), Vec::new());
        let mut read_row = |row: &Value| {
            let [id, says] = ["id", "says"].map(|key| row[key].as_str().unwrap_or_default().to_owned());
            let mut found = Vec::new();
            for name in row["tests"].as_array().into_iter().flatten() {
                match tests.find(name.as_str().unwrap_or_default()) {
                    Ok(test) => found.push(test.clone()),
                    Err(why) => wrong.push(format!("{id}: {why}")),
                }
            }
            let scenarios = cases.remove(&id).unwrap_or_default();
            let known = |key: &String| ["id", "says", "tests"].contains(&key.as_str());
            if id.is_empty() || says.is_empty() || !row.as_object().is_some_and(|row| row.keys().all(known)) {
                wrong.push(format!("{row}: a row has id, says, and tests if it has any"));
            }
            if found.is_empty() && scenarios.is_empty() {
                wrong.push(format!("{id}: no test shows it"));
            }
            if !seen.insert(id.clone()) {
                wrong.push(format!("{id}: there are two rows of this id"));
            }
            Row { id, says, tests: found, scenarios }
        };
        let sections = sections
            .iter()
            .map(|section| {
                let rows = section["rows"].as_array().into_iter().flatten().map(&mut read_row).collect();
                (section["section"].as_str().unwrap_or_default().to_owned(), rows)
            })
            .collect();
        wrong.extend(cases.iter().map(|(row, cases)| format!("{}: there is no row {row}", cases.join(", "))));
        ensure!(wrong.is_empty(), "rows and scenarios:\n    {}", wrong.join("\n    "));
        Ok(Self { sections })
    }

    fn rows(&self) -> impl Iterator<Item = &Row> {
        self.sections.iter().flat_map(|(_, rows)| rows)
    }

    /// What nobody can know without hardware is a switch of the simulator, and every switch is a row.
    fn has_every_switch(&self, readme: &str) -> Result<()> {
        let example = readme.split("```yaml\n").nth(1).and_then(|rest| rest.split("```").next());
        let example: Value = serde_yaml::from_str(example.context("no example")?).context(SIMULATOR)?;
        let switches = example["switches"].as_object().context("no switches")?;
        let missing: Vec<_> =
            switches.keys().filter(|name| !self.rows().any(|row| row.id == format!("switch.{name}"))).collect();
        ensure!(missing.is_empty(), "{}: no row switch.NAME for {missing:?}", GUEST.0);
        Ok(())
    }

    fn page(&self, head: &str) -> Result<String> {
        let mut page = head.to_owned();
        for (title, rows) in &self.sections {
            writeln!(page, "\n## {title}\n\n| row | rule | shown by |\n| --- | --- | --- |")?;
            for Row { id, says, tests, scenarios } in rows {
                let tests = tests.iter().map(|test| test.link("../.."));
                let scenarios = scenarios.iter().map(|case| format!("scenario `{case}`"));
                let shown: Vec<_> = tests.chain(scenarios).collect();
                writeln!(page, "| `{id}` | {} | {} |", says.replace('|', "\\|"), shown.join(", "))?;
            }
        }
        let count = self.rows().count();
        writeln!(page, "\n{count} rows. Generated by `cargo xtask docs` from [rows.yaml](rows.yaml).")?;
        Ok(page)
    }
}

/// The scenarios that show each row.
fn cases_by_row(scenarios: &str) -> Result<BTreeMap<String, Vec<String>>> {
    let cases: Vec<Value> = serde_yaml::from_str(scenarios).context(SCENARIOS)?;
    let (mut by_row, mut seen) = (BTreeMap::<_, Vec<_>>::new(), BTreeSet::new());
    for case in &cases {
        let id = case["id"].as_str().with_context(|| format!("{SCENARIOS}: {case} has no id"))?;
        ensure!(seen.insert(id), "{SCENARIOS}: there are two of the id {id}");
        let rows = case["rows"].as_array().into_iter().flatten().filter_map(Value::as_str);
        let mut any = false;
        for row in rows {
            any = true;
            by_row.entry(row.to_owned()).or_default().push(id.to_owned());
        }
        ensure!(any, "{SCENARIOS}: {id} shows no row");
    }
    Ok(by_row)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::named_tests::tests::made_up;

    fn parse(rows: &str, scenarios: &str) -> std::result::Result<Catalogue, String> {
        let tests = made_up([("crates/a/src/tests", "one"), ("crates/b/src/tests", "one"), ("tests/guest/c", "two")]);
        let catalogue = format!("- section: All\n  rows:\n{rows}");
        Catalogue::parse(&catalogue, scenarios, &tests).map_err(|error| format!("{error:#}"))
    }

    fn refused(rows: &str, scenarios: &str, why: &str) {
        let said = parse(rows, scenarios).err().unwrap_or_default();
        assert!(said.contains(why), "{rows:?} {scenarios:?}: {said:?}");
    }

    #[test]
    fn a_row_names_tests_by_the_end_of_their_path_or_has_scenarios() {
        let rows = "    - {id: x, says: A thing., tests: [two, b/src/tests::one]}\n    - {id: y, says: 'An a|b.'}\n";
        let page = parse(rows, "- {id: first, rows: [y]}").unwrap().page("").unwrap();
        assert!(page.contains(
            "| `x` | A thing. | [c](../../tests/guest/c.rs)::`two`, [b/tests](../../crates/b/src/tests.rs)::`one` |"
        ));
        assert!(page.contains("| `y` | An a\\|b. | scenario `first` |"), "{page}");
    }

    #[test]
    fn a_row_that_nothing_shows_and_a_test_that_does_not_exist_are_refused() {
        refused("    - {id: x, says: A.}", "[]", "x: no test shows it");
        refused("    - {id: x, says: A., tests: [three]}", "[]", "there is no test three");
        refused("    - {id: x, says: A., tests: [two]}\n    - {id: x, says: B., tests: [two]}", "[]", "two rows");
        refused("    - {id: x, says: A., test: [two]}", "[]", "a row has");
        refused("    - {id: x, says: A., tests: [two]}", "- {id: s, rows: [z]}", "s: there is no row z");
        refused("    - {id: x, says: A., tests: [two]}", "- {id: s, rows: []}", "s shows no row");
    }

    #[test]
    fn every_switch_of_the_simulator_must_be_a_row() {
        let catalogue = parse("    - {id: switch.a, says: A., tests: [two]}", "[]").unwrap();
        let readme = |switches: &str| format!("# x\n```yaml\nswitches: {switches}\n```\n");
        assert!(catalogue.has_every_switch(&readme("{a: true}")).is_ok());
        assert!(catalogue.has_every_switch(&readme("{a: true, b: 1}")).unwrap_err().to_string().contains("\"b\""));
    }
}
