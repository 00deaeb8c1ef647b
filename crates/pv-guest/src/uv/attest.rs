//! The attest call: the ultravisor measures the guest for whoever made the request (Linux
//! `arch/s390/include/uapi/asm/uvdevice.h`, `drivers/s390/char/uvdevice.c`).

use super::answer::{self, Answers};
use super::device::{Attest, Buffer, Call, Device, RC_SUCCESS};
use crate::codes as uv;
use fault::{Fault, Result};
use pv_wire::attestation::{AttestationRequest, layout};

pub mod codes {
    //! Codes of the attest call.
    fault::codes! {
        UNSUPPORTED = "attest.unsupported", "The kernel's uvdevice or the ultravisor does not offer to attest the guest.";
        CONTINUATION = "attest.continuation", "The ultravisor found the continuation token wrong (0x0101): a fault of the kernel's driver.";
        USER_DATA_REFUSED = "attest.user_data_refused", "The ultravisor found the user data longer than 256 bytes (0x0102).";
        REQUEST_ACCESS = "attest.request_access", "The ultravisor could not access the attestation request in memory (0x0103).";
        MEASUREMENT_ACCESS = "attest.measurement_access", "The ultravisor could not access the room for the measurement (0x0104).";
        ADDITIONAL_ACCESS = "attest.additional_access", "The ultravisor could not access the room for the additional data (0x0105).";
        REQUEST_VERSION = "attest.request_version", "The ultravisor does not support the attestation request's version (0x0106).";
        REQUEST_LENGTH = "attest.request_length", "The ultravisor found that the attestation request's length does not fit its version (0x0107).";
        REQUEST_HOST_KEYS = "attest.request_host_keys", "The ultravisor found the attestation request's number of host keys invalid (0x0108).";
        ENCRYPTED_SIZE = "attest.encrypted_size", "The ultravisor found that the attestation request's encrypted area does not fit what it must hold (0x0109).";
        FLAG_UNSUPPORTED = "attest.flag_unsupported", "This machine's ultravisor cannot add what the attestation request asks for (0x010a).";
        ALGORITHM_UNSUPPORTED = "attest.algorithm_unsupported", "This machine's ultravisor does not support the attestation request's way of measuring (0x010b).";
        NO_HOST_KEY_SLOT = "attest.no_host_key_slot", "The ultravisor cannot decrypt the attestation request (0x010c): it has no slot for this host's key, or was changed on the way.";
        MEASUREMENT_ROOM = "attest.measurement_room", "The ultravisor found the room for the measurement too small (0x010d).";
        ADDITIONAL_ROOM = "attest.additional_room", "The ultravisor found the room for the additional data too small (0x010e).";
    }
}

const UPDATE_KERNEL: &str =
    "Kernel and ultravisor do not agree: update the guest's kernel. If that does not help, stop using this guest.";
const ASK_AGAIN: &str = "Make a new attestation request (seguest.pv.attest_request): this one may be damaged.";

/// Answers of the attest call.
pub(super) const ATTEST: Answers = &[
    (0x0101, codes::CONTINUATION, "bad continuation token", UPDATE_KERNEL),
    (
        0x0102,
        codes::USER_DATA_REFUSED,
        "the user data are too long",
        "Give at most 256 bytes of user data, or their hash.",
    ),
    (0x0103, codes::REQUEST_ACCESS, "the request cannot be accessed", UPDATE_KERNEL),
    (0x0104, codes::MEASUREMENT_ACCESS, "the room for the measurement cannot be accessed", UPDATE_KERNEL),
    (0x0105, codes::ADDITIONAL_ACCESS, "the room for the additional data cannot be accessed", UPDATE_KERNEL),
    (
        0x0106,
        codes::REQUEST_VERSION,
        "unsupported request version",
        "See /sys/firmware/uv/query/supp_att_req_hdr_ver for what this machine supports.",
    ),
    (0x0107, codes::REQUEST_LENGTH, "the request's length does not fit its version", ASK_AGAIN),
    (
        0x0108,
        codes::REQUEST_HOST_KEYS,
        "invalid number of host keys",
        "Make a new attestation request, with fewer host key documents.",
    ),
    (0x0109, codes::ENCRYPTED_SIZE, "the size of the encrypted area is wrong", ASK_AGAIN),
    (
        0x010a,
        codes::FLAG_UNSUPPORTED,
        "a flag of the request is not supported",
        "Make a new attestation request with less in add_data.",
    ),
    (
        0x010b,
        codes::ALGORITHM_UNSUPPORTED,
        "the measurement algorithm is not supported",
        "No way to measure is known but HMAC with SHA-512; make a new attestation request with seguest.pv.attest_request.",
    ),
    (
        0x010c,
        codes::NO_HOST_KEY_SLOT,
        "the request cannot be decrypted",
        "It has no slot for the host key of the machine that this guest runs on, or was changed on the way; the ultravisor \
         does not tell which. Make a new attestation request with that machine's host key document.",
    ),
    (0x010d, codes::MEASUREMENT_ROOM, "the room for the measurement is too small", UPDATE_KERNEL),
    (0x010e, codes::ADDITIONAL_ROOM, "the room for the additional data is too small", UPDATE_KERNEL),
];

/// What the guest has measured beside itself: up to 256 bytes of its own choice.
#[derive(Clone, Copy, Debug, Default)]
pub struct UserData<'a>(&'a [u8]);

impl<'a> UserData<'a> {
    /// `None` if the ultravisor would not take so many bytes.
    pub fn new(bytes: &'a [u8]) -> Option<Self> {
        (bytes.len() <= layout::MAX_USER_DATA_LEN).then_some(Self(bytes))
    }
}

/// What the ultravisor answered. Only who holds the request's key can find out whether it is true.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attested {
    /// HMAC-SHA-512 over image, CUID, user data, nonce and additional data.
    pub measurement: [u8; layout::MEASUREMENT_LEN],
    /// The additional data, exactly as long as the request's flags say.
    pub additional: Vec<u8>,
    /// Configuration unique id of this start of the guest.
    pub cuid: [u8; layout::CUID_LEN],
}

/// The call's argument, native endian: 0x000 addresses of request, measurement and additional data; 0x018 user data; 0x118
/// CUID (out); 0x128 lengths of the three (u32), 0x134 of the user data (u16); 0x136 reserved.
#[repr(C)]
#[derive(Debug)]
struct Argument {
    request: u64,
    measurement: u64,
    additional: u64,
    user_data: [u8; layout::MAX_USER_DATA_LEN],
    cuid: [u8; layout::CUID_LEN],
    request_len: u32,
    measurement_len: u32,
    additional_len: u32,
    user_data_len: u16,
    reserved: u16,
}

const _: () = assert!(size_of::<Argument>() == 0x138);

/// The argument with all memory that it names, which belongs to the call as long as this lives.
#[derive(Debug)]
pub struct Measuring {
    argument: Argument,
    request: Vec<u8>,
    measurement: [u8; layout::MEASUREMENT_LEN],
    additional: Vec<u8>,
}

impl Measuring {
    fn new(request: &AttestationRequest<'_>, user_data: UserData<'_>) -> Self {
        // The rest of the argument is filled when it no longer moves.
        let mut argument = Argument {
            request: 0,
            measurement: 0,
            additional: 0,
            user_data: [0; layout::MAX_USER_DATA_LEN],
            cuid: [0; layout::CUID_LEN],
            request_len: 0,
            measurement_len: 0,
            additional_len: 0,
            user_data_len: user_data.0.len() as u16,
            reserved: 0,
        };
        argument.user_data.iter_mut().zip(user_data.0).for_each(|(room, byte)| *room = *byte);
        Self {
            argument,
            request: request.bytes().to_vec(),
            measurement: [0; layout::MEASUREMENT_LEN],
            // The kernel gives back the length that goes in: a longer one could never be verified.
            additional: vec![0; request.additional_size()],
        }
    }
}

impl Buffer for &mut Measuring {
    fn address_and_length(&mut self) -> (u64, u32) {
        let Measuring { argument, request, measurement, additional } = &mut **self;
        (argument.request, argument.request_len) = (request.as_ptr() as u64, request.len() as u32);
        (argument.measurement, argument.measurement_len) = (measurement.as_mut_ptr() as u64, measurement.len() as u32);
        argument.additional_len = additional.len() as u32;
        argument.additional = if additional.is_empty() { 0 } else { additional.as_mut_ptr() as u64 };
        (std::ptr::from_mut::<Argument>(argument) as u64, size_of::<Argument>() as u32)
    }
}

impl Device {
    /// Lets the ultravisor measure the guest as `request` asks, with the guest's own `user_data`. That changes nothing. No
    /// other call is needed before: the first drivers had only this one.
    ///
    /// # Errors
    /// Those of [`codes`], and of any call. What the ultravisor wrote before it refused is not looked at.
    pub fn attest(&self, request: &AttestationRequest<'_>, user_data: UserData<'_>) -> Result<Attested> {
        let mut measuring = Measuring::new(request, user_data);
        match self.call::<Attest>(&mut measuring) {
            // More data than there was room for is none of this call's answers.
            Ok(given) if given.rc != RC_SUCCESS => Err(answer::fault(Attest::PURPOSE, ATTEST, given)),
            Ok(_) => {
                let Measuring { argument, measurement, additional, .. } = measuring;
                Ok(Attested { measurement, additional, cuid: argument.cuid })
            }
            Err(fault) if fault.code == uv::IOCTL_UNKNOWN => {
                Err(Fault { answer: fault.answer, ..unsupported("the kernel answered ENOTTY") })
            }
            Err(fault) => Err(fault),
        }
    }
}

/// That nobody attests here, and why.
pub fn unsupported(why: &str) -> Fault {
    Fault::new(codes::UNSUPPORTED, format!("The guest cannot be attested here: {why}."))
        .hint("It takes an IBM z16 or a newer machine, and a kernel with the module uvdevice; see ansible_facts.secure_execution.ultravisor of the facts module.")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::mem::offset_of;

    /// The smallest request with these flags that can be read: one slot, a nonce.
    fn request(flags: u8) -> Vec<u8> {
        let mut bytes = vec![0; 0xe0 + 80 + 80 + 16];
        bytes[0x0a] = 1;
        bytes[0x0e..0x10].copy_from_slice(&400_u16.to_be_bytes());
        bytes[0x27] = 1;
        bytes[0x2f] = 80;
        bytes[0x30] = flags;
        bytes[0x3b] = 1;
        bytes
    }

    #[test]
    fn the_argument_is_laid_out_as_the_kernels_header_has_it() {
        let places = [
            offset_of!(Argument, request),
            offset_of!(Argument, measurement),
            offset_of!(Argument, additional),
            offset_of!(Argument, user_data),
            offset_of!(Argument, cuid),
            offset_of!(Argument, request_len),
            offset_of!(Argument, measurement_len),
            offset_of!(Argument, additional_len),
            offset_of!(Argument, user_data_len),
            offset_of!(Argument, reserved),
        ];
        assert_eq!(places, [0, 8, 0x10, 0x18, 0x118, 0x128, 0x12c, 0x130, 0x134, 0x136]);
    }

    #[test]
    fn every_buffer_is_exactly_as_long_as_the_request_says() {
        for (flags, additional) in [(0x40, 0), (0x78, 128), (0x7c, 448)] {
            let bytes = request(flags);
            let request = AttestationRequest::parse(&bytes).unwrap();
            let mut measuring = &mut Measuring::new(&request, UserData::new(b"hello").unwrap());
            assert_eq!(measuring.address_and_length().1, 0x138);
            let argument = &measuring.argument;
            assert_eq!((argument.request_len, argument.measurement_len), (400, 64));
            assert_eq!((argument.additional_len, argument.additional == 0), (additional, additional == 0));
            assert_eq!((argument.user_data_len, &argument.user_data[..6]), (5, b"hello\0".as_slice()));
            assert_eq!(argument.request, measuring.request.as_ptr() as u64);
        }
    }

    #[test]
    fn longer_user_data_than_the_ultravisor_takes_are_none() {
        assert!(UserData::new(&[0; 256]).is_some() && UserData::new(&[0; 257]).is_none());
    }
}
