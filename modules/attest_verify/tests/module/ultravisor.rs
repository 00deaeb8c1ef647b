//! An ultravisor that answers attestation requests, with none of the code that makes or judges them. Offsets are those of
//! s390-tools 2.43 (`rust/pv/src/uvattest`, `rust/pvattest/src/exchange.rs`).

use guest_sim::crypto::{HostKey, open};
use openssl::{hash::MessageDigest, pkey::PKey, sha::sha512, sign::Signer};

/// A guest as its ultravisor knows it.
#[derive(Clone)]
pub struct Guest {
    /// What all digests and the tag of its image are made of.
    pub image: u8,
    pub cuid: [u8; 16],
    /// Hash of the host key that opened the image.
    pub image_host_key: [u8; 32],
    /// Tags of what was added to its store.
    pub tags: Vec<[u8; 16]>,
    pub locked: bool,
    pub user_data: Vec<u8>,
}

impl Guest {
    /// A guest on this host, with an empty store that is locked.
    pub fn new(host: &HostKey, number: u8) -> Self {
        let (image_host_key, cuid) = (host.hash(), [number; 16]);
        Self { image: 0x51, cuid, image_host_key, tags: Vec::new(), locked: true, user_data: Vec::new() }
    }

    /// Answers the request in an exchange file with another one.
    pub fn answer(&self, host: &HostKey, file: &[u8]) -> Vec<u8> {
        let at = |at: usize| u32::from_be_bytes(file[at..at + 4].try_into().unwrap()) as usize;
        let arcb = &file[at(0x1c)..at(0x1c) + at(0x18)];
        let slots_end = 0xe0 + usize::from(arcb[0x27]) * 80;
        let key = host.unwrap(&arcb[0x40..0xe0], &arcb[0xe0..slots_end]).expect("no slot for this host");
        let plain = open(&key, arcb[0x10..0x1c].try_into().unwrap(), &arcb[..slots_end], &arcb[slots_end..]).unwrap();

        let flags = arcb[0x30];
        let store = sha512(&[self.tags.concat(), vec![u8::from(self.locked)]].concat());
        let pieces: [(u8, &[u8]); 4] =
            [(0x20, &self.image_host_key), (0x10, &host.hash()), (0x08, &store), (0x04, &[0x5a; 0x140])];
        let additional: Vec<u8> =
            pieces.iter().filter(|(flag, _)| flags & flag != 0).flat_map(|(_, piece)| piece.to_vec()).collect();

        let mut message = vec![self.image; 208];
        message.extend(self.cuid);
        message.extend(u16::try_from(self.user_data.len()).unwrap().to_be_bytes());
        message.extend([0; 2]);
        message.extend(u32::try_from(additional.len()).unwrap().to_be_bytes());
        message.extend(&self.user_data);
        message.extend(&plain[64..80]);
        message.extend(&additional);
        let hmac = PKey::hmac(&plain[..64]).unwrap();
        let measurement = Signer::new(MessageDigest::sha512(), &hmac).unwrap().sign_oneshot_to_vec(&message).unwrap();
        exchange([arcb, &measurement, &additional, &self.user_data, &self.cuid])
    }
}

/// The file of a response.
pub fn exchange(entries: [&[u8]; 5]) -> Vec<u8> {
    let data = entries.concat();
    let number = |value: usize| u32::try_from(value).unwrap().to_be_bytes();
    let mut file = b"pvattest\x00\x00\x01\x00".to_vec();
    file.extend(number(0x40 + data.len()));
    file.extend([0; 8]);
    let mut at = 0x40;
    for entry in entries {
        file.extend(number(entry.len()));
        file.extend(if entry.is_empty() { [0; 4] } else { number(at) });
        at += entry.len();
    }
    file.extend(data);
    file
}
