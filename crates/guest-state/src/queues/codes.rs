//! Codes of this room's own.

use std::io;

fault::codes! {
    EMPTY_EXCLUSIVE = "args.empty_exclusive", "An empty list of entries together with exclusive would release every queue; use state=unbound with all for that.";
    CONFIG_UNREADABLE = "config.unreadable", "pvapconfig's configuration file cannot be read.";
    CONFIG_INVALID = "config.invalid", "The configuration is not a list of entries with pvapconfig's fields.";
    ENTRY_INVALID = "config.invalid_entry", "An entry lacks a field, or one of its fields is invalid.";
    QUEUE_TWICE = "config.queue_twice", "Two entries name the same queue, which can serve only one of them.";
    NO_ENTRIES = "config.no_entries", "The list of entries is empty, so nothing was done.";
    LEFT_UNDONE = "ap.left_undone", "The entry could be served, but another entry cannot, and strict requires all or nothing.";
    SECRET_MISSING = "ap.secret_missing", "The association secret of the entry is not in the secret store.";
    NO_MATCHING_QUEUE = "ap.no_matching_queue", "No remaining queue fits the entry.";
    MKVP_MISMATCH = "ap.mkvp_mismatch", "A queue is associated with the entry's secret, but its master key or serial number does not match the entry: the key, the card or the entries were changed.";
    ASSOCIATION_UNKNOWN = "ap.association_unknown", "A queue is associated with a secret whose index the kernel has forgotten, so it is not known which entry it serves.";
    SECRET_CHANGED = "ap.secret_moved", "The secret store changed while the module worked on the queues.";
}

/// Whether a fault is that of a configuration file that is not there.
pub fn is_missing(fault: &fault::Fault) -> bool {
    fault.code == CONFIG_UNREADABLE
        && fault.answer.errno.is_some_and(|errno| io::Error::from_raw_os_error(errno).kind() == io::ErrorKind::NotFound)
}
