//! The secret store, and what is known of its lock.

use crate::options::Secrets;
use crate::problems::Problems;
use pv_guest::boot_record::{BootRecord, Topic};
use pv_guest::uv::{Device, LockState, SecretList};

/// Lists the store; `None` with a problem where that cannot be done.
pub fn gather(probe: bool, problems: &mut Problems) -> Option<Secrets> {
    let device = problems.ok(Device::open())?;
    let list = problems.ok(SecretList::read(&device))?;
    let recorded = problems.ok(BootRecord::of_this_boot().and_then(|boot| boot.load::<bool>(Topic::StoreLock)));
    let (locked, source) = match recorded {
        Some(true) => (Some(true), Some("record")),
        _ if probe => match problems.ok(device.probe_lock()) {
            Some(LockState::Locked) => (Some(true), Some("probe")),
            Some(LockState::Unlocked) => (Some(false), Some("probe")),
            _ => (None, None),
        },
        _ => (None, None),
    };
    Some(Secrets {
        total: list.total,
        complete: list.is_complete(),
        locked,
        locked_source: source.map(str::to_owned),
        list: list.infos(),
    })
}
