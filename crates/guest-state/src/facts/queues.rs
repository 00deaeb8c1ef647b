//! Cards and queues, as sysfs shows them.

use super::inspect;
use super::problems::Problems;
use super::report::{Ap, Card, Queue};
use pv_guest::ap::{self, Bus, Card as ApCard, Observed, Reading, SeState};
use std::collections::BTreeMap;
use std::time::Duration;

/// Reads the bus, cards and queues; with `inspect` it binds queues for a moment to see what only a bound queue shows.
/// Each card is given `timeout`, its own attributes included. An answer of the card is not waited for so long: what is
/// read without one is told in any case.
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
    let read = problems.ok(ap::read(&bus, timeout.mul_f32(0.75), timeout)).map(|reading| {
        let Reading { cards, mut queues, faults } = reading;
        let whole = faults.is_empty();
        faults.into_iter().for_each(|fault| problems.note(fault));
        if let Some(inspection) = &inspection {
            let looked = inspection.look_at(&mut queues, whole, timeout, problems);
            problems.ok(looked);
        }
        ap::unanswered(&queues).into_iter().for_each(|fault| problems.note(fault));
        (cards, queues)
    });
    let (cards, queues) = read.map_or((None, None), |(cards, queues)| {
        let serials = queues.iter().filter_map(|o: &Observed| Some((o.card.number, o.seen.serialnr.clone()?)));
        let serials: BTreeMap<u8, String> = serials.collect();
        let cards = cards.iter().map(|card| describe_card(card, serials.get(&card.number))).collect();
        (Some(cards), Some(queues.iter().map(describe_queue).collect()))
    });
    Ap { bus: true, sb_support: Some(bus.has_secure_binding()), bindings_complete, cards, queues }
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
