//! Bytes that are given in base64 or as a file.

use ansible_contract::{PathText, codes as args, from_base64};
use fault::{Fault, Result};
use std::path::{Path, PathBuf};
use trusted::missing;

/// Bytes from an option or from a file.
#[derive(Debug)]
pub enum Bytes {
    /// From the option itself.
    Given(Vec<u8>),
    /// From a file.
    File(PathBuf),
}

impl Bytes {
    /// The file that they are from.
    pub fn file(&self) -> Option<&Path> {
        match self {
            Self::Given(_) => None,
            Self::File(path) => Some(path),
        }
    }
}

/// Where base64 of answers and requests comes from.
pub const HANDED_OVER: &str = "Hand over what attest or attest_request returned as content.";

/// The bytes that one of two options gives, a file or base64. `hint` says where the base64 comes from.
///
/// # Errors
/// `args.conflict`, `args.invalid`, `args.missing`.
pub fn bytes_of(
    (file, path): (&str, Option<&PathText>),
    (text, content): (&str, Option<&str>),
    hint: &str,
) -> Result<Bytes> {
    match (path, content) {
        (Some(_), Some(_)) => {
            Err(Fault::new(args::CONFLICT, format!("The options {file} and {text} cannot be given together."))
                .hint("Leave one of them out: it would be ignored."))
        }
        (Some(path), None) => Ok(Bytes::File(path.as_path().to_owned())),
        (None, Some(content)) => from_base64(content)
            .map(|bytes| Bytes::Given(bytes.to_vec()))
            .ok_or_else(|| Fault::new(args::INVALID, format!("The option {text} is not base64.")).hint(hint)),
        (None, None) => Err(missing(file, &format!("it, or {text}"))),
    }
}
