//! The instructions PQAP, NQAP and DQAP. General register 0 names the function and the queue, register 1 gets the status.

use std::time::Duration;

use super::{GuestMemory, Instruction, Machine, Outcome, Told, operation};
use crate::ap::{Rules, Status, Tested, apqn};
use crate::fault::{Asked, Faults};

/// Bits of register 0 of PQAP: unbind with a reset.
const UNBIND: u64 = 1 << 22;

const TAPQ: u64 = 0;
const RAPQ: u64 = 1;
const ZAPQ: u64 = 2;
const QCI: u64 = 4;
const BAPQ: u64 = 7;
const AAPQ: u64 = 8;

/// The status, in the low half of register 1.
const QUEUE_EMPTY: u64 = 1 << 31;

/// Bytes that QCI gives.
const CONFIGURATION_LEN: usize = 128;
/// Where it has the masks of cards, usage domains and control domains, 256 bits each.
const MASKS: [usize; 3] = [16, 48, 80];

/// Longest request.
const MAX_REQUEST: u64 = 0x1_0000;

/// Condition codes.
const DONE: u8 = 0;
const STATUS_TELLS: u8 = 3;

impl Machine {
    /// Carries out one of the three.
    pub(super) fn ap(
        &mut self,
        instruction: &mut Instruction,
        memory: &mut dyn GuestMemory,
        faults: &mut dyn Faults,
        now: Duration,
    ) -> Outcome {
        let zero = instruction.registers[0];
        let queue = (byte(zero >> 8), byte(zero));
        let rules = Rules { now, times: self.parts.times, switches: &self.parts.switches };
        let (status, asked) = match (instruction.operation, zero >> 24 & 0xff) {
            (operation::NQAP, _) => {
                let (id, text) = (instruction.first, instruction.second);
                let (high, low) = (*instruction.register(id), *instruction.register(id + 1));
                let (address, length) = (*instruction.register(text), *instruction.register(text + 1));
                let request = usize::try_from(length.min(MAX_REQUEST)).ok().and_then(|len| memory.read(address, len));
                let Some(request) = request else { return Outcome::UNKNOWN };
                let id = high << 32 | low & 0xffff_ffff;
                (self.cards.enqueue(queue, id, &request, rules), None)
            }
            (operation::DQAP, _) => {
                let (status, reply) = self.cards.dequeue(queue, rules);
                if let Some((id, reply)) = reply {
                    if give(instruction, memory, id, &reply).is_none() {
                        return Outcome::UNKNOWN;
                    }
                }
                (status, None)
            }
            (_, TAPQ) => {
                let (status, tested) = self.cards.test(queue.0, queue.1, rules);
                instruction.registers[2] = tested.map_or(0, described);
                (status, None)
            }
            (_, RAPQ | ZAPQ) => (self.cards.reset(queue, zero & UNBIND != 0, faults, rules), Some(Asked::Reset)),
            (_, BAPQ) => (self.cards.bind(queue, faults, rules), Some(Asked::Bind)),
            (_, AAPQ) => {
                let index = u16::try_from(instruction.registers[2] & 0xffff).unwrap_or(u16::MAX);
                (self.cards.associate(queue, index, &self.uv, faults, rules), Some(Asked::Associate))
            }
            (_, QCI) => {
                let condition = memory.write(instruction.registers[2], &self.configuration()).map(|()| DONE);
                return Outcome { condition, told: None };
            }
            _ => return Outcome::UNKNOWN,
        };
        instruction.registers[1] = packed(status);
        let told = asked.map(|asked| Told { asked, target: apqn(queue.0, queue.1), rc: status.rc.into() });
        Outcome { condition: Some(if status.rc == 0 { DONE } else { STATUS_TELLS }), told }
    }

    fn configuration(&self) -> Vec<u8> {
        let mut bytes = vec![0; CONFIGURATION_LEN];
        bytes[..4].copy_from_slice(&self.parts.features.to_be_bytes());
        // The highest numbers of cards and domains.
        bytes[4..6].fill(0xff);
        let (cards, domains) = self.cards.numbers();
        for (at, numbers) in MASKS.into_iter().zip([&cards, &domains, &domains]) {
            for &number in numbers {
                bytes[at + usize::from(number / 8)] |= 0x80 >> (number % 8);
            }
        }
        bytes
    }
}

/// Puts a reply into the guest's buffer and advances the registers that name it. What does not fit is cut off.
fn give(instruction: &mut Instruction, memory: &mut dyn GuestMemory, id: u64, reply: &[u8]) -> Option<()> {
    let (first, second) = (instruction.first, instruction.second);
    let (address, room) = (*instruction.register(second), *instruction.register(second + 1));
    let length = usize::try_from(room).unwrap_or(usize::MAX).min(reply.len());
    memory.write(address, reply.get(..length)?)?;
    let length = u64::try_from(length).ok()?;
    *instruction.register(first) = id >> 32;
    *instruction.register(first + 1) = id & 0xffff_ffff;
    *instruction.register(second) = address.wrapping_add(length);
    *instruction.register(second + 1) = room - length;
    instruction.registers[2] = 0;
    Some(())
}

/// Register 2 of TAPQ: function bits with the binding state, then type, domains and depth.
fn described(tested: Tested) -> u64 {
    let high = u64::from(tested.functions) | (tested.binding as u64) << 14;
    let depth = u64::from(tested.depth).saturating_sub(1) & 0xf;
    high << 32 | u64::from(tested.hwtype) << 24 | 0xff << 16 | depth
}

fn packed(status: Status) -> u64 {
    u64::from(status.rc) << 16 | if status.empty { QUEUE_EMPTY } else { 0 }
}

fn byte(number: u64) -> u8 {
    number.to_be_bytes()[7]
}
