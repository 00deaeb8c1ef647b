//! One queue: what it says, and the four things that can be written to it.

use super::attributes::{Apqn, Mode, SeState};
use super::mkvp::MkvpState;
use crate::sysfs;
use std::io;
use std::path::PathBuf;

/// A queue in sysfs. Every read asks anew.
#[derive(Clone, Debug)]
pub struct Queue {
    folder: PathBuf,
    /// Its name.
    pub apqn: Apqn,
    mode: Mode,
}

/// The index of an association secret, as `se_associate` takes it: never one of another type of secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Associate(pub u16);

impl Queue {
    pub(super) fn at(folder: PathBuf, apqn: Apqn, mode: Mode) -> Self {
        Self { folder, apqn, mode }
    }

    /// Where it stands between the guest and others.
    pub fn state(&self) -> SeState {
        let text = |name: &str| sysfs::read(&self.folder.join(name)).ok();
        // ap_functions first: an association that completes between the reads must not look like an unknown one.
        let functions = text("ap_functions");
        let bind = text("se_bind");
        let associate = if self.mode == Mode::Ep11 { text("se_associate") } else { None };
        SeState::from_texts(self.mode, bind.as_deref(), associate.as_deref(), functions.as_deref())
    }

    /// Whether it is still there.
    pub fn exists(&self) -> bool {
        self.folder.is_dir()
    }

    /// Whether it is online, configured and not checkstopped, as far as the kernel tells.
    pub fn is_usable(&self) -> bool {
        let is = |name: &str, value: &str| {
            sysfs::read_optional(&self.folder.join(name)).is_ok_and(|found| found.is_none_or(|found| found == value))
        };
        is("online", "1") && is("config", "1") && is("chkstop", "0")
    }

    /// Its current wrapping key's pattern. Reading it from a CCA queue can hang, so only EP11 queues are asked.
    pub fn mkvp(&self) -> MkvpState {
        match self.mode {
            Mode::Ep11 => {
                sysfs::read(&self.folder.join("mkvps")).map_or(MkvpState::NotRead, |text| MkvpState::parse(&text))
            }
            Mode::Accel | Mode::Cca => MkvpState::NotRead,
        }
    }

    /// How many requests are in it, waiting or at the adapter; `None` if that cannot be told. A kernel that has no
    /// such counter shows no file, and that counts as none.
    pub fn requests(&self) -> Option<u64> {
        let count = |name: &str| match sysfs::read_optional(&self.folder.join(name)).ok()? {
            Some(text) => text.parse::<u64>().ok(),
            None => Some(0),
        };
        Some(count("requestq_count")?.saturating_add(count("pendingq_count")?))
    }

    /// Begins to bind it to this guest. What came of it is told by [`Queue::state`], not by the error.
    ///
    /// # Errors
    /// The kernel's.
    pub fn bind(&self) -> io::Result<()> {
        sysfs::write(&self.folder.join("se_bind"), "1")
    }

    /// Begins to release it: its requests are flushed, its association is dropped.
    ///
    /// # Errors
    /// The kernel's.
    pub fn unbind(&self) -> io::Result<()> {
        sysfs::write(&self.folder.join("se_bind"), "0")
    }

    /// Begins to associate it with a secret. What came of it is told by [`Queue::state`], not by the error.
    ///
    /// # Errors
    /// The kernel's.
    pub fn associate(&self, secret: Associate) -> io::Result<()> {
        sysfs::write(&self.folder.join("se_associate"), &secret.0.to_string())
    }
}
