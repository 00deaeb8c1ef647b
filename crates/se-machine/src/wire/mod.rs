//! The face that a real kernel sees: instructions with their registers, and the guest's memory behind a trait.
//!
//! Layouts: Linux arch/s390/include/asm/uv.h and asm/ap.h. All numbers are big endian.

mod ap;
#[cfg(test)]
mod tests;
mod uvc;

use std::time::Duration;

use anyhow::Result;

use crate::ap::{Cards, Rules, Specs, Times};
use crate::crypto::HostKey;
use crate::fault::{Asked, CallTrouble, Faults};
use crate::image::Image;
use crate::spec::{Switches, Uv};
use crate::uv::Ultravisor;

/// The memory of the guest, at addresses as the instruction has them.
pub trait GuestMemory {
    /// Copies `len` bytes from the guest; none if there is no memory.
    fn read(&mut self, address: u64, len: usize) -> Option<Vec<u8>>;
    /// Copies `bytes` to the guest; none if there is no memory that can be written.
    fn write(&mut self, address: u64, bytes: &[u8]) -> Option<()>;
}

/// Operation codes of the instructions that the machine carries out.
pub mod operation {
    /// Ultravisor call.
    pub const UVC: u16 = 0xb9a4;
    /// Enqueue to an adjunct processor queue.
    pub const NQAP: u16 = 0xb2ad;
    /// Dequeue from an adjunct processor queue.
    pub const DQAP: u16 = 0xb2ae;
    /// Process an adjunct processor queue.
    pub const PQAP: u16 = 0xb2af;
}

/// An instruction that the guest's processor has met.
#[derive(Clone, Debug)]
pub struct Instruction {
    /// Its operation code.
    pub operation: u16,
    /// Number of its first register.
    pub first: u8,
    /// Number of its second register.
    pub second: u8,
    /// The sixteen general registers, before and after.
    pub registers: [u64; 16],
}

impl Instruction {
    /// A register; numbers beyond 15 go round.
    fn register(&mut self, number: u8) -> &mut u64 {
        &mut self.registers[usize::from(number & 15)]
    }
}

/// Something that a fault could have waited for; for logs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// What the machine was asked.
    pub asked: Asked,
    /// The queue `XX.YYYY`; empty for the ultravisor.
    pub target: String,
    /// Return code of the ultravisor, or response code of the queue.
    pub rc: u16,
}

/// How an instruction ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The condition code; none if the processor does not know such an instruction, or not with these operands.
    pub condition: Option<u8>,
    /// What it was about.
    pub told: Option<Told>,
}

impl Outcome {
    const UNKNOWN: Self = Self { condition: None, told: None };
}

/// What a machine is made of.
#[derive(Debug)]
pub struct Parts {
    /// The ultravisor.
    pub uv: Uv,
    /// What cannot be known without hardware.
    pub switches: Switches,
    /// How long the cards' firmware takes.
    pub times: Times,
    /// The cards.
    pub cards: Specs,
    /// What the configuration of AP says: [`feature`].
    pub features: u32,
}

/// Bits of the first word that QCI gives.
pub mod feature {
    /// Numbers of cards and domains have eight bits.
    pub const APXA: u32 = 0x4000_0000;
    /// Queues can be asked for an older type that they are compatible with.
    pub const QACT: u32 = 0x2000_0000;
    /// Response code 8a is known.
    pub const RC8A: u32 = 0x1000_0000;
    /// Queues are bound to guests.
    pub const APSB: u32 = 0x0080_0000;
}

/// A machine with one guest.
#[derive(Debug)]
pub struct Machine {
    parts: Parts,
    uv: Ultravisor,
    cards: Cards,
    /// A call that a fault makes take longer, as its second register tells it, until when, and what else is wrong with it.
    held: Option<Held>,
}

/// A call to the ultravisor that is busy.
#[derive(Debug)]
struct Held {
    block: u64,
    until: Duration,
    trouble: CallTrouble,
}

impl Machine {
    /// A machine whose guest starts now, from `image`.
    pub fn new(parts: Parts, host: HostKey, image: Image) -> Result<Self> {
        let uv = Ultravisor::new(parts.uv.clone(), parts.switches.clone(), host, image)?;
        let cards = parts.fresh_cards();
        Ok(Self { parts, uv, cards, held: None })
    }

    /// The guest starts again: an empty store, nothing bound. A kernel that goes on all the same remembers nothing of the store;
    /// its queues should be unbound before.
    pub fn reboot(&mut self) -> Result<()> {
        self.cards = self.parts.fresh_cards();
        self.held = None;
        self.uv.reboot()
    }

    /// Other parts from now on. What the guest did stays; its kernel finds new cards and queues when it looks for them.
    pub fn set(&mut self, parts: Parts) {
        self.uv.spec = parts.uv.clone();
        self.uv.switches = parts.switches.clone();
        self.cards.reconfigure(&self.parts.cards, &parts.cards);
        self.parts = parts;
    }

    /// The ultravisor, for whoever looks at the machine from outside.
    pub fn uv(&self) -> &Ultravisor {
        &self.uv
    }

    /// The cards, for whoever looks at the machine from outside, with what they go by.
    pub fn cards(&mut self, now: Duration) -> (&mut Cards, Rules<'_>) {
        let rules = Rules { now, times: self.parts.times, switches: &self.parts.switches };
        (&mut self.cards, rules)
    }

    /// Carries out an instruction. `now` is the time since the machine started and must never go back.
    pub fn execute(
        &mut self,
        instruction: &mut Instruction,
        memory: &mut dyn GuestMemory,
        faults: &mut dyn Faults,
        now: Duration,
    ) -> Outcome {
        match instruction.operation {
            operation::UVC => uvc::call(&mut self.uv, &mut self.held, now, instruction, memory, faults),
            operation::NQAP | operation::DQAP | operation::PQAP => self.ap(instruction, memory, faults, now),
            _ => Outcome::UNKNOWN,
        }
    }
}

impl Parts {
    fn fresh_cards(&self) -> Cards {
        Cards::new(&self.cards, self.uv.guest && self.features & feature::APSB != 0)
    }
}
