//! Programs of Debian's packages that this machine may lack: what simulated guests need for real SSH, and what lints shell
//! sources. Only unpacked below `target/`, never installed: an installed server would be started for everybody.

use crate::chore::{quietly, step};
use anyhow::{Context, Result, ensure};
use e2e::place;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A program below `/usr`, and the package that has it on Debian and Ubuntu.
type Wanted = (&'static str, &'static str);

const FOR_GUESTS: [Wanted; 2] = [("sbin/sshd", "openssh-server"), ("bin/sudo", "sudo")];
const SHELLCHECK: Wanted = ("bin/shellcheck", "shellcheck");

/// Fetches an OpenSSH server and sudo for simulated guests, if they are missing, by apt-get. Nothing depends on its
/// success: tests that need them are skipped without them, and say so.
pub fn guest_system() {
    if let Err(why) = place::guest_system().and_then(|folder| complete(&folder, &FOR_GUESTS)) {
        println!("    {why:#}");
    }
}

/// The program shellcheck, fetched if it is missing.
///
/// # Errors
/// Why there is none.
pub fn shellcheck() -> Result<PathBuf> {
    let folder = place::target()?.join("shellcheck");
    complete(&folder, &[SHELLCHECK])?;
    let found = [Path::new("/usr"), &folder.join("usr")].map(|usr| usr.join(SHELLCHECK.0));
    found.into_iter().find(|program| program.exists()).context("there is no shellcheck")
}

/// Sees to it that each of these programs is on this machine or unpacked in the folder.
fn complete(whole: &Path, wanted: &[Wanted]) -> Result<()> {
    if missing(wanted, whole).is_empty() {
        return Ok(());
    }
    // What was unpacked before is replaced, so it is all that the machine lacks.
    let packages = missing(wanted, Path::new("/"));
    let name = whole.file_name().unwrap_or_default().to_string_lossy();
    let what = format!("Fetching {} into target/{name}", packages.join(" and "));
    step(&what, || fetch(whole, wanted, &packages))
}

/// The packages of what is neither on this machine nor unpacked in a folder.
fn missing(wanted: &[Wanted], unpacked: &Path) -> Vec<&'static str> {
    let has = |program: &str| [Path::new("/usr"), &unpacked.join("usr")].iter().any(|usr| usr.join(program).exists());
    wanted.iter().filter(|(program, _)| !has(program)).map(|(_, package)| *package).collect()
}

/// What is in its place is complete: it gets there only as a whole.
fn fetch(whole: &Path, wanted: &[Wanted], packages: &[&str]) -> Result<()> {
    let to = whole.with_extension("new");
    remove(&to)?;
    let archives = to.join("archives");
    fs::create_dir_all(archives.join("partial"))?;
    let option = |key: &str, value: &Path| {
        let mut option = OsString::from(format!("{key}="));
        option.push(value);
        option
    };
    let download = || {
        // With all that they depend on and that is not installed. Neither needs root nor waits for who installs.
        quietly(
            Command::new("apt-get")
                .args([
                    "install",
                    "--download-only",
                    "--yes",
                    "--no-install-recommends",
                    "-o",
                    "Debug::NoLocking=true",
                    "-o",
                ])
                .arg(option("Dir::Cache::Archives", &archives))
                .args(packages)
                .env("DEBIAN_FRONTEND", "noninteractive"),
        )
    };
    if download().is_err() {
        // A fresh image has no package lists, and an old one stale ones; only root brings them.
        let _ = quietly(Command::new("apt-get").arg("update"));
        download().with_context(|| format!("without apt-get, install {} yourself", packages.join(" and ")))?;
    }
    // All of it belongs below /usr, whatever a package says.
    for folder in ["bin", "sbin", "lib", "lib64"] {
        fs::create_dir_all(to.join("usr").join(folder))?;
        if fs::symlink_metadata(to.join(folder)).is_err() {
            symlink(Path::new("usr").join(folder), to.join(folder))?;
        }
    }
    for entry in fs::read_dir(&archives)? {
        let archive = entry?.path();
        if archive.extension().is_some_and(|extension| extension == "deb") {
            unpack(&archive, &to)?;
        }
    }
    let lacking = missing(wanted, &to);
    ensure!(lacking.is_empty(), "{} is still missing", lacking.join(" and "));
    fs::remove_dir_all(&archives)?;
    remove(whole)?;
    Ok(fs::rename(&to, whole)?)
}

/// Removes a folder, if it is there.
fn remove(folder: &Path) -> Result<()> {
    if folder.exists() { fs::remove_dir_all(folder) } else { Ok(()) }
        .with_context(|| format!("{} cannot be removed", folder.display()))
}

/// As root, owners and the bit that makes sudo root's are kept.
fn unpack(archive: &Path, to: &Path) -> Result<()> {
    let mut contents = Command::new("dpkg-deb")
        .arg("--fsys-tarfile")
        .arg(archive)
        .stdout(Stdio::piped())
        .spawn()
        .context("dpkg-deb")?;
    let tar = contents.stdout.take().context("no output of dpkg-deb")?;
    let status = Command::new("tar")
        .args(["--extract", "--preserve-permissions", "--keep-directory-symlink", "--directory"])
        .arg(to)
        .stdin(tar)
        .status()?;
    ensure!(status.success() && contents.wait()?.success(), "{} cannot be unpacked", archive.display());
    Ok(())
}
