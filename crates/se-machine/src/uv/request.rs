//! Add-secret requests as the firmware reads them (layout: s390-tools rust/pv, src/uvsecret/asrcb.rs).
//!
//! All numbers are big endian. After the fixed head come keyslots of 80 bytes, the secret's header, the encrypted part
//! (secret, then 32 bytes of extension secret) and a 16-byte tag.

use zeroize::Zeroizing;

use super::rc::Rc;
use crate::crypto::{HostKey, PUBLIC_KEY_LEN, SLOT_LEN, open};
use crate::spec::FormCheck;

/// Bytes before the keyslots.
pub const HEAD_LEN: usize = 0x4b8;
/// Longest request that the ultravisor takes.
const MAX_LEN: usize = 0x10_0000;
const TAG_LEN: usize = 16;
const EXTENSION_LEN: usize = 32;
/// Secret type of a meta request, the only one with a short secret header.
pub const TYPE_NULL: u16 = 1;
/// Secret type of an association secret.
pub const TYPE_ASSOCIATION: u16 = 2;
/// Secret type of a plaintext secret.
pub const TYPE_PLAINTEXT: u16 = 3;
/// Secret type of a CCK update.
pub const TYPE_UPDATE_CCK: u16 = 22;

const DEFAULT_ORDER: [FormCheck; 4] = [FormCheck::Version, FormCheck::Size, FormCheck::HostKeys, FormCheck::Flags];

/// A request whose visible form is in order.
pub struct Request<'a> {
    bytes: &'a [u8],
    /// Where the secret header starts.
    header: usize,
    /// Where the encrypted part starts.
    sealed: usize,
}

/// What is inside a request.
pub struct Content {
    /// The secret itself.
    pub secret: Zeroizing<Vec<u8>>,
    /// The extension secret; zeros if there is none.
    pub extension: Zeroizing<[u8; 32]>,
}

impl<'a> Request<'a> {
    /// Reads the form. The ultravisor is not told how long the buffer is: bytes behind the request are not seen.
    ///
    /// # Errors
    /// The return code of the first check in `order` (completed with the default order) that fails.
    pub fn read(buffer: &'a [u8], order: &[FormCheck], known_flags: u64) -> Result<Self, Rc> {
        if buffer.len() < HEAD_LEN || buffer[..6] != *b"asrcbM" {
            return Err(Rc::SIZE);
        }
        let rest = DEFAULT_ORDER.iter().filter(|check| !order.contains(check));
        for check in order.iter().chain(rest) {
            let (good, rc) = match check {
                FormCheck::Version => (u32_at(buffer, 0x08) == 0x100, Rc::VERSION),
                FormCheck::Size => (Self::locate(buffer).is_some(), Rc::SIZE),
                FormCheck::HostKeys => (buffer[0x27] > 0, Rc::HOST_KEYS),
                FormCheck::Flags => (u64_at(buffer, 0x30) & !known_flags == 0, Rc::FLAGS),
            };
            if !good {
                return Err(rc);
            }
        }
        Self::locate(buffer).ok_or(Rc::SIZE)
    }

    /// Finds the parts; `None` unless all lengths agree.
    fn locate(buffer: &'a [u8]) -> Option<Self> {
        let total = usize::try_from(u32_at(buffer, 0x0c)).ok()?;
        let encrypted = usize::try_from(u32_at(buffer, 0x2c)).ok()?;
        let bytes = buffer.get(..total).filter(|bytes| bytes.len() <= MAX_LEN)?;
        let header = HEAD_LEN + usize::from(buffer[0x27]) * SLOT_LEN;
        let sealed = total.checked_sub(TAG_LEN)?.checked_sub(encrypted)?;
        let header_len = sealed.checked_sub(header)?;
        let short = bytes.get(header..header + 8)?;
        let expected = if u16_at(short, 2) == TYPE_NULL { 0x10 } else { 0x30 };
        let payload = usize::try_from(u32_at(short, 4)).ok()?;
        let agree = header_len == expected && payload.checked_add(EXTENSION_LEN) == Some(encrypted);
        agree.then_some(Self { bytes, header, sealed })
    }

    /// Decrypts with the host's key. `None` says no more than that it did not work.
    pub fn decrypt(&self, host: &HostKey) -> Option<Content> {
        let customer = &self.bytes[0x418..0x418 + PUBLIC_KEY_LEN];
        let key = host.unwrap(customer, &self.bytes[HEAD_LEN..self.header])?;
        let iv = self.bytes[0x10..0x1c].try_into().ok()?;
        let mut secret = open(&key, iv, &self.bytes[..self.sealed], &self.bytes[self.sealed..])?;
        let payload = secret.len().checked_sub(EXTENSION_LEN)?;
        let extension = Zeroizing::new(secret[payload..].try_into().ok()?);
        secret.truncate(payload);
        Some(Content { secret, extension })
    }

    /// Flags: bit 0 (MSB0) switches dumps off.
    pub fn flags(&self) -> u64 {
        u64_at(self.bytes, 0x30)
    }

    /// The image that the request is for: pld, ald, tld, tag of the SE header.
    pub fn binding(&self) -> &'a [u8] {
        &self.bytes[0x38..0x108]
    }

    /// The configuration unique id that the request is for; zeros for any.
    pub fn cuid(&self) -> &'a [u8] {
        &self.bytes[0x108..0x118]
    }

    /// Type of the secret.
    pub fn secret_type(&self) -> u16 {
        u16_at(&self.bytes[self.header..], 2)
    }

    /// Id of the secret; zeros for the types that have none.
    pub fn id(&self) -> [u8; 32] {
        let at = self.header + 0x10;
        if at < self.sealed { self.bytes[at..at + 32].try_into().unwrap_or([0; 32]) } else { [0; 32] }
    }

    /// The request's own tag, its last 16 bytes.
    pub fn tag(&self) -> [u8; 16] {
        self.bytes[self.bytes.len() - TAG_LEN..].try_into().unwrap_or([0; 16])
    }
}

/// Whether a secret of that type may be `len` bytes long.
pub fn length_fits(secret_type: u16, len: usize) -> bool {
    match secret_type {
        TYPE_NULL => len == 0,
        TYPE_ASSOCIATION | 6 | 7 | 17 | 20 | TYPE_UPDATE_CCK => len == 32,
        TYPE_PLAINTEXT => (16..=8192).contains(&len) && len % 16 == 0,
        4 => len == 16,
        5 => len == 24,
        8 | 9 | 21 => len == 64,
        10 => len == 128,
        18 => len == 48,
        19 => len == 80,
        _ => false,
    }
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from(u16_at(bytes, at)) << 16 | u32::from(u16_at(bytes, at + 2))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) << 32 | u64::from(u32_at(bytes, at + 4))
}
