//! Queues as they were observed, each with its card.

use super::attributes::{Apqn, Mode, SeState};
use super::bus::{Bus, Card};
use super::mkvp::MkvpState;
use super::queue::Queue;
use crate::codes;
use crate::limited::{self, Begun};
use fault::{Fault, Result};
use std::collections::{BTreeMap, VecDeque};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// What no card is asked for is read within this time.
const READ_WITHIN: Duration = Duration::from_secs(120);

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

/// What was read of the bus.
#[derive(Debug, Default)]
pub struct Reading {
    /// The cards, by number. Those of a type that is not understood are left out.
    pub cards: Vec<Card>,
    /// All queues of these cards, by APQN.
    pub queues: Vec<Observed>,
    /// What could not be read. If there is any, cards or queues may be missing.
    pub faults: Vec<Fault>,
}

/// So many cards are read at once, each with one thread and one more while it is asked: threads are dear in a small guest.
const AT_ONCE: usize = 8;
/// Once the first of them is waited for so long, twice as many are: one that does not answer must not keep the others waiting.
const LONG: Duration = Duration::from_millis(100);
/// No more than so many are.
const AT_MOST: usize = 64;

/// A card that is being read.
struct UnderWay {
    number: u8,
    card: mpsc::Receiver<Card>,
    queues: Begun<Result<Vec<Observed>>>,
    until: Instant,
}

/// Reads cards and queues, several cards at once. What a card must be asked for is waited for as long as `answer` says, and
/// for all that is read of it as long as `whole` says: nothing of that should ever block, but who knows of a card that goes away.
///
/// # Errors
/// `ap.attribute_unreadable` if not even the cards can be counted.
pub fn read(bus: &Bus, answer: Duration, whole: Duration) -> Result<Reading> {
    let mut reading = Reading::default();
    let mut numbers = bus.card_numbers()?.into_iter();
    let (mut under_way, mut at_once) = (VecDeque::new(), AT_ONCE);
    loop {
        let room = at_once.saturating_sub(under_way.len());
        under_way.extend(numbers.by_ref().take(room).map(|number| UnderWay::begin(number, answer, whole)));
        let Some(mut first) = under_way.pop_front() else { return Ok(reading) };
        if at_once < AT_MOST && !first.queues.is_over_within(LONG.min(whole)) {
            at_once = AT_MOST.min(at_once * 2);
            under_way.push_front(first);
            continue;
        }
        first.end(&mut reading, whole);
    }
}

impl UnderWay {
    fn begin(number: u8, answer: Duration, whole: Duration) -> Self {
        let (tell, card) = mpsc::channel();
        let queues = limited::begin(move || read_card(number, answer, &tell));
        Self { number, card, queues, until: limited::after(whole) }
    }

    /// Waits until it is read, or that took too long.
    fn end(self, reading: &mut Reading, whole: Duration) {
        let Self { number, card, queues, until } = self;
        let queues = queues.end(until);
        let mut card = card.try_recv().ok();
        match queues {
            Some(Ok(queues)) => {
                let serialnr = queues.first().and_then(|observed| observed.card.serialnr.clone());
                card.iter_mut().for_each(|card: &mut Card| card.serialnr.clone_from(&serialnr));
                reading.queues.extend(queues);
            }
            Some(Err(fault)) => reading.faults.push(fault),
            None => reading.faults.push(too_slow(number, whole)),
        }
        // Of a card whose queues cannot be read at least the card is told.
        reading.cards.extend(card);
    }
}

/// Reads a card, tells it, and reads its queues; none if the card is gone or of a type that is not understood. The card is
/// asked for its serial number once it is known that a queue is bound, for it answers by such a queue.
fn read_card(number: u8, answer: Duration, tell: &mpsc::Sender<Card>) -> Result<Vec<Observed>> {
    let Some(card) = Card::read(number, answer)? else { return Ok(Vec::new()) };
    // Nobody listens any more if it took too long.
    let _ = tell.send(card.clone());
    let mut queues: Vec<_> = card.queues()?.into_iter().map(|queue| Observed::new(card.clone(), queue)).collect();
    if queues.iter().any(|observed| observed.seen.state.is_held()) {
        let serialnr = card.read_serialnr();
        for observed in &mut queues {
            observed.card.serialnr.clone_from(&serialnr);
            observed.seen.serialnr.clone_from(&serialnr);
        }
    }
    Ok(queues)
}

/// The fault of a card that was not read in time.
pub fn too_slow(number: u8, limit: Duration) -> Fault {
    Fault::new(
        codes::CARD_TIMEOUT,
        format!("Card {number:02x} and its queues were not read whole within {} s.", limit.as_secs()),
    )
    .hint("Look at the card with lszcrypt -V; raise timeout if it is merely slow.")
}

/// What is not known of queues because it would have to be waited for, or was waited for in vain: one fault for each queue
/// whose association is under way, and one for each card that did not answer.
pub fn unanswered(queues: &[Observed]) -> Vec<Fault> {
    let pending = queues.iter().map(|observed| &observed.seen).filter(|seen| seen.state == SeState::Pending);
    let pending = pending.map(|seen| {
        Fault::new(
            codes::ASSOCIATION_PENDING,
            format!(
                "The association of the queue {} is under way: until it is over the queue serves nothing, and its master key cannot be read.",
                seen.apqn
            ),
        )
        .hint("If it does not end (se_associate of the queue says), release the queue (seguest.pv.ap_bind with state=unbound and all=true, or exclusive=true), or write 0 to its se_bind.")
    });
    let cards: BTreeMap<u8, &Card> = queues.iter().map(|observed| (observed.card.number, &observed.card)).collect();
    pending.chain(cards.into_values().filter_map(|card| card.line.fault())).collect()
}

impl Observed {
    /// All queues, by APQN. An answer of a card is waited for so long.
    ///
    /// # Errors
    /// `ap.attribute_unreadable`, `ap.card_timeout` if attributes cannot be read for which no card is asked.
    pub fn all(bus: &Bus, answer: Duration) -> Result<Vec<Self>> {
        let Reading { queues, faults, .. } = read(bus, answer, READ_WITHIN)?;
        faults.into_iter().next().map_or(Ok(queues), Err)
    }

    /// A queue of this card, as it is now.
    pub fn new(card: Card, queue: Queue) -> Self {
        let seen = look(&card, &queue);
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

    /// What is to be seen of it now. Its card is asked for its serial number until that is known, if this queue is bound.
    pub fn look(&self) -> Seen {
        let mut seen = look(&self.card, &self.queue);
        if seen.serialnr.is_none() && seen.state.is_held() {
            seen.serialnr = self.card.read_serialnr();
        }
        seen
    }
}

fn look(card: &Card, queue: &Queue) -> Seen {
    let (state, mkvp, usable) = queue.look(&card.line);
    let (usable, serialnr) = (card.usable && usable, card.serialnr.clone());
    Seen { apqn: queue.apqn, mode: card.mode, generation: card.generation, serialnr, mkvp, state, usable }
}
