//! What becomes of what an earlier run began and did not finish: a pure decision for each note, then the writes.

use super::attributes::{Apqn, SeState};
use super::journal::{Journal, Note};
use super::seen::{Observed, Seen};
use super::steps::{self, Manner};
use crate::codes;
use fault::{Fault, Result};
use std::collections::BTreeMap;
use std::thread;

/// A queue that an earlier run left half done and that cannot be settled now: its note stays.
#[derive(Clone, Debug)]
pub struct Stuck {
    /// The queue.
    pub apqn: Apqn,
    /// The index of the secret that it was associated with, if it was to be released and the kernel knew it.
    pub was: Option<u16>,
    /// Why it cannot be settled.
    pub fault: Fault,
}

/// What came of settling.
#[derive(Debug, Default)]
pub struct Settled {
    /// What was released, for the operator.
    pub warnings: Vec<Fault>,
    /// What could not be.
    pub stuck: Vec<Stuck>,
}

/// What a run wants of a queue that is still as it was although an earlier run was to release it. The kernel has not
/// begun that as long as it knows the index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// It serves what is wanted now.
    Keep,
    /// It could serve what is wanted now, but others do.
    Spare,
    /// Nothing is wanted of it.
    Release,
    /// Another run is to decide.
    Leave,
}

/// What is to be done about a note.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Due {
    /// Nothing: it is as it was meant to be, or somebody else's by now.
    Forget,
    /// Nothing yet: what became of it shows when the queue is alive again.
    Wait,
    /// The queue reads as free, but may still be on its way to being bound.
    Cancel,
    /// The queue is to be released.
    Release,
}

fn seen(queues: &[Observed], apqn: Apqn) -> Option<&Seen> {
    queues.iter().map(|observed| &observed.seen).find(|seen| seen.apqn == apqn)
}

/// Decides about one note.
fn due(note: Note, queues: &[Observed], wish: &dyn Fn(&Seen) -> Wish) -> Due {
    let seen = |apqn| seen(queues, apqn);
    match note {
        Note::Bind(apqn) => seen(apqn).map_or(Due::Forget, due_of_bind),
        Note::Release(apqn, was) => seen(apqn).map_or(Due::Forget, |seen| due_of_release(seen, was, wish)),
        Note::Move { from, to } => match (seen(from), seen(to)) {
            (Some(old), Some(new)) if old.state == new.state && serves(new.state) => match wish(old) {
                Wish::Keep => Due::Forget,
                Wish::Spare | Wish::Release => Due::Release,
                Wish::Leave => Due::Wait,
            },
            _ => Due::Forget,
        },
    }
}

/// Whether that run only looked or was about to associate, nobody uses a queue that is held and not associated: it is
/// taken again where it is wanted. Where it fails (an association did not succeed, a card is dead) it is held as far as is
/// known. Only EP11 queues are noted: a bound accelerator is finished.
fn due_of_bind(seen: &Seen) -> Due {
    match seen.state {
        SeState::Unbound => Due::Cancel,
        SeState::Bound | SeState::Pending | SeState::AssociatedUnknown | SeState::Failing => Due::Release,
        SeState::Associated(_) if !seen.usable => Due::Wait,
        SeState::Associated(_) | SeState::Unusable | SeState::Unsupported => Due::Forget,
    }
}

/// A queue with another index was associated anew by somebody, after it had become free.
fn due_of_release(seen: &Seen, was: Option<u16>, wish: &dyn Fn(&Seen) -> Wish) -> Due {
    match seen.state {
        SeState::Unbound | SeState::Unusable | SeState::Unsupported => Due::Forget,
        SeState::Associated(index) if was != Some(index) => Due::Forget,
        SeState::Associated(_) => match wish(seen) {
            Wish::Keep | Wish::Spare => Due::Forget,
            Wish::Release => Due::Release,
            Wish::Leave => Due::Wait,
        },
        SeState::Bound | SeState::Pending | SeState::AssociatedUnknown | SeState::Failing => Due::Release,
    }
}

/// Whether a queue is what it was bound for: an accelerator that is bound, an EP11 queue that is associated.
fn serves(state: SeState) -> bool {
    matches!(state, SeState::Bound | SeState::Associated(_))
}

impl Note {
    /// The queue that is to be released if it is not finished.
    fn apqn(self) -> Apqn {
        match self {
            Self::Bind(apqn) | Self::Release(apqn, _) | Self::Move { from: apqn, .. } => apqn,
        }
    }

    fn why(self) -> String {
        match self {
            Self::Bind(_) => "an earlier run bound it, and was interrupted".into(),
            Self::Release(..) => "an earlier run tried to release it, and was interrupted".into(),
            Self::Move { to, .. } => format!("an earlier run replaced it by {to}, and was interrupted"),
        }
    }
}

impl Journal<'_> {
    /// The queues that [`Journal::settle`] would release. Nothing is changed.
    pub fn to_settle(&self, queues: &[Observed], wish: &dyn Fn(&Seen) -> Wish) -> Vec<Apqn> {
        let released = |note: &Note| due(*note, queues, wish) == Due::Release;
        self.notes().into_iter().filter(released).map(Note::apqn).collect()
    }

    /// Settles what an earlier run left half done, all queues at once. A queue that cannot be released now, because its
    /// card is dead, keeps its notes and must not keep the others from being worked on.
    ///
    /// # Errors
    /// `file.record_unusable`.
    pub fn settle(&self, queues: &mut [Observed], wish: &dyn Fn(&Seen) -> Wish, manner: Manner) -> Result<Settled> {
        let mut jobs: BTreeMap<Apqn, Job> = BTreeMap::new();
        let mut forgotten = Vec::new();
        for note in self.notes() {
            let due = due(note, queues, wish);
            match due {
                Due::Forget => forgotten.push(note),
                Due::Wait => {}
                Due::Cancel | Due::Release => jobs.entry(note.apqn()).or_default().add(note, due, queues),
            }
        }
        self.finish_all(forgotten)?;
        // The kernel forgets the index of a queue that is left with the first write.
        self.begin_all(jobs.iter().flat_map(|(apqn, job)| job.release_note(*apqn)))?;

        let answers: BTreeMap<Apqn, Result<()>> = thread::scope(|scope| {
            let begin = |observed: &Observed| {
                let (queue, job) = (observed.queue.clone(), jobs.get(&observed.seen.apqn)?);
                let cancels = job.due == Some(Due::Cancel);
                let work = move || if cancels { steps::cancel_bind(&queue) } else { steps::release(&queue, manner) };
                Some((observed.seen.apqn, scope.spawn(work)))
            };
            let threads: Vec<_> = queues.iter().filter_map(begin).collect();
            let join = |(apqn, thread): (Apqn, thread::ScopedJoinHandle<'_, Result<()>>)| {
                (apqn, thread.join().unwrap_or_else(|_| Err(steps::vanished(apqn))))
            };
            threads.into_iter().map(join).collect()
        });

        let mut settled = Settled::default();
        for observed in queues.iter_mut() {
            let apqn = observed.seen.apqn;
            let (Some(job), Some(answer)) = (jobs.get(&apqn), answers.get(&apqn)) else { continue };
            if job.due == Some(Due::Release) {
                observed.refresh();
            }
            match answer {
                Ok(()) => {
                    self.finish_all(job.notes.iter().copied().chain(job.release_note(apqn)))?;
                    settled.warnings.extend(job.told(apqn));
                }
                Err(fault) => {
                    // Nothing was written to one that is in use: what moved away from it still says so.
                    let untouched = job.was.is_some_and(|index| observed.seen.state == SeState::Associated(index));
                    let added = job.release_note(apqn).filter(|note| untouched && !job.notes.contains(note));
                    self.finish_all(added)?;
                    settled.stuck.push(Stuck { apqn, was: job.was, fault: fault.clone() });
                }
            }
        }
        Ok(settled)
    }
}

/// What is to be done with one queue, and for which notes.
#[derive(Default)]
struct Job {
    notes: Vec<Note>,
    /// Not [`Due::Forget`].
    due: Option<Due>,
    /// As of [`Stuck`].
    was: Option<u16>,
}

impl Job {
    fn add(&mut self, note: Note, due: Due, queues: &[Observed]) {
        let was = match note {
            Note::Bind(_) => None,
            Note::Release(_, was) => was,
            Note::Move { from, .. } => match seen(queues, from).map(|seen| seen.state) {
                Some(SeState::Associated(index)) => Some(index),
                _ => None,
            },
        };
        self.was = self.was.or(was);
        self.due = if self.due == Some(Due::Release) { self.due } else { Some(due) };
        self.notes.push(note);
    }

    /// The note that the queue is being released, with the index that it had.
    fn release_note(&self, apqn: Apqn) -> Option<Note> {
        self.was.map(|index| Note::Release(apqn, Some(index)))
    }

    fn told(&self, apqn: Apqn) -> Option<Fault> {
        let why = self.notes.first().filter(|_| self.due == Some(Due::Release))?.why();
        Some(Fault::new(codes::JOURNAL_SETTLED, format!("The queue {apqn} was released: {why}.")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ap::attributes::Mode;
    use crate::ap::mkvp::MkvpState;

    fn seen(state: SeState, usable: bool) -> Seen {
        let (mode, mkvp) = (Mode::Ep11, MkvpState::NotRead);
        Seen { apqn: Apqn { card: 0, domain: 5 }, mode, generation: 8, serialnr: None, mkvp, state, usable }
    }

    #[test]
    fn only_a_queue_that_is_held_and_serves_nobody_is_half_bound() {
        let due = |state| due_of_bind(&seen(state, true));
        for state in [SeState::Bound, SeState::Pending, SeState::AssociatedUnknown, SeState::Failing] {
            assert_eq!(due(state), Due::Release, "{state:?}");
        }
        for state in [SeState::Associated(0), SeState::Unusable, SeState::Unsupported] {
            assert_eq!(due(state), Due::Forget, "{state:?}");
        }
        assert_eq!(due(SeState::Unbound), Due::Cancel);
        // A dead card shows what was; when it is back the kernel has forgotten the index.
        assert_eq!(due_of_bind(&seen(SeState::Associated(0), false)), Due::Wait);
    }

    #[test]
    fn a_release_is_finished_unless_it_is_done_or_somebody_wants_the_queue() {
        let due = |state, was, wish| due_of_release(&seen(state, true), was, &|_| wish);
        for state in [SeState::Associated(3), SeState::AssociatedUnknown, SeState::Bound, SeState::Failing] {
            assert_eq!(due(state, Some(3), Wish::Release), Due::Release, "{state:?}");
        }
        // The kernel forgets the index with the first write: nothing was written yet.
        assert_eq!(due(SeState::Associated(3), Some(3), Wish::Keep), Due::Forget);
        assert_eq!(due(SeState::Associated(3), Some(3), Wish::Spare), Due::Forget);
        assert_eq!(due(SeState::Associated(3), Some(3), Wish::Leave), Due::Wait);
        assert_eq!(due(SeState::AssociatedUnknown, Some(3), Wish::Keep), Due::Release);
        // Somebody associated it anew.
        assert_eq!(due(SeState::Associated(4), Some(3), Wish::Release), Due::Forget);
        assert_eq!(due(SeState::Associated(4), None, Wish::Release), Due::Forget);
        assert_eq!(due(SeState::Unbound, Some(3), Wish::Release), Due::Forget);
    }
}
