//! `secret_lock`: locks the secret store once it holds what it must hold.

pub mod options;

use ansible_contract::{Context, Failure, Module, Outcome, warning};
use fault::Code;
use guest_state::lock::{self, Report, codes};
use options::Options;
use pv_guest::boot_record::BootRecord;
use pv_guest::uv::Device;
use std::time::Duration;

/// For how long another task that works on the store is waited for.
const PATIENCE: Duration = Duration::from_secs(30);

/// The module.
#[derive(Debug)]
pub struct SecretLock;

impl Module for SecretLock {
    const NAME: &'static str = "secret_lock";
    const CODES: &'static [&'static [Code]] = &[codes::ALL, pv_guest::codes::ALL];
    const FAILURE_FACTS: &'static [(&'static str, &'static str)] = lock::FAILURE_FACTS;
    type Options = Options;
    type Report = Report;

    fn run(options: Options, context: &Context) -> Result<Outcome<Report>, Failure<Report>> {
        let guard = options::guard(options)?;

        let device = Device::open()?;
        let boot = BootRecord::of_this_boot()?;
        // Held to the end: what is compared is what is locked, as far as secret_add is concerned.
        let _alone = if context.check_mode { None } else { Some(boot.alone_on_store(PATIENCE)?) };
        let (list, state) = lock::observe(&device)?;

        match lock::plan(&guard, &list, state) {
            Err(fault) if context.check_mode && fault.code == codes::LOCK_GUARD => {
                // Only a prediction, as long as an earlier task of the play may still add what is missing.
                let mut outcome = lock::predict(&lock::Plan::Lock, &list, state);
                outcome.predicted_partial = true;
                outcome.warnings = vec![warning(&fault)];
                Ok(outcome)
            }
            Err(fault) => Err(lock::unmet(fault, &list, state)),
            Ok(plan) if context.check_mode => Ok(lock::predict(&plan, &list, state)),
            Ok(plan) => lock::apply(&guard, &plan, &device, &boot),
        }
    }
}
