//! The AP bus of the guest: cards, queues, and what is written to them.

pub mod attributes;
mod driver;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod unanswered_tests;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use driver::{Driver, Port};
use se_machine::ap::{Cards, Firmware, Kind, Rules};

use crate::errno::Errno;
use crate::fault::Faults;
use crate::machine::specs;
use crate::scenario::{self, FailedQueue, Manners, Scenario, Switches};
use crate::uv::Ultravisor;

/// What the bus goes by besides its own state, during one access.
#[derive(Debug)]
pub struct Context<'a> {
    /// Time since the simulator started.
    pub now: Duration,
    /// The guest's scenario.
    pub scenario: &'a Scenario,
    /// Knows the secrets that queues are associated with.
    pub uv: &'a Ultravisor,
    /// What goes wrong.
    pub faults: &'a mut Faults,
}

impl<'a> Context<'a> {
    /// What of it the machine goes by.
    fn machine(&self) -> Rules<'a> {
        let Scenario { delays, switches, .. } = self.scenario;
        Rules { now: self.now, times: delays.times(), switches }
    }
}

/// A card as the bus knows it.
#[derive(Debug)]
pub struct Card {
    spec: scenario::Card,
    kind: Kind,
    online: bool,
    queues: BTreeMap<u8, Queue>,
    request_count: u64,
    /// So many reads show the serial number though no queue is bound any more.
    lingers: u32,
}

/// A queue of a card as the bus knows it.
#[derive(Debug)]
pub struct Queue {
    spec: scenario::Queue,
    driver: Driver,
    online: bool,
    request_count: u64,
    requestq_count: u64,
    pendingq_count: u64,
    /// Requests of readers that wait for an answer, by the number that each was given.
    unanswered: BTreeSet<u64>,
    /// The bus scan took it out of sysfs and finds it again then.
    found_again_at: Option<Duration>,
}

/// The AP bus of a guest's kernel, in front of the machine's cards.
#[derive(Debug)]
pub struct Bus {
    machine: Cards,
    cards: BTreeMap<u8, Card>,
    secure: bool,
    booted: Duration,
    /// How many requests were not answered so far.
    asked: u64,
}

impl Bus {
    /// The bus as the scenario describes it, right after boot at `now`.
    pub fn new(scenario: &Scenario, now: Duration) -> Self {
        let secure = scenario.ultravisor.guest && scenario.ap.features.split(' ').any(|word| word == "APSB");
        let machine = Cards::new(&specs(scenario), secure);
        let mut bus = Self { machine, cards: BTreeMap::new(), secure, booted: now, asked: 0 };
        scenario.cards.iter().for_each(|(name, spec)| bus.add_missing(name, spec));
        bus
    }

    fn add_missing(&mut self, name: &str, spec: &scenario::Card) {
        let Ok(number) = u8::from_str_radix(name, 16) else { return };
        let card = self.cards.entry(number).or_insert_with(|| Card::new(spec));
        for (name, queue) in &spec.queues {
            if let Ok(domain) = u8::from_str_radix(name, 16) {
                card.queues.entry(domain).or_insert_with(|| Queue::new(spec, queue));
            }
        }
    }

    /// Takes over what the scenario in `context` says otherwise than `old`, and nothing else: what the guest itself
    /// has changed stays.
    pub fn reconfigure(&mut self, old: &Scenario, context: &mut Context<'_>) {
        let dead = self.dead();
        self.machine.reconfigure(&specs(old), &specs(context.scenario));
        for (name, spec) in &context.scenario.cards {
            self.add_missing(name, spec);
            let card = u8::from_str_radix(name, 16).ok().and_then(|number| self.cards.get_mut(&number));
            if let Some((card, old)) = card.zip(old.cards.get(name)) {
                card.reconfigure(old, spec);
            }
        }
        self.initialise_revived(dead, context);
    }

    /// The queues that are deconfigured or checkstopped.
    fn dead(&self) -> Vec<(u8, u8)> {
        let all = self.cards.iter().flat_map(|(&card, of)| of.queues.keys().map(move |&domain| (card, domain)));
        all.filter(|&at| !self.is_alive(at)).collect()
    }

    fn is_alive(&self, (card, domain): (u8, u8)) -> bool {
        self.machine.firmware(card, domain).is_some_and(|firmware| firmware.configured && !firmware.checkstopped)
    }

    /// Initialises those of the queues that were dead that have come back to life.
    fn initialise_revived(&mut self, dead: Vec<(u8, u8)>, context: &mut Context<'_>) {
        for at in dead.into_iter().filter(|&at| self.is_alive(at)).collect::<Vec<_>>() {
            if let Some(queue) = self.cards.get_mut(&at.0).and_then(|card| card.queues.get_mut(&at.1)) {
                queue.driver.initialise(&mut Port::new(&mut self.machine, at, context));
            }
        }
    }

    /// Brings every queue up to now.
    pub fn advance(&mut self, context: &mut Context<'_>) {
        for (&number, card) in &mut self.cards {
            card.advance(&mut self.machine, number, context);
        }
    }

    /// Whether a request that was not answered waits still: it does not once its queue was reset or is gone.
    pub fn waits(&self, request: u64) -> bool {
        let mut queues = self.cards().flat_map(|(card, _)| self.domains(card).filter_map(move |d| self.queue(card, d)));
        queues.any(|queue| queue.unanswered.contains(&request))
    }

    /// Takes back a request that was not answered: who asked does not wait for the answer any more.
    pub fn withdraw(&mut self, request: u64) {
        for queue in self.cards.values_mut().flat_map(|card| card.queues.values_mut()) {
            queue.unanswered.remove(&request);
        }
    }

    /// Whether queues have `se_bind` and `se_associate`.
    pub fn secure(&self) -> bool {
        self.secure
    }

    /// Numbers of the cards.
    pub fn cards(&self) -> impl Iterator<Item = (u8, &Card)> {
        self.cards.iter().map(|(&number, card)| (number, card))
    }

    /// A card.
    pub fn card(&self, card: u8) -> Option<&Card> {
        self.cards.get(&card)
    }

    /// Domains of the queues of a card that exist.
    pub fn domains(&self, card: u8) -> impl Iterator<Item = u8> {
        let domains = self.cards.get(&card).into_iter().flat_map(|card| card.queues.keys().copied());
        domains.filter(move |&domain| self.queue(card, domain).is_some())
    }

    /// A queue that exists.
    pub fn queue(&self, card: u8, domain: u8) -> Option<&Queue> {
        let queue = self.cards.get(&card)?.queues.get(&domain)?;
        queue.exists(self.machine.firmware(card, domain)?).then_some(queue)
    }

    /// A queue that exists, up to now, and its way to the machine.
    fn reach<'a, 'b>(
        &'a mut self,
        (card, domain): (u8, u8),
        context: &'a mut Context<'b>,
    ) -> Result<(Kind, &'a mut Queue, Port<'a, 'b>), Errno> {
        let found = self.cards.get_mut(&card).and_then(|card| card.queues.get_mut(&domain)).ok_or(Errno::ENODEV)?;
        found.advance(&mut Port::new(&mut self.machine, (card, domain), context));
        self.queue(card, domain).ok_or(Errno::ENODEV)?;
        let card_of = self.cards.get_mut(&card).ok_or(Errno::ENODEV)?;
        let queue = card_of.queues.get_mut(&domain).ok_or(Errno::ENODEV)?;
        Ok((card_of.kind, queue, Port::new(&mut self.machine, (card, domain), context)))
    }

    /// A write of `text` to attribute `name` of a queue. Gives the number of waiting requests that it flushed.
    pub fn write_queue(
        &mut self,
        at: (u8, u8),
        name: &str,
        text: &str,
        context: &mut Context<'_>,
    ) -> Result<u64, Errno> {
        let manners = context.scenario.kernel.manners;
        // All queues of a card count against its limit, so all of them must be up to date.
        if let (Some(card), "se_bind") = (self.cards.get_mut(&at.0), name) {
            if card.spec.bind_limit.is_some() {
                card.advance(&mut self.machine, at.0, context);
            }
        }
        let (kind, queue, mut port) = self.reach(at, context)?;
        match name {
            "se_bind" if parse_bool(text)? => queue.driver.bind(&mut port)?,
            "se_bind" => {
                queue.driver.unbind(&mut port);
                return Ok(queue.flush());
            }
            "se_associate" => queue.driver.associate(kind, parse_index(text, manners)?, &mut port)?,
            "reset" => {
                queue.driver.reset(&mut port);
                return Ok(queue.flush());
            }
            "online" => {
                queue.online = parse_bool(text)?;
                return Ok(if queue.online { 0 } else { queue.flush() });
            }
            _ => return Err(Errno::EACCES),
        }
        Ok(0)
    }

    /// A write of `text` to attribute `name` of a card.
    pub fn write_card(&mut self, number: u8, name: &str, text: &str, context: &mut Context<'_>) -> Result<(), Errno> {
        let value = parse_bool(text)?;
        let card = self.cards.get_mut(&number).ok_or(Errno::ENODEV)?;
        match name {
            "online" => {
                card.online = value;
                card.queues.values_mut().for_each(|queue| queue.online = value);
            }
            "config" => {
                let dead = self.dead();
                self.machine.configure(number, value);
                self.initialise_revived(dead, context);
            }
            _ => return Err(Errno::EACCES),
        }
        Ok(())
    }

    /// What `guest-sim state` tells of a queue: one word.
    pub fn queue_state(&self, card: u8, domain: u8, switches: &Switches) -> Option<&'static str> {
        Some(self.machine.firmware(card, domain)?.state(switches))
    }

    /// The index of the secret that a queue is associated with in the firmware.
    pub fn associated(&self, card: u8, domain: u8) -> Option<u16> {
        self.machine.firmware(card, domain)?.associated()
    }
}

impl Card {
    fn new(spec: &scenario::Card) -> Self {
        let (kind, queues) = (spec.does(), BTreeMap::new());
        Self { spec: spec.clone(), kind, online: spec.online, queues, request_count: 0, lingers: 0 }
    }

    /// Brings all its queues up to now; `number` is its own.
    fn advance(&mut self, machine: &mut Cards, number: u8, context: &mut Context<'_>) {
        for (&domain, queue) in &mut self.queues {
            queue.advance(&mut Port::new(machine, (number, domain), context));
        }
    }

    fn reconfigure(&mut self, old: &scenario::Card, new: &scenario::Card) {
        if old.online != new.online {
            self.online = new.online;
        }
        for (name, spec) in &new.queues {
            let domain = u8::from_str_radix(name, 16).ok();
            let Some(queue) = domain.and_then(|domain| self.queues.get_mut(&domain)) else { continue };
            let Some(was) = old.queues.get(name) else { continue };
            if was.online != spec.online {
                queue.online = spec.online;
            }
            if (was.requestq_count, was.pendingq_count) != (spec.requestq_count, spec.pendingq_count) {
                (queue.requestq_count, queue.pendingq_count) = (spec.requestq_count, spec.pendingq_count);
            }
            queue.spec = spec.clone();
        }
        self.spec = new.clone();
    }
}

impl Queue {
    fn new(card: &scenario::Card, spec: &scenario::Queue) -> Self {
        Self {
            online: card.online && spec.online,
            requestq_count: spec.requestq_count,
            pendingq_count: spec.pendingq_count,
            request_count: 0,
            driver: Driver::new(),
            spec: spec.clone(),
            unanswered: BTreeSet::new(),
            found_again_at: None,
        }
    }

    /// Whether sysfs has it; `firmware` is its other half, in the machine.
    fn exists(&self, firmware: &Firmware) -> bool {
        firmware.present && self.found_again_at.is_none()
    }

    fn advance(&mut self, port: &mut Port<'_, '_>) {
        self.hear_of(port);
        self.driver.advance(port);
        self.rescan(port);
        // A reset that takes no time may have had its consequences at once.
        self.hear_of(port);
    }

    fn hear_of(&mut self, port: &mut Port<'_, '_>) {
        let news = port.news();
        if news.is_another {
            self.driver = Driver::new();
        }
        if news.went_offline {
            self.online = false;
        }
    }

    /// What a bus scan does that takes a queue in error out of sysfs, and finds it again the next time.
    fn rescan(&mut self, port: &mut Port<'_, '_>) {
        let scanned = self.driver.scanned_at(port).filter(|_| port.failed_queue() == FailedQueue::Removed);
        if self.found_again_at.is_none() {
            let found_at = |at| port.after(at, |delays| delays.scan_ms);
            self.found_again_at = scanned.filter(|at| *at <= port.now()).map(found_at);
        }
        if self.found_again_at.is_some_and(|at| at <= port.now()) {
            self.found_again_at = None;
            self.flush();
            self.driver = Driver::new();
            self.driver.initialise(port);
        }
    }

    fn flush(&mut self) -> u64 {
        let waiting = self.waiting();
        (self.requestq_count, self.pendingq_count) = (0, 0);
        self.unanswered.clear();
        waiting
    }
}

/// The kernel's reading of a boolean: the first letter or digit decides, of `on` and `off` the first two.
fn parse_bool(text: &str) -> Result<bool, Errno> {
    match text.as_bytes() {
        [b'1' | b'y' | b'Y' | b't' | b'T', ..] | [b'o' | b'O', b'n' | b'N', ..] => Ok(true),
        [b'0' | b'n' | b'N' | b'f' | b'F', ..] | [b'o' | b'O', b'f' | b'F', ..] => Ok(false),
        _ => Err(Errno::EINVAL),
    }
}

/// The kernel's reading of an unsigned number: base by prefix, one newline at the end; then the limit of its manners.
fn parse_index(text: &str, manners: Manners) -> Result<u16, Errno> {
    let digits = text.strip_suffix('\n').unwrap_or(text);
    let digits = digits.strip_prefix('+').unwrap_or(digits);
    let (digits, base) = match digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        Some(hex) => (hex, 16),
        None if digits.len() > 1 && digits.starts_with('0') => (digits, 8),
        None => (digits, 10),
    };
    if digits.is_empty() || !digits.chars().all(|digit| digit.is_digit(base)) {
        return Err(Errno::EINVAL);
    }
    let number = u32::from_str_radix(digits, base).map_err(|_| Errno::ERANGE)?;
    let limit = if manners == Manners::Old { 0xffff } else { 0x1_0000 };
    if number >= limit { Err(Errno::EINVAL) } else { u16::try_from(number).map_err(|_| Errno::EINVAL) }
}
