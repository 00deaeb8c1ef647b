//! Whether the store is locked, found out without changing it.

use super::device::{Add, Device, Lock, Request};
use fault::Result;
use pv_wire::layout;

/// What is known of the lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockState {
    /// The ultravisor said so (0x0102): since a lock every add fails with it.
    Locked,
    /// Inferred: the probe was refused for its form. That a locked store would have been named first is not
    /// documented.
    Unlocked,
    /// The answer tells nothing.
    Unknown,
}

impl Device {
    /// Asks with an add-secret call that can never be accepted: the right magic and sizes, an unsupported version
    /// and no host key. It is one constant block, never a variation of a real request, and is sent only where
    /// both add and lock are offered.
    ///
    /// # Errors
    /// Only those of asking which calls there are; any answer to the probe itself is a [`LockState`].
    pub fn probe_lock(&self) -> Result<LockState> {
        if !(self.offers::<Add>()? && self.offers::<Lock>()?) {
            return Ok(LockState::Unknown);
        }
        let block = probe();
        let Some(request) = Request::new(&block) else { return Ok(LockState::Unknown) };
        Ok(match self.ask::<Add>(request).map(|answer| answer.rc) {
            Ok(0x0102) => LockState::Locked,
            Ok(0x0104 | 0x0106) => LockState::Unlocked,
            _ => LockState::Unknown,
        })
    }
}

pub(super) fn probe() -> Vec<u8> {
    let mut block = Vec::with_capacity(layout::SLOTS);
    block.extend_from_slice(&layout::MAGIC);
    block.extend_from_slice(&[0; 2]);
    block.extend_from_slice(&u32::MAX.to_be_bytes());
    block.extend_from_slice(&(layout::SLOTS as u32).to_be_bytes());
    block.resize(layout::SLOTS, 0);
    block
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_probe_can_never_be_a_request() {
        let block = probe();
        assert_eq!(block.len(), 0x4b8);
        assert_eq!(block[..16], *b"asrcbM\0\0\xff\xff\xff\xff\0\0\x04\xb8");
        assert!(block[16..].iter().all(|b| *b == 0));
        assert!(pv_wire::RequestView::parse(&block).is_err());
    }
}
