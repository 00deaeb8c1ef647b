//! Cards and queues, as sysfs shows them.

use crate::options::{Ap, Card, Queue};
use crate::problems::{Problems, codes};
use fault::{Fault, Result};
use pv_guest::ap::{Bus, Card as ApCard, Mode, SeState};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// Reads the bus, cards and queues. Each card is given `timeout`: reading one that is gone can hang.
pub fn gather(timeout: Duration, problems: &mut Problems) -> Ap {
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
    let cards = problems.ok(bus.cards());
    let queues = cards
        .as_ref()
        .map(|cards| cards.iter().flat_map(|card| problems.ok(within(timeout, card)).unwrap_or_default()).collect());
    Ap {
        bus: true,
        sb_support: Some(bus.has_secure_binding()),
        bindings_complete,
        cards: cards.map(|cards| cards.iter().map(describe).collect()),
        queues,
    }
}

/// A card's queues; the thread that hangs in the kernel is left behind and ends with the program.
fn within(timeout: Duration, card: &ApCard) -> Result<Vec<Queue>> {
    let (sender, receiver) = mpsc::channel();
    let number = card.number;
    let card = card.clone();
    thread::spawn(move || sender.send(queues_of(&card)));
    receiver.recv_timeout(timeout).unwrap_or_else(|_| {
        Err(Fault::new(
            codes::CARD_TIMEOUT,
            format!("The queues of card {number:02x} were not read within {} s.", timeout.as_secs()),
        )
        .hint("Look at the card with lszcrypt -V; raise timeout if it is merely slow."))
    })
}

fn queues_of(card: &ApCard) -> Result<Vec<Queue>> {
    let describe = |queue: pv_guest::ap::Queue| {
        // CCA queues are of no use in a guest, and asking them can hang.
        let state = if card.mode == Mode::Cca { SeState::Unsupported } else { queue.state() };
        let mkvp = if state.is_held() { queue.mkvp().known() } else { None };
        Queue {
            apqn: queue.apqn.to_string(),
            card: queue.apqn.card,
            domain: queue.apqn.domain,
            mode: card.mode.as_str().into(),
            usable: card.usable && queue.is_usable(),
            bind: state.bind_text().into(),
            associate: state.associate_text(),
            secret_index: if let SeState::Associated(index) = state { Some(index) } else { None },
            mkvp: mkvp.map(|mkvp| mkvp.to_string()),
        }
    };
    Ok(card.queues()?.into_iter().map(describe).collect())
}

fn describe(card: &ApCard) -> Card {
    Card {
        card: card.number,
        mode: card.mode.as_str().into(),
        generation: card.generation,
        serialnr: card.serialnr.clone(),
        usable: card.usable,
    }
}
