//! The instruction UVC: a control block in the guest's memory, whose address the second register has. Its first eight bytes
//! are length, command, return code and reason, two bytes each.

use std::time::Duration;

use super::{GuestMemory, Held, Instruction, Outcome, Told};
use crate::fault::{Asked, CallTrouble, Faults};
use crate::uv::{Ask, Measured, Rc, Ultravisor};

const QUERY: u16 = 0x0001;
const QUERY_KEYS: u16 = 0x0002;
const UNSHARE_ALL: u16 = 0x0340;
const SHARE: u16 = 0x1000;
const UNSHARE: u16 = 0x1001;
const ATTEST: u16 = 0x1020;
const ADD: u16 = 0x1031;
const LIST: u16 = 0x1033;
const LOCK: u16 = 0x1034;
const RETRIEVE: u16 = 0x1035;

const HEADER_LEN: usize = 8;
/// Longer than any block.
const MAX_BLOCK: usize = 0x1000;
/// An add-secret request may be as long.
const MAX_ADD: usize = 0x10_0000;
/// An attestation request may be as long.
const MAX_ATTEST: usize = 0x10_0000;
/// Where both kinds of request have their own length.
const REQUEST_LENGTH: usize = 0x0c;

/// Condition codes: executed, or an error that the return code names.
const EXECUTED: u8 = 0;
const ERROR: u8 = 1;
/// Condition code: not done yet, the same call again.
const BUSY: u8 = 2;

/// What the ultravisor cannot even read is answered with this: the block's length is wrong.
const INVALID_LENGTH: Rc = Rc(0x0005);
/// An address in the block is none that the guest may use.
const INVALID_ADDRESS: Rc = Rc(0x0020);

/// Carries out the call, or says that it is busy, as often as the guest asks before the time has come that `held` knows.
pub(super) fn call(
    uv: &mut Ultravisor,
    held: &mut Option<Held>,
    now: Duration,
    instruction: &mut Instruction,
    memory: &mut dyn GuestMemory,
    faults: &mut dyn Faults,
) -> Outcome {
    let address = *instruction.register(instruction.second);
    let Some(head) = memory.read(address, HEADER_LEN) else { return Outcome::UNKNOWN };
    let (length, command) = (usize::from(u16_at(&head, 0)), u16_at(&head, 2));
    let mut block = match memory.read(address, length) {
        Some(block) if (HEADER_LEN..=MAX_BLOCK).contains(&length) => block,
        _ => return finish(memory, address, &mut head.clone(), INVALID_LENGTH, None),
    };
    let asked = match command {
        ATTEST => Some(Asked::Attest),
        ADD => Some(Asked::Add),
        LIST => Some(Asked::List),
        LOCK => Some(Asked::Lock),
        RETRIEVE => Some(Asked::Retrieve),
        _ => None,
    };
    let trouble = match held.take_if(|held| held.block == address) {
        Some(held) => held,
        None => {
            let trouble = asked.and_then(|asked| faults.of_call(asked)).unwrap_or_default();
            Held { block: address, until: now + trouble.takes, trouble }
        }
    };
    // Another processor's call may be held already; then this one is not.
    if trouble.until > now && held.is_none() {
        *held = Some(trouble);
        return Outcome { condition: Some(BUSY), told: None };
    }
    let trouble = trouble.trouble;
    let rc = match trouble.rc {
        Some(rc) if !trouble.done => Rc(rc),
        replaced => {
            let rc = carry_out(uv, command, &mut block, memory, trouble).unwrap_or(INVALID_ADDRESS);
            replaced.map_or(rc, Rc)
        }
    };
    finish(memory, address, &mut block, rc, asked)
}

fn finish(memory: &mut dyn GuestMemory, address: u64, block: &mut [u8], rc: Rc, asked: Option<Asked>) -> Outcome {
    block[4..6].copy_from_slice(&rc.0.to_be_bytes());
    block[6..8].fill(0);
    let told = asked.map(|asked| Told { asked, target: String::new(), rc: rc.0 });
    let condition = memory.write(address, block).map(|()| if rc == Rc::SUCCESS { EXECUTED } else { ERROR });
    Outcome { condition, told }
}

/// `None` if an address in the block leads nowhere.
fn carry_out(
    uv: &mut Ultravisor,
    command: u16,
    block: &mut [u8],
    memory: &mut dyn GuestMemory,
    trouble: CallTrouble,
) -> Option<Rc> {
    let needed = match command {
        QUERY_KEYS => 0x200,
        ATTEST => 0x188,
        ADD | LIST | RETRIEVE => 0x48,
        LOCK => 0x20,
        // Older kernels ask with a shorter block.
        _ => HEADER_LEN,
    };
    if block.len() < needed {
        return Some(INVALID_LENGTH);
    }
    match command {
        QUERY => {
            query(uv, block);
            Some(Rc::SUCCESS)
        }
        QUERY_KEYS if uv.spec.keys => {
            uv.key_hashes().iter().enumerate().for_each(|(slot, hash)| put(block, 0x20 + 32 * slot, hash));
            Some(Rc::SUCCESS)
        }
        // Memory of this machine is not encrypted: there is nothing to share.
        UNSHARE_ALL | SHARE | UNSHARE => Some(Rc::SUCCESS),
        ATTEST => attest(uv, block, memory, trouble),
        ADD => {
            let request = request(memory, u64_at(block, 0x20), MAX_ADD)?;
            Some(uv.add(&request))
        }
        LIST => {
            let (rc, mut list) = uv.list(u16_at(block, 0x1e), 1);
            list.resize(0x1000, 0);
            memory.write(u64_at(block, 0x20), &list)?;
            Some(rc)
        }
        LOCK => Some(uv.lock()),
        RETRIEVE => {
            let (index, room) = (u16_at(block, 0x18), u32_at(block, 0x1c));
            let (rc, secret) = uv.retrieve(index, usize::try_from(room).unwrap_or(usize::MAX));
            memory.write(u64_at(block, 0x20), &secret)?;
            Some(rc)
        }
        _ => Some(Rc::INVALID_COMMAND),
    }
}

fn query(uv: &Ultravisor, block: &mut [u8]) {
    let info = uv.info();
    block[HEADER_LEN..].fill(0);
    for (at, value) in [
        (0x10, info.calls),
        (0x80, info.max_address),
        (0xa0, info.features),
        (0xb0, info.header_versions),
        (0xb8, info.header_flags),
        (0xe0, info.attestation_versions),
        (0xe8, info.attestation_flags),
        (0xf8, info.request_versions),
        (0x100, info.request_flags),
        (0x108, info.secret_types),
    ] {
        put(block, at, &value.to_be_bytes());
    }
    put(block, 0x7c, &info.max_guests.to_be_bytes());
    put(block, 0x9e, &info.max_cpu_id.to_be_bytes());
    put(block, 0x110, &info.max_assoc_secrets.to_be_bytes());
    put(block, 0x112, &info.max_retr_secrets.to_be_bytes());
}

fn attest(uv: &Ultravisor, block: &mut [u8], memory: &mut dyn GuestMemory, trouble: CallTrouble) -> Option<Rc> {
    let request = request(memory, u64_at(block, 0x18), MAX_ATTEST)?;
    let user_data = *block.get(0x30..)?.first_chunk()?;
    let room = |at: usize| usize::try_from(u32_at(block, at)).unwrap_or(usize::MAX);
    let ask = Ask {
        request: &request,
        user_data: &user_data,
        user_data_len: u16_at(block, 0x2e),
        measurement_room: room(0x13c),
        additional_room: room(0x15c),
    };
    let (rc, Measured { measurement, additional, cuid }) = uv.attest(&ask, trouble.spoil);
    memory.write(u64_at(block, 0x140), &measurement)?;
    memory.write(u64_at(block, 0x160), &additional)?;
    put(block, 0x148, &cuid);
    Some(rc)
}

/// A request, as long as it says itself: the ultravisor is not told the length of the buffer.
fn request(memory: &mut dyn GuestMemory, address: u64, longest: usize) -> Option<Vec<u8>> {
    let head = memory.read(address, 0x10)?;
    let length = usize::try_from(u32_at(&head, REQUEST_LENGTH)).unwrap_or(usize::MAX);
    memory.read(address, length.clamp(head.len(), longest)).or(Some(head))
}

/// Bytes behind the block's end are not written.
fn put(block: &mut [u8], at: usize, bytes: &[u8]) {
    if let Some(place) = block.get_mut(at..at + bytes.len()) {
        place.copy_from_slice(bytes);
    }
}

/// Bytes behind the end count as zeros.
fn u16_at(bytes: &[u8], at: usize) -> u16 {
    bytes.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |bytes| u16::from_be_bytes(*bytes))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |bytes| u32::from_be_bytes(*bytes))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |bytes| u64::from_be_bytes(*bytes))
}
