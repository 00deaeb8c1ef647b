//! Codes of files: every part of the project that reads or writes one reports the same ones.

crate::codes! {
    MISSING = "file.missing", "A named file does not exist.";
    UNREADABLE = "file.unreadable", "A file could not be read.";
    UNWRITABLE = "file.unwritable", "A file or folder could not be written, or its owner or mode could not be set.";
    NO_SUCH_OWNER = "file.no_such_owner", "The user or group that should own a file does not exist.";
}
