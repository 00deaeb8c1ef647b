//! The AP bus of the guest: cards, queues, and what is written to them.

pub mod attributes;
mod driver;
mod firmware;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod unanswered_tests;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use driver::Driver;
use firmware::{Binding, Firmware, Kind, Rules, Target};

use crate::errno::Errno;
use crate::fault::{Faults, On};
use crate::scenario::{self, Delays, FailedQueue, Manners, Scenario};
use crate::uv::{TYPE_ASSOCIATION, Ultravisor};

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
    fn rules(&self) -> Rules<'a> {
        let Scenario { delays, switches, kernel, .. } = self.scenario;
        Rules { now: self.now, delays, switches, failed_queue: kernel.failed_queue }
    }
}

/// A card of the bus.
#[derive(Debug)]
pub struct Card {
    spec: scenario::Card,
    kind: Kind,
    online: bool,
    queues: BTreeMap<u16, Queue>,
    request_count: u64,
    /// So many reads show the serial number though no queue is bound any more.
    lingers: u32,
}

/// A queue of a card.
#[derive(Debug)]
pub struct Queue {
    spec: scenario::Queue,
    firmware: Firmware,
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

/// All cards of a guest.
#[derive(Debug)]
pub struct Bus {
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
        let mut bus = Self { cards: BTreeMap::new(), secure, booted: now, asked: 0 };
        for (name, spec) in &scenario.cards {
            bus.add_missing(name, spec);
        }
        bus
    }

    fn add_missing(&mut self, name: &str, spec: &scenario::Card) {
        let Ok(number) = u8::from_str_radix(name, 16) else { return };
        let card = self.cards.entry(number).or_insert_with(|| Card::new(spec));
        for (name, queue) in &spec.queues {
            if let Ok(domain) = u16::from_str_radix(name, 16) {
                let new = || Queue::new(spec, queue, card.kind, self.secure);
                card.queues.entry(domain).or_insert_with(new);
            }
        }
    }

    /// Takes over what the scenario in `context` says otherwise than `old`, and nothing else: what the guest itself
    /// has changed stays.
    pub fn reconfigure(&mut self, old: &Scenario, context: &Context<'_>) {
        self.advance(context);
        for (name, spec) in &context.scenario.cards {
            self.add_missing(name, spec);
            let Some(card) = u8::from_str_radix(name, 16).ok().and_then(|number| self.cards.get_mut(&number)) else {
                continue;
            };
            let Some(old) = old.cards.get(name) else { continue };
            card.reconfigure(old, spec, context.rules());
        }
    }

    /// Brings every queue up to now.
    pub fn advance(&mut self, context: &Context<'_>) {
        for queue in self.cards.values_mut().flat_map(|card| card.queues.values_mut()) {
            queue.advance(context.rules());
        }
    }

    /// Whether a request that was not answered waits still: it does not once its queue was reset or is gone.
    pub fn waits(&self, request: u64) -> bool {
        let mut queues = self.cards.values().flat_map(|card| card.queues.values());
        queues.any(|queue| queue.exists() && queue.unanswered.contains(&request))
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

    /// A queue that exists.
    pub fn queue(&self, card: u8, domain: u16) -> Option<&Queue> {
        self.cards.get(&card)?.queues.get(&domain).filter(|queue| queue.exists())
    }

    fn queue_mut(&mut self, card: u8, domain: u16, rules: Rules<'_>) -> Result<&mut Queue, Errno> {
        let queue = self.cards.get_mut(&card).and_then(|card| card.queues.get_mut(&domain)).ok_or(Errno::ENODEV)?;
        queue.advance(rules);
        if queue.exists() { Ok(queue) } else { Err(Errno::ENODEV) }
    }

    /// A write of `text` to attribute `name` of a queue. Gives the number of waiting requests that it flushed.
    pub fn write_queue(
        &mut self,
        (card, domain): (u8, u16),
        name: &str,
        text: &str,
        context: &mut Context<'_>,
    ) -> Result<u64, Errno> {
        let (rules, manners) = (context.rules(), context.scenario.kernel.manners);
        let apqn = format!("{card:02x}.{domain:04x}");
        // Every queue of the card counts against its limit, so all of them must be up to date.
        let bind_limit = self.cards.get(&card).and_then(|card| card.spec.bind_limit);
        let room =
            bind_limit.is_none_or(|limit| self.cards.get_mut(&card).map_or(0, |card| card.places_taken(rules)) < limit);
        let queue = self.queue_mut(card, domain, rules)?;
        match name {
            "se_bind" if parse_bool(text)? => {
                let fault = || context.faults.hit(On::Bind, &apqn);
                queue.driver.bind(&mut queue.firmware, room, manners, fault, rules)?;
            }
            "se_bind" => {
                let fault = context.faults.hit(On::Reset, &apqn);
                queue.driver.unbind(&mut queue.firmware, fault.as_ref(), rules);
                return Ok(queue.flush());
            }
            "se_associate" => {
                let index = parse_index(text, manners)?;
                let target = (index, target(context.uv, index));
                let fault = || context.faults.hit(On::Associate, &apqn);
                queue.driver.associate(&mut queue.firmware, target, manners, fault, rules)?;
            }
            "reset" => {
                let fault = context.faults.hit(On::Reset, &apqn);
                queue.driver.reset(&mut queue.firmware, fault.as_ref(), rules);
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
    pub fn write_card(&mut self, card: u8, name: &str, text: &str, context: &Context<'_>) -> Result<(), Errno> {
        let value = parse_bool(text)?;
        let rules = context.rules();
        let card = self.cards.get_mut(&card).ok_or(Errno::ENODEV)?;
        match name {
            "online" => {
                card.online = value;
                card.queues.values_mut().for_each(|queue| queue.online = value);
            }
            "config" => {
                card.queues.values_mut().for_each(|queue| queue.set_alive(value, queue.firmware.checkstopped, rules))
            }
            _ => return Err(Errno::EACCES),
        }
        Ok(())
    }
}

impl Card {
    fn new(spec: &scenario::Card) -> Self {
        let kind = match spec.kind.as_bytes().last() {
            Some(b'A') => Kind::Accelerator,
            Some(b'C') => Kind::Cca,
            _ => Kind::Ep11,
        };
        Self { spec: spec.clone(), kind, online: spec.online, queues: BTreeMap::new(), request_count: 0, lingers: 0 }
    }

    fn reconfigure(&mut self, old: &scenario::Card, new: &scenario::Card, rules: Rules<'_>) {
        if old.online != new.online {
            self.online = new.online;
        }
        for (name, spec) in &new.queues {
            let domain = u16::from_str_radix(name, 16).ok();
            let Some(queue) = domain.and_then(|domain| self.queues.get_mut(&domain)) else { continue };
            let Some(was) = old.queues.get(name) else { continue };
            if was.online != spec.online {
                queue.online = spec.online;
            }
            if was.present != spec.present {
                queue.firmware.present = spec.present;
            }
            let before = (old.config && was.config, old.chkstop || was.chkstop);
            let after = (new.config && spec.config, new.chkstop || spec.chkstop);
            if before != after {
                queue.set_alive(after.0, after.1, rules);
            }
            if (was.requestq_count, was.pendingq_count) != (spec.requestq_count, spec.pendingq_count) {
                (queue.requestq_count, queue.pendingq_count) = (spec.requestq_count, spec.pendingq_count);
            }
            queue.spec = spec.clone();
        }
        self.spec = new.clone();
    }

    /// Domains of the queues that exist.
    pub fn domains(&self) -> impl Iterator<Item = u16> {
        self.queues.iter().filter(|(_, queue)| queue.exists()).map(|(&domain, _)| domain)
    }

    fn places_taken(&mut self, rules: Rules<'_>) -> usize {
        self.queues.values_mut().for_each(|queue| queue.advance(rules));
        self.queues.values().filter(|queue| queue.firmware.takes_a_place()).count()
    }
}

impl Queue {
    fn new(card: &scenario::Card, spec: &scenario::Queue, kind: Kind, secure: bool) -> Self {
        let binding = match (secure, spec.unusable) {
            (false, _) => Binding::Usable,
            (true, true) => Binding::Unusable,
            (true, false) => Binding::Available,
        };
        let mut firmware = Firmware::new(kind, binding);
        firmware.configured = card.config && spec.config;
        firmware.checkstopped = card.chkstop || spec.chkstop;
        firmware.present = spec.present;
        Self {
            online: card.online && spec.online,
            requestq_count: spec.requestq_count,
            pendingq_count: spec.pendingq_count,
            request_count: 0,
            driver: Driver::new(),
            spec: spec.clone(),
            firmware,
            unanswered: BTreeSet::new(),
            found_again_at: None,
        }
    }

    fn exists(&self) -> bool {
        self.firmware.present && self.found_again_at.is_none()
    }

    fn advance(&mut self, rules: Rules<'_>) {
        if self.firmware.back_at.is_some_and(|at| at <= rules.now) {
            (self.firmware, self.driver) = (Firmware::new(self.firmware.kind, Binding::Available), Driver::new());
        }
        self.driver.advance(&mut self.firmware, rules);
        self.rescan(rules);
        if self.firmware.went_offline {
            self.firmware.went_offline = false;
            self.online = false;
        }
    }

    /// What a bus scan does that takes a queue in error out of sysfs, and finds it again the next time.
    fn rescan(&mut self, rules: Rules<'_>) {
        let scanned = self.driver.scanned_at(rules).filter(|_| rules.failed_queue == FailedQueue::Removed);
        if self.found_again_at.is_none() {
            self.found_again_at = scanned.filter(|at| *at <= rules.now).map(|at| at + Delays::of(rules.delays.scan_ms));
        }
        if self.found_again_at.is_some_and(|at| at <= rules.now) {
            self.found_again_at = None;
            self.flush();
            self.driver = Driver::new();
            self.driver.initialise(&mut self.firmware, rules);
        }
    }

    /// Configures or checkstops it, or the reverse. The bus initialises a queue that came back to life anew.
    fn set_alive(&mut self, configured: bool, checkstopped: bool, rules: Rules<'_>) {
        let alive = |queue: &Self| queue.firmware.configured && !queue.firmware.checkstopped;
        let before = alive(self);
        self.firmware.configured = configured;
        self.firmware.checkstopped = checkstopped;
        if !before && alive(self) {
            self.driver.initialise(&mut self.firmware, rules);
        }
    }

    fn flush(&mut self) -> u64 {
        let waiting = self.waiting();
        (self.requestq_count, self.pendingq_count) = (0, 0);
        self.unanswered.clear();
        waiting
    }
}

fn target(uv: &Ultravisor, index: u16) -> Target {
    let association = |secret: &&crate::uv::Secret| secret.secret_type == TYPE_ASSOCIATION;
    let Some(secret) = uv.secrets().get(usize::from(index)).filter(association) else { return Target::None };
    let same = uv.secrets().iter().filter(association).filter(|other| other.id == secret.id).count();
    if same > 1 { Target::Doubled } else { Target::Unique }
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
