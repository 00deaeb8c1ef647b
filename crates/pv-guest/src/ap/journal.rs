//! What was begun with queues and is not finished yet, so that a run which is killed, or cannot end what it began, leaves
//! no queue half done for good. What becomes of it is in `settle.rs`.

use super::attributes::Apqn;
use super::tool_lock::ToolLock;
use crate::boot_record::{BootRecord, Topic};
use crate::codes;
use fault::{Fault, Result};
use nix::fcntl::Flock;
use std::collections::BTreeSet;
use std::fmt;
use std::fs::File;
use std::str::FromStr;
use std::sync::{Mutex, PoisonError};

/// Others are kept off the queues until it is dropped.
#[derive(Debug)]
pub struct Alone {
    _tool: ToolLock,
    _ours: Flock<File>,
}

/// Keeps other runs of ours and pvapconfig off the queues until dropped.
///
/// # Errors
/// `ap.not_permitted`, `ap.in_use_by_another`, `file.record_unusable`.
pub fn alone(boot: &BootRecord) -> Result<Alone> {
    let user = nix::unistd::geteuid();
    if !user.is_root() {
        return Err(Fault::new(
            codes::BIND_NOT_PERMITTED,
            format!("Only root may bind and release queues, and this task runs as the user of id {user}."),
        )
        .hint("Run the task as root (become: true)."));
    }
    let ours = boot.exclusively(Topic::QueueJournal)?.ok_or_else(|| {
        Fault::new(codes::BUSY_ELSEWHERE, "The queues are left alone because another task is at work on them.")
            .hint("Run the task again when it has ended.")
    })?;
    Ok(Alone { _tool: ToolLock::take()?, _ours: ours })
}

/// One thing that was begun. Written as a line of text into the record of the boot, which carries the boot's id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Note {
    /// The queue is being bound, be it only to look at it: `XX.YYYY`.
    Bind(Apqn),
    /// The EP11 queue is being released: `XX.YYYY-N`, N being the index of the secret that it was associated with, or
    /// nothing if the kernel did not know it. From the first write on the kernel has forgotten it.
    Release(Apqn, Option<u16>),
    /// `from` is to be released as soon as `to` serves in its place: `from>to`.
    Move {
        /// The queue that is left.
        from: Apqn,
        /// The queue that is taken.
        to: Apqn,
    },
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bind(apqn) => write!(f, "{apqn}"),
            Self::Release(apqn, Some(index)) => write!(f, "{apqn}-{index}"),
            Self::Release(apqn, None) => write!(f, "{apqn}-"),
            Self::Move { from, to } => write!(f, "{from}>{to}"),
        }
    }
}

impl Note {
    /// Whether it says nothing more once these queues are as they are meant to be. Of a move the old queue is left.
    fn ends_with(self, apqns: &BTreeSet<Apqn>) -> bool {
        match self {
            Self::Bind(apqn) | Self::Release(apqn, _) => apqns.contains(&apqn),
            Self::Move { .. } => false,
        }
    }
}

/// The error is a phrase that says what is expected.
impl FromStr for Note {
    type Err = &'static str;

    fn from_str(text: &str) -> std::result::Result<Self, Self::Err> {
        if let Some((from, to)) = text.split_once('>') {
            return Ok(Self::Move { from: from.parse()?, to: to.parse()? });
        }
        let Some((apqn, index)) = text.split_once('-') else { return Ok(Self::Bind(text.parse()?)) };
        let index = match index {
            "" => None,
            digits => Some(digits.parse().map_err(|_| "must end with the index of a secret")?),
        };
        Ok(Self::Release(apqn.parse()?, index))
    }
}

/// What this or an earlier run began without having finished it, in this boot.
#[derive(Debug)]
pub struct Journal<'a> {
    boot: &'a BootRecord,
    open: Mutex<BTreeSet<String>>,
}

impl<'a> Journal<'a> {
    /// Reads what an earlier run left.
    ///
    /// # Errors
    /// `file.record_unusable`.
    pub fn open(boot: &'a BootRecord) -> Result<Self> {
        Ok(Self { boot, open: Mutex::new(boot.load(Topic::QueueJournal)?) })
    }

    /// The same for check mode, which anybody may use: to who is not root, and could not change a queue either, nothing
    /// was left.
    ///
    /// # Errors
    /// `file.record_unusable`.
    pub fn only_read(boot: &'a BootRecord) -> Result<Self> {
        if nix::unistd::geteuid().is_root() { Self::open(boot) } else { Ok(Self { boot, open: Mutex::default() }) }
    }

    /// The same notes, to predict with: nothing is written by who only asks.
    pub fn copied(&self) -> Self {
        Self { boot: self.boot, open: Mutex::new(self.texts()) }
    }

    /// Notes that something is about to be done. Must come before the first write to the queue.
    ///
    /// # Errors
    /// `file.record_unusable`.
    pub fn begin(&self, note: Note) -> Result<()> {
        self.begin_all([note])
    }

    /// Notes that it is done, or undone.
    ///
    /// # Errors
    /// `file.record_unusable`.
    pub fn finish(&self, note: Note) -> Result<()> {
        self.finish_all([note])
    }

    /// The same as [`Journal::begin`] for many, written once.
    ///
    /// # Errors
    /// `file.record_unusable`.
    pub fn begin_all(&self, notes: impl IntoIterator<Item = Note>) -> Result<()> {
        self.change(|open| notes.into_iter().filter(|note| open.insert(note.to_string())).count() > 0)
    }

    /// The same as [`Journal::finish`] for many, written once.
    ///
    /// # Errors
    /// `file.record_unusable`.
    pub fn finish_all(&self, notes: impl IntoIterator<Item = Note>) -> Result<()> {
        self.change(|open| notes.into_iter().filter(|note| open.remove(&note.to_string())).count() > 0)
    }

    /// Notes that these queues are as they are meant to be, whatever was begun with them before.
    ///
    /// # Errors
    /// `file.record_unusable`.
    pub fn finish_queues(&self, apqns: &BTreeSet<Apqn>) -> Result<()> {
        self.finish_all(self.notes().into_iter().filter(|note| note.ends_with(apqns)))
    }

    /// Whether nothing was left half done and nothing is being done.
    pub fn is_empty(&self) -> bool {
        self.texts().is_empty()
    }

    /// Whether this is begun and not finished.
    pub fn has(&self, note: Note) -> bool {
        self.texts().contains(&note.to_string())
    }

    /// All that is begun and not finished. What is not understood, because a newer version wrote it, is left alone.
    pub(super) fn notes(&self) -> Vec<Note> {
        self.texts().iter().filter_map(|text| text.parse().ok()).collect()
    }

    fn change(&self, how: impl FnOnce(&mut BTreeSet<String>) -> bool) -> Result<()> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let mut changed = open.clone();
        if how(&mut changed) {
            // What is not written does not count as noted.
            self.boot.save(Topic::QueueJournal, &changed)?;
            *open = changed;
        }
        Ok(())
    }

    fn texts(&self) -> BTreeSet<String> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_that_serves_is_no_longer_to_be_released_for_an_earlier_run() {
        let [done, other] = [5, 6].map(|domain| Apqn { card: 0, domain });
        let ends = |note: Note| note.ends_with(&BTreeSet::from([done]));
        assert!(ends(Note::Bind(done)) && ends(Note::Release(done, Some(3))) && ends(Note::Release(done, None)));
        assert!(!ends(Note::Bind(other)) && !ends(Note::Release(other, Some(3))));
        assert!(!ends(Note::Move { from: done, to: other }) && !ends(Note::Move { from: other, to: done }));
    }

    #[test]
    fn what_could_not_be_written_does_not_count_as_noted() {
        if !nix::unistd::geteuid().is_root() {
            eprintln!("skipped: needs root");
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let boot = BootRecord::at(dir.path().to_path_buf(), "boot-1");
        let journal = Journal::open(&boot).unwrap();
        let note = Note::Bind(Apqn { card: 0, domain: 5 });
        let in_the_way = dir.path().join("private");
        std::fs::write(&in_the_way, "").unwrap();
        assert_eq!(journal.begin(note).unwrap_err().code, codes::RECORD_UNUSABLE);
        assert!(!journal.has(note));
        std::fs::remove_file(&in_the_way).unwrap();
        journal.begin(note).unwrap();
        assert!(Journal::open(&boot).unwrap().has(note));
    }

    #[test]
    fn a_note_is_read_as_it_was_written_and_nothing_else_is() {
        let apqn = |text: &str| text.parse().unwrap();
        for (note, text) in [
            (Note::Bind(apqn("0a.002f")), "0a.002f"),
            (Note::Release(apqn("0a.002f"), Some(65534)), "0a.002f-65534"),
            (Note::Release(apqn("0a.002f"), None), "0a.002f-"),
            (Note::Move { from: apqn("0a.002f"), to: apqn("01.0000") }, "0a.002f>01.0000"),
        ] {
            assert_eq!((note.to_string().as_str(), text.parse()), (text, Ok(note)));
        }
        for text in ["", "-", ">", "0a.002f-65536", "0a.002f-x", "0a.002f>", "-3", "0a.002f>01.0000-1", "0a.002f 1"] {
            assert!(text.parse::<Note>().is_err(), "{text}");
        }
    }
}
