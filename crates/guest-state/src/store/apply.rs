//! The plan carried out, or in check mode reported.

use super::plan::{Plan, Step, matching};
use super::record::{Fate, Record};
use super::report::{Added, Evidence, Report};
use super::request::{Given, Loaded, Wanted};
use super::requirement::Requirement;
use ansible_contract::{Diff, Failure, Outcome, fault_json, warning};
use fault::{Fault, Result};
use pv_guest::boot_record::{BootRecord, Topic};
use pv_guest::uv::{Device, LockState, Request, Secret, SecretList};
use pv_guest::{codes as uv, firmware};
use pv_wire::{RequestView, layout::MAX_REQUEST_LEN};
use serde_json::Map;
use std::time::{Duration, Instant};

/// What came of it, or why it came to an end.
pub type Answer = std::result::Result<Outcome<Report>, Failure<Report>>;

/// Reports the plan: nothing is added. `lock` is what is known of it.
pub fn predict(wanted: &[Wanted], plan: &Plan, list: &SecretList, lock: LockState) -> Answer {
    let mut done = Done::new(wanted, list.clone());
    for (wanted, planned) in wanted.iter().zip(&plan.0) {
        done.warnings.extend(planned.warnings.iter().map(warning));
        if let Given::Later(fault) = &wanted.request {
            done.warnings.extend(fault.as_ref().map(warning));
            done.predicted_partial = true;
        }
        match &planned.step {
            Step::Present(evidence) => done.entry(wanted, false, Some(*evidence)),
            Step::Add | Step::Later => done.entry(wanted, true, None),
            Step::Missing => done.entry(wanted, false, None),
            Step::Unknown(fault) => done.unknown(wanted, fault),
        }
    }
    match plan.can_be_done(wanted, list, lock) {
        Err(fault) => {
            done.entries.iter_mut().for_each(|entry| entry.changed = false);
            Err(done.failure(fault, plan.first_change().unwrap_or_default()))
        }
        Ok(()) => done.end(plan, "to be added"),
    }
}

/// With what a plan is carried out.
#[derive(Clone, Copy, Debug)]
pub struct Apply<'a> {
    /// The ultravisor.
    pub device: &'a Device,
    /// The record of this boot.
    pub boot: &'a BootRecord,
    /// For how long a dump is waited for.
    pub timeout: Duration,
}

impl Apply<'_> {
    /// Adds what is to be added, in order; stops at the first that cannot be. A request of which nothing shows whether it was
    /// added already stops none of the others. `list` is the store before and after.
    ///
    /// # Errors
    /// The first refusal, with what was added before; `uv.outcome_unknown` after all others were added.
    pub fn run(&self, wanted: &[Wanted], plan: &Plan, mut record: Record, list: &mut SecretList) -> Answer {
        let mut done = Done::new(wanted, list.clone());
        let mut total = list.total;
        if record.has_news() {
            self.boot.save(Topic::Requests, &record)?;
        }
        for (at, (wanted, planned)) in wanted.iter().zip(&plan.0).enumerate() {
            done.warnings.extend(planned.warnings.iter().map(warning));
            match (&planned.step, wanted.loaded()) {
                (Step::Present(evidence), _) => done.entry(wanted, false, Some(*evidence)),
                (Step::Unknown(fault), _) => done.unknown(wanted, fault),
                (Step::Add, Some(loaded)) => match self.add(loaded, total, &mut record) {
                    Ok(()) => {
                        total = total.saturating_add(u16::from(loaded.id.is_some()));
                        done.entry(wanted, true, Some(Evidence::AddedNow));
                    }
                    Err(fault) => {
                        // Those behind it have an entry too: it says that nothing was done with them.
                        for wanted in done.wanted.iter().skip(at) {
                            done.entry(wanted, false, None);
                        }
                        // What was added before is there: show the store as it is now, if it can still be read.
                        if let Ok(now) = SecretList::read(self.device) {
                            done.list = now;
                        }
                        return Err(done.failure(fault, at));
                    }
                },
                _ => done.entry(wanted, false, None),
            }
        }
        if done.changed() {
            match SecretList::read(self.device) {
                Ok(now) => {
                    done.list = now;
                    list.clone_from(&done.list);
                }
                // They are added all the same.
                Err(fault) => return Err(done.failure(fault, wanted.len())),
            }
        }
        done.end(plan, "added")
    }

    /// Hands one request over, to a store with `total` secrets; again if the guest is being dumped.
    fn add(&self, loaded: &Loaded, total: u16, record: &mut Record) -> Result<()> {
        let request = Request::new(&loaded.bytes).ok_or_else(|| {
            let len = loaded.bytes.len();
            let detail = format!("The request of {len} bytes is too long: the kernel takes at most {MAX_REQUEST_LEN}.");
            Fault::new(pv_wire::codes::NOT_A_REQUEST, detail).hint("Build it again: no valid request is that long.")
        })?;
        let started = Instant::now();
        let mut pause = Duration::from_millis(50);
        loop {
            match self.hand_over(loaded, request, total, record) {
                Err(fault) if fault.code == uv::DUMP_IN_PROGRESS && started.elapsed() + pause < self.timeout => {
                    std::thread::sleep(pause);
                    pause = (pause * 2).min(Duration::from_secs(1));
                }
                outcome => return outcome,
            }
        }
    }

    /// Hands it over once: intent noted right before, outcome right after. Only a run that is killed in between leaves it
    /// open.
    fn hand_over(&self, loaded: &Loaded, request: Request<'_>, total: u16, record: &mut Record) -> Result<()> {
        record.intend(loaded, total);
        self.boot.save(Topic::Requests, record)?;
        let outcome = self.device.add(request);
        let fate = match &outcome {
            Ok(()) => Fate::Added,
            // The kernel's own error does not show whether the ultravisor had taken the request before.
            Err(fault) if fault.code == uv::IOCTL_FAILED => Fate::Intended,
            Err(_) => Fate::Refused,
        };
        record.settle(loaded, fate);
        let noted = self.boot.save(Topic::Requests, record);
        outcome.and(noted)
    }
}

/// Whether a slot of the request is for this host's key: `None` where the kernel does not show the host's keys.
fn host_key_match(request: &[u8]) -> Option<bool> {
    let ours = firmware::host_key_hashes().ok()??;
    let view = RequestView::parse(request).ok()?;
    Some(view.host_key_hashes().any(|slot| ours.contains(&slot)))
}

/// The hint for a request that cannot be decrypted: what the ultravisor leaves open, the host's keys may show.
fn what_to_build_again(host_key_match: bool) -> &'static str {
    if host_key_match {
        "It has a slot for this host's key, so it was built for another image or was changed in transit. Build it again from the image that this guest runs."
    } else {
        "It has no slot for this host's key. Build it again with the host key document of the machine that this guest \
         runs on."
    }
}

/// What has come about so far.
struct Done<'a> {
    wanted: &'a [Wanted],
    entries: Vec<Added>,
    warnings: Vec<String>,
    /// The secrets that were there before.
    before: Vec<Secret>,
    list: SecretList,
    predicted_partial: bool,
}

/// The only element, if there is exactly one.
fn only<T>(mut elements: impl Iterator<Item = T>) -> Option<T> {
    elements.next().filter(|_| elements.next().is_none())
}

impl<'a> Done<'a> {
    fn new(wanted: &'a [Wanted], list: SecretList) -> Self {
        let before = list.secrets.clone();
        Self { wanted, entries: Vec::new(), warnings: Vec::new(), before, list, predicted_partial: false }
    }

    fn entry(&mut self, wanted: &Wanted, changed: bool, evidence: Option<Evidence>) {
        let loaded = wanted.loaded();
        // A secret that was made with use_name has another id than its name's hash.
        let found = |known_as: &Requirement| {
            let there = self.list.secrets.iter().find(|secret| known_as.is_met_by(&secret.id));
            there.map_or_else(|| known_as.id(), |secret| secret.id)
        };
        let id = loaded.and_then(|loaded| loaded.id).or_else(|| wanted.known_as.as_ref().map(found));
        self.entries.push(Added {
            label: wanted.label.clone(),
            name: wanted.known_as.as_ref().and_then(Requirement::name),
            path: wanted.path.as_ref().map(ToString::to_string),
            id: id.map(|id| id.to_string()),
            option: loaded.map(|l| l.secret_type.option().to_owned()),
            kind: loaded.map(|l| l.secret_type.kind()),
            tag: loaded.map(|l| l.tag.clone()),
            sha256: loaded.map(|l| l.sha256.clone()),
            index: None,
            changed,
            evidence,
            error: None,
        });
    }

    /// One of which nothing shows whether it was added.
    fn unknown(&mut self, wanted: &Wanted, fault: &Fault) {
        self.entry(wanted, false, None);
        if let Some(entry) = self.entries.last_mut() {
            entry.error = Some(fault_json(fault));
        }
    }

    /// The end of a plan that was carried out or told: a failure if something stays unknown.
    fn end(self, plan: &Plan, verb: &str) -> Answer {
        match plan.first_unknown() {
            Some((at, fault)) => Err(self.failure(fault.clone(), at)),
            None => Ok(self.outcome(verb)),
        }
    }

    fn changed(&self) -> bool {
        self.entries.iter().any(|entry| entry.changed)
    }

    /// The failure over the request at `at`.
    fn failure(mut self, mut fault: Fault, at: usize) -> Failure<Report> {
        let mut facts = Map::new();
        if fault.code == uv::STORE_LOCKED {
            facts.insert("reboot_required".into(), true.into());
        }
        if fault.code == uv::NOT_FOR_THIS_GUEST {
            let request = self.wanted.get(at).and_then(Wanted::loaded);
            let matches = request.and_then(|loaded| host_key_match(&loaded.bytes));
            if let Some(matches) = matches {
                fault.hint = what_to_build_again(matches).into();
            }
            facts.insert("host_key_match".into(), matches.into());
        }
        if let Some(entry) = self.entries.get_mut(at) {
            entry.error = Some(fault_json(&fault));
        }
        Failure { facts, ..Failure::over(fault, self.outcome("")) }
    }

    /// The place in the store of a secret that is there, if it is clear which it is.
    fn index_of(&self, wanted: &Wanted, evidence: Evidence) -> Option<u16> {
        let is_new = |secret: &&Secret| !self.before.contains(secret);
        let found: Vec<&Secret> = match (wanted.loaded(), &wanted.known_as) {
            (Some(loaded), _) => {
                matching(&self.list, loaded).filter(|s| evidence != Evidence::AddedNow || is_new(s)).collect()
            }
            (None, Some(known_as)) => self.list.secrets.iter().filter(|s| known_as.is_met_by(&s.id)).collect(),
            (None, None) => Vec::new(),
        };
        only(found.into_iter()).map(|secret| secret.index)
    }

    fn outcome(mut self, verb: &str) -> Outcome<Report> {
        let mut diff = Vec::new();
        let indices =
            self.entries.iter().zip(self.wanted).map(|(entry, wanted)| self.index_of(wanted, entry.evidence?));
        let indices: Vec<Option<u16>> = indices.collect();
        let list = &self.list;
        let is_there = |wanted: &Wanted| {
            !list.is_complete() || wanted.requirement().is_none_or(|known_as| known_as.is_met_in(list))
        };
        for ((entry, wanted), index) in self.entries.iter_mut().zip(self.wanted).zip(indices) {
            entry.index = index;
            // What is to come with another request is not there before that is added.
            entry.evidence = entry.evidence.filter(|_| is_there(wanted));
            if entry.changed {
                let subject = entry.id.clone().or_else(|| entry.path.clone()).or_else(|| entry.kind.clone());
                let kind = entry.kind.clone().unwrap_or_else(|| "unknown".into());
                diff.push(Diff {
                    subject: format!("secret {}", subject.unwrap_or_default()),
                    before: String::new(),
                    after: format!("kind: {kind}\nsha256: {}\n", entry.sha256.as_deref().unwrap_or("unknown")),
                });
            }
        }
        let changed = self.entries.iter().filter(|entry| entry.changed).count();
        Outcome {
            changed: changed > 0,
            msg: if self.entries.is_empty() {
                "No request was given.".into()
            } else if changed == 0 && self.entries.iter().any(|entry| entry.evidence.is_none()) {
                "There is no request to add, and a secret is missing.".into()
            } else if changed == 0 {
                "Every secret is in the store.".into()
            } else {
                format!("{changed} of {} secrets {verb}.", self.entries.len())
            },
            warnings: self.warnings,
            diff,
            predicted_partial: self.predicted_partial,
            report: Report { requests: self.entries, secrets: self.list.infos(), total: self.list.total },
        }
    }
}
