//! What tests of this room need: requests and responses whose visible parts are in order.

use pv_wire::attestation::{AttestationRequest, ExchangeRequest, ExchangeResponse};

/// A request with these flags (bits 0 to 7) and a slot for each of these hosts; nothing in it is encrypted.
pub fn request(flags: u8, hosts: &[[u8; 32]]) -> Vec<u8> {
    let length = 0xe0 + 80 * hosts.len() + 80 + 16;
    let mut bytes = vec![0; 0xe0];
    bytes[0x0a] = 1;
    bytes[0x0c..0x10].copy_from_slice(&u32::try_from(length).unwrap().to_be_bytes());
    bytes[0x27] = u8::try_from(hosts.len()).unwrap();
    bytes[0x2f] = 80;
    bytes[0x30] = flags;
    bytes[0x3b] = 1;
    for host in hosts {
        bytes.extend(host);
        bytes.extend([0; 48]);
    }
    bytes.resize(length, 0);
    bytes
}

/// The exchange file of such a request.
pub fn file(flags: u8, hosts: &[[u8; 32]]) -> Vec<u8> {
    let request = request(flags, hosts);
    ExchangeRequest::of(&AttestationRequest::parse(&request).unwrap()).write().unwrap()
}

/// The exchange file of a response.
pub fn response() -> Vec<u8> {
    let request = request(0x40, &[[1; 32]]);
    let (measurement, cuid) = ([2; 64], [3; 16]);
    ExchangeResponse { request: &request, measurement: &measurement, additional: &[], user_data: &[], cuid }
        .write()
        .unwrap()
}
