//! The plan carried out, or in check mode told.

use crate::options::{Added, Evidence, Report};
use crate::plan::{Planned, Step, matching};
use crate::record::{Fate, Record};
use crate::request::{Loaded, Source};
use ansible_contract::{Context, Diff, Failure, Outcome, fault_json, warning};
use fault::{Fault, Result};
use pv_guest::boot_record::{BootRecord, Topic};
use pv_guest::uv::{Device, LockState, Request, Secret, SecretList};
use pv_guest::{codes as uv, firmware};
use pv_wire::RequestView;
use std::time::{Duration, Instant};

type Requests = Vec<(Source, Option<Loaded>)>;
type Answer = std::result::Result<Outcome<Report>, Failure<Report>>;

/// Reads all requests before anything is done with any. In check mode one that is not there yet stays unread.
///
/// # Errors
/// Those of [`Source::load`].
pub fn load(sources: Vec<Source>, context: &Context) -> Result<(Requests, Vec<Fault>)> {
    let mut missing = Vec::new();
    let mut requests = Vec::new();
    for source in sources {
        match source.load() {
            Ok(loaded) => requests.push((source, Some(loaded))),
            Err(fault) if context.check_mode && fault.code == fault::file::MISSING => {
                missing.push(fault);
                requests.push((source, None));
            }
            Err(fault) => return Err(fault),
        }
    }
    Ok((requests, missing))
}

/// With what the plan is carried out.
pub struct Apply<'a> {
    /// The ultravisor.
    pub device: &'a Device,
    /// The record of this boot.
    pub boot: &'a BootRecord,
    /// For how long a dump is waited for.
    pub timeout: Duration,
}

impl Apply<'_> {
    /// Adds what is to be added, in order; stops at the first that cannot be.
    pub fn run(&self, requests: Requests, plan: Vec<Option<Planned>>, mut record: Record, list: SecretList) -> Answer {
        let mut done = Done::new(list);
        for (at, ((source, loaded), planned)) in requests.iter().zip(plan).enumerate() {
            let (Some(loaded), Some(planned)) = (loaded, planned) else { continue };
            done.warnings.extend(planned.warnings.iter().map(warning));
            match planned.step {
                Step::Present(evidence) => done.entry(source, Some(loaded), false, Some(evidence)),
                Step::Add => match self.add(loaded, &mut record) {
                    Ok(()) => done.entry(source, Some(loaded), true, Some(Evidence::AddedNow)),
                    Err(fault) => {
                        // Those behind it have an entry too: it says that nothing was done with them.
                        for (source, loaded) in requests.iter().skip(at) {
                            done.entry(source, loaded.as_ref(), false, None);
                        }
                        return Err(self.failure(fault, at, loaded, done, &requests));
                    }
                },
            }
        }
        if done.changed() {
            done.list = SecretList::read(self.device)?;
        }
        Ok(done.outcome("added", &requests))
    }

    /// Tells the plan. Nothing is written, and only the lock is asked for.
    pub fn predict(
        &self,
        requests: Requests,
        missing: Vec<Fault>,
        plan: Vec<Option<Planned>>,
        list: &SecretList,
    ) -> Answer {
        let mut done = Done::new(list.clone());
        done.warnings.extend(missing.iter().map(warning));
        done.predicted_partial = !missing.is_empty();
        for ((source, loaded), planned) in requests.iter().zip(plan) {
            let step = planned.map(|planned| {
                done.warnings.extend(planned.warnings.iter().map(warning));
                planned.step
            });
            match (loaded, step) {
                (Some(loaded), Some(Step::Present(evidence))) => {
                    done.entry(source, Some(loaded), false, Some(evidence))
                }
                (loaded, _) => done.entry(source, loaded.as_ref(), true, None),
            }
        }
        let first_add = requests.iter().zip(&done.entries).enumerate().find_map(|(at, ((_, loaded), entry))| {
            loaded.as_ref().filter(|_| entry.changed).map(|loaded| (at, loaded))
        });
        if let (Some((at, loaded)), LockState::Locked) = (first_add, self.device.probe_lock()?) {
            let fault = Fault::new(uv::STORE_LOCKED, "The secret store is locked (the ultravisor answered 0x0102 to a probe), and a secret is missing from it.")
                .hint("A lock cannot be taken back: reboot the guest, then add all secrets before locking.");
            done.entries.iter_mut().for_each(|entry| entry.changed = false);
            return Err(self.failure(fault, at, loaded, done, &requests));
        }
        Ok(done.outcome("to be added", &requests))
    }

    /// Hands one request over: intent noted before, outcome after.
    fn add(&self, loaded: &Loaded, record: &mut Record) -> Result<()> {
        record.note(loaded, Fate::Intended);
        self.boot.save(Topic::Requests, record)?;
        let outcome = self.hand_over(&loaded.bytes);
        let fate = match &outcome {
            Ok(()) => Fate::Added,
            // The kernel's own error does not tell whether the ultravisor had taken the request before.
            Err(fault) if fault.code == uv::IOCTL_FAILED => Fate::Intended,
            Err(_) => Fate::Refused,
        };
        record.note(loaded, fate);
        let noted = self.boot.save(Topic::Requests, record);
        outcome.and(noted)
    }

    fn hand_over(&self, bytes: &[u8]) -> Result<()> {
        let started = Instant::now();
        let mut pause = Duration::from_millis(50);
        loop {
            let request = Request::new(bytes).ok_or_else(|| {
                Fault::new(
                    pv_wire::codes::NOT_A_REQUEST,
                    format!("The request of {} bytes is longer than the kernel takes.", bytes.len()),
                )
            })?;
            match self.device.add(request) {
                Err(fault) if fault.code == uv::DUMP_IN_PROGRESS && started.elapsed() + pause < self.timeout => {
                    std::thread::sleep(pause);
                    pause = (pause * 2).min(Duration::from_secs(1));
                }
                outcome => return outcome,
            }
        }
    }

    /// The failure over the request at `at`.
    fn failure(
        &self,
        fault: Fault,
        at: usize,
        loaded: &Loaded,
        mut done: Done,
        requests: &Requests,
    ) -> Failure<Report> {
        let mut failure = Failure::from(fault);
        if failure.fault.code == uv::STORE_LOCKED {
            failure.facts.insert("reboot_required".into(), true.into());
        }
        if failure.fault.code == uv::NOT_FOR_THIS_GUEST {
            let matches = host_key_match(&loaded.bytes);
            if let Some(matches) = matches {
                failure.fault.hint = what_to_build_again(matches).into();
            }
            failure.facts.insert("host_key_match".into(), matches.into());
        }
        if let Some(entry) = done.entries.get_mut(at) {
            entry.error = Some(fault_json(&failure.fault));
        }
        // What was added before is there: show the store as it is now, if it can still be read.
        if let Ok(list) = SecretList::read(self.device) {
            done.list = list;
        }
        let outcome = done.outcome("", requests);
        failure.changed = outcome.changed;
        failure.warnings = outcome.warnings;
        failure.diff = outcome.diff;
        failure.report = Some(Box::new(outcome.report));
        failure
    }
}

/// Whether a slot of the request is for this host's key: `None` where the kernel does not tell the host's keys.
fn host_key_match(request: &[u8]) -> Option<bool> {
    let ours = firmware::host_key_hashes().ok()??;
    let view = RequestView::parse(request).ok()?;
    Some(view.host_key_hashes().any(|slot| ours.contains(&slot)))
}

/// The hint for a request that cannot be decrypted: what the ultravisor leaves open, the host's keys may tell.
fn what_to_build_again(host_key_match: bool) -> &'static str {
    if host_key_match {
        "It has a slot for this host's key, so it was built for another image or was changed on the way. Build it again \
         from the image that this guest runs."
    } else {
        "It has no slot for this host's key. Build it again with the host key document of the machine that this guest \
         runs on."
    }
}

/// What has come about so far.
struct Done {
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

impl Done {
    fn new(list: SecretList) -> Self {
        let before = list.secrets.clone();
        Self { entries: Vec::new(), warnings: Vec::new(), before, list, predicted_partial: false }
    }

    fn entry(&mut self, source: &Source, loaded: Option<&Loaded>, changed: bool, evidence: Option<Evidence>) {
        self.entries.push(Added {
            label: source.label.clone(),
            path: source.path.as_ref().map(ToString::to_string),
            id: loaded.and_then(|l| l.id).map(|id| id.to_string()),
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

    fn changed(&self) -> bool {
        self.entries.iter().any(|entry| entry.changed)
    }

    fn outcome(mut self, verb: &str, requests: &Requests) -> Outcome<Report> {
        let mut diff = Vec::new();
        for (entry, (_, loaded)) in self.entries.iter_mut().zip(requests) {
            if let (Some(loaded), Some(evidence)) = (loaded, entry.evidence) {
                let is_new = |secret: &&Secret| !self.before.contains(secret);
                let may_be = matching(&self.list, loaded).filter(|s| evidence != Evidence::AddedNow || is_new(s));
                entry.index = only(may_be).map(|secret| secret.index);
            }
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
