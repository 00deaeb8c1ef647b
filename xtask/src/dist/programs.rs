//! Which program is built for which machine, how, and how large it may be; and building them.

use super::elf::{self, Found, Rules};
use super::openssl::OpenSsl;
use super::toolchain::Toolchain;
use crate::build;
use crate::chore::quietly;
use crate::prepare::MODULES;
use crate::test::Report;
use anyhow::{Context, Result, ensure};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// One module.
pub struct Program {
    /// Its name.
    pub module: &'static str,
    /// Static with musl: for guests, smallest on disk and in memory, and runs whatever the guest's libc is. Otherwise it
    /// uses the target's glibc, for users, groups and host names that only glibc's services know, and has OpenSSL in it.
    pub is_static: bool,
    /// The machines as `uname -m` spells them, and how many bytes the program may have there.
    pub builds: &'static [(&'static str, usize)],
}

const KB: usize = 1000;

/// All of them. A limit is what was measured and a little: what makes a program larger is to be seen.
pub const PROGRAMS: [Program; 11] = [
    Program { module: "guest", is_static: true, builds: &[("s390x", 1150 * KB), ("x86_64", 1150 * KB)] },
    Program { module: "secret_add", is_static: true, builds: &[("s390x", 330 * KB), ("x86_64", 360 * KB)] },
    Program { module: "secret_lock", is_static: true, builds: &[("s390x", 265 * KB), ("x86_64", 295 * KB)] },
    Program { module: "secret_retrieve", is_static: true, builds: &[("s390x", 345 * KB), ("x86_64", 370 * KB)] },
    Program { module: "ap_bind", is_static: true, builds: &[("s390x", 760 * KB), ("x86_64", 760 * KB)] },
    Program { module: "attest", is_static: true, builds: &[("s390x", 350 * KB), ("x86_64", 380 * KB)] },
    Program {
        module: "facts",
        is_static: true,
        builds: &[("s390x", 480 * KB), ("x86_64", 480 * KB), ("aarch64", 450 * KB)],
    },
    Program {
        module: "request_info",
        is_static: false,
        builds: &[("s390x", 2750 * KB), ("x86_64", 3850 * KB), ("aarch64", 2830 * KB)],
    },
    Program {
        module: "secret_request",
        is_static: false,
        builds: &[("s390x", 4400 * KB), ("x86_64", 5400 * KB), ("aarch64", 4250 * KB)],
    },
    Program {
        module: "attest_request",
        is_static: false,
        builds: &[("s390x", 4100 * KB), ("x86_64", 5100 * KB), ("aarch64", 3950 * KB)],
    },
    Program {
        module: "attest_verify",
        is_static: false,
        builds: &[("s390x", 4400 * KB), ("x86_64", 5400 * KB), ("aarch64", 4250 * KB)],
    },
];

/// Programs that one call of cargo builds.
#[derive(Debug, PartialEq, Eq)]
pub struct Batch {
    /// The machine.
    pub machine: &'static str,
    /// See [`Program::is_static`].
    pub is_static: bool,
    /// The modules.
    pub modules: Vec<&'static str>,
}

/// One that was built and checked.
pub struct Built {
    /// The machine.
    pub machine: &'static str,
    /// The module.
    pub module: &'static str,
    /// Where it lies.
    pub path: PathBuf,
    /// Bytes.
    pub size: usize,
    /// What was read of it.
    pub found: Found,
}

/// The machines, s390x first: if that fails, the rest is of little use.
pub const MACHINES: [&str; 3] = ["s390x", "x86_64", "aarch64"];

/// What is to be built, in the order of the machines.
pub fn batches() -> Vec<Batch> {
    let mut batches: Vec<Batch> = Vec::new();
    for (machine, is_static) in MACHINES.into_iter().flat_map(|machine| [(machine, true), (machine, false)]) {
        let modules: Vec<_> = PROGRAMS
            .iter()
            .filter(|program| program.is_static == is_static && program.builds.iter().any(|(on, _)| *on == machine))
            .map(|program| program.module)
            .collect();
        if !modules.is_empty() {
            batches.push(Batch { machine, is_static, modules });
        }
    }
    batches
}

impl Batch {
    /// What the compiler calls the machine with this libc.
    pub fn target(&self) -> String {
        format!("{}-unknown-linux-{}", self.machine, if self.is_static { "musl" } else { "gnu" })
    }

    /// What it is, for people.
    pub fn title(&self) -> String {
        let (major, minor) = elf::NEWEST_GLIBC;
        let libc = if self.is_static { "static".into() } else { format!("glibc {major}.{minor}") };
        format!("{} ({libc}): {}", self.machine, self.modules.join(", "))
    }

    /// Builds the programs and checks each.
    ///
    /// # Errors
    /// What the compiler said, or which rule a program breaks.
    pub fn build(&self, tools: &Toolchain, traces: &Traces, openssl: Option<&OpenSsl>) -> Result<Vec<Built>> {
        let made = self.compile(tools, traces, openssl)?;
        let check = |module: &'static str| {
            let path = made.join(module);
            let bytes = fs::read(&path)?;
            let rules = Rules {
                machine: self.machine,
                is_static: self.is_static,
                limit: limit(module, self.machine),
                built_in: &traces.paths(),
            };
            let found = elf::check(&bytes, &rules).with_context(|| format!("{module} for {}", self.machine))?;
            Ok(Built { machine: self.machine, module, path, size: bytes.len(), found })
        };
        self.modules.iter().copied().map(check).collect()
    }

    /// Only builds them, and gives the folder that they are in: for what tries them and does not ship them.
    ///
    /// # Errors
    /// What the compiler said.
    pub fn compile(&self, tools: &Toolchain, traces: &Traces, openssl: Option<&OpenSsl>) -> Result<PathBuf> {
        let mut command = tools.cargo_zigbuild()?;
        let folder = tools.work().join("cargo");
        let (major, minor) = elf::NEWEST_GLIBC;
        let version = if self.is_static { String::new() } else { format!(".{major}.{minor}") };
        command
            .args(["zigbuild", "--profile", "ship", "--locked", "--target", &format!("{}{version}", self.target())])
            .args(["-Z", "build-std=std,panic_abort", "-Z", "build-std-features=optimize_for_size"])
            .arg("--target-dir")
            .arg(&folder)
            .env("CARGO_ENCODED_RUSTFLAGS", self.flags(traces).join("\u{1f}"));
        if let Some(openssl) = openssl {
            openssl.tell(&mut command);
        }
        for module in &self.modules {
            command.args(["--package", module]);
        }
        quietly(&mut command)?;
        Ok(folder.join(self.target()).join("ship"))
    }

    fn flags(&self, traces: &Traces) -> Vec<String> {
        let mut flags = traces.remap();
        if self.is_static {
            // Start files and libc are zig's.
            flags.push("-Clink-self-contained=no".into());
        }
        flags
    }
}

/// Builds the simulator of guests for s390x, as what guests are given is built. It does not ship, so it is held to no rule;
/// and it is built by itself, so that nothing that ships is any different for it.
///
/// # Errors
/// What the compiler said.
pub fn simulator(tools: &Toolchain, traces: &Traces) -> Result<PathBuf> {
    unshipped("guest-sim", tools, traces)
}

/// The same with any program that does not ship.
///
/// # Errors
/// What the compiler said.
pub fn unshipped(name: &'static str, tools: &Toolchain, traces: &Traces) -> Result<PathBuf> {
    let alone = Batch { machine: "s390x", is_static: true, modules: vec![name] };
    Ok(alone.compile(tools, traces, None)?.join(name))
}

fn limit(module: &str, machine: &str) -> usize {
    let program = PROGRAMS.iter().find(|program| program.module == module);
    let build = program.and_then(|program| program.builds.iter().find(|(on, _)| *on == machine));
    build.map_or(0, |(_, limit)| *limit)
}

/// How much larger a program may be that `cargo build` makes for this machine: with Rust's own library as it comes, which
/// was made for speed and unwinds.
const LIBRARY_AS_IT_COMES: usize = 400 * KB;

/// The sizes of the programs as they ship, but built for this machine, a line each. They are held under limits in every
/// test, because `dist` is run too rarely to say which change made a program larger.
///
/// # Errors
/// If one cannot be built, or is too large.
pub fn weigh() -> Result<Report> {
    build::as_they_ship(&MODULES)?;
    let folder = e2e::place::target()?.join("ship");
    let mut lines = Vec::new();
    for program in &PROGRAMS {
        let size = usize::try_from(fs::metadata(folder.join(program.module))?.len())?;
        program.bears(size)?;
        starts(&folder.join(program.module))?;
        lines.push(format!("{} {size}", program.module));
    }
    Ok(Report { line: lines.join(", "), ..Report::default() })
}

/// Runs a program as it ships without options: it must answer as modules do.
fn starts(program: &Path) -> Result<()> {
    let mut child =
        Command::new(program).arg("-").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    child.stdin.take().context("no standard input")?.write_all(b"{}")?;
    let output = child.wait_with_output()?;
    let answer = serde_json::from_slice::<serde_json::Value>(&output.stdout);
    ensure!(
        answer.is_ok_and(|answer| answer["msg"].is_string()),
        "{} does not answer as a module: {:?}",
        program.display(),
        String::from_utf8_lossy(&output.stdout)
    );
    Ok(())
}

impl Program {
    /// Whether it may have this size on the machine where it was just built.
    fn bears(&self, size: usize) -> Result<()> {
        let most = self.builds.iter().map(|(_, limit)| *limit).max().unwrap_or_default() + LIBRARY_AS_IT_COMES;
        ensure!(
            size <= most,
            "{} has {size} bytes here, and {most} at most are allowed: see what made it larger, and if it is worth it, \
             raise its limits in xtask/src/dist/programs.rs",
            self.module
        );
        Ok(())
    }
}

/// Folders of this machine and what stands for them in what is built, so that it does not matter who builds where.
pub struct Traces(Vec<(PathBuf, &'static str)>);

impl Traces {
    /// Those that get into a program by the places of its code.
    ///
    /// # Errors
    /// If there is no home of cargo.
    pub fn of(tools: &Toolchain) -> Result<Self> {
        let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
        let home = home.or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cargo")));
        let registries = home.context("neither CARGO_HOME nor HOME is set")?.join("registry/src");
        let mut folders = vec![
            (e2e::place::repository().to_path_buf(), "/seguest"),
            (tools.rust_source(), "/rust"),
            (fs::canonicalize(tools.rust_source())?, "/rust"),
            (tools.folder().to_path_buf(), "/tools"),
        ];
        // One folder for each registry, with its name in it, which differs where crates come from a mirror.
        for registry in fs::read_dir(&registries).with_context(|| registries.display().to_string())? {
            folders.push((registry?.path(), "/crates"));
        }
        // rustc takes the last that fits: longer ones after shorter ones.
        folders.sort_by_key(|(path, _)| path.as_os_str().len());
        Ok(Self(folders))
    }

    fn remap(&self) -> Vec<String> {
        self.0.iter().map(|(path, name)| format!("--remap-path-prefix={}={name}", path.display())).collect()
    }

    fn paths(&self) -> Vec<String> {
        self.0.iter().map(|(path, _)| path.display().to_string()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_module_is_built_for_guests_and_for_the_machine_it_is_compared_on() {
        let mut names = PROGRAMS.map(|program| program.module);
        let mut modules = MODULES;
        names.sort_unstable();
        modules.sort_unstable();
        assert_eq!(names, modules);
        for program in PROGRAMS {
            for machine in ["s390x", "x86_64"] {
                assert!(program.builds.iter().any(|(on, _)| *on == machine), "{} for {machine}", program.module);
            }
            // What a trusted machine or a controller runs is for every machine; there are no guests of this one.
            let anywhere = ["secret_request", "request_info", "facts", "attest_request", "attest_verify"]
                .contains(&program.module);
            assert_eq!(program.builds.iter().any(|(on, _)| *on == "aarch64"), anywhere, "{}", program.module);
        }
    }

    #[test]
    fn a_program_that_grew_beyond_its_limit_is_named() {
        let program =
            Program { module: "facts", is_static: true, builds: &[("s390x", 300 * KB), ("x86_64", 350 * KB)] };
        program.bears(750 * KB).unwrap();
        let error = program.bears(750 * KB + 1).unwrap_err().to_string();
        assert!(error.starts_with("facts has 750001 bytes here, and 750000 at most"), "{error}");
    }

    #[test]
    fn each_build_is_in_one_batch() {
        let batches = batches();
        for program in PROGRAMS {
            for (machine, limit) in program.builds {
                assert_eq!(super::limit(program.module, machine), *limit);
                let of = |batch: &&Batch| batch.machine == *machine && batch.modules.contains(&program.module);
                assert_eq!(batches.iter().filter(of).count(), 1, "{} for {machine}", program.module);
            }
        }
    }
}
