//! The table: what is asked, and what each answer means. Rows are those of `tests/guest/rows.yaml`; what has no row there is
//! named in "What only real hardware can confirm" of the simulator's README.

use serde::Serialize;

/// When a question is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// Always: it only reads.
    Harmless,
    /// Where a free queue is named: it is bound, reset and released.
    Queue,
    /// Only if that is wanted explicitly: until a reboot it cannot be taken back.
    UntilReboot,
}

/// A question.
#[derive(Debug, PartialEq, Eq)]
pub struct Question {
    /// Its name in the report.
    pub id: &'static str,
    /// When it is asked.
    pub part: Part,
    /// What is done for it.
    pub does: &'static str,
    /// The rows that its answer is about.
    pub rows: &'static [&'static str],
    /// Answers, and what each means.
    pub answers: &'static [(&'static str, &'static str)],
}

macro_rules! questions {
    ($($name:ident = $id:literal, $part:ident, $does:literal, [$($row:literal),*], {$($answer:literal: $meaning:literal),+ $(,)?};)+) => {
        $(#[doc = $does] pub const $name: Question = Question {
            id: $id, part: Part::$part, does: $does, rows: &[$($row),*], answers: &[$(($answer, $meaning)),+],
        };)+
        /// All of them, in the order in which they are asked.
        pub const ALL: &[&Question] = &[$(&$name),+];
    };
}

questions! {
    INFO_WORDS = "info.words", Harmless, "The info call is compared with the facilities in sysfs.", ["uv.info.words"], {
        "own_order": "The words are in the machine's own byte order, as the simulator has them.",
        "swapped": "The words are in the other byte order.",
        "other": "The bits are not those of the facilities in any byte order; the words are the value.",
    };
    INFO_RETRIEVE = "info.retrieve", Harmless, "The info call's bit of retrieving is compared with the facilities.", ["uv.retrieve.info"], {
        "facility": "The bit follows the ultravisor's call: `info_knows_retrieve: true`.",
        "attestation": "The bit is that of attestation: `info_knows_retrieve: false`.",
    };
    LIST_END = "list.end", Harmless, "The secrets are listed into one page.", ["uv.list.length"], {
        "zeros": "A complete list names 0 as its next index, and the rest of the page stays zero, as in the simulator.",
        "next_index": "A complete list names another next index, which is the value.",
        "rest": "There is something behind the last entry.",
    };
    LIST_PAGES = "list.pages", Harmless, "The secrets are listed into two pages.", ["uv.list.length"], {
        "taken": "This kernel takes several pages.",
        "one_page_only": "This kernel takes one page (EINVAL).",
    };
    PROBE = "lock.probe", Harmless, "The block that check mode and facts send is sent: no host key, a version that does not exist.", ["switch.check_order"], {
        "version": "The version is checked before the number of host keys, and before the size.",
        "host_keys": "The number of host keys is checked before the version.",
        "size": "The size is checked first: the modules cannot tell then that the store is open.",
        "locked": "The store is locked, and that is noticed before the form is checked.",
        "other": "Another answer, which the modules count as unknown.",
    };
    PROBE_HARMLESS = "lock.probe_harmless", Harmless, "The list of secrets is compared before and after that block.", ["switch.check_order"], {
        "unchanged": "The probe changes nothing.",
        "changed": "The probe changes the store: it must not be used.",
    };
    RETRIEVE_MISSING = "retrieve.missing", Harmless, "A secret of an index that no secret has is retrieved.", ["uv.retrieve.010f", "uv.retrieve.0110"], {
        "empty": "0x010f on an empty store, as documented.",
        "no_such_index": "0x0110, as documented for a store that is not empty.",
        "other": "Another answer.",
    };
    RETRIEVE_SMALL = "retrieve.small", Harmless, "A retrievable secret is retrieved into too little room.", ["uv.retrieve.0009"], {
        "0009": "0x0009, as in pvsecret's source.",
        "0109": "0x0109, as in the kernel's header.",
        "other": "Another answer.",
    };
    RETRIEVE_TWICE = "retrieve.twice", Harmless, "A key is retrieved twice, compared and wiped.", ["switch.fresh_wrapping"], {
        "same": "A key is wrapped once a boot: `fresh_wrapping: false`.",
        "fresh": "A key is wrapped anew each time: `fresh_wrapping: true`.",
    };
    RETRIEVE_LOCKED = "retrieve.locked", Harmless, "A secret is retrieved where the store is locked already, and wiped.", [], {
        "allowed": "A lock does not prevent retrieving, as in the simulator.",
        "refused": "A lock prevents retrieving.",
    };
    KEYS_LINES = "keys.lines", Harmless, "The lines of keys/all are counted.", [], {
        "fifteen": "There are 15 lines, as in the simulator; the value says how many are not zeros.",
        "other": "There is another number of lines, which is the value.",
        "not_hex": "There is a line that is not 64 hex digits.",
    };
    DEAD_QUEUE = "queue.dead", Harmless, "Deconfigured and checkstopped queues are asked how they are bound.", ["switch.dead_queue_reads_zero"], {
        "usable": "It says that it is usable: `dead_queue_reads_zero: true`.",
        "not_usable": "It does not say so: `dead_queue_reads_zero: false`; the value is what it says.",
        "error": "It answers with an error.",
    };
    CCA_FILES = "queue.cca", Harmless, "It is looked whether CCA queues have files of secure binding; they are not read.", [], {
        "without": "They have none, as in the simulator.",
        "with": "They have them.",
    };
    BIND = "bind.write", Queue, "The queue is bound, and its state read until it is.", ["switch.slow_bind_is_eio"], {
        "at_once": "It was bound when the write returned: nothing is slow here.",
        "later": "The write succeeded, and it was bound later: `slow_bind_is_eio: false`.",
        "eio_then_bound": "The write was answered with EIO, and it was bound nevertheless: `slow_bind_is_eio: true`.",
    };
    BIND_STATE = "bind.accelerator", Queue, "A bound accelerator is asked for its state.", ["switch.accelerator_without_keys"], {
        "usable": "It is usable: `accelerator_without_keys: false`.",
        "without_keys": "It says that it is without secure keys: `accelerator_without_keys: true`.",
        "other": "It says something else, which is the value.",
    };
    BIND_AGAIN = "bind.again", Queue, "A bound queue is bound again.", [], {
        "einval": "EINVAL, as kernels after 6.12 are read.",
        "eio": "EIO, as older kernels are read.",
        "taken": "The write succeeds.",
        "other": "Another answer.",
    };
    MKVPS = "bind.mkvps", Queue, "The master key of a queue that was just bound is read until it is there; it is not reported.", [], {
        "at_once": "It can be read as soon as the queue is bound, as in the simulator.",
        "later": "It can be read later: the time is that of the last step.",
        "not_read": "It cannot be read within the time that modules wait.",
    };
    SERIALNR = "bind.serialnr", Queue, "The same with the card's serial number.", [], {
        "at_once": "It can be read as soon as the queue is bound, as in the simulator.",
        "later": "It can be read later: the time is that of the last step.",
        "not_read": "It cannot be read within the time that modules wait.",
    };
    RESET = "reset.binding", Queue, "The bound queue is reset.", ["switch.reset_keeps_binding"], {
        "kept": "It is bound afterwards: `reset_keeps_binding: true`.",
        "dropped": "It is free afterwards: `reset_keeps_binding: false`.",
        "other": "It is neither.",
    };
    UNBIND_IN_RESET = "unbind.in_reset", Queue, "The queue is reset, and released at once.", [], {
        "free": "It is free in the end, as in the simulator.",
        "bound": "It is bound in the end: the release was lost.",
        "other": "It is neither.",
    };
    UNBIND = "unbind.shows", Queue, "The queue is released, and se_bind read at once.", ["switch.bound_during_reset"], {
        "old_state": "It shows that it is bound until it is reset: `bound_during_reset: true`.",
        "free": "It shows at once that it is free: `bound_during_reset: false`.",
        "error": "It cannot be read meanwhile.",
    };
    BIND_IN_RESET = "bind.in_reset", Queue, "The queue is released, and bound again while the kernel says that it is being reset.", [], {
        "eio": "EIO, as kernels 6.12 and 7.2 do in the laboratory.",
        "ebusy": "EBUSY, as older kernels are read.",
        "taken": "The write succeeds.",
        "other": "Another answer.",
    };
    SERIALNR_LINGERS = "serialnr.lingers", Queue, "After the last release of its card the serial number is read until it is gone; it is not reported.", [], {
        "gone": "It is gone at once, as on 7.2: `serialnr_lingers: 0`.",
        "lingered": "It was still there for as many reads as the value says.",
        "stayed": "It stayed.",
    };
    FORM = "form.order", UntilReboot, "Requests with two faults of their form are sent, without any key in them.", ["switch.check_order"], {
        "order": "The value is the order in which the form is checked: `check_order`.",
        "no_order": "The answers contradict any order; they are in the steps.",
        "locked": "The store is locked, and that is noticed before the form is checked.",
    };
    OTHER_IMAGE = "add.other_image", UntilReboot, "A request for another image is added.", ["switch.other_image_is_constraint"], {
        "undecryptable": "0x0108: `other_image_is_constraint: false`.",
        "constraint": "0x010c: `other_image_is_constraint: true`.",
        "other": "Another answer.",
    };
    OTHER_START = "add.other_start", UntilReboot, "A request for another start of a guest (another CUID) is added.", ["switch.other_cuid_is_undecryptable"], {
        "constraint": "0x010c: `other_cuid_is_undecryptable: false`.",
        "undecryptable": "0x0108: `other_cuid_is_undecryptable: true`.",
        "other": "Another answer.",
    };
    ADD = "add.request", UntilReboot, "The given request is added.", ["uv.add.real"], {
        "added": "It was added.",
        "refused": "It was refused.",
    };
    ASSOCIATE = "associate.write", UntilReboot, "The queue is bound, and associated with the secret that was added.", [], {
        "at_once": "It was associated when it was read first.",
        "pending": "It was pending before that.",
        "failed": "It came to another end.",
    };
    MKVPS_PENDING = "associate.mkvps", UntilReboot, "The master key is read while the association is pending.", [], {
        "blocked": "The read blocks, as with the kernels in the laboratory.",
        "answered": "The read is answered.",
    };
    ADD_AGAIN = "add.again", UntilReboot, "The same request is added a second time.", [], {
        "added": "It was added, as in the simulator: an id can be in the store twice.",
        "refused": "It was refused.",
    };
    DOUBLED = "associate.doubled", UntilReboot, "The queue is associated with one of two secrets of the same id.", ["switch.doubled_id_is_not_unique"], {
        "associated": "It was associated: `doubled_id_is_not_unique: false`.",
        "failed": "It was not: `doubled_id_is_not_unique: true`.",
    };
    LOCK = "lock.call", UntilReboot, "The store is locked.", ["uv.lock.length"], {
        "locked": "It was locked.",
        "already": "It was locked already (0x0102).",
        "other": "Another answer.",
    };
    LOCK_AGAIN = "lock.again", UntilReboot, "The store is locked again.", [], {
        "already": "0x0102, as documented.",
        "other": "Another answer.",
    };
    LOCKED_FORM = "lock.form", UntilReboot, "The probe, and a request with each fault of its form, are sent to the locked store.", ["uv.add.0102"], {
        "locked_first": "All are answered with 0x0102: that is noticed first.",
        "form_first": "Some are refused for their form: the steps say which.",
    };
    LOCKED_ADD = "lock.add", UntilReboot, "The given request is added to the locked store.", ["uv.add.0102"], {
        "locked": "0x0102, as documented.",
        "other": "Another answer.",
    };
    LOCKED_RETRIEVE = "lock.retrieve", UntilReboot, "A secret is retrieved after the lock, and wiped.", [], {
        "allowed": "A lock does not prevent retrieving, as in the simulator.",
        "refused": "A lock prevents retrieving.",
    };
    REBOOT = "reboot.store", Harmless, "The store is compared with what an earlier report says of it, before a reboot.", [], {
        "emptied": "A reboot empties the store and opens it, as documented.",
        "kept": "There are still secrets, or it is still locked.",
    };
}

impl Question {
    /// What an answer of it means; `None` for one that it does not have.
    pub fn meaning(&self, answer: &str) -> Option<&'static str> {
        self.answers.iter().find(|(name, _)| *name == answer).map(|(_, meaning)| *meaning)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_question_has_a_name_of_its_own_and_several_answers() {
        let ids: BTreeSet<_> = ALL.iter().map(|question| question.id).collect();
        assert_eq!(ids.len(), ALL.len());
        for question in ALL {
            let answers: BTreeSet<_> = question.answers.iter().map(|(name, _)| name).collect();
            assert!(answers.len() == question.answers.len() && answers.len() > 1, "{}", question.id);
        }
    }

    /// Of the guest side: those that requests alone decide are in the table too, but four.
    #[test]
    fn every_switch_of_the_simulator_is_asked_or_named_as_not_asked() {
        const NOT_ASKED: [&str; 3] = ["full_before_decryption", "cck_update_unprimes", "attest_order"];
        let catalogue = include_str!("../../guest/rows.yaml");
        let rows: BTreeSet<_> = catalogue.split("{id: ").skip(1).filter_map(|rest| rest.split(',').next()).collect();
        let asked: BTreeSet<_> = ALL.iter().flat_map(|question| question.rows).copied().collect();
        for row in &asked {
            assert!(rows.contains(row), "there is no row {row}");
        }
        let page = include_str!("../README.md");
        for switch in rows.iter().filter_map(|row| row.strip_prefix("switch.")) {
            let is_asked = asked.contains(format!("switch.{switch}").as_str());
            assert_eq!(is_asked, !NOT_ASKED.contains(&switch), "{switch}");
            assert!(
                is_asked || page.contains(&format!("`{switch}`")),
                "README.md does not say why {switch} is not asked"
            );
        }
    }

    #[test]
    fn the_page_lists_every_question() {
        let page = include_str!("../README.md");
        for question in ALL {
            assert!(page.contains(&format!("`{}`", question.id)), "{}", question.id);
        }
    }
}
