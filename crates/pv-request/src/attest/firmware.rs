//! The firmware's state: only IBM's service can read it, so what it says is evidence, too. Which question that is, how its answer
//! is read, and what that comes to; [`crate::FirmwareClient`] is who asks.
//!
//! Source of the facts: s390-tools 2.43 (`rust/pvattest`, its check of the firmware), seen against a local server. The real
//! service was not asked.

use super::{Check, codes, compare::not_asked};
use fault::{Fault, Result};
use openssl::base64::encode_block;
use pv_wire::attestation::{Item, layout};
use serde::Deserialize;
use ureq::http::Uri;

/// State of a machine's firmware, opaque, as it is in the additional data.
pub type FirmwareState = [u8; layout::FIRMWARE_STATE_LEN];

/// Of a text from the service, so many characters are shown.
const SHOWN: usize = 200;
/// The name of the check.
pub(super) const NAME: &str = "firmware";

/// The interface of the service that is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FirmwareInterface {
    /// Its answer has a reference that IBM can be asked about.
    V1,
    /// Its answer has hashes that were looked at.
    V2,
}

/// A service whose word on firmware counts.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FirmwareService {
    address: String,
}

impl FirmwareService {
    /// The base of the addresses of IBM's own service.
    pub const IBM: &'static str = "https://esupport.ibm.com/eccedge/ent/z";

    /// The service below `base`.
    ///
    /// # Errors
    /// A phrase that says what is wrong with the address: only `https`, without login, query and fragment, is taken.
    pub fn new(base: &str, interface: FirmwareInterface) -> std::result::Result<Self, &'static str> {
        let uri: Uri = base.parse().map_err(|_| "is no address")?;
        if uri.scheme_str() != Some("https") {
            return Err("is not an address of https");
        }
        // A login would be in this machine's results, and the service wants none.
        if uri.authority().is_none_or(|authority| authority.host().is_empty() || authority.as_str().contains('@')) {
            return Err("names no host, or has a login before it");
        }
        if base.contains(['?', '#']) {
            return Err("has a query or a fragment");
        }
        let interface = match interface {
            FirmwareInterface::V1 => "v1",
            FirmwareInterface::V2 => "v2",
        };
        Ok(Self { address: format!("{}/hmrs/firmware/attestation/{interface}/verify", base.trim_end_matches('/')) })
    }

    /// Where the question is sent.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// All that is sent: JSON with the state in base64. The version is 1.0 for both interfaces.
    pub fn question(state: &FirmwareState) -> String {
        format!(r#"{{"version":"1.0","payload":"{}"}}"#, encode_block(state))
    }
}

/// What the service said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FirmwareOpinion {
    /// Whether the firmware is as IBM delivered it.
    pub valid: bool,
    /// Why it is not.
    pub reason: Option<String>,
    /// What IBM can be asked about; of [`FirmwareInterface::V1`] only.
    pub reference: Option<String>,
}

/// Fields that are not here are none of our business.
#[derive(Deserialize)]
struct Answer {
    version: String,
    valid: bool,
    reason: Option<String>,
    #[serde(rename = "referenceId")]
    reference: Option<String>,
}

impl FirmwareOpinion {
    /// Reads an answer of either interface.
    ///
    /// # Errors
    /// A phrase that says what is wrong with it.
    pub fn read(answer: &[u8]) -> std::result::Result<Self, &'static str> {
        let answer: Answer = serde_json::from_slice(answer).map_err(|_| "gave an answer that cannot be read")?;
        if !["1.0", "2.0"].contains(&answer.version.as_str()) {
            return Err("gave an answer of an unknown version");
        }
        let shown = |text: String| text.chars().take(SHOWN).flat_map(char::escape_debug).collect();
        Ok(Self { valid: answer.valid, reason: answer.reason.map(shown), reference: answer.reference.map(shown) })
    }
}

/// What a service said of one state: evidence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FirmwareAnswer {
    /// Who was asked.
    pub service: FirmwareService,
    /// The state that it was asked about.
    pub state: FirmwareState,
    /// What it said, or why nothing came from it.
    pub said: Result<FirmwareOpinion>,
}

/// That there is no word of the service.
pub(crate) fn unreachable(detail: impl Into<String>) -> Fault {
    Fault::new(codes::FIRMWARE_UNREACHABLE, detail)
        .hint("Attest again once the service answers; until then nothing is known of the firmware.")
}

/// What is known when the firmware is judged.
pub(super) struct Known<'a> {
    /// Whether the request asked for the state.
    pub(super) is_asked_for: bool,
    /// The state, if it was measured, and all else is as expected.
    pub(super) state: Option<FirmwareState>,
    /// What a service said.
    pub(super) answer: Option<&'a FirmwareAnswer>,
}

/// The check of the firmware, by the word of `service`.
pub(super) fn check(service: &FirmwareService, known: Known<'_>) -> Check {
    if !known.is_asked_for {
        return Check::failed(NAME, not_asked(Item::FirmwareState.option()));
    }
    let Some(state) = known.state else {
        return Check::skipped(NAME, "The firmware's service is asked only about guests that pass all other checks.");
    };
    let answer = known.answer.filter(|answer| answer.service == *service && answer.state == state);
    let opinion = match answer.map(|answer| &answer.said) {
        Some(Ok(opinion)) => opinion,
        Some(Err(fault)) => return Check::voiding(NAME, fault.clone()),
        None => return Check::voiding(NAME, unreachable("Nobody has asked the service about this firmware.")),
    };
    let more =
        |what: &str, text: &Option<String>| text.as_ref().map_or_else(String::new, |text| format!(" {what}: {text}."));
    let reference = more("Its reference", &opinion.reference);
    if opinion.valid {
        return Check::passed(NAME, format!("The service says that the machine's firmware is valid.{reference}"));
    }
    let reason = more("Its reason", &opinion.reason);
    let detail = format!("The service says that the firmware of the guest's machine is not valid.{reason}{reference}");
    let hint = if opinion.reference.is_some() {
        "Look on which machine the guest runs, and update its firmware; ask IBM about the reference."
    } else {
        "Look on which machine the guest runs, and update its firmware."
    };
    Check::failed(NAME, Fault::new(codes::FIRMWARE_INVALID, detail).hint(hint))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_question_is_as_long_as_ibms_and_has_nothing_but_the_state() {
        let question = FirmwareService::question(&[0x5a; 320]);
        assert_eq!(question.len(), 458);
        let read: serde_json::Value = serde_json::from_str(&question).unwrap();
        assert_eq!(read, serde_json::json!({"version": "1.0", "payload": encode_block(&[0x5a; 320])}));
    }

    #[test]
    fn who_looks_after_invalid_firmware_is_sent_to_ibm_only_with_a_reference() {
        let service = FirmwareService::new(FirmwareService::IBM, FirmwareInterface::V2).unwrap();
        let state = [0x5a; 320];
        for reference in [None, Some("r-1".to_owned())] {
            let said = Ok(FirmwareOpinion { valid: false, reason: None, reference: reference.clone() });
            let answer = FirmwareAnswer { service: service.clone(), state, said };
            let known = Known { is_asked_for: true, state: Some(state), answer: Some(&answer) };
            assert_eq!(check(&service, known).hint().unwrap_or_default().contains("reference"), reference.is_some());
        }
    }

    #[test]
    fn only_plain_addresses_of_https_are_taken() {
        let address = |base: &str, interface| FirmwareService::new(base, interface).map(|service| service.address);
        assert_eq!(
            address(FirmwareService::IBM, FirmwareInterface::V1).unwrap(),
            "https://esupport.ibm.com/eccedge/ent/z/hmrs/firmware/attestation/v1/verify"
        );
        assert_eq!(
            address("https://[::1]:8443/", FirmwareInterface::V2).unwrap(),
            "https://[::1]:8443/hmrs/firmware/attestation/v2/verify"
        );
        for base in [
            "http://host",
            "host",
            "/path",
            "",
            "https://",
            "ftp://host",
            "https://me:secret@host",
            "https://me@host/x",
            "https://host?x",
            "https://host/#x",
            "https://ho st",
            "https://host\n",
            "file:///x",
        ] {
            assert!(address(base, FirmwareInterface::V1).is_err(), "{base:?}");
        }
    }

    #[test]
    fn answers_of_both_interfaces_are_read_and_no_others() {
        let read = |text: &str| FirmwareOpinion::read(text.as_bytes());
        let v1 = read(r#"{"version":"1.0","valid":true,"referenceId":"r1","more":[{}]}"#).unwrap();
        assert_eq!(v1, FirmwareOpinion { valid: true, reason: None, reference: Some("r1".into()) });
        let v2 = read(
            r#"{"version":"2.0","valid":false,"reason":"old\u001b","verifiedHashes":[{"hash":"00","signature":"00"}]}"#,
        )
        .unwrap();
        assert_eq!(v2, FirmwareOpinion { valid: false, reason: Some("old\\u{1b}".into()), reference: None });
        let long = read(&format!(r#"{{"version":"1.0","valid":false,"reason":"{}"}}"#, "x".repeat(1000))).unwrap();
        assert_eq!(long.reason.unwrap().len(), SHOWN);
        for wrong in [
            "",
            "true",
            "[]",
            "{}",
            r#"{"version":"1.0"}"#,
            r#"{"valid":true}"#,
            r#"{"version":"3.0","valid":true}"#,
            r#"{"version":1.0,"valid":true}"#,
            r#"{"version":"1.0","valid":"true"}"#,
            r#"{"version":"1.0","valid":1}"#,
            r#"{"version":"1.0","valid":false,"valid":true}"#,
            r#"{"version":"1.0","valid":true} x"#,
            "<html>valid</html>",
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
