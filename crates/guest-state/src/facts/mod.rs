//! What a system says of itself, for inventory and compliance. It is left as it was.

mod inspect;
mod problems;
mod queues;
mod report;
mod secrets;
mod subset;
mod ultravisor;

pub use problems::codes;
pub use report::{AnsibleFacts, Report, SecureExecution};
pub use subset::{Part, parts};

use problems::Problems;
use pv_guest::firmware::{self, Role};
use pv_guest::sysfs;
use std::path::Path;
use std::time::{Duration, SystemTime};

/// How to ask.
#[derive(Clone, Copy, Debug)]
pub struct Manner {
    /// Ask the ultravisor for the lock where no record says it.
    pub probe_lock: bool,
    /// Bind queues for a moment to see what only a bound queue shows.
    pub bind_to_inspect: bool,
    /// For how long one card is waited for, and each step of binding.
    pub timeout: Duration,
}

/// Asks for these parts.
pub fn gather(parts: &[Part], manner: Manner) -> Report {
    let mut problems = Problems::default();
    let role = problems.take(&firmware::path("prot_virt_guest"), firmware::role());
    let has = |part| parts.contains(&part);
    let boot_id = problems.take(Path::new("/proc/sys/kernel/random/boot_id"), sysfs::boot_id());
    let ultravisor = (has(Part::Ultravisor) && firmware::path("").is_dir()).then(|| ultravisor::gather(&mut problems));
    // Elsewhere than in a guest there is no store, and that is no problem.
    let wants_secrets = has(Part::Secrets) && role == Some(Role::Guest);
    let secrets = wants_secrets.then(|| secrets::gather(manner.probe_lock, &mut problems)).flatten();
    let ap = has(Part::Ap).then(|| queues::gather(manner.timeout, manner.bind_to_inspect, &mut problems));
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
    Report { ansible_facts: AnsibleFacts { ansible_secure_execution: facts } }
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
