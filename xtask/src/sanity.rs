//! What Ansible's own tools say of the collection as it is packed: ansible-test, antsibull-docs, antsibull-changelog,
//! galaxy-importer; and what ansible-builder makes of the execution environment. A chore of its own, because ansible-test
//! makes an environment for each of its checks: minutes.
//! These tools are for development only; nothing of them ships.

use crate::chore::{quietly, step};
use crate::{machine, prepare};
use anyhow::{Context, Result, ensure};
use e2e::place;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Stands in for the script that ansible-test downloads to put pip into an environment; so only the package registry is
/// asked, as everywhere else.
const GET_PIP: &str = "\
import subprocess
import sys

arguments = [argument for argument in sys.argv[1:] if argument not in (\"--no-setuptools\", \"--no-wheel\")]
subprocess.check_call([sys.executable, \"-m\", \"ensurepip\"])
subprocess.check_call([sys.executable, \"-m\", \"pip\", \"install\", *arguments])
";
/// Under which name ansible-test of the pinned ansible-core looks for it.
const GET_PIP_NAME: &str = "get_pip_24_2.py";

/// Runs all of it.
///
/// # Errors
/// What a tool found.
pub fn sanity() -> Result<()> {
    prepare::prepare()?;
    let python = machine::python()?;
    let tools = Tools { environment: place::target()?.join("tools"), home: place::target()?.join("sanity/home") };
    let requirements = place::repository().join("tests/tools.txt");
    step("Installing the tools", || prepare::python_environment(Path::new(python), &requirements, &tools.environment))?;
    let collection = tools.lay_out()?;
    step("Running ansible-test sanity", || {
        let version = quietly(Command::new(python).args(["-c", "import sys; print('%d.%d' % sys.version_info[:2])"]))?;
        let version = String::from_utf8(version.stdout)?;
        let said = tools.run("ansible-test", &["sanity", "--color", "no", "--python", version.trim()], &collection)?;
        // Where it finds no files of the collection, it says so and is content.
        ensure!(said.contains("Running sanity test \"validate-modules\""), "it checked nothing: {said}");
        Ok(())
    })?;
    step("Linting the documentation", || {
        tools.run("antsibull-docs", &["lint-collection-docs", "--plugin-docs", "."], &collection)
    })?;
    step("Linting the changelog", || tools.run("antsibull-changelog", &["lint"], &collection))?;
    step("Importing as a Galaxy server does", || {
        // A server wants an address of the sources, and the project has no public one yet.
        let manifest = collection.join("galaxy.yml");
        let text = fs::read_to_string(&manifest)?;
        ensure!(!text.contains("\nrepository:"), "the collection has a repository now: leave this one out");
        fs::remove_dir_all(collection.join(".git"))?;
        fs::write(&manifest, format!("{text}repository: https://example.invalid/seguest.pv\n"))?;
        let folder = collection.parent().context("no folder")?;
        tools.run("ansible-galaxy", &["collection", "build", "--force", "pv"], folder)?;
        tools.run("python", &["-m", "galaxy_importer.main", &place::tarball_name()], folder)
    })?;
    step("Making the build context of the execution environment", || execution_environment(&tools))
}

/// A container engine is not needed for that, nor is there one everywhere; nor is all that `dist` builds: the tarball for
/// this machine lies where that of `dist` would.
fn execution_environment(tools: &Tools) -> Result<()> {
    let root = place::target()?.join("sanity/execution-environment");
    if root.exists() {
        fs::remove_dir_all(&root)?;
    }
    let (folder, dist) = (root.join("execution-environment"), root.join("target/dist"));
    fs::create_dir_all(&folder)?;
    fs::create_dir_all(&dist)?;
    for name in ["execution-environment.yml", "requirements.txt"] {
        fs::copy(place::repository().join("execution-environment").join(name), folder.join(name))?;
    }
    fs::copy(place::tarball()?, dist.join(place::tarball_name()))?;
    let context = root.join("context");
    tools.run("ansible-builder", &["create", "--context", context.to_str().context("not UTF-8")?], &folder)?;
    // What is to be installed must be where it is looked for.
    let wanted = fs::read_to_string(context.join("_build/requirements.yml"))?;
    let tarball = format!("collection/{}", place::tarball_name());
    ensure!(wanted.contains(&tarball), "the execution environment does not install {tarball}: {wanted}");
    for file in [tarball.as_str(), "python/requirements.txt"] {
        ensure!(context.join("_build").join(file).is_file(), "{file} is not in the build context");
    }
    Ok(())
}

/// The tools, and a home of their own.
struct Tools {
    environment: PathBuf,
    home: PathBuf,
}

impl Tools {
    /// Copies the collection into a folder of the name that the tools want.
    fn lay_out(&self) -> Result<PathBuf> {
        let cache = self.home.join(".ansible/test/cache");
        fs::create_dir_all(&cache)?;
        fs::write(cache.join(GET_PIP_NAME), GET_PIP)?;
        let root = place::target()?.join("sanity/ansible_collections");
        if root.exists() {
            fs::remove_dir_all(&root)?;
        }
        let collection = root.join("seguest/pv");
        fs::create_dir_all(collection.parent().context("no folder")?)?;
        quietly(Command::new("cp").arg("-r").arg(place::stage()?).arg(&collection))?;
        // ansible-test asks git which files there are, and to the repository around it these are none.
        for arguments in [&["init", "--quiet"][..], &["add", "--all", "--force"]] {
            quietly(Command::new("git").args(arguments).current_dir(&collection))?;
        }
        Ok(collection)
    }

    fn run(&self, program: &str, arguments: &[&str], folder: &Path) -> Result<String> {
        let programs = self.environment.join("bin");
        // Programs that choose a Python by their caller's folder (pyenv) confuse ansible-test.
        let path = format!("{}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", programs.display());
        let mut command = Command::new(programs.join(program));
        command.args(arguments).current_dir(folder).env("PATH", path).env("HOME", &self.home);
        for (key, _) in std::env::vars().filter(|(key, _)| key.starts_with("ANSIBLE_")) {
            command.env_remove(key);
        }
        let output = quietly(&mut command)?;
        Ok(String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
    }
}
