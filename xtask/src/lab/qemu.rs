//! QEMU with the patch in `tests/real-kernel/qemu`: built once, and again when the patch or the source is another.

use super::fetch::{source, tools, unpack_source};
use crate::chore::{quietly, step};
use crate::machine;
use crate::prepare::python_environment;
use anyhow::{Context, Result, ensure};
use e2e::place;
use pv_wire::encode_hex;
use sha2::{Digest, Sha256};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

const PROGRAM: &str = "qemu-system-s390x";

const CONFIGURE: [&str; 10] = [
    "--target-list=s390x-softmmu",
    "--without-default-features",
    "--enable-tcg",
    "--disable-kvm",
    "--disable-fdt",
    "--disable-install-blobs",
    "--disable-docs",
    "--disable-tools",
    "--disable-guest-agent",
    "--disable-werror",
];

fn patches() -> PathBuf {
    place::repository().join("tests/real-kernel/qemu")
}

/// Whether it was ever built.
pub fn is_built(folder: &Path) -> bool {
    folder.join("qemu").join(PROGRAM).exists()
}

/// Builds it, unless it is there.
///
/// # Errors
/// What a tool said.
pub fn build(folder: &Path) -> Result<()> {
    let patch = patches().join("machine_socket.patch");
    let archive = source(folder)?.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let wanted = format!("{archive} {}", encode_hex(&Sha256::digest(fs::read(&patch)?)));
    let stamp = folder.join("qemu/built");
    if fs::read_to_string(&stamp).is_ok_and(|found| found == wanted) {
        return Ok(());
    }
    let work = folder.join("work");
    step("Unpacking and patching QEMU", || {
        unpack_source(folder, &work)?;
        quietly(Command::new("patch").args(["--strip=1", "--input"]).arg(&patch).current_dir(&work)).map(|_| ())
    })?;
    let environment = folder.join("venv");
    step("Fetching meson", || {
        python_environment(Path::new(machine::python()?), &patches().join("requirements.txt"), &environment)
    })?;
    let build = work.join("build");
    fs::create_dir_all(&build)?;
    step("Configuring QEMU", || {
        let mut command = command(folder, work.join("configure"))?;
        command.arg(format!("--python={}", environment.join("bin/python").display())).args(CONFIGURE);
        quietly(command.current_dir(&build)).map(|_| ())
    })?;
    step("Building QEMU, 1352 files (see work/build/log in the laboratory's folder)", || {
        let log = File::create(build.join("log"))?;
        let mut ninja = command(folder, "nice".into())?;
        let ninja = ninja.args(["ninja", PROGRAM]).current_dir(&build).stdout(log.try_clone()?).stderr(log);
        ensure!(ninja.status().context("ninja")?.success(), "it failed: see {}", build.join("log").display());
        Ok(())
    })?;
    step("Putting QEMU where it is run", || install(folder, &build))?;
    fs::write(stamp, wanted)?;
    Ok(fs::remove_dir_all(work)?)
}

/// A program that finds the unpacked tools, headers and libraries.
fn command(folder: &Path, program: PathBuf) -> Result<Command> {
    let here = tools(folder);
    let libraries = ["usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu"].map(|name| here.join(name));
    let pkgconfig = [here.join("usr/lib/x86_64-linux-gnu/pkgconfig"), here.join("usr/share/pkgconfig")];
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = [folder.join("venv/bin"), here.join("usr/bin")].into_iter().chain(std::env::split_paths(&path));
    let mut command = Command::new(program);
    command
        .env("PATH", std::env::join_paths(folders)?)
        .env("PKG_CONFIG_SYSROOT_DIR", &here)
        .env("PKG_CONFIG_LIBDIR", std::env::join_paths(pkgconfig)?)
        .env("LD_LIBRARY_PATH", std::env::join_paths(&libraries)?)
        .env("LIBRARY_PATH", std::env::join_paths(&libraries)?);
    Ok(command)
}

/// The program, the libraries that it loads, and its firmware.
fn install(folder: &Path, build: &Path) -> Result<()> {
    let (to, here) = (folder.join("qemu"), tools(folder));
    fs::create_dir_all(to.join("lib"))?;
    for library in ["usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu"] {
        for entry in fs::read_dir(here.join(library)).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            // By the names that programs load them by; links are followed.
            if name.contains(".so.") && entry.path().exists() {
                fs::copy(entry.path(), to.join("lib").join(name))?;
            }
        }
    }
    fs::copy(here.join("usr/share/qemu/s390-ccw.img"), to.join("s390-ccw.img"))?;
    let program = to.join(PROGRAM);
    if program.exists() {
        fs::remove_file(&program)?;
    }
    fs::copy(build.join(PROGRAM), &program)?;
    Ok(())
}
