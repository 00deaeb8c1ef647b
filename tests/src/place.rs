//! Where things are.

use anyhow::{Context, Result, ensure};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// The repository.
pub fn repository() -> &'static Path {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().unwrap_or(tests)
}

/// Cargo's target folder, the one that the running program was built into.
///
/// # Errors
/// If the program was moved out of it.
pub fn target() -> Result<PathBuf> {
    let program = std::env::current_exe()?;
    let target = program.ancestors().find(|folder| folder.join("CACHEDIR.TAG").is_file());
    target.map(Path::to_path_buf).context("this program does not run from cargo's target folder")
}

/// Set by [`use_what_ships`].
static WHAT_SHIPS: OnceLock<()> = OnceLock::new();

/// From here on, this process uses the programs that are built as they ship, which takes long, and the collection with
/// them: for what measures them. Tests use the same programs, built quickly.
pub fn use_what_ships() {
    WHAT_SHIPS.get_or_init(|| ());
}

/// The folder that cargo builds the programs into, and that the collection with them is in: that of the profile `ship`
/// after [`use_what_ships`], of the profile `dev` otherwise.
///
/// # Errors
/// As [`target`].
pub fn built() -> Result<PathBuf> {
    Ok(target()?.join(if WHAT_SHIPS.get().is_some() { "ship" } else { "debug" }))
}

/// A program.
///
/// # Errors
/// If it is not built.
pub fn binary(name: &str) -> Result<PathBuf> {
    prepared(built()?.join(name))
}

/// Set to `oldest` or `newest`, it has the tests run with that ansible-core; `cargo xtask versions` does.
pub const ANSIBLE: &str = "SEGUEST_ANSIBLE";

/// The Python environment with an ansible-core: the pinned one, or the one of this name.
///
/// # Errors
/// As [`target`].
pub fn environment(name: Option<&str>) -> Result<PathBuf> {
    Ok(target()?.join(name.map_or_else(|| "venv".to_owned(), |name| format!("venv-{name}"))))
}

/// A program of the Python environment that the tests run with.
///
/// # Errors
/// If the environment is not made.
pub fn python_program(name: &str) -> Result<PathBuf> {
    let chosen = std::env::var(ANSIBLE).ok();
    prepared(environment(chosen.as_deref())?.join("bin").join(name))
}

/// The folder that holds `ansible_collections`, with the collection installed from its tarball.
///
/// # Errors
/// If it is not installed.
pub fn collections() -> Result<PathBuf> {
    prepared(built()?.join("collections"))
}

/// The collection's files as they are packed.
///
/// # Errors
/// As [`target`].
pub fn stage() -> Result<PathBuf> {
    Ok(built()?.join("stage"))
}

/// What ansible-galaxy calls the collection's tarball.
pub fn tarball_name() -> String {
    format!("seguest-pv-{}.tar.gz", env!("CARGO_PKG_VERSION"))
}

/// The collection's tarball, for this machine alone.
///
/// # Errors
/// If it is not packed.
pub fn tarball() -> Result<PathBuf> {
    prepared(built()?.join(tarball_name()))
}

/// The folder that programs of simulated guests are unpacked in which this machine lacks; it need not exist.
///
/// # Errors
/// As [`target`].
pub fn guest_system() -> Result<PathBuf> {
    Ok(target()?.join("guest-system"))
}

fn prepared(path: PathBuf) -> Result<PathBuf> {
    ensure!(path.exists(), "{} is not there: run `cargo xtask prepare` first", path.display());
    Ok(path)
}

/// Whether simulated guests can be mounted here.
pub fn fuse_can_be_opened() -> bool {
    std::fs::File::options().read(true).write(true).open("/dev/fuse").is_ok()
}
