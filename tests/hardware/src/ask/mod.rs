//! The asking: what touches the machine. Nothing is judged here.

mod lasting;
mod queue;
mod store;
mod system;

use crate::arguments::Arguments;
use crate::questions::{self, Part, Question};
use crate::report::{Finding, Numbers, Report, Step, Store, VERSION, Verdict};
use fault::{Answer, Fault};
use pv_guest::ap::SeState;
use pv_guest::boot_record::BootRecord;
use pv_guest::firmware::{self, Role};
use pv_guest::uv::{Device, LockState, SecretList};
use serde::Deserialize;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

/// What takes time is waited for so long.
const PATIENCE: Duration = Duration::from_secs(30);
/// So long modules wait until what a bound queue shows can be read.
const SHOWS_WITHIN: Duration = Duration::from_secs(1);

/// Asks all that is wanted, and gives the report as text.
///
/// # Errors
/// A sentence: why nothing can be asked here.
pub fn run(arguments: &Arguments) -> Result<String, String> {
    if firmware::role().map_err(|e| format!("the kernel does not say what this system is: {e}"))? != Role::Guest {
        return Err("this is no Secure Execution guest: /sys/firmware/uv/prot_virt_guest is not 1".into());
    }
    let told = |fault: Fault| fault.to_string();
    let earlier = arguments.rebooted_since.as_deref().map(store_of).transpose()?;
    let requests = arguments.until_reboot.as_ref().map(lasting::Requests::read).transpose()?;
    let device = Device::open().map_err(told)?;
    let boot = BootRecord::of_this_boot().map_err(told)?;
    let mut asked = Asked::default();
    let cards = system::cards();
    {
        // Nobody else may add or lock while answers are compared.
        let _alone = boot.alone_on_store(PATIENCE).map_err(told)?;
        store::ask(&device, &mut asked);
        queue::look(&mut asked);
        if let Some(apqn) = arguments.queue {
            queue::ask(apqn, &boot, &mut asked);
        }
        if let (Some(wanted), Some(requests)) = (&arguments.until_reboot, &requests) {
            lasting::ask(&device, &boot, wanted, requests, arguments.queue, &mut asked);
        }
    }
    let store = store_now(&device);
    if let Some(earlier) = earlier {
        asked.note(&questions::REBOOT, crate::judge::reboot(earlier, store), Vec::new());
    }
    let report = Report {
        version: VERSION,
        program: env!("CARGO_PKG_VERSION"),
        system: system::of(store, cards),
        answers: asked.all(),
    };
    serde_json::to_string_pretty(&report).map_err(|e| format!("the report cannot be written: {e}"))
}

/// What an earlier report says of the store.
fn store_of(path: &Path) -> Result<Store, String> {
    #[derive(Deserialize)]
    struct Earlier {
        system: EarlierSystem,
    }
    #[derive(Deserialize)]
    struct EarlierSystem {
        store: Store,
    }
    let text = std::fs::read_to_string(path).map_err(|e| format!("{} cannot be read: {e}", path.display()))?;
    let earlier: Earlier =
        serde_json::from_str(&text).map_err(|e| format!("{} is no report of this program: {e}", path.display()))?;
    Ok(earlier.system.store)
}

fn store_now(device: &Device) -> Store {
    let locked = match device.probe_lock() {
        Ok(LockState::Locked) => Some(true),
        Ok(LockState::Unlocked) => Some(false),
        Ok(LockState::Unknown) | Err(_) => None,
    };
    Store { secrets: SecretList::read(device).ok().map(|list| list.total), locked }
}

/// What was asked so far.
#[derive(Debug, Default)]
struct Asked(Vec<Finding>);

impl Asked {
    fn note(&mut self, question: &'static Question, verdict: Verdict, steps: Vec<Step>) {
        self.0.push(Finding::new(question, verdict, steps));
    }

    /// Notes why a question was not asked, unless it was.
    fn note_if_new(&mut self, question: &'static Question, verdict: Verdict) {
        if self.0.iter().all(|finding| finding.id() != question.id) {
            self.note(question, verdict, Vec::new());
        }
    }

    /// All questions in their order, those that were not asked too.
    fn all(mut self) -> Vec<Finding> {
        let finding = |question: &&'static Question| {
            let at = self.0.iter().position(|finding| finding.id() == question.id);
            let why = match question.part {
                Part::Harmless => "there is nothing here to ask",
                Part::Queue => "no free queue of the kind was named (--queue)",
                Part::UntilReboot => "it was not wanted (--until-reboot), or there was nothing to ask it with",
            };
            at.map_or_else(|| Finding::new(question, Verdict::NotTried(why), Vec::new()), |at| self.0.swap_remove(at))
        };
        questions::ALL.iter().map(finding).collect()
    }
}

/// Says what is about to be done.
fn announce(what: &str) {
    eprintln!("hardware-questions: {what}");
}

/// Does something, and takes the time.
fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let started = Instant::now();
    let done = work();
    (done, started.elapsed())
}

/// A call of the ultravisor as a step.
fn call(what: &'static str, work: impl FnOnce() -> Answer) -> Step {
    let (answer, took) = timed(work);
    Step { what, answer: Numbers(answer), shows: None, took }
}

/// A write to an attribute as a step.
fn write(what: &'static str, work: impl FnOnce() -> io::Result<()>) -> Step {
    let (written, took) = timed(work);
    let errno = written.err().and_then(|e| e.raw_os_error());
    Step { what, answer: Numbers(Answer { errno, ..Answer::default() }), shows: None, took }
}

/// A look as a step, and when it was.
fn look(what: &'static str, shows: &'static str, took: Duration) -> Step {
    Step { what, answer: Numbers::default(), shows: Some(shows), took }
}

/// A state of a queue in a word, without the index of a secret.
fn word(state: SeState) -> &'static str {
    match state {
        SeState::Unbound => "unbound",
        SeState::Bound => "bound",
        SeState::Pending => "pending",
        SeState::Associated(_) => "associated",
        SeState::AssociatedUnknown => "associated, with what is not known",
        SeState::Unusable => "unusable",
        SeState::Unsupported => "unsupported",
        SeState::Failing => "failing",
    }
}
