//! Debian's unchanged kernels for s390x in front of the simulated machine: a patched QEMU passes the instructions of the
//! ultravisor and of crypto cards on to it. `cargo xtask lab` fetches and builds what is needed for it.

mod console;
mod network;
mod step;

pub use console::Hang;
pub use network::{ServerKey, Way, can_reach};
pub use step::{Outcome, Step};

use crate::{Archive, Guest, World, place};
use anyhow::{Context, Result, bail, ensure};
use console::Console;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;
use step::{END, Line, RARE_SCANS};

/// Names the folder that the laboratory is kept in.
pub const CACHE: &str = "SEGUEST_LAB_CACHE";

/// Set to 1, it has the laboratory run although it must be fetched and built first, and its absence fail.
pub const WANTED: &str = "SEGUEST_LAB";

/// The kernels that belong to it, by the names of their folders in the cache.
pub const KERNELS: [&str; 2] = ["6.12", "7.2"];

/// The newest kernel of Debian's suite experimental, called by the suite, where there was one.
pub const NEWEST: &str = "experimental";

/// All of them.
pub const ALL: [&str; 3] = [KERNELS[0], KERNELS[1], NEWEST];

/// What is loaded before the programs are run, in this order.
pub const MODULES: [&str; 3] = ["uvdevice", "zcrypt", "zcrypt_cex4"];

/// What is loaded before those where a guest is reached by its network.
pub const NETWORK: [&str; 3] = ["failover", "net_failover", "virtio_net"];

/// Seconds after which an emulated machine hangs that has not come to its end, and one more for each step.
const SECONDS: u64 = 300;

/// What queues are given until they are asked for their state; one that is stuck is never done.
const PATIENCE: Duration = Duration::from_secs(1);

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
        ALL.into_iter().filter(|name| self.kernel(name).join("vmlinuz").exists())
    }

    /// The folder with an SSH server for guests, and the libraries that it loads.
    pub fn server(&self) -> PathBuf {
        self.cache.join("ssh")
    }

    fn kernel(&self, name: &str) -> PathBuf {
        self.cache.join("kernels").join(name)
    }

    /// Boots a kernel in front of a machine and does these things as root.
    ///
    /// # Errors
    /// If it does not come to the end of them; what was printed is in the machine's folder.
    pub fn run(&self, kernel: &str, machine: &Guest, steps: &[Step]) -> Result<Vec<Outcome>> {
        self.run_with(kernel, machine, steps, &Equipment::default(), |_| bail!("nobody waits for this step"))
    }

    /// The same in an equipped guest. `outside` does what is to be done at each [`Step::Outside`], whose number it is given.
    ///
    /// # Errors
    /// As [`Lab::run`], and what `outside` says.
    pub fn run_with(
        &self,
        kernel: &str,
        machine: &Guest,
        steps: &[Step],
        equipment: &Equipment,
        outside: impl FnMut(usize) -> Result<Value>,
    ) -> Result<Vec<Outcome>> {
        let memory = machine.dir().join("initrd");
        fs::write(&memory, self.files(kernel, steps, equipment)?)?;
        let mut emulator = self.emulator(kernel, equipment, SECONDS + steps.len() as u64);
        emulator.env("SEGUEST_MACHINE", machine.dir().join("machine.sock")).arg("-initrd").arg(&memory);
        let mut console = Console::start(emulator, machine.dir())?;
        let outcomes = converse(&mut console, machine, steps, outside);
        fs::remove_file(&memory)?;
        outcomes.with_context(|| format!("kernel {kernel}, see {}", machine.dir().join("console").display()))
    }

    fn files(&self, kernel: &str, steps: &[Step], equipment: &Equipment) -> Result<Vec<u8>> {
        let mut files = Archive::default();
        for folder in ["bin", "dev", "etc", "modules", "proc", "root", "run", "sys", "tmp", "trial"] {
            files.folder(folder);
        }
        let mut add = |name: String, path: PathBuf| -> Result<()> {
            files.file(&name, 0o755, &fs::read(&path).with_context(|| path.display().to_string())?);
            Ok(())
        };
        add("bin/busybox".into(), self.cache.join("busybox"))?;
        for module in MODULES.iter().chain(equipment.modules) {
            add(format!("modules/{module}.ko"), self.kernel(kernel).join(format!("{module}.ko")))?;
        }
        for program in fs::read_dir(&self.programs)? {
            let program = program?;
            add(format!("bin/{}", program.file_name().to_string_lossy()), program.path())?;
        }
        files.file("etc/passwd", 0o644, b"root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000:user:/tmp:/bin/sh\n");
        files.file("etc/group", 0o644, b"root:x:0:\nuser:x:1000:\n");
        let (folders, own) = step::files(steps);
        folders.iter().for_each(|folder| files.folder(&format!("trial/{folder}")));
        own.iter().for_each(|(name, content)| files.file(&format!("trial/{name}"), 0o644, content));
        equipment.folders.iter().for_each(|folder| files.folder(folder));
        equipment.files.iter().for_each(|(name, mode, content)| files.file(name, *mode, content));
        files.file("trial/steps", 0o600, step::script(steps).as_bytes());
        files.file("init", 0o755, init(equipment).as_bytes());
        Ok(files.finish())
    }

    fn emulator(&self, kernel: &str, equipment: &Equipment, seconds: u64) -> Command {
        let qemu = self.cache.join("qemu");
        let mut command = Command::new("timeout");
        command
            .arg("--kill-after=5")
            .arg(seconds.to_string())
            .arg(qemu.join("qemu-system-s390x"))
            .env("LD_LIBRARY_PATH", qemu.join("lib"))
            .arg("-L")
            .arg(&qemu)
            .args(["-M", "s390-ccw-virtio", "-cpu", "max", "-m", "512", "-nographic", "-nodefaults"])
            .args(["-chardev", "stdio,id=console,signal=off", "-device", "sclpconsole,chardev=console"])
            .args(["-append", "console=ttysclp0 loglevel=2", "-kernel"])
            .arg(self.kernel(kernel).join("vmlinuz"))
            .args(&equipment.emulator);
        command
    }
}

/// What a guest has besides the programs.
#[derive(Debug, Default)]
pub struct Equipment {
    /// Arguments for QEMU.
    pub emulator: Vec<String>,
    /// Modules of the kernel, loaded before all others.
    pub modules: &'static [&'static str],
    /// Further folders.
    pub folders: Vec<String>,
    /// Further files, with their mode.
    pub files: Vec<(String, u32, Vec<u8>)>,
    /// Commands that come before the first step.
    pub before: String,
}

fn converse(
    console: &mut Console,
    machine: &Guest,
    steps: &[Step],
    mut outside: impl FnMut(usize) -> Result<Value>,
) -> Result<Vec<Outcome>> {
    let mut outcomes = Vec::new();
    loop {
        let done = match console.next()? {
            Line::Outcome(outcome) => outcome,
            Line::Outside(number) => {
                let said = match steps.get(number).context("no such step")? {
                    Step::Set(fragment) => machine.set(fragment).map(|()| Value::Null),
                    Step::State => machine.settled(PATIENCE),
                    Step::Empty => machine.reboot().map(|()| Value::Null),
                    _ => outside(number),
                };
                console.go_on()?;
                Outcome::done(said?)
            }
            Line::End => {
                ensure!(outcomes.len() == steps.len(), "{} outcomes of {} steps", outcomes.len(), steps.len());
                return Ok(outcomes);
            }
        };
        outcomes.push(done);
    }
}

/// The first program: it waits until every queue has its driver, as services of a real guest do.
fn init(equipment: &Equipment) -> String {
    let modules = equipment.modules.iter().chain(&MODULES);
    let modules: String = modules.map(|module| format!("insmod /modules/{module}.ko\n")).collect();
    let before = &equipment.before;
    format!(
        "#!/bin/busybox sh
export PATH=/bin
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mount -t tmpfs run /run
stty -echo < /dev/console
{modules}for i in $(seq 100); do grep -q complete /sys/bus/ap/bindings && break; usleep 100000; done
ls -d /sys/devices/ap/card*/*.* | wc -l > /run/queues
{RARE_SCANS}{before}cd /trial
. ./steps
dmesg | sed 's/^/@@ dmesg /'
echo '{END}'
poweroff -f
"
    )
}

/// The same steps in a simulated guest.
///
/// # Errors
/// If a program cannot be run.
pub fn simulate(
    world: &World,
    name: &str,
    machine: &str,
    image: &str,
    scenario: &str,
    steps: &[Step],
) -> Result<Vec<Outcome>> {
    let guest = Guest::start_image(world, name, machine, image, scenario)?;
    let folder = world.path(&format!("{name}-trial"));
    let (folders, files) = step::files(steps);
    fs::create_dir_all(&folder)?;
    folders.iter().try_for_each(|name| fs::create_dir_all(folder.join(name)))?;
    files.iter().try_for_each(|(name, content)| fs::write(folder.join(name), content))?;
    let path = format!("{}:/usr/bin:/bin", place::binary("facts")?.parent().unwrap_or(Path::new("/")).display());
    let text = |output: Output| {
        let said = String::from_utf8_lossy(&output.stdout).trim_end_matches('\n').to_owned();
        Outcome { code: output.status.code().unwrap_or(-1), said: said.into() }
    };
    let run = |(at, step): (usize, &Step)| match step {
        Step::Module(module, arguments) => {
            let output = guest.run(&place::binary(module)?, &["-"], arguments.to_string().as_bytes())?;
            let said = serde_json::from_slice(&output.stdout).with_context(|| format!("{module}: {output:?}"))?;
            Ok(Outcome { code: output.status.code().unwrap_or(-1), said })
        }
        Step::Read(path) => Ok(text(guest.run(Path::new("cat"), &[path], &[])?)),
        Step::Shell(commands, _) => {
            let folder = folder.join(at.to_string());
            let commands = format!("PATH={path}; cd {} && {{ {commands}\n}} 2>&1", folder.display());
            Ok(text(guest.run(Path::new("/bin/sh"), &["-c", &commands], &[])?))
        }
        Step::Set(fragment) => guest.set(fragment).map(|()| Outcome::done(Value::Null)),
        Step::State => Ok(Outcome::done(guest.settled(PATIENCE)?)),
        Step::Empty => guest.reboot().map(|()| Outcome::done(Value::Null)),
        Step::Outside => bail!("nobody waits for a simulated guest"),
    };
    steps.iter().enumerate().map(run).collect()
}
