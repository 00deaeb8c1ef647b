//! What tests, demo and benchmarks stand on: the programs, the pinned ansible-core, the collection as installed.

use crate::build::TestProgram;
use crate::chore::{quietly, step};
use crate::{build, machine};
use anyhow::{Result, bail, ensure};
use e2e::place;
use pv_wire::encode_hex;
use sha2::{Digest, Sha256};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The modules, by name.
pub const MODULES: [&str; 11] = [
    "secret_request",
    "request_info",
    "guest",
    "secret_add",
    "secret_lock",
    "secret_retrieve",
    "ap_bind",
    "facts",
    "attest",
    "attest_request",
    "attest_verify",
];

/// What simulated guests are made with; it never ships.
pub const SIMULATION: [&str; 2] = ["guest-sim", "test-pki"];

/// Makes all of it for tests, and gives the programs with tests; what is there already and still right stays.
///
/// # Errors
/// What is missing and what to do about it.
pub fn prepare() -> Result<Vec<TestProgram>> {
    machine::can_build()?;
    let python = machine::python()?;
    // One waits for the network, the other computes.
    let (tests, environment) = std::thread::scope(|scope| {
        let environment = scope.spawn(|| pinned_environment(python));
        let tests = step("Building the programs and their tests", build::for_tests);
        (tests, step("Installing the pinned ansible-core", || environment.join().unwrap_or_else(|_| bail!("a bug"))))
    });
    let tests = tests?;
    environment?;
    collection()?;
    Ok(tests)
}

/// The same for benchmarks, with the programs as they ship.
///
/// # Errors
/// As [`prepare`].
pub fn prepare_what_ships() -> Result<()> {
    machine::can_build()?;
    let python = machine::python()?;
    step("Building what ships", || build::as_they_ship(&[&MODULES[..], &SIMULATION].concat()))?;
    ansible(python)?;
    collection()
}

/// Installs the ansible-core that tests/requirements.txt pins.
///
/// # Errors
/// What pip said.
pub fn ansible(python: &str) -> Result<()> {
    step("Installing the pinned ansible-core", || pinned_environment(python))
}

fn pinned_environment(python: &str) -> Result<()> {
    let requirements = place::repository().join("tests/requirements.txt");
    python_environment(Path::new(python), &requirements, &place::environment(None)?)
}

/// A virtual environment with what a file of requirements pins; made anew when that file changes.
///
/// # Errors
/// What pip said.
pub fn python_environment(python: &Path, requirements: &Path, environment: &Path) -> Result<()> {
    let wanted = encode_hex(&Sha256::digest(fs::read(requirements)?));
    let stamp = environment.join("requirements.sha256");
    if fs::read_to_string(&stamp).is_ok_and(|found| found == wanted) {
        return Ok(());
    }
    if environment.exists() {
        fs::remove_dir_all(environment)?;
    }
    quietly(Command::new(python).args(["-m", "venv"]).arg(environment))?;
    quietly(
        Command::new(environment.join("bin/python"))
            .args([
                "-m",
                "pip",
                "install",
                "--quiet",
                "--disable-pip-version-check",
                "--require-hashes",
                "--requirement",
            ])
            .arg(requirements),
    )?;
    Ok(fs::write(stamp, wanted)?)
}

/// Puts the binaries of this machine's architecture into the collection and installs it from its tarball, which is for
/// tests here and not for giving away: the licences of what is linked in are only in that of `dist`.
fn collection() -> Result<()> {
    step("Building and installing the collection", || {
        let binaries = MODULES.map(|module| place::binary(module).map(|path| (std::env::consts::ARCH, module, path)));
        let (stage, built) = (place::stage()?, place::built()?);
        stage_collection(&stage, binaries.into_iter().collect::<Result<Vec<_>>>()?)?;
        let tarball = build_collection(&stage, &built)?;
        // As users do it: the manifest's hashes are compared then.
        let tarball = tarball.to_string_lossy();
        galaxy(&["install", "--force", "--offline", &tarball, "--collections-path"], &built.join("collections"))
    })
}

/// Lays the collection out as it is packed: what git has of it, the playbooks, the binaries by architecture and module,
/// their licence.
///
/// # Errors
/// Of a file that cannot be copied.
pub fn stage_collection<'a>(
    stage: &Path,
    binaries: impl IntoIterator<Item = (&'a str, &'a str, PathBuf)>,
) -> Result<()> {
    if stage.exists() {
        fs::remove_dir_all(stage)?;
    }
    copy_folder(&place::repository().join("collection"), stage)?;
    copy_playbooks(&place::repository().join("playbooks"), stage)?;
    for (architecture, module, binary) in binaries {
        let folder = stage.join("files").join(architecture);
        fs::create_dir_all(&folder)?;
        fs::copy(binary, folder.join(module))?;
    }
    fs::copy(place::repository().join("LICENSE"), stage.join("files/LICENSE"))?;
    Ok(())
}

/// Packs it, and gives the tarball.
///
/// # Errors
/// What ansible-galaxy said.
pub fn build_collection(stage: &Path, output: &Path) -> Result<PathBuf> {
    galaxy(&["build", "--force", &stage.to_string_lossy(), "--output-path"], output)?;
    let tarball = output.join(place::tarball_name());
    ensure!(
        tarball.exists(),
        "ansible-galaxy did not make {}: is the version in collection/galaxy.yml the workspace's?",
        tarball.display()
    );
    Ok(tarball)
}

/// `ansible-galaxy collection`, of the pinned ansible-core.
///
/// # Errors
/// What it said.
fn galaxy(arguments: &[&str], folder: &Path) -> Result<()> {
    let program = place::python_program("ansible-galaxy")?;
    quietly(Command::new(program).arg("collection").args(arguments).arg(folder)).map(|_| ())
}

/// The playbooks with the tasks that they share, and the example inventory; not `ansible.cfg`, which is for working here.
fn copy_playbooks(from: &Path, stage: &Path) -> Result<()> {
    let to = stage.join("playbooks");
    copy_folder(&from.join("tasks"), &to.join("tasks"))?;
    // Beside the playbook `inventory`, Ansible would take the folder of that name for it.
    copy_folder(&from.join("inventory"), &stage.join("docs/inventory"))?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        if entry.path().extension().is_some_and(|extension| extension == "yml") {
            fs::copy(entry.path(), to.join(entry.file_name()))?;
        }
    }
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
