//! Queues as they were observed, each with its card.

use super::attributes::{Apqn, Mode, SeState};
use super::bus::{Bus, Card};
use super::mkvp::MkvpState;
use super::queue::Queue;
use fault::Result;

/// A queue as it was observed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Its name.
    pub apqn: Apqn,
    /// What its card works as.
    pub mode: Mode,
    /// Generation of its card.
    pub generation: u32,
    /// Serial number of its card, if known.
    pub serialnr: Option<String>,
    /// Its master key.
    pub mkvp: MkvpState,
    /// Whose it is.
    pub state: SeState,
    /// Card and queue are online, configured and not checkstopped.
    pub usable: bool,
}

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

impl Observed {
    /// All queues, by APQN.
    ///
    /// # Errors
    /// `ap.attribute_unreadable`.
    pub fn all(bus: &Bus) -> Result<Vec<Self>> {
        let mut observed = Vec::new();
        for card in bus.cards()? {
            for queue in card.queues()? {
                observed.push(Self::new(card.clone(), queue));
            }
        }
        Ok(observed)
    }

    /// A queue of this card, as it is now.
    pub fn new(card: Card, queue: Queue) -> Self {
        let seen = look(&card, &queue, card.serialnr.clone());
        Self { queue, card, seen }
    }

    /// Looks at it again.
    pub fn refresh(&mut self) {
        let seen = self.look();
        self.see(seen);
    }

    /// Takes over what was seen of it by [`Observed::look`].
    pub fn see(&mut self, seen: Seen) {
        self.card.serialnr.clone_from(&seen.serialnr);
        self.seen = seen;
    }

    /// What is to be seen of it now. Its card is asked for its serial number until that is known.
    pub fn look(&self) -> Seen {
        let serialnr = self.card.serialnr.clone().or_else(|| self.card.read_serialnr());
        look(&self.card, &self.queue, serialnr)
    }
}

fn look(card: &Card, queue: &Queue, serialnr: Option<String>) -> Seen {
    let (state, mkvp, usable) = queue.look();
    let usable = card.usable && usable;
    Seen { apqn: queue.apqn, mode: card.mode, generation: card.generation, serialnr, mkvp, state, usable }
}
