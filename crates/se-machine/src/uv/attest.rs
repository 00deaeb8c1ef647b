//! Attestation: the control block that asks for it (ARCB) as the firmware reads it, and the measurement (layout and
//! rules: s390-tools rust/pv, src/uvattest; return codes: rust/pv_core).
//!
//! All numbers are big endian. After the fixed head come keyslots of 80 bytes, the encrypted part (measurement key, then a
//! nonce if flag 1 is set) and a 16-byte tag.

use hmac::{Hmac, Mac};
use sha2::{Digest, Sha512};
use zeroize::Zeroizing;

use super::{Rc, Ultravisor};
use crate::crypto::{HostKey, PUBLIC_KEY_LEN, SLOT_LEN, open};
use crate::fault::Spoil;
use crate::hex;
use crate::spec::AttestCheck;

/// Bytes before the keyslots.
const HEAD_LEN: usize = 0xe0;
const VERSION: usize = 0x08;
const LENGTH: usize = 0x0c;
const IV: usize = 0x10;
const SLOT_COUNT: usize = 0x27;
const ENCRYPTED_SIZE: usize = 0x2c;
const FLAGS: usize = 0x30;
const ALGORITHM: usize = 0x38;
const CUSTOMER_KEY: usize = 0x40;
const TAG_LEN: usize = 16;

const MEASUREMENT_KEY_LEN: usize = 64;
const NONCE_LEN: usize = 16;
/// HMAC with SHA-512, the only algorithm.
const HMAC_SHA512: u32 = 1;
const MEASUREMENT_LEN: usize = 64;
/// User data that fit into the ultravisor's block.
const MAX_USER_DATA: usize = 256;
/// Bytes of a configuration unique id.
const CUID_LEN: usize = 16;
const FIRMWARE_STATE_LEN: usize = 320;

/// Flags, counted from the left (MSB0).
const NONCE: u32 = 1;
const IMAGE_HOST_KEY: u32 = 2;
const ATTESTATION_HOST_KEY: u32 = 3;
const SECRET_STORE: u32 = 4;
const FIRMWARE_STATE: u32 = 5;

const DEFAULT_ORDER: [AttestCheck; 10] = [
    AttestCheck::UserData,
    AttestCheck::Version,
    AttestCheck::HostKeys,
    AttestCheck::Flags,
    AttestCheck::EncryptedSize,
    AttestCheck::Length,
    AttestCheck::Algorithm,
    AttestCheck::MeasurementRoom,
    AttestCheck::AdditionalRoom,
    AttestCheck::Decryption,
];

/// What the kernel asks the ultravisor.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    /// The buffer that holds the ARCB.
    pub request: &'a [u8],
    /// The guest's data that is measured too; any length, as the driver does not check it.
    pub user_data: &'a [u8; MAX_USER_DATA],
    /// Bytes of it that count.
    pub user_data_len: u16,
    /// Bytes of the measurement buffer.
    pub measurement_room: usize,
    /// Bytes of the additional-data buffer.
    pub additional_room: usize,
}

/// What the ultravisor writes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Measured {
    /// The measurement; empty after a refusal.
    pub measurement: Vec<u8>,
    /// The additional data that the flags ask for.
    pub additional: Vec<u8>,
    /// The configuration unique id; after a refusal it means nothing.
    pub cuid: [u8; CUID_LEN],
}

impl Ultravisor {
    /// Attest call. After a refusal the CUID is no longer one.
    pub fn attest(&self, ask: &Ask<'_>, spoil: Option<Spoil>) -> (Rc, Measured) {
        if !self.spec.attestation {
            return (Rc::INVALID_COMMAND, Measured::default());
        }
        match self.measure(ask, spoil) {
            Ok(measured) => (Rc::SUCCESS, measured),
            Err(rc) => (rc, Measured { cuid: [0xee; CUID_LEN], ..Measured::default() }),
        }
    }

    fn measure(&self, ask: &Ask<'_>, spoil: Option<Spoil>) -> Result<Measured, Rc> {
        let order = &self.switches.attest_order;
        let rest = DEFAULT_ORDER.iter().filter(|check| !order.contains(check));
        for check in order.iter().chain(rest) {
            self.check(*check, ask)?;
        }
        let request = Request::locate(ask.request).ok_or(Rc::ATTEST_LENGTH)?;
        let secret = request.decrypt(&self.host).ok_or(Rc::ATTEST_UNDECRYPTABLE)?;
        let mut additional = self.additional(request.flags());
        if spoil == Some(Spoil::ShortAdditional) {
            additional.truncate(additional.len() / 2);
        }
        let mut cuid = self.start.cuid;
        if spoil == Some(Spoil::OtherCuid) {
            cuid[0] ^= 1;
        }
        let user_data = ask.user_data.get(..usize::from(ask.user_data_len)).ok_or(Rc::ATTEST_USER_DATA)?;
        let (key, nonce) = secret.split_at_checked(MEASUREMENT_KEY_LEN).ok_or(Rc::ATTEST_ENCRYPTED_SIZE)?;
        let mut measurement = measurement(key, &self.binding, &cuid, user_data, nonce, &additional);
        match spoil {
            Some(Spoil::Measurement) => measurement[MEASUREMENT_LEN - 1] ^= 1,
            Some(Spoil::GarbledAdditional) => additional.iter_mut().for_each(|byte| *byte ^= 0xa5),
            Some(Spoil::Cuid) => cuid[0] ^= 1,
            Some(Spoil::Nothing) => return Ok(Measured::default()),
            Some(Spoil::ShortAdditional | Spoil::OtherCuid) | None => {}
        }
        Ok(Measured { measurement: measurement.to_vec(), additional, cuid })
    }

    /// One check on a request and on the room for the answer.
    fn check(&self, check: AttestCheck, ask: &Ask<'_>) -> Result<(), Rc> {
        let request = ask.request;
        let flags = u64_at(request, FLAGS);
        let slots = usize::from(request.get(SLOT_COUNT).copied().unwrap_or(0));
        let encrypted = encrypted_size(flags);
        let (good, rc) = match check {
            AttestCheck::UserData => (usize::from(ask.user_data_len) <= MAX_USER_DATA, Rc::ATTEST_USER_DATA),
            AttestCheck::Version => (u64_at(request, 0) == 0 && u32_at(request, VERSION) == 0x100, Rc::ATTEST_VERSION),
            AttestCheck::Length => {
                let length = usize::try_from(u32_at(request, LENGTH)).ok();
                let expected = HEAD_LEN + slots * SLOT_LEN + encrypted + TAG_LEN;
                (length == Some(expected) && expected <= request.len(), Rc::ATTEST_LENGTH)
            }
            AttestCheck::HostKeys => (slots > 0, Rc::ATTEST_SLOTS),
            AttestCheck::EncryptedSize => {
                (usize::try_from(u32_at(request, ENCRYPTED_SIZE)) == Ok(encrypted), Rc::ATTEST_ENCRYPTED_SIZE)
            }
            AttestCheck::Flags => (flags & !self.spec.attestation_flags == 0, Rc::ATTEST_FLAG),
            AttestCheck::Algorithm => (u32_at(request, ALGORITHM) == HMAC_SHA512, Rc::ATTEST_ALGORITHM),
            AttestCheck::MeasurementRoom => (ask.measurement_room >= MEASUREMENT_LEN, Rc::ATTEST_MEASUREMENT_ROOM),
            AttestCheck::AdditionalRoom => {
                (ask.additional_room >= self.additional(flags).len(), Rc::ATTEST_ADDITIONAL_ROOM)
            }
            // One that cannot even be read is found out by the checks of its lengths.
            AttestCheck::Decryption => {
                let decrypted = Request::locate(request).map(|request| request.decrypt(&self.host).is_some());
                (decrypted.unwrap_or(true), Rc::ATTEST_UNDECRYPTABLE)
            }
        };
        if good { Ok(()) } else { Err(rc) }
    }

    /// The pieces of additional data that these flags ask for, one behind the other in the order of the flags.
    fn additional(&self, flags: u64) -> Vec<u8> {
        let spec = &self.spec;
        let given = |text: &Option<String>| text.as_deref().and_then(hex::decode::<32>);
        let mut additional = Vec::new();
        if has(flags, IMAGE_HOST_KEY) {
            additional.extend(given(&spec.image_host_key_hash).unwrap_or(self.host.hash()));
        }
        if has(flags, ATTESTATION_HOST_KEY) {
            additional.extend(self.host.hash());
        }
        if has(flags, SECRET_STORE) {
            additional.extend(self.store_hash());
        }
        if has(flags, FIRMWARE_STATE) {
            let text = spec.firmware_state.as_deref();
            additional.extend(text.and_then(hex::decode).unwrap_or_else(sample_firmware_state));
        }
        additional
    }

    /// SHA-512 over the tags of all requests that were added in this start, in order, and a byte that says whether the store
    /// is locked.
    fn store_hash(&self) -> [u8; 64] {
        let mut hash = Sha512::new();
        self.start.tags.iter().for_each(|tag| hash.update(tag));
        hash.update([u8::from(self.start.locked)]);
        hash.finalize().into()
    }
}

/// The bytes 00 to ff, and 64 times 5a.
fn sample_firmware_state() -> [u8; FIRMWARE_STATE_LEN] {
    std::array::from_fn(|at| u8::try_from(at).unwrap_or(0x5a))
}

/// HMAC-SHA-512 over what the image is (pld, ald, tld, header tag), the CUID, the lengths of user data (u16, two zero bytes)
/// and additional data (u32), user data, nonce and additional data.
fn measurement(
    key: &[u8],
    binding: &[u8; 208],
    cuid: &[u8; CUID_LEN],
    user_data: &[u8],
    nonce: &[u8],
    additional: &[u8],
) -> [u8; MEASUREMENT_LEN] {
    // Any length is a key for an HMAC.
    let Ok(mut hmac) = Hmac::<Sha512>::new_from_slice(key) else { return [0; MEASUREMENT_LEN] };
    hmac.update(binding);
    hmac.update(cuid);
    hmac.update(&u16::try_from(user_data.len()).unwrap_or(u16::MAX).to_be_bytes());
    hmac.update(&[0; 2]);
    hmac.update(&u32::try_from(additional.len()).unwrap_or(u32::MAX).to_be_bytes());
    hmac.update(user_data);
    hmac.update(nonce);
    hmac.update(additional);
    hmac.finalize().into_bytes().into()
}

/// A request all of whose lengths agree.
struct Request<'a> {
    bytes: &'a [u8],
    /// Where the encrypted part starts.
    sealed: usize,
}

impl<'a> Request<'a> {
    fn locate(buffer: &'a [u8]) -> Option<Self> {
        let total = usize::try_from(u32_at(buffer, LENGTH)).ok()?;
        let encrypted = usize::try_from(u32_at(buffer, ENCRYPTED_SIZE)).ok()?;
        let bytes = buffer.get(..total)?;
        let sealed = HEAD_LEN + usize::from(*bytes.get(SLOT_COUNT)?) * SLOT_LEN;
        let fits = sealed.checked_add(encrypted)?.checked_add(TAG_LEN)? == total;
        fits.then_some(Self { bytes, sealed })
    }

    fn flags(&self) -> u64 {
        u64_at(self.bytes, FLAGS)
    }

    /// Decrypts with the host's key: measurement key, then the nonce. `None` says no more than that it did not work.
    fn decrypt(&self, host: &HostKey) -> Option<Zeroizing<Vec<u8>>> {
        let (head, sealed) = self.bytes.split_at_checked(self.sealed)?;
        let customer = head.get(CUSTOMER_KEY..CUSTOMER_KEY + PUBLIC_KEY_LEN)?;
        let key = host.unwrap(customer, head.get(HEAD_LEN..)?)?;
        open(&key, head.get(IV..)?.first_chunk()?, head, sealed)
    }
}

/// Bytes of the encrypted part that go with these flags.
fn encrypted_size(flags: u64) -> usize {
    MEASUREMENT_KEY_LEN + if has(flags, NONCE) { NONCE_LEN } else { 0 }
}

fn has(flags: u64, bit: u32) -> bool {
    flags & 1 << (63 - bit) != 0
}

/// Bytes behind the buffer's end count as zeros.
fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |bytes| u32::from_be_bytes(*bytes))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) << 32 | u64::from(u32_at(bytes, at + 4))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The inputs and values are those of s390-tools' own tests (rust/pv, src/uvattest/attest.rs).
    #[test]
    fn the_measurement_is_the_documented_one() {
        let mut binding = [4; 208];
        binding[..64].fill(1);
        binding[64..128].fill(2);
        binding[128..192].fill(3);
        let (user, nonce, additional) = ([7; 256], [8; 16], [9; 128]);
        let measured = |user: &[u8], nonce: &[u8], additional: &[u8]| {
            hex::encode(&measurement(&[0x41; 64], &binding, &[5; 16], user, nonce, additional))
        };
        assert_eq!(
            measured(&user, &nonce, &additional),
            "88794c62cce7bcf26216deb3f48f13fea6374b6d7e35bcc5c2ce68121db6f45d\
             fc8c171856463549408bf8e7d1aca11efad0a878af97dc9e21a1fc2a32f3a675"
        );
        assert_eq!(
            measured(&user, &[], &additional),
            "fbd4f738a390edd947cd4f11af3a2f3bab2fdf8bf89bf81beb495117f4382cf4\
             2f0730c8c7d9e3ca27fb25adfceb21224f57fdb398dcf41a83c146e6a23db760"
        );
        assert_eq!(
            measured(&[], &[], &additional),
            "63671fbf295036eb1023ea71f7182e7d6343dc7b2da584e824d0a7d198ab9cde\
             d756c93b39050ffb764555b01f88cb82017a6a15c7e0bafc6005f1e4f78aa124"
        );
        assert_eq!(
            measured(&[], &[], &[]),
            "c5c34c93835d1ec23f5c2d778dfa20129b11b305601742cb2f38e0ed9894dcdb\
             73fc8695ab6a8dbad0744073ddc81a5eaafa52e4a15af8deb8d761091922847f"
        );
    }
}
