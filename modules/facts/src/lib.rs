//! `facts`: what inventory and compliance ask of a Secure Execution guest. It leaves everything as it was.

mod inspect;
pub mod options;
mod problems;
mod queues;
mod secrets;
mod subset;
mod ultravisor;

use ansible_contract::{Context, Failure, Module, Outcome, warning};
use fault::{Code, Fault};
use options::{AnsibleFacts, Options, Report, SecureExecution};
use problems::{Problems, codes};
use pv_guest::firmware::{self, Role};
use pv_guest::sysfs;
use std::path::Path;
use std::time::{Duration, SystemTime};
use subset::Part;

/// The module.
#[derive(Debug)]
pub struct Facts;

impl Module for Facts {
    const NAME: &'static str = "facts";
    const CODES: &'static [&'static [Code]] = &[codes::ALL, pv_guest::codes::ALL];
    type Options = Options;
    type Report = Report;

    fn run(options: Options, context: &Context) -> Result<Outcome<Report>, Failure<Report>> {
        let parts = subset::parts(&options.gather_subset)?;
        let mut warnings = Vec::new();
        let inspect = options.bind_to_inspect && !context.check_mode;
        if options.bind_to_inspect && context.check_mode {
            warnings.push(warning(&Fault::new(
                codes::INSPECT_SKIPPED,
                "Check mode binds no queue, so bind_to_inspect was ignored.",
            )));
        }

        let mut problems = Problems::default();
        let role = problems.take(&firmware::path("prot_virt_guest"), firmware::role());
        let has = |part| parts.contains(&part);
        let boot_id = problems.take(Path::new("/proc/sys/kernel/random/boot_id"), sysfs::boot_id());
        let ultravisor =
            (has(Part::Ultravisor) && firmware::path("").is_dir()).then(|| ultravisor::gather(&mut problems));
        // Elsewhere than in a guest there is no store, and that is no problem.
        let wants_secrets = has(Part::Secrets) && role == Some(Role::Guest);
        let secrets = wants_secrets.then(|| secrets::gather(options.probe_lock, &mut problems)).flatten();
        let timeout = Duration::from_secs(options.timeout);
        let ap = has(Part::Ap).then(|| queues::gather(timeout, inspect, &mut problems));

        let facts = SecureExecution {
            role: role.map(word),
            boot_id,
            gathered_at: now(),
            self_reported: true,
            ultravisor,
            secrets,
            ap,
            problems: problems.into_list(),
        };
        let msg = format!(
            "Facts gathered, role: {}; problems: {}.",
            facts.role.as_deref().unwrap_or("unknown"),
            facts.problems.len()
        );
        let report = Report { ansible_facts: AnsibleFacts { ansible_secure_execution: facts } };
        Ok(Outcome { changed: false, msg, warnings, diff: Vec::new(), predicted_partial: false, report })
    }
}

fn word(role: Role) -> String {
    match role {
        Role::Guest => "guest",
        Role::Host => "host",
        Role::None => "none",
    }
    .to_owned()
}

fn now() -> String {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    pv_wire::iso8601(i64::try_from(since.as_secs()).unwrap_or(0))
}
