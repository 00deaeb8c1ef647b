//! An AP queue as the kernel's AP bus knows it (Linux drivers/s390/crypto/ap_queue.c): the attributes `se_bind` and
//! `se_associate` and the state machine behind them, with the manners of older and newer kernels.

use std::time::Duration;

use se_machine::ap::{Binding, Cards, Firmware, Kind, News, Rules, code};
use se_machine::fault::Faults;

use super::Context;
use crate::errno::Errno;
use crate::scenario::{Delays, FailedQueue, Manners};

/// A queue of the machine as its driver reaches it: by instructions.
pub struct Port<'a, 'b> {
    machine: &'a mut Cards,
    at: (u8, u8),
    context: &'a mut Context<'b>,
}

impl<'a, 'b> Port<'a, 'b> {
    /// The queue of that card and domain.
    pub fn new(machine: &'a mut Cards, at: (u8, u8), context: &'a mut Context<'b>) -> Self {
        Self { machine, at, context }
    }

    /// Time since the simulator started.
    pub fn now(&self) -> Duration {
        self.context.now
    }

    /// When something is over that begins then and takes one of the scenario's delays.
    pub fn after(&self, since: Duration, delay: impl Fn(&Delays) -> u64) -> Duration {
        since + Delays::of(delay(&self.context.scenario.delays))
    }

    /// What the bus scan does to a queue whose association failed.
    pub fn failed_queue(&self) -> FailedQueue {
        self.context.scenario.kernel.failed_queue
    }

    /// Brings the machine's queue up to now, and gives what the kernel has not learnt of it yet.
    pub fn news(&mut self) -> News {
        self.machine.news(self.at, self.context.machine())
    }

    fn manners(&self) -> Manners {
        self.context.scenario.kernel.manners
    }

    fn firmware(&self) -> Option<&Firmware> {
        self.machine.firmware(self.at.0, self.at.1)
    }

    /// TAPQ: response code and binding state.
    fn test(&self) -> (u8, Binding) {
        let switches = &self.context.scenario.switches;
        self.firmware().map_or((code::NOT_AVAILABLE, Binding::Unusable), |firmware| firmware.test(switches))
    }

    /// The binding state of a queue that can be asked for it.
    fn ask(&self) -> Result<Binding, Errno> {
        let (rc, binding) = self.test();
        if rc > code::BUSY { Err(Errno::EIO) } else { Ok(binding) }
    }

    fn instruction(
        &mut self,
        run: impl FnOnce(&mut Cards, (u8, u8), &mut dyn Faults, Rules<'_>) -> se_machine::ap::Status,
    ) -> u8 {
        let rules = self.context.machine();
        run(self.machine, self.at, self.context.faults, rules).rc
    }

    fn reset(&mut self, unbind: bool) -> u8 {
        self.instruction(|cards, at, faults, rules| cards.reset(at, unbind, faults, rules))
    }

    fn bind(&mut self) -> u8 {
        self.instruction(|cards, at, faults, rules| cards.bind(at, faults, rules))
    }

    fn associate(&mut self, index: u16) -> u8 {
        let uv = self.context.uv;
        self.instruction(|cards, at, faults, rules| cards.associate(at, index, uv, faults, rules))
    }
}

/// What the kernel's state machine of a queue is busy with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Machine {
    Idle,
    Resetting,
    /// Busy after a bind that was asked for then.
    Settling(Duration),
    Associating,
}

/// The kernel's side of a queue.
#[derive(Debug)]
pub struct Driver {
    machine: Machine,
    index: Option<u16>,
    error: Option<Duration>,
}

impl Driver {
    /// A queue that has just been found and is idle.
    pub fn new() -> Self {
        Self { machine: Machine::Idle, index: None, error: None }
    }

    /// Brings the state machine up to now.
    pub fn advance(&mut self, port: &mut Port<'_, '_>) {
        let (rc, binding) = port.test();
        match self.machine {
            // A queue whose reset was refused, or that is deconfigured or checkstopped, stays here until the bus initialises
            // it anew.
            Machine::Resetting if self.error.is_none() && (rc == code::NORMAL || rc > code::BUSY) => {
                self.machine = Machine::Idle;
            }
            Machine::Settling(since) if port.after(since, |d| d.bind_ms + d.settle_ms) <= port.now() => {
                self.machine = Machine::Idle;
            }
            Machine::Associating if rc > code::BUSY => {
                let failed_at = port.firmware().and_then(Firmware::failed_at);
                self.fail(failed_at.unwrap_or_else(|| port.now()));
            }
            Machine::Associating => match binding {
                Binding::Usable => self.machine = Machine::Idle,
                Binding::WithoutKeys => {}
                Binding::Available | Binding::Unusable => {
                    self.index = None;
                    self.fail(port.now());
                }
            },
            _ => {}
        }
        // What fails just now is not scanned again in the same moment, however often the bus is scanned.
        let is_new = self.error == Some(port.now());
        let is_scanned = !is_new && self.scanned_at(port).is_some_and(|at| at <= port.now());
        if port.failed_queue() == FailedQueue::Reset && is_scanned {
            self.initialise(port);
        }
    }

    /// When the bus scan finds it in error, if it is.
    pub fn scanned_at(&self, port: &Port<'_, '_>) -> Option<Duration> {
        self.error.map(|at| port.after(at, |delays| delays.scan_ms))
    }

    /// Whether its reset was refused: the kernel sends it no requests then, until the bus scan has initialised it anew or somebody
    /// resets it.
    pub fn is_refused_a_reset(&self) -> bool {
        self.machine == Machine::Resetting && self.error.is_some()
    }

    /// Whether the kernel waits for an association: it sends no requests meanwhile.
    pub fn is_associating(&self) -> bool {
        self.machine == Machine::Associating
    }

    fn fail(&mut self, at: Duration) {
        self.machine = Machine::Idle;
        self.error = Some(at);
    }

    /// What the bus scan does to a queue in error, and to one that came back: forgets the index and resets.
    pub fn initialise(&mut self, port: &mut Port<'_, '_>) {
        self.index = None;
        self.reset(port);
    }

    /// A write to `reset`.
    pub fn reset(&mut self, port: &mut Port<'_, '_>) {
        self.start_reset(port, false);
    }

    /// A write to `se_bind` that asks to unbind. It always answers success at once.
    pub fn unbind(&mut self, port: &mut Port<'_, '_>) {
        self.index = None;
        self.start_reset(port, true);
    }

    fn start_reset(&mut self, port: &mut Port<'_, '_>, unbind: bool) {
        let rc = port.reset(unbind);
        // Every other answer puts the queue into error, also that it is busy.
        self.error = (!matches!(rc, code::NORMAL | code::RESETTING)).then_some(port.now());
        self.machine = Machine::Resetting;
        self.advance(port);
    }

    /// The text of `se_bind`, without newline.
    pub fn show_bind(&self, port: &Port<'_, '_>) -> Result<&'static str, Errno> {
        match port.ask()? {
            Binding::Usable | Binding::WithoutKeys => Ok("bound"),
            Binding::Available | Binding::Unusable => Ok("unbound"),
        }
    }

    /// The text of `se_associate`, without newline.
    pub fn show_associate(&self, kind: Kind, port: &Port<'_, '_>) -> Result<String, Errno> {
        if kind != Kind::Ep11 {
            return Ok("-".into());
        }
        match (port.ask()?, self.index) {
            (Binding::Usable, Some(index)) => Ok(format!("associated {index}")),
            (Binding::Usable, None) => Err(Errno::EIO),
            (Binding::WithoutKeys, Some(_)) => Ok("association pending".into()),
            _ => Ok("unassociated".into()),
        }
    }

    /// A write to `se_bind` that asks to bind.
    pub fn bind(&mut self, port: &mut Port<'_, '_>) -> Result<(), Errno> {
        let asks_first = port.manners() == Manners::New;
        if asks_first {
            // Any code but 0 is an error here: also that of a queue that is being reset or is busy.
            let (rc, binding) = port.test();
            if rc != code::NORMAL {
                return Err(Errno::EIO);
            }
            if binding != Binding::Available {
                return Err(Errno::EINVAL);
            }
        }
        if self.machine == Machine::Resetting {
            return Err(Errno::EBUSY);
        }
        if port.bind() != code::NORMAL {
            return Err(Errno::EIO);
        }
        self.machine = Machine::Settling(port.now());
        let bound = matches!(port.test().1, Binding::Usable | Binding::WithoutKeys);
        if asks_first && port.context.scenario.switches.slow_bind_is_eio && !bound {
            return Err(Errno::EIO);
        }
        Ok(())
    }

    /// A write of `index` to `se_associate`.
    pub fn associate(&mut self, kind: Kind, index: u16, port: &mut Port<'_, '_>) -> Result<(), Errno> {
        if kind != Kind::Ep11 {
            return Err(Errno::EINVAL);
        }
        if port.manners() == Manners::New && port.ask()? != Binding::WithoutKeys {
            return Err(Errno::EINVAL);
        }
        if self.machine != Machine::Idle {
            return Err(Errno::EBUSY);
        }
        if self.index.is_some() {
            return Err(Errno::EINVAL);
        }
        // With either the kernel waits for what becomes of it.
        if !matches!(port.associate(index), code::NORMAL | code::STATE_CHANGES) {
            return Err(Errno::EIO);
        }
        self.index = Some(index);
        self.machine = Machine::Associating;
        self.advance(port);
        Ok(())
    }

    /// Text of the queue's `reset` attribute, without newline.
    pub fn show_reset(&self) -> &'static str {
        if self.machine == Machine::Resetting { "Reset in progress." } else { "No Reset Timer set." }
    }
}
