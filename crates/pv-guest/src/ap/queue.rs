//! One queue: what it says, and the four things that can be written to it.

use super::attributes::{Apqn, Mode, SeState};
use super::line::Line;
use super::mkvp::MkvpState;
use crate::sysfs::{self, Folder};
use std::fmt;
use std::fs::File;
use std::io;
use std::path::PathBuf;

/// A queue in sysfs. Every read asks anew.
#[derive(Clone, Debug)]
pub struct Queue {
    path: PathBuf,
    /// Its name.
    pub apqn: Apqn,
    mode: Mode,
}

/// The index of an association secret, as `se_associate` takes it: never one of another type of secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Associate(pub u16);

/// Why a queue takes no requests of programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unusable {
    /// Taken away from this system (`config` is 0).
    Deconfigured,
    /// Stopped by an error of its adapter (`chkstop` is 1).
    Checkstopped,
    /// Switched off in this system (`online` is 0).
    Offline,
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Deconfigured => "deconfigured",
            Self::Checkstopped => "checkstopped",
            Self::Offline => "offline",
        })
    }
}

impl Queue {
    /// The queue whose attributes are in this folder.
    pub fn at(path: PathBuf, apqn: Apqn, mode: Mode) -> Self {
        Self { path, apqn, mode }
    }

    fn folder(&self) -> Folder {
        Folder::at(&self.path)
    }

    /// All that it says of itself: where it stands, its master key where that can be read, and whether it is usable. The
    /// card is asked for the key by its line.
    pub fn look(&self, line: &Line) -> (SeState, MkvpState, bool) {
        let folder = self.folder();
        let state = self.state_in(&folder);
        line.note_pending(self.apqn, state == SeState::Pending);
        // The pattern is that of the current wrapping key, and only EP11 queues have one. While an association is under
        // way nothing is sent to the card, and whoever asks waits for as long as the driver does.
        let text = (state.is_held() && state != SeState::Pending && self.mode == Mode::Ep11)
            .then(|| line.ask(self.apqn, "the master key", folder.open("mkvps")));
        (state, text.flatten().map_or(MkvpState::NotRead, |text| MkvpState::parse(&text)), is_usable_in(&folder))
    }

    /// Where it stands between the guest and others.
    pub fn state(&self) -> SeState {
        self.state_in(&self.folder())
    }

    fn state_in(&self, folder: &Folder) -> SeState {
        // CCA queues are of no use in a guest: they have no attributes of secure binding, and asking them can hang.
        if self.mode == Mode::Cca {
            return SeState::Unsupported;
        }
        let text = |name: &str| folder.read(name).ok();
        // ap_functions first: an association that completes between the reads must not look like an unknown one.
        let functions = text("ap_functions");
        let bind = text("se_bind");
        // A queue that is not bound is associated with nothing.
        let is_bound = bind.as_deref() == Some("bound");
        let associate = if self.mode == Mode::Ep11 && is_bound { text("se_associate") } else { None };
        SeState::from_texts(self.mode, bind.as_deref(), associate.as_deref(), functions.as_deref())
    }

    /// Whether it is certainly free still: one read that saves those of [`Queue::state`] while nothing happens.
    pub fn is_free(&self) -> bool {
        let functions = sysfs::read(&self.path.join("ap_functions")).ok();
        SeState::from_texts(self.mode, Some("unbound"), None, functions.as_deref()) == SeState::Unbound
            && functions.is_some()
    }

    /// The same for an association that is under way.
    pub fn is_pending(&self) -> bool {
        sysfs::read(&self.path.join("se_associate")).is_ok_and(|text| text == "association pending")
    }

    /// Whether it is being reset: until that ends it reads as free, and a kernel after 6.6 answers EIO to a bind.
    pub fn is_resetting(&self) -> bool {
        sysfs::read(&self.path.join("reset")).is_ok_and(|text| text.starts_with("Reset in progress"))
    }

    /// Whether it is still there.
    pub fn exists(&self) -> bool {
        self.path.is_dir()
    }

    /// Why it takes no requests; `None` if nothing of the queue itself says so.
    pub fn why_unusable(&self) -> Option<Unusable> {
        let folder = self.folder();
        let is = |name: &str, value: &str| folder.read(name).is_ok_and(|found| found == value);
        let reasons = [
            ("config", "0", Unusable::Deconfigured),
            ("chkstop", "1", Unusable::Checkstopped),
            ("online", "0", Unusable::Offline),
        ];
        reasons.into_iter().find(|(name, value, _)| is(name, value)).map(|(.., why)| why)
    }

    /// Whether it is deconfigured or checkstopped, so that the adapter does nothing with it; what is merely offline takes no
    /// requests of programs, and the rest works.
    pub fn is_out_of_reach(&self) -> bool {
        matches!(self.why_unusable(), Some(Unusable::Deconfigured | Unusable::Checkstopped))
    }

    /// How many requests are in it, waiting or at the adapter; `None` if that cannot be known. A kernel that has no
    /// such counter shows no file, and that counts as none.
    pub fn requests(&self) -> Option<u64> {
        let folder = self.folder();
        let count = |name: &str| match folder.read_optional(name).ok()? {
            Some(text) => text.parse::<u64>().ok(),
            None => Some(0),
        };
        Some(count("requestq_count")?.saturating_add(count("pendingq_count")?))
    }

    /// An attribute of it, to be read with [`sysfs::text`]. Whoever reads one for which the card must be asked (`mkvps`) waits
    /// for as long as the driver does.
    ///
    /// # Errors
    /// The kernel's.
    pub fn open(&self, name: &str) -> io::Result<File> {
        self.folder().open(name)
    }

    /// Begins to reset it, which is not an unbind: its requests are flushed, and nobody documents what becomes of the rest.
    ///
    /// # Errors
    /// The kernel's.
    pub fn reset(&self) -> io::Result<()> {
        sysfs::write(&self.path.join("reset"), "1")
    }

    /// Begins to bind it to this guest. What came of it is told by [`Queue::state`], not by the error.
    ///
    /// # Errors
    /// The kernel's.
    pub fn bind(&self) -> io::Result<()> {
        sysfs::write(&self.path.join("se_bind"), "1")
    }

    /// Begins to release it: its requests are flushed, its association is dropped.
    ///
    /// # Errors
    /// The kernel's.
    pub fn unbind(&self) -> io::Result<()> {
        sysfs::write(&self.path.join("se_bind"), "0")
    }

    /// Begins to associate it with a secret. What came of it is told by [`Queue::state`], not by the error.
    ///
    /// # Errors
    /// The kernel's.
    pub fn associate(&self, secret: Associate) -> io::Result<()> {
        sysfs::write(&self.path.join("se_associate"), &secret.0.to_string())
    }
}

/// An attribute that the kernel does not have says nothing against it.
fn is_usable_in(folder: &Folder) -> bool {
    let is = |name: &str, value: &str| {
        folder.read_optional(name).is_ok_and(|found| found.is_none_or(|found| found == value))
    };
    is("online", "1") && is("config", "1") && is("chkstop", "0")
}
