//! Every check of the project, counted; what is skipped is named.

use crate::chore::{cargo, openssl_features, quietly, step};
use crate::{dist, docs, guest_system, prepare, unprivileged, versions};
use anyhow::{Context, Result, bail, ensure};
use e2e::place;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc;

/// Runs everything; stops at the first kind of check that fails.
///
/// # Errors
/// What failed, with what it said.
pub fn test() -> Result<()> {
    prepare::prepare()?;
    print!("{}", step("Weighing the programs", dist::weigh)?);
    guest_system::guest_system();
    step("Checking the format of the Rust sources", || quietly(cargo().args(["fmt", "--all", "--check"])))?;
    step("Linting the Rust sources", || {
        quietly(
            cargo()
                .args(["clippy", "--workspace", "--all-targets"])
                .args(openssl_features())
                .args(["--", "--deny", "warnings"]),
        )
    })?;
    docs::check()?;
    step("Linting playbooks and collection as ansible-lint's production profile wants it", ansible_lint)?;
    let mut tally = Tally::default();
    licences(&mut tally)?;
    println!("Testing the action plugins");
    python_tests(&place::python_program("python")?, &mut tally)?;
    println!("Testing the Rust crates, then whole simulated guests");
    let mut command = cargo();
    command.args(["test", "--workspace", "--no-fail-fast"]).args(openssl_features()).args(["--", "--show-output"]);
    rust_tests(&mut command, &mut tally)?;
    match unprivileged::commands()? {
        Err(why) => tally.skipped.push(format!("end-to-end tests as an ordinary user: {why}")),
        Ok(mut commands) => {
            println!("Testing whole simulated guests once more as an ordinary user");
            commands.iter_mut().try_for_each(|command| rust_tests(command, &mut tally))?;
        }
    }
    versions::always(&mut tally)?;
    tally.close()
}

/// What was counted.
#[derive(Default)]
pub struct Tally {
    passed: usize,
    failed: usize,
    /// What was not tried, and why.
    pub skipped: Vec<String>,
}

impl Tally {
    /// Prints what was counted.
    ///
    /// # Errors
    /// If a test failed, or none was run.
    pub fn close(self) -> Result<()> {
        if !self.skipped.is_empty() {
            println!("\nSkipped:");
            self.skipped.iter().for_each(|what| println!("    {what}"));
        }
        println!("\n{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped.len());
        ensure!(self.failed == 0, "{} tests failed", self.failed);
        ensure!(self.passed > 0, "no test was run");
        Ok(())
    }
}

fn ansible_lint() -> Result<()> {
    let mut command = Command::new(place::python_program("ansible-lint")?);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let programs = place::python_program("ansible-lint")?;
    let folders = programs.parent().map(Path::to_path_buf).into_iter().chain(std::env::split_paths(&path));
    command
        .args(["playbooks", "collection"])
        .current_dir(place::repository())
        .env("PATH", std::env::join_paths(folders)?)
        .env("ANSIBLE_COLLECTIONS_PATH", place::collections()?)
        .env("ANSIBLE_HOME", place::target()?.join("ansible-home"));
    quietly(&mut command).map(|_| ())
}

fn licences(tally: &mut Tally) -> Result<()> {
    if Command::new("cargo-deny").arg("--version").output().is_err() {
        tally.skipped.push("licences and sources of dependencies: cargo-deny is not installed".into());
        return Ok(());
    }
    // Advisories need the network; the other checks need only what cargo has fetched already.
    step("Checking licences and sources of dependencies", || {
        quietly(cargo().args(["deny", "--offline", "check", "bans", "licenses", "sources"]))
    })?;
    Ok(())
}

/// The tests of the action plugins.
///
/// # Errors
/// With what failed.
pub fn python_tests(python: &Path, tally: &mut Tally) -> Result<()> {
    let mut command = Command::new(python);
    command
        .args(["-m", "unittest", "discover", "--verbose", "--start-directory", "tests/ansible"])
        .current_dir(place::repository());
    let (ok, said) = follow(&mut command, |line, _| line.starts_with("Ran "))?;
    for line in said.lines() {
        match line.rsplit_once(" ... ") {
            Some((_, "ok")) => tally.passed += 1,
            Some((test, verdict)) if verdict.starts_with("skipped") => tally.skipped.push(format!("{test}: {verdict}")),
            Some((_, "FAIL" | "ERROR")) => tally.failed += 1,
            _ => {}
        }
    }
    if !ok {
        bail!("the tests of the action plugins failed:\n{said}");
    }
    Ok(())
}

/// Runs a command that prints what libtest does.
///
/// # Errors
/// With what failed.
pub fn rust_tests(command: &mut Command, tally: &mut Tally) -> Result<()> {
    let (ok, said) = follow(command, |line, is_error| {
        line.starts_with("test result:") || is_error && line.trim_start().starts_with("Running")
    })?;
    for line in said.lines() {
        if let Some(result) = line.strip_prefix("test result: ") {
            tally.passed += count(result, " passed");
            tally.failed += count(result, " failed");
            tally.skipped.extend((count(result, " ignored") > 0).then(|| format!("ignored: {result}")));
        }
        if let Some(what) = line.strip_prefix("skipped: ") {
            tally.skipped.push(what.to_owned());
        }
    }
    if !ok {
        bail!("Rust tests failed:\n{said}");
    }
    Ok(())
}

/// The number before a word, as in `12 passed; 0 failed`.
fn count(result: &str, word: &str) -> usize {
    let before = result.split(word).next().unwrap_or_default();
    before.rsplit(|c: char| !c.is_ascii_digit()).next().and_then(|digits| digits.parse().ok()).unwrap_or(0)
}

/// Runs a program, shows those of its lines that `worth` names (with whether they came on standard error), and
/// returns whether it succeeded and all that it said.
fn follow(command: &mut Command, worth: impl Fn(&str, bool) -> bool) -> Result<(bool, String)> {
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let (sender, lines) = mpsc::channel();
    let read = |stream: Box<dyn Read + Send>, is_error: bool| {
        let sender = sender.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(stream).split(b'\n').map_while(std::result::Result::ok) {
                let _ = sender.send((String::from_utf8_lossy(&line).into_owned(), is_error));
            }
        })
    };
    let readers = [
        read(Box::new(child.stdout.take().context("no output")?), false),
        read(Box::new(child.stderr.take().context("no output")?), true),
    ];
    drop(sender);
    let mut said = String::new();
    for (line, is_error) in lines {
        if worth(&line, is_error) {
            println!("    {}", line.trim());
        }
        said.push_str(&line);
        said.push('\n');
    }
    readers.into_iter().for_each(|reader| drop(reader.join()));
    Ok((child.wait()?.success(), said))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_read_from_libtests_closing_line() {
        let line = "FAILED. 15 passed; 3 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.07s";
        assert_eq!((count(line, " passed"), count(line, " failed"), count(line, " ignored")), (15, 3, 1));
        assert_eq!(count("nothing", " passed"), 0);
    }
}
