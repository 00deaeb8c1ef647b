//! `secret_add`: hands add-secret requests to the ultravisor, those whose secrets are missing.

pub mod options;

use ansible_contract::{Context, Failure, Module, Outcome};
use fault::Code;
use guest_state::store::{self, Apply, Record, Report};
use options::Options;
use pv_guest::boot_record::{BootRecord, Topic};
use pv_guest::uv::{Device, LockState, SecretList};
use std::time::Duration;

/// The module.
#[derive(Debug)]
pub struct SecretAdd;

impl Module for SecretAdd {
    const NAME: &'static str = "secret_add";
    const CODES: &'static [&'static [Code]] = &[store::codes::ALL, pv_wire::codes::ALL, pv_guest::codes::ALL];
    const FAILURE_FACTS: &'static [(&'static str, &'static str)] = store::FAILURE_FACTS;
    type Options = Options;
    type Report = Report;

    fn run(options: Options, context: &Context) -> Result<Outcome<Report>, Failure<Report>> {
        let timeout = Duration::from_secs(options.timeout);
        let wanted = options::wanted(options, context.check_mode)?;

        let device = Device::open()?;
        let boot = BootRecord::of_this_boot()?;
        // Held to the end: of two runs at once the second sees what the first added.
        let _alone = if context.check_mode { None } else { Some(boot.alone_on_store(timeout)?) };
        let mut list = SecretList::read(&device)?;
        let mut record: Record = boot.load(Topic::Requests)?;
        record.settle_by(&list);

        let plan = store::plan(&wanted, &list, &record)?;

        if context.check_mode {
            let lock = if plan.first_add().is_some() { device.probe_lock()? } else { LockState::Unknown };
            store::predict(&wanted, &plan, &list, lock)
        } else {
            Apply { device: &device, boot: &boot, timeout }.run(&wanted, &plan, record, &mut list)
        }
    }
}
