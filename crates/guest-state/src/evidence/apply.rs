//! The request answered, or in check mode that it would be.

use super::challenge::{Asked, Bound, Given, request_in};
use super::observe::Seen;
use super::own;
use super::plan::{check, explained, host_key_match};
use super::settle::settled;
use crate::store::Record;
use ansible_contract::{Failure, Outcome, to_base64, warning};
use fault::{Fault, Result};
use pv_guest::boot_record::BootRecord;
use pv_guest::uv::attest::codes as uv;
use pv_guest::uv::{Attested, Device, UserData};
use pv_wire::attestation::{AttestationRequest, ExchangeResponse};
use serde::Serialize;

/// The answer. Nothing in it proves anything before M(seguest.pv.attest_verify) has verified it.
#[derive(Clone, Debug, Default, Serialize)]
#[cfg_attr(feature = "docs", derive(schemars::JsonSchema))]
pub struct Report {
    /// The response in base64, an exchange file as C(pvattest perform) writes it; null in check mode.
    pub content: Option<String>,
    /// Configuration unique id of this start of the guest, C(0x) and 32 hex digits.
    pub cuid: Option<String>,
    /// What the guest says of itself, as JSON text whose SHA-512 is the user data that were measured: hand it over as it is.
    /// Null if nothing was bound, or user data were given.
    pub claims: Option<String>,
}

/// What came of it, or why it came to an end.
pub type Answer = std::result::Result<Outcome<Report>, Failure<Report>>;

/// Tells whether the request can be answered: nobody is asked.
///
/// # Errors
/// Those of [`check`].
pub fn predict(asked: &Asked, seen: &Seen) -> Answer {
    match predicted(asked, seen) {
        // Nobody insists on an answer, so nothing else waits for it: the step itself fails when it comes to that.
        Err(failure) if asked.optional => {
            let told = outcome("The guest would answer the attestation request.", Report::default());
            forgiven(asked, Err(failure)).or(Ok(Outcome { predicted_partial: true, ..told }))
        }
        told => told,
    }
}

fn predicted(asked: &Asked, seen: &Seen) -> Answer {
    let mut told = outcome("The guest would answer the attestation request.", Report::default());
    told.predicted_partial = true;
    match &asked.request {
        Given::Later(fault) => told.warnings.extend(fault.as_ref().map(warning)),
        Given::Read(file) => {
            let request = request_in(file)?;
            check(&request, seen).map_err(|fault| refused(fault, &request, seen))?;
        }
    }
    Ok(told)
}

/// Has the guest measured, with what it says of itself now. Outside check mode, what the hash of its store shows of requests
/// without an outcome is remembered: the caller holds the lock of the store.
///
/// # Errors
/// Those of [`check`], of the device, and of the record of this boot where it is bound.
pub fn answer(asked: &Asked, seen: &Seen, device: &Device, boot: &BootRecord, check_mode: bool) -> Answer {
    forgiven(asked, answered(asked, seen, device, boot, check_mode))
}

fn answered(asked: &Asked, seen: &Seen, device: &Device, boot: &BootRecord, check_mode: bool) -> Answer {
    let Given::Read(file) = &asked.request else { return predicted(asked, seen) };
    let request = request_in(file)?;
    check(&request, seen).map_err(|fault| refused(fault, &request, seen))?;
    let record = settled(&asked.bound, &request, seen, device, boot, check_mode)?;
    let Said { user_data, claims, warnings } = said(&asked.bound, boot, record)?;
    let measured = UserData::new(&user_data).ok_or_else(too_long).and_then(|data| device.attest(&request, data));
    let attested = measured.map_err(|fault| Failure {
        warnings: warnings.clone(),
        ..refused(explained(fault, &request, seen), &request, seen)
    })?;
    let report = Report { claims, ..response(&request, &user_data, &attested)? };
    Ok(Outcome { warnings, ..outcome("The guest answered the attestation request.", report) })
}

/// That the machine does not attest is no failure where nobody insists on it.
fn forgiven(asked: &Asked, answer: Answer) -> Answer {
    match answer {
        Err(Failure { fault, .. }) if asked.optional && fault.code == uv::UNSUPPORTED => Ok(Outcome {
            warnings: vec![warning(&fault)],
            ..outcome("The machine does not attest.", Report::default())
        }),
        answer => answer,
    }
}

/// What goes into the measurement.
struct Said {
    user_data: Vec<u8>,
    claims: Option<String>,
    warnings: Vec<String>,
}

fn said(bound: &Bound, boot: &BootRecord, record: Option<Record>) -> Result<Said> {
    match bound {
        Bound::UserData(bytes) => Ok(Said { user_data: bytes.clone(), claims: None, warnings: Vec::new() }),
        Bound::Claims(bind) if bind.is_empty() => {
            Ok(Said { user_data: Vec::new(), claims: None, warnings: Vec::new() })
        }
        Bound::Claims(bind) => {
            let (claims, warnings) = own::claims(own::observe(bind, boot, record))?;
            Ok(Said { user_data: claims.user_data().to_vec(), claims: Some(claims.to_json()), warnings })
        }
    }
}

fn response(request: &AttestationRequest<'_>, user_data: &[u8], attested: &Attested) -> Result<Report> {
    let Attested { measurement, additional, cuid } = attested;
    let file =
        ExchangeResponse { request: request.bytes(), measurement, additional, user_data, cuid: *cuid }.write()?;
    Ok(Report { content: Some(to_base64(&file)), cuid: Some(format!("0x{}", pv_wire::encode_hex(cuid))), claims: None })
}

/// The failure over a request that is refused, with what playbooks may test.
fn refused(fault: Fault, request: &AttestationRequest<'_>, seen: &Seen) -> Failure<Report> {
    let mut failure = Failure::from(fault);
    if failure.fault.code == uv::NO_HOST_KEY_SLOT {
        failure.facts.insert("host_key_match".into(), host_key_match(request, seen).into());
    }
    failure
}

fn too_long() -> Fault {
    Fault::new(uv::USER_DATA_REFUSED, "The user data are longer than 256 bytes.")
        .hint("Give at most 256 bytes of user data, or their hash.")
}

fn outcome(msg: &str, report: Report) -> Outcome<Report> {
    Outcome {
        changed: false,
        msg: msg.into(),
        warnings: Vec::new(),
        diff: Vec::new(),
        predicted_partial: false,
        report,
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples;
    use super::*;
    use pv_wire::attestation::Item;

    fn asked(request: Given) -> Asked {
        Asked { request, bound: Bound::Claims(Vec::new()), optional: false, in_check_mode: false }
    }

    #[test]
    fn the_response_holds_what_was_measured() {
        let bytes = samples::request(0x48, &[[1; 32]]);
        let request = AttestationRequest::parse(&bytes).unwrap();
        let attested = Attested { measurement: [7; 64], additional: vec![8; 64], cuid: [9; 16] };
        let report = response(&request, b"hello", &attested).unwrap();
        assert_eq!(report.cuid.as_deref(), Some("0x09090909090909090909090909090909"));
        let file = ansible_contract::from_base64(&report.content.unwrap()).unwrap();
        let read = ExchangeResponse::parse(&file).unwrap();
        assert_eq!((read.request, read.measurement, read.additional), (&bytes[..], &[7; 64][..], &[8; 64][..]));
        assert_eq!((read.user_data, read.cuid), (b"hello".as_slice(), [9; 16]));
    }

    #[test]
    fn a_machine_that_does_not_attest_is_a_warning_where_nobody_insists() {
        let seen = Seen { offered: Some(false), ..Seen::default() };
        let asked = asked(Given::Read(samples::file(0x48, &[[1; 32]])));
        assert_eq!(predict(&asked, &seen).unwrap_err().fault.code, uv::UNSUPPORTED);
        let told = predict(&Asked { optional: true, ..asked.clone() }, &seen).unwrap();
        assert!(told.warnings[0].ends_with("[attest.unsupported]") && told.report.content.is_none());
        let elsewhere = Seen { host_keys: Some(vec![[2; 32]]), ..Seen::default() };
        assert_eq!(predict(&asked, &elsewhere).unwrap_err().fault.code, uv::NO_HOST_KEY_SLOT);
        // What else is wrong fails this step alone, and nothing that comes before it.
        assert!(predict(&Asked { optional: true, ..asked }, &elsewhere).unwrap().predicted_partial);
    }

    #[test]
    fn a_prediction_has_no_answer_and_says_what_speaks_against_one() {
        let told = predict(&asked(Given::Read(samples::file(0x48, &[[1; 32]]))), &Seen::default()).unwrap();
        assert!(told.predicted_partial && !told.changed && told.report.content.is_none());
        let later = Given::Later(Some(Fault::new(fault::file::MISSING, "It is not there yet.")));
        let told = predict(&asked(later), &Seen::default()).unwrap();
        assert!(told.predicted_partial && told.warnings[0].ends_with("[file.missing]"));
        let seen = Seen { host_keys: Some(vec![[2; 32]]), items: Some(Item::ALL.into_iter().collect()), offered: None };
        let failure = predict(&asked(Given::Read(samples::file(0x48, &[[1; 32]]))), &seen).unwrap_err();
        assert_eq!((failure.fault.code, &failure.facts["host_key_match"]), (uv::NO_HOST_KEY_SLOT, &false.into()));
    }

    #[test]
    fn what_is_measured_is_what_was_given_or_the_hash_of_what_the_guest_says() {
        let boot = BootRecord::of_this_boot().unwrap();
        let said = |bound| said(&bound, &boot, None).unwrap();
        let given = said(Bound::UserData(b"hello".to_vec()));
        assert_eq!((given.user_data.as_slice(), given.claims), (b"hello".as_slice(), None));
        let nothing = said(Bound::Claims(Vec::new()));
        assert_eq!((nothing.user_data.as_slice(), nothing.claims), (b"".as_slice(), None));
        let something = said(Bound::Claims(vec![super::super::Bind::BootId]));
        assert_eq!(something.user_data.len(), 64);
        assert_eq!(something.claims, Some(format!(r#"{{"boot_id":"{}","version":1}}"#, boot.boot_id())));
    }
}
