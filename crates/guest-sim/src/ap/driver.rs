//! An AP queue as the kernel's AP bus knows it (Linux drivers/s390/crypto/ap_queue.c): the attributes `se_bind` and
//! `se_associate` and the state machine behind them, with the manners of older and newer kernels.

use std::time::Duration;

use se_machine::ap::{self, Binding, Firmware, Kind, Target, code};

use crate::errno::Errno;
use crate::fault::Fault;
use crate::scenario::{Delays, FailedQueue, Manners, Switches};

/// What kernel and firmware go by besides the queue itself.
#[derive(Clone, Copy, Debug)]
pub struct Rules<'a> {
    /// Time since the simulator started.
    pub now: Duration,
    /// How long things take.
    pub delays: &'a Delays,
    /// Unverifiable rules.
    pub switches: &'a Switches,
    /// What the bus scan does to a queue whose association failed.
    pub failed_queue: FailedQueue,
}

impl<'a> Rules<'a> {
    /// What of it is the firmware's.
    pub fn machine(self) -> ap::Rules<'a> {
        ap::Rules { now: self.now, times: self.delays.times(), switches: self.switches }
    }

    /// How long a queue is busy with a bind.
    fn bound_and_settled(self) -> Duration {
        Delays::of(self.delays.bind_ms) + Delays::of(self.delays.settle_ms)
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

    /// Brings firmware and state machine up to now.
    pub fn advance(&mut self, firmware: &mut Firmware, rules: Rules<'_>) {
        firmware.advance(rules.machine());
        let (rc, binding) = firmware.test(rules.switches);
        match self.machine {
            // A queue whose reset was refused, or that is deconfigured or checkstopped, stays here until the bus initialises
            // it anew.
            Machine::Resetting if self.error.is_none() && (rc == code::NORMAL || rc > code::BUSY) => {
                self.machine = Machine::Idle;
            }
            Machine::Settling(since) if since + rules.bound_and_settled() <= rules.now => self.machine = Machine::Idle,
            Machine::Associating if rc > code::BUSY => self.fail(firmware.failed_at().unwrap_or(rules.now)),
            Machine::Associating => match binding {
                Binding::Usable => self.machine = Machine::Idle,
                Binding::WithoutKeys => {}
                Binding::Available | Binding::Unusable => {
                    self.index = None;
                    self.fail(rules.now);
                }
            },
            _ => {}
        }
        if rules.failed_queue == FailedQueue::Reset && self.scanned_at(rules).is_some_and(|at| at <= rules.now) {
            self.initialise(firmware, rules);
        }
    }

    /// When the bus scan finds it in error, if it is.
    pub fn scanned_at(&self, rules: Rules<'_>) -> Option<Duration> {
        self.error.map(|at| at + Delays::of(rules.delays.scan_ms))
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
    pub fn initialise(&mut self, firmware: &mut Firmware, rules: Rules<'_>) {
        self.index = None;
        self.error = None;
        self.start_reset(firmware, false, None, rules);
    }

    fn start_reset(&mut self, firmware: &mut Firmware, unbind: bool, fault: Option<&Fault>, rules: Rules<'_>) {
        let rc = firmware.reset(unbind, fault.map(Fault::trouble).as_ref(), rules.machine());
        // Every other answer puts the queue into error, also that it is busy.
        self.error = (!matches!(rc, code::NORMAL | code::RESETTING)).then_some(rules.now);
        self.machine = Machine::Resetting;
        self.advance(firmware, rules);
    }

    /// The text of `se_bind`, without newline.
    pub fn show_bind(&self, firmware: &Firmware, rules: Rules<'_>) -> Result<&'static str, Errno> {
        match ask(firmware, rules)? {
            Binding::Usable | Binding::WithoutKeys => Ok("bound"),
            Binding::Available | Binding::Unusable => Ok("unbound"),
        }
    }

    /// The text of `se_associate`, without newline.
    pub fn show_associate(&self, firmware: &Firmware, rules: Rules<'_>) -> Result<String, Errno> {
        if firmware.kind != Kind::Ep11 {
            return Ok("-".into());
        }
        match (ask(firmware, rules)?, self.index) {
            (Binding::Usable, Some(index)) => Ok(format!("associated {index}")),
            (Binding::Usable, None) => Err(Errno::EIO),
            (Binding::WithoutKeys, Some(_)) => Ok("association pending".into()),
            _ => Ok("unassociated".into()),
        }
    }

    /// A write to `se_bind` that asks to bind. `room`: the bind limit of the card is not reached. `fault` is asked only
    /// if the firmware is.
    pub fn bind(
        &mut self,
        firmware: &mut Firmware,
        room: bool,
        manners: Manners,
        fault: impl FnOnce() -> Option<Fault>,
        rules: Rules<'_>,
    ) -> Result<(), Errno> {
        if manners == Manners::New {
            // Any code but 0 is an error here: also that of a queue that is being reset or is busy.
            let (rc, binding) = firmware.test(rules.switches);
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
        if firmware.bind(room, fault().map(|fault| fault.trouble()).as_ref(), rules.machine()) != code::NORMAL {
            return Err(Errno::EIO);
        }
        self.machine = Machine::Settling(rules.now);
        let bound = matches!(firmware.test(rules.switches).1, Binding::Usable | Binding::WithoutKeys);
        if manners == Manners::New && rules.switches.slow_bind_is_eio && !bound {
            return Err(Errno::EIO);
        }
        Ok(())
    }

    /// A write to `se_bind` that asks to unbind. It always answers success at once.
    pub fn unbind(&mut self, firmware: &mut Firmware, fault: Option<&Fault>, rules: Rules<'_>) {
        self.index = None;
        self.start_reset(firmware, true, fault, rules);
    }

    /// A write to `reset`.
    pub fn reset(&mut self, firmware: &mut Firmware, fault: Option<&Fault>, rules: Rules<'_>) {
        self.start_reset(firmware, false, fault, rules);
    }

    /// A write of `index` to `se_associate`; `target` is what the ultravisor knows of that secret. `fault` is asked only
    /// if the firmware is.
    pub fn associate(
        &mut self,
        firmware: &mut Firmware,
        (index, target): (u16, Target),
        manners: Manners,
        fault: impl FnOnce() -> Option<Fault>,
        rules: Rules<'_>,
    ) -> Result<(), Errno> {
        if firmware.kind != Kind::Ep11 {
            return Err(Errno::EINVAL);
        }
        if manners == Manners::New && ask(firmware, rules)? != Binding::WithoutKeys {
            return Err(Errno::EINVAL);
        }
        if self.machine != Machine::Idle {
            return Err(Errno::EBUSY);
        }
        if self.index.is_some() {
            return Err(Errno::EINVAL);
        }
        let rc = firmware.associate(index, target, fault().map(|fault| fault.trouble()).as_ref(), rules.machine());
        // With either the kernel waits for what becomes of it.
        if !matches!(rc, code::NORMAL | code::STATE_CHANGES) {
            return Err(Errno::EIO);
        }
        self.index = Some(index);
        self.machine = Machine::Associating;
        self.advance(firmware, rules);
        Ok(())
    }

    /// Text of the queue's `reset` attribute, without newline.
    pub fn show_reset(&self) -> &'static str {
        if self.machine == Machine::Resetting { "Reset in progress." } else { "No Reset Timer set." }
    }
}

fn ask(firmware: &Firmware, rules: Rules<'_>) -> Result<Binding, Errno> {
    let (rc, binding) = firmware.test(rules.switches);
    if rc > code::BUSY { Err(Errno::EIO) } else { Ok(binding) }
}
