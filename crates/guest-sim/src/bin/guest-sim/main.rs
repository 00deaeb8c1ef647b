//! The program `guest-sim`: simulated Secure Execution guests for tests and demonstrations.

mod caller;
mod control;
mod create;
mod enter;
mod files;
mod folder;
mod memory;
mod namespace;
mod paths;
mod run;
mod shared;

use std::fs;
use std::path::{self, Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde_json::json;

use crate::create::ImageOptions;
use crate::folder::Folder;
use crate::run::Options;

const USAGE: &str = "\
A simulated IBM Secure Execution guest. A simulator: it proves nothing about hardware.

guest-sim new-host PREFIX                writes PREFIX.key (private) and PREFIX.pub
guest-sim new-image PREFIX [--cck FILE] [--enforce-extension-secret] [--allow-cck-update]
                                         writes PREFIX.hdr (SE header) and PREFIX.sim
guest-sim run --scenario FILE --dir DIR [--name NAME] [--outlive] -- COMMAND...
guest-sim serve --scenario FILE --dir DIR [--name NAME] [--outlive]
guest-sim enter --dir DIR -- COMMAND...
guest-sim reboot --dir DIR
guest-sim state --dir DIR                prints JSON
guest-sim log --dir DIR                  prints one line of JSON for each ioctl and write
guest-sim set --dir DIR FILE             lays a fragment of a scenario over the running guest's
";

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match command(&arguments) {
        Ok(code) => std::process::exit(code),
        Err(error) => {
            eprintln!("guest-sim: {error:#}");
            std::process::exit(125);
        }
    }
}

/// The command line, taken apart.
#[derive(Default)]
struct Arguments {
    scenario: Option<PathBuf>,
    dir: Option<PathBuf>,
    name: Option<String>,
    cck: Option<PathBuf>,
    flags: Vec<String>,
    words: Vec<String>,
    command: Vec<String>,
}

impl Arguments {
    fn read(arguments: &[String]) -> Result<Self> {
        let mut read = Self::default();
        let mut rest = arguments.iter();
        while let Some(argument) = rest.next() {
            let mut value = || rest.next().cloned().with_context(|| format!("{argument} needs a value"));
            match argument.as_str() {
                "--scenario" => read.scenario = Some(value()?.into()),
                "--dir" => read.dir = Some(value()?.into()),
                "--name" => read.name = Some(value()?),
                "--cck" => read.cck = Some(value()?.into()),
                "--" => read.command = rest.by_ref().cloned().collect(),
                "--outlive" | "--enforce-extension-secret" | "--allow-cck-update" => read.flags.push(argument.clone()),
                word if word.starts_with('-') => bail!("there is no option {word}"),
                word => read.words.push(word.to_owned()),
            }
        }
        Ok(read)
    }

    fn flag(&self, name: &str) -> bool {
        self.flags.iter().any(|flag| flag == name)
    }

    fn dir(&self) -> Result<&Path> {
        self.dir.as_deref().context("--dir DIR is missing")
    }

    fn word(&self, what: &str) -> Result<&Path> {
        match self.words.as_slice() {
            [word] => Ok(Path::new(word)),
            _ => bail!("exactly one {what} is needed"),
        }
    }

    fn guest(&self) -> Result<Options> {
        Ok(Options {
            scenario: self.scenario.clone().context("--scenario FILE is missing")?,
            dir: path::absolute(self.dir()?).context("cannot tell where DIR is")?,
            name: self.name.clone(),
            outlive: self.flag("--outlive"),
        })
    }
}

fn command(arguments: &[String]) -> Result<i32> {
    let [command, rest @ ..] = arguments else { bail!("a command is missing\n\n{USAGE}") };
    let rest = Arguments::read(rest)?;
    match command.as_str() {
        "new-host" => create::host(rest.word("file prefix")?)?,
        "new-image" => create::image(&ImageOptions {
            prefix: rest.word("file prefix")?.to_owned(),
            cck: rest.cck.clone(),
            enforce_extension_secret: rest.flag("--enforce-extension-secret"),
            allow_cck_update: rest.flag("--allow-cck-update"),
        })?,
        "run" => return run::run(&rest.guest()?, &rest.command),
        "serve" => run::serve(&rest.guest()?)?,
        "enter" => enter::enter(rest.dir()?, &rest.command)?,
        "reboot" => drop(Folder::open(rest.dir()?)?.ask(&json!({"do": "reboot"}))?),
        "state" => print!("{}", state(rest.dir()?)?),
        "log" => print!("{}", Folder::open(rest.dir()?)?.read("log.jsonl")?),
        "set" => {
            let file = rest.word("scenario fragment")?;
            let fragment = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
            Folder::open(rest.dir()?)?.ask(&json!({"do": "set", "fragment": fragment}))?;
        }
        "help" | "--help" | "-h" => print!("{USAGE}"),
        other => bail!("there is no command {other}\n\n{USAGE}"),
    }
    Ok(0)
}

/// The state of a running guest, or the last one of a guest that has ended.
fn state(dir: &Path) -> Result<String> {
    let folder = Folder::open(dir)?;
    match folder.ask(&json!({"do": "state"})) {
        Ok(state) => Ok(format!("{state}\n")),
        Err(error) => folder.read("state.json").map_err(|_| error),
    }
}
