//! The tools that build for other machines, all under target/ and of fixed versions: Debian's compiler with the source of
//! its standard library, and zig as linker and C compiler. Nothing is installed into the system.

use super::apt::Apt;
use crate::chore::{cargo, step};
use crate::prepare::python_environment;
use anyhow::{Result, ensure};
use e2e::place;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Version of the compiler's packages, the last of Debian 12 that has them for s390x too. Also what the crates promise
/// to build with. The library is built from the source of the same version: other machines need no package.
const RUST: &str = "1.85.0+dfsg3-1~deb12u3";
/// The compiler's code generator makes bytes, so it is fixed too.
const LLVM: &str = "1:19.1.7-3~deb12u1";
/// Libraries that these two load and a minimal system may lack. Their version changes no byte of what is built.
const LIBRARIES: [&str; 8] = ["libbsd0", "libedit2", "libffi8", "libicu72", "liblzma5", "libmd0", "libxml2", "libz3-4"];
/// Programs for other machines run with it. Its version changes no byte either.
const EMULATOR: &str = "qemu-user-static";
/// The other machines, as `uname -m` and as Debian spells them: programs that are not static run there with its glibc.
pub const EMULATED: [(&str, &str); 2] = [("s390x", "s390x"), ("aarch64", "arm64")];

/// The version of Rust, and of its library, that the programs are built with.
pub const RUST_VERSION: &str = "1.85.0";

/// The zig that xtask/dist/requirements.txt pins.
pub const ZIG_VERSION: &str = "0.17.1";

/// The musl that zig brings along.
pub const MUSL_VERSION: &str = "1.2.5";

/// The tools, and where they and what they make lie.
pub struct Toolchain {
    folder: PathBuf,
}

impl Toolchain {
    /// Fetches what is not there yet.
    ///
    /// # Errors
    /// What this machine lacks for it.
    pub fn make(python: &str) -> Result<Self> {
        ensure!(
            std::env::consts::ARCH == "x86_64",
            "`dist` has been made to work on x86_64 only, and this machine is {}: run it on an x86_64 Debian 12, a container will do",
            std::env::consts::ARCH
        );
        let tools = Self { folder: place::target()?.join("dist-tools") };
        fs::create_dir_all(&tools.folder)?;
        step("Fetching Debian's Rust compiler and library source", || tools.debian())?;
        step("Fetching zig", || {
            let requirements = place::repository().join("xtask/dist/requirements.txt");
            python_environment(Path::new(python), &requirements, &tools.folder.join("venv"))
        })?;
        Ok(tools)
    }

    fn debian(&self) -> Result<()> {
        let packages: Vec<String> = ["rustc-web", "libstd-rust-web-1.85", "libstd-rust-web-dev", "rust-web-src"]
            .iter()
            .map(|name| format!("{name}={RUST}"))
            .chain([format!("libllvm19={LLVM}")])
            .chain(LIBRARIES.iter().chain([&EMULATOR]).map(|name| (*name).to_owned()))
            .chain(EMULATED.map(|(_, debian)| format!("libc6:{debian}")))
            .collect();
        let wanted = packages.join("\n");
        let stamp = self.folder.join("debian.packages");
        if fs::read_to_string(&stamp).is_ok_and(|found| found == wanted) {
            return Ok(());
        }
        let architectures: Vec<_> = ["amd64"].into_iter().chain(EMULATED.map(|(_, debian)| debian)).collect();
        let apt = Apt::new(&self.folder.join("apt"), &architectures)?;
        apt.download(&packages)?;
        let root = self.folder.join("debian");
        if root.exists() {
            fs::remove_dir_all(&root)?;
        }
        apt.unpack(|architecture| {
            let foreign = EMULATED.iter().find(|(_, debian)| *debian == architecture);
            foreign.map_or_else(|| root.clone(), |(machine, _)| self.emulated_root(machine))
        })?;
        Ok(fs::write(stamp, wanted)?)
    }

    /// Cargo, that builds with these tools: `cargo-zigbuild` in front of it, and nothing of this machine's settings.
    ///
    /// # Errors
    /// If a folder's name cannot be in PATH.
    pub fn cargo_zigbuild(&self) -> Result<Command> {
        let mut command = Command::new(self.program("cargo-zigbuild"));
        command.current_dir(place::repository());
        for (name, _) in std::env::vars_os() {
            let name = name.to_string_lossy();
            // Flags and linkers that somebody set for this machine would win over what is set here.
            let of_flags =
                name.ends_with("FLAGS") || name.starts_with("CARGO_TARGET_") || name.starts_with("CARGO_PROFILE_");
            if of_flags || name.starts_with("OPENSSL_") || name.starts_with("RUSTC_") {
                command.env_remove(&*name);
            }
        }
        command.env("CARGO", cargo().get_program());
        self.rustc(&mut command);
        self.zig(&mut command, None)?;
        Ok(command)
    }

    /// Has cargo use Debian's compiler.
    pub fn rustc(&self, cargo: &mut Command) {
        cargo
            .env("RUSTC", self.rust().join("bin/rustc"))
            .env("LD_LIBRARY_PATH", self.rust().join("lib/x86_64-linux-gnu"))
            // The library is built with the programs, for size and for each machine; stable compilers do so only if told.
            .env("RUSTC_BOOTSTRAP", "1");
    }

    /// Gives a command zig's surroundings, caches included, which are no business of the user's home; `first` is a folder
    /// whose programs come before all others.
    ///
    /// # Errors
    /// If a folder's name cannot be in PATH.
    pub fn zig(&self, command: &mut Command, first: Option<&Path>) -> Result<()> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folders = first.map(Path::to_path_buf).into_iter().chain([self.folder.join("venv/bin")]);
        command
            .env("PATH", std::env::join_paths(folders.chain(std::env::split_paths(&path)))?)
            .env("ZIG_GLOBAL_CACHE_DIR", self.folder.join("zig"))
            .env("ZIG_LOCAL_CACHE_DIR", self.folder.join("zig"))
            .env("CARGO_ZIGBUILD_CACHE_DIR", self.folder.join("zigbuild"));
        Ok(())
    }

    /// A program of the environment that zig was installed into.
    pub fn program(&self, name: &str) -> PathBuf {
        self.folder.join("venv/bin").join(name)
    }

    /// Where zig's own files are.
    pub fn zig_folder(&self) -> PathBuf {
        let program = self.folder.join("venv/lib");
        let python = fs::read_dir(&program).ok().and_then(|mut folders| folders.next()).and_then(Result::ok);
        python.map_or(program, |folder| folder.path().join("site-packages/ziglang"))
    }

    /// The source that comes with the compiler.
    pub fn rust_source(&self) -> PathBuf {
        self.rust().join("lib/rustlib/src/rust")
    }

    /// Of it, Rust's own library.
    pub fn library(&self) -> PathBuf {
        self.rust_source().join("library")
    }

    /// The compiler's folder with `bin` and `lib`.
    pub fn rust(&self) -> PathBuf {
        self.folder.join("debian/usr")
    }

    /// What is made on the way to a program.
    pub fn work(&self) -> PathBuf {
        self.folder.join("work")
    }

    /// Runs programs for another machine.
    pub fn emulator(&self, machine: &str) -> Command {
        let mut command = Command::new(self.rust().join(format!("bin/qemu-{machine}-static")));
        command.arg("-L").arg(self.emulated_root(machine));
        command
    }

    /// Where emulated programs find the libraries that they load.
    fn emulated_root(&self, machine: &str) -> PathBuf {
        self.folder.join(format!("debian-{machine}"))
    }

    /// All of it.
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_of_zig_is_the_one_that_is_pinned() {
        let pinned = fs::read_to_string(place::repository().join("xtask/dist/requirements.txt")).unwrap();
        assert!(pinned.contains(&format!("\nziglang=={ZIG_VERSION} ")));
    }
}
