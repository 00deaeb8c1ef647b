//! Debian's packages without installing them: apt-get with a state of its own, so that neither root nor the system's lists
//! are needed. Sources and keys are the system's.

use crate::chore::quietly;
use anyhow::{Context, Result, ensure};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Lists and packages, in a folder that is there no longer than this.
pub struct Apt {
    folder: PathBuf,
    architectures: String,
    /// Settings that name further sources.
    sources: Vec<String>,
}

/// The release that this project's packages come from; what others have is taken only by name.
const RELEASE: &str = "bookworm";

/// What signs Debian's lists.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

impl Apt {
    /// Fetches the lists of packages for these architectures, as Debian spells them.
    ///
    /// # Errors
    /// If this is no system with apt.
    pub fn new(folder: &Path, architectures: &[&str]) -> Result<Self> {
        for program in ["apt-get", "dpkg"] {
            ensure!(
                Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success()),
                "{program} is not here: the compiler that can build for s390x comes out of Debian 12's packages; \
                 run this on Debian 12, a container will do"
            );
        }
        let apt = Self { folder: folder.to_path_buf(), architectures: architectures.join(","), sources: Vec::new() };
        for part in ["lists/partial", "cache/archives/partial", "packages/partial"] {
            fs::create_dir_all(apt.folder.join(part))?;
        }
        fs::write(apt.folder.join("status"), "")?;
        // One unreachable source among them is for the download to decide about.
        let _ = quietly(apt.command("apt-get").arg("update"));
        Ok(apt)
    }

    /// The same with further suites, from the same mirror as the system's own packages. Those of [`RELEASE`] are preferred.
    ///
    /// # Errors
    /// As [`Apt::new`], and if the system's sources do not have that release.
    pub fn with_suites(folder: &Path, architectures: &[&str], suites: &[&str]) -> Result<Self> {
        let mut apt = Self::new(folder, architectures)?;
        let mut command = apt.command("apt-get");
        command.args(["indextargets", "--format", "$(CODENAME) $(REPO_URI)", "Created-By: Packages"]);
        let listed = String::from_utf8_lossy(&quietly(&mut command)?.stdout).into_owned();
        let mirror = listed.lines().find_map(|line| line.strip_prefix(RELEASE)?.strip_prefix(' '));
        let mirror = mirror.with_context(|| format!("the sources of this system's apt do not have {RELEASE}"))?;
        // The system's parts and this one more: its own list stays where it is.
        let parts = folder.join("sources");
        fs::create_dir_all(&parts)?;
        for part in fs::read_dir("/etc/apt/sources.list.d").into_iter().flatten().flatten() {
            fs::copy(part.path(), parts.join(part.file_name()))?;
        }
        let key = if Path::new(KEYRING).exists() { format!("[signed-by={KEYRING}] ") } else { String::new() };
        let lines = suites
            .iter()
            .flat_map(|suite| ["deb", "deb-src"].map(|kind| format!("{kind} {key}{mirror} {suite} main\n")));
        fs::write(parts.join("further.list"), lines.collect::<String>())?;
        apt.sources.push(format!("Dir::Etc::sourceparts={}", parts.display()));
        apt.sources.push(format!("APT::Default-Release={RELEASE}"));
        quietly(apt.command("apt-get").arg("update"))?;
        Ok(apt)
    }

    /// Downloads the source of a package of a suite, without what Debian adds to it.
    ///
    /// # Errors
    /// If it cannot be had.
    pub fn download_source(&self, package: &str, suite: &str) -> Result<()> {
        let mut command = self.command("apt-get");
        command.args(["source", "--download-only", "--tar-only", "--target-release", suite, package]);
        quietly(command.current_dir(self.packages())).map(|_| ())
    }

    /// The names of packages that a regular expression finds.
    ///
    /// # Errors
    /// If apt-cache fails.
    pub fn names(&self, pattern: &str) -> Result<Vec<String>> {
        let said = quietly(self.command("apt-cache").args(["search", "--names-only", pattern]))?.stdout;
        let said = String::from_utf8_lossy(&said).into_owned();
        Ok(said.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect())
    }

    /// Downloads packages, each `NAME`, `NAME:ARCHITECTURE` or `NAME=VERSION`.
    ///
    /// # Errors
    /// If one cannot be had.
    pub fn download(&self, packages: &[String]) -> Result<()> {
        let mut command = self.command("apt-get");
        command.arg("download").args(packages).current_dir(self.packages());
        quietly(&mut command)
            .map(|_| ())
            .context("the sources of this system's apt do not have these packages; those of Debian 12 (bookworm) do")
    }

    /// Downloads a package with all that it depends on.
    ///
    /// # Errors
    /// If one cannot be had.
    pub fn download_with_dependencies(&self, package: &str) -> Result<()> {
        let mut command = self.command("apt-get");
        command.args(["install", "--download-only", "--yes", "--no-install-recommends", package, "-o"]);
        quietly(command.arg(format!("Dir::Cache::Archives={}", self.packages().display()))).map(|_| ())
    }

    /// The package that another one depends on first, with its architecture.
    ///
    /// # Errors
    /// If there is none.
    pub fn dependency(&self, package: &str) -> Result<String> {
        let said = quietly(self.command("apt-cache").args(["depends", package]))?.stdout;
        let said = String::from_utf8_lossy(&said).into_owned();
        let first = said.lines().find_map(|line| line.trim().strip_prefix("Depends: "));
        first.map(str::to_owned).with_context(|| format!("{package} depends on nothing: {said}"))
    }

    /// Unpacks all of them, each into the folder for its architecture.
    ///
    /// # Errors
    /// What dpkg said.
    pub fn unpack(self, folder: impl Fn(&str) -> PathBuf) -> Result<()> {
        for package in fs::read_dir(self.packages())? {
            let package = package?.path();
            let name = package.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let Some((_, architecture)) = name.strip_suffix(".deb").and_then(|name| name.rsplit_once('_')) else {
                continue;
            };
            let folder = folder(architecture);
            // dpkg makes only the last folder of a path.
            fs::create_dir_all(&folder)?;
            quietly(Command::new("dpkg").arg("--extract").arg(&package).arg(folder))?;
        }
        Ok(fs::remove_dir_all(&self.folder)?)
    }

    /// Where what was downloaded lies.
    pub fn packages(&self) -> PathBuf {
        self.folder.join("packages")
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        for (setting, value) in [("Dir::State", ""), ("Dir::State::status", "status"), ("Dir::Cache", "cache")] {
            command.arg("-o").arg(format!("{setting}={}", self.folder.join(value).display()));
        }
        for setting in &self.sources {
            command.arg("-o").arg(setting);
        }
        command.arg("-o").arg(format!("APT::Architectures={}", self.architectures));
        command.args(["-o", "Debug::NoLocking=1", "-o", "APT::Sandbox::User=root", "--quiet=2"]);
        command
    }
}
