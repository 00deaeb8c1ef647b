//! `/dev/uv` and its calls: 64-byte control block, one typed call each (Linux `drivers/s390/char/uvdevice.c`).

use super::answer::{self, Answers};
use super::attest::{self, Measuring};
use super::list::Secret;
use crate::{codes, firmware};
use fault::{Fault, Result};
use nix::errno::Errno;
use std::fs::File;
use std::os::fd::AsRawFd;
use zeroize::Zeroizing;

/// Path of the device.
const PATH: &str = "/dev/uv";
/// Its ioctl type, the letter `u`.
const IOCTL_TYPE: u8 = b'u';
/// No retrieved secret is longer.
const MAX_RETRIEVED: usize = 0x2000;
/// The ultravisor did what was asked.
pub(super) const RC_SUCCESS: u16 = 0x0001;
/// It did, and there is more than the buffer holds.
pub(super) const RC_MORE_DATA: u16 = 0x0100;

/// The argument of every call, native endian: 0x00 flags, 0x04 return code, 0x06 reason, 0x08 address of the
/// buffer, 0x10 its length, 0x14 reserved.
#[repr(C)]
#[derive(Debug)]
struct ControlBlock {
    flags: u32,
    uv_rc: u16,
    uv_rrc: u16,
    argument_address: u64,
    argument_length: u32,
    reserved: [u8; 44],
}

const _: () = assert!(size_of::<ControlBlock>() == 64);

/// One of the device's calls: its number, its name for messages, and the only kind of buffer it takes.
pub(super) trait Call {
    /// ioctl number.
    const NUMBER: u8;
    /// What it does, to follow "The ultravisor was asked to".
    const PURPOSE: &'static str;
    /// What it answers beside what every call may.
    const ANSWERS: Answers;
    /// The buffer that goes with it.
    type Buffer<'a>: Buffer;
}

/// A call's buffer in this process's memory, which the kernel reads or writes.
pub(super) trait Buffer {
    /// Address and length; the memory is exclusively the call's as long as the buffer lives.
    fn address_and_length(&mut self) -> (u64, u32);
}

/// No buffer: address and length zero, as the lock call demands.
impl Buffer for () {
    fn address_and_length(&mut self) -> (u64, u32) {
        (0, 0)
    }
}

/// An add-secret request for the kernel to read, between 1 byte and 1 MiB.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a>(&'a [u8]);

impl<'a> Request<'a> {
    /// `None` if the kernel would not take so many bytes.
    pub fn new(bytes: &'a [u8]) -> Option<Self> {
        (1..=pv_wire::layout::MAX_REQUEST_LEN).contains(&bytes.len()).then_some(Self(bytes))
    }
}

impl Buffer for Request<'_> {
    fn address_and_length(&mut self) -> (u64, u32) {
        (self.0.as_ptr() as u64, self.0.len() as u32)
    }
}

/// Whole pages for the kernel to write a list into.
#[derive(Debug)]
pub struct Pages(Vec<u8>);

impl Pages {
    /// Length of a page, the unit of the list call.
    pub const PAGE_LEN: usize = 0x1000;

    /// So many zeroed pages.
    pub fn new(pages: u16) -> Self {
        Self(vec![0; usize::from(pages) * Self::PAGE_LEN])
    }

    /// What was written.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl Buffer for &mut Pages {
    fn address_and_length(&mut self) -> (u64, u32) {
        (self.0.as_mut_ptr() as u64, self.0.len() as u32)
    }
}

/// Room for a secret that is retrieved, wiped when dropped. On the way in its first two bytes are the index, big
/// endian.
pub(super) struct Retrieved(pub(super) Zeroizing<Vec<u8>>);

impl Buffer for &mut Retrieved {
    fn address_and_length(&mut self) -> (u64, u32) {
        (self.0.as_mut_ptr() as u64, self.0.len() as u32)
    }
}

/// Two words: the calls that the device knows, and those that the ultravisor offers; bit n (LSB0) is call n.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub(super) struct InfoWords {
    // Order and width as the kernel writes them.
    pub(super) device: u64,
    pub(super) ultravisor: u64,
}

impl Buffer for &mut InfoWords {
    fn address_and_length(&mut self) -> (u64, u32) {
        (std::ptr::from_mut::<InfoWords>(self) as u64, size_of::<InfoWords>() as u32)
    }
}

macro_rules! calls {
    ($($(#[$doc:meta])* $name:ident = $number:literal, $purpose:literal, $answers:expr, $buffer:ty;)+) => {
        $($(#[$doc])* #[derive(Clone, Copy, Debug)] pub(super) struct $name;
        impl Call for $name {
            const NUMBER: u8 = $number;
            const PURPOSE: &'static str = $purpose;
            const ANSWERS: Answers = $answers;
            type Buffer<'a> = $buffer;
        })+
    };
}

calls! {
    /// Asks which calls there are.
    Info = 0, "list the calls that it supports", &[], &'a mut InfoWords;
    /// Attests the guest.
    Attest = 1, "attest the guest", attest::ATTEST, &'a mut Measuring;
    /// Adds a secret.
    Add = 2, "add a secret", answer::ADD, Request<'a>;
    /// Lists the secrets.
    List = 3, "list the secrets", &[], &'a mut Pages;
    /// Locks the secret store.
    Lock = 4, "lock the secret store", answer::LOCK, ();
    /// Retrieves a secret.
    Retrieve = 5, "retrieve a secret", answer::RETRIEVE, &'a mut Retrieved;
}

/// What the ultravisor answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct UvAnswer {
    pub(super) rc: u16,
    pub(super) rrc: u16,
}

/// The open device.
#[derive(Debug)]
pub struct Device {
    file: File,
}

impl Device {
    /// Opens `/dev/uv`.
    ///
    /// # Errors
    /// [`codes::NO_DEVICE`], [`codes::NOT_PERMITTED`], [`codes::IOCTL_FAILED`].
    pub fn open() -> Result<Self> {
        let opened = File::options().read(true).write(true).open(PATH);
        opened.map(|file| Self { file }).map_err(|e| match e.raw_os_error().map(Errno::from_raw) {
            Some(errno @ (Errno::ENOENT | Errno::ENODEV | Errno::ENXIO)) => Fault::new(
                codes::NO_DEVICE,
                format!("The ultravisor device {PATH} does not exist ({e})."),
            )
            .hint("Run this in a Secure Execution guest with the kernel module uvdevice loaded (modprobe uvdevice).")
            .errno(errno as i32),
            Some(errno @ (Errno::EACCES | Errno::EPERM)) => not_permitted(errno),
            _ => Fault::new(codes::IOCTL_FAILED, format!("The ultravisor device {PATH} cannot be opened: {e}."))
                .hint("Check the kernel's log (dmesg), and the permissions of the device.")
                .io(&e),
        })
    }

    /// Whether kernel and ultravisor both offer the call `C`.
    ///
    /// # Errors
    /// As any call.
    pub(super) fn offers<C: Call>(&self) -> Result<bool> {
        let mut words = InfoWords::default();
        self.call::<Info>(&mut words)?;
        Ok(words.device & words.ultravisor & 1 << C::NUMBER != 0)
    }

    /// Locks the secret store until the next boot; false if it was locked already.
    ///
    /// # Errors
    /// Codes of the kernel's and the ultravisor's answers.
    pub fn lock(&self) -> Result<bool> {
        match self.call::<Lock>(()) {
            Ok(_) => Ok(true),
            Err(fault) if fault.code == codes::STORE_LOCKED => Ok(false),
            Err(fault) => Err(fault),
        }
    }

    /// Whether secrets can be retrieved here, as far as that can be known before the call is made: the kernel by its info
    /// call, the ultravisor by its facilities. What the info call says of the ultravisor is not used: Linux 6.13 to 7.3
    /// show the bit of attestation there (`drivers/s390/char/uvdevice.c`).
    ///
    /// # Errors
    /// [`codes::RETRIEVE_UNSUPPORTED`] if not, saying who does not offer it, and those of any call.
    pub fn require_retrieve(&self) -> Result<()> {
        let mut words = InfoWords::default();
        self.call::<Info>(&mut words)?;
        let bit = 1 << Retrieve::NUMBER;
        if words.device & bit == 0 {
            Err(no_retrieve("the kernel's uvdevice does not know the call")
                .hint("It needs Linux 6.13 or newer: update the guest's kernel."))
        } else if firmware::has_facility(firmware::RETRIEVE_SECRET) == Some(false) {
            Err(no_retrieve("this machine's ultravisor does not support the call")
                .hint("Retrievable secrets need an IBM z17 or a newer machine."))
        } else {
            Ok(())
        }
    }

    /// Retrieves a secret of the store: a plaintext secret as it was put in, with its length before it and zeros
    /// behind; a key as a protected key, wrapped for this guest until its next boot.
    ///
    /// The buffer is as long as the list of secrets says that the secret is, for nothing else tells where it ends.
    ///
    /// # Errors
    /// [`codes::LIST_MALFORMED`] for a length that no secret has, [`codes::RETRIEVE_UNSUPPORTED`], and codes of the
    /// kernel's and the ultravisor's answers.
    pub fn retrieve(&self, secret: &Secret) -> Result<Zeroizing<Vec<u8>>> {
        let length = usize::try_from(secret.length).unwrap_or(usize::MAX);
        if !(1..=MAX_RETRIEVED).contains(&length) {
            return Err(Fault::new(
                codes::LIST_MALFORMED,
                format!(
                    "The secret of index {} has {length} bytes, says the list of secrets; retrievable ones have 1 to {MAX_RETRIEVED}.",
                    secret.index
                ),
            )
            .hint(super::list::HINT_CORRUPT));
        }
        // The index needs two bytes, however short the secret is.
        let mut room = Retrieved(Zeroizing::new(vec![0; length.max(2)]));
        if let Some(first) = room.0.first_chunk_mut() {
            *first = secret.index.to_be_bytes();
        }
        self.call::<Retrieve>(&mut room).map_err(|fault| match fault.code {
            codes::IOCTL_UNKNOWN => {
                let errno = fault.answer;
                Fault { answer: errno, ..no_retrieve("the kernel answered ENOTTY").hint(fault.hint) }
            }
            _ => fault,
        })?;
        room.0.truncate(length);
        Ok(room.0)
    }

    /// Hands an add-secret request to the ultravisor.
    ///
    /// It takes a [`Request`] and nothing else, so that no other bytes can end up in this call:
    ///
    /// ```compile_fail
    /// # fn try_it(device: &pv_guest::uv::Device) {
    /// let mut pages = pv_guest::uv::Pages::new(1);
    /// let _ = device.add(&mut pages);
    /// # }
    /// ```
    ///
    /// # Errors
    /// Codes of the kernel's and the ultravisor's answers.
    pub fn add(&self, request: Request<'_>) -> Result<()> {
        self.call::<Add>(request).map(|_| ())
    }

    /// Makes a call that must succeed.
    pub(super) fn call<C: Call>(&self, buffer: C::Buffer<'_>) -> Result<UvAnswer> {
        Self::succeeded::<C>(self.ask::<C>(buffer))
    }

    /// The answer of a call that must succeed, or the fault that tells why it did not.
    pub(super) fn succeeded<C: Call>(answer: std::result::Result<UvAnswer, Errno>) -> Result<UvAnswer> {
        let answer = answer.map_err(errno_fault::<C>)?;
        match answer.rc {
            RC_SUCCESS | RC_MORE_DATA => Ok(answer),
            _ => Err(answer::fault(C::PURPOSE, C::ANSWERS, answer)),
        }
    }

    /// Makes a call and gives whatever the ultravisor answered.
    #[expect(unsafe_code, reason = "an ioctl takes an address")]
    pub(super) fn ask<C: Call>(&self, mut buffer: C::Buffer<'_>) -> std::result::Result<UvAnswer, Errno> {
        let (argument_address, argument_length) = buffer.address_and_length();
        let mut block =
            ControlBlock { flags: 0, uv_rc: 0, uv_rrc: 0, argument_address, argument_length, reserved: [0; 44] };
        let command = nix::request_code_readwrite!(IOCTL_TYPE, C::NUMBER, size_of::<ControlBlock>());
        // SAFETY: the command's encoded size is that of `block`, which lives across the call; the buffer that the
        // block points to belongs to the call by its type and is alive until after it (dropped below).
        let result = unsafe { nix::libc::ioctl(self.file.as_raw_fd(), command, &raw mut block) };
        drop(buffer);
        Errno::result(result).map(|_| UvAnswer { rc: block.uv_rc, rrc: block.uv_rrc })
    }
}

fn no_retrieve(why: &str) -> Fault {
    Fault::new(codes::RETRIEVE_UNSUPPORTED, format!("Secrets cannot be retrieved here: {why}."))
.hint("It needs a kernel and a machine that support it; see ansible_facts.secure_execution.ultravisor of the facts module.")
}

fn not_permitted(errno: Errno) -> Fault {
    Fault::new(codes::NOT_PERMITTED, format!("This user is not allowed to use {PATH} ({}).", errno.desc()))
        .hint("Run the task as root (become: true).")
        .errno(errno as i32)
}

fn errno_fault<C: Call>(errno: Errno) -> Fault {
    let sentence =
        format!("The ultravisor was asked to {}; the kernel answered {errno:?} ({}).", C::PURPOSE, errno.desc());
    match errno {
        Errno::EACCES | Errno::EPERM => return not_permitted(errno),
        Errno::ENOTTY => Fault::new(codes::IOCTL_UNKNOWN, sentence)
            .hint("This kernel or this machine's ultravisor is too old for the call; see ansible_facts.secure_execution.ultravisor of the facts module."),
        _ => Fault::new(codes::IOCTL_FAILED, sentence).hint("Look at the kernel's log (dmesg); if it says nothing, run the task again."),
    }
    .errno(errno as i32)
}
