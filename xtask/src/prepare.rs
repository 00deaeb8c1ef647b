//! What tests and demo stand on: the binaries as they ship, the pinned ansible-core, the collection as installed.

use crate::chore::{cargo, openssl_features, quietly, step};
use crate::machine;
use anyhow::{Result, ensure};
use e2e::place;
use sha2::{Digest, Sha256};
use std::fs;
use std::path::Path;
use std::process::Command;

/// The modules, by name.
pub const MODULES: [&str; 7] =
    ["secret_request", "request_info", "secret_add", "secret_lock", "secret_retrieve", "ap_bind", "facts"];

/// Makes all of it; what is there already and still right stays.
///
/// # Errors
/// What is missing and what to do about it.
pub fn prepare() -> Result<()> {
    machine::can_build()?;
    let python = machine::python()?;
    step("Building what ships, the simulator and the pretend key hierarchy", build)?;
    step("Installing the pinned ansible-core", || python_environment(python))?;
    step("Building and installing the collection", collection)
}

fn build() -> Result<()> {
    release(MODULES.iter().chain(&["guest-sim", "test-pki"]))
}

/// Builds only some packages as they ship.
///
/// # Errors
/// What is missing, or what the compiler said.
pub fn build_for(what: &str, packages: &[&str]) -> Result<()> {
    machine::can_build()?;
    step(&format!("Building what {what} needs"), || release(packages))
}

fn release<'a>(packages: impl IntoIterator<Item = &'a &'a str>) -> Result<()> {
    let mut command = cargo();
    command.args(["build", "--release"]).args(openssl_features());
    for package in packages {
        command.args(["--package", package]);
    }
    quietly(&mut command).map(|_| ())
}

/// A virtual environment with what tests/requirements.txt pins; made anew when that file changes.
fn python_environment(python: &str) -> Result<()> {
    let requirements = place::repository().join("tests/requirements.txt");
    let wanted = pv_hex(&Sha256::digest(fs::read(&requirements)?));
    let environment = place::target()?.join("venv");
    let stamp = environment.join("requirements.sha256");
    if fs::read_to_string(&stamp).is_ok_and(|found| found == wanted) {
        return Ok(());
    }
    if environment.exists() {
        fs::remove_dir_all(&environment)?;
    }
    quietly(Command::new(python).args(["-m", "venv"]).arg(&environment))?;
    quietly(
        Command::new(environment.join("bin/python"))
            .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"])
            .arg(&requirements),
    )?;
    Ok(fs::write(stamp, wanted)?)
}

/// Puts the binaries of this machine's architecture into the collection and installs it from its tarball.
fn collection() -> Result<()> {
    let target = place::target()?;
    let stage = target.join("stage");
    if stage.exists() {
        fs::remove_dir_all(&stage)?;
    }
    copy_folder(&place::repository().join("collection"), &stage)?;
    let binaries = stage.join("files").join(std::env::consts::ARCH);
    fs::create_dir_all(&binaries)?;
    for module in MODULES {
        fs::copy(place::binary(module)?, binaries.join(module))?;
    }
    fs::copy(place::repository().join("LICENSE"), stage.join("files/LICENSE"))?;
    let galaxy = |arguments: &[&str]| {
        quietly(
            Command::new(place::python_program("ansible-galaxy")?)
                .args(["collection"])
                .args(arguments)
                .current_dir(&target),
        )
    };
    galaxy(&["build", "--force", "stage", "--output-path", "."])?;
    let tarball = format!("seguest-pv-{}.tar.gz", env!("CARGO_PKG_VERSION"));
    ensure!(
        target.join(&tarball).exists(),
        "ansible-galaxy did not make {tarball}: is the version in collection/galaxy.yml the workspace's?"
    );
    galaxy(&["install", "--force", "--offline", &tarball, "--collections-path", "collections"])?;
    Ok(())
}

fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        // What Python leaves behind is no part of the collection.
        if entry.file_name() == "__pycache__" {
            continue;
        }
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

fn pv_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
