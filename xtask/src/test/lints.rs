//! Whatever reads the sources and complains.

use super::report::Report;
use super::runs::Run;
use crate::chore::{cargo, openssl_features, quietly};
use crate::unpacked;
use anyhow::{Context, Result, ensure};
use e2e::place;
use std::fs;
use std::io::Read;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What shellcheck complains of and is meant: ls, because POSIX says what it shows and guests may have no find; `a && b || c`
/// as it is; files that are not there where they are linted; what is in single quotes for another shell.
const MEANT: &str = "SC1091,SC2012,SC2015,SC2016";

/// All of them.
///
/// # Errors
/// If a program that they need was not installed.
pub fn all() -> Result<Vec<Run>> {
    let mut clippy = cargo();
    clippy.args(["clippy", "--locked", "--workspace", "--all-targets"]).args(openssl_features());
    clippy.args(["--", "--deny", "warnings"]);
    let mut format = cargo();
    format.args(["fmt", "--all", "--check"]);
    let ruff = |arguments: &[&str]| -> Result<Command> {
        let mut command = Command::new(place::python_program("ruff")?);
        command.args(arguments).current_dir(place::repository());
        Ok(command)
    };
    Ok(vec![
        Run::lint("lints of the Rust sources", clippy),
        Run::lint("format of the Rust sources", format),
        Run::lint("format of the Python sources", ruff(&["format", "--check", "--quiet"])?),
        Run::lint("lints of the Python sources", ruff(&["check", "--quiet"])?),
        Run::check("types of the Python sources", types),
        Run::check("lints of the shell sources", shell),
        Run::lint("ansible-lint with its production profile", ansible_lint()?),
        Run::check("licences, sources and advisories of dependencies", dependencies),
        Run::check("lock file of the fuzzer", lock_file_of_the_fuzzer),
    ])
}

fn types() -> Result<Report> {
    // The name under which Ansible imports the collection.
    let imported = place::target()?.join("imported/ansible_collections/seguest");
    fs::create_dir_all(&imported)?;
    let link = imported.join("pv");
    if fs::symlink_metadata(&link).is_err() {
        symlink(place::repository().join("collection"), &link)?;
    }
    let paths = [place::target()?.join("imported"), place::repository().join("tests/ansible")];
    for what in [&["--package", "ansible_collections.seguest.pv.plugins"][..], &["tests/ansible"]] {
        let mut mypy = Command::new(place::python_program("mypy")?);
        mypy.current_dir(place::repository()).env("MYPYPATH", std::env::join_paths(&paths)?);
        mypy.arg("--cache-dir").arg(place::target()?.join("mypy")).args(what);
        quietly(&mut mypy)?;
    }
    Ok(Report::done())
}

/// The shell that runs on targets, and what helps us here.
fn shell() -> Result<Report> {
    let program = match unpacked::shellcheck() {
        Ok(program) => program,
        Err(why) => return Ok(Report::skipped(format!("lints of the shell sources: {why:#}"))),
    };
    let mut scripts = Vec::new();
    for folder in [".ci", "collection", "tests"] {
        collect_scripts(&place::repository().join(folder), &mut scripts)?;
    }
    ensure!(!scripts.is_empty(), "there are no shell sources");
    quietly(Command::new(&program).args(["--norc", "--exclude", MEANT]).args(&scripts))?;
    Ok(Report::done())
}

fn collect_scripts(folder: &Path, into: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        if path.is_dir() {
            collect_scripts(&path, into)?;
        } else if path.extension().is_some_and(|extension| extension == "sh") || has_shebang(&path)? {
            into.push(path);
        }
    }
    Ok(())
}

/// Whether a file without extension says that a shell runs it.
fn has_shebang(path: &Path) -> Result<bool> {
    if path.extension().is_some() {
        return Ok(false);
    }
    let mut head = Vec::new();
    fs::File::open(path)?.take(64).read_to_end(&mut head)?;
    let line = head.split(|byte| *byte == b'\n').next().unwrap_or_default();
    Ok(line.starts_with(b"#!") && line.ends_with(b"sh"))
}

fn ansible_lint() -> Result<Command> {
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
    Ok(command)
}

/// Licences, sources and, where their database can be had, advisories of what is linked in.
fn dependencies() -> Result<Report> {
    if Command::new("cargo-deny").arg("--version").output().is_err() {
        let what = "LICENCES, SOURCES AND ADVISORIES OF DEPENDENCIES WERE NOT CHECKED: cargo-deny is not installed";
        return Ok(Report::skipped(what.into()));
    }
    let deny = |arguments: &[&str]| quietly(cargo().args(["deny", "--locked"]).args(arguments));
    deny(&["--offline", "check", "bans", "licenses", "sources"])?;
    if deny(&["fetch", "db"]).is_err() {
        let what = "ADVISORIES OF DEPENDENCIES WERE NOT CHECKED: their database could not be fetched";
        return Ok(Report::skipped(what.into()));
    }
    deny(&["--offline", "check", "advisories"])?;
    Ok(Report::done())
}

/// That the fuzzer, which is a workspace of its own and not built by tests, has the dependencies of ours in its lock file.
fn lock_file_of_the_fuzzer() -> Result<Report> {
    let manifest = "tests/fuzz/Cargo.toml";
    let mut metadata = cargo();
    metadata.args(["metadata", "--locked", "--offline", "--format-version", "1", "--manifest-path", manifest]);
    let output = metadata.output()?;
    if output.status.success() {
        return Ok(Report::done());
    }
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(
        !said.contains("lock file"),
        "tests/fuzz/Cargo.lock is out of date: cargo metadata --manifest-path {manifest}\n{said}"
    );
    // What only the fuzzer depends on need not have been downloaded.
    Ok(Report::skipped(format!("THE FUZZER'S LOCK FILE WAS NOT CHECKED: {}", said.trim())))
}
