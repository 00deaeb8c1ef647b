//! Error codes of the running guest.

fault::codes! {
    NO_DEVICE = "uv.no_device", "There is no /dev/uv: not a Secure Execution guest, or the kernel module uvdevice is not loaded.";
    NOT_PERMITTED = "uv.not_permitted", "The kernel does not let this user use /dev/uv.";
    IOCTL_UNKNOWN = "uv.ioctl_unknown", "The kernel's uvdevice does not know this call, or the ultravisor does not offer it.";
    IOCTL_FAILED = "uv.ioctl_failed", "The kernel refused a call to /dev/uv with an error number.";
    LIST_MALFORMED = "uv.list_malformed", "The secret list that came back contradicts itself.";
    LIST_INCOMPLETE = "uv.list_incomplete", "The kernel shows only part of the secret store, so that a secret's absence cannot be concluded.";
    INVALID_ANSWER = "uv.invalid_answer", "The ultravisor left its return code at zero (0x0000).";
    INVALID_COMMAND = "uv.invalid_command", "The ultravisor does not know the command (0x0002).";
    INVALID_SIZE = "uv.invalid_size", "The ultravisor found the command block's size wrong (0x0005).";
    HOME_SPACE = "uv.home_space", "The ultravisor met a home space control error (0x0030): corrupt host or guest kernel bug.";
    TRANSLATION = "uv.translation", "The ultravisor met a translation exception (0x0031): corrupt host or guest kernel bug.";
    INVALID_ADDRESS = "uv.invalid_address", "The ultravisor met an invalid address (0x0032): corrupt host or guest kernel bug.";
    STORE_NOT_MODIFIABLE = "uv.store_not_modifiable", "This guest is not allowed to modify the secret store (0x0101).";
    STORE_LOCKED = "uv.store_locked", "The secret store is locked until the guest's next boot (0x0102).";
    ACCESS_EXCEPTION = "uv.access_exception", "The ultravisor could not access the request in memory (0x0103).";
    REQUEST_VERSION = "uv.request_version", "The ultravisor does not support the request's version (0x0104).";
    REQUEST_SIZE = "uv.request_size", "The ultravisor found the request's size invalid (0x0105).";
    REQUEST_HOST_KEYS = "uv.request_host_keys", "The ultravisor found the request's number of host keys invalid (0x0106).";
    REQUEST_FLAGS = "uv.request_flags", "The ultravisor does not support the request's flags (0x0107).";
    NOT_FOR_THIS_GUEST = "uv.request_not_for_this_guest", "The ultravisor cannot decrypt the request (0x0108): no slot for this host's key, another image, or tampered; it does not tell which.";
    SECRET_UNSUPPORTED = "uv.secret_unsupported", "The ultravisor does not support the secret's type or its extension secret (0x0109).";
    SECRET_LENGTH = "uv.secret_length", "The ultravisor found the secret's length invalid for its type (0x010a).";
    STORE_FULL = "uv.store_full", "The secret store is full (0x010b).";
    SECRET_REFUSED = "uv.secret_refused", "The ultravisor did not add the secret (0x010c): a constraint such as extension secret or CUID is not met; it does not tell which.";
    DUMP_IN_PROGRESS = "uv.dump_in_progress", "The ultravisor is dumping the guest (0x010d).";
    UNKNOWN_ANSWER = "uv.unknown_answer", "The ultravisor answered with a code that is not documented for the call.";
    STORE_IN_USE = "uv.in_use_by_another", "Another secret_add or secret_lock works on the secret store and did not end in time.";
    RECORD_UNUSABLE = "file.record_unusable", "What is remembered of this boot under /run cannot be read or written.";
    NO_AP_BUS = "ap.no_bus", "The kernel shows no AP bus: no crypto adapter, or the module ap is not loaded.";
    NO_SECURE_BINDING = "ap.no_secure_binding", "The AP bus has no secure binding (APSB), or the kernel does not run as a Secure Execution guest.";
    NOT_A_GUEST = "ap.not_a_guest", "This system is not a Secure Execution guest.";
    BINDINGS_INCOMPLETE = "ap.bindings_incomplete", "The AP bus has not yet given every queue its driver.";
    ATTRIBUTE_UNREADABLE = "ap.attribute_unreadable", "An attribute in sysfs cannot be read or holds what is not understood.";
    BIND_NOT_PERMITTED = "ap.not_permitted", "Only root may bind and release queues.";
    BUSY_ELSEWHERE = "ap.in_use_by_another", "Another task of ours or pvapconfig is at work on the queues.";
    QUEUE_BUSY = "ap.queue_busy", "A queue that would have to be released has requests in it.";
    BIND_REFUSED = "ap.bind_refused", "The queue could not be bound.";
    ASSOCIATE_FAILED = "ap.associate_failed", "The queue was bound, but could not be associated with the secret; it was released again.";
    UNBIND_FAILED = "ap.unbind_failed", "The queue could not be released.";
    QUEUE_VANISHED = "ap.queue_vanished", "The queue disappeared while it was worked on.";
    QUEUE_UNUSABLE = "ap.queue_unusable", "The queue belongs to another guest, must be reset before it can be bound, or went out of use while it was worked on.";
    TIMEOUT = "ap.timeout", "The queue did not reach the state that was asked for in time.";
    JOURNAL_SETTLED = "ap.journal_settled", "An earlier run ended in the middle of its work; the queues that it left half done were released.";
    LOOK_SKIPPED = "ap.look_skipped", "A queue could not be looked at, so it was left out.";
}
