//! What cargo builds. Tests, the programs that they run and the one that describes the modules come from one
//! selection of packages: another one would give shared crates other features, and compile them again.

use crate::chore::{cargo, count, openssl_features, quietly};
use anyhow::{Context, Result, ensure};
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::PathBuf;
use std::process::Stdio;
use std::thread;

/// A program with tests that libtest runs.
#[derive(Clone, Debug)]
pub struct TestProgram {
    /// The target's name, such as `guest`; for the tests beside the code, that of the library or program.
    pub name: String,
    /// The package's folder, which cargo runs it in.
    pub folder: PathBuf,
    /// The program.
    pub path: PathBuf,
    /// Its tests stand beside the code that they test.
    pub is_beside_the_code: bool,
}

/// Builds everything that tests are and run, with the profile `dev`.
///
/// # Errors
/// What the compiler said.
pub fn for_tests() -> Result<Vec<TestProgram>> {
    // xtask by itself: as cargo has just built it, with the features that it has alone.
    let openssl = openssl_features();
    let others = [&["--workspace", "--exclude", "xtask"], &openssl[..]].concat();
    let programs = [built(&others)?, built(&["--package", "xtask"])?].concat();
    ensure!(!programs.is_empty(), "cargo named no test");
    Ok(programs)
}

/// Builds all targets of a selection, and gives the programs with tests.
fn built(selection: &[&str]) -> Result<Vec<TestProgram>> {
    let mut command = cargo();
    command.args(["build", "--locked", "--all-targets", "--message-format", "json-render-diagnostics"]).args(selection);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let mut diagnostics = child.stderr.take().context("cargo has no error output")?;
    let said = thread::spawn(move || {
        let mut said = String::new();
        diagnostics.read_to_string(&mut said).map(|_| said)
    });
    let mut programs = Vec::new();
    for line in BufReader::new(child.stdout.take().context("cargo has no output")?).lines() {
        let message: serde_json::Value =
            serde_json::from_str(&line?).context("cargo printed something else than JSON")?;
        if message["reason"] == "compiler-artifact" {
            count();
        }
        let text = |value: &serde_json::Value| value.as_str().map(str::to_owned);
        if message["profile"]["test"] != true || message["target"]["kind"][0] == "example" {
            continue;
        }
        let manifest = text(&message["manifest_path"]).map(PathBuf::from);
        let folder = manifest.as_deref().and_then(|path| path.parent()).context("cargo names no folder of a test")?;
        let name = text(&message["target"]["name"]).context("cargo names no test")?;
        let path = text(&message["executable"]).context("cargo names no program of a test")?.into();
        let is_beside_the_code = message["target"]["kind"][0] != "test";
        programs.push(TestProgram { name, folder: folder.to_path_buf(), path, is_beside_the_code });
    }
    let said = said.join().unwrap_or_else(|_| Ok(String::new()))?;
    ensure!(child.wait()?.success(), "cargo build failed:\n{said}");
    Ok(programs)
}

/// Builds packages as they ship.
///
/// # Errors
/// What the compiler said.
pub fn as_they_ship(packages: &[&str]) -> Result<()> {
    let mut command = cargo();
    command.args(["build", "--locked", "--profile", "ship"]).args(openssl_features());
    for package in packages {
        command.args(["--package", package]);
    }
    quietly(&mut command).map(|_| ())
}
