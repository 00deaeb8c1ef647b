//! Codes of this module's own.

fault::codes! {
    EMPTY_EXCLUSIVE = "args.empty_exclusive", "An empty list of entries together with exclusive would release every queue; state=unbound with all says so plainly.";
    CONFIG_UNREADABLE = "config.unreadable", "pvapconfig's configuration file cannot be read.";
    CONFIG_INVALID = "config.invalid", "The configuration is not a list of entries with pvapconfig's fields.";
    ENTRY_INVALID = "config.invalid_entry", "An entry lacks a field or a field of it is not as it must be.";
    NO_ENTRIES = "config.no_entries", "The list of entries is empty, so nothing was done.";
    LEFT_UNDONE = "ap.left_undone", "The entry could be served, but another cannot, and strict demands all or nothing.";
    SECRET_MISSING = "ap.secret_missing", "The association secret of the entry is not in the secret store.";
    NO_MATCHING_QUEUE = "ap.no_matching_queue", "No queue that is left fits the entry.";
    MKVP_MISMATCH = "ap.mkvp_mismatch", "A queue is associated with the entry's secret, but its master key or serial number is not the one the entry demands.";
    QUEUE_BUSY = "ap.queue_busy", "A queue that would have to be released has requests in it.";
    BIND_REFUSED = "ap.bind_refused", "The queue could not be bound.";
    ASSOCIATE_FAILED = "ap.associate_failed", "The queue was bound, but could not be associated with the secret; it was released again.";
    UNBIND_FAILED = "ap.unbind_failed", "The queue could not be released.";
    QUEUE_VANISHED = "ap.queue_vanished", "The queue disappeared while it was worked on.";
    QUEUE_UNUSABLE = "ap.queue_unusable", "The queue belongs to another guest, must be reset before it can be bound, or went out of use while it was worked on.";
    TIMEOUT = "ap.timeout", "The queue did not reach the state that was asked for in time.";
    SECRET_CHANGED = "ap.secret_moved", "The secret store changed while the queues were worked on.";
    JOURNAL_SETTLED = "ap.journal_settled", "An earlier run ended in the middle of its work; the queues that it left half done were released.";
    LOOK_SKIPPED = "ap.look_skipped", "A queue could not be looked at, so it was left out.";
}
