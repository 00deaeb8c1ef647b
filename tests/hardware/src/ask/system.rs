//! What is known of the place.

use crate::report::{CardFacts, Release, Store, System};
use pv_guest::ap::{Bus, Card};
use pv_guest::{firmware, sysfs};
use std::path::Path;
use std::time::Duration;

/// All of it.
pub fn of(store: Store, cards: Vec<CardFacts>) -> System {
    let kernel = sysfs::read(Path::new("/proc/sys/kernel/osrelease")).unwrap_or_default();
    System {
        kernel: Release::new(&kernel),
        facilities: names("query/facilities", firmware::FACILITIES),
        features: names("query/feature_indications", firmware::FEATURES),
        store,
        cards,
    }
}

/// The bits of a file of the ultravisor; `None` where the kernel does not show it.
pub fn bits(name: &str) -> Option<Vec<u32>> {
    sysfs::bits(&sysfs::read(&firmware::path(name)).ok()?)
}

fn names(file: &str, known: &[(u32, &'static str)]) -> Vec<&'static str> {
    let bits = bits(file).unwrap_or_default();
    known.iter().filter(|(bit, _)| bits.contains(bit)).map(|(_, name)| *name).collect()
}

/// The cards. None of them is asked for anything.
pub fn cards() -> Vec<CardFacts> {
    let numbers = Bus::find().and_then(|bus| bus.card_numbers()).unwrap_or_default();
    let read = |number: u8| Card::read(number, Duration::ZERO).ok().flatten();
    let facts = |card: Card| {
        let queues = card.queues().unwrap_or_default();
        let bound = queues.iter().filter(|queue| queue.state().is_held()).count();
        let Card { generation, usable, .. } = card;
        CardFacts { generation, mode: card.mode.as_str(), usable, queues: queues.len(), bound }
    };
    numbers.into_iter().filter_map(read).map(facts).collect()
}
