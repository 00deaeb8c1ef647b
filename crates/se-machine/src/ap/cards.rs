//! All cards of a machine with their queues: what the instructions PQAP, NQAP and DQAP do with them.

use std::collections::{BTreeMap, VecDeque};

use super::ep11;
use super::firmware::{Binding, Firmware, Kind, Rules, code};
use crate::fault::{Asked, Faults};
use crate::uv::Ultravisor;

/// Requests that a queue takes at once.
const DEPTH: usize = 8;

/// Response code of DQAP: there is no reply yet; of NQAP: the queue is full (Linux arch/s390/include/asm/ap.h).
const NOT_NOW: u8 = 0x10;

/// What a card is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CardSpec {
    /// What it does.
    pub kind: Kind,
    /// Number of the hardware.
    pub hwtype: u8,
    /// Serial number, 16 characters.
    pub serialnr: String,
    /// It answers requests; otherwise it takes them, and that is all.
    pub answers: bool,
    /// Queues of this card that can be bound at once.
    pub bind_limit: Option<usize>,
}

/// What `mkvps` says of a new master key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NewKey {
    /// There is none.
    #[default]
    Empty,
    /// One with that pattern, not committed.
    Uncommitted([u8; 32]),
    /// One with that pattern, committed.
    Committed([u8; 32]),
}

/// What a queue is when the guest starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueSpec {
    /// Verification pattern of the current master key.
    pub current: Option<[u8; 32]>,
    /// The new master key.
    pub new_key: NewKey,
    /// Not gone.
    pub present: bool,
    /// Not deconfigured.
    pub configured: bool,
    /// Checkstopped.
    pub checkstopped: bool,
    /// It cannot be bound.
    pub unusable: bool,
}

/// What an instruction tells of a queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Response code.
    pub rc: u8,
    /// No reply waits.
    pub empty: bool,
}

/// What TAPQ tells besides the status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tested {
    /// Function bits of the card.
    pub functions: u32,
    /// Binding state.
    pub binding: Binding,
    /// Number of the hardware.
    pub hwtype: u8,
    /// Requests that the queue takes at once.
    pub depth: u8,
}

/// What the kernel of a guest learns of a queue without an instruction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct News {
    /// It was gone, and is back as another device.
    pub is_another: bool,
    /// A fault wants it switched off in the kernel.
    pub went_offline: bool,
}

#[derive(Debug)]
struct Queue {
    spec: QueueSpec,
    firmware: Firmware,
    /// It came back as another device, and the kernel has not learnt of it yet.
    is_another: bool,
    replies: VecDeque<(u64, Vec<u8>)>,
    /// Requests that are never answered.
    swallowed: usize,
}

#[derive(Debug)]
struct Card {
    spec: CardSpec,
    queues: BTreeMap<u8, Queue>,
}

/// Cards by number, with their queues by domain.
pub type Specs = BTreeMap<u8, (CardSpec, BTreeMap<u8, QueueSpec>)>;

/// All cards of a machine.
#[derive(Debug)]
pub struct Cards {
    cards: BTreeMap<u8, Card>,
    secure: bool,
}

impl Cards {
    /// The cards of a guest that has just started. `secure`: queues must be bound before they are used.
    pub fn new(specs: &Specs, secure: bool) -> Self {
        let mut cards = Self { cards: BTreeMap::new(), secure };
        cards.add_missing(specs);
        cards
    }

    fn add_missing(&mut self, specs: &Specs) {
        for (&number, (spec, queues)) in specs {
            let card = self.cards.entry(number).or_insert_with(|| Card { spec: spec.clone(), queues: BTreeMap::new() });
            for (&domain, queue) in queues {
                card.queues.entry(domain).or_insert_with(|| Queue::new(queue, spec.kind, self.secure));
            }
        }
    }

    /// Changes what differs between two descriptions of the cards: what the guest itself did to queues stays, and none goes.
    /// Whether a queue can be bound is decided when it first comes.
    pub fn reconfigure(&mut self, old: &Specs, new: &Specs) {
        self.add_missing(new);
        for (number, (spec, queues)) in new {
            let (Some(card), Some((_, were))) = (self.cards.get_mut(number), old.get(number)) else { continue };
            card.spec = spec.clone();
            for (domain, now) in queues {
                let (Some(queue), Some(was)) = (card.queues.get_mut(domain), were.get(domain)) else { continue };
                if was.present != now.present {
                    queue.firmware.present = now.present;
                }
                if (was.configured, was.checkstopped) != (now.configured, now.checkstopped) {
                    (queue.firmware.configured, queue.firmware.checkstopped) = (now.configured, now.checkstopped);
                }
                queue.spec = now.clone();
            }
        }
    }

    /// Numbers of the cards and of the domains of all their queues, for QCI.
    pub fn numbers(&self) -> (Vec<u8>, Vec<u8>) {
        let domains = self.cards.values().flat_map(|card| card.queues.keys().copied());
        (self.cards.keys().copied().collect(), domains.collect())
    }

    /// Brings every queue up to now, and gives those that exist by card and domain.
    pub fn queues(&mut self, rules: Rules<'_>) -> Vec<(u8, u8, &Firmware)> {
        self.advance(rules);
        let mut all = Vec::new();
        for (number, card) in &self.cards {
            let present = card.queues.iter().filter(|(_, queue)| queue.firmware.present);
            all.extend(present.map(|(&domain, queue)| (*number, domain, &queue.firmware)));
        }
        all
    }

    fn advance(&mut self, rules: Rules<'_>) {
        self.cards.values_mut().flat_map(|card| card.queues.values_mut()).for_each(|queue| queue.advance(rules));
    }

    /// Brings a queue up to now, and gives what its kernel has not learnt of it yet.
    pub fn news(&mut self, (card, domain): (u8, u8), rules: Rules<'_>) -> News {
        let queue = self.cards.get_mut(&card).and_then(|card| card.queues.get_mut(&domain));
        queue.map_or_else(News::default, |queue| {
            queue.advance(rules);
            News {
                is_another: std::mem::take(&mut queue.is_another),
                went_offline: std::mem::take(&mut queue.firmware.went_offline),
            }
        })
    }

    /// A queue as it was when the machine was last asked for it, also one that is not present.
    pub fn firmware(&self, card: u8, domain: u8) -> Option<&Firmware> {
        self.cards.get(&card)?.queues.get(&domain).map(|queue| &queue.firmware)
    }

    /// Configures or deconfigures a card with all its queues, as the guest may ask for.
    pub fn configure(&mut self, card: u8, configured: bool) {
        let queues = self.cards.get_mut(&card).into_iter().flat_map(|card| card.queues.values_mut());
        queues.for_each(|queue| queue.firmware.configured = configured);
    }

    fn find(&mut self, card: u8, domain: u8, rules: Rules<'_>) -> Option<(&CardSpec, &mut Queue)> {
        let card = self.cards.get_mut(&card)?;
        let queue = card.queues.get_mut(&domain)?;
        queue.advance(rules);
        queue.firmware.present.then_some((&card.spec, queue))
    }

    /// TAPQ.
    pub fn test(&mut self, card: u8, domain: u8, rules: Rules<'_>) -> (Status, Option<Tested>) {
        let Some((spec, queue)) = self.find(card, domain, rules) else { return (NO_QUEUE, None) };
        let (rc, binding) = queue.firmware.test(rules.switches);
        let (functions, depth) = (spec.kind.functions(), u8::try_from(DEPTH).unwrap_or(u8::MAX));
        (queue.status(rc), Some(Tested { functions, binding, hwtype: spec.hwtype, depth }))
    }

    /// RAPQ and ZAPQ; with the F bit if `unbind`. Whatever waits is lost.
    pub fn reset(
        &mut self,
        (card, domain): (u8, u8),
        unbind: bool,
        faults: &mut dyn Faults,
        rules: Rules<'_>,
    ) -> Status {
        let Some((_, queue)) = self.find(card, domain, rules) else { return NO_QUEUE };
        let fault = faults.of_queue(Asked::Reset, &apqn(card, domain));
        let rc = queue.firmware.reset(unbind, fault.as_ref(), rules);
        queue.replies.clear();
        queue.swallowed = 0;
        queue.status(rc)
    }

    /// BAPQ.
    pub fn bind(&mut self, (card, domain): (u8, u8), faults: &mut dyn Faults, rules: Rules<'_>) -> Status {
        let room = self.cards.get_mut(&card).is_some_and(|card| card.has_room(rules));
        let Some((_, queue)) = self.find(card, domain, rules) else { return NO_QUEUE };
        let fault = faults.of_queue(Asked::Bind, &apqn(card, domain));
        let rc = queue.firmware.bind(room, fault.as_ref(), rules);
        queue.status(rc)
    }

    /// AAPQ for the secret with `index` in the ultravisor's store.
    pub fn associate(
        &mut self,
        (card, domain): (u8, u8),
        index: u16,
        uv: &Ultravisor,
        faults: &mut dyn Faults,
        rules: Rules<'_>,
    ) -> Status {
        let Some((_, queue)) = self.find(card, domain, rules) else { return NO_QUEUE };
        let fault = faults.of_queue(Asked::Associate, &apqn(card, domain));
        let rc = queue.firmware.associate(index, uv.target(index), fault.as_ref(), rules);
        queue.status(rc)
    }

    /// NQAP: a request with its number.
    pub fn enqueue(&mut self, (card, domain): (u8, u8), id: u64, request: &[u8], rules: Rules<'_>) -> Status {
        let Some((spec, queue)) = self.find(card, domain, rules) else { return NO_QUEUE };
        let (rc, binding) = queue.firmware.test(rules.switches);
        if rc != code::NORMAL {
            return queue.status(rc);
        }
        if !matches!(binding, Binding::Usable | Binding::WithoutKeys) {
            return queue.status(code::NOT_BOUND);
        }
        if queue.replies.len() + queue.swallowed >= DEPTH {
            return queue.status(NOT_NOW);
        }
        let reply = if spec.answers && spec.kind == Kind::Ep11 {
            ep11::answer(request, spec, &queue.spec, domain)
        } else {
            None
        };
        match reply {
            Some(reply) => queue.replies.push_back((id, reply)),
            None => queue.swallowed += 1,
        }
        queue.status(code::NORMAL)
    }

    /// DQAP: the oldest reply with the number of its request.
    pub fn dequeue(&mut self, (card, domain): (u8, u8), rules: Rules<'_>) -> (Status, Option<(u64, Vec<u8>)>) {
        let Some((_, queue)) = self.find(card, domain, rules) else { return (NO_QUEUE, None) };
        let (rc, _) = queue.firmware.test(rules.switches);
        if rc != code::NORMAL {
            return (queue.status(rc), None);
        }
        let reply = queue.replies.pop_front();
        let rc = if reply.is_some() { code::NORMAL } else { NOT_NOW };
        (queue.status(rc), reply)
    }
}

const NO_QUEUE: Status = Status { rc: code::NOT_AVAILABLE, empty: true };

/// Card and domain as scenario files and logs spell them.
pub fn apqn(card: u8, domain: u8) -> String {
    format!("{card:02x}.{domain:04x}")
}

impl Card {
    /// Whether one more of its queues can be bound. All of them count, so all are brought up to now.
    fn has_room(&mut self, rules: Rules<'_>) -> bool {
        let Some(limit) = self.spec.bind_limit else { return true };
        self.queues.values_mut().for_each(|queue| queue.advance(rules));
        self.queues.values().filter(|queue| queue.firmware.takes_a_place()).count() < limit
    }
}

impl Queue {
    fn new(spec: &QueueSpec, kind: Kind, secure: bool) -> Self {
        let binding = match (secure, spec.unusable) {
            (false, _) => Binding::Usable,
            (true, true) => Binding::Unusable,
            (true, false) => Binding::Available,
        };
        let mut firmware = Firmware::new(kind, binding);
        firmware.configured = spec.configured;
        firmware.checkstopped = spec.checkstopped;
        firmware.present = spec.present;
        Self { spec: spec.clone(), firmware, is_another: false, replies: VecDeque::new(), swallowed: 0 }
    }

    fn advance(&mut self, rules: Rules<'_>) {
        if self.firmware.back_at.is_some_and(|at| at <= rules.now) {
            self.firmware = Firmware::new(self.firmware.kind, Binding::Available);
            self.is_another = true;
        }
        self.firmware.advance(rules);
    }

    fn status(&self, rc: u8) -> Status {
        Status { rc, empty: self.replies.is_empty() && self.swallowed == 0 }
    }
}
