//! What an earlier task may have left in a result's place. Anything else there was named by mistake, and stays as it is.

use crate::{codes, published};
use fault::{Fault, Result};
use std::path::Path;

/// The report of a large fleet.
const LIMIT: u64 = 256 << 20;
/// The schema is among the first fields of a report.
const HEAD: usize = 200;

/// Which result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// What was measured, as YAML.
    Yaml,
    /// An attestation result: a JSON Web Token.
    Ear,
    /// The report of all verdicts, as JSON.
    Report,
}

/// That there is nothing in a result's place, or an earlier result.
///
/// # Errors
/// `attest.result_not_ours`, `file.unreadable`.
pub fn check_ours(path: &Path, kind: Kind) -> Result<()> {
    let found = durable::read(path, LIMIT, codes::RESULT_NOT_OURS)?;
    if found.is_none_or(|found| is_ours(&found.bytes, kind)) {
        return Ok(());
    }
    let what = match kind {
        Kind::Yaml => "what was measured, as pvattest writes it",
        Kind::Ear => "an attestation result",
        Kind::Report => "a report of this module",
    };
    let detail = format!("{} holds something else than {what}; it is left as it is.", path.display());
    Err(Fault::new(codes::RESULT_NOT_OURS, detail).hint("Choose another path, or remove the file."))
}

fn is_ours(text: &[u8], kind: Kind) -> bool {
    let text = text.trim_ascii();
    if text.is_empty() {
        return true;
    }
    match kind {
        Kind::Yaml => text.starts_with(b"cuid:"),
        Kind::Ear => {
            let is_part = |part: &[u8]| {
                !part.is_empty() && part.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(byte))
            };
            // base64url of what a JSON object begins with.
            text.starts_with(b"eyJ")
                && text.split(|byte| *byte == b'.').filter(|part| is_part(part)).count() == 3
                && text.iter().filter(|byte| **byte == b'.').count() == 2
        }
        Kind::Report => {
            let head = String::from_utf8_lossy(text.get(..HEAD).unwrap_or(text)).into_owned();
            let name = published::SCHEMA.trim_end_matches(|last: char| last != '/');
            head.starts_with('{') && head.contains(&format!("\"schema\": \"{name}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_an_earlier_task_has_written_is_replaced() {
        let ours = |text: &str| [Kind::Yaml, Kind::Ear, Kind::Report].map(|kind| is_ours(text.as_bytes(), kind));
        assert_eq!(ours(""), [true; 3]);
        assert_eq!(ours("cuid: '0x01'\nadd: 0x02\n"), [true, false, false]);
        assert_eq!(ours("eyJh.eyJi-_.c2ln\n"), [false, true, false]);
        let report = published::text(&[], 0).unwrap();
        assert_eq!(ours(&report), [false, false, true]);
        assert_eq!(ours(&report.replace("report/1", "report/2")), [false, false, true], "of another version");
        for other in [
            "-----BEGIN PRIVATE KEY-----",
            "eyJh.b",
            "eyJh..c",
            "eyJh.b.c.d",
            "{}",
            "name: x\ncuid: y\n",
            "eyJh.b c.d",
            "www.example.org",
        ] {
            assert_eq!(ours(other), [false; 3], "{other}");
        }
    }
}
