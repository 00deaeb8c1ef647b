//! The file in which a request travels to the guest and its response back, as `pvattest` reads and writes it.
//!
//! A header of 0x40 bytes, then the data. All numbers are big endian; an entry is a u32 size, then a u32 offset from
//! the start of the file. Size 0: absent. A size without offset: so many bytes are expected.
//!
//! ```text
//! 0x00 "pvattest", version (u32), size of the whole file (u32), 8 reserved bytes
//! 0x18 entries of request, measurement, additional data, user data, configuration unique id (8 bytes each)
//! ```

use super::{AttestationRequest, codes, layout, malformed};
use crate::bytes::{array_at, size_at, u32_at};
use fault::{Fault, Result};
use std::ops::Range;

const MAGIC: [u8; 8] = *b"pvattest";
const VERSION: u32 = 0x0100;
const VERSION_AT: usize = 0x08;
const SIZE_AT: usize = 0x0c;
const RESERVED_AT: usize = 0x10;
const ENTRIES_AT: usize = 0x18;
const HEADER_LEN: usize = 0x40;
/// What messages call each entry, and the most that it may hold.
const ENTRIES: [(&str, usize); 5] = [
    ("request", layout::MAX_REQUEST_LEN),
    ("measurement", layout::MAX_MEASUREMENT_LEN),
    ("additional data", layout::MAX_ADDITIONAL_LEN),
    ("user data", layout::MAX_USER_DATA_LEN),
    ("configuration unique id", layout::CUID_LEN),
];

/// One entry of the header.
#[derive(Clone, Copy)]
enum Entry<'a> {
    Absent,
    /// Only so many bytes are expected.
    Expected(usize),
    Data(&'a [u8]),
}

impl<'a> Entry<'a> {
    /// Nothing is not there.
    fn data(bytes: &'a [u8]) -> Self {
        if bytes.is_empty() { Self::Absent } else { Self::Data(bytes) }
    }

    fn expected(size: usize) -> Self {
        if size == 0 { Self::Absent } else { Self::Expected(size) }
    }

    fn len(self) -> usize {
        match self {
            Self::Absent => 0,
            Self::Expected(size) => size,
            Self::Data(bytes) => bytes.len(),
        }
    }
}

/// A request on its way to a guest: what `pvattest create` writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExchangeRequest<'a> {
    /// The attestation request.
    pub request: &'a [u8],
    /// Size of the measurement that is expected, in bytes.
    pub measurement_size: usize,
    /// Size of the additional data that are expected, in bytes.
    pub additional_size: usize,
}

impl<'a> ExchangeRequest<'a> {
    /// The file's content for a request: the sizes follow from its flags.
    pub fn of(request: &AttestationRequest<'a>) -> Self {
        Self {
            request: request.bytes(),
            measurement_size: request.measurement_size(),
            additional_size: request.additional_size(),
        }
    }

    /// Reads a file. What the request in it says is not looked at; [`Self::attestation_request`] does.
    ///
    /// # Errors
    /// [`codes::MALFORMED`], [`codes::VERSION`] and [`codes::NOT_A_REQUEST`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self> {
        match read(bytes)? {
            [Entry::Data(request), Entry::Expected(measurement_size), additional, Entry::Absent, Entry::Absent]
                if !matches!(additional, Entry::Data(_)) =>
            {
                Ok(Self { request, measurement_size, additional_size: additional.len() })
            }
            [Entry::Data(_), Entry::Data(_), .., Entry::Data(_)] => {
                Err(Fault::new(codes::NOT_A_REQUEST, "This file holds the response to an attestation request.")
                    .hint("Name a new request: one that was answered shows nothing about now."))
            }
            _ => Err(malformed("This file holds no attestation request, or something beside it.")),
        }
    }

    /// The request in the file, whose flags must ask for what the file expects.
    ///
    /// # Errors
    /// As [`AttestationRequest::parse`], and [`codes::MALFORMED`] where the sizes differ.
    pub fn attestation_request(&self) -> Result<AttestationRequest<'a>> {
        let request = AttestationRequest::parse(self.request)?;
        if Self::of(&request) != *self {
            return Err(malformed(format!(
                "The file expects a measurement of {} and additional data of {} bytes; the request in it brings {} and {}.",
                self.measurement_size,
                self.additional_size,
                request.measurement_size(),
                request.additional_size()
            )));
        }
        Ok(request)
    }

    /// The file, byte for byte as `pvattest create` writes it.
    ///
    /// # Errors
    /// [`codes::MALFORMED`] for what no reader would take.
    pub fn write(&self) -> Result<Vec<u8>> {
        if self.request.is_empty() || self.measurement_size == 0 {
            return Err(malformed("There is no request to be written, or it expects no measurement."));
        }
        write([
            Entry::data(self.request),
            Entry::expected(self.measurement_size),
            Entry::expected(self.additional_size),
            Entry::Absent,
            Entry::Absent,
        ])
    }
}

/// A response on its way back: what `pvattest perform` writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExchangeResponse<'a> {
    /// The request that was answered, unchanged.
    pub request: &'a [u8],
    /// The measurement.
    pub measurement: &'a [u8],
    /// The additional data; empty if there are none.
    pub additional: &'a [u8],
    /// The guest's user data, at most 256 bytes; empty if there are none.
    pub user_data: &'a [u8],
    /// The configuration unique id of this start of the guest.
    pub cuid: [u8; layout::CUID_LEN],
}

impl<'a> ExchangeResponse<'a> {
    /// Reads a file. What the request in it says is not looked at.
    ///
    /// # Errors
    /// [`codes::MALFORMED`], [`codes::VERSION`] and [`codes::NOT_A_RESPONSE`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self> {
        let data = |entry| match entry {
            Entry::Data(bytes) => Some(bytes),
            Entry::Absent => Some(&[][..]),
            Entry::Expected(_) => None,
        };
        let read = match read(bytes)? {
            [Entry::Data(_), Entry::Expected(_), _, _, Entry::Absent] => {
                return Err(Fault::new(
                    codes::NOT_A_RESPONSE,
                    "This file holds an attestation request that no guest has answered.",
                )
                .hint("Let the guest answer it with attest, and name what that returns."));
            }
            [Entry::Data(request), Entry::Data(measurement), additional, user, Entry::Data(cuid)] => data(additional)
                .zip(data(user))
                .zip(array_at(cuid, 0).filter(|_| cuid.len() == layout::CUID_LEN))
                .map(|((additional, user_data), cuid)| Self { request, measurement, additional, user_data, cuid }),
            _ => None,
        };
        read.ok_or_else(|| {
            malformed(
                "This file holds no attestation response: request, measurement or configuration unique id is missing.",
            )
        })
    }

    /// The file, byte for byte as `pvattest perform` writes it.
    ///
    /// # Errors
    /// [`codes::MALFORMED`] for what no reader would take.
    pub fn write(&self) -> Result<Vec<u8>> {
        if self.request.is_empty() || self.measurement.is_empty() {
            return Err(malformed("There is no response to be written: request or measurement is empty."));
        }
        write([
            Entry::data(self.request),
            Entry::data(self.measurement),
            Entry::data(self.additional),
            Entry::data(self.user_data),
            Entry::Data(&self.cuid),
        ])
    }
}

/// The five entries of a file. Nothing is allocated for what a file only says.
fn read(bytes: &[u8]) -> Result<[Entry<'_>; 5]> {
    if array_at(bytes, 0) != Some(MAGIC) {
        return Err(malformed("This is no file of attestation: it does not begin with pvattest."));
    }
    let cut = || malformed(format!("The attestation file is cut off: {} bytes are too few.", bytes.len()));
    let version = u32_at(bytes, VERSION_AT).ok_or_else(cut)?;
    if version != VERSION {
        let detail = format!("The attestation file has version 0x{version:04x}; only 0x0100 is known.");
        return Err(Fault::new(codes::VERSION, detail).hint("Make it with a tool for this version."));
    }
    let size = size_at(bytes, SIZE_AT).filter(|_| bytes.len() >= HEADER_LEN).ok_or_else(cut)?;
    if size != bytes.len() {
        return Err(malformed(format!(
            "The attestation file says that it is {size} bytes long, but {} bytes are there.",
            bytes.len()
        )));
    }
    if array_at(bytes, RESERVED_AT) != Some([0; 8]) {
        return Err(malformed("The attestation file has something where it must have zeros."));
    }
    let mut entries = [Entry::Absent; 5];
    let mut taken: Vec<Range<usize>> = Vec::with_capacity(ENTRIES.len());
    for (number, (entry, (name, most))) in entries.iter_mut().zip(ENTRIES).enumerate() {
        let at = ENTRIES_AT + 8 * number;
        let (len, offset) = size_at(bytes, at).zip(size_at(bytes, at + 4)).ok_or_else(cut)?;
        if len > most {
            return Err(malformed(format!("The attestation file's {name} of {len} bytes is longer than {most}.")));
        }
        *entry = match (len, offset) {
            (0, _) => Entry::Absent,
            (_, 0) => Entry::Expected(len),
            _ => {
                let range = offset..offset.saturating_add(len);
                let free = offset >= HEADER_LEN
                    && taken.iter().all(|other| range.end <= other.start || other.end <= range.start);
                let data = bytes.get(range.clone()).filter(|_| free).ok_or_else(|| {
                    malformed(format!("The attestation file's {name} lies outside of it or over another part."))
                })?;
                taken.push(range);
                Entry::Data(data)
            }
        };
    }
    Ok(entries)
}

fn write(entries: [Entry<'_>; 5]) -> Result<Vec<u8>> {
    let mut header = Vec::with_capacity(ENTRIES.len() * 8);
    let mut data = Vec::new();
    for (entry, (name, most)) in entries.into_iter().zip(ENTRIES) {
        if entry.len() > most {
            return Err(malformed(format!("A {name} of {} bytes is longer than {most}.", entry.len())));
        }
        let offset = match entry {
            Entry::Data(bytes) => {
                let offset = HEADER_LEN + data.len();
                data.extend_from_slice(bytes);
                offset
            }
            Entry::Absent | Entry::Expected(_) => 0,
        };
        header.extend(number(entry.len()));
        header.extend(number(offset));
    }
    let mut file = Vec::with_capacity(HEADER_LEN + data.len());
    file.extend(MAGIC);
    file.extend(VERSION.to_be_bytes());
    file.extend(number(HEADER_LEN + data.len()));
    file.extend([0; 8]);
    file.extend(header);
    file.extend(data);
    Ok(file)
}

/// A size or an offset. All parts together are far below 4 GiB.
fn number(value: usize) -> [u8; 4] {
    u32::try_from(value).unwrap_or(u32::MAX).to_be_bytes()
}

#[cfg(test)]
#[path = "exchange_tests.rs"]
mod tests;
