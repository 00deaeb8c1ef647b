//! Files that `pvattest` made, and such as it should not have taken.

use super::*;
use sha2::{Digest, Sha256};

const REQUEST: ExchangeRequest<'_> =
    ExchangeRequest { request: &[0x11; 16], measurement_size: 64, additional_size: 32 };
const RESPONSE: ExchangeResponse<'_> = ExchangeResponse {
    request: &[0x11; 16],
    measurement: &[0x12; 64],
    additional: &[0x13; 32],
    user_data: &[0x15; 256],
    cuid: [0x14; 16],
};

/// A full response, typed from the layout table.
fn full() -> Vec<u8> {
    let mut bytes = b"pvattest\x00\x00\x01\x00\x00\x00\x01\xc0\0\0\0\0\0\0\0\0".to_vec();
    for (size, offset) in [(16_u32, 0x40_u32), (64, 0x50), (32, 0x90), (256, 0xb0), (16, 0x1b0)] {
        bytes.extend(size.to_be_bytes());
        bytes.extend(offset.to_be_bytes());
    }
    for (byte, len) in [(0x11, 16), (0x12, 64), (0x13, 32), (0x15, 256), (0x14, 16)] {
        bytes.extend(vec![byte; len]);
    }
    bytes
}

fn code(bytes: &[u8]) -> fault::Code {
    ExchangeResponse::parse(bytes).unwrap_err().code
}

#[test]
fn responses_have_the_bytes_of_the_layout_and_the_lengths_of_pvattests_files() {
    assert_eq!(RESPONSE.write().unwrap(), full());
    assert_eq!(ExchangeResponse::parse(&full()), Ok(RESPONSE));
    for (additional, user_data, len) in [
        (&[][..], &[][..], 160),
        (RESPONSE.additional, &[], 192),
        (&[], RESPONSE.user_data, 416),
        (RESPONSE.additional, RESPONSE.user_data, 448),
    ] {
        let response = ExchangeResponse { additional, user_data, ..RESPONSE };
        let bytes = response.write().unwrap();
        assert_eq!(bytes.len(), len);
        assert_eq!(ExchangeResponse::parse(&bytes), Ok(response));
    }
}

#[test]
fn requests_have_the_bytes_of_the_layout_and_the_lengths_of_pvattests_files() {
    let bytes = REQUEST.write().unwrap();
    assert_eq!(bytes.len(), 80);
    assert_eq!(
        bytes[0x18..0x40],
        [&[0, 0, 0, 16, 0, 0, 0, 0x40, 0, 0, 0, 64, 0, 0, 0, 0, 0, 0, 0, 32][..], &[0; 20]].concat()
    );
    assert_eq!(ExchangeRequest::parse(&bytes), Ok(REQUEST));
    let least = ExchangeRequest { additional_size: 0, ..REQUEST };
    let bytes = least.write().unwrap();
    assert_eq!((bytes.len(), ExchangeRequest::parse(&bytes)), (80, Ok(least)));
}

#[test]
fn an_entry_of_size_zero_is_absent_whatever_its_offset() {
    let mut bytes = ExchangeResponse { user_data: &[], ..RESPONSE }.write().unwrap();
    bytes[0x34..0x38].copy_from_slice(&0xb0_u32.to_be_bytes());
    assert_eq!(ExchangeResponse::parse(&bytes).unwrap().user_data, [0; 0]);
    bytes[0x34..0x38].fill(0xff);
    assert_eq!(ExchangeResponse::parse(&bytes).unwrap().user_data, [0; 0]);
}

#[test]
fn a_request_is_no_response_and_a_response_no_request() {
    assert_eq!(code(&REQUEST.write().unwrap()), codes::NOT_A_RESPONSE);
    assert_eq!(ExchangeRequest::parse(&full()).unwrap_err().code, codes::NOT_A_REQUEST);
}

#[test]
fn a_request_with_additional_data_in_place_of_their_size_is_none() {
    let mut bytes = REQUEST.write().unwrap();
    bytes[0x2c..0x30].copy_from_slice(&0x50_u32.to_be_bytes());
    bytes.extend([0; 32]);
    bytes[0x0c..0x10].copy_from_slice(&(0x50_u32 + 32).to_be_bytes());
    let fault = ExchangeRequest::parse(&bytes).unwrap_err();
    assert!(fault.code == codes::MALFORMED && fault.detail.contains("something beside it"), "{fault}");
}

#[test]
fn sizes_offsets_and_reserves_that_pvattest_lets_pass_are_refused() {
    let with = |at: usize, value: u32| {
        let mut bytes = full();
        bytes[at..at + 4].copy_from_slice(&value.to_be_bytes());
        code(&bytes)
    };
    assert_eq!(with(0x08, 0x0200), codes::VERSION);
    for (at, value) in [
        (0x00, 0),        // magic
        (0x0c, 0),        // size of the file
        (0x0c, 0x1bf),    // too small
        (0x0c, 0x1c1),    // too large
        (0x10, 1),        // reserved
        (0x14, 1),        // reserved
        (0x1c, 0x3f),     // within the header
        (0x1c, 0x50),     // over the measurement
        (0x18, 17),       // the same
        (0x1c, 0x1b1),    // over the end
        (0x24, u32::MAX), // far behind the end
        (0x18, u32::MAX), // an entry of 4 GiB
        (0x20, 0x8001),   // longer than the kernel takes
        (0x28, 0x8001),   // longer than the kernel takes
        (0x30, 257),      // longer than any user data
        (0x38, 15),       // no CUID
        (0x38, 17),       // no CUID
        (0x38, 0),        // no CUID
        (0x20, 0),        // no measurement
        (0x18, 0),        // no request
        (0x24, 0),        // a measurement that is only expected
        (0x34, 0),        // user data that are only expected
    ] {
        assert_eq!(with(at, value), codes::MALFORMED, "{at:#x}: {value:#x}");
    }
}

#[test]
fn every_cut_and_appended_byte_of_an_exchange_file_is_refused() {
    let mut bytes = full();
    for len in 0..bytes.len() {
        assert_eq!(code(&bytes[..len]), codes::MALFORMED, "cut to {len}");
    }
    bytes.push(0);
    assert_eq!(code(&bytes), codes::MALFORMED);
}

#[test]
fn no_changed_byte_of_an_exchange_file_makes_the_reader_panic() {
    for good in [full(), REQUEST.write().unwrap()] {
        for at in 0..good.len() {
            for value in [0, 1, 0x7f, 0xff] {
                let mut bytes = good.clone();
                bytes[at] = value;
                let _ = (ExchangeRequest::parse(&bytes), ExchangeResponse::parse(&bytes));
            }
        }
    }
}

#[test]
fn what_no_reader_would_take_is_not_written() {
    for response in [
        ExchangeResponse { request: &[], ..RESPONSE },
        ExchangeResponse { measurement: &[], ..RESPONSE },
        ExchangeResponse { user_data: &[0; 257], ..RESPONSE },
        ExchangeResponse { additional: &[0; 0x8001], ..RESPONSE },
    ] {
        assert_eq!(response.write().unwrap_err().code, codes::MALFORMED);
    }
    assert!(ExchangeRequest { measurement_size: 0, ..REQUEST }.write().is_err());
    assert!(ExchangeRequest { request: &[], ..REQUEST }.write().is_err());
}

#[test]
fn the_sizes_of_a_file_must_be_those_that_its_request_asks_for() {
    let mut bytes = vec![0; 400];
    for (at, byte) in [(0x0a, 1), (0x0e, 1), (0x0f, 0x90), (0x27, 1), (0x2f, 80), (0x30, 0x50), (0x3b, 1)] {
        bytes[at] = byte;
    }
    let request = AttestationRequest::parse(&bytes).unwrap();
    let file = ExchangeRequest::of(&request);
    assert_eq!((file.measurement_size, file.additional_size), (64, 32));
    assert_eq!(file.attestation_request(), Ok(request));
    assert_eq!(request.sha256()[..], Sha256::digest(&bytes)[..]);
    for file in [ExchangeRequest { measurement_size: 65, ..file }, ExchangeRequest { additional_size: 0, ..file }] {
        assert_eq!(file.attestation_request().unwrap_err().code, codes::MALFORMED);
    }
}
