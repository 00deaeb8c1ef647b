//! The line to one card: what the driver must ask the card for is asked here, one question at a time, each with a limit.

use super::attributes::Apqn;
use crate::codes;
use crate::limited::{self, Begun};
use crate::sysfs;
use fault::Fault;
use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A card that has its wits answers a question within this time, whatever else it has to do.
const ANSWERS_WITHIN: Duration = Duration::from_secs(10);

/// An idle queue answers within this time.
const ANSWERS_SOON: Duration = Duration::from_millis(500);
/// No more queues than these are asked past.
const MOST_IN_THE_WAY: usize = 3;

/// The line to one card, which all that know the card share. Once a question was not answered, none is asked any more: a
/// card is waited for once in a run, and no more than one reader is left behind.
#[derive(Clone, Debug)]
pub struct Line(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    card: u8,
    limit: Duration,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// What the card was asked for when it did not answer.
    unanswered: Option<String>,
    serialnr: Option<String>,
    /// Domains whose association was under way when they were seen last.
    pending: BTreeSet<u16>,
}

impl Line {
    /// The line to a card of which an answer is waited for so long, though no longer than any card should need.
    pub fn new(card: u8, limit: Duration) -> Self {
        Self(Arc::new(Shared { card, limit: limit.min(ANSWERS_WITHIN), state: Mutex::default() }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What an attribute of a queue holds for which the card must be asked; `None` if that is not known.
    pub(super) fn ask(&self, apqn: Apqn, what: &str, attribute: io::Result<File>) -> Option<String> {
        self.ask_in(&mut self.state(), &format!("{what} of {apqn}"), attribute)
    }

    /// The card's serial number, asked for until it is known.
    pub(super) fn serialnr(&self, attribute: impl Fn() -> io::Result<File>) -> Option<String> {
        let state = &mut *self.state();
        if state.serialnr.is_none() && state.unanswered.is_none() {
            let answer = match state.pending.len() {
                0 => self.ask_in(state, "its serial number", attribute()),
                pending => ask_past(pending, attribute),
            };
            state.serialnr = answer.filter(|serial| !serial.is_empty());
        }
        state.serialnr.clone()
    }

    fn ask_in(&self, state: &mut State, what: &str, attribute: io::Result<File>) -> Option<String> {
        let attribute = attribute.ok().filter(|_| state.unanswered.is_none())?;
        let answer = limited::within(self.0.limit, || sysfs::text(attribute));
        if answer.is_none() {
            state.unanswered = Some(what.to_owned());
        }
        answer?.ok()
    }

    /// Takes note of whether the association of one of the card's queues is under way.
    pub(super) fn note_pending(&self, apqn: Apqn, pending: bool) {
        let mut state = self.state();
        if pending {
            state.pending.insert(apqn.domain);
        } else {
            state.pending.remove(&apqn.domain);
        }
    }

    /// The fault of a card that did not answer; `None` as long as it does.
    pub fn fault(&self) -> Option<Fault> {
        let Shared { card, limit, .. } = &*self.0;
        let what = self.state().unanswered.clone()?;
        Some(
            Fault::new(
                codes::CARD_TIMEOUT,
                format!(
                    "Card {card:02x} did not answer within {} s when it was asked for {what}. It was asked no more, so what was not known of it and of its queues by then is not known.",
                    limit.as_secs_f32()
                ),
            )
            .hint("Look at the card with lszcrypt -V, and at the kernel's log (dmesg); raise timeout if it is merely slow."),
        )
    }
}

/// Asks a card of which so many queues would not answer. Which queue the driver sends the question to is its own choice, but
/// it takes one with the fewest requests in it (Linux `drivers/s390/crypto/zcrypt_api.c`): while one question waits in a
/// queue that does not answer, the next goes to another.
fn ask_past(pending: usize, attribute: impl Fn() -> io::Result<File>) -> Option<String> {
    let (mut unanswered, mut answer) = (Vec::new(), None);
    while unanswered.len() <= pending.min(MOST_IN_THE_WAY) {
        let Ok(file) = attribute() else { break };
        let mut begun = limited::begin(|| sysfs::text(file));
        if begun.is_over_within(ANSWERS_SOON) {
            answer = begun.end(Instant::now());
            break;
        }
        unanswered.push(begun);
    }
    unanswered.iter().for_each(Begun::interrupt);
    answer?.ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::stat::Mode;

    const QUEUE: Apqn = Apqn { card: 0, domain: 5 };

    fn file(folder: &tempfile::TempDir, text: &str) -> io::Result<File> {
        let path = folder.path().join("attribute");
        std::fs::write(&path, text).unwrap();
        File::open(path)
    }

    /// A file that blocks who reads it, and what keeps it so.
    fn silent(folder: &tempfile::TempDir) -> (io::Result<File>, File) {
        let path = folder.path().join("silent");
        let _ = nix::unistd::mkfifo(&path, Mode::S_IRWXU);
        let writer = File::options().read(true).write(true).open(&path).unwrap();
        (File::open(path), writer)
    }

    #[test]
    fn a_card_that_did_not_answer_is_not_asked_again() {
        let folder = tempfile::tempdir().unwrap();
        let line = Line::new(0, Duration::from_secs(1));
        assert_eq!(line.ask(QUEUE, "the key", file(&folder, "a\n")).as_deref(), Some("a"));
        assert!(line.fault().is_none());
        let (attribute, _writer) = silent(&folder);
        assert_eq!(line.ask(QUEUE, "the key", attribute), None);
        let fault = line.fault().unwrap();
        assert_eq!(fault.code, codes::CARD_TIMEOUT);
        assert!(fault.detail.contains("the key of 00.0005"), "{fault}");
        let started = Instant::now();
        assert_eq!((line.ask(QUEUE, "", file(&folder, "a")), line.serialnr(|| file(&folder, "s"))), (None, None));
        assert!(started.elapsed() < Duration::from_secs(1));
    }

    #[test]
    fn a_serial_number_is_asked_for_until_it_is_known() {
        let folder = tempfile::tempdir().unwrap();
        let line = Line::new(0, Duration::from_secs(60));
        assert_eq!(line.serialnr(|| file(&folder, "")), None);
        assert_eq!(line.serialnr(|| file(&folder, "s")).as_deref(), Some("s"));
        assert_eq!(line.serialnr(|| file(&folder, "t")).as_deref(), Some("s"));
    }

    #[test]
    fn a_serial_number_is_asked_past_queues_that_do_not_answer_and_their_card_is_not_given_up() {
        let folder = tempfile::tempdir().unwrap();
        let (_, _writer) = silent(&folder);
        let asked = std::cell::Cell::new(0);
        let answered_at = |time: u32| {
            let (folder, asked) = (&folder, &asked);
            move || {
                asked.set(asked.get() + 1);
                if asked.get() == time { file(folder, "s") } else { File::open(folder.path().join("silent")) }
            }
        };
        let line = Line::new(0, Duration::from_secs(60));
        (0..9).for_each(|domain| line.note_pending(Apqn { card: 0, domain }, true));
        assert_eq!((line.serialnr(answered_at(9)), asked.take()), (None, 4));
        assert!(line.fault().is_none());
        assert_eq!((line.serialnr(answered_at(2)).as_deref(), asked.take()), (Some("s"), 2));
    }
}
