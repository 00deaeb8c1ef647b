//! What cannot be taken back until a reboot. Each thing is announced before it is done.

use super::{Asked, SHOWS_WITHIN, announce, call, look, queue, store, timed, word, write};
use crate::arguments::UntilReboot;
use crate::judge::{self, FAULTS, PAIRS, codes};
use crate::questions::*;
use crate::report::{Step, Verdict};
use fault::Answer;
use pv_guest::ap::steps::{self, Patience};
use pv_guest::ap::{Apqn, Associate, Queue, SeState};
use pv_guest::boot_record::BootRecord;
use pv_guest::limited;
use pv_guest::sysfs;
use pv_guest::uv::{Device, Request, SecretList};
use pv_wire::{RequestView, SecretType};
use std::path::Path;
use std::time::{Duration, Instant};

/// The requests, read before anything is done.
#[derive(Debug)]
pub struct Requests {
    own: Option<Vec<u8>>,
    other_image: Option<Vec<u8>>,
    other_start: Option<Vec<u8>>,
}

impl Requests {
    /// Reads the files.
    ///
    /// # Errors
    /// Which one cannot be read or is no request.
    pub fn read(wanted: &UntilReboot) -> Result<Self, String> {
        let read = |path: Option<&Path>| path.map(request).transpose();
        Ok(Self {
            own: read(wanted.request.as_deref())?,
            other_image: read(wanted.other_image.as_deref())?,
            other_start: read(wanted.other_start.as_deref())?,
        })
    }
}

fn request(path: &Path) -> Result<Vec<u8>, String> {
    let bytes = std::fs::read(path).map_err(|e| format!("{} cannot be read: {e}", path.display()))?;
    match RequestView::parse(&bytes) {
        Ok(_) => Ok(bytes),
        Err(fault) => Err(format!("{}: {fault}", path.display())),
    }
}

fn add(device: &Device, what: &'static str, bytes: &[u8]) -> Step {
    call(what, || Request::new(bytes).map(|request| device.answer_to_add(request)).unwrap_or_default())
}

/// Does what is wanted.
pub fn ask(
    device: &Device,
    boot: &BootRecord,
    wanted: &UntilReboot,
    requests: &Requests,
    apqn: Option<Apqn>,
    asked: &mut Asked,
) {
    announce("sending add-secret requests with faults of their form, which nobody can open");
    form(device, asked);
    for (question, bytes) in [(&OTHER_IMAGE, &requests.other_image), (&OTHER_START, &requests.other_start)] {
        if let Some(bytes) = bytes {
            announce("adding a request that should be refused; if it is not, its secret stays until the reboot");
            let step = add(device, "add", bytes);
            asked.note(question, judge::by_rc(step.answer.0, codes::BORDER, "other"), vec![step]);
        }
    }
    if let Some(bytes) = &requests.own {
        own(device, boot, bytes, apqn, asked);
    }
    if wanted.lock {
        announce("locking the secret store: until the reboot nothing can be added");
        lock(device, requests.own.as_deref(), asked);
    }
}

fn form(device: &Device, asked: &mut Asked) {
    let steps = PAIRS.map(|(one, other, what)| call(what, || device.answer_to_malformed(one, other)));
    let answers: Vec<_> =
        PAIRS.iter().zip(steps).map(|((one, other, _), step)| (*one, *other, step.answer.0)).collect();
    asked.note(&FORM, judge::form_order(&answers), steps.to_vec());
}

/// Adds a request, associates a queue with its secret, and adds it again.
fn own(device: &Device, boot: &BootRecord, bytes: &[u8], apqn: Option<Apqn>, asked: &mut Asked) {
    announce("adding the given request: its secret stays until the reboot");
    let step = add(device, "add", bytes);
    asked.note(&ADD, judge::by_rc(step.answer.0, codes::ADD, "refused"), vec![step]);
    if step.answer.0.uv_rc != Some(1) {
        return;
    }
    let free = apqn.and_then(queue::free);
    let associate_with = |asked: &mut Asked, work: &dyn Fn(&Queue, Associate, &mut Asked)| {
        let (Some(free), Some(secret)) = (&free, association(device, bytes)) else { return };
        announce("binding the named queue, associating it with that secret, and releasing it");
        let done = queue::with(free, boot, |free| match steps::bind(&free.queue, queue::MANNER) {
            Ok(()) => work(&free.queue, secret, asked),
            Err(fault) => announce(&fault.to_string()),
        });
        if let Err(fault) = done {
            announce(&fault.to_string());
        }
    };
    associate_with(asked, &associate);
    announce("adding the same request a second time");
    let step = add(device, "add", bytes);
    asked.note(&ADD_AGAIN, judge::by_rc(step.answer.0, codes::ADD, "refused"), vec![step]);
    if step.answer.0.uv_rc == Some(1) {
        associate_with(asked, &|queue, secret, asked| {
            let (written, _) = begin(queue, secret);
            let (end, last) = until_over(queue);
            asked.note(&DOUBLED, judge::doubled(end), vec![written, last]);
        });
    }
}

/// The index of the request's secret, if a queue can be associated with it.
fn association(device: &Device, bytes: &[u8]) -> Option<Associate> {
    let id = RequestView::parse(bytes).ok()?.id?;
    let list = SecretList::read(device).ok()?;
    let found = list.secrets.iter().find(|secret| secret.id == id && secret.secret_type == SecretType::ASSOCIATION)?;
    Some(Associate(found.index))
}

/// Writes the index until the kernel takes it: it answers EBUSY until a bind has settled.
fn begin(queue: &Queue, secret: Associate) -> (Step, SeState) {
    let mut patience = Patience::new(SHOWS_WITHIN);
    loop {
        let written = write("write to se_associate", || queue.associate(secret));
        let is_busy = written.answer.0.errno == Some(nix::errno::Errno::EBUSY as i32);
        if !is_busy || !patience.wait() {
            return (written, queue.state());
        }
    }
}

fn until_over(queue: &Queue) -> (SeState, Step) {
    queue::until("read until it is over", queue, |state| !matches!(state, SeState::Pending))
}

fn associate(queue: &Queue, secret: Associate, asked: &mut Asked) {
    let (written, first) = begin(queue, secret);
    let since = Instant::now();
    let pending = queue.is_pending();
    let (answer, took) = timed(|| mkvps(queue));
    let still = queue.is_pending();
    let shows = if answer { "an answer" } else { "nothing, and was interrupted" };
    let verdict = judge::mkvps_pending(pending, answer, still);
    asked.note(&MKVPS_PENDING, verdict, vec![look("read mkvps", shows, took)]);
    let (end, mut last) = until_over(queue);
    last.took = since.elapsed();
    let seen = look("read the state", word(first), Duration::ZERO);
    asked.note(&ASSOCIATE, judge::associate(first, end), vec![written, seen, last]);
}

/// Whether a read of the master key ends in time. What it says is not looked at.
fn mkvps(queue: &Queue) -> bool {
    let Ok(file) = queue.open("mkvps") else { return true };
    limited::within(SHOWS_WITHIN, || sysfs::text(file).is_ok()).is_some()
}

fn lock(device: &Device, own: Option<&[u8]>, asked: &mut Asked) {
    let step = call("lock", || device.answer_to_lock());
    asked.note(&LOCK, judge::by_rc(step.answer.0, codes::LOCK, "other"), vec![step]);
    if !matches!(step.answer.0.uv_rc, Some(0x0001 | 0x0102)) {
        return asked.note(&LOCK_AGAIN, Verdict::NotTried("the store was not locked"), Vec::new());
    }
    let step = call("lock", || device.answer_to_lock());
    asked.note(&LOCK_AGAIN, judge::by_rc(step.answer.0, codes::LOCK_AGAIN, "other"), vec![step]);
    let mut steps = vec![call("probe", || device.answer_to_probe())];
    steps.extend(FAULTS.map(|(fault, ..)| call("add with one fault", || device.answer_to_malformed(fault, fault))));
    let answers: Vec<Answer> = steps.iter().map(|step| step.answer.0).collect();
    asked.note(&LOCKED_FORM, judge::locked_form(&answers), steps);
    if let Some(bytes) = own {
        let step = add(device, "add", bytes);
        asked.note(&LOCKED_ADD, judge::by_rc(step.answer.0, codes::LOCKED_ADD, "other"), vec![step]);
    }
    let secrets = SecretList::read(device).map(|list| list.secrets).unwrap_or_default();
    if let Some(secret) = store::longest(&secrets) {
        store::locked(device, secret, &LOCKED_RETRIEVE, asked);
    }
}
