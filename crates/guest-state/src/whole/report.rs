//! What is told of the whole guest.

use super::steps::StepReport;
use crate::facts::AnsibleFacts;
use crate::queues::{EntryReport, QueueReport, Status};
use crate::store::Added;
use crate::{boot_files, evidence, lock, queues, store};
use pv_guest::uv::SecretInfo;
use serde::Serialize;

/// The state of the guest. Parts that were not asked for are null.
#[derive(Clone, Debug, Default, Serialize)]
#[cfg_attr(feature = "docs", derive(schemars::JsonSchema))]
pub struct Report {
    /// The steps that were asked for, in their order: V(machine), V(add), V(verify), V(lock), V(bind), V(at_boot),
    /// V(attest).
    pub steps: Vec<StepReport>,
    /// One entry for each of O(secrets), in their order, as M(seguest.pv.secret_add) returns them.
    pub requests: Option<Vec<Added>>,
    /// The secrets in the store.
    pub secrets: Option<Vec<SecretInfo>>,
    /// How many secrets are in the store; more than are listed if the kernel shows only a part.
    pub total: Option<u16>,
    /// The state of the lock.
    pub lock: Option<Locked>,
    /// How each of O(queues) is served, in their order, as M(seguest.pv.ap_bind) returns them.
    pub entries: Option<Vec<EntryReport>>,
    /// All queues that the guest has, by APQN, as M(seguest.pv.ap_bind) returns them.
    pub queues: Option<Vec<QueueReport>>,
    /// Queues that were bound only to read their MKVP, and released again. This is not a change.
    pub inspected: Option<Vec<String>>,
    /// What the guest runs at each boot.
    pub at_boot: Option<boot_files::Report>,
    /// The answer to O(attest), as M(seguest.pv.attest) returns it.
    pub attestation: Option<evidence::Report>,
    /// The warnings, with O(note_warnings).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub noted: Option<Vec<String>>,
    /// The facts that O(gather_subset) asks for, as M(seguest.pv.facts) returns them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ansible_facts: Option<AnsibleFacts>,
}

/// The state of the lock.
#[derive(Clone, Debug, Default, Serialize)]
#[cfg_attr(feature = "docs", derive(schemars::JsonSchema))]
pub struct Locked {
    /// Whether the secret store is locked now; null if that cannot be known (check mode).
    pub locked: Option<bool>,
}

impl Report {
    /// What was only planned is taken back: nothing of it was done.
    pub fn nothing_written(&mut self) {
        for request in self.requests.iter_mut().flatten() {
            request.changed = false;
        }
        for entry in self.entries.iter_mut().flatten().filter(|entry| entry.status != Status::Served) {
            (entry.status, entry.apqn) = (Status::Unserved, None);
        }
        for queue in self.queues.iter_mut().flatten() {
            queue.after = queue.before.clone();
        }
        (self.at_boot, self.attestation) = (None, None);
    }

    /// Takes up what is told of the store.
    pub fn store(&mut self, report: Option<store::Report>) {
        let Some(store::Report { requests, secrets, total }) = report else { return };
        (self.requests, self.secrets, self.total) = (Some(requests), Some(secrets), Some(total));
    }

    /// Takes up what is told of the lock.
    pub fn lock(&mut self, report: Option<lock::Report>) {
        self.lock = report.map(|report| Locked { locked: report.locked }).or(self.lock.take());
    }

    /// Takes up what is told of the queues.
    pub fn queues(&mut self, report: Option<queues::Report>) {
        let Some(queues::Report { entries, queues, inspected }) = report else { return };
        (self.entries, self.queues, self.inspected) = (Some(entries), Some(queues), Some(inspected));
    }
}
