//! The wire face, tried with instructions and control blocks put together byte by byte.

use std::collections::BTreeMap;
use std::time::Duration;

use super::*;
use crate::ap::{CardSpec, Kind, NewKey, QueueSpec};
use crate::fault::{CallTrouble, Trouble};
use crate::testing::build::Parts as Secret;
use crate::testing::{Host, arcb::Arcb, reference_image};
use crate::uv::Rc;

/// Memory from 0x1000 on.
struct Memory(Vec<u8>);

impl GuestMemory for Memory {
    fn read(&mut self, address: u64, len: usize) -> Option<Vec<u8>> {
        let start = usize::try_from(address.checked_sub(0x1000)?).ok()?;
        self.0.get(start..start.checked_add(len)?).map(<[u8]>::to_vec)
    }

    fn write(&mut self, address: u64, bytes: &[u8]) -> Option<()> {
        let start = usize::try_from(address.checked_sub(0x1000)?).ok()?;
        self.0.get_mut(start..start.checked_add(bytes.len())?)?.copy_from_slice(bytes);
        Some(())
    }
}

#[derive(Default)]
struct NoFaults(Option<CallTrouble>);

impl Faults for NoFaults {
    fn of_call(&mut self, _: Asked) -> Option<CallTrouble> {
        self.0.take()
    }

    fn of_queue(&mut self, _: Asked, _: &str) -> Option<Trouble> {
        None
    }
}

/// A machine with one EP11 card of one queue, 01.0005.
struct Bench {
    machine: Machine,
    host: Host,
    memory: Memory,
    faults: NoFaults,
    now: Duration,
}

const BLOCK: u64 = 0x1000;
const DATA: u64 = 0x4000;
const QUEUE: u64 = 0x0105;

impl Bench {
    fn new() -> Self {
        let host = Host::new();
        let card = CardSpec { kind: Kind::Ep11, hwtype: 14, serialnr: "93AA".into(), answers: true, bind_limit: None };
        let queue = QueueSpec {
            current: Some([7; 32]),
            new_key: NewKey::Empty,
            present: true,
            configured: true,
            checkstopped: false,
            unusable: false,
        };
        let parts = Parts {
            uv: Uv::default(),
            switches: Switches::default(),
            times: Times { bind: Duration::from_millis(2), ..Times::default() },
            cards: BTreeMap::from([(1, (card, BTreeMap::from([(5, queue)])))]),
            features: feature::APXA | feature::APSB,
        };
        let machine = Machine::new(parts, host.key(), reference_image("")).unwrap();
        let memory = Memory(vec![0; 0x2_0000]);
        Self { machine, host, memory, faults: NoFaults::default(), now: Duration::ZERO }
    }

    fn run(&mut self, operation: u16, registers: &[(usize, u64)]) -> (Option<u8>, [u64; 16]) {
        let mut instruction = Instruction { operation, first: 4, second: 6, registers: [0; 16] };
        registers.iter().for_each(|&(number, value)| instruction.registers[number] = value);
        let outcome = self.machine.execute(&mut instruction, &mut self.memory, &mut self.faults, self.now);
        (outcome.condition, instruction.registers)
    }

    /// An ultravisor call with words of the block set; gives condition code, return code and the block.
    fn call(&mut self, command: u16, length: u16, words: &[(usize, &[u8])]) -> (u8, Rc, Vec<u8>) {
        let mut block = vec![0; length.into()];
        block[..2].copy_from_slice(&length.to_be_bytes());
        block[2..4].copy_from_slice(&command.to_be_bytes());
        words.iter().for_each(|(at, bytes)| block[*at..at + bytes.len()].copy_from_slice(bytes));
        self.memory.write(BLOCK, &block).unwrap();
        let (condition, _) = self.run(operation::UVC, &[(6, BLOCK)]);
        let block = self.memory.read(BLOCK, length.into()).unwrap();
        (condition.unwrap(), Rc(u16::from_be_bytes([block[4], block[5]])), block)
    }

    fn add(&mut self) -> Rc {
        let request = Secret::default().build(&self.host.public);
        self.memory.write(DATA, &request).unwrap();
        self.call(0x1031, 0x48, &[(0x20, &DATA.to_be_bytes())]).1
    }

    /// PQAP for the queue: response code and register 2.
    fn pqap(&mut self, function: u64, two: u64) -> (u64, u64) {
        let (condition, registers) = self.run(operation::PQAP, &[(0, function << 24 | QUEUE), (2, two)]);
        let rc = registers[1] >> 16 & 0xff;
        assert_eq!(condition, Some(if rc == 0 { 0 } else { 3 }));
        (rc, registers[2])
    }
}

#[test]
fn a_query_makes_a_kernel_a_guest() {
    let mut bench = Bench::new();
    let (condition, rc, block) = bench.call(1, 0x120, &[]);
    assert_eq!((condition, rc), (0, Rc::SUCCESS));
    assert_eq!(block[0x10..0x18], [0xff, 0xdf, 0xff, 0xff, 0xe0, 0, 0, 0]);
    assert_eq!((&block[0x9e..0xa0], &block[0x110..0x114]), ([1, 0].as_slice(), [0, 30, 0, 30].as_slice()));
    assert_eq!(bench.call(1, 0x100, &[]).1, Rc::SUCCESS, "an older kernel's block is shorter");
    for command in [0x340, 0x1000, 0x1001] {
        assert_eq!(bench.call(command, 0x30, &[]).1, Rc::SUCCESS, "{command:#x}");
    }
    assert_eq!(bench.call(0x100, 0x30, &[]).1, Rc::INVALID_COMMAND);
}

#[test]
fn secrets_are_added_listed_locked_and_retrieved() {
    let mut bench = Bench::new();
    assert_eq!(bench.add(), Rc::SUCCESS);
    let list = |bench: &mut Bench, start: u16| {
        let words: [(usize, &[u8]); 2] = [(0x20, &0x6000_u64.to_be_bytes()), (0x1e, &start.to_be_bytes())];
        let rc = bench.call(0x1033, 0x48, &words).1;
        (rc, bench.memory.read(0x6000, 0x40).unwrap())
    };
    let (rc, listed) = list(&mut bench, 0);
    assert_eq!((rc, &listed[..4], &listed[16..20]), (Rc::SUCCESS, [0, 1, 0, 1].as_slice(), [0, 0, 0, 2].as_slice()));
    assert_eq!(list(&mut bench, 1).1[..4], [0, 0, 0, 1]);
    let words: [(usize, &[u8]); 2] = [(0x1c, &32_u32.to_be_bytes()), (0x20, &DATA.to_be_bytes())];
    assert_eq!(bench.call(0x1035, 0x48, &words).1, Rc::NOT_RETRIEVABLE);
    assert_eq!(bench.call(0x1034, 0x40, &[]).1, Rc::SUCCESS);
    assert_eq!((bench.call(0x1034, 0x40, &[]).0, bench.add()), (1, Rc::LOCKED));
    bench.machine.reboot().unwrap();
    assert_eq!(bench.add(), Rc::SUCCESS);
}

#[test]
fn a_measurement_comes_into_the_guests_buffers() {
    let mut bench = Bench::new();
    let arcb = Arcb::default();
    bench.memory.write(DATA, &arcb.build(&bench.host.public)).unwrap();
    let (_, rc, block) = bench.call(
        0x1020,
        0x188,
        &[
            (0x18, &DATA.to_be_bytes()),
            (0x2e, &5_u16.to_be_bytes()),
            (0x30, b"hello"),
            (0x13c, &64_u32.to_be_bytes()),
            (0x140, &0x6000_u64.to_be_bytes()),
            (0x15c, &64_u32.to_be_bytes()),
            (0x160, &0x7000_u64.to_be_bytes()),
        ],
    );
    assert_eq!(rc, Rc::SUCCESS);
    let (measured, additional) = (bench.memory.read(0x6000, 64).unwrap(), bench.memory.read(0x7000, 64).unwrap());
    assert_eq!(block[0x148..0x158], bench.machine.uv().cuid());
    assert_eq!(measured, arcb.measured(&block[0x148..0x158], b"hello", &additional));
}

#[test]
fn bad_addresses_and_lengths_end_in_a_return_code_and_faults_replace_answers() {
    let mut bench = Bench::new();
    let nowhere = 0xdead_0000_u64.to_be_bytes();
    for (command, at) in [(0x1031, 0x20), (0x1033, 0x20)] {
        assert_eq!(bench.call(command, 0x48, &[(at, &nowhere)]).1, Rc(0x20), "{command:#x}");
    }
    assert_eq!(bench.call(0x1031, 0x28, &[]).1, Rc(5));
    assert_eq!(bench.run(operation::UVC, &[(6, 0)]).0, None);
    bench.faults.0 = Some(CallTrouble { rc: Some(0x10d), ..CallTrouble::default() });
    assert_eq!((bench.add(), bench.machine.uv().secrets().len()), (Rc(0x10d), 0));
    bench.faults.0 = Some(CallTrouble { rc: Some(0x10d), done: true, ..CallTrouble::default() });
    assert_eq!((bench.add(), bench.machine.uv().secrets().len()), (Rc(0x10d), 1));
}

#[test]
fn a_call_that_takes_time_is_busy_until_then_and_is_carried_out_once() {
    let mut bench = Bench::new();
    let takes = Duration::from_millis(5);
    bench.faults.0 = Some(CallTrouble { takes, ..CallTrouble::default() });
    let request = Secret::default().build(&bench.host.public);
    bench.memory.write(DATA, &request).unwrap();
    let again = |bench: &mut Bench| bench.run(operation::UVC, &[(6, BLOCK)]).0;
    assert_eq!(bench.call(0x1031, 0x48, &[(0x20, &DATA.to_be_bytes())]).0, 2);
    assert_eq!((again(&mut bench), bench.machine.uv().secrets().len()), (Some(2), 0));
    bench.now = takes;
    assert_eq!((again(&mut bench), bench.machine.uv().secrets().len()), (Some(0), 1));
    assert_eq!((again(&mut bench), bench.machine.uv().secrets().len()), (Some(0), 2));
}

#[test]
fn a_machine_changes_while_its_guest_runs_and_what_the_guest_did_stays() {
    let mut bench = Bench::new();
    let parts = |change: fn(&mut CardSpec, &mut QueueSpec)| {
        let mut parts = Bench::new().machine.parts;
        let (card, queues) = parts.cards.get_mut(&1).unwrap();
        change(card, queues.get_mut(&5).unwrap());
        parts
    };
    assert_eq!((bench.add(), bench.pqap(7, 0).0), (Rc::SUCCESS, 0));
    bench.now += Duration::from_millis(3);
    bench.machine.set(parts(|_, queue| queue.checkstopped = true));
    assert_eq!((bench.pqap(0, 0).0, bench.machine.uv().secrets().len()), (4, 1));
    bench.machine.set(parts(|card, _| card.bind_limit = Some(0)));
    assert_eq!((bench.pqap(0, 0).0, bench.pqap(0, 0).1 >> 46 & 3), (0, 1));
    bench.machine.set(parts(|_, queue| queue.present = false));
    assert_eq!(bench.pqap(0, 0).0, 1);
}

#[test]
fn a_queue_is_found_bound_associated_and_unbound() {
    let mut bench = Bench::new();
    assert_eq!(bench.run(operation::PQAP, &[(0, 4 << 24), (2, DATA)]).0, Some(0));
    let told = bench.memory.read(DATA, 128).unwrap();
    assert_eq!((&told[..6], told[16], told[48]), ([0x40, 0x80, 0, 0, 0xff, 0xff].as_slice(), 0x40, 0x04));
    let state = |bench: &mut Bench| {
        let (rc, two) = bench.pqap(0, 0);
        assert_eq!((two >> 32 & 0xff00_0000, two >> 24 & 0xff), (0x8600_0000, 14));
        (rc, two >> 46 & 3)
    };
    assert_eq!(state(&mut bench), (0, 2));
    assert_eq!(bench.pqap(8, 0).0, 0x0b);
    assert_eq!(bench.pqap(7, 0).0, 0);
    assert_eq!(state(&mut bench), (0, 2));
    bench.now += Duration::from_millis(3);
    assert_eq!((state(&mut bench), bench.pqap(8, 0).0), ((0, 1), 0x34));
    assert_eq!((bench.add(), bench.pqap(8, 0).0), (Rc::SUCCESS, 0));
    assert_eq!(state(&mut bench), (0, 0));
    let (condition, _) = bench.run(operation::PQAP, &[(0, 1 << 24 | 1 << 22 | QUEUE)]);
    assert_eq!((condition, state(&mut bench)), (Some(0), (0, 2)));
    let (condition, registers) = bench.run(operation::PQAP, &[(0, 0x0909)]);
    assert_eq!((condition, registers[1] >> 16 & 0xff, registers[2]), (Some(3), 1, 0));
    assert_eq!(bench.run(operation::PQAP, &[(0, 5 << 24 | QUEUE)]).0, None);
}

#[test]
fn a_bound_card_answers_and_its_reply_carries_the_number_of_the_request() {
    let mut bench = Bench::new();
    let mut request = vec![0; 0x58];
    request.extend([0, 32, 4, 0, 0, 0, b'T', b'4']);
    request.extend([0; 24]);
    request.extend([0x30, 24, 4, 4, 0, 1, 0, 0x26, 4, 4, 0, 0, 0, 5, 4, 4, 0, 0, 0, 1, 4, 4, 0, 0, 0, 0]);
    bench.memory.write(DATA, &request).unwrap();
    let send = [(0, 0x4000_0000 | QUEUE), (4, 0xaaaa), (5, 0xbbbb), (6, DATA), (7, request.len() as u64)];
    assert_eq!(bench.run(operation::NQAP, &send).1[1] >> 16 & 0xff, 0x0b);
    bench.pqap(7, 0);
    bench.now += Duration::from_millis(3);
    assert_eq!(bench.run(operation::NQAP, &send).0, Some(0));
    let receive = [(0, 0x8000_0000 | QUEUE), (6, 0x8000), (7, 0x3000)];
    let (condition, registers) = bench.run(operation::DQAP, &receive);
    assert_eq!((condition, registers[4], registers[5]), (Some(0), 0xaaaa, 0xbbbb));
    let length = usize::try_from(registers[6] - 0x8000).unwrap();
    assert_eq!(registers[7], 0x3000 - length as u64);
    assert!(bench.memory.read(0x8000, length).unwrap().windows(4).any(|bytes| bytes == b"93AA"));
    let (condition, registers) = bench.run(operation::DQAP, &receive);
    assert_eq!((condition, registers[1] >> 16), (Some(3), 0x8010));
}
