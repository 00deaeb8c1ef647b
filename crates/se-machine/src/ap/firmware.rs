//! An AP queue as the firmware knows it: what the instructions TAPQ, BAPQ, AAPQ and RAPQ do and answer.

use std::time::Duration;

use crate::fault::{Becomes, Trouble};
use crate::spec::Switches;

/// Response codes of AP instructions (Linux arch/s390/include/asm/ap.h).
pub mod code {
    /// Done.
    pub const NORMAL: u8 = 0x00;
    /// No such queue.
    pub const NOT_AVAILABLE: u8 = 0x01;
    /// A reset is going on.
    pub const RESETTING: u8 = 0x02;
    /// The queue is deconfigured.
    pub const DECONFIGURED: u8 = 0x03;
    /// The queue is checkstopped.
    pub const CHECKSTOPPED: u8 = 0x04;
    /// The last code that does not count as a failure of TAPQ.
    pub const BUSY: u8 = 0x05;
    /// The queue's state is being changed.
    pub const STATE_CHANGES: u8 = 0x0a;
    /// The queue is not bound.
    pub const NOT_BOUND: u8 = 0x0b;
    /// The queue cannot be bound.
    pub const BIND_ERROR: u8 = 0x30;
    /// The queue cannot be associated (again).
    pub const NOT_AVAILABLE_FOR_ASSOCIATION: u8 = 0x31;
    /// Too many queues are bound.
    pub const BIND_LIMIT: u8 = 0x33;
    /// No association secret with that index.
    pub const INVALID_SECRET: u8 = 0x34;
    /// Two secrets have that id.
    pub const NOT_UNIQUE: u8 = 0x35;
    /// The association failed.
    pub const ASSOCIATION_FAILED: u8 = 0x36;
}

/// What a card does, the last letter of its type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A: RSA accelerator.
    Accelerator,
    /// C: CCA coprocessor.
    Cca,
    /// P: EP11 coprocessor.
    Ep11,
}

impl Kind {
    /// The function bits that TAPQ gives for such a card.
    pub fn functions(self) -> u32 {
        match self {
            Self::Accelerator => 0x6a00_0000,
            Self::Cca => 0x9200_0000,
            Self::Ep11 => 0x8600_0000,
        }
    }
}

/// The binding state of a queue; the discriminant is what TAPQ gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binding {
    /// Bound; an EP11 queue is associated too.
    Usable = 0,
    /// Bound, not associated.
    WithoutKeys = 1,
    /// Not bound.
    Available = 2,
    /// Cannot be bound.
    Unusable = 3,
}

/// What is known of the secret that an association asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// No association secret with that index.
    None,
    /// One, and its id is its own.
    Unique,
    /// One, and another one has its id.
    Doubled,
}

/// How long the firmware takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Times {
    /// Until a queue is bound.
    pub bind: Duration,
    /// Until a queue is associated, or has failed to be.
    pub associate: Duration,
    /// A reset, hence an unbind.
    pub reset: Duration,
}

/// What the firmware goes by besides the queue itself.
#[derive(Clone, Copy, Debug)]
pub struct Rules<'a> {
    /// Time since the machine started.
    pub now: Duration,
    /// How long things take.
    pub times: Times,
    /// Unverifiable rules.
    pub switches: &'a Switches,
}

/// Something that takes time.
#[derive(Debug, Clone, Copy)]
enum Step {
    Bind,
    Associate { index: u16, outcome: u8 },
    Reset { unbind: bool },
}

#[derive(Debug)]
struct Running {
    step: Step,
    started: Duration,
    /// It never ends.
    stuck: bool,
    becomes: Option<Becomes>,
}

impl Running {
    /// How long it takes goes by what is set now, not when it started: it can be held up, and let go from outside.
    fn ends(&self, times: Times) -> Option<Duration> {
        let takes = match self.step {
            Step::Bind => times.bind,
            Step::Associate { .. } => times.associate,
            Step::Reset { .. } => times.reset,
        };
        (!self.stuck).then(|| self.started + takes)
    }
}

/// A queue of the firmware.
#[derive(Debug)]
pub struct Firmware {
    /// What its card does.
    pub kind: Kind,
    /// Not deconfigured.
    pub configured: bool,
    /// Checkstopped.
    pub checkstopped: bool,
    /// Not gone.
    pub present: bool,
    /// Gone, and back at this time as a new queue.
    pub back_at: Option<Duration>,
    /// Set when a fault switches the queue off in the kernel, until the kernel has noticed.
    pub went_offline: bool,
    binding: Binding,
    index: Option<u16>,
    failed: Option<(u8, Duration)>,
    running: Option<Running>,
}

impl Firmware {
    /// A queue in that state, not associated.
    pub fn new(kind: Kind, binding: Binding) -> Self {
        Self {
            kind,
            configured: true,
            checkstopped: false,
            present: true,
            back_at: None,
            went_offline: false,
            binding,
            index: None,
            failed: None,
            running: None,
        }
    }

    /// Finishes what has become due.
    pub fn advance(&mut self, rules: Rules<'_>) {
        let ends = self.running.as_ref().and_then(|running| running.ends(rules.times));
        let Some(ended) = ends.filter(|ends| *ends <= rules.now) else { return };
        let Some(Running { step, becomes, .. }) = self.running.take() else { return };
        match step {
            Step::Bind => {
                let keys = match self.kind {
                    Kind::Accelerator => !rules.switches.accelerator_without_keys,
                    Kind::Cca | Kind::Ep11 => false,
                };
                self.binding = if keys { Binding::Usable } else { Binding::WithoutKeys };
            }
            Step::Associate { index, outcome: code::NORMAL } => {
                self.binding = Binding::Usable;
                self.index = Some(index);
            }
            Step::Associate { outcome, .. } => self.failed = Some((outcome, ended)),
            Step::Reset { unbind } => self.after_reset(unbind || !rules.switches.reset_keeps_binding),
        }
        match becomes {
            None => {}
            Some(Becomes::Checkstopped) => self.checkstopped = true,
            Some(Becomes::Deconfigured) => self.configured = false,
            Some(Becomes::Lost) => self.present = false,
            Some(Becomes::Recreated) => {
                self.present = false;
                self.back_at = Some(ended + rules.times.reset);
            }
            Some(Becomes::Offline) => self.went_offline = true,
            Some(Becomes::Unbound) => self.after_reset(true),
        }
    }

    fn after_reset(&mut self, unbound: bool) {
        self.failed = None;
        if unbound {
            self.index = None;
            if self.binding != Binding::Unusable {
                self.binding = Binding::Available;
            }
        }
    }

    /// TAPQ: response code and binding state.
    pub fn test(&self, switches: &Switches) -> (u8, Binding) {
        let dead = !self.present || !self.configured || self.checkstopped;
        if dead && switches.dead_queue_reads_zero {
            return (self.refusal(), Binding::Usable);
        }
        let unbinding = matches!(self.running, Some(Running { step: Step::Reset { unbind: true }, .. }));
        let hidden = unbinding && !switches.bound_during_reset && self.binding != Binding::Unusable;
        (self.refusal(), if hidden { Binding::Available } else { self.binding })
    }

    /// What every instruction answers as long as nothing can be done with the queue.
    fn refusal(&self) -> u8 {
        if !self.present {
            code::NOT_AVAILABLE
        } else if !self.configured {
            code::DECONFIGURED
        } else if self.checkstopped {
            code::CHECKSTOPPED
        } else if matches!(self.running, Some(Running { step: Step::Reset { .. }, .. })) {
            code::RESETTING
        } else {
            self.failed.map_or(code::NORMAL, |(failed, _)| failed)
        }
    }

    /// When an association failed, if one has.
    pub fn failed_at(&self) -> Option<Duration> {
        self.failed.map(|(_, at)| at)
    }

    /// The index of the secret it is associated with.
    pub fn associated(&self) -> Option<u16> {
        self.index.filter(|_| self.binding == Binding::Usable)
    }

    /// Whether an association is going on.
    pub fn associating(&self) -> bool {
        matches!(self.running, Some(Running { step: Step::Associate { .. }, .. }))
    }

    /// Whether it counts against the bind limit of its card: bound or about to be.
    pub fn takes_a_place(&self) -> bool {
        matches!(self.binding, Binding::Usable | Binding::WithoutKeys)
            || matches!(self.running, Some(Running { step: Step::Bind, .. }))
    }

    /// Its state in one word, for whoever looks at the machine from outside.
    pub fn state(&self, switches: &Switches) -> &'static str {
        match self.test(switches) {
            (code::RESETTING, _) => "resetting",
            (code::DECONFIGURED, _) => "deconfigured",
            (code::CHECKSTOPPED, _) => "checkstopped",
            (1.., _) => "failed",
            (_, Binding::Unusable) => "unusable",
            (_, Binding::Available) if self.takes_a_place() => "binding",
            (_, Binding::Available) => "unbound",
            (_, Binding::WithoutKeys) if self.associating() => "associating",
            (_, Binding::Usable) if self.associated().is_some() => "associated",
            (_, Binding::Usable | Binding::WithoutKeys) => "bound",
        }
    }

    /// BAPQ. `room`: the bind limit of the card is not reached.
    pub fn bind(&mut self, room: bool, fault: Option<&Trouble>, rules: Rules<'_>) -> u8 {
        let refusal = self.refusal();
        if refusal != code::NORMAL {
            return refusal;
        }
        if let Some(rc) = fault.and_then(|fault| fault.rc) {
            return rc;
        }
        if self.binding != Binding::Available || self.running.is_some() {
            return code::BIND_ERROR;
        }
        if !room {
            return code::BIND_LIMIT;
        }
        self.run(Step::Bind, fault, rules);
        code::NORMAL
    }

    /// AAPQ for the secret with `index`, of which `target` is known.
    pub fn associate(&mut self, index: u16, target: Target, fault: Option<&Trouble>, rules: Rules<'_>) -> u8 {
        let refusal = self.refusal();
        if refusal != code::NORMAL {
            return refusal;
        }
        let mut outcome = code::NORMAL;
        match fault.and_then(|fault| fault.rc) {
            Some(late @ (code::NOT_UNIQUE | code::ASSOCIATION_FAILED)) => outcome = late,
            Some(rc) => return rc,
            None => {}
        }
        match self.binding {
            Binding::Available | Binding::Unusable => return code::NOT_BOUND,
            Binding::Usable => return code::NOT_AVAILABLE_FOR_ASSOCIATION,
            Binding::WithoutKeys if self.running.is_some() => return code::NOT_AVAILABLE_FOR_ASSOCIATION,
            Binding::WithoutKeys => {}
        }
        match target {
            Target::None => return code::INVALID_SECRET,
            Target::Doubled if rules.switches.doubled_id_is_not_unique => outcome = code::NOT_UNIQUE,
            Target::Doubled | Target::Unique => {}
        }
        self.run(Step::Associate { index, outcome }, fault, rules);
        code::NORMAL
    }

    /// RAPQ, with the F bit if `unbind`.
    pub fn reset(&mut self, unbind: bool, fault: Option<&Trouble>, rules: Rules<'_>) -> u8 {
        match self.refusal() {
            code::RESETTING => {
                if let Some(Running { step: Step::Reset { unbind: flag }, .. }) = &mut self.running {
                    *flag |= unbind;
                }
                return code::RESETTING;
            }
            refusal @ (code::NOT_AVAILABLE | code::DECONFIGURED | code::CHECKSTOPPED) => return refusal,
            // A failed association is what a reset is for.
            _ => {}
        }
        if let Some(rc) = fault.and_then(|fault| fault.rc) {
            return rc;
        }
        self.run(Step::Reset { unbind }, fault, rules);
        code::NORMAL
    }

    fn run(&mut self, step: Step, fault: Option<&Trouble>, rules: Rules<'_>) {
        let stuck = fault.is_some_and(|fault| fault.stuck);
        let becomes = fault.and_then(|fault| fault.becomes);
        self.running = Some(Running { step, started: rules.now, stuck, becomes });
        // What takes no time is done before the instruction answers.
        self.advance(rules);
    }
}
