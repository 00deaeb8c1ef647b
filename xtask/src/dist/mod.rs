//! Everything that a user installs, for every machine, in target/dist: the collection, checksums and a list of what is in
//! it. The same source and the same cargo are to give the same bytes wherever it is built.

pub mod apt;
mod archive;
mod elf;
mod emulated_guest;
mod kernel;
mod licences;
mod linked;
mod openssl;
mod programs;
mod sbom;
mod toolchain;
mod trial;

use crate::chore::{quietly, step};
use crate::prepare::{SIMULATION, ansible, build_collection, stage_collection};
use crate::unpacked::guest_system;
use crate::{build, machine};
use anyhow::{Context, Result};
use e2e::{place, provision_from_tarball};
use kernel::Kernel;
use linked::Linked;
use openssl::OpenSsl;
pub use programs::weigh;
use programs::{Built, MACHINES, Traces, batches};
use pv_wire::encode_hex;
use sha2::{Digest, Sha256};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use toolchain::{EMULATED, Toolchain};

/// The program that asks real hardware.
pub const HARDWARE: &str = "hardware-questions";

/// Builds it.
///
/// # Errors
/// What this machine lacks, what a tool said, or which rule a program breaks.
pub fn dist() -> Result<()> {
    place::use_what_ships();
    machine::can_build()?;
    let python = machine::python()?;
    let time = source_time()?;
    let tools = Toolchain::make(python)?;
    ansible(python)?;
    let traces = Traces::of(&tools)?;
    let linked = Linked::on(&tools, &MACHINES)?;
    let mut built = Vec::new();
    for batch in batches() {
        let title = format!("Building OpenSSL for {}", batch.machine);
        let openssl = (!batch.is_static).then(|| step(&title, || OpenSsl::build(&tools, batch.machine, &linked)));
        let openssl = openssl.transpose()?;
        let title = format!("Building for {}", batch.title());
        built.extend(step(&title, || batch.build(&tools, &traces, openssl.as_ref()))?);
    }
    for (machine, _) in EMULATED {
        step(&format!("Trying the programs for {machine}"), || trial::compare(&tools, machine, &built))?;
    }
    in_guests(&tools, &traces, &built)?;
    let output = place::target()?.join("dist");
    step("Packing the collection", || pack(&output, &built, &linked, time))?;
    use_it(&output.join(place::tarball_name()))?;
    print!("{}", table(&built));
    println!("\nAll of it is in {}. To install it:\n", output.display());
    println!("  ansible-galaxy collection install {}", output.join(place::tarball_name()).display());
    Ok(())
}

/// The programs that run in guests, for s390x and as they ship, by module; to be tried, so no size is too large here.
///
/// # Errors
/// As [`dist`].
pub fn for_guests() -> Result<Vec<(&'static str, PathBuf)>> {
    let tools = Toolchain::make(machine::python()?)?;
    let traces = Traces::of(&tools)?;
    let batch = batches().into_iter().find(|batch| batch.machine == "s390x" && batch.is_static);
    let batch = batch.context("no program is built for s390x guests")?;
    let made = step(&format!("Building for {}", batch.title()), || batch.compile(&tools, &traces, None))?;
    Ok(batch.modules.iter().map(|module| (*module, made.join(module))).collect())
}

/// The program of `tests/hardware` for s390x, which asks real hardware and does not ship.
///
/// # Errors
/// As [`dist`].
pub fn hardware_questions() -> Result<PathBuf> {
    let tools = Toolchain::make(machine::python()?)?;
    let traces = Traces::of(&tools)?;
    step("Building for s390x (static): hardware-questions", || programs::unshipped(HARDWARE, &tools, &traces))
}

fn pack(output: &Path, built: &[Built], linked: &Linked<'_>, time: u64) -> Result<()> {
    if output.exists() {
        fs::remove_dir_all(output)?;
    }
    fs::create_dir_all(output)?;
    let stage = place::target()?.join("dist-stage");
    stage_collection(&stage, built.iter().map(|built| (built.machine, built.module, built.path.clone())))?;
    fs::write(stage.join("files/LICENSES.txt"), licences::of(built, linked)?)?;
    let tarball = build_collection(&stage, output)?;
    fs::write(&tarball, archive::repack(&fs::read(&tarball)?, time)?)?;
    fs::write(output.join("sbom.cdx.json"), sbom::of(built, linked, time)?)?;
    let mut sums = String::new();
    for name in [place::tarball_name(), "sbom.cdx.json".into()] {
        sums += &format!("{}  {name}\n", sha256(&output.join(&name))?);
    }
    Ok(fs::write(output.join("SHA256SUMS"), sums)?)
}

/// Tries the programs for s390x with a kernel for s390x.
fn in_guests(tools: &Toolchain, traces: &Traces, built: &[Built]) -> Result<()> {
    if let Err(why) = machine::can_run_guests() {
        println!("Not tried in simulated guests: {why:#}");
        return Ok(());
    }
    step("Building the simulator", || build::as_they_ship(&SIMULATION))?;
    let simulator = step("Building the simulator for s390x", || programs::simulator(tools, traces))?;
    let kernel = step("Fetching a kernel for s390x and a machine for it", || Kernel::fetch(tools))?;
    step("Trying the guests' programs in a simulated guest on that kernel", || {
        emulated_guest::compare(tools, &kernel, &simulator, built)
    })
}

/// Does with the tarball as a user does.
fn use_it(tarball: &Path) -> Result<()> {
    if machine::can_run_guests().is_err() {
        return Ok(());
    }
    guest_system();
    let programs = place::python_program("ansible-playbook")?;
    let programs = programs.parent().context("no folder of programs")?;
    let dir = tempfile::tempdir()?;
    let how = step("Provisioning simulated guests with nothing but the tarball and ansible-core", || {
        provision_from_tarball(tarball, programs, dir.path())
    })?;
    println!("    (they were reached {how})");
    Ok(())
}

/// The time that files in the tarball carry: of the last commit, or what `SOURCE_DATE_EPOCH` says.
fn source_time() -> Result<u64> {
    let asked = std::env::var("SOURCE_DATE_EPOCH").ok();
    let text = asked.map_or_else(
        || {
            let mut git = Command::new("git");
            let output = quietly(git.args(["log", "-1", "--format=%ct"]).current_dir(place::repository()))
                .context("the time of the last commit; without git, set SOURCE_DATE_EPOCH to seconds since 1970")?;
            Ok::<_, anyhow::Error>(String::from_utf8_lossy(&output.stdout).into_owned())
        },
        Ok,
    )?;
    text.trim().parse().with_context(|| format!("{:?} is no time in seconds since 1970", text.trim()))
}

fn sha256(path: &Path) -> Result<String> {
    Ok(encode_hex(&Sha256::digest(fs::read(path).with_context(|| path.display().to_string())?)))
}

fn table(built: &[Built]) -> String {
    let mut table = format!("\n{:<16} {:<8} {:>9}  needs\n", "module", "machine", "bytes");
    for one in built {
        let needs = match one.found.glibc {
            Some((major, minor)) => format!("glibc {major}.{minor}"),
            None => "nothing".into(),
        };
        table += &format!("{:<16} {:<8} {:>9}  {needs}\n", one.module, one.machine, one.size);
    }
    table
}
