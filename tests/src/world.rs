//! A pretend data centre: machines with host keys, IBM's pretend key hierarchy, images.

use crate::place;
use anyhow::{Context, Result, ensure};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A folder that holds, for each machine, its host key (`NAME.key`) and host key document (`pki/NAME.crt`), the
/// certificates and revocation lists in `pki/`, and images (`NAME.hdr`, what the firmware knows in `NAME.sim`).
#[derive(Debug)]
pub struct World {
    dir: PathBuf,
}

impl World {
    /// Makes machines of these names and one image called `image`.
    ///
    /// # Errors
    /// If a program that makes them fails.
    pub fn new(dir: &Path, machines: &[&str]) -> Result<Self> {
        std::fs::create_dir_all(dir)?;
        let world = Self { dir: dir.to_path_buf() };
        let mut pki = Command::new(place::binary("test-pki")?);
        pki.arg("--dir").arg(world.path("pki"));
        for machine in machines {
            run(Command::new(place::binary("guest-sim")?).arg("new-host").arg(world.path(machine)))?;
            pki.arg("--host").arg(format!("{machine}={}", world.path(&format!("{machine}.pub")).display()));
        }
        run(&mut pki)?;
        world.image("image", &[])?;
        Ok(world)
    }

    /// Makes another image; `options` are those of `guest-sim new-image`.
    ///
    /// # Errors
    /// If the simulator cannot.
    pub fn image(&self, name: &str, options: &[&str]) -> Result<()> {
        run(Command::new(place::binary("guest-sim")?).arg("new-image").arg(self.path(name)).args(options))
    }

    /// A path in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }
}

pub(crate) fn run(command: &mut Command) -> Result<()> {
    let output = command.output().with_context(|| format!("{command:?} cannot be run"))?;
    ensure!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}
