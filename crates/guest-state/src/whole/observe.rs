//! Every room observed once, with what keeps others off it meanwhile.

use super::machine::Machine;
use super::{Desired, Queues};
use crate::boot_files;
use crate::evidence;
use crate::queues::{self, Fleet};
use crate::store::Record;
use fault::{Fault, Result};
use nix::fcntl::Flock;
use pv_guest::ap::{self, Alone, Journal};
use pv_guest::boot_record::{BootRecord, Topic};
use pv_guest::firmware;
use pv_guest::uv::{Device, LockState, SecretList};
use std::fs::File;

/// What a room is observed and changed by, and the locks that keep others off until it is dropped.
#[derive(Debug)]
pub struct Hands {
    /// The ultravisor, where the store, an association or an attestation needs it.
    pub device: Option<Result<Device>>,
    /// The record of this boot.
    pub boot: BootRecord,
    store: Result<()>,
    queues: Result<()>,
    _store_lock: Option<Flock<File>>,
    _queues_lock: Option<Alone>,
}

/// The store as it was observed.
#[derive(Clone, Debug)]
pub struct StoreSeen {
    /// What is in it.
    pub list: SecretList,
    /// Which requests were handed over in this boot.
    pub record: Record,
    /// What is known of its lock.
    pub lock: LockState,
}

/// Every room that was asked for. What could not be observed is a fault of that room.
#[derive(Debug)]
pub struct Observed<'a> {
    /// Where it runs, if anything is asked of a guest.
    pub machine: Option<Machine>,
    /// The store.
    pub store: Option<Result<StoreSeen>>,
    /// The queues.
    pub fleet: Option<Result<Fleet<'a>>>,
    /// What is there for the boot.
    pub boot_files: Option<Result<boot_files::Observed>>,
    /// What is known of attestation here.
    pub evidence: Option<Result<evidence::Seen>>,
}

impl Hands {
    /// Takes what is needed. In check mode nobody is kept off.
    ///
    /// # Errors
    /// `file.record_unusable` if the kernel does not tell the boot id.
    pub fn take(desired: &Desired, check_mode: bool) -> Result<Self> {
        let boot = BootRecord::of_this_boot()?;
        let mut hands =
            Self { device: None, boot, store: Ok(()), queues: Ok(()), _store_lock: None, _queues_lock: None };
        if desired.looks_at_store() || desired.attest.is_some() {
            hands.device = Some(Device::open());
        }
        // What is said of the requests that were added must be what is measured.
        if !check_mode && (!desired.secrets.is_empty() || desired.attest.is_some()) {
            hands.store = hands.boot.alone_on_store(desired.timeout).map(|lock| hands._store_lock = Some(lock));
        }
        if let (false, Queues::Wanted(_)) = (check_mode, &desired.queues) {
            hands.queues = ap::alone(&hands.boot).map(|lock| hands._queues_lock = Some(lock));
        }
        Ok(hands)
    }

    /// Looks at every room that was asked for.
    pub fn observe(&self, desired: &Desired, check_mode: bool) -> Observed<'_> {
        let machine = desired
            .asks_of_a_guest()
            .then(|| Machine { role: firmware::role().ok(), host_keys: firmware::host_key_hashes().ok().flatten() });
        let device = self.device.as_ref().filter(|_| desired.looks_at_store());
        let store = device.map(|device| self.store(device, desired, check_mode));
        let fleet = match &desired.queues {
            Queues::Wanted(queues) => Some(self.fleet(queues, check_mode)),
            Queues::Later(_) | Queues::Any => None,
        };
        let boot_files = desired.boot_files.as_ref().map(boot_files::observe);
        let evidence = desired.attest.as_ref().map(|_| self.evidence());
        Observed { machine, store, fleet, boot_files, evidence }
    }

    /// The store. Where nothing is wanted of it, only what is in it.
    fn store(&self, device: &Result<Device>, desired: &Desired, check_mode: bool) -> Result<StoreSeen> {
        self.store.clone()?;
        let device = device.as_ref().map_err(Fault::clone)?;
        let list = SecretList::read(device)?;
        if desired.secrets.is_empty() {
            return Ok(StoreSeen { list, record: Record::default(), lock: LockState::Unknown });
        }
        let mut record: Record = self.boot.load(Topic::Requests)?;
        record.settle_by(&list);
        if let Some(asked) = desired.attest.as_ref().filter(|asked| asked.in_check_mode || !check_mode) {
            evidence::settle(asked, &evidence::observe(), device, &mut record);
        }
        Ok(StoreSeen { list, record, lock: device.probe_lock()? })
    }

    /// What is known of attestation, where there is somebody to be asked.
    fn evidence(&self) -> Result<evidence::Seen> {
        self.store.clone()?;
        if let Some(Err(fault)) = &self.device {
            return Err(fault.clone());
        }
        Ok(evidence::observe())
    }

    fn fleet(&self, desired: &queues::Desired, check_mode: bool) -> Result<Fleet<'_>> {
        self.queues.clone()?;
        let bus = queues::bus(desired.manner.timeout)?;
        let journal = if check_mode { Journal::only_read(&self.boot)? } else { Journal::open(&self.boot)? };
        Fleet::observe(&bus, journal, desired.manner)
    }
}
