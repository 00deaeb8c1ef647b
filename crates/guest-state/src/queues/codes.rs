//! Codes of this room's own.

use std::io;

fault::codes! {
    EMPTY_EXCLUSIVE = "args.empty_exclusive", "An empty list of entries together with exclusive would release every queue; state=unbound with all says so plainly.";
    CONFIG_UNREADABLE = "config.unreadable", "pvapconfig's configuration file cannot be read.";
    CONFIG_INVALID = "config.invalid", "The configuration is not a list of entries with pvapconfig's fields.";
    ENTRY_INVALID = "config.invalid_entry", "An entry lacks a field or a field of it is not as it must be.";
    QUEUE_TWICE = "config.queue_twice", "Two entries name one queue, which can serve only one of them.";
    NO_ENTRIES = "config.no_entries", "The list of entries is empty, so nothing was done.";
    LEFT_UNDONE = "ap.left_undone", "The entry could be served, but another cannot, and strict demands all or nothing.";
    SECRET_MISSING = "ap.secret_missing", "The association secret of the entry is not in the secret store.";
    NO_MATCHING_QUEUE = "ap.no_matching_queue", "No queue that is left fits the entry.";
    MKVP_MISMATCH = "ap.mkvp_mismatch", "A queue is associated with the entry's secret, but its master key or serial number is not the one the entry demands: one of them was changed, or the entries were.";
    ASSOCIATION_UNKNOWN = "ap.association_unknown", "A queue is associated with a secret of which the kernel has forgotten the index, so nobody can tell whom it serves.";
    SECRET_CHANGED = "ap.secret_moved", "The secret store changed while the queues were worked on.";
}

/// Whether a fault is that of a configuration file that is not there.
pub fn is_missing(fault: &fault::Fault) -> bool {
    fault.code == CONFIG_UNREADABLE
        && fault.answer.errno.is_some_and(|errno| io::Error::from_raw_os_error(errno).kind() == io::ErrorKind::NotFound)
}
