//! The requests of one task, one after the other, and the result of them all.

use crate::absent::{IdFileUsers, absent};
use crate::codes;
use crate::history::History;
use crate::manifest::Manifest;
use crate::options::{Files, Options, Requests, State};
use crate::present::{Prepared, Shared};
use crate::progress::Progress;
use crate::report::{Entry, Report};
use crate::wanted::{Absent, Wanted};
use ansible_contract::{Context, Diff, Failure, Outcome, codes as args, fault_json};
use durable::Leavings;
use fault::{Fault, Result};
use std::collections::{HashMap, VecDeque};
use std::path::PathBuf;
use std::sync::mpsc::Receiver;
use std::thread;
use trusted::{KnownImages, ReadHosts, StateKey, Warnings, Worked, Workers, private_file};

/// What comes of building a request: its bytes, if it was to be built.
type Built = Result<Option<Vec<u8>>>;

/// Threads that build requests. Nearly all of the work on one is arithmetic on P-521.
type Builders = Workers<Prepared, Built>;

/// In check mode an earlier task may still make what these codes miss.
const MADE_BY_AN_EARLIER_TASK: [&str; 3] =
    [fault::file::MISSING.name, codes::SECRET_MISSING.name, fault::file::NO_SUCH_OWNER.name];

/// No two requests may have one file: the second would replace the first in every run. What one writes must not be the secret of
/// another either, which would be gone. Requests of one secret share its file and its id file.
///
/// # Errors
/// `args.duplicate_path`.
pub fn refuse_duplicates(requests: &Requests) -> Result<()> {
    /// What a file is to a request.
    #[derive(Clone, Copy, PartialEq, Eq)]
    enum Role {
        Own(&'static str),
        Shared(&'static str),
    }
    let mut seen: HashMap<PathBuf, (usize, Role)> = HashMap::new();
    for Files { at, path, id_file, secret } in requests.files() {
        let manifest = path.map(Manifest::path);
        let files = [
            (path, Role::Own("path")),
            (manifest.as_deref(), Role::Own("path's manifest")),
            (id_file.as_deref(), Role::Shared("id_file")),
            (secret, Role::Shared("secret_file")),
        ];
        for (file, role) in files {
            let Some(file) = file.map(durable::identity) else { continue };
            let Some((first, other)) = seen.get(&file).copied().filter(|(first, _)| *first != at) else {
                seen.insert(file, (at, role));
                continue;
            };
            if role != other || matches!(role, Role::Own(_)) {
                let [one, two] = [other, role].map(|role| match role {
                    Role::Own(name) | Role::Shared(name) => name,
                });
                let detail = format!(
                    "{one} of requests[{first}] and {two} of requests[{at}] are the same file, {}.",
                    file.display()
                );
                return Err(Fault::new(trusted::codes::DUPLICATE_PATH, detail)
                    .hint("Give each request its own path, away from secrets."));
            }
        }
    }
    Ok(())
}

/// The requests so far.
pub struct Task {
    shared: Shared,
    id_file_users: IdFileUsers,
    with_diff: bool,
    /// Requests that are being built, in their order.
    under_way: VecDeque<(Progress, Receiver<Worked<Prepared, Built>>)>,
    entries: Vec<Entry>,
    warnings: Warnings,
    diff: Vec<Diff>,
    partial: bool,
    /// Whether the task succeeds although some requests failed.
    keep_going: bool,
    /// Why the first that failed did.
    fault: Option<Fault>,
}

impl Task {
    /// Before the first request.
    ///
    /// # Errors
    /// `request.state_key`.
    pub fn new(context: &Context, history: History) -> Result<Self> {
        Ok(Self {
            shared: Shared {
                check_mode: context.check_mode,
                known: ReadHosts::default(),
                history,
                created: HashMap::new(),
                images: KnownImages::default(),
                leavings: Leavings::default(),
                key_path: StateKey::path()?,
                key: None,
            },
            id_file_users: IdFileUsers::default(),
            with_diff: context.diff,
            under_way: VecDeque::new(),
            entries: Vec::new(),
            warnings: Warnings::default(),
            diff: Vec::new(),
            partial: false,
            keep_going: false,
            fault: None,
        })
    }

    /// Does all requests. They are observed, and later written, one by one in their order; what lies between, the
    /// building, goes on in several threads.
    pub fn requests(&mut self, requests: Requests) {
        self.keep_going = requests.keep_going();
        thread::scope(|scope| {
            let builders = Builders::start(scope, requests.count(), Prepared::build);
            for options in requests.each() {
                match options {
                    Ok(options) => self.request(&options, &builders),
                    Err((label, fault)) => {
                        self.finish_all();
                        self.note(
                            Progress { entry: Entry { label, ..Entry::default() }, ..Progress::default() },
                            Err(fault),
                        );
                    }
                }
                while self.under_way.len() > builders.window() {
                    self.finish_first();
                }
            }
            self.finish_all();
        });
    }

    /// Begins one request, or does it; why it could not be done is in its entry.
    fn request(&mut self, options: &Options, builders: &Builders) {
        let mut progress = Progress {
            inputs_complete: options.inputs_complete(),
            entry: Entry {
                label: options.label.clone(),
                path: options.path.as_ref().map(ToString::to_string),
                option: (options.state() == State::Present).then(|| options.r#type().option().to_owned()),
                ..Entry::default()
            },
            ..Progress::default()
        };
        let done = match Wanted::from_options(options) {
            Ok(Wanted::Present(wanted)) => {
                self.id_file_users.forget();
                match Prepared::new(wanted, &mut self.shared, &mut progress) {
                    Ok(prepared) => {
                        self.under_way.push_back((progress, builders.give(Box::new(prepared))));
                        return;
                    }
                    Err(fault) => Err(fault),
                }
            }
            Ok(Wanted::Absent(wanted)) => {
                // It may remove what an earlier one is still to write.
                self.finish_all();
                self.absent(&wanted, &mut progress)
            }
            Err(fault) => Err(fault),
        };
        self.finish_all();
        self.note(progress, done);
    }

    fn absent(&mut self, wanted: &Absent, progress: &mut Progress) -> Result<()> {
        if !self.shared.check_mode {
            let manifest = Manifest::path(&wanted.path);
            let mut written =
                [Some(wanted.path.as_path()), Some(&manifest), wanted.id_file.as_deref()].into_iter().flatten();
            written.try_for_each(|file| self.shared.leavings.settle(file))?;
        }
        if self.shared.key.is_none() {
            self.shared.key = StateKey::load(&self.shared.key_path)?;
        }
        absent(wanted, self.shared.check_mode, self.shared.key.as_ref(), &mut self.id_file_users, progress)
    }

    fn finish_all(&mut self) {
        while !self.under_way.is_empty() {
            self.finish_first();
        }
    }

    fn finish_first(&mut self) {
        let Some((mut progress, built)) = self.under_way.pop_front() else { return };
        let done = match built.recv() {
            Ok((prepared, built)) => built.and_then(|built| prepared.finish(built, &mut self.shared, &mut progress)),
            Err(_) => Err(Fault::new(args::BUG, "A thread that built requests ended without an answer.")
                .hint("Please report it with the task's options, but without secrets.")),
        };
        self.note(progress, done);
    }

    /// Enters how one request went.
    fn note(&mut self, mut progress: Progress, done: Result<()>) {
        if let Err(fault) = done {
            if self.shared.check_mode && !progress.inputs_complete && MADE_BY_AN_EARLIER_TASK.contains(&fault.code.name)
            {
                progress.warn(&fault);
                progress.entry.changed = true;
                self.partial = true;
            } else {
                progress.entry.failed = true;
                progress.entry.error = Some(fault_json(&fault));
                self.fault.get_or_insert(fault);
            }
        }
        let label = progress.entry.label.as_deref().or(progress.entry.path.as_deref()).unwrap_or("a request");
        self.warnings.take(label, &progress.warnings);
        if self.with_diff {
            self.diff.extend(progress.diff);
        }
        self.entries.push(progress.entry);
    }

    /// The result: a failure if any request failed.
    ///
    /// # Errors
    /// Why the first that failed did.
    pub fn finish(self) -> std::result::Result<Outcome<Report>, Failure<Report>> {
        let Self { shared, entries: requests, warnings, diff, partial, keep_going, fault, .. } = self;
        let mut warnings = warnings.told(requests.len());
        let changed = requests.iter().any(|entry| entry.changed);
        if requests.iter().any(|entry| entry.path.is_some()) {
            // What is refused there has failed the requests already.
            let shared = private_file::folder(&shared.key_path).ok().flatten();
            let shared = shared.map(|fault| ansible_contract::warning(&fault));
            warnings.extend(shared.filter(|warning| !warnings.contains(warning)));
        }
        let Some(mut fault) = fault.filter(|_| !keep_going) else {
            if requests.is_empty() {
                let nothing = "The option requests is an empty list: there is nothing to do.";
                warnings.push(ansible_contract::warning(
                    &Fault::new(args::MISSING, nothing).hint("Check the variable that the list comes from."),
                ));
            }
            let msg = message(&requests, shared.check_mode);
            return Ok(Outcome {
                changed,
                msg,
                warnings,
                diff,
                predicted_partial: partial,
                report: Report { requests },
            });
        };
        if requests.len() > 1 {
            let failed: Vec<_> = requests.iter().filter(|entry| entry.failed).collect();
            let name = failed.first().and_then(|entry| entry.label.as_deref().or(entry.path.as_deref()));
            fault.detail = format!(
                "{} of {} requests failed; {}: {}",
                failed.len(),
                requests.len(),
                name.unwrap_or("the first"),
                fault.detail
            );
        }
        let mut failure = Failure::from(fault);
        failure.changed = changed;
        failure.warnings = warnings;
        failure.diff = diff;
        failure.report = Some(Box::new(Report { requests }));
        Err(failure)
    }
}

fn message(requests: &[Entry], check_mode: bool) -> String {
    let (all, changed) = (requests.len(), requests.iter().filter(|entry| entry.changed).count());
    let failed = match requests.iter().filter(|entry| entry.failed).count() {
        0 => String::new(),
        failed => format!(" {failed} of {all} could not be built."),
    };
    match (changed, check_mode) {
        (0, _) if failed.is_empty() => "Every request is as wanted.".into(),
        (0, _) => format!("Every other request is as wanted.{failed}"),
        (_, false) => format!("{changed} of {all} requests changed.{failed}"),
        (_, true) => format!("{changed} of {all} requests would be changed.{failed}"),
    }
}
