//! The requests of one task: looked at and written one after the other, built in several threads.

use crate::options::Options;
use crate::pair::Pair;
use crate::report::{Entry, Report};
use crate::wanted::{Wanted, key_file};
use ansible_contract::{Context, Diff, Failure, Outcome, fault_json, to_base64};
use durable::Leavings;
use fault::{Fault, Result};
use pv_request::attest::{Challenge, ChallengeKeys};
use pv_wire::{encode_hex, iso8601};
use sha2::{Digest as _, Sha256};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};
use trusted::{Entries, Hosts, Layered, ReadHosts, Told, private_file, refuse_same_files};

/// In check mode an earlier task may still make what is missing.
const MADE_BY_AN_EARLIER_TASK: &str = fault::file::MISSING.name;

/// Makes all requests.
///
/// # Errors
/// Why the first that could not be made could not.
pub fn run(options: Options, context: &Context) -> std::result::Result<Outcome<Report>, Failure<Report>> {
    let keep_going = options.keep_going();
    let entries = Entries::new(options)?;
    let files = entries.read().flat_map(|(at, own)| written(own, &entries.shared).map(move |path| (at, path)));
    refuse_same_files(files, Options::LIST)?;
    let (mut known, mut leavings) = (ReadHosts::default(), Leavings::default());
    let mut task = Task::new(context, keep_going);
    trusted::in_order(
        entries.each(Options::laid_over),
        |options| Prepared::new(options, &mut known, (!context.check_mode).then_some(&mut leavings)),
        |prepared| prepared.ready.as_ref().ok().map(Ready::build),
        |prepared, built| task.finish(prepared, built),
    );
    task.told()
}

/// The files of one request.
fn written(own: &Options, shared: &Options) -> impl Iterator<Item = PathBuf> {
    let path = own.path.as_ref().or(shared.path.as_ref()).map(|path| path.as_path().to_owned());
    let named = if own.key_file.is_some() { own } else { shared };
    let key = path.as_deref().map(|path| key_file(named, path));
    path.into_iter().chain(key)
}

/// What is asked of one request; or its label, and why that cannot be meant.
type Asked = std::result::Result<Options, (Option<String>, Fault)>;

/// A request whose files and host keys are known, or why it cannot be made.
struct Prepared {
    entry: Entry,
    warnings: Vec<Fault>,
    ready: Result<Ready>,
}

/// What is left to be done.
struct Ready {
    wanted: Wanted,
    hosts: Hosts,
    /// Which of both files are there already.
    before: (bool, bool),
}

/// A request that was built.
struct Built {
    challenge: Challenge,
    /// In seconds since 1970.
    created: i64,
}

impl Prepared {
    /// `leavings` of killed runs are cleared away unless in check mode.
    fn new(options: Asked, known: &mut ReadHosts, leavings: Option<&mut Leavings>) -> Self {
        let mut entry = Entry::default();
        let mut warnings = Vec::new();
        let ready = match options {
            Err((label, fault)) => {
                entry.label = label;
                Err(fault)
            }
            Ok(options) => {
                entry.label.clone_from(&options.label);
                if let Some(path) = &options.path {
                    entry.path = Some(path.to_string());
                    entry.key_file = Some(key_file(&options, path.as_path()).display().to_string());
                }
                let wanted = Wanted::from_options(&options);
                wanted.and_then(|wanted| look(wanted, known, leavings, &mut entry, &mut warnings))
            }
        };
        Self { entry, warnings, ready }
    }
}

/// Reads all that the request depends on.
fn look(
    wanted: Wanted,
    known: &mut ReadHosts,
    leavings: Option<&mut Leavings>,
    entry: &mut Entry,
    warnings: &mut Vec<Fault>,
) -> Result<Ready> {
    entry.additional_size = Some(wanted.items.size());
    if wanted.host_keys.trust.is_none() {
        let detail = "The host key documents were not verified: whoever made them can forge the answer.";
        let unverified = Fault::new(trusted::codes::UNVERIFIED, detail);
        warnings.push(unverified.hint("Set verify_host_keys: true and name certificates and crls."));
    }
    let hosts = known.get(&wanted.host_keys)?;
    entry.host_keys = hosts.keys.iter().map(|host| Arc::clone(&host.info)).collect();
    entry.root_ca.clone_from(&hosts.root_ca);
    // Whoever asks must not rely on anything that is too old.
    hosts.outdated.first().map_or(Ok(()), |fault| Err(fault.clone()))?;
    warnings.extend(hosts.repeated());
    warnings.extend(private_file::folder(&wanted.key_file)?);

    let pair = Pair { path: &wanted.path, key_file: &wanted.key_file };
    if let Some(leavings) = leavings {
        if wanted.make_folders {
            durable::make_folder_of(&wanted.path, &mut entry.changed)?;
            durable::make_folder_of(&wanted.key_file, &mut entry.changed)?;
        }
        pair.settle(leavings)?;
        durable::check_writable(&wanted.path)?;
        durable::check_writable(&wanted.key_file)?;
    }
    let before = pair.check()?;
    Ok(Ready { wanted, hosts, before })
}

impl Ready {
    /// Builds the request. No two are alike.
    fn build(&self) -> Result<Built> {
        let created = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let hosts = self.hosts.distinct().map(|host| &host.key);
        let challenge = Challenge::build(self.wanted.items, hosts, ChallengeKeys::generate()?)?;
        Ok(Built { challenge, created: i64::try_from(created).unwrap_or(i64::MAX) })
    }

    fn pair(&self) -> Pair<'_> {
        Pair { path: &self.wanted.path, key_file: &self.wanted.key_file }
    }

    /// What of both files is shown: of a key only that it is there.
    fn diff(&self, sha256: Option<&str>) -> Vec<Diff> {
        let lines = |there: bool, text: String| if there { text } else { String::new() };
        let (had_request, had_key) = self.before;
        let new = sha256.unwrap_or("that of a new request");
        vec![
            Diff {
                subject: self.wanted.path.display().to_string(),
                before: lines(had_request, "sha256: that of an earlier request\n".into()),
                after: format!("sha256: {new}\n"),
            },
            Diff {
                subject: self.wanted.key_file.display().to_string(),
                before: lines(had_key, "content: the key of an earlier request\nmode: 0600\n".into()),
                after: "content: the key of the new request\nmode: 0600\n".into(),
            },
        ]
    }
}

/// The requests so far.
struct Task {
    check_mode: bool,
    /// Whether the task succeeds although some requests could not be made.
    keep_going: bool,
    told: Told,
    entries: Vec<Entry>,
}

impl Task {
    fn new(context: &Context, keep_going: bool) -> Self {
        Self { check_mode: context.check_mode, keep_going, told: Told::new(context), entries: Vec::new() }
    }

    /// Writes one request, unless in check mode, and enters how it went.
    fn finish(&mut self, prepared: Prepared, built: Option<Result<Built>>) {
        let Prepared { mut entry, warnings, ready } = prepared;
        let mut diff = Vec::new();
        let done = ready.and_then(|ready| {
            // What is ready has been built.
            let Some(built) = built.transpose()? else { return Ok(()) };
            self.write(&ready, built, &mut entry)?;
            diff = ready.diff(entry.sha256.as_deref());
            Ok(())
        });
        let label = entry.label.clone().or_else(|| entry.path.clone()).unwrap_or_else(|| "a request".into());
        let mut warnings = warnings;
        match done {
            Err(fault) if self.check_mode && fault.code.name == MADE_BY_AN_EARLIER_TASK => {
                warnings.push(fault);
                entry.changed = true;
                self.told.partial();
            }
            Err(fault) => {
                entry.failed = true;
                entry.error = Some(fault_json(&fault));
                if !self.keep_going {
                    self.told.failed(&label, &fault);
                }
            }
            Ok(()) => {}
        }
        self.told.entry(&label, &warnings, diff);
        self.entries.push(entry);
    }

    fn write(&self, ready: &Ready, built: Built, entry: &mut Entry) -> Result<()> {
        if self.check_mode {
            entry.changed = true;
            return Ok(());
        }
        let file = built.challenge.exchange_file()?;
        ready.pair().write(&file, &built.challenge.key, &mut entry.changed)?;
        entry.content = Some(to_base64(&file));
        entry.sha256 = Some(encode_hex(&Sha256::digest(&built.challenge.request)));
        entry.created = Some(iso8601(built.created));
        Ok(())
    }

    /// The result: a failure if any request could not be made.
    fn told(self) -> std::result::Result<Outcome<Report>, Failure<Report>> {
        let Self { check_mode, told, entries: requests, .. } = self;
        let (made, changed) =
            (requests.iter().filter(|entry| !entry.failed).count(), requests.iter().any(|entry| entry.changed));
        let verb = if check_mode { "would be" } else { "were" };
        let msg = format!("{made} of {} requests {verb} made.", requests.len());
        told.outcome(Options::LIST, changed, msg, Report { requests })
    }
}
