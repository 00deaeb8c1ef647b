//! An EP11 card as the kernel's driver questions it (Linux drivers/s390/crypto: zcrypt_msgtype6.h, zcrypt_ep11misc.h). All
//! numbers are big endian. Items of a payload are a tag, a length and the content.

use super::cards::{CardSpec, NewKey, QueueSpec};

/// Bytes of the header in front of a request.
const REQUEST_HEADER: usize = 0x58;
/// Bytes of the headers in front of a reply.
const REPLY_HEADER: usize = 48;
/// Bytes of the control block behind either header.
const CPRB: usize = 32;
const CPRB_VERSION: u8 = 4;

const SEQUENCE: u8 = 0x30;
const OCTETS: u8 = 0x04;

/// The function that gives information, of version 1 of the interface.
const GET_INFO: u32 = 0x0001_0026;
const ABOUT_CARD: u32 = 1;
const ABOUT_DOMAIN: u32 = 3;
/// What EP11 answers to functions that it does not have (PKCS #11: CKR_FUNCTION_NOT_SUPPORTED).
const NOT_SUPPORTED: u32 = 0x54;

/// What the simulated card says of itself: the version of its interface, the firmware 8.1, and the modes FIPS2009 and
/// BSI2009.
const INTERFACE: u32 = 6;
const FIRMWARE: [u8; 2] = [8, 1];
const MODES: u64 = 3;

/// State of a domain's keys.
const LEFT_IMPRINT_MODE: u32 = 0x10;
const CURRENT_VALID: u32 = 0x02;
const NEW_PRESENT: u32 = 0x04;
const NEW_COMMITTED: u32 = 0x08;

/// The reply to a request, with its headers; none if it is no request that an EP11 card understands.
pub fn answer(request: &[u8], card: &CardSpec, queue: &QueueSpec, domain: u8) -> Option<Vec<u8>> {
    let cprb = request.get(REQUEST_HEADER..REQUEST_HEADER + CPRB)?;
    if cprb[2] != CPRB_VERSION {
        return None;
    }
    let (payload, _) = item(request.get(REQUEST_HEADER + CPRB..)?, SEQUENCE)?;
    let (function, rest) = number(payload)?;
    let (asked_domain, rest) = number(rest)?;
    let data = match function {
        GET_INFO => match number(rest)?.0 {
            ABOUT_CARD => Some(about_card(card)),
            ABOUT_DOMAIN => Some(about_domain(queue, domain)),
            _ => None,
        },
        _ => None,
    };
    let mut content = Vec::new();
    let outcome = if data.is_some() { 0 } else { NOT_SUPPORTED };
    for value in [function, asked_domain, outcome] {
        content.extend([OCTETS, 4]);
        content.extend(value.to_be_bytes());
    }
    if let Some(data) = data {
        content.extend(long(OCTETS, &data));
    }
    Some(reply(cprb, &long(SEQUENCE, &content)))
}

fn reply(cprb: &[u8], payload: &[u8]) -> Vec<u8> {
    let size = |number: usize| u32::try_from(number).unwrap_or(u32::MAX).to_be_bytes();
    let mut reply = vec![0x00, 0x86, 0x02, 0x00, 0, 0, 0, 0];
    reply.extend([0; 8]);
    reply.extend(size(CPRB + payload.len()));
    reply.extend(size(REPLY_HEADER));
    reply.resize(REPLY_HEADER, 0);
    // As it came, with the return code 0 and the length of this payload.
    reply.extend(&cprb[..16]);
    reply.extend([0; 12]);
    reply.extend(size(payload.len()));
    reply.extend(payload);
    reply
}

fn about_card(card: &CardSpec) -> Vec<u8> {
    let mut data = Vec::new();
    data.extend(INTERFACE.to_be_bytes());
    data.extend([0; 4]);
    data.extend(FIRMWARE);
    data.extend([0; 2]);
    data.extend([0; 96]);
    let mut serial = [b' '; 16];
    serial.iter_mut().zip(card.serialnr.bytes()).for_each(|(place, byte)| *place = byte);
    data.extend(serial);
    data.extend([0; 16]);
    data.extend(MODES.to_be_bytes());
    data.extend([0; 12 * 4]);
    data
}

fn about_domain(queue: &QueueSpec, domain: u8) -> Vec<u8> {
    let (new, new_state) = match queue.new_key {
        NewKey::Empty => ([0; 32], 0),
        NewKey::Uncommitted(pattern) => (pattern, NEW_PRESENT),
        NewKey::Committed(pattern) => (pattern, NEW_PRESENT | NEW_COMMITTED),
    };
    let current_state = if queue.current.is_some() { CURRENT_VALID } else { 0 };
    let mut data = Vec::new();
    data.extend(u32::from(domain).to_be_bytes());
    data.extend(queue.current.unwrap_or_default());
    data.extend(new);
    data.extend((LEFT_IMPRINT_MODE | current_state | new_state).to_be_bytes());
    data.extend(MODES.to_be_bytes());
    data
}

/// An item with a length of two bytes.
fn long(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len()).unwrap_or(u16::MAX).to_be_bytes();
    [&[tag, 0x82], length.as_slice(), content].concat()
}

/// The content of an item with this tag, and what is behind it.
fn item(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&found, rest) = bytes.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0x82 => (usize::from(u16::from_be_bytes(*rest.first_chunk()?)), rest.get(2..)?),
        0x81 => (usize::from(*rest.first()?), rest.get(1..)?),
        short if short < 0x80 => (usize::from(short), rest),
        _ => return None,
    };
    if found == tag { rest.split_at_checked(length) } else { None }
}

/// An item that is a number of four bytes, and what is behind it.
fn number(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let (content, rest) = item(bytes, OCTETS)?;
    Some((u32::from_be_bytes(content.try_into().ok()?), rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ap::Kind;

    fn card() -> CardSpec {
        CardSpec { kind: Kind::Ep11, hwtype: 14, serialnr: "93AADFK7".into(), answers: true, bind_limit: None }
    }

    fn queue() -> QueueSpec {
        QueueSpec {
            current: Some([0x11; 32]),
            new_key: NewKey::Uncommitted([0x22; 32]),
            present: true,
            configured: true,
            checkstopped: false,
            unusable: false,
        }
    }

    fn request(values: &[u32]) -> Vec<u8> {
        let mut request = vec![0; REQUEST_HEADER];
        request.extend([0, 32, 4, 0, 0, 0, b'T', b'4']);
        request.extend([0; 24]);
        let items: Vec<u8> =
            values.iter().flat_map(|value| [vec![4, 4], value.to_be_bytes().to_vec()].concat()).collect();
        request.extend(long(SEQUENCE, &items));
        request
    }

    #[test]
    fn a_card_tells_its_serial_number_and_a_domain_its_keys() {
        let told = answer(&request(&[GET_INFO, 7, ABOUT_CARD, 0]), &card(), &queue(), 5).unwrap();
        let payload = &told[REPLY_HEADER + CPRB..];
        assert_eq!(payload[..4], [0x30, 0x82, 0, u8::try_from(payload.len() - 4).unwrap()]);
        assert_eq!(payload[4..22], [4, 4, 0, 1, 0, 0x26, 4, 4, 0, 0, 0, 7, 4, 4, 0, 0, 0, 0]);
        let data = &payload[26..];
        assert_eq!((&data[..4], &data[108..124]), ([0, 0, 0, 6].as_slice(), b"93AADFK7        ".as_slice()));
        let told = answer(&request(&[GET_INFO, 7, ABOUT_DOMAIN, 0]), &card(), &queue(), 5).unwrap();
        let data = &told[REPLY_HEADER + CPRB + 26..];
        assert_eq!((data[3], data[4], data[36], &data[68..72]), (5, 0x11, 0x22, [0, 0, 0, 0x16].as_slice()));
        assert_eq!(told[8 + 8..8 + 12], u32::try_from(told.len() - REPLY_HEADER).unwrap().to_be_bytes());
    }

    #[test]
    fn an_unknown_question_is_refused_and_what_is_cut_off_is_not_answered() {
        let whole = request(&[GET_INFO, 7, 99, 0]);
        let told = answer(&whole, &card(), &queue(), 5).unwrap();
        assert_eq!(told[told.len() - 4..], NOT_SUPPORTED.to_be_bytes());
        for len in 0..whole.len() {
            assert_eq!(answer(&whole[..len], &card(), &queue(), 5), None, "{len}");
        }
    }
}
