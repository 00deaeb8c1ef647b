//! The answers of one task: read one after the other, judged in several threads. Then what comes of them is written, and last
//! of all the keys that were used are removed.

use crate::codes;
use crate::earlier;
use crate::files::refuse_overlaps;
use crate::judged::{Judged, Prepared};
use crate::material::{Known, Used};
use crate::options::Options;
use crate::other_pins::OtherPins;
use crate::pin::{self, Pin};
use crate::published;
use crate::report::{Entry, Report};
use ansible_contract::{Context, Diff, Failure, Outcome, PathText, warning};
use durable::{Attributes, Folder, Leavings};
use fault::{Fault, Result};
use pv_request::attest::{Status, Verdict, demand_distinct_cuids};
use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};
use trusted::{Entries, Layered, Told};

/// Judges all answers.
///
/// # Errors
/// Why the first that is not affirmed is not, or what could not be written.
pub fn run(options: Options, context: &Context) -> std::result::Result<Outcome<Report>, Failure<Report>> {
    let (report, fail, listed) = (options.report.clone(), options.fail(), options.responses.is_some());
    let entries = Entries::new(options)?;
    if listed && entries.read().any(|(_, own)| own.report.is_some() || own.fail.is_some()) {
        let detail =
            "The options report and fail count for the whole task, and one is given for an entry of responses.";
        return Err(Fault::new(codes::OF_THE_TASK, detail).hint("Give them beside responses.").into());
    }
    let report = report.as_ref().map(PathText::as_path);
    refuse_overlaps(&entries, report)?;
    report.map_or(Ok(()), |path| earlier::check_ours(path, earlier::Kind::Report))?;

    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let now = i64::try_from(now).unwrap_or(i64::MAX);
    let (mut known, mut judged) = (Known::default(), Vec::with_capacity(entries.count()));
    trusted::in_order(
        entries.each(Options::laid_over),
        |options| Prepared::new(options, &mut known, now),
        Prepared::judge,
        // Each in a box: it is freed when its entry is made, and there may be thousands.
        |prepared, verdict| judged.push(Box::new(Judged::new(prepared, verdict))),
    );
    let mut all: Vec<_> =
        judged.iter_mut().filter_map(|one| Some((one.called.as_str(), one.verdict.as_mut().ok()?))).collect();
    if all.len() > 1 {
        demand_distinct_cuids(&mut all);
    }
    let mut pins = OtherPins::default();
    judged.iter_mut().for_each(|one| one.compare_pins(&mut pins));
    let mut task = Task {
        check_mode: context.check_mode,
        fail,
        told: Told::new(context),
        changed: false,
        leavings: Leavings::default(),
        fault: None,
    };
    // A verdict is never told before what it rests on is durable; nor is a key given up before the verdict is.
    let mut used = Vec::new();
    let mut concluded = Vec::with_capacity(judged.len());
    for one in judged {
        let (entry, files) = task.conclude(*one);
        concluded.push(entry);
        used.extend(files);
    }
    if let Some(path) = report {
        task.publish(path, &concluded, now);
    }
    used.iter().for_each(|used| task.forget(used));
    task.told(concluded)
}

/// What comes of all of them.
struct Task {
    check_mode: bool,
    fail: bool,
    told: Told,
    changed: bool,
    /// What killed runs left.
    leavings: Leavings,
    /// What could not be written or removed.
    fault: Option<Fault>,
}

impl Task {
    /// Writes what comes of an answer. Gives its entry, and the files that were used up if all of that is durable.
    fn conclude(&mut self, one: Judged) -> (Entry, Vec<Used>) {
        let written = self.results(&one);
        let mut entry = Entry::new(one.label.clone());
        let mut warnings = one.warnings.clone();
        if let (true, Some(path)) = (one.has_new_id(), &one.files.pin) {
            warnings.push(pin::new_start(path, one.is_known()));
        }
        let Judged { called, verdict, created, policy_sha256, files, .. } = one;
        let is_verified = verdict.as_ref().is_ok_and(Verdict::is_verified);
        let fault = match verdict {
            Ok(verdict) => {
                let affirmed = verdict.status() == Status::Affirming;
                let fault = (!affirmed).then(|| verdict.fault().unwrap_or_else(not_affirmed));
                entry.judge(verdict, &policy_sha256, created);
                fault
            }
            // In check mode an earlier task may still make what is missing.
            Err(fault) if self.check_mode && fault.code == fault::file::MISSING => {
                warnings.push(fault);
                self.told.partial();
                self.changed = true;
                None
            }
            Err(fault) => {
                entry.fail(&fault);
                Some(fault)
            }
        };
        entry.warnings = warnings.iter().map(warning).collect();
        self.told.entry(&called, &warnings, Vec::new());
        if let Some(fault) = fault.filter(|_| self.fail) {
            self.told.failed(&called, &fault);
        }
        if let Err(fault) = &written {
            entry.fail(fault);
            self.told.failed(&called, fault);
        }
        let used = if is_verified && written.is_ok() { files.used } else { Vec::new() };
        (entry, used)
    }

    /// Writes what others get of an answer, and takes away what is no longer true.
    fn results(&mut self, one: &Judged) -> Result<()> {
        let written = self.pin(one).and_then(|()| self.yaml(one)).and_then(|()| self.ear(one));
        if written.is_err() {
            // What was found could not be told; then nothing older may be told in its place.
            for (path, kind) in [(&one.files.ear, earlier::Kind::Ear), (&one.files.yaml, earlier::Kind::Yaml)] {
                let is_others = |path: &&Path| {
                    earlier::check_ours(path, kind).is_err_and(|fault| fault.code == codes::RESULT_NOT_OURS)
                };
                if let Some(path) = path.as_deref().filter(|path| !is_others(path)) {
                    let _ = self.remove(path, "content: an earlier result\n");
                }
            }
        }
        written
    }

    /// Pins the configuration unique id of a guest that was affirmed.
    fn pin(&mut self, one: &Judged) -> Result<()> {
        let proved = one.affirming().and_then(|verdict| verdict.proved.as_ref());
        let (Some(proved), Some(path)) = (proved, &one.files.pin) else { return Ok(()) };
        let mut now = Pin::of(proved);
        if let (None, Some(before)) = (&now.boot_id, &one.pinned) {
            now.boot_id.clone_from(&before.boot_id);
        }
        if one.pinned.as_ref() == Some(&now) {
            return Ok(());
        }
        self.replace(path, one.pinned.as_ref().map(Pin::lines), &now.lines(), &now.lines())
    }

    fn yaml(&mut self, one: &Judged) -> Result<()> {
        let Some(path) = &one.files.yaml else { return Ok(()) };
        earlier::check_ours(path, earlier::Kind::Yaml)?;
        match one.affirming().and_then(|verdict| verdict.proved.as_ref()) {
            Some(proved) => {
                let text = proved.to_pvattest_yaml()?;
                self.replace(path, None, &text, &text)
            }
            None => self.remove(path, "content: what was measured earlier\n"),
        }
    }

    fn ear(&mut self, one: &Judged) -> Result<()> {
        let Some(path) = &one.files.ear else { return Ok(()) };
        earlier::check_ours(path, earlier::Kind::Ear)?;
        match (one.ear()?, &one.verdict) {
            (Some(token), Ok(verdict)) => {
                let shown = format!("status: {}\n", verdict.status().as_str());
                self.replace(path, None, &(token + "\n"), &shown)
            }
            _ => self.remove(path, "content: an earlier attestation result\n"),
        }
    }

    fn publish(&mut self, path: &Path, entries: &[Entry], now: i64) {
        let written = published::text(entries, now).and_then(|text| {
            let shown = format!("responses: {}\n", entries.len());
            self.replace(path, None, &text, &shown)
        });
        self.fault = self.fault.take().or(written.err());
    }

    /// Removes a key with which an answer was verified, or its request, once all that it proved is written. Whoever makes a new
    /// pair in their place holds the folder's lock.
    fn forget(&mut self, used: &Used) {
        if self.fault.is_some() {
            return;
        }
        let path = &used.path;
        let mut forget = || {
            let folder = (!self.check_mode).then(|| Folder::lock(path)).transpose()?;
            if !used.is_there()? {
                return Ok(());
            }
            let subject = path.display().to_string();
            let before = "content: of a request that was answered\n".to_owned();
            self.unless_in_check_mode(Diff { subject, before, after: String::new() }, |changed| {
                folder.map_or(Ok(()), |folder| folder.remove(path, changed).map(|_| ()))
            })
        };
        self.fault = forget().err();
    }

    /// Writes a file, unless in check mode. `before` and `shown` are for the diff.
    fn replace(&mut self, path: &Path, before: Option<String>, text: &str, shown: &str) -> Result<()> {
        let subject = path.display().to_string();
        let diff = Diff { subject, before: before.unwrap_or_default(), after: shown.to_owned() };
        if !self.check_mode {
            self.leavings.settle(path)?;
        }
        self.unless_in_check_mode(diff, |changed| {
            durable::replace(path, text.as_bytes(), &Attributes::mode(0o644), changed)
        })
    }

    /// Removes a file if it is there, unless in check mode.
    fn remove(&mut self, path: &Path, before: &str) -> Result<()> {
        match fs::symlink_metadata(path) {
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
            // It may be there, and then its key would stay.
            there => there.map_err(|e| durable::unreadable(path, &e))?,
        };
        let diff = Diff { subject: path.display().to_string(), before: before.to_owned(), after: String::new() };
        self.unless_in_check_mode(diff, |changed| durable::remove(path, changed).map(|_| ()))
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn what_another_run_has_put_in_the_place_of_what_was_used_stays() {
        let dir = tempfile::tempdir().unwrap();
        let mut task = Task {
            check_mode: false,
            fail: true,
            told: Told::new(&Context::default()),
            changed: false,
            leavings: Leavings::default(),
            fault: None,
        };
        for is_key in [true, false] {
            let path = dir.path().join("used");
            let write = |content: &str| {
                fs::write(&path, content).unwrap();
                fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
            };
            let used = Used::of(&path, b"ours", is_key);
            write("another run's");
            task.forget(&used);
            assert!(path.exists() && !task.changed && task.fault.is_none());
            write("ours");
            task.forget(&used);
            assert!(!path.exists() && task.changed && task.fault.is_none());
            task.changed = false;
            task.forget(&used);
            assert!(!task.changed && task.fault.is_none(), "it was gone already");
        }
    }
}
