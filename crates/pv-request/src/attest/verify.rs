//! Judging a guest's answer.

use super::{
    Check, Evidence, Expected, Measured, Opened, Proved, Sent, StoreReport, Verdict, codes, compare, firmware, same,
    verdict::MEASUREMENT,
};
use fault::{Fault, Result};
use openssl::sha::sha512;
use pv_wire::{
    attestation::{AdditionalData, AttestationRequest, Claims, ExchangeResponse, Item},
    encode_hex,
};

/// Judges what a guest answered to the request that was sent, at `now` (seconds since 1970). Every check is made; none stops
/// the others. Without a good measurement none of those behind it counts, and what agrees there is not said to be so.
///
/// The result depends on nothing but the arguments.
pub fn verify(evidence: &Evidence<'_>, sent: &Sent<'_>, expected: &Expected, now: i64) -> Verdict {
    let age = now.saturating_sub(sent.created);
    let response = read(evidence.response);
    let opened = Opened::open(&sent.request, sent.key);
    let mut checks = Vec::with_capacity(MOST_CHECKS);
    checks.extend([
        of("expected", expected.demand_something(), "There is something to compare with."),
        of("response", response.as_ref().map_err(Clone::clone), "The response is well formed."),
        answers(response.as_ref().ok(), sent),
        of("key", opened.as_ref().map_err(Clone::clone), "The key opens the request."),
        is_new(age, expected),
    ]);
    let voided =
        checks.iter().any(|check| ["response", "request", "key"].contains(&check.name) && check.ok != Some(true));

    let measurement = measured(response.as_ref().ok(), opened.as_ref().ok(), expected);
    let is_good = !voided && measurement.ok == Some(true);
    checks.push(measurement);

    let additional = response.as_ref().ok().map(|read| AdditionalData::split(sent.request.items(), read.additional));
    checks.push(match &additional {
        Some(Ok(_)) => Check::passed("additional", "The additional data are those that the request asks for."),
        Some(Err(fault)) => Check::failed("additional", fault.clone()),
        None => Check::skipped("additional", NO_RESPONSE),
    });
    let additional = additional.and_then(Result::ok);
    let claims = bound_claims(response.as_ref().ok(), evidence.claims);
    let known = claims.as_ref().and_then(|claims| claims.as_ref().ok());
    let store = store(additional.as_ref(), Measurement { is_good, claims: known }, expected, sent);
    checks.extend(compare::host_keys(additional.as_ref(), sent.request.items(), expected));
    checks.push(store.check);
    checks.push(user_data(response.as_ref().ok(), expected));
    checks.push(claims_are_bound(response.is_ok(), claims.as_ref()));
    checks.extend(compare::claims(claims.as_ref(), expected));
    checks.push(cuid(response.as_ref().ok(), expected));
    if let Some(service) = &expected.firmware {
        let state = additional.as_ref().and_then(|data| data.firmware_state.as_deref().copied());
        let is_affirmed = is_good && checks.iter().all(|check| check.ok != Some(false));
        let known = firmware::Known {
            is_asked_for: sent.request.items().contains(Item::FirmwareState),
            state: state.filter(|_| is_affirmed),
            answer: evidence.firmware,
        };
        checks.push(firmware::check(service, known));
    }

    let proved = response.ok().filter(|_| is_good).map(|read| Proved {
        cuid: read.cuid,
        additional: additional.unwrap_or_default(),
        additional_bytes: read.additional.to_vec(),
        user_data: read.user_data.to_vec(),
        claims: claims.and_then(Result::ok),
    });
    let valid_until = sent.created.saturating_add(i64::from(expected.valid_for));
    Verdict { checks, proved, store: store.report, age, valid_until }.settle()
}

/// With the firmware's, and that of a batch.
const MOST_CHECKS: usize = 18;
const NO_RESPONSE: &str = "There is no response that could be looked at.";

/// The response, and in it a request that can be read: so what is wrong with it is named.
fn read(response: &[u8]) -> Result<ExchangeResponse<'_>> {
    let response = ExchangeResponse::parse(response)?;
    AttestationRequest::parse(response.request).map(|_| response)
}

/// A check without which nothing is known.
fn of<T>(name: &'static str, result: Result<T>, detail: &'static str) -> Check {
    match result {
        Ok(_) => Check::passed(name, detail),
        Err(fault) => Check::voiding(name, fault),
    }
}

fn answers(response: Option<&ExchangeResponse<'_>>, sent: &Sent<'_>) -> Check {
    let Some(response) = response else { return Check::skipped("request", NO_RESPONSE) };
    if same(response.request, sent.request.bytes()) {
        return Check::passed("request", "The response is to the request that was sent.");
    }
    let fault = Fault::new(codes::REQUEST_MISMATCH, "The response is to another request than the one that was sent.")
        .hint("Let the guest answer the request that was made for it; if it did, the response was altered on its way.");
    Check::voiding("request", fault)
}

fn is_new(age: i64, expected: &Expected) -> Check {
    let most = i64::from(expected.max_age.min(expected.valid_for));
    let detail = match age {
        ..0 => format!("The request was made {} seconds from now, says its sender.", age.saturating_neg()),
        _ if age > most => format!("The request was made {age} seconds ago; {most} are allowed."),
        _ => return Check::passed("age", format!("The request was made {age} seconds ago.")),
    };
    let hint = "Make a new request and let the guest answer it; if that is what you did, look at this machine's clock.";
    Check::voiding("age", Fault::new(codes::EXPIRED, detail).hint(hint))
}

fn measured(response: Option<&ExchangeResponse<'_>>, opened: Option<&Opened>, expected: &Expected) -> Check {
    let Some(image) = &expected.image else {
        let fault = Fault::new(codes::NO_IMAGE, "The measurement cannot be checked without an image.")
            .hint("Name the image, or its header, that the guest is started from.");
        return Check::voiding(MEASUREMENT, fault);
    };
    let (Some(response), Some(opened)) = (response, opened) else {
        return Check::skipped(MEASUREMENT, "There is no response to the request, or no key to check it with.");
    };
    let ExchangeResponse { cuid, user_data, additional, .. } = *response;
    match (Measured { image, cuid, user_data, additional }).measure(opened) {
        Ok(measurement) if same(&measurement, response.measurement) => Check::passed(
            MEASUREMENT,
            "The measurement is good: a guest that was started from the image runs in Secure Execution and has answered.",
        ),
        Ok(_) => Check::failed(
            MEASUREMENT,
            Fault::new(
                codes::MEASUREMENT_MISMATCH,
                "The measurement is not that of the image and of what the response says.",
            )
            .hint("Look which image the guest was started from. If it is the expected one, the response was altered."),
        ),
        Err(fault) => Check::voiding(MEASUREMENT, fault),
    }
}

/// The claims, if there are any: read, and compared with the user data.
fn bound_claims(response: Option<&ExchangeResponse<'_>>, text: Option<&str>) -> Option<Result<Claims>> {
    let (response, text) = response.zip(text)?;
    let bound = Claims::parse(text).and_then(|claims| {
        // It was read, so it is in its only form, and its hash is that of the claims.
        if same(&sha512(text.as_bytes()), response.user_data) {
            return Ok(claims);
        }
        Err(Fault::new(codes::USER_DATA, "The claims are not those whose hash the guest gave as user data.")
            .hint("Hand over the claims that attest returned together with this response."))
    });
    Some(bound)
}

fn claims_are_bound(is_response: bool, claims: Option<&Result<Claims>>) -> Check {
    match claims {
        Some(Ok(_)) => Check::passed("claims", "The guest's claims are bound by the user data: they are its word."),
        Some(Err(fault)) => Check::failed("claims", fault.clone()),
        None if is_response => Check::skipped("claims", "The guest made no claims."),
        None => Check::skipped("claims", NO_RESPONSE),
    }
}

fn user_data(response: Option<&ExchangeResponse<'_>>, expected: &Expected) -> Check {
    let Some(wanted) = &expected.user_data else { return Check::skipped("user_data", "No user data are expected.") };
    let Some(response) = response else { return Check::skipped("user_data", NO_RESPONSE) };
    if same(wanted, response.user_data) {
        return Check::passed("user_data", "The user data are the expected ones.");
    }
    let detail = format!(
        "The guest's user data ({} bytes) are not the expected ones ({} bytes).",
        response.user_data.len(),
        wanted.len()
    );
    Check::failed("user_data", Fault::new(codes::USER_DATA, detail).hint("Look what the guest was told to bind."))
}

fn cuid(response: Option<&ExchangeResponse<'_>>, expected: &Expected) -> Check {
    let Some(wanted) = &expected.cuid else {
        return Check::skipped("cuid", "No configuration unique id is pinned.");
    };
    let Some(response) = response else { return Check::skipped("cuid", NO_RESPONSE) };
    if response.cuid == *wanted {
        return Check::passed("cuid", "The configuration unique id is the pinned one.");
    }
    let detail =
        format!("The configuration unique id is 0x{}; 0x{} is pinned.", encode_hex(&response.cuid), encode_hex(wanted));
    let hint = "If the guest was started again, remove the pinned id and attest it as a new one.";
    Check::failed("cuid", Fault::new(codes::CUID_CHANGED, detail).hint(hint))
}

/// What is found of the store.
struct Store {
    check: Check,
    report: Option<StoreReport>,
}

/// What helps to explain a store's hash.
struct Measurement<'a> {
    is_good: bool,
    claims: Option<&'a Claims>,
}

fn store(data: Option<&AdditionalData>, measurement: Measurement<'_>, expected: &Expected, sent: &Sent<'_>) -> Store {
    let only = |check| Store { check, report: None };
    let Some(wanted) = &expected.store else {
        return only(Check::skipped("secret_store", "Nothing is expected of the secret store."));
    };
    if !sent.request.items().contains(Item::SecretStore) {
        return only(Check::failed("secret_store", compare::not_asked("secret_store")));
    }
    let Some(found) = data.and_then(|data| data.secret_store) else {
        return only(Check::skipped("secret_store", "There are no additional data that fit the request."));
    };
    if !measurement.is_good {
        // Anybody can send a hash: none is worth the search for what may be behind it.
        return only(compare::unproved_store(&found, wanted));
    }
    let (check, report) = compare::store(&found, wanted, measurement.claims);
    Store { check, report: Some(report) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guest_without_claims_and_no_response_at_all_are_told_apart() {
        let said = |is_response| claims_are_bound(is_response, None);
        assert_eq!((said(true).ok, said(true).detail.as_ref()), (None, "The guest made no claims."));
        assert_eq!((said(false).ok, said(false).detail.as_ref()), (None, NO_RESPONSE));
    }
}
