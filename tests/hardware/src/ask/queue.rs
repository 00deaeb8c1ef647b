//! Questions to queues: those that only look, and those for which a free queue is bound, reset and released.

use super::{Asked, PATIENCE, SHOWS_WITHIN, announce, look as seen, timed, word, write};
use crate::judge;
use crate::questions::*;
use crate::report::{Step, Verdict};
use fault::Result;
use pv_guest::ap::steps::{self, Manner, Patience, WhenBusy};
use pv_guest::ap::{Apqn, Bus, Card, Journal, MkvpState, Mode, Note, Queue, SeState, alone, binding_bits};
use pv_guest::boot_record::BootRecord;
use pv_guest::sysfs;
use std::time::{Duration, Instant};

/// With a queue of our own, in which nobody has requests that count.
pub const MANNER: Manner = Manner { timeout: PATIENCE, when_busy: WhenBusy::Force };
/// So often a serial number that should be gone is read.
const LINGERING_READS: usize = 100;

/// All cards with their queues.
fn all() -> Vec<(Card, Vec<Queue>)> {
    let numbers = Bus::find().and_then(|bus| bus.card_numbers()).unwrap_or_default();
    let cards = numbers.into_iter().filter_map(|number| Card::read(number, PATIENCE).ok().flatten());
    cards.map(|card| (card.clone(), card.queues().unwrap_or_default())).collect()
}

fn bits(queue: &Queue) -> Option<u32> {
    binding_bits(&queue.open("ap_functions").and_then(sysfs::text).ok()?)
}

/// Those that only look.
pub fn look(asked: &mut Asked) {
    let all = all();
    let of = |is_cca: bool| {
        all.iter().filter(move |(card, _)| (card.mode == Mode::Cca) == is_cca).flat_map(|(_, queues)| queues)
    };
    if let Some(dead) = of(false).find(|queue| queue.is_out_of_reach()) {
        let state = seen("read the state", word(dead.state()), Duration::ZERO);
        asked.note(&DEAD_QUEUE, judge::dead_queue(bits(dead)), vec![state]);
    }
    if let Some(cca) = of(true).next() {
        // It is opened and not read: a CCA card may never answer.
        let answer = if cca.open("se_bind").is_ok() { "with" } else { "without" };
        asked.note(&CCA_FILES, Verdict::Observed(answer, None), Vec::new());
    }
}

/// A queue that may be bound, and its card.
pub struct Free {
    /// The queue.
    pub queue: Queue,
    card: Card,
    /// Another queue of the card is bound.
    has_company: bool,
}

/// The queue of this name, if it is free.
pub fn free(apqn: Apqn) -> Option<Free> {
    let (card, queues) = all().into_iter().find(|(card, _)| card.number == apqn.card)?;
    let has_company = queues.iter().any(|queue| queue.apqn != apqn && queue.state().is_held());
    let queue = queues.into_iter().find(|queue| queue.apqn == apqn)?;
    let is_free = queue.state() == SeState::Unbound && queue.why_unusable().is_none() && !queue.is_resetting();
    is_free.then_some(Free { queue, card, has_company })
}

/// Does something with a queue, noted in the modules' journal: if this is killed, the next ap_bind releases it. It is free
/// afterwards.
pub fn with(free: &Free, boot: &BootRecord, work: impl FnOnce(&Free)) -> Result<()> {
    let _alone = alone(boot)?;
    let (journal, note) = (Journal::open(boot)?, Note::Bind(free.queue.apqn));
    journal.begin(note)?;
    work(free);
    steps::abandon(&free.queue, MANNER)?;
    until_reset(&free.queue);
    journal.finish(note)
}

/// Binds, resets and releases the queue of this name.
pub fn ask(apqn: Apqn, boot: &BootRecord, asked: &mut Asked) {
    let Some(free) = free(apqn) else {
        return asked.note(&BIND, Verdict::NotTried("the named queue is not free"), Vec::new());
    };
    announce(&format!("binding, resetting and releasing the queue {apqn}, several times"));
    if let Err(fault) = with(&free, boot, |free| bound(free, asked)) {
        announce(&format!("with the queue {apqn}: {fault}"));
        asked.note_if_new(&BIND, Verdict::NotTried("the queue could not be worked on; the error output says why"));
    }
}

fn bound(free: &Free, asked: &mut Asked) {
    let queue = &free.queue;
    if !first_bind(queue, asked) {
        return;
    }
    if free.card.mode == Mode::Ep11 {
        shown(free, asked);
    } else {
        asked.note(&BIND_STATE, judge::bound_accelerator(bits(queue)), Vec::new());
    }
    let again = write("write 1 to se_bind", || queue.bind());
    asked.note(&BIND_AGAIN, judge::by_errno(again.answer.0, judge::errnos::AGAIN), vec![again]);
    reset(queue, asked);
    if steps::bind(queue, MANNER).is_ok() {
        let written = [write("write 1 to reset", || queue.reset()), write("write 0 to se_bind", || queue.unbind())];
        let end = until_reset(queue);
        asked.note(
            &UNBIND_IN_RESET,
            judge::afterwards(queue.state(), "bound", "free"),
            written.into_iter().chain([end]).collect(),
        );
    }
    if steps::bind(queue, MANNER).is_ok() {
        release(queue, asked);
    }
    if free.card.mode == Mode::Ep11 && !free.has_company && steps::bind(queue, MANNER).is_ok() {
        lingers(free, asked);
    }
}

fn first_bind(queue: &Queue, asked: &mut Asked) -> bool {
    let (written, since) = (write("write 1 to se_bind", || queue.bind()), Instant::now());
    let first = queue.state();
    let mut steps = vec![written, seen("read the state", word(first), since.elapsed())];
    let (end, last) = until("read until it is bound", queue, SeState::is_held);
    steps.push(last);
    asked.note(&BIND, judge::bind(written.answer.0, first, end), steps);
    end.is_held()
}

/// What can be read of a bound queue, from when on.
fn shown(free: &Free, asked: &mut Asked) {
    let (started, mut patience) = (Instant::now(), Patience::new(SHOWS_WITHIN));
    let mut found: [Option<(bool, Duration)>; 2] = [None; 2];
    let mut is_first = true;
    loop {
        let (_, key, _) = free.queue.look(&free.card.line);
        let is_there = [key != MkvpState::NotRead, free.card.read_serialnr().is_some()];
        for (found, _) in found.iter_mut().zip(is_there).filter(|(found, there)| *there && found.is_none()) {
            *found = Some((is_first, started.elapsed()));
        }
        is_first = false;
        if found.iter().all(Option::is_some) || !patience.wait() {
            break;
        }
    }
    for (question, found) in [&MKVPS, &SERIALNR].into_iter().zip(found) {
        let (shows, took) = found.map_or(("nothing", started.elapsed()), |(_, took)| ("something", took));
        let verdict = match found {
            _ if question.id == SERIALNR.id && free.has_company => {
                Verdict::NotTried("another queue of the card is bound, so it is known anyway")
            }
            found => judge::readable(found.is_some_and(|(first, _)| first), found.is_some()),
        };
        asked.note(question, verdict, vec![seen("read until something is there", shows, took)]);
    }
}

fn reset(queue: &Queue, asked: &mut Asked) {
    let written = write("write 1 to reset", || queue.reset());
    let end = until_reset(queue);
    let verdict = match written.answer.0.errno {
        Some(_) => Verdict::Inconclusive("the kernel does not reset it; the steps say what it answered"),
        None => judge::afterwards(queue.state(), "kept", "dropped"),
    };
    asked.note(&RESET, verdict, vec![written, end]);
}

/// Releases it, looks, and binds it at once.
fn release(queue: &Queue, asked: &mut Asked) {
    let (written, since) = (write("write 0 to se_bind", || queue.unbind()), Instant::now());
    let said = queue.open("se_bind").and_then(sysfs::text).ok();
    let still = queue.is_resetting();
    let shows = match said.as_deref() {
        Some("bound") => "bound",
        Some(_) => "unbound",
        None => "error",
    };
    let first = seen("read se_bind", shows, since.elapsed());
    let before = queue.is_resetting();
    let bind = write("write 1 to se_bind", || queue.bind());
    let after = queue.is_resetting();
    let end = until_reset(queue);
    asked.note(&UNBIND, judge::unbind(said.as_deref(), still), vec![written, first]);
    asked.note(&BIND_IN_RESET, judge::bind_in_reset(before, bind.answer.0, after), vec![bind, end]);
    // Whatever came of it, what follows begins with a free queue.
    if let Err(fault) = steps::abandon(queue, MANNER) {
        announce(&fault.to_string());
    }
    until_reset(queue);
}

fn lingers(free: &Free, asked: &mut Asked) {
    let mut patience = Patience::new(SHOWS_WITHIN);
    while free.card.read_serialnr().is_none() {
        if !patience.wait() {
            return asked.note(&SERIALNR_LINGERS, Verdict::Inconclusive("it could not be read before"), Vec::new());
        }
    }
    let written = write("write 0 to se_bind", || free.queue.unbind());
    // A card is read anew each time, for what was known of it stays known.
    let there =
        || Card::read(free.card.number, SHOWS_WITHIN).ok().flatten().is_some_and(|card| card.read_serialnr().is_some());
    let mut reads = Vec::new();
    while reads.last() != Some(&false) && reads.len() < LINGERING_READS {
        reads.push(there());
    }
    asked.note(&SERIALNR_LINGERS, judge::lingers(&reads), vec![written]);
}

/// Reads its state until it is as wanted, or long enough.
pub fn until(what: &'static str, queue: &Queue, wanted: impl Fn(SeState) -> bool) -> (SeState, Step) {
    let mut patience = Patience::new(PATIENCE);
    let (state, took) = timed(|| {
        loop {
            let state = queue.state();
            if wanted(state) || !patience.wait() {
                return state;
            }
        }
    });
    (state, seen(what, word(state), took))
}

/// Waits until it is not being reset any more.
pub fn until_reset(queue: &Queue) -> Step {
    let mut patience = Patience::new(PATIENCE);
    let ((), took) = timed(|| while queue.is_resetting() && patience.wait() {});
    seen("read until it is not being reset", word(queue.state()), took)
}
