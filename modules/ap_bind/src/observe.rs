//! Queues and secrets as they are.

use crate::plan::Seen;
use fault::Result;
use pv_guest::ap::{Bus, Card, MkvpState, Mode, Queue, SeState};
use pv_guest::uv::{Device, SecretList};
use std::time::Duration;

/// A queue, its card, and what was seen of it.
#[derive(Clone, Debug)]
pub struct Observed {
    /// The queue in sysfs.
    pub queue: Queue,
    /// Its card.
    pub card: Card,
    /// What was seen.
    pub seen: Seen,
}

/// Finds the AP bus of a Secure Execution guest and waits until it is complete.
///
/// # Errors
/// `ap.no_bus`, `ap.not_a_guest`, `ap.no_secure_binding`, `ap.bindings_incomplete`, `ap.attribute_unreadable`.
pub fn bus(timeout: Duration) -> Result<Bus> {
    let bus = Bus::find()?;
    bus.require_secure_binding()?;
    bus.wait_for_bindings(timeout)?;
    Ok(bus)
}

/// All queues, by APQN.
///
/// # Errors
/// `ap.attribute_unreadable`.
pub fn queues(bus: &Bus) -> Result<Vec<Observed>> {
    let mut observed = Vec::new();
    for card in bus.cards()? {
        for queue in card.queues()? {
            let seen = look(&card, &queue);
            observed.push(Observed { queue, card: card.clone(), seen });
        }
    }
    Ok(observed)
}

/// Looks at one queue again, and at its card's serial number.
pub fn look(card: &Card, queue: &Queue) -> Seen {
    // CCA queues are of no use in a guest, and asking them can hang.
    let state = if card.mode == Mode::Cca { SeState::Unsupported } else { queue.state() };
    let serialnr = card.serialnr.clone().or_else(|| card.read_serialnr());
    let mkvp = if state.is_held() { queue.mkvp() } else { MkvpState::NotRead };
    let usable = card.usable && queue.is_usable();
    Seen { apqn: queue.apqn, mode: card.mode, generation: card.generation, serialnr, mkvp, state, usable }
}

/// The secrets, where any entry needs one. All of them must be seen: an unseen one could be the one that is sought.
///
/// # Errors
/// Those of the device and of the list.
pub fn secrets(needed: bool) -> Result<SecretList> {
    if needed { SecretList::read(&Device::open()?) } else { Ok(SecretList::default()) }
}
