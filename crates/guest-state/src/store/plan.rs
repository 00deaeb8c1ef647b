//! Which requests to add: a pure function of what is wanted, the store and the record of this boot.

use super::record::{Fate, Record};
use super::report::Evidence;
use super::request::{Given, Loaded, Wanted};
use super::requirement::Requirement;
use fault::{Fault, Result};
use pv_guest::codes as uv;
use pv_guest::uv::{LockState, Secret, SecretList};
use pv_wire::SecretType;

pub mod codes {
    //! Codes of this room's own.
    fault::codes! {
        OUTCOME_UNKNOWN = "uv.outcome_unknown", "An earlier run handed this request to the ultravisor, and ended before it recorded the answer; nothing shows whether it was added.";
        OUTCOME_FOUND = "uv.outcome_found", "An earlier run ended before it recorded the ultravisor's answer to this request; the store shows whether it was added.";
        MAY_DIFFER = "uv.secret_may_differ", "The secret in the store was added by another request of the same type and id: its value may differ.";
        NOT_PROVED = "uv.secret_not_proved", "Only an id shows that a secret in the store is the right one, and proved_only requires more.";
        OTHER_SECRET = "request.other_secret", "A request is for a secret other than the name or id given with it.";
    }
}

/// Whether a fault of this code is only that nothing shows of a request whether it was added.
pub fn is_unknown(code: &str) -> bool {
    code == codes::OUTCOME_UNKNOWN.name
}

/// What to do about one secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// It is in the store (or, for types that are never listed, was handed over in this boot).
    Present(Evidence),
    /// Its request is to be added.
    Add,
    /// Check mode: its request is not there yet.
    Later,
    /// It has no request and is not in the store.
    Missing,
    /// Nothing shows whether its request was added already, so nothing is done with it.
    Unknown(Fault),
}

/// The step for one secret, and what the operator should know of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planned {
    /// What to do.
    pub step: Step,
    /// Warnings.
    pub warnings: Vec<Fault>,
}

/// The steps for all secrets, in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan(pub Vec<Planned>);

impl Plan {
    /// The first request that is to be added, by its place.
    pub fn first_add(&self) -> Option<usize> {
        self.0.iter().position(|planned| planned.step == Step::Add)
    }

    /// The first that is to be added, or may have to be.
    pub fn first_change(&self) -> Option<usize> {
        self.0.iter().position(|planned| matches!(planned.step, Step::Add | Step::Later))
    }

    /// Whether nothing is to be done.
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|planned| matches!(planned.step, Step::Present(_) | Step::Missing | Step::Unknown(_)))
    }

    /// The first request of which nothing shows whether it was added, by its place.
    pub fn first_unknown(&self) -> Option<(usize, &Fault)> {
        self.0.iter().enumerate().find_map(|(at, planned)| match &planned.step {
            Step::Unknown(fault) => Some((at, fault)),
            _ => None,
        })
    }

    /// The fault that a locked store is for this plan. A request that is not there yet cannot help a locked store either, if
    /// its secret is known not to be in it.
    ///
    /// # Errors
    /// `uv.store_locked`.
    pub fn can_be_done(&self, wanted: &[Wanted], list: &SecretList, lock: LockState) -> Result<()> {
        let is_missing = |known_as: &Requirement| !known_as.is_met_in(list);
        let comes_too_late = |(wanted, planned): (&Wanted, &Planned)| {
            planned.step == Step::Later && list.is_complete() && wanted.known_as.as_ref().is_some_and(is_missing)
        };
        let adds = self.first_add().is_some() || wanted.iter().zip(&self.0).any(comes_too_late);
        if lock != LockState::Locked || !adds {
            return Ok(());
        }
        Err(Fault::new(
            uv::STORE_LOCKED,
            "The secret store is locked (the ultravisor answered 0x0102 to a probe), and a secret is missing from it.",
        )
        .hint("A lock cannot be removed: reboot the guest, then add all secrets before locking."))
    }

    /// The store as it will be when this is done. A request that is not there yet counts for the association secret that it
    /// is known as.
    pub fn predicted(&self, wanted: &[Wanted], list: &SecretList) -> SecretList {
        let mut list = list.clone();
        for (wanted, planned) in wanted.iter().zip(&self.0) {
            let (id, secret_type) = match (&planned.step, &wanted.request, &wanted.known_as) {
                (Step::Add, Given::Read(Loaded { id: Some(id), secret_type, .. }), _) => (*id, *secret_type),
                (Step::Later, _, Some(known_as)) if !known_as.is_met_in(&list) => {
                    (known_as.id(), SecretType::ASSOCIATION)
                }
                _ => continue,
            };
            // Secrets are numbered in the order in which they are added.
            list.secrets.push(Secret { index: list.total, secret_type, length: 0, id });
            list.total = list.total.saturating_add(1);
        }
        list
    }
}

/// The secrets in the store that a request's may be: those of its type and id.
pub fn matching<'a>(list: &'a SecretList, request: &Loaded) -> impl Iterator<Item = &'a Secret> {
    let (id, secret_type) = (request.id, request.secret_type);
    list.secrets.iter().filter(move |secret| Some(secret.id) == id && secret.secret_type == secret_type)
}

/// Plans for all secrets, in order.
///
/// # Errors
/// `uv.list_incomplete` where an absence cannot be concluded.
pub fn plan(wanted: &[Wanted], list: &SecretList, record: &Record) -> Result<Plan> {
    let mut planned_adds: Vec<&Loaded> = Vec::new();
    let mut plan = Vec::new();
    for each in wanted {
        let planned = match &each.request {
            Given::Later(_) => Planned { step: Step::Later, warnings: Vec::new() },
            Given::None => Planned { step: expected(each, wanted, list, record)?, warnings: Vec::new() },
            Given::Read(request) => one(request, list, record, &planned_adds, each.force)?,
        };
        if let (Step::Add, Given::Read(request)) = (&planned.step, &each.request) {
            planned_adds.push(request);
        }
        plan.push(planned);
    }
    Ok(Plan(plan))
}

/// A secret without a request must be there, or come with another of the task's requests. Where the record of this boot knows
/// all secrets of its id, it came by one of our requests.
fn expected(wanted: &Wanted, all: &[Wanted], list: &SecretList, record: &Record) -> Result<Step> {
    let Some(known_as) = &wanted.known_as else { return Ok(Step::Missing) };
    let there = list.secrets.iter().filter(|secret| known_as.is_met_by(&secret.id)).count();
    if there > 0 {
        let proved = list.is_complete() && record.added_of(|id| known_as.is_met_by(id)) == there;
        return Ok(Step::Present(if proved { Evidence::AddedThisBoot } else { Evidence::IdOnly }));
    }
    let mut brought = all.iter().filter_map(|other| other.loaded()?.id);
    if brought.any(|id| known_as.is_met_by(&id)) {
        return Ok(Step::Present(Evidence::AddedThisBoot));
    }
    if list.is_complete() { Ok(Step::Missing) } else { Err(list.incomplete()) }
}

fn one(request: &Loaded, list: &SecretList, record: &Record, planned_adds: &[&Loaded], force: bool) -> Result<Planned> {
    let mut warnings = Vec::new();
    if planned_adds.iter().any(|add| add.sha256 == request.sha256) {
        return Ok(Planned { step: Step::Present(Evidence::AddedThisBoot), warnings });
    }
    let is_twin = |add: &&Loaded| add.id == request.id && add.secret_type == request.secret_type;
    if request.id.is_some() && !force && planned_adds.iter().copied().any(|add| is_twin(&add)) {
        warnings.push(may_differ(request));
        return Ok(Planned { step: Step::Present(Evidence::IdOnly), warnings });
    }
    let fate = record.fate(request);
    warnings.extend(record.news_of(request).map(|fate| outcome_found(request, fate)));
    let step = if request.id.is_none() {
        match fate {
            Some(Fate::Added) => Step::Present(Evidence::AddedThisBoot),
            Some(Fate::Intended) if !force => Step::Unknown(outcome_unknown(request)),
            _ => Step::Add,
        }
    } else if matching(list, request).next().is_some() {
        match fate {
            Some(Fate::Added) => Step::Present(Evidence::AddedThisBoot),
            _ if force => Step::Add,
            _ => {
                warnings.extend((fate == Some(Fate::Intended)).then(|| outcome_unknown(request)));
                warnings.extend(record.another_added(request).then(|| may_differ(request)));
                Step::Present(Evidence::IdOnly)
            }
        }
    } else if list.is_complete() {
        // An intent that left no secret behind was not carried out: adding it now is safe, and is said.
        warnings.extend((fate == Some(Fate::Intended)).then(|| outcome_unknown(request)));
        Step::Add
    } else if fate == Some(Fate::Added) {
        Step::Present(Evidence::AddedThisBoot)
    } else if force {
        warnings.extend((fate == Some(Fate::Intended)).then(|| outcome_unknown(request)));
        Step::Add
    } else if record.listed_secrets() != usize::from(list.total) {
        return Err(list
            .incomplete()
            .hint(
            "Use a kernel whose uvdevice lists more than one page of secrets. If the secret is not among the hidden ones, force adds this request.",
        ));
    } else if record.another_added(request) {
        // Not shown, but all that is in the store came from requests that are in the record.
        warnings.push(may_differ(request));
        Step::Present(Evidence::IdOnly)
    } else {
        warnings.extend((fate == Some(Fate::Intended)).then(|| outcome_unknown(request)));
        Step::Add
    };
    Ok(Planned { step, warnings })
}

fn outcome_unknown(request: &Loaded) -> Fault {
    let mut hint = "To settle it, let the guest answer an attestation request that asks for the secret store's hash (seguest.pv.attest, or attest of seguest.pv.guest); or reboot the guest and add all requests again. force adds it again: if it had been added, the store's hash then counts it twice".to_owned();
    if request.secret_type == SecretType::UPDATE_CCK {
        hint += ", and a CCK that was set since is replaced";
    }
    Fault::new(codes::OUTCOME_UNKNOWN, handed_over(request) + ".").hint(hint + ".")
}

fn outcome_found(request: &Loaded, fate: Fate) -> Fault {
    let was = if fate == Fate::Added { "was added" } else { "was not added" };
    let detail = format!("{}; the secret store shows that it {was}.", handed_over(request));
    Fault::new(codes::OUTCOME_FOUND, detail).hint("Nothing needs to be done.")
}

fn handed_over(request: &Loaded) -> String {
    let what = request
        .id
        .map_or_else(|| format!("The {} request", request.secret_type.kind()), |id| format!("The request for {id}"));
    format!("{what} was handed to the ultravisor by an earlier run that ended before it recorded the answer")
}

fn may_differ(request: &Loaded) -> Fault {
    let id = request.id.map(|id| id.to_string()).unwrap_or_default();
    Fault::new(
        codes::MAY_DIFFER,
        format!("The secret {id} in the store was added by another request: its value may differ."),
    )
    .hint(
        "If the secret was replaced on purpose, reboot the guest and add the new one. If not, keep the guest running, and restore the secret from the backup: the guest may hold the last correct one.",
    )
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
