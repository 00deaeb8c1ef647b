//! The whole guest: every room observed once, planned with what the rooms before it will have done, checked, and only then
//! changed. In check mode the plan is the verdict on the guest.

mod machine;
#[cfg(test)]
mod model;
mod observe;
mod plan;
#[cfg(test)]
mod properties;
mod report;
mod run;
#[cfg(test)]
mod schedules;
mod steps;

pub use machine::{Machine, codes};
pub use report::Report;
pub use run::{Answer, run};
pub use steps::{State, Step, StepReport};

use crate::lock::Guard;
use crate::{boot_files, evidence, facts, queues, store};
use fault::Fault;
use std::time::Duration;

/// What a guest is to be.
#[derive(Clone, Debug)]
pub struct Desired {
    /// SHA-256 hashes of the host keys of the machines that it may run on; empty: any.
    pub machines: Vec<[u8; 32]>,
    /// What its store holds, in order.
    pub secrets: Vec<store::Wanted>,
    /// Whether it must be known of each secret by which request it came.
    pub proved_only: bool,
    /// What must be in the store for it to be locked; `None`: it is not locked.
    pub guard: Option<Guard>,
    /// Its queues.
    pub queues: Queues,
    /// What it runs at each boot; `None`: that is left as it is.
    pub boot_files: Option<boot_files::Desired>,
    /// An attestation request that it is to answer at the end.
    pub attest: Option<evidence::Asked>,
    /// Which facts are returned beside.
    pub facts: Option<Vec<facts::Part>>,
    /// For how long a step may take.
    pub timeout: Duration,
}

impl Desired {
    /// Whether the secret store is looked at: secrets are wanted, or queues that need some.
    fn looks_at_store(&self) -> bool {
        !self.secrets.is_empty() || self.queues.needs_secrets()
    }

    /// Whether anything is asked that only a Secure Execution guest can be.
    fn asks_of_a_guest(&self) -> bool {
        let leaves_queues_alone = matches!(self.queues, Queues::Any);
        let asks_nothing = self.machines.is_empty() && self.facts.is_none() && self.attest.is_none();
        !(self.secrets.is_empty() && leaves_queues_alone && asks_nothing)
    }
}

impl Queues {
    /// Whether an entry needs a secret.
    fn needs_secrets(&self) -> bool {
        matches!(self, Self::Wanted(queues) if queues.needs_secrets())
    }
}

/// What is wanted of a guest's queues.
#[derive(Clone, Debug)]
pub enum Queues {
    /// Nothing.
    Any,
    /// This.
    Wanted(queues::Desired),
    /// Check mode: it is in a file that is not there yet.
    Later(Fault),
}

/// What a failure carries for playbooks to test, with its meaning for the docs.
pub const FAILURE_FACTS: &[(&str, &str)] = store::FAILURE_FACTS;
