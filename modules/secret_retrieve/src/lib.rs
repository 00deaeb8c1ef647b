//! `secret_retrieve`: writes a retrievable secret of the store into a file.

mod dest;
mod encode;
mod memory;
pub mod options;
pub mod plan;
mod task;

use ansible_contract::{Context, Failure, Module, Outcome};
use dest::Found;
use fault::Code;
use options::{Options, Report};
use pv_guest::boot_record::BootRecord;
use pv_guest::uv::{Device, SecretList};
use task::Task;

/// The module.
#[derive(Debug)]
pub struct SecretRetrieve;

impl Module for SecretRetrieve {
    const NAME: &'static str = "secret_retrieve";
    const CODES: &'static [&'static [Code]] = &[plan::codes::ALL, pv_guest::codes::ALL];
    const HOLDS_SECRETS: bool = true;
    type Options = Options;
    type Report = Report;

    fn run(options: Options, context: &Context) -> Result<Outcome<Report>, Failure<Report>> {
        let (wanted, dest) = options.wanted()?;

        let device = Device::open()?;
        device.require_retrieve()?;
        let boot = BootRecord::of_this_boot()?;
        let list = SecretList::read(&device)?;
        let found = Found::at(dest.as_path())?;

        let secret = plan::choose(&wanted, &list);
        let task = Task::new(&options, &dest, found, &boot);
        if context.check_mode { task.predict(secret) } else { task.apply(&device, secret?) }
    }
}
