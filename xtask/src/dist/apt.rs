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
}

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
        let apt = Self { folder: folder.to_path_buf(), architectures: architectures.join(",") };
        for part in ["lists/partial", "cache/archives/partial", "packages/partial"] {
            fs::create_dir_all(apt.folder.join(part))?;
        }
        fs::write(apt.folder.join("status"), "")?;
        // One unreachable source among them is for the download to decide about.
        let _ = quietly(apt.command("apt-get").arg("update"));
        Ok(apt)
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

    fn packages(&self) -> PathBuf {
        self.folder.join("packages")
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        for (setting, value) in [("Dir::State", ""), ("Dir::State::status", "status"), ("Dir::Cache", "cache")] {
            command.arg("-o").arg(format!("{setting}={}", self.folder.join(value).display()));
        }
        command.arg("-o").arg(format!("APT::Architectures={}", self.architectures));
        command.args(["-o", "Debug::NoLocking=1", "-o", "APT::Sandbox::User=root", "--quiet=2"]);
        command
    }
}
