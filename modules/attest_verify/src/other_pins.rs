//! Pins of other guests: a configuration unique id that is pinned for one guest is not pinned for another one, too. Within a task
//! that is seen from the answers; between tasks only from the pins.

use crate::pin::Pin;
use fault::{Fault, Result};
use pv_request::attest::Check;
use pv_request::attest::codes::CUID_SHARED;
use pv_wire::encode_hex;
use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use trusted::cuid::Cuid;

const NAME: &str = "cuid_pinned";
/// How the names of pins end that are compared.
const EXTENSION: &str = "cuid";
/// A folder with more of them is not looked through.
const MOST: usize = 100_000;
/// Of the others with the same id, so many are named.
const NAMED: usize = 5;

/// The names of the pins in a folder, by what they pin.
type Pins = HashMap<Cuid, Vec<OsString>>;

/// What is pinned in folders, each read once in a task.
#[derive(Debug, Default)]
pub struct OtherPins(HashMap<PathBuf, Result<Pins>>);

impl OtherPins {
    /// What keeps `cuid` from being pinned in the file `path`: that another file `*.cuid` in its folder pins it already, or that
    /// this cannot be found out. Files that pin nothing count for nothing.
    pub fn objection(&mut self, path: &Path, cuid: &Cuid) -> Option<Check> {
        let folder = path.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."));
        let pins = match self.0.entry(folder.to_owned()).or_insert_with(|| read(folder, MOST)) {
            Ok(pins) => pins,
            Err(fault) => return Some(Check::voiding(NAME, fault.clone())),
        };
        let others = pins.get(cuid).into_iter().flatten().filter(|name| Some(name.as_os_str()) != path.file_name());
        let others: Vec<_> = others.take(NAMED).map(|name| folder.join(name).display().to_string()).collect();
        let files = others.join(", ");
        let detail = format!("The configuration unique id 0x{} is already pinned in {files}.", encode_hex(cuid));
        let hint = format!(
            "One guest has answered for two: look where their addresses lead. If {files} is of a guest that is retired, \
             renamed or restarted, remove it, and attest again."
        );
        (!others.is_empty()).then(|| Check::failed(NAME, Fault::new(CUID_SHARED, detail).hint(hint)))
    }
}

/// The pins in a folder; none if it is not there yet.
fn read(folder: &Path, most: usize) -> Result<Pins> {
    let entries = match fs::read_dir(folder) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Pins::new()),
        entries => entries.map_err(|e| durable::unreadable(folder, &e))?,
    };
    let (mut pins, mut count) = (Pins::new(), 0);
    for entry in entries {
        let entry = entry.map_err(|e| durable::unreadable(folder, &e))?;
        let path = entry.path();
        let is_file = entry.file_type().is_ok_and(|kind| kind.is_file());
        if !is_file || path.extension() != Some(OsStr::new(EXTENSION)) {
            continue;
        }
        count += 1;
        if count > most {
            let detail = format!("{} holds more than {most} files *.{EXTENSION} and was not read.", folder.display());
            return Err(Fault::new(fault::file::UNREADABLE, detail)
                .hint("Remove those of guests that are gone, or pin in a folder of your own for each fleet."));
        }
        if let Ok(Some(pin)) = Pin::read(&path) {
            pins.entry(pin.cuid).or_default().push(entry.file_name());
        }
    }
    pins.values_mut().for_each(|names| names.sort());
    Ok(pins)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_with_more_pins_than_are_read_is_refused_and_one_that_is_missing_is_empty() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["a.cuid", "b.cuid", "c.other"] {
            fs::write(dir.path().join(name), format!("cuid: '0x{}'\n", "42".repeat(16))).unwrap();
        }
        assert_eq!(read(dir.path(), 2).unwrap()[&[0x42; 16]], ["a.cuid", "b.cuid"]);
        assert_eq!(read(dir.path(), 1).unwrap_err().code, fault::file::UNREADABLE);
        assert!(read(&dir.path().join("missing"), 0).unwrap().is_empty());
        let one = dir.path().join("c.cuid");
        let objection = OtherPins::default().objection(&one, &[0x42; 16]).unwrap();
        assert!(objection.detail.contains("a.cuid, ") && objection.code() == Some(CUID_SHARED), "{objection:?}");
        assert_eq!(OtherPins::default().objection(&one, &[0x43; 16]), None);
    }
}
