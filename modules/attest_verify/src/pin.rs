//! A configuration unique id that was pinned: what a guest had when it was first attested after a start.

use crate::codes;
use fault::{Fault, Result};
use pv_request::Source;
use pv_request::attest::{Expected, Proved};
use pv_wire::attestation::Claims;
use pv_wire::encode_hex;
use serde::Deserialize;
use std::path::Path;
use trusted::cuid::{self, Cuid};

/// No such file is as large.
const LIMIT: u64 = 64 << 10;

/// What is pinned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pin {
    /// The configuration unique id.
    pub cuid: Cuid,
    /// The boot id that the guest claimed then, if it did.
    pub boot_id: Option<String>,
}

#[derive(Deserialize)]
struct Text {
    boot_id: Option<String>,
}

impl Pin {
    /// Reads it; `None` if there is no file.
    ///
    /// # Errors
    /// `attest.pin_not_ours`, `file.unreadable`.
    pub fn read(path: &Path) -> Result<Option<Self>> {
        let Some(found) = durable::read(path, LIMIT, codes::PIN_NOT_OURS)? else { return Ok(None) };
        let boot_id = serde_yaml::from_slice::<Text>(&found.bytes).ok().and_then(|text| text.boot_id);
        let source = Source { name: path.display().to_string(), bytes: found.bytes };
        let cuid = cuid::from_source(&source).map_err(|mut fault| {
            fault.code = codes::PIN_NOT_OURS;
            fault.hint("Look who wrote it. Once it is removed, the next affirming verdict pins the guest as a new one.")
        })?;
        Ok(Some(Self { cuid, boot_id }))
    }

    /// What is to be pinned of a guest.
    pub fn of(proved: &Proved) -> Self {
        let boot_id = proved.claims.as_ref().and_then(Claims::boot_id).map(str::to_owned);
        Self { cuid: proved.cuid, boot_id }
    }

    /// Whether the guest claims another boot than that of the pin, and is known by its SSH host keys, or its word is accepted where none is
    /// known: then it was started again, and has another id. The claims count only once they are found bound to the answer, as is
    /// what they are compared with.
    pub fn is_of_an_earlier_start(&self, claims: Option<&str>, expected: &Expected, trust_boot_id: bool) -> bool {
        let known = match &expected.claims.ssh_host_keys {
            Some(keys) => !keys.is_empty(),
            None => trust_boot_id,
        };
        let claims = claims.filter(|_| known).and_then(|text| Claims::parse(text).ok());
        let said = claims.as_ref().and_then(Claims::boot_id);
        said.zip(self.boot_id.as_deref()).is_some_and(|(said, pinned)| said != pinned)
    }

    /// What to do about a guest that has another configuration unique id than this one, pinned in a file, and makes these claims.
    pub fn advice(&self, path: &Path, claims: Option<&Claims>) -> String {
        let said = claims.and_then(Claims::boot_id);
        let why = match (self.boot_id.as_deref(), said) {
            (Some(pinned), Some(said)) if pinned == said => {
                "It claims the boot in which the other id was pinned, and one boot has only one id: check which guest answers at its address."
            }
            (Some(_), Some(_)) => {
                "It claims another boot, but is known by no SSH host key: look whether it was rebooted, or another guest answers."
            }
            _ => "Nothing says in which boot it was pinned or answered: look whether the guest was rebooted.",
        };
        format!("{why} If the guest is the right one, remove {}, and attest it again.", path.display())
    }

    /// Its lines, as YAML that pvsecret reads.
    pub fn lines(&self) -> String {
        let boot_id = self.boot_id.as_ref().map_or_else(String::new, |id| format!("boot_id: '{id}'\n"));
        format!("cuid: '0x{}'\n{boot_id}", encode_hex(&self.cuid))
    }
}

/// The warning that a new start of a guest is pinned, known by its SSH host keys or only by its word.
pub fn new_start(path: &Path, is_known: bool) -> Fault {
    let detail = format!(
        "The guest was started again since {} was written, {}; its new configuration unique id is pinned.",
        path.display(),
        if is_known { "and has the SSH host keys that it is known by" } else { "by nothing but its own word" }
    );
    let hint = if is_known {
        "Requests that are bound to the old one no longer open there."
    } else {
        "If nobody rebooted it, another guest of its image may have answered. Put its SSH host keys into known_hosts."
    };
    Fault::new(codes::NEW_START, detail).hint(hint)
}

#[cfg(test)]
mod tests {
    use super::*;
    use pv_request::attest::ExpectedClaims;
    use std::fs;

    const BOOT: &str = "0d3a1f6e-2b4c-4d5e-8f90-123456789abc";

    #[test]
    fn a_pin_reads_back_and_so_does_what_pvattest_wrote() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("g1.cuid");
        assert_eq!(Pin::read(&path).unwrap(), None);
        let pin = Pin { cuid: [0x42; 16], boot_id: Some(BOOT.into()) };
        fs::write(&path, pin.lines()).unwrap();
        assert_eq!(Pin::read(&path).unwrap(), Some(pin.clone()));
        fs::write(&path, format!("cuid: '0x{}'\nadd: 0x24933f75\n", "42".repeat(16))).unwrap();
        assert_eq!(Pin::read(&path).unwrap(), Some(Pin { boot_id: None, ..pin }));
        fs::write(&path, "something else").unwrap();
        assert_eq!(Pin::read(&path).unwrap_err().code, codes::PIN_NOT_OURS);
    }

    #[test]
    fn only_a_guest_that_is_known_by_its_keys_or_believed_may_be_started_again() {
        let pin = Pin { cuid: [0x42; 16], boot_id: Some(BOOT.into()) };
        let claims = |boot: &str| Claims::default().with_boot_id(boot).unwrap().to_json();
        let known = ExpectedClaims {
            ssh_host_keys: Some(vec!["ssh-ed25519 AAAA".parse().unwrap()]),
            ..ExpectedClaims::default()
        };
        let (known, unknown) = (Expected { claims: known, ..Expected::default() }, Expected::default());
        let other = claims("1d3a1f6e-2b4c-4d5e-8f90-123456789abc");
        let none = ExpectedClaims { ssh_host_keys: Some(Vec::new()), ..ExpectedClaims::default() };
        let none = Expected { claims: none, ..Expected::default() };
        for believed in [false, true] {
            assert!(pin.is_of_an_earlier_start(Some(&other), &known, believed));
            assert_eq!(pin.is_of_an_earlier_start(Some(&other), &unknown, believed), believed);
            assert!(!pin.is_of_an_earlier_start(Some(&other), &none, believed));
            assert!(!pin.is_of_an_earlier_start(Some(&claims(BOOT)), &known, believed));
            assert!(!pin.is_of_an_earlier_start(None, &known, believed));
            let nameless = Pin { boot_id: None, ..pin.clone() };
            assert!(!nameless.is_of_an_earlier_start(Some(&other), &known, believed));
        }
    }
}
