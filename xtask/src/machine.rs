//! What the machine must have, asked before anything is built: what is missing is named in the first second, with the line
//! to type, and not after minutes by a compiler.

use crate::chore::{openssl_features, quietly, step};
use anyhow::{Context, Result, bail, ensure};
use std::fs;
use std::ops::RangeInclusive;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Modules of perl that OpenSSL's Configure loads and that a minimal perl comes without (Debian's perl-base, Fedora's
/// perl-interpreter).
const PERL_MODULES: [&str; 4] = ["FindBin", "IPC::Cmd", "File::Compare", "File::Copy"];

/// Settings with which systems keep ordinary users from making user namespaces, and the value that does so: of the
/// kernel, of Debian's kernels, of Ubuntu's.
const CLOSED_NAMESPACES: [(&str, &str); 3] = [
    ("user.max_user_namespaces", "0"),
    ("kernel.unprivileged_userns_clone", "0"),
    ("kernel.apparmor_restrict_unprivileged_userns", "1"),
];

/// Whether all is here that programs are built with and guests are simulated with.
///
/// # Errors
/// Naming all that is missing at once.
pub fn is_ready() -> Result<()> {
    let lacking = [can_run_guests(), can_build(), python().map(drop)];
    all_of(lacking.into_iter().filter_map(Result::err).map(|error| format!("{error:#}")).collect())
}

fn all_of(lacking: Vec<String>) -> Result<()> {
    match lacking.as_slice() {
        [] => Ok(()),
        [one] => bail!("{one}"),
        several => bail!("{} things are missing:\n  - {}", several.len(), several.join("\n  - ")),
    }
}

/// Whether what is not Rust can be built here.
///
/// # Errors
/// Naming all that is missing, and where it comes from.
pub fn can_build() -> Result<()> {
    let mut missing = Vec::new();
    if !runs(&program(&["CC"], "cc"), &["--version"]) {
        missing.push("a C compiler".to_owned());
    }
    if !openssl_features().is_empty() {
        if !runs("make", &["--version"]) {
            missing.push("make".into());
        }
        let modules = PERL_MODULES.map(|module| format!("-M{module}"));
        let arguments: Vec<_> = modules.iter().map(String::as_str).chain(["-e", "1"]).collect();
        if !runs(&program(&["OPENSSL_SRC_PERL", "PERL"], "perl"), &arguments) {
            missing.push(format!("perl with its modules {}", PERL_MODULES.join(", ")));
        }
    }
    ensure!(
        missing.is_empty(),
        "for building, this machine lacks {}. On Debian and Ubuntu, as root: apt-get install build-essential. \
         On Fedora: dnf install gcc make perl-core. On other systems: the packages of these names",
        missing.join(" and ")
    );
    Ok(())
}

/// Whether simulated guests can be mounted here.
///
/// # Errors
/// Saying what keeps them from it and how root opens it.
pub fn can_run_guests() -> Result<()> {
    fs::File::options().read(true).write(true).open("/dev/fuse").context(
        "/dev/fuse cannot be opened, and the simulated guests need it; as root: modprobe fuse && chmod 0666 /dev/fuse \
         (a container must be given the device by who starts it)",
    )?;
    if is_root()? {
        return Ok(());
    }
    for (setting, closed) in CLOSED_NAMESPACES {
        let found = fs::read_to_string(format!("/proc/sys/{}", setting.replace('.', "/"))).unwrap_or_default();
        ensure!(
            found.trim() != closed,
            "this system keeps ordinary users from making user namespaces ({setting} is {closed}), and the simulated \
             guests need one. As root: sysctl {setting}={}; or run this as root",
            if closed == "1" { "0" } else { "10000" }
        );
    }
    Ok(())
}

/// A Python that the pinned ansible-core runs on; if only its venv module is missing and this is root on a system with
/// apt-get, that is installed.
///
/// # Errors
/// What is missing and the line to type.
pub fn python() -> Result<&'static str> {
    let package = match choose(&pythons()) {
        Choice::Use(name) => return Ok(name),
        Choice::Older(version) => bail!(
            "ansible-core needs Python 3.11 or newer on the controller (never on a guest), and the newest here is {version}. \
             Install a newer one beside it; on Ubuntu 22.04, as root: apt-get install python3.11-venv"
        ),
        Choice::Install(package) => package,
    };
    let missing =
        "Python 3.11 or newer with its venv module, which the pinned ansible-core is installed with, was not found";
    ensure!(
        runs("apt-get", &["--version"]),
        "{missing}. This system has no apt-get: install it with this system's package manager"
    );
    ensure!(is_root()?, "{missing}. As root: apt-get install {package}");
    step(&format!("{missing}; installing {package} with apt-get"), || {
        let apt_get = |arguments: &[&str]| {
            quietly(Command::new("apt-get").args(arguments).env("DEBIAN_FRONTEND", "noninteractive"))
        };
        // A fresh image has no package lists. One unreachable source among them is for the installation to decide about.
        let _ = apt_get(&["update"]);
        apt_get(&["install", "--yes", "--no-install-recommends", &package])
    })?;
    match choose(&pythons()) {
        Choice::Use(name) => Ok(name),
        _ => bail!("{missing}, though {package} was installed: this system's Python is older"),
    }
}

/// A Python that can be called.
struct Python {
    name: &'static str,
    version: (u32, u32),
    has_venv: bool,
}

/// What to do with those that were found.
#[derive(Debug, PartialEq, Eq)]
enum Choice {
    Use(&'static str),
    Install(String),
    Older(String),
}

/// The system's comes first: one in a home folder may be out of reach for the other users that tests become.
const PYTHONS: [&str; 6] = ["/usr/bin/python3", "python3", "python3.11", "python3.12", "python3.13", "python3.14"];

fn pythons() -> Vec<Python> {
    let found = PYTHONS.map(|name| {
        let (version, has_venv) = ask(Path::new(name))?;
        Some(Python { name, version, has_venv })
    });
    found.into_iter().flatten().collect()
}

/// A Python of such a version that has its venv module, if there is one; also among those that pyenv keeps.
pub fn python_within(versions: &RangeInclusive<(u32, u32)>) -> Option<PathBuf> {
    let home = |folder: &str| Some(PathBuf::from(std::env::var_os("HOME")?).join(folder));
    let pyenv = std::env::var_os("PYENV_ROOT").map(PathBuf::from).or_else(|| home(".pyenv"));
    let kept = pyenv.and_then(|folder| fs::read_dir(folder.join("versions")).ok()).into_iter().flatten().flatten();
    let kept = kept.map(|folder| folder.path().join("bin/python3"));
    let mut all = PYTHONS.map(PathBuf::from).into_iter().chain(kept);
    all.find(|program| ask(program).is_some_and(|(version, has_venv)| has_venv && versions.contains(&version)))
}

/// The version of a Python, and whether it has its venv module; nothing if it cannot be called.
fn ask(program: &Path) -> Option<((u32, u32), bool)> {
    const ASK: &str = "import sys, importlib.util as u; \
                       print(*sys.version_info[:2], *(m for m in ('venv', 'ensurepip') if u.find_spec(m)))";
    let output = Command::new(program).args(["-c", ASK]).stdin(Stdio::null()).output().ok()?;
    let said = String::from_utf8(output.stdout).ok()?;
    let mut words = said.split_whitespace();
    let version = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    Some((version, words.count() == 2))
}

fn choose(found: &[Python]) -> Choice {
    let new_enough = || found.iter().filter(|python| python.version >= (3, 11));
    if let Some(python) = new_enough().find(|python| python.has_venv) {
        return Choice::Use(python.name);
    }
    match (new_enough().next(), found.iter().map(|python| python.version).max()) {
        // Debian and Ubuntu name the package after the program.
        (Some(python), _) => Choice::Install(format!("{}-venv", python.name.trim_start_matches("/usr/bin/"))),
        (None, Some((major, minor))) => Choice::Older(format!("{major}.{minor}")),
        (None, None) => Choice::Install("python3-venv".into()),
    }
}

fn is_root() -> Result<bool> {
    Ok(fs::metadata("/proc/self")?.uid() == 0)
}

/// The program that the first of these variables names, as the builds themselves read them.
fn program(variables: &[&str], otherwise: &str) -> String {
    variables.iter().find_map(|name| std::env::var(name).ok()).unwrap_or_else(|| otherwise.into())
}

fn runs(program: &str, arguments: &[&str]) -> bool {
    // A compiler may be named with a wrapper or options before or behind it.
    let mut words = program.split_whitespace();
    let Some(first) = words.next() else { return false };
    let mut command = Command::new(first);
    command.args(words).args(arguments).stdin(Stdio::null());
    command.output().is_ok_and(|output| output.status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn python(name: &'static str, minor: u32, has_venv: bool) -> Python {
        Python { name, version: (3, minor), has_venv }
    }

    #[test]
    fn all_that_is_missing_is_named_at_once() {
        let said = |lacking: &[&str]| all_of(lacking.iter().map(|&what| what.to_owned()).collect());
        assert!(said(&[]).is_ok());
        assert_eq!(said(&["no fuse"]).unwrap_err().to_string(), "no fuse");
        let both = said(&["no fuse", "no compiler"]).unwrap_err().to_string();
        assert_eq!(both, "2 things are missing:\n  - no fuse\n  - no compiler");
    }

    #[test]
    fn an_old_system_python_gives_way_to_a_newer_one_beside_it() {
        let found = [python("/usr/bin/python3", 10, true), python("python3.12", 12, true)];
        assert_eq!(choose(&found), Choice::Use("python3.12"));
    }

    #[test]
    fn a_python_without_venv_names_the_package_that_has_it() {
        assert_eq!(choose(&[python("/usr/bin/python3", 11, false)]), Choice::Install("python3-venv".into()));
        let found = [python("/usr/bin/python3", 10, true), python("python3.11", 11, false)];
        assert_eq!(choose(&found), Choice::Install("python3.11-venv".into()));
        assert_eq!(choose(&[]), Choice::Install("python3-venv".into()));
    }

    #[test]
    fn nothing_is_installed_where_every_python_is_too_old() {
        assert_eq!(choose(&[python("/usr/bin/python3", 9, true)]), Choice::Older("3.9".into()));
    }
}
