//! Debian's unchanged kernels for s390x in front of the simulated machine: a patched QEMU passes the instructions of the
//! ultravisor and of crypto cards on to it. `cargo xtask lab` fetches and builds what is needed for it.

use crate::{Archive, Guest, World, place};
use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Names the folder that the laboratory is kept in.
pub const CACHE: &str = "SEGUEST_LAB_CACHE";

/// Set to 1, it has the laboratory run although it must be fetched and built first, and its absence fail.
pub const WANTED: &str = "SEGUEST_LAB";

/// The kernels, by the names of their folders in the cache.
pub const KERNELS: [&str; 2] = ["6.12", "7.2"];

/// What is loaded before the programs are run, in this order.
pub const MODULES: [&str; 3] = ["uvdevice", "zcrypt", "zcrypt_cex4"];

/// Seconds after which an emulated machine hangs that has not come to its end.
const SECONDS: &str = "300";

/// The line that the machine prints last.
const END: &str = "@@ end";

/// Where the laboratory is kept: `SEGUEST_LAB_CACHE`, otherwise `seguest-lab` in the user's cache.
///
/// # Errors
/// If neither that variable nor `HOME` is set.
pub fn cache() -> Result<PathBuf> {
    if let Some(folder) = std::env::var_os(CACHE) {
        return Ok(folder.into());
    }
    let home = std::env::var_os("HOME").with_context(|| format!("neither {CACHE} nor HOME is set"))?;
    Ok(PathBuf::from(home).join(".cache/seguest-lab"))
}

/// Where the guests' programs for s390x are put.
///
/// # Errors
/// As [`place::target`].
pub fn programs() -> Result<PathBuf> {
    Ok(place::target()?.join("lab"))
}

/// Something that is done in a guest.
#[derive(Clone, Debug)]
pub enum Step {
    /// A module is run with these arguments.
    Module(&'static str, Value),
    /// A file is read.
    Read(String),
}

impl Step {
    /// What it is, for people.
    pub fn title(&self) -> String {
        match self {
            Self::Module(module, _) => (*module).to_owned(),
            Self::Read(path) => path.clone(),
        }
    }
}

/// What came of a step.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// Exit code.
    pub code: i32,
    /// What was printed: a module's result, or the text of a file without its last newlines.
    pub said: Value,
}

/// QEMU, kernels and programs, all there.
#[derive(Debug)]
pub struct Lab {
    cache: PathBuf,
    programs: PathBuf,
}

impl Lab {
    /// The laboratory, if it is complete.
    ///
    /// # Errors
    /// What is missing.
    pub fn find() -> Result<Self> {
        let lab = Self { cache: cache()?, programs: programs()? };
        for path in [lab.cache.join("qemu/qemu-system-s390x"), lab.cache.join("busybox"), lab.programs.join("facts")] {
            ensure!(path.exists(), "{} is not there: `cargo xtask lab` makes it", path.display());
        }
        ensure!(lab.kernels().next().is_some(), "no kernel is in {}", lab.cache.display());
        Ok(lab)
    }

    /// The kernels that are there.
    pub fn kernels(&self) -> impl Iterator<Item = &'static str> {
        KERNELS.into_iter().filter(|name| self.kernel(name).join("vmlinuz").exists())
    }

    fn kernel(&self, name: &str) -> PathBuf {
        self.cache.join("kernels").join(name)
    }

    /// Boots a kernel in front of a machine and does these things as root.
    ///
    /// # Errors
    /// If it does not come to the end of them, with all that was printed.
    pub fn run(&self, kernel: &str, machine: &Guest, steps: &[Step]) -> Result<Vec<Outcome>> {
        let mut files = Archive::default();
        for folder in ["bin", "dev", "modules", "proc", "run", "sys", "tmp", "trial"] {
            files.folder(folder);
        }
        let mut add = |name: String, path: PathBuf| -> Result<()> {
            files.file(&name, 0o755, &fs::read(&path).with_context(|| path.display().to_string())?);
            Ok(())
        };
        add("bin/busybox".into(), self.cache.join("busybox"))?;
        for module in MODULES {
            add(format!("modules/{module}.ko"), self.kernel(kernel).join(format!("{module}.ko")))?;
        }
        for program in fs::read_dir(&self.programs)? {
            let program = program?;
            add(format!("bin/{}", program.file_name().to_string_lossy()), program.path())?;
        }
        let mut script = String::new();
        for (at, step) in steps.iter().enumerate() {
            match step {
                // One line for each outcome, however long.
                Step::Module(module, arguments) => {
                    files.file(&format!("trial/{at}"), 0o600, arguments.to_string().as_bytes());
                    writeln!(script, "said=$({module} - < {at}); echo \"@@ json $? $said\"")?;
                }
                Step::Read(path) => {
                    writeln!(
                        script,
                        "said=$(cat {path} 2>/dev/null); echo \"@@ text $? $(echo \"$said\" | tr '\\n' '\\t')\""
                    )?;
                }
            }
        }
        files.file("trial/steps", 0o600, script.as_bytes());
        files.file("init", 0o755, init().as_bytes());
        let printed = self.boot(kernel, machine.dir(), &files.finish())?;
        let outcomes: Vec<_> = printed.lines().filter_map(outcome).collect::<Result<_>>()?;
        ensure!(outcomes.len() == steps.len(), "{} outcomes of {} steps:\n{printed}", outcomes.len(), steps.len());
        Ok(outcomes)
    }

    fn boot(&self, kernel: &str, machine: &Path, files: &[u8]) -> Result<String> {
        let memory = machine.join("initrd");
        fs::write(&memory, files)?;
        let mut emulator = self.emulator(kernel)?;
        emulator.env("SEGUEST_MACHINE", machine.join("machine.sock")).arg("-initrd").arg(&memory);
        let output = emulator.stdin(Stdio::null()).output()?;
        let printed = String::from_utf8_lossy(&output.stdout).replace('\r', "");
        fs::write(machine.join("console"), &printed)?;
        fs::remove_file(&memory)?;
        if printed.lines().any(|line| line == END) {
            return Ok(printed);
        }
        let said = String::from_utf8_lossy(&output.stderr);
        bail!(
            "the emulated machine with {kernel} ended with {} before its end, and said:\n{printed}{said}",
            output.status
        )
    }

    fn emulator(&self, kernel: &str) -> Result<Command> {
        let qemu = self.cache.join("qemu");
        let mut command = Command::new("timeout");
        command
            .arg(SECONDS)
            .arg(qemu.join("qemu-system-s390x"))
            .env("LD_LIBRARY_PATH", qemu.join("lib"))
            .arg("-L")
            .arg(&qemu)
            .args(["-M", "s390-ccw-virtio", "-cpu", "max", "-m", "512", "-nographic", "-nodefaults"])
            .args(["-chardev", "stdio,id=console,signal=off", "-device", "sclpconsole,chardev=console"])
            .args(["-append", "console=ttysclp0 loglevel=2", "-kernel"])
            .arg(self.kernel(kernel).join("vmlinuz"));
        Ok(command)
    }
}

/// The first program: it waits until every queue has its driver, as services of a real guest do.
fn init() -> String {
    let modules: String = MODULES.iter().map(|module| format!("insmod /modules/{module}.ko\n")).collect();
    format!(
        "#!/bin/busybox sh
export PATH=/bin
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mount -t tmpfs run /run
{modules}for i in $(seq 100); do grep -q complete /sys/bus/ap/bindings && break; usleep 100000; done
cd /trial
sh steps
dmesg | sed 's/^/@@ dmesg /'
echo '{END}'
poweroff -f
"
    )
}

/// What a line tells of a step, if it is about one.
fn outcome(line: &str) -> Option<Result<Outcome>> {
    let (kind, rest) = line.strip_prefix("@@ ")?.split_once(' ')?;
    let read = || -> Result<Outcome> {
        let (code, said) = rest.split_once(' ').unwrap_or((rest, ""));
        let said = match kind {
            "json" => {
                serde_json::from_str(said).with_context(|| format!("a module ended with {code} and said {said}"))?
            }
            _ => said.trim_end_matches('\t').replace('\t', "\n").into(),
        };
        Ok(Outcome { code: code.parse()?, said })
    };
    matches!(kind, "json" | "text").then(read)
}

/// The same steps in a simulated guest.
///
/// # Errors
/// If a program cannot be run.
pub fn simulate(world: &World, name: &str, machine: &str, scenario: &str, steps: &[Step]) -> Result<Vec<Outcome>> {
    let guest = Guest::start(world, name, machine, scenario)?;
    let run = |step: &Step| match step {
        Step::Module(module, arguments) => {
            let output = guest.run(&place::binary(module)?, &["-"], arguments.to_string().as_bytes())?;
            let said = serde_json::from_slice(&output.stdout).with_context(|| format!("{module}: {output:?}"))?;
            Ok(Outcome { code: output.status.code().unwrap_or(-1), said })
        }
        Step::Read(path) => {
            let output = guest.run(Path::new("cat"), &[path], &[])?;
            let said = String::from_utf8_lossy(&output.stdout).trim_end_matches('\n').to_owned();
            Ok(Outcome { code: output.status.code().unwrap_or(-1), said: said.into() })
        }
    };
    steps.iter().map(run).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_are_read_from_the_console() {
        let read = |line: &str| outcome(line).map(Result::unwrap);
        assert_eq!(read("[    0.1] something else"), None);
        assert_eq!(read("@@ dmesg of the kernel"), None);
        let said = serde_json::json!({"changed": true});
        assert_eq!(read("@@ json 0 {\"changed\": true}"), Some(Outcome { code: 0, said }));
        assert_eq!(
            read("@@ text 0 WK CUR: - -\tWK NEW: - -\t"),
            Some(Outcome { code: 0, said: "WK CUR: - -\nWK NEW: - -".into() })
        );
        assert_eq!(read("@@ text 1 "), Some(Outcome { code: 1, said: "".into() }));
        assert!(outcome("@@ json 1 garbage").unwrap().is_err());
    }
}
