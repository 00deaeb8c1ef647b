//! The ultravisor: decrypts requests, keeps the secrets of one start of the guest.
//!
//! Rules marked [src] are from s390-tools, the Linux kernel or IBM's documentation of Secure Execution; those that
//! nobody can verify without hardware are switches of the scenario.

mod attest;
mod info;
pub mod rc;
mod request;
#[cfg(test)]
mod tests;

use anyhow::{Context, Result};
use zeroize::Zeroizing;

pub use attest::{Ask, Measured};
pub use info::Info;
pub use rc::Rc;
pub use request::TYPE_ASSOCIATION;
use request::{Content, Request, TYPE_NULL, TYPE_PLAINTEXT, TYPE_UPDATE_CCK};

use crate::ap::Target;
use crate::crypto::{self, HostKey};
use crate::hex;
use crate::image::Image;
use crate::random::Random;
use crate::spec::{Switches, Uv};

/// Entries of a list that fit into one page behind its header.
const ENTRIES_PER_PAGE: usize = 85;
const LIST_HEADER_LEN: usize = 16;

/// Hashes that the query-keys call gives.
pub const KEY_SLOTS: usize = 15;

/// A listed secret of the store.
pub struct Secret {
    /// Type number.
    pub secret_type: u16,
    /// Id.
    pub id: [u8; 32],
    value: Zeroizing<Vec<u8>>,
}

impl std::fmt::Debug for Secret {
    /// Nothing of what it holds: there are secrets in it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Secret").finish_non_exhaustive()
    }
}

impl Secret {
    /// Its length in the list: that of what the retrieve call gives (Linux arch/s390/kernel/uv.c: the size of the
    /// buffer is taken from the list). A protected key has a verification pattern behind it.
    fn retrieved_len(&self) -> usize {
        match self.secret_type {
            TYPE_ASSOCIATION | TYPE_PLAINTEXT => self.value.len(),
            _ => self.value.len() + crypto::WRAPPING_PATTERN_LEN,
        }
    }
}

/// The ultravisor as one guest meets it.
#[derive(Debug)]
pub struct Ultravisor {
    /// What the scenario says of it.
    pub spec: Uv,
    /// Unverifiable rules.
    pub switches: Switches,
    host: HostKey,
    image: Image,
    binding: [u8; 208],
    header_tag: [u8; 16],
    random: Random,
    start: Start,
}

/// What lives until the next boot.
struct Start {
    cuid: [u8; 16],
    cck: Zeroizing<[u8; 32]>,
    wrapping_key: Zeroizing<[u8; 32]>,
    secrets: Vec<Secret>,
    locked: bool,
    primed: Option<Zeroizing<[u8; 32]>>,
    dump_disabled: bool,
    tags: Vec<[u8; 16]>,
}

impl std::fmt::Debug for Start {
    /// Nothing of what it holds: there are secrets in it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Start").finish_non_exhaustive()
    }
}

impl Start {
    fn new(spec: &Uv, image: &Image, random: &Random) -> Result<Self> {
        let cuid = match &spec.cuid {
            Some(text) => hex::decode(text).context("ultravisor.cuid is not 32 hex digits")?,
            None => random.bytes(),
        };
        Ok(Self {
            cuid,
            cck: image.cck()?,
            wrapping_key: Zeroizing::new(random.bytes()),
            secrets: Vec::new(),
            locked: false,
            primed: None,
            dump_disabled: false,
            tags: Vec::new(),
        })
    }
}

impl Ultravisor {
    /// The ultravisor of a guest that has just been started from `image`.
    pub fn new(spec: Uv, switches: Switches, host: HostKey, image: Image) -> Result<Self> {
        let random = Random::new(spec.seed);
        let start = Start::new(&spec, &image, &random)?;
        let (binding, header_tag) = (image.binding()?, image.tag()?);
        Ok(Self { spec, switches, host, image, binding, header_tag, random, start })
    }

    /// The guest starts again: the store is empty and open.
    pub fn reboot(&mut self) -> Result<()> {
        self.start = Start::new(&self.spec, &self.image, &self.random)?;
        Ok(())
    }

    /// Whether the store is locked.
    pub fn locked(&self) -> bool {
        self.start.locked
    }

    /// Whether a request has switched dumps off.
    pub fn dump_disabled(&self) -> bool {
        self.start.dump_disabled
    }

    /// The configuration unique id of this start.
    pub fn cuid(&self) -> [u8; 16] {
        self.start.cuid
    }

    /// The secrets by index.
    pub fn secrets(&self) -> &[Secret] {
        &self.start.secrets
    }

    /// What the firmware of queues knows of the secret with an index.
    pub fn target(&self, index: u16) -> Target {
        let association = |secret: &&Secret| secret.secret_type == TYPE_ASSOCIATION;
        let secrets = || self.start.secrets.iter().filter(association);
        let Some(secret) = self.start.secrets.get(usize::from(index)).filter(association) else { return Target::None };
        if secrets().filter(|other| other.id == secret.id).count() > 1 { Target::Doubled } else { Target::Unique }
    }

    /// Tags of the requests accepted in this start, in order; requests without a listed secret are among them.
    pub fn accepted_tags(&self) -> &[[u8; 16]] {
        &self.start.tags
    }

    /// SHA-256 of the public host key.
    pub fn host_key_hash(&self) -> [u8; 32] {
        self.host.hash()
    }

    /// Query-keys call: SHA-256 of the public host key, of the backup host key, and zeros where there is no key.
    pub fn key_hashes(&self) -> [[u8; 32]; KEY_SLOTS] {
        let mut hashes = [[0; 32]; KEY_SLOTS];
        hashes[0] = self.host.hash();
        hashes[1] = self.spec.backup_host_key_hash.as_deref().and_then(hex::decode).unwrap_or_default();
        hashes
    }

    /// Add-secret call on the request at the start of `buffer`.
    pub fn add(&mut self, buffer: &[u8]) -> Rc {
        match self.try_add(buffer) {
            Ok(()) => Rc::SUCCESS,
            Err(rc) => rc,
        }
    }

    fn try_add(&mut self, buffer: &[u8]) -> Result<(), Rc> {
        let (spec, switches) = (&self.spec, &self.switches);
        if !spec.secrets {
            return Err(Rc::INVALID_COMMAND);
        }
        // [src] The driver's documentation: after a lock every add fails with this code.
        if self.start.locked {
            return Err(Rc::LOCKED);
        }
        if spec.dump_in_progress {
            return Err(Rc::DUMPING);
        }
        let request = Request::read(buffer, &switches.check_order, spec.request_flags)?;
        let secret_type = request.secret_type();
        if switches.full_before_decryption {
            self.room_for(secret_type)?;
        }
        let content = request.decrypt(&self.host).ok_or(Rc::UNDECRYPTABLE)?;
        if request.binding() != self.binding {
            let constraint = switches.other_image_is_constraint;
            return Err(if constraint { Rc::CONSTRAINT } else { Rc::UNDECRYPTABLE });
        }
        if request.cuid() != [0; 16] && request.cuid() != self.start.cuid {
            let undecryptable = switches.other_cuid_is_undecryptable;
            return Err(if undecryptable { Rc::UNDECRYPTABLE } else { Rc::CONSTRAINT });
        }
        if !spec.secret_types.contains(&secret_type) {
            return Err(Rc::UNSUPPORTED_SECRET);
        }
        if !request::length_fits(secret_type, content.secret.len()) {
            return Err(Rc::SECRET_LENGTH);
        }
        self.check_extension(&content)?;
        if secret_type == TYPE_UPDATE_CCK && !self.image.allow_cck_update {
            return Err(Rc::CONSTRAINT);
        }
        self.room_for(secret_type)?;
        self.accept(&request, content);
        Ok(())
    }

    /// [src] The first accepted request primes the store: all later ones must bring the same 32 bytes. An image can
    /// insist on the value derived from its CCK; otherwise a derived value is just a value.
    fn check_extension(&self, content: &Content) -> Result<(), Rc> {
        let enforced = self.image.enforce_extension_secret;
        if enforced && content.extension != crypto::derived_extension_secret(&self.start.cck, &self.header_tag) {
            return Err(Rc::CONSTRAINT);
        }
        match &self.start.primed {
            Some(primed) if *primed != content.extension => Err(Rc::CONSTRAINT),
            _ => Ok(()),
        }
    }

    fn room_for(&self, secret_type: u16) -> Result<(), Rc> {
        let association = |secret: &&Secret| secret.secret_type == TYPE_ASSOCIATION;
        let associations = self.start.secrets.iter().filter(association).count();
        let full = match secret_type {
            TYPE_NULL | TYPE_UPDATE_CCK => false,
            TYPE_ASSOCIATION => associations >= usize::from(self.spec.max_assoc_secrets),
            _ => self.start.secrets.len() - associations >= usize::from(self.spec.max_retr_secrets),
        };
        if full { Err(Rc::FULL) } else { Ok(()) }
    }

    fn accept(&mut self, request: &Request<'_>, content: Content) {
        let start = &mut self.start;
        start.tags.push(request.tag());
        start.dump_disabled |= request.flags() & (1 << 63) != 0;
        start.primed = Some(content.extension);
        match request.secret_type() {
            TYPE_NULL => {}
            TYPE_UPDATE_CCK => {
                start.cck.copy_from_slice(&content.secret);
                if self.switches.cck_update_unprimes {
                    start.primed = None;
                }
            }
            secret_type => start.secrets.push(Secret { secret_type, id: request.id(), value: content.secret }),
        }
    }

    /// List call: header and entries from index `start` on for `pages` pages. Entries of further pages follow without
    /// another header, as the kernel that takes several pages puts them together.
    pub fn list(&self, start: u16, pages: usize) -> (Rc, Vec<u8>) {
        if !self.spec.secrets {
            return (Rc::INVALID_COMMAND, vec![0; LIST_HEADER_LEN]);
        }
        let secrets = &self.start.secrets;
        let start = usize::from(start).min(secrets.len());
        let stored = (secrets.len() - start).min(ENTRIES_PER_PAGE.saturating_mul(pages));
        let next = start + stored;
        let more = next < secrets.len();
        let mut list = Vec::with_capacity(LIST_HEADER_LEN + 48 * stored);
        for number in [stored, secrets.len(), if more { next } else { 0 }] {
            list.extend_from_slice(&as_u16(number).to_be_bytes());
        }
        list.resize(LIST_HEADER_LEN, 0);
        for (index, secret) in secrets.iter().enumerate().skip(start).take(stored) {
            list.extend_from_slice(&as_u16(index).to_be_bytes());
            list.extend_from_slice(&secret.secret_type.to_be_bytes());
            list.extend_from_slice(&[0, 0]);
            list.extend_from_slice(&as_u16(secret.retrieved_len()).to_be_bytes());
            list.extend_from_slice(&[0; 8]);
            list.extend_from_slice(&secret.id);
        }
        (if more { Rc::MORE_DATA } else { Rc::SUCCESS }, list)
    }

    /// Lock call: no change to the store until the next boot.
    pub fn lock(&mut self) -> Rc {
        if !self.spec.secrets {
            return Rc::INVALID_COMMAND;
        }
        if self.start.locked {
            return Rc::LOCKED;
        }
        self.start.locked = true;
        Rc::SUCCESS
    }

    /// Retrieve call: the secret with that index for a buffer of `room` bytes. Plaintext comes as it was put in, keys
    /// come as protected keys.
    pub fn retrieve(&self, index: u16, room: usize) -> (Rc, Zeroizing<Vec<u8>>) {
        let nothing = |rc| (rc, Zeroizing::new(Vec::new()));
        if !(self.spec.secrets && self.spec.retrieve) {
            return nothing(Rc::INVALID_COMMAND);
        }
        if self.start.secrets.is_empty() {
            return nothing(Rc::STORE_EMPTY);
        }
        let Some(secret) = self.start.secrets.get(usize::from(index)) else {
            return nothing(Rc::NO_SUCH_INDEX);
        };
        let value = match secret.secret_type {
            TYPE_ASSOCIATION => return nothing(Rc::NOT_RETRIEVABLE),
            TYPE_PLAINTEXT => secret.value.clone(),
            _ => {
                let salt = if self.switches.fresh_wrapping { self.random.bytes() } else { [0; 32] };
                crypto::protected_key(&secret.value, &self.start.wrapping_key, &salt)
            }
        };
        if value.len() > room { nothing(Rc::BUFFER_TOO_SMALL) } else { (Rc::SUCCESS, value) }
    }
}

/// Numbers of the list are 16 bits wide; the limits of the store are too, so nothing is ever cut off.
fn as_u16(number: usize) -> u16 {
    u16::try_from(number).unwrap_or(u16::MAX)
}
