//! The answers of one task: read one after the other, judged in several threads. Then what comes of them is written, and last
//! of all the keys that were used are removed.

use crate::codes;
use crate::material::{Known, Material};
use crate::options::Options;
use crate::pin::{self, Pin};
use crate::published;
use crate::report::{Entry, Report};
use crate::wanted::{CuidSource, Wanted, label, written};
use ansible_contract::{Context, Diff, Failure, Outcome};
use fault::{Fault, Result};
use pv_request::attest::{Status, Verdict, demand_distinct_cuids};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};
use trusted::{Layered as _, Told, refuse_same_files};

/// Judges all answers.
///
/// # Errors
/// Why the first that is not affirmed is not, or what could not be written.
pub fn run(options: Options, context: &Context) -> std::result::Result<Outcome<Report>, Failure<Report>> {
    let (report, fail, listed) = (options.report.clone(), options.fail(), options.responses.is_some());
    let (shared, own) = trusted::entries(options)?;
    if listed && own.iter().any(|own| own.report.is_some() || own.fail.is_some()) {
        let detail =
            "The options report and fail count for the whole task, and one is given for an entry of responses.";
        return Err(Fault::new(codes::OF_THE_TASK, detail).hint("Give them beside responses.").into());
    }
    let files = own.iter().enumerate().flat_map(|(at, own)| written(own, &shared).map(move |path| (at, path)));
    refuse_same_files(files, Options::LIST)?;

    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let now = i64::try_from(now).unwrap_or(i64::MAX);
    let (mut known, mut judged) = (Known::default(), Vec::with_capacity(own.len()));
    trusted::in_order(
        own.into_iter().map(|own| own.laid_over(&shared)),
        |options| Prepared::new(&options, &mut known, now),
        Prepared::judge,
        |prepared, verdict| judged.push(Judged::new(prepared, verdict)),
    );
    let mut all: Vec<_> =
        judged.iter_mut().filter_map(|one| Some((one.called.as_str(), one.verdict.as_mut().ok()?))).collect();
    if all.len() > 1 {
        demand_distinct_cuids(&mut all);
    }
    let mut task = Task { check_mode: context.check_mode, fail, told: Told::new(context), changed: false, fault: None };
    let mut entries: Vec<_> = judged.iter().map(|one| task.conclude(one)).collect();
    // A verdict is never told before what it rests on is durable; nor is a key given up before the verdict is.
    judged.iter().zip(&mut entries).for_each(|(one, entry)| task.pin(one, entry));
    if let Some(path) = &report {
        task.publish(path.as_path(), &entries, now);
    }
    judged.iter().zip(&entries).for_each(|(one, entry)| task.forget_key(one, entry));
    task.told(entries)
}

/// An answer whose files were read, or why they could not be.
struct Prepared {
    label: Option<String>,
    called: String,
    pin: Option<PathBuf>,
    used_key: Option<PathBuf>,
    now: i64,
    material: Result<Material>,
}

impl Prepared {
    fn new(options: &Options, known: &mut Known, now: i64) -> Self {
        let wanted = Wanted::from_options(options);
        let (mut pin, mut used_key) = (None, None);
        if let Ok(wanted) = &wanted {
            used_key = wanted.remove_key.then(|| wanted.key_file.clone());
            if let CuidSource::Pinned(path) = &wanted.cuid {
                pin = Some(path.clone());
            }
        }
        let material = wanted.and_then(|wanted| Material::gather(&wanted, known));
        Self { label: options.label.clone(), called: label(options), pin, used_key, now, material }
    }

    fn judge(&self) -> Result<Verdict> {
        self.material.as_ref().map_err(Clone::clone)?.verdict(self.now)
    }
}

/// An answer that was judged, or why it could not be.
struct Judged {
    label: Option<String>,
    /// What messages call it.
    called: String,
    verdict: Result<Verdict>,
    /// When its request was made, in seconds since 1970.
    created: i64,
    /// Where its configuration unique id is pinned, and what is pinned already.
    pin: Option<(PathBuf, Option<Pin>)>,
    /// Its guest was started again since then.
    started_again: bool,
    /// The key's file, if the key is removed once it was used.
    used_key: Option<PathBuf>,
    warnings: Vec<Fault>,
}

impl Judged {
    fn new(prepared: Prepared, verdict: Result<Verdict>) -> Self {
        let Prepared { label, called, pin, used_key, material, .. } = prepared;
        let (created, pinned, warnings) =
            material.map_or((0, None, Vec::new()), |material| (material.created, material.pinned, material.warnings));
        let (pinned, started_again) = pinned.unzip();
        let pin = pin.map(|path| (path, pinned));
        Self { label, called, verdict, created, pin, started_again: started_again.unwrap_or(false), used_key, warnings }
    }

    /// The verdict, if it is affirming.
    fn affirming(&self) -> Option<&Verdict> {
        self.verdict.as_ref().ok().filter(|verdict| verdict.status() == Status::Affirming)
    }
}

/// What comes of all of them.
struct Task {
    check_mode: bool,
    fail: bool,
    told: Told,
    changed: bool,
    /// What could not be written or removed.
    fault: Option<Fault>,
}

impl Task {
    /// The entry of an answer, with what is wrong.
    fn conclude(&mut self, one: &Judged) -> Entry {
        let mut entry = Entry::new(one.label.clone());
        let mut warnings = one.warnings.clone();
        let fault = match &one.verdict {
            Ok(verdict) => {
                entry.judge(verdict, one.created);
                one.affirming().is_none().then(|| verdict.fault().unwrap_or_else(not_affirmed))
            }
            // In check mode an earlier task may still make what is missing.
            Err(fault) if self.check_mode && fault.code == fault::file::MISSING => {
                warnings.push(fault.clone());
                self.told.partial();
                self.changed = true;
                None
            }
            Err(fault) => {
                entry.fail(fault);
                Some(fault.clone())
            }
        };
        if let (true, Some(_), Some((path, _))) = (one.started_again, one.affirming(), &one.pin) {
            warnings.push(pin::new_start(path));
        }
        self.told.entry(&one.called, &warnings, Vec::new());
        if let Some(fault) = fault.filter(|_| self.fail) {
            self.told.failed(&one.called, &fault);
        }
        entry
    }

    /// Pins the configuration unique id of a guest that was affirmed.
    fn pin(&mut self, one: &Judged, entry: &mut Entry) {
        let proved = one.affirming().and_then(|verdict| verdict.proved.as_ref());
        let (Some(proved), Some((path, before))) = (proved, &one.pin) else { return };
        let mut now = Pin::of(proved);
        if let (None, Some(before)) = (&now.boot_id, before) {
            now.boot_id.clone_from(&before.boot_id);
        }
        if before.as_ref() == Some(&now) {
            return;
        }
        let lines = before.as_ref().map_or_else(String::new, Pin::lines);
        let diff = Diff { subject: path.display().to_string(), before: lines, after: now.lines() };
        let written = self.unless_in_check_mode(diff, |changed| {
            durable::settle(path)?;
            now.write(path, changed)
        });
        if let Err(fault) = written {
            entry.fail(&fault);
            self.told.failed(&one.called, &fault);
        }
    }

    fn publish(&mut self, path: &Path, entries: &[Entry], now: i64) {
        let diff = Diff {
            subject: path.display().to_string(),
            before: String::new(),
            after: format!("responses: {}\n", entries.len()),
        };
        let written = self.unless_in_check_mode(diff, |changed| {
            durable::settle(path)?;
            published::write(path, entries, now, changed)
        });
        self.fault = self.fault.take().or(written.err());
    }

    /// Removes a key with which an answer was verified.
    fn forget_key(&mut self, one: &Judged, entry: &Entry) {
        let used = one.verdict.as_ref().is_ok_and(Verdict::is_verified) && entry.error.is_none();
        let Some(path) = one.used_key.as_deref().filter(|_| used && self.fault.is_none()) else { return };
        let before = "content: the key of a request that was answered\n".into();
        let diff = Diff { subject: path.display().to_string(), before, after: String::new() };
        let removed = self.unless_in_check_mode(diff, |changed| durable::remove(path, changed).map(|_| ()));
        self.fault = self.fault.take().or(removed.err());
    }

    fn unless_in_check_mode(&mut self, diff: Diff, write: impl FnOnce(&mut bool) -> Result<()>) -> Result<()> {
        let mut changed = self.check_mode;
        let written = if self.check_mode { Ok(()) } else { write(&mut changed) };
        if changed {
            self.changed = true;
            self.told.diff(vec![diff]);
        }
        written
    }

    fn told(self, responses: Vec<Entry>) -> std::result::Result<Outcome<Report>, Failure<Report>> {
        let Self { told, changed, fault, .. } = self;
        let affirming = responses.iter().filter(|entry| entry.verdict == Status::Affirming.as_str()).count();
        let msg = format!("{affirming} of {} guests are proved to be as expected.", responses.len());
        let outcome = told.outcome(Options::LIST, changed, msg, Report { responses });
        match (outcome, fault) {
            (Ok(outcome), Some(fault)) => Err(Failure::over(fault, outcome)),
            (outcome, _) => outcome,
        }
    }
}

/// No verdict is without a reason.
fn not_affirmed() -> Fault {
    Fault::new(ansible_contract::codes::BUG, "The verdict is not affirming, and no check says why.")
        .hint("Please report it with the task's options.")
}
