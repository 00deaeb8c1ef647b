//! The guest as a whole: one ultravisor, one AP bus, the files that show them, and a log of what was done to it.

use std::time::Duration;

use anyhow::{Result, ensure};
use se_machine::ap::apqn;
use serde::Serialize;
use serde_json::{Value, json};

use crate::ap::attributes::Waits;
use crate::ap::{Bus, Context};
use crate::crypto::{self, HostKey};
use crate::errno::Errno;
use crate::fault::{Fault, Faults, Kill, On};
use crate::hex;
use crate::image::Image;
use crate::scenario::{Delays, FailedQueue, Scenario};
use crate::tree::{File, Node, Tree};
use crate::uv::driver::{self, BLOCK_LEN, CallerMemory};
use crate::uv::{Rc, Ultravisor, query};

/// Something that was done to the guest; one line of its log.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Event {
    /// Number of the event, from 1.
    pub seq: u64,
    /// Milliseconds since the simulator started.
    pub ms: u64,
    /// Process (thread) that did it; 0 if none.
    pub pid: u32,
    /// `ioctl`, `write`, `read`, `reboot` or `set`.
    pub what: &'static str,
    /// Name of the ioctl, or path of the attribute.
    pub name: String,
    /// What was written or read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// What the ultravisor answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uv_rc: Option<Rc>,
    /// What the call failed with; null if it did not.
    pub errno: Option<Errno>,
    /// Waiting requests of a queue that were lost by it.
    #[serde(skip_serializing_if = "is_zero")]
    pub flushed: u64,
    /// A fault of the scenario had a hand in it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub fault: bool,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// What is to be answered to a call, and what else is to happen.
#[derive(Debug)]
pub struct Answer<T> {
    /// The result of the call.
    pub result: Result<T, Errno>,
    /// How long the caller waits for it.
    pub takes: Duration,
    /// The caller is to be killed instead.
    pub kill: bool,
    /// The request that the caller waits for, which is not answered: until then the caller waits so long at most.
    pub unanswered: Option<u64>,
}

impl<T> Answer<T> {
    fn at_once(result: Result<T, Errno>) -> Self {
        Self { result, takes: Duration::ZERO, kill: false, unanswered: None }
    }

    fn map<U>(self, change: impl FnOnce(T) -> U) -> Answer<U> {
        let Self { result, takes, kill, unanswered } = self;
        Answer { result: result.map(change), takes, kill, unanswered }
    }
}

/// A simulated guest. `now` is the time since the simulator started and must never go back.
#[derive(Debug)]
pub struct Guest {
    scenario: Scenario,
    uv: Ultravisor,
    bus: Bus,
    faults: Faults,
    boot_id: String,
    events: Vec<Event>,
    seq: u64,
}

impl Guest {
    /// A guest that starts now.
    pub fn new(scenario: Scenario, host: HostKey, image: Image) -> Result<Self> {
        let uv = Ultravisor::new(scenario.ultravisor.clone(), scenario.switches.clone(), host, image)?;
        let bus = Bus::new(&scenario, Duration::ZERO);
        let faults = Faults::new(&scenario.faults);
        Ok(Self { scenario, uv, bus, faults, boot_id: new_boot_id(), events: Vec::new(), seq: 0 })
    }

    /// The guest starts again: empty store, nothing bound, another boot id. Faults stay.
    pub fn reboot(&mut self, now: Duration) -> Result<()> {
        self.uv.reboot()?;
        self.bus = Bus::new(&self.scenario, now);
        self.boot_id = new_boot_id();
        let boot_id = self.boot_id.clone();
        self.log(now, 0, "reboot", "", |event| event.value = Some(boot_id));
        Ok(())
    }

    /// Lays a fragment of a scenario over the guest's own.
    ///
    /// # Errors
    /// The fragment is no such thing, or names another host key or image: those are read once, at the start.
    pub fn set(&mut self, fragment: &str, now: Duration) -> Result<()> {
        let (scenario, faults) = self.scenario.overlaid(fragment)?;
        let kept = scenario.host_key == self.scenario.host_key && scenario.image == self.scenario.image;
        ensure!(kept, "host_key and image of a running guest cannot be changed");
        // What is over by the old delays stays so by the new ones.
        self.catch_up(now);
        let old = std::mem::replace(&mut self.scenario, scenario);
        if self.scenario.faults.is_empty() {
            self.faults = Faults::default();
        }
        self.faults.add(&faults);
        self.scenario.faults.extend(faults);
        self.uv.spec = self.scenario.ultravisor.clone();
        self.uv.switches = self.scenario.switches.clone();
        let mut context = Context { now, scenario: &self.scenario, uv: &self.uv, faults: &mut self.faults };
        self.bus.reconfigure(&old, &mut context);
        self.log(now, 0, "set", "", |event| event.value = Some(fragment.to_owned()));
        Ok(())
    }

    /// Whether what is at a path may vanish and come back by itself, which only a queue does: because of a fault, or a bus scan.
    pub fn may_go_by_itself(&self, path: &str) -> bool {
        let name = path.rsplit('/').next().unwrap_or_default();
        name.contains('.') && self.queues_come_and_go()
    }

    fn queues_come_and_go(&self) -> bool {
        self.scenario.kernel.failed_queue == FailedQueue::Removed
            || self.scenario.faults.iter().any(|fault| fault.becomes.is_some())
    }

    /// The guest's files at that time.
    pub fn tree(&mut self, now: Duration) -> Tree<'_> {
        // Where none vanishes by itself nobody pays for looking after every queue.
        if self.queues_come_and_go() {
            self.catch_up(now);
        }
        Tree { scenario: &self.scenario, bus: &self.bus }
    }

    /// Brings every queue up to now.
    fn catch_up(&mut self, now: Duration) {
        self.bus.advance(&mut Context { now, scenario: &self.scenario, uv: &self.uv, faults: &mut self.faults });
    }

    /// Takes the events since the last call.
    pub fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    /// ioctl(2) on `/dev/uv`: command `word`, control block `block`. The block is changed only if the result is good.
    pub fn ioctl(
        &mut self,
        pid: u32,
        word: u32,
        block: &mut [u8; BLOCK_LEN],
        memory: &dyn CallerMemory,
        now: Duration,
    ) -> Answer<()> {
        let call = match driver::command(word, &self.scenario.kernel) {
            Ok(call) => call,
            Err(errno) => {
                self.log(now, pid, "ioctl", &format!("{word:#010x}"), |event| event.errno = Some(errno));
                return Answer::at_once(Err(errno));
            }
        };
        let fault = self.faults.hit(call, "");
        let delay = Delays::of(self.scenario.delays.ioctl_ms);
        let name = call.name();
        let Self { uv, scenario, .. } = self;
        let spoil = fault.as_ref().and_then(|fault| fault.spoil);
        let work = || driver::ioctl(uv, &scenario.kernel, call, block, memory, spoil);
        let answer = with_fault(fault.as_ref(), delay, work);
        let rc = answer.result.ok();
        if let Some(rc) = rc {
            driver::answer(block, rc);
        }
        self.log(now, pid, "ioctl", name, |event| {
            (event.uv_rc, event.errno) = (rc, answer.result.err());
            event.fault = fault.is_some();
        });
        answer.map(drop)
    }

    /// The text of the file at `path`.
    pub fn read(&mut self, pid: u32, path: &str, now: Duration) -> Answer<Vec<u8>> {
        let Some(Node::File(file, _)) = self.tree(now).node(path) else { return Answer::at_once(Err(Errno::ENODEV)) };
        let fault = self.faults.hit(On::Read, path);
        let mut waits = Waits::Not;
        let mut answer = with_fault(fault.as_ref(), Duration::ZERO, || {
            if let Some(text) = self.scenario.attributes.get(path) {
                return Ok(text.clone());
            }
            let mut context = Context { now, scenario: &self.scenario, uv: &self.uv, faults: &mut self.faults };
            match file {
                File::Device => Err(Errno::EINVAL),
                File::BootId => Ok(format!("{}\n", self.boot_id)),
                File::UvFlag(name) => Ok(query::flag_attribute(&self.uv, name)),
                File::UvQuery(name) => Ok(query::query_attribute(&self.uv, name)),
                File::UvKey(name) => Ok(query::key_attribute(&self.uv, name)),
                File::Bus(name) => self.bus.bus_attribute(name, &context),
                File::Card(card, name) => self.bus.card_attribute(card, name, &mut context).map(|(text, how_long)| {
                    waits = how_long;
                    text
                }),
                File::Queue(card, domain, name) => {
                    self.bus.queue_attribute((card, domain), name, &mut context).map(|(text, how_long)| {
                        waits = how_long;
                        text
                    })
                }
            }
        });
        answer.takes += match waits {
            Waits::Not => Duration::ZERO,
            Waits::For(delay) => delay,
            Waits::Unanswered { request, limit } => {
                answer.unanswered = Some(request);
                limit
            }
        };
        if self.scenario.log_reads {
            self.log(now, pid, "read", path, |event| {
                event.value = answer.result.as_ref().ok().map(|text| text.trim_end().to_owned());
                event.errno = answer.result.as_ref().err().copied();
                event.fault = fault.is_some();
            });
        }
        answer.map(String::into_bytes)
    }

    /// Whether a request that was not answered waits still.
    pub fn waits(&mut self, request: u64, now: Duration) -> bool {
        self.catch_up(now);
        self.bus.waits(request)
    }

    /// Takes back a request that was not answered.
    pub fn withdraw(&mut self, request: u64) {
        self.bus.withdraw(request);
    }

    /// A write of `bytes` to the file at `path`.
    pub fn write(&mut self, pid: u32, path: &str, bytes: &[u8], now: Duration) -> Answer<()> {
        let node = self.tree(now).node(path);
        let text = String::from_utf8_lossy(bytes).into_owned();
        let fault = self.faults.hit(On::Write, path);
        let answer = with_fault(fault.as_ref(), Duration::ZERO, || {
            let mut context = Context { now, scenario: &self.scenario, uv: &self.uv, faults: &mut self.faults };
            match node {
                Some(Node::File(File::Card(card, name), _)) => {
                    self.bus.write_card(card, name, &text, &mut context).map(|()| 0)
                }
                Some(Node::File(File::Queue(card, domain, name), _)) => {
                    self.bus.write_queue((card, domain), name, &text, &mut context)
                }
                Some(Node::File(File::Device, _)) => Err(Errno::EINVAL),
                Some(_) => Err(Errno::EACCES),
                None => Err(Errno::ENODEV),
            }
        });
        self.log(now, pid, "write", path, |event| {
            event.value = Some(text.trim_end().to_owned());
            event.flushed = answer.result.unwrap_or(0);
            event.errno = answer.result.err();
            event.fault = fault.is_some();
        });
        answer.map(drop)
    }

    /// What a test may want to know, without the guest's own eyes. No secret is in it.
    pub fn state(&mut self, now: Duration) -> Value {
        self.catch_up(now);
        let uv = &self.uv;
        let secrets: Vec<Value> = uv.secrets().iter().enumerate().map(secret_state).collect();
        let queue = |(number, card): (u8, &crate::ap::Card), domain: u8| {
            let queue = self.bus.queue(number, domain)?;
            let index = self.bus.associated(number, domain);
            let secret = index.and_then(|index| uv.secrets().get(usize::from(index)));
            Some(json!({
                "apqn": apqn(number, domain),
                "type": card.kind_text(),
                "serialnr": card.serialnr(),
                "mkvp": queue.mkvp(),
                "state": self.bus.queue_state(number, domain, &self.scenario.switches)?,
                "online": queue.online(),
                "waiting": queue.waiting(),
                "index": index,
                "secret_id": secret.map(|secret| hex::encode(&secret.id)),
            }))
        };
        let queues = |card: (u8, &crate::ap::Card)| {
            self.bus.domains(card.0).filter_map(|domain| queue(card, domain)).collect::<Vec<_>>()
        };
        json!({
            "boot_id": self.boot_id,
            "cuid": hex::encode(&uv.cuid()),
            "locked": uv.locked(),
            "dump_disabled": uv.dump_disabled(),
            "secrets": secrets,
            "accepted": uv.accepted_tags().iter().map(|tag| hex::encode(tag)).collect::<Vec<_>>(),
            "queues": self.bus.cards().flat_map(queues).collect::<Vec<_>>(),
        })
    }

    fn log(&mut self, now: Duration, pid: u32, what: &'static str, name: &str, fill: impl FnOnce(&mut Event)) {
        self.seq += 1;
        let mut event = Event {
            seq: self.seq,
            ms: u64::try_from(now.as_millis()).unwrap_or(u64::MAX),
            pid,
            what,
            name: name.to_owned(),
            value: None,
            uv_rc: None,
            errno: None,
            flushed: 0,
            fault: false,
        };
        fill(&mut event);
        self.events.push(event);
    }
}

/// Calls `work` unless `fault` says otherwise, and lets the fault change the answer.
fn with_fault<T: FaultyAnswer>(
    fault: Option<&Fault>,
    delay: Duration,
    work: impl FnOnce() -> Result<T, Errno>,
) -> Answer<T> {
    let Some(fault) = fault else { return Answer { takes: delay, ..Answer::at_once(work()) } };
    let before = fault.kill == Some(Kill::Before);
    let replaced = fault.errno.is_some() || fault.uv_rc.is_some();
    let result = if before || (replaced && !fault.done) { Err(Errno::EINTR) } else { work() };
    let result = match (fault.errno, fault.uv_rc.and_then(|rc| T::from_rc(Rc(rc)))) {
        (Some(errno), _) => Err(errno),
        (None, Some(answer)) => Ok(answer),
        (None, None) => result,
    };
    let takes = delay + Delays::of(fault.delay_ms);
    Answer { result, takes, kill: fault.kill.is_some(), unanswered: None }
}

/// Answers that a fault can make up: only what the ultravisor says.
trait FaultyAnswer: Sized {
    fn from_rc(_: Rc) -> Option<Self> {
        None
    }
}

impl FaultyAnswer for String {}
impl FaultyAnswer for u64 {}
impl FaultyAnswer for Rc {
    fn from_rc(rc: Rc) -> Option<Self> {
        Some(rc)
    }
}

fn secret_state((index, secret): (usize, &crate::uv::Secret)) -> Value {
    json!({"index": index, "type": secret.secret_type, "id": hex::encode(&secret.id)})
}

/// A random UUID of version 4, as the kernel makes it at boot.
fn new_boot_id() -> String {
    let mut bytes = crypto::random::<16>();
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let digits = hex::encode(&bytes);
    [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]].join("-")
}
