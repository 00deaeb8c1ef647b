//! What answers mean for a question: pure, and nothing but numbers and states goes in.

use crate::report::{Number, Store, Verdict};
use Verdict::{Inconclusive, Observed};
use fault::Answer;
use nix::errno::Errno;
use pv_guest::ap::SeState;
use pv_guest::firmware::{ATTESTATION, RETRIEVE_SECRET};
use pv_guest::uv::{Calls, Malformed};

const KERNEL_ERROR: &str = "the kernel answered with an error; the steps say which";

/// An answer without more.
fn observed(answer: &'static str) -> Verdict {
    Observed(answer, None)
}

/// The calls by the bits of the info words and of the facilities.
const CALLS: [(u64, u32); 4] = [(Calls::ATTEST, ATTESTATION), (Calls::ADD, 29), (Calls::LIST, 30), (Calls::LOCK, 31)];

/// `info.words`.
pub fn info_words(calls: Calls, facilities: Option<&[u32]>) -> Verdict {
    let Some(facilities) = facilities else { return Inconclusive("the kernel does not show the facilities") };
    let bits = |which: &dyn Fn(u32) -> bool| {
        CALLS.iter().filter(|(_, facility)| which(*facility)).fold(0, |word, (bit, _)| word | bit)
    };
    let (all, expected) = (bits(&|_| true), bits(&|facility| facilities.contains(&facility)));
    let fits = |word: u64| word & all == expected && word >> 32 == 0;
    match calls.ultravisor {
        _ if expected == 0 => Inconclusive("the ultravisor has none of these calls"),
        word if fits(word) => observed("own_order"),
        word if fits(word.swap_bytes()) => observed("swapped"),
        word => Observed("other", Some(Number::One(word))),
    }
}

/// `info.retrieve`.
pub fn info_retrieve(calls: Calls, facilities: Option<&[u32]>) -> Verdict {
    let Some(facilities) = facilities else { return Inconclusive("the kernel does not show the facilities") };
    let [attests, retrieves] = [ATTESTATION, RETRIEVE_SECRET].map(|facility| facilities.contains(&facility));
    match calls.ultravisor & Calls::RETRIEVE != 0 {
        _ if calls.device & Calls::RETRIEVE == 0 => Inconclusive("this kernel does not know the call"),
        _ if attests == retrieves => {
            Inconclusive("the ultravisor has both attestation and retrieving or neither: the bits cannot be told apart")
        }
        named => observed(if named == retrieves { "facility" } else { "attestation" }),
    }
}

/// `list.end`, from the answer and the page: u16 entries in it, u16 in the store, u16 next index, 10 bytes, entries of 48.
pub fn list_end(answer: Answer, page: &[u8]) -> Verdict {
    let be16 =
        |at: usize| page.get(at..at + 2).map_or(0, |two| two.iter().fold(0, |all, b| all << 8 | usize::from(*b)));
    let (stored, total, next) = (be16(0), be16(2), be16(4));
    match answer.uv_rc {
        None => Inconclusive(KERNEL_ERROR),
        Some(1) if stored == total && next != 0 => Observed("next_index", Some(Number::One(next as u64))),
        Some(1) if stored == total => {
            let rest = page.iter().skip(16 + 48 * stored).any(|byte| *byte != 0);
            observed(if rest { "rest" } else { "zeros" })
        }
        Some(_) => Inconclusive("there is more in the store than one page shows"),
    }
}

/// `list.pages`.
pub fn list_pages(answer: Answer) -> Verdict {
    match answer {
        Answer { uv_rc: Some(0x0001 | 0x0100), .. } => observed("taken"),
        Answer { errno: Some(errno), .. } if errno == Errno::EINVAL as i32 => observed("one_page_only"),
        _ => Inconclusive("another answer, see the steps"),
    }
}

/// What return codes say for questions that ask for nothing else.
pub fn by_rc(answer: Answer, names: &[(u16, &'static str)], other: &'static str) -> Verdict {
    let Some(rc) = answer.uv_rc else { return Inconclusive(KERNEL_ERROR) };
    observed(names.iter().find(|(known, _)| *known == rc).map_or(other, |(_, name)| name))
}

/// The codes of the questions that [`by_rc`] answers.
pub mod codes {
    /// `lock.probe`.
    pub const PROBE: &[(u16, &str)] =
        &[(0x0104, "version"), (0x0106, "host_keys"), (0x0105, "size"), (0x0102, "locked")];
    /// `retrieve.missing`.
    pub const MISSING: &[(u16, &str)] = &[(0x010f, "empty"), (0x0110, "no_such_index")];
    /// `retrieve.small`.
    pub const SMALL: &[(u16, &str)] = &[(0x0009, "0009"), (0x0109, "0109")];
    /// `add.other_image` and `add.other_start`.
    pub const BORDER: &[(u16, &str)] = &[(0x0108, "undecryptable"), (0x010c, "constraint")];
    /// `add.request` and `add.again`.
    pub const ADD: &[(u16, &str)] = &[(0x0001, "added")];
    /// `lock.call`.
    pub const LOCK: &[(u16, &str)] = &[(0x0001, "locked"), (0x0102, "already")];
    /// `lock.again`.
    pub const LOCK_AGAIN: &[(u16, &str)] = &[(0x0102, "already")];
    /// `lock.add`.
    pub const LOCKED_ADD: &[(u16, &str)] = &[(0x0102, "locked")];
    /// `retrieve.locked` and `lock.retrieve`.
    pub const RETRIEVE: &[(u16, &str)] = &[(0x0001, "allowed")];
}

/// `keys.lines`.
pub fn keys_lines(text: &str) -> Verdict {
    let lines: Vec<&str> = text.lines().collect();
    if lines.iter().any(|line| line.len() != 64 || !line.bytes().all(|b| b.is_ascii_hexdigit())) {
        return observed("not_hex");
    }
    match lines.len() {
        15 => {
            let keys = lines.iter().filter(|line| line.bytes().any(|b| b != b'0')).count();
            Observed("fifteen", Some(Number::One(keys as u64)))
        }
        other => Observed("other", Some(Number::One(other as u64))),
    }
}

/// `queue.dead`, from the two bits of `ap_functions`.
pub fn dead_queue(bits: Option<u32>) -> Verdict {
    match bits {
        None => observed("error"),
        Some(0) => observed("usable"),
        Some(bits) => Observed("not_usable", Some(Number::One(bits.into()))),
    }
}

/// `bind.accelerator`, likewise.
pub fn bound_accelerator(bits: Option<u32>) -> Verdict {
    match bits {
        None => Inconclusive("the kernel does not show ap_functions"),
        Some(0) => observed("usable"),
        Some(1) => observed("without_keys"),
        Some(bits) => Observed("other", Some(Number::One(bits.into()))),
    }
}

/// `bind.write`: the write, what the queue was when it returned, and in the end.
pub fn bind(write: Answer, first: SeState, end: SeState) -> Verdict {
    match write.errno {
        _ if !end.is_held() => Inconclusive("the queue was not bound"),
        None if first.is_held() => observed("at_once"),
        None => observed("later"),
        Some(errno) if errno == Errno::EIO as i32 => observed("eio_then_bound"),
        Some(_) => Inconclusive(KERNEL_ERROR),
    }
}

/// `bind.again` and `bind.in_reset`: an errno has one of these names.
pub fn by_errno(write: Answer, names: &[(Errno, &'static str)]) -> Verdict {
    let Some(errno) = write.errno else { return observed("taken") };
    observed(names.iter().find(|(known, _)| *known as i32 == errno).map_or("other", |(_, name)| name))
}

/// The errnos of the questions that [`by_errno`] answers.
pub mod errnos {
    use nix::errno::Errno;

    /// `bind.again`.
    pub const AGAIN: &[(Errno, &str)] = &[(Errno::EINVAL, "einval"), (Errno::EIO, "eio")];
    /// `bind.in_reset`.
    pub const IN_RESET: &[(Errno, &str)] = &[(Errno::EBUSY, "ebusy"), (Errno::EIO, "eio")];
}

/// `bind.in_reset`: whether it was being reset before the write, and after.
pub fn bind_in_reset(before: bool, write: Answer, after: bool) -> Verdict {
    match write.errno {
        _ if !before => Inconclusive("the reset was over before it could be tried"),
        None if !after => Inconclusive("the reset was over in the meantime"),
        _ => by_errno(write, errnos::IN_RESET),
    }
}

/// `bind.mkvps` and `bind.serialnr`: whether it could be read at the first time, and in the end.
pub fn readable(first: bool, end: bool) -> Verdict {
    observed(match (first, end) {
        (true, _) => "at_once",
        (false, true) => "later",
        (false, false) => "not_read",
    })
}

/// `reset.binding` and `unbind.in_reset`: what a queue is afterwards has one of these names.
pub fn afterwards(state: SeState, held: &'static str, free: &'static str) -> Verdict {
    observed(match state {
        state if state.is_held() => held,
        SeState::Unbound => free,
        _ => "other",
    })
}

/// `unbind.shows`: what `se_bind` said at once, and whether the reset was still going on then.
pub fn unbind(said: Option<&str>, resetting: bool) -> Verdict {
    match said {
        None => observed("error"),
        Some("bound") => observed("old_state"),
        Some(_) if resetting => observed("free"),
        Some(_) => Inconclusive("the reset was over before it could be read"),
    }
}

/// `serialnr.lingers`: whether it was there, read by read.
pub fn lingers(there: &[bool]) -> Verdict {
    match there.iter().position(|there| !there) {
        Some(0) => observed("gone"),
        Some(reads) => Observed("lingered", Some(Number::One(reads as u64))),
        None => observed("stayed"),
    }
}

/// Faults of a form with the code that each has, and the name that the simulator's `check_order` gives it.
pub const FAULTS: [(Malformed, u16, &str); 4] = [
    (Malformed::Version, 0x0104, "version"),
    (Malformed::Size, 0x0105, "size"),
    (Malformed::HostKeys, 0x0106, "host_keys"),
    (Malformed::Flags, 0x0107, "flags"),
];

/// Requests with two faults of their form, each with what is done then.
pub const PAIRS: [(Malformed, Malformed, &str); 6] = [
    (Malformed::Version, Malformed::Size, "add with wrong version and size"),
    (Malformed::Version, Malformed::HostKeys, "add with wrong version and number of host keys"),
    (Malformed::Version, Malformed::Flags, "add with wrong version and flags"),
    (Malformed::Size, Malformed::HostKeys, "add with wrong size and number of host keys"),
    (Malformed::Size, Malformed::Flags, "add with wrong size and flags"),
    (Malformed::HostKeys, Malformed::Flags, "add with wrong number of host keys and flags"),
];

/// `form.order`, from the answers to requests with two faults.
pub fn form_order(answers: &[(Malformed, Malformed, Answer)]) -> Verdict {
    if answers.iter().all(|(.., answer)| answer.uv_rc == Some(0x0102)) {
        return observed("locked");
    }
    let mut wins = [0_usize; FAULTS.len()];
    for (one, other, answer) in answers {
        let first = FAULTS.iter().position(|(fault, rc, _)| [one, other].contains(&fault) && answer.uv_rc == Some(*rc));
        match first.and_then(|at| wins.get_mut(at)) {
            Some(count) => *count += 1,
            None => return observed("no_order"),
        }
    }
    let mut order: Vec<_> = wins.iter().zip(FAULTS).map(|(count, (.., name))| (*count, name)).collect();
    order.sort_by_key(|(count, _)| std::cmp::Reverse(*count));
    // In an order the first is before three others, the second before two, and so on.
    if order.iter().rev().enumerate().any(|(at, (count, _))| at != *count) {
        return observed("no_order");
    }
    Observed("order", Some(Number::Words(order.into_iter().map(|(_, name)| name).collect())))
}

/// `lock.form`.
pub fn locked_form(answers: &[Answer]) -> Verdict {
    let all = answers.iter().all(|answer| answer.uv_rc == Some(0x0102));
    observed(if all { "locked_first" } else { "form_first" })
}

/// `associate.write`: what the queue was when it was read first, and in the end.
pub fn associate(first: SeState, end: SeState) -> Verdict {
    let is = |state| matches!(state, SeState::Associated(_));
    observed(match (is(first), is(end)) {
        (true, _) => "at_once",
        (false, true) => "pending",
        (false, false) => "failed",
    })
}

/// `associate.doubled`.
pub fn doubled(end: SeState) -> Verdict {
    observed(if matches!(end, SeState::Associated(_)) { "associated" } else { "failed" })
}

/// `associate.mkvps`: whether the association was pending before the read and after it, and whether the read ended.
pub fn mkvps_pending(before: bool, ended: bool, after: bool) -> Verdict {
    match (before, ended) {
        (false, _) => Inconclusive("the association was over before it could be read"),
        (true, false) => observed("blocked"),
        (true, true) if after => observed("answered"),
        (true, true) => Inconclusive("the association was over in the meantime"),
    }
}

/// `reboot.store`.
pub fn reboot(before: Store, now: Store) -> Verdict {
    match (now.secrets, now.locked) {
        _ if before.secrets.unwrap_or(0) == 0 && before.locked != Some(true) => {
            Inconclusive("the store was empty and open before, too")
        }
        (Some(0), Some(false)) => observed("emptied"),
        (None, _) | (_, None) => Inconclusive("what the store holds, or whether it is locked, cannot be found out"),
        _ => observed("kept"),
    }
}

#[cfg(test)]
#[path = "judge_tests.rs"]
mod tests;
