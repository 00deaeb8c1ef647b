//! Cards and queues, as sysfs shows them.

use super::inspect;
use super::problems::{Problems, codes};
use super::report::{Ap, Card, Queue};
use fault::{Fault, Result};
use pv_guest::ap::{Bus, Card as ApCard, Observed, SeState};
use std::collections::BTreeMap;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

/// So many cards are read at a time.
const AT_A_TIME: usize = 8;

/// Reads the bus, cards and queues; with `inspect` it binds queues for a moment to see what only a bound queue shows.
/// Each card is given `timeout`, its own attributes included: reading one that is gone can hang.
pub fn gather(timeout: Duration, inspect: bool, problems: &mut Problems) -> Ap {
    let bus = match Bus::find() {
        Ok(bus) => bus,
        // No bus at all is a fact, not a problem.
        Err(fault) if fault.code == pv_guest::codes::NO_AP_BUS => return Ap::default(),
        Err(fault) => {
            problems.note(fault);
            return Ap::default();
        }
    };
    let bindings_complete = problems.ok(bus.bindings_complete()).flatten();
    let inspection = if inspect { problems.ok(inspect::begin(&bus)) } else { None };
    let numbers = problems.ok(bus.card_numbers());
    let read = numbers.map(|numbers| {
        let (mut cards, mut queues, mut whole) = (BTreeMap::new(), Vec::new(), true);
        for some in numbers.chunks(AT_A_TIME) {
            let (read, all) = within(timeout, some, problems);
            whole &= all;
            for (card, observed) in read {
                cards.insert(card.number, card);
                queues.extend(observed);
            }
        }
        if let Some(inspection) = &inspection {
            let looked = inspection.look_at(&mut queues, whole, timeout, problems);
            problems.ok(looked);
        }
        (cards, queues)
    });
    let (cards, queues) = read.map_or((None, None), |(cards, queues)| {
        let serials = queues.iter().filter_map(|o: &Observed| Some((o.card.number, o.seen.serialnr.clone()?)));
        let serials: BTreeMap<u8, String> = serials.collect();
        let cards = cards.values().map(|card| describe_card(card, serials.get(&card.number))).collect();
        (Some(cards), Some(queues.iter().map(describe_queue).collect()))
    });
    Ap { bus: true, sb_support: Some(bus.has_secure_binding()), bindings_complete, cards, queues }
}

/// Some cards and their queues, read at once; a thread that hangs in the kernel is left behind and ends with the
/// program. Of a card whose queues hang at least the card is told. Also tells whether all was read.
fn within(timeout: Duration, numbers: &[u8], problems: &mut Problems) -> (Vec<(ApCard, Vec<Observed>)>, bool) {
    let started = Instant::now();
    let read = |number: &u8| {
        let (number, (sender, receiver)) = (*number, mpsc::channel());
        thread::spawn(move || {
            // Nobody listens any more if it took too long.
            let _ = read_card(number, &sender).map_err(|fault| sender.send(Err(fault)));
        });
        (number, receiver)
    };
    let reads: Vec<_> = numbers.iter().map(read).collect();
    let (mut cards, mut whole) = (Vec::new(), true);
    for (number, receiver) in reads {
        loop {
            match receiver.recv_timeout(timeout.saturating_sub(started.elapsed())) {
                Ok(Ok(Part::Card(card))) => cards.push((card, Vec::new())),
                Ok(Ok(Part::Queues(queues))) => {
                    if let Some((_, own)) = cards.last_mut() {
                        *own = queues;
                    }
                }
                Ok(Err(fault)) => {
                    problems.note(fault);
                    whole = false;
                }
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {
                    problems.note(too_slow(number, timeout));
                    whole = false;
                    break;
                }
            }
        }
    }
    (cards, whole)
}

/// What is told of a card as soon as it is read.
enum Part {
    Card(ApCard),
    Queues(Vec<Observed>),
}

/// Reads a card, then its queues; nothing if it is gone or of a type that is not understood.
fn read_card(number: u8, parts: &mpsc::Sender<Result<Part>>) -> Result<()> {
    let Some(card) = ApCard::read(number)? else { return Ok(()) };
    let _ = parts.send(Ok(Part::Card(card.clone())));
    let queues = card.queues()?.into_iter().map(|queue| Observed::new(card.clone(), queue)).collect();
    let _ = parts.send(Ok(Part::Queues(queues)));
    Ok(())
}

/// The problem of a card that does not answer in time.
pub fn too_slow(number: u8, timeout: Duration) -> Fault {
    Fault::new(
        codes::CARD_TIMEOUT,
        format!("Card {number:02x} and its queues were not read completely within {} s.", timeout.as_secs()),
    )
    .hint("Check the card with lszcrypt -V; raise timeout if it is only slow.")
}

fn describe_queue(observed: &Observed) -> Queue {
    let seen = &observed.seen;
    Queue {
        apqn: seen.apqn.to_string(),
        card: seen.apqn.card,
        domain: seen.apqn.domain,
        mode: seen.mode.as_str().into(),
        usable: seen.usable,
        bind: seen.state.bind_text().into(),
        associate: seen.state.associate_text(),
        secret_index: if let SeState::Associated(index) = seen.state { Some(index) } else { None },
        mkvp: seen.mkvp.known().map(|mkvp| mkvp.to_string()),
    }
}

fn describe_card(card: &ApCard, serialnr: Option<&String>) -> Card {
    Card {
        card: card.number,
        mode: card.mode.as_str().into(),
        generation: card.generation,
        serialnr: card.serialnr.as_ref().or(serialnr).cloned(),
        usable: card.usable,
    }
}
