//! The kernel's `/dev/uv`: what it checks before and after the ultravisor is asked (Linux drivers/s390/char/uvdevice.c).

use super::{Ask, Measured, Rc, Ultravisor};
use crate::errno::Errno;
use crate::fault::{On, Spoil};
use crate::scenario::Kernel;

/// Bytes of the control block.
pub const BLOCK_LEN: usize = 64;
const PAGE: u32 = 0x1000;
const MAX_ADD: u32 = 0x10_0000;
const MAX_RETRIEVE: u32 = 0x2000;
const MAX_ARCB: u32 = 0x10_0000;
const MAX_MEASUREMENT: u32 = 0x8000;
const MAX_ADDITIONAL: u32 = 0x8000;
const ATTEST_LEN: u32 = 0x138;

/// The memory of the program that calls.
pub trait CallerMemory {
    /// Copies `len` bytes at `address` from the caller; EFAULT if it cannot.
    fn read(&self, address: u64, len: usize) -> Result<Vec<u8>, Errno>;
    /// Copies `bytes` to `address` of the caller; EFAULT if it cannot.
    fn write(&self, address: u64, bytes: &[u8]) -> Result<(), Errno>;
}

/// The 64-byte control block, in the byte order of the machine that calls.
struct Block {
    flags: u32,
    address: u64,
    length: u32,
    reserved_is_zero: bool,
}

impl Block {
    fn read(bytes: &[u8; BLOCK_LEN]) -> Self {
        let [f0, f1, f2, f3, _, _, _, _, a0, a1, a2, a3, a4, a5, a6, a7, l0, l1, l2, l3, reserved @ ..] = *bytes;
        Self {
            flags: u32::from_ne_bytes([f0, f1, f2, f3]),
            address: u64::from_ne_bytes([a0, a1, a2, a3, a4, a5, a6, a7]),
            length: u32::from_ne_bytes([l0, l1, l2, l3]),
            reserved_is_zero: reserved == [0; 44],
        }
    }
}

/// Writes the ultravisor's answer into a control block.
pub fn answer(block: &mut [u8; BLOCK_LEN], rc: Rc) {
    block[4..6].copy_from_slice(&rc.0.to_ne_bytes());
    block[6..8].copy_from_slice(&[0; 2]);
}

/// Which call a command word of ioctl(2) stands for.
///
/// # Errors
/// ENOTTY unless it is read-write, of type `u`, with 64 bytes and a number that this kernel has.
pub fn command(word: u32, kernel: &Kernel) -> Result<On, Errno> {
    if word & !0xff != 0xc040_7500 {
        return Err(Errno::ENOTTY);
    }
    match word & 0xff {
        number if kernel.only_attests && number != 1 => Err(Errno::ENOTTY),
        0 => Ok(On::Info),
        1 => Ok(On::Attest),
        2 => Ok(On::AddSecret),
        3 => Ok(On::ListSecrets),
        4 => Ok(On::LockSecrets),
        5 if kernel.retrieve => Ok(On::RetrieveSecret),
        _ => Err(Errno::ENOTTY),
    }
}

/// Carries out `call` for the control block `block` and the caller's `memory`: gives what the ultravisor answered. A
/// measurement is spoiled as `spoil` says.
///
/// # Errors
/// What ioctl(2) fails with. The caller then does not get the control block back.
pub fn ioctl(
    uv: &mut Ultravisor,
    kernel: &Kernel,
    call: On,
    block: &[u8; BLOCK_LEN],
    memory: &dyn CallerMemory,
    spoil: Option<Spoil>,
) -> Result<Rc, Errno> {
    let block = Block::read(block);
    if block.flags != 0 || !block.reserved_is_zero {
        return Err(Errno::EINVAL);
    }
    match call {
        On::Info => info(uv, kernel, &block, memory),
        On::Attest => attest(uv, &block, memory, spoil),
        On::AddSecret => {
            let length = within(block.length, MAX_ADD)?;
            Ok(uv.add(&memory.read(block.address, length)?))
        }
        On::ListSecrets => list(uv, kernel, &block, memory),
        On::LockSecrets if block.address != 0 || block.length != 0 => Err(Errno::EINVAL),
        On::LockSecrets => Ok(uv.lock()),
        On::RetrieveSecret => {
            let length = within(block.length, MAX_RETRIEVE)?;
            let index = memory.read(block.address, 2)?;
            let (rc, secret) = uv.retrieve(u16::from_be_bytes([index[0], index[1]]), length);
            memory.write(block.address, &secret)?;
            Ok(rc)
        }
        _ => Err(Errno::ENOTTY),
    }
}

fn info(uv: &Ultravisor, kernel: &Kernel, block: &Block, memory: &dyn CallerMemory) -> Result<Rc, Errno> {
    if block.length < 16 {
        return Err(Errno::EINVAL);
    }
    let ioctls: u64 = if kernel.retrieve { 0x3f } else { 0x1f };
    let bits = |has: bool, bits: u64| if has { bits } else { 0 };
    // Bit 0 stands for this call itself.
    let attesting = bits(uv.spec.attestation, 0b00_0010);
    let adding = bits(uv.spec.secrets, 0b01_1100);
    let retrieves = if kernel.info_knows_retrieve { uv.spec.secrets && uv.spec.retrieve } else { uv.spec.attestation };
    let calls = (attesting | adding | bits(retrieves, 0b10_0000)) & ioctls;
    memory.write(block.address, &[ioctls.to_ne_bytes(), calls.to_ne_bytes()].concat())?;
    Ok(Rc::SUCCESS)
}

/// The answer is copied back whatever it is: after a refusal zeros, and what stands for a CUID. The additional length that
/// comes back is the one that went in.
fn attest(uv: &Ultravisor, block: &Block, memory: &dyn CallerMemory, spoil: Option<Spoil>) -> Result<Rc, Errno> {
    if block.length != ATTEST_LEN {
        return Err(Errno::EINVAL);
    }
    let argument = memory.read(block.address, 0x138)?;
    let short = |at: usize| argument[at..].first_chunk().map_or(0, |bytes| u16::from_ne_bytes(*bytes));
    let word = |at: usize| argument[at..].first_chunk().map_or(0, |bytes| u32::from_ne_bytes(*bytes));
    let long = |at: usize| argument[at..].first_chunk().map_or(0, |bytes| u64::from_ne_bytes(*bytes));
    let length = within(word(0x128), MAX_ARCB)?;
    let measurement_room = within(word(0x12c), MAX_MEASUREMENT)?;
    let additional_room = match word(0x130) {
        0 => 0,
        length => within(length, MAX_ADDITIONAL)?,
    };
    if short(0x136) != 0 {
        return Err(Errno::EINVAL);
    }
    let request = memory.read(long(0), length)?;
    let user_data = argument[0x18..].first_chunk().ok_or(Errno::EFAULT)?;
    let ask = Ask { request: &request, user_data, user_data_len: short(0x134), measurement_room, additional_room };
    let (rc, Measured { mut measurement, mut additional, cuid }) = uv.attest(&ask, spoil);
    measurement.resize(measurement_room, 0);
    memory.write(long(8), &measurement)?;
    if additional_room > 0 {
        additional.resize(additional_room, 0);
        memory.write(long(0x10), &additional)?;
    }
    memory.write(block.address.wrapping_add(0x130), &word(0x130).to_ne_bytes())?;
    memory.write(block.address.wrapping_add(0x118), &cuid)?;
    Ok(rc)
}

fn list(uv: &Ultravisor, kernel: &Kernel, block: &Block, memory: &dyn CallerMemory) -> Result<Rc, Errno> {
    let pages = block.length / PAGE;
    if block.length % PAGE != 0 || !(1..=kernel.list_pages).contains(&pages) {
        return Err(Errno::EINVAL);
    }
    let (rc, mut list) = uv.list(0, usize::try_from(pages).map_err(|_| Errno::EINVAL)?);
    if pages == 1 {
        list.resize(0x1000, 0);
    }
    memory.write(block.address, &list)?;
    Ok(rc)
}

fn within(length: u32, max: u32) -> Result<usize, Errno> {
    if length == 0 || length > max {
        return Err(Errno::EINVAL);
    }
    usize::try_from(length).map_err(|_| Errno::EINVAL)
}
