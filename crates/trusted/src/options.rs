//! Options that name files, and those that are missing.

use ansible_contract::{PathText, codes as args};
use fault::{Fault, Result};
use std::path::PathBuf;

/// An option that is required has no default.
const HINT_MISSING: &str = "Give it for the task, or for each of its entries.";

/// The paths of a list, if it is given.
pub fn paths(option: Option<&[PathText]>) -> Option<Vec<PathBuf>> {
    option.map(|list| list.iter().map(|path| path.as_path().to_owned()).collect())
}

/// The path of an option that must be given.
///
/// # Errors
/// `args.missing`.
pub fn required(option: Option<&PathText>, name: &str) -> Result<PathBuf> {
    option.map(|path| path.as_path().to_owned()).ok_or_else(|| {
        Fault::new(args::MISSING, format!("The option {name} is required and not given.")).hint(HINT_MISSING)
    })
}

/// The fault of an option that is required for a reason which is not plain.
pub fn missing(name: &str, why: &str) -> Fault {
    Fault::new(args::MISSING, format!("The option {name} is required and not given: {why}.")).hint(HINT_MISSING)
}
