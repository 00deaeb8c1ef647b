//! What kernel and ultravisor answer, as numbers and not judged: for `tests/hardware`, which finds out what nobody documents.

use super::device::{Add, Attest, Call, Device, Info, InfoWords, List, Lock, Pages, Request, Retrieve, Retrieved};
use super::probe::probe;
use fault::{Answer, Result};
use pv_wire::layout;
use zeroize::Zeroizing;

/// The two words of the info call; bit n from the right is call n of the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Calls {
    /// What the kernel's device knows.
    pub device: u64,
    /// What the ultravisor offers, as the kernel says.
    pub ultravisor: u64,
}

impl Calls {
    /// Bit of the call that attests.
    pub const ATTEST: u64 = 1 << Attest::NUMBER;
    /// Bit of the call that adds a secret.
    pub const ADD: u64 = 1 << Add::NUMBER;
    /// Bit of the call that lists the secrets.
    pub const LIST: u64 = 1 << List::NUMBER;
    /// Bit of the call that locks the store.
    pub const LOCK: u64 = 1 << Lock::NUMBER;
    /// Bit of the call that retrieves a secret.
    pub const RETRIEVE: u64 = 1 << Retrieve::NUMBER;
}

/// One thing that is wrong with the form of a request, each of which has a return code of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// A version that does not exist.
    Version,
    /// A size of the encrypted part that contradicts the others.
    Size,
    /// No slot for a host key.
    HostKeys,
    /// A flag that does not exist.
    Flags,
}

impl Device {
    /// What the info call tells.
    ///
    /// # Errors
    /// As any call.
    pub fn calls(&self) -> Result<Calls> {
        let mut words = InfoWords::default();
        self.call::<Info>(&mut words)?;
        Ok(Calls { device: words.device, ultravisor: words.ultravisor })
    }

    /// The answer to the block that [`Device::probe_lock`] sends.
    pub fn answer_to_probe(&self) -> Answer {
        let block = probe();
        Request::new(&block).map(|request| self.answer_to_add(request)).unwrap_or_default()
    }

    /// The answer to a request whose form is wrong in these two ways, or in one if they are the same. There is no key and no
    /// secret in it, so it could not be opened either.
    pub fn answer_to_malformed(&self, one: Malformed, other: Malformed) -> Answer {
        let block = malformed(&[one, other]);
        Request::new(&block).map(|request| self.answer_to_add(request)).unwrap_or_default()
    }

    /// The answer to an add-secret request.
    pub fn answer_to_add(&self, request: Request<'_>) -> Answer {
        self.raw::<Add>(request)
    }

    /// The answer to a list call with this room.
    pub fn answer_to_list(&self, pages: &mut Pages) -> Answer {
        self.raw::<List>(pages)
    }

    /// The answer to the lock call.
    pub fn answer_to_lock(&self) -> Answer {
        self.raw::<Lock>(())
    }

    /// The answer to the call that retrieves the secret of an index into so much room, and what is in that room then.
    pub fn answer_to_retrieve(&self, index: u16, room: usize) -> (Answer, Zeroizing<Vec<u8>>) {
        let mut room = Retrieved(Zeroizing::new(vec![0; room.max(2)]));
        if let Some(first) = room.0.first_chunk_mut() {
            *first = index.to_be_bytes();
        }
        (self.raw::<Retrieve>(&mut room), room.0)
    }

    fn raw<C: Call>(&self, buffer: C::Buffer<'_>) -> Answer {
        match self.ask::<C>(buffer) {
            Ok(given) => Answer { uv_rc: Some(given.rc), uv_rrc: Some(given.rrc), errno: None },
            Err(errno) => Answer { errno: Some(errno as i32), ..Answer::default() },
        }
    }
}

/// A request for an association secret of zeros, encrypted with no key, with these faults.
fn malformed(faults: &[Malformed]) -> Vec<u8> {
    const PAYLOAD: usize = 32;
    let is = |fault| faults.contains(&fault);
    let slots = usize::from(!is(Malformed::HostKeys));
    let header = layout::SLOTS + slots * layout::SLOT_LEN;
    let encrypted = PAYLOAD + layout::EXTENSION_SECRET_LEN;
    let total = header + layout::SECRET_HEADER_LEN + encrypted + layout::TAG_LEN;
    let version = if is(Malformed::Version) { u32::MAX } else { layout::VERSION };
    let mut block = vec![0; total];
    let mut put = |at: usize, bytes: &[u8]| block.iter_mut().skip(at).zip(bytes).for_each(|(to, from)| *to = *from);
    put(0, &layout::MAGIC);
    put(layout::REQUEST_VERSION, &version.to_be_bytes());
    put(layout::LENGTH, &(total as u32).to_be_bytes());
    put(layout::SLOT_COUNT, &[slots as u8]);
    put(layout::ENCRYPTED_SIZE, &((encrypted + usize::from(is(Malformed::Size))) as u32).to_be_bytes());
    put(layout::FLAGS, &u64::from(is(Malformed::Flags)).to_be_bytes());
    // 2 reserved, the type, the size of the secret.
    put(header + 2, &pv_wire::SecretType::ASSOCIATION.0.to_be_bytes());
    put(header + 4, &(PAYLOAD as u32).to_be_bytes());
    block
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_fault_makes_a_request_that_is_none_and_without_any_it_would_be_well_formed() {
        assert!(pv_wire::RequestView::parse(&malformed(&[])).is_ok());
        for fault in [Malformed::Version, Malformed::Size, Malformed::HostKeys] {
            assert!(pv_wire::RequestView::parse(&malformed(&[fault])).is_err(), "{fault:?}");
        }
        assert_eq!(malformed(&[Malformed::Flags])[layout::FLAGS + 7], 1);
    }

    #[test]
    fn calls_are_told_by_the_numbers_of_the_device() {
        assert_eq!([Calls::ATTEST, Calls::ADD, Calls::LIST, Calls::LOCK, Calls::RETRIEVE], [2, 4, 8, 16, 32]);
    }
}
