//! The secret store, and what is known of its lock.

use super::problems::Problems;
use super::report::Secrets;
use pv_guest::boot_record::{BootRecord, Topic};
use pv_guest::uv::{Device, LockState, SecretList};

/// Lists the store and tells of its lock; `None` where neither can be told, with a problem that says why.
pub fn gather(probe: bool, problems: &mut Problems) -> Option<Secrets> {
    let device = problems.ok(Device::open());
    let list = device.as_ref().and_then(|device| problems.ok(SecretList::read(device)));
    let recorded = problems.ok(BootRecord::of_this_boot().and_then(|boot| boot.load::<bool>(Topic::StoreLock)));
    let (locked, source) = match (recorded, device.filter(|_| probe)) {
        (Some(true), _) => (Some(true), Some("record")),
        (_, Some(device)) => match problems.ok(device.probe_lock()) {
            Some(LockState::Locked) => (Some(true), Some("probe")),
            Some(LockState::Unlocked) => (Some(false), Some("probe")),
            _ => (None, None),
        },
        _ => (None, None),
    };
    (list.is_some() || locked.is_some()).then(|| Secrets {
        total: list.as_ref().map(|list| list.total),
        complete: list.as_ref().map(SecretList::is_complete),
        locked,
        locked_source: source.map(str::to_owned),
        list: list.as_ref().map(SecretList::infos),
    })
}
