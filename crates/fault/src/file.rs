//! Codes of reading a file that somebody named: every part of the project that does so reports the same ones.

crate::codes! {
    MISSING = "file.missing", "A named file does not exist.";
    UNREADABLE = "file.unreadable", "A file could not be read.";
}
