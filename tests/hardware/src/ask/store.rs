//! Questions to the ultravisor that only read, and the probe of the lock as the modules send it.

use super::{Asked, announce, call, system};
use crate::judge::{self, codes};
use crate::questions::*;
use crate::report::Verdict;
use pv_guest::uv::{Calls, Device, Pages, Secret, SecretList};
use pv_guest::{firmware, sysfs};
use pv_wire::SecretType;

/// No secret has this index: the list counts them in 16 bits.
const NO_INDEX: u16 = u16::MAX;
/// The longest secret.
const MAX_RETRIEVED: usize = 0x2000;

/// Asks them.
pub fn ask(device: &Device, asked: &mut Asked) {
    announce("reading what the ultravisor and its store say");
    if let Ok(text) = sysfs::read(&firmware::path("keys/all")) {
        asked.note(&KEYS_LINES, judge::keys_lines(&text), Vec::new());
    }
    let Ok(calls) = device.calls() else {
        return asked.note(&INFO_WORDS, Verdict::Inconclusive("the info call fails"), Vec::new());
    };
    let facilities = system::bits("query/facilities");
    asked.note(&INFO_WORDS, judge::info_words(calls, facilities.as_deref()), Vec::new());
    asked.note(&INFO_RETRIEVE, judge::info_retrieve(calls, facilities.as_deref()), Vec::new());
    let offers = |bit: u64| calls.device & calls.ultravisor & bit != 0;
    if !offers(Calls::LIST) {
        return;
    }
    list(device, asked);
    if offers(Calls::ADD) && offers(Calls::LOCK) {
        probe(device, asked);
    }
    if calls.device & Calls::RETRIEVE != 0 && firmware::has_facility(firmware::RETRIEVE_SECRET) != Some(false) {
        retrieve(device, asked);
    }
}

fn list(device: &Device, asked: &mut Asked) {
    let mut page = Pages::new(1);
    let step = call("list into one page", || device.answer_to_list(&mut page));
    asked.note(&LIST_END, judge::list_end(step.answer.0, page.bytes()), vec![step]);
    let step = call("list into two pages", || device.answer_to_list(&mut Pages::new(2)));
    asked.note(&LIST_PAGES, judge::list_pages(step.answer.0), vec![step]);
}

fn probe(device: &Device, asked: &mut Asked) {
    let (before, step) = (SecretList::read(device), call("probe", || device.answer_to_probe()));
    let (after, again) = (SecretList::read(device), call("probe again", || device.answer_to_probe()));
    asked.note(&PROBE, judge::by_rc(step.answer.0, codes::PROBE, "other"), vec![step, again]);
    let verdict = match (before, after) {
        (Ok(before), Ok(after)) if before == after => Verdict::Observed("unchanged", None),
        (Ok(_), Ok(_)) => Verdict::Observed("changed", None),
        _ => Verdict::Inconclusive("the secrets cannot be listed"),
    };
    asked.note(&PROBE_HARMLESS, verdict, Vec::new());
}

fn retrieve(device: &Device, asked: &mut Asked) {
    let step = call("retrieve what is not there", || device.answer_to_retrieve(NO_INDEX, MAX_RETRIEVED).0);
    asked.note(&RETRIEVE_MISSING, judge::by_rc(step.answer.0, codes::MISSING, "other"), vec![step]);
    let secrets = SecretList::read(device).map(|list| list.secrets).unwrap_or_default();
    if let Some(secret) = longest(&secrets) {
        let step = call("retrieve into two bytes", || device.answer_to_retrieve(secret.index, 2).0);
        asked.note(&RETRIEVE_SMALL, judge::by_rc(step.answer.0, codes::SMALL, "other"), vec![step]);
        if device.answer_to_probe().uv_rc == Some(0x0102) {
            locked(device, secret, &RETRIEVE_LOCKED, asked);
        }
    }
    if let Some(key) = secrets.iter().find(|secret| is_key(secret)) {
        twice(device, key, asked);
    }
}

/// Retrieves a secret where the store is locked.
pub fn locked(device: &Device, secret: &Secret, question: &'static Question, asked: &mut Asked) {
    let room = usize::try_from(secret.length).unwrap_or(MAX_RETRIEVED).min(MAX_RETRIEVED);
    let step = call("retrieve", || device.answer_to_retrieve(secret.index, room).0);
    asked.note(question, judge::by_rc(step.answer.0, codes::RETRIEVE, "refused"), vec![step]);
}

/// The longest secret that can be retrieved and does not fit into two bytes.
pub fn longest(secrets: &[Secret]) -> Option<&Secret> {
    let fits = |secret: &&Secret| secret.secret_type.is_retrievable() && secret.length > 2;
    secrets.iter().filter(fits).max_by_key(|secret| secret.length)
}

fn is_key(secret: &Secret) -> bool {
    secret.secret_type.is_retrievable() && secret.secret_type != SecretType::PLAINTEXT
}

fn twice(device: &Device, key: &Secret, asked: &mut Asked) {
    let room = usize::try_from(key.length).unwrap_or(MAX_RETRIEVED).min(MAX_RETRIEVED);
    let mut got = Vec::new();
    let steps = ["retrieve a key", "retrieve it again"].map(|what| {
        call(what, || {
            let (answer, key) = device.answer_to_retrieve(key.index, room);
            got.push(key);
            answer
        })
    });
    let is_there = steps.iter().all(|step| step.answer.0.uv_rc == Some(1));
    let verdict = match got.as_slice() {
        [one, other] if is_there => Verdict::Observed(if one == other { "same" } else { "fresh" }, None),
        _ => Verdict::Inconclusive("the key could not be retrieved; the steps say what was answered"),
    };
    asked.note(&RETRIEVE_TWICE, verdict, steps.to_vec());
}
