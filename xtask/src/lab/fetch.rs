//! Debian's packages for the laboratory: kernels and a shell for s390x, the source of QEMU, and what that is built with.

use crate::chore::{quietly, step};
use crate::dist::apt::Apt;
use anyhow::{Context, Result, ensure};
use e2e::lab::{KERNELS, MODULES, NETWORK, NEWEST};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where kernels newer than Debian 12's come from.
const SUITES: [&str; 2] = ["bookworm-backports", "sid"];
/// The suite of QEMU's source.
const QEMU_SUITE: &str = "bookworm-backports";
const SHELL: &str = "busybox-static:s390x";
/// An SSH server for guests, and the packages of the libraries that it loads, for s390x.
const SERVER: [&str; 7] = ["dropbear-bin", "libc6", "libcrypt1", "libgmp10", "libtomcrypt1", "libtommath1", "zlib1g"];
/// Those libraries by the names that programs load them by.
const LIBRARIES: [&str; 7] =
    ["ld64.so.1", "libc.so.6", "libcrypt.so.1", "libgmp.so.10", "libtomcrypt.so.1", "libtommath.so.1", "libz.so.1"];
/// QEMU's own firmware; `-kernel` does not work without it.
const FIRMWARE: &str = "qemu-system-data";

/// What QEMU is built with. Nothing of it is installed.
const TOOLS: [&str; 20] = [
    "libblkid-dev",
    "libblkid1",
    "libffi-dev",
    "libffi8",
    "libglib2.0-0",
    "libglib2.0-dev",
    "libglib2.0-dev-bin",
    "libmount-dev",
    "libmount1",
    "libpcre2-8-0",
    "libpcre2-dev",
    "libselinux1",
    "libselinux1-dev",
    "libsepol-dev",
    "libsepol2",
    "ninja-build",
    "uuid-dev",
    "zlib1g",
    "zlib1g-dev",
    FIRMWARE,
];

/// Below the laboratory's folder: what was unpacked for this machine.
pub fn tools(folder: &Path) -> PathBuf {
    folder.join("here")
}

/// The source of QEMU, as Debian packs it.
///
/// # Errors
/// If there is none.
pub fn source(folder: &Path) -> Result<PathBuf> {
    let found = fs::read_dir(folder.join("source"))?.flatten().map(|entry| entry.path());
    let mut archives = found.filter(|path| path.to_string_lossy().contains(".orig.tar."));
    archives.next().context("the source of QEMU is not there")
}

/// Fetches what is not there yet.
///
/// # Errors
/// What apt says, or if a package has not what is expected.
pub fn fetch(folder: &Path) -> Result<()> {
    let stamp = folder.join("fetched");
    let wanted = format!("{TOOLS:?} {SUITES:?} {KERNELS:?} {MODULES:?} {NETWORK:?} {SERVER:?}");
    if fs::read_to_string(&stamp).is_ok_and(|found| found == wanted) {
        return Ok(());
    }
    step("Fetching kernels for s390x and QEMU's source", || all(folder))?;
    Ok(fs::write(stamp, wanted)?)
}

fn all(folder: &Path) -> Result<()> {
    let apt = Apt::with_suites(&folder.join("apt"), &["amd64", "s390x"], &SUITES)?;
    apt.download_source("qemu", QEMU_SUITE)?;
    fs::create_dir_all(folder.join("source"))?;
    for entry in fs::read_dir(apt.packages())?.flatten() {
        fs::rename(entry.path(), folder.join("source").join(entry.file_name()))?;
    }
    let mut packages: Vec<String> = TOOLS.iter().map(|name| (*name).to_owned()).chain([SHELL.into()]).collect();
    packages.extend(SERVER.map(|name| format!("{name}:s390x")));
    for version in KERNELS {
        let found =
            apt.names(&format!("^linux-(image|binary|modules)-{}[0-9.]*[+].*-s390x$", version.replace('.', "[.]")))?;
        ensure!(!found.is_empty(), "no suite of {SUITES:?} has a kernel {version} any more");
        // Newer kernels are in packages of their own, and so are their modules.
        let split = found.iter().any(|name| name.starts_with("linux-modules-"));
        let parts = found.into_iter().filter(|name| split != name.starts_with("linux-image-"));
        packages.extend(parts.map(|name| format!("{name}:s390x")));
    }
    apt.download(&packages)?;
    let (here, there) = (tools(folder), folder.join("s390x"));
    for old in [&here, &there] {
        if old.exists() {
            fs::remove_dir_all(old)?;
        }
    }
    apt.unpack(|architecture| if architecture == "s390x" { there.clone() } else { here.clone() })?;
    fs::copy(there.join("bin/busybox"), folder.join("busybox"))?;
    server(&there, &folder.join("ssh"))?;
    KERNELS.iter().try_for_each(|version| kernel(&there, &folder.join("kernels").join(version), version))?;
    Ok(fs::remove_dir_all(there)?)
}

/// Fetches the newest kernel of Debian's suite experimental, if it has one that is newer than those of the laboratory. What is
/// there already stays: remove its folder, and the next one is fetched.
///
/// # Errors
/// What apt says, or if a package has not what is expected.
pub fn newest(folder: &Path) -> Result<()> {
    let to = folder.join("kernels").join(NEWEST);
    if to.join("vmlinuz").exists() {
        return Ok(());
    }
    step("Looking for a newer kernel in Debian's suite experimental", || {
        let apt = Apt::with_suites(&folder.join("apt"), &["s390x"], &[NEWEST])?;
        // Stable kernels have more in their names, such as 6.1.0-40, and those of the laboratory a plus sign.
        let found = apt.names("^linux-binary-[0-9]+[.][0-9.]+-s390x$")?;
        let numbers =
            |version: &str| version.split('.').map(|number| number.parse().unwrap_or(0)).collect::<Vec<u32>>();
        let versions = found.iter().filter_map(|name| name.strip_prefix("linux-binary-")?.strip_suffix("-s390x"));
        let known = KERNELS.iter().map(|version| numbers(version)).max();
        let Some(version) =
            versions.max_by_key(|version| numbers(version)).filter(|version| Some(numbers(version)) > known)
        else {
            println!("there is none");
            return Ok(());
        };
        apt.download(&[format!("linux-binary-{version}-s390x:s390x"), format!("linux-modules-{version}-s390x:s390x")])?;
        let there = folder.join("s390x");
        apt.unpack(|_| there.clone())?;
        kernel(&there, &to, version)?;
        Ok(fs::remove_dir_all(there)?)
    })
}

/// Takes the SSH server and its libraries out of what was unpacked.
fn server(unpacked: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    fs::copy(unpacked.join("usr/sbin/dropbear"), to.join("dropbear"))?;
    for library in LIBRARIES {
        let folders = ["lib", "lib/s390x-linux-gnu", "usr/lib/s390x-linux-gnu"];
        let found = folders.map(|folder| unpacked.join(folder).join(library)).into_iter().find(|path| path.exists());
        fs::copy(found.with_context(|| format!("no package had {library}"))?, to.join(library))?;
    }
    Ok(())
}

/// Takes a kernel and what the laboratory loads of its modules out of what was unpacked.
fn kernel(unpacked: &Path, to: &Path, version: &str) -> Result<()> {
    fs::create_dir_all(to)?;
    let folders = ["lib/modules", "usr/lib/modules"].map(|name| unpacked.join(name));
    let found = folders.iter().flat_map(fs::read_dir).flatten().flatten().map(|entry| entry.path());
    let starts = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        name.strip_prefix(version).is_some_and(|rest| rest.starts_with(['.', '-', '+', '~']))
    };
    let modules = found.into_iter().find(starts).with_context(|| format!("no package had modules of {version}"))?;
    let release = modules.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let kernels = [unpacked.join("boot").join(format!("vmlinuz-{release}")), modules.join("vmlinuz")];
    let kernel =
        kernels.iter().find(|path| path.exists()).with_context(|| format!("no package had {release} itself"))?;
    fs::copy(kernel, to.join("vmlinuz"))?;
    for module in MODULES.iter().chain(&NETWORK) {
        let place = match *module {
            "uvdevice" => "drivers/s390/char",
            "failover" => "net/core",
            "net_failover" | "virtio_net" => "drivers/net",
            _ => "drivers/s390/crypto",
        };
        let packed = modules.join(format!("kernel/{place}/{module}.ko.xz"));
        let module = File::create(to.join(format!("{module}.ko")))?;
        let mut xz = Command::new("xz");
        let status = xz.args(["--decompress", "--stdout"]).arg(&packed).stdout(module).status().context("xz")?;
        ensure!(status.success(), "{} cannot be unpacked", packed.display());
    }
    Ok(fs::write(to.join("release"), release)?)
}

/// Unpacks the source anew.
///
/// # Errors
/// What tar says.
pub fn unpack_source(folder: &Path, to: &Path) -> Result<()> {
    if to.exists() {
        fs::remove_dir_all(to)?;
    }
    fs::create_dir_all(to)?;
    quietly(
        Command::new("tar")
            .arg("--extract")
            .arg("--strip-components=1")
            .arg("--directory")
            .arg(to)
            .arg("--file")
            .arg(source(folder)?),
    )
    .map(|_| ())
}
