//! `secret_add`: hands add-secret requests to the ultravisor, those whose secrets are missing.

mod apply;
pub mod options;
mod plan;
mod record;
mod request;

use ansible_contract::{Context, Failure, Module, Outcome};
use apply::Apply;
use fault::Code;
use options::{Options, Report};
use pv_guest::boot_record::{BootRecord, Topic};
use pv_guest::uv::{Device, SecretList};
use record::Record;
use std::time::Duration;

/// The module.
#[derive(Debug)]
pub struct SecretAdd;

impl Module for SecretAdd {
    const NAME: &'static str = "secret_add";
    const CODES: &'static [&'static [Code]] = &[plan::codes::ALL, pv_wire::codes::ALL, pv_guest::codes::ALL];
    const FAILURE_FACTS: &'static [(&'static str, &'static str)] = &[
        ("reboot_required", "True if the store is locked and a secret is missing: only a reboot of the guest helps."),
        (
            "host_key_match",
            "With code C(uv.request_not_for_this_guest): whether the request has a slot for this host's key; null where the kernel does not tell the host's keys.",
        ),
    ];
    type Options = Options;
    type Report = Report;

    fn run(options: Options, context: &Context) -> Result<Outcome<Report>, Failure<Report>> {
        let (force, timeout) = (options.force, Duration::from_secs(options.timeout));
        let (requests, missing) = apply::load(request::sources(options)?, context)?;

        let device = Device::open()?;
        let boot = BootRecord::of_this_boot()?;
        // Held to the end: of two runs at once the second sees what the first added.
        let _alone = if context.check_mode { None } else { Some(boot.alone_on_store(timeout)?) };
        let list = SecretList::read(&device)?;
        let record: Record = boot.load(Topic::Requests)?;

        let loaded: Vec<_> = requests.iter().map(|(_, loaded)| loaded.clone()).collect();
        let plan = plan::plan(&loaded, &list, &record, force)?;

        let apply = Apply { device: &device, boot: &boot, timeout };
        if context.check_mode {
            apply.predict(requests, missing, plan, &list)
        } else {
            apply.run(requests, plan, record, list)
        }
    }
}
