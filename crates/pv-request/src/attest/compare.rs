//! Comparing what was measured with what is expected.

use super::{
    Check, Expected, ExpectedClaims, ExpectedRequest, ExpectedStore, StoreReport, codes, explain, explain::Difference,
    same, store_hash,
};
use fault::{Code, Fault, Result};
use pv_wire::{
    attestation::{AdditionalData, Claims, Item, Items, SshHostKey, layout},
    encode_hex,
    layout::TAG_LEN,
};
use std::borrow::Cow;

/// That the request did not ask for what is to be compared.
pub(super) fn not_asked(item: &str) -> Fault {
    Fault::new(
        codes::NOT_ASKED,
        format!("The request did not ask the ultravisor for {item}, so it cannot be compared."),
    )
    .hint(format!("Make the request with {item} in add_data."))
}

/// The two checks of host keys.
pub(super) fn host_keys(data: Option<&AdditionalData>, asked: Items, expected: &Expected) -> [Check; 2] {
    let check = |item: Item, found: Option<[u8; 32]>, allowed: Option<&Vec<[u8; 32]>>, code: Code| {
        let name = item.option();
        let Some(allowed) = allowed else { return Check::skipped(name, "No host key is expected.") };
        if !asked.contains(item) {
            return Check::failed(name, not_asked(name));
        }
        let Some(found) = found else {
            return Check::skipped(name, "There are no additional data that fit the request.");
        };
        let hash = encode_hex(&found);
        if allowed.contains(&found) {
            return Check::passed(name, format!("The host key with the hash {hash} is an allowed one."));
        }
        let detail = format!("The host key with the hash {hash} is none of the {} allowed ones.", allowed.len());
        let hint = "Look on which machine the guest runs; if it may, name that machine's host key document too.";
        Check::failed(name, Fault::new(code, detail).hint(hint))
    };
    let image = data.and_then(|data| data.image_host_key);
    let attestation = data.and_then(|data| data.attestation_host_key);
    [
        check(Item::ImageHostKey, image, expected.image_host_keys.as_ref(), codes::IMAGE_HOST_KEY),
        check(
            Item::AttestationHostKey,
            attestation,
            expected.attestation_host_keys.as_ref(),
            codes::ATTESTATION_HOST_KEY,
        ),
    ]
}

const STORE: &str = "secret_store";

fn tags(wanted: &ExpectedStore) -> Vec<[u8; TAG_LEN]> {
    wanted.requests.iter().map(|request| request.tag).collect()
}

fn expected_hash(wanted: &ExpectedStore) -> [u8; layout::STORE_HASH_LEN] {
    store_hash(&tags(wanted), wanted.locked)
}

fn store_agrees(wanted: &ExpectedStore) -> Check {
    let detail = format!(
        "The secret store took requests with the {} expected tags, in their order, and is {}.",
        wanted.requests.len(),
        if wanted.locked { "locked" } else { "not locked" }
    );
    Check::passed(STORE, detail)
}

/// The check of a hash that was not measured.
pub(super) fn unproved_store(found: &[u8; layout::STORE_HASH_LEN], wanted: &ExpectedStore) -> Check {
    if same(found, &expected_hash(wanted)) {
        return store_agrees(wanted);
    }
    let detail =
        "The response has another hash of the secret store than expected; nothing proves that it is the guest's.";
    Check::failed(STORE, Fault::new(codes::STORE_MISMATCH, detail).hint("Look first why the measurement is not good."))
}

/// The check of the secret store, and what is reported of it. The guest's own claims help to explain a difference.
pub(super) fn store(
    found: &[u8; layout::STORE_HASH_LEN],
    wanted: &ExpectedStore,
    claims: Option<&Claims>,
) -> (Check, StoreReport) {
    let expected = expected_hash(wanted);
    let report = StoreReport { hash: *found, expected, locked: Some(wanted.locked), explanation: None };
    if same(found, &expected) {
        return (store_agrees(wanted), report);
    }
    let explained = explain(found, &tags(wanted), wanted.locked);
    let labels: Vec<_> = wanted.requests.iter().map(|request| request.label.clone()).collect();
    let mut sentence = explained.as_ref().map_or_else(
        || "The secret store took a request that is not expected, or differs in several ways at once.".into(),
        |explanation| explanation.sentence(&labels),
    );
    if explained.is_none() {
        if let Some(said) = foreign(claims, wanted) {
            sentence = format!("{sentence} {said}");
        }
    }
    let (code, hint) = match explained.as_ref().map(|explanation| &explanation.difference) {
        Some(Difference::Lock) if wanted.locked => (codes::NOT_LOCKED, "Lock it with secret_lock, and attest again."),
        Some(Difference::Lock) => (codes::NOT_LOCKED, "Only a reboot opens a locked store."),
        Some(Difference::Empty) => (codes::STORE_MISMATCH, "Add the requests again, lock the store, and attest again."),
        _ => (codes::STORE_MISMATCH, "Reboot the guest, add the expected requests in their order, and attest again."),
    };
    let fault = Fault::new(code, sentence.clone()).hint(hint);
    let locked = explained.map(|explanation| explanation.locked);
    (Check::failed(STORE, fault), StoreReport { locked, explanation: Some(sentence), ..report })
}

/// Which request that the guest says it added is none of the expected ones.
fn foreign(claims: Option<&Claims>, wanted: &ExpectedStore) -> Option<String> {
    let added = claims?.added_requests()?;
    let known = |hash: &[u8; 32]| wanted.requests.iter().any(|request| request.sha256.as_ref() == Some(hash));
    if wanted.requests.iter().any(|request| request.sha256.is_none()) {
        return None;
    }
    let (place, hash) = added.iter().enumerate().find(|(_, hash)| !known(hash))?;
    Some(format!(
        "By the guest's own word, the request that it added as number {} (SHA-256 {}) is none of those expected.",
        place + 1,
        encode_hex(hash)
    ))
}

/// The checks of what the guest says about itself: three, whatever is expected.
pub(super) fn claims(claims: Option<&Result<Claims>>, expected: &Expected) -> [Check; 3] {
    let [added, keys, boot] = ["added_requests", "ssh_host_keys", "boot_id"];
    let wanted = &expected.claims;
    let store = expected.store.as_ref().map(|store| store.requests.as_slice());
    match claims {
        Some(Ok(claims)) => [
            match (claims.added_requests(), store) {
                (Some(said), Some(requests)) => added_requests(added, said, requests),
                (None, _) if wanted.added_requests => missing(added),
                _ => Check::skipped(added, "There is nothing to compare."),
            },
            match claims.ssh_host_keys() {
                Some(said) => ssh_host_keys(keys, said, wanted),
                None if looks_at_keys(wanted) => missing(keys),
                None => Check::skipped(keys, no_key(wanted)),
            },
            match (claims.boot_id(), &wanted.boot_id) {
                (Some(said), Some(known)) => boot_id(boot, said, known),
                (None, Some(_)) => missing(boot),
                (_, None) => Check::skipped(boot, "No boot id is expected."),
            },
        ],
        Some(Err(_)) => [added, keys, boot].map(|name| Check::skipped(name, "The guest's claims are not bound.")),
        None => [(added, wanted.added_requests), (keys, looks_at_keys(wanted)), (boot, wanted.boot_id.is_some())].map(
            |(name, is_wanted)| {
                if is_wanted { missing(name) } else { Check::skipped(name, "It is not expected.") }
            },
        ),
    }
}

fn missing(name: &'static str) -> Check {
    let detail = format!("The guest has not bound {name}, which is to be compared.");
    Check::failed(name, Fault::new(codes::CLAIMS_MISSING, detail).hint(format!("Name {name} in bind of attest.")))
}

fn added_requests(name: &'static str, said: &[[u8; 32]], wanted: &[ExpectedRequest]) -> Check {
    let failed = |detail: String| {
        let hint = "Find out who replaced the requests on their way to the guest. A request's tag can be forged, its SHA-256 cannot.";
        Check::failed(name, Fault::new(codes::ADDED_REQUESTS, detail).hint(hint))
    };
    if said.len() != wanted.len() {
        let detail = format!("The guest says that it added {} requests; {} are expected.", said.len(), wanted.len());
        return failed(detail);
    }
    let other = said.iter().zip(wanted).find(|(said, wanted)| wanted.sha256.is_some_and(|known| known != **said));
    if let Some((said, wanted)) = other {
        return failed(format!(
            "Where {} is expected, the guest says that it added the request with the SHA-256 {}.",
            wanted.label,
            encode_hex(said)
        ));
    }
    let known = wanted.iter().filter(|request| request.sha256.is_some()).count();
    match (known, wanted.len()) {
        (0, 1..) => Check::skipped(name, "Of no expected request the SHA-256 is known."),
        (_, all) => Check::passed(
            name,
            format!(
                "The guest says that it added exactly the expected requests: {known} of {all} compared by their SHA-256."
            ),
        ),
    }
}

/// Whether the guest must say which SSH host keys it has.
fn looks_at_keys(wanted: &ExpectedClaims) -> bool {
    wanted.ssh_host_keys.is_some() || !wanted.revoked_ssh_host_keys.is_empty()
}

fn no_key(wanted: &ExpectedClaims) -> Cow<'static, str> {
    wanted.not_known.clone().map_or(Cow::Borrowed("No SSH host key is expected."), Cow::Owned)
}

fn ssh_host_keys(name: &'static str, said: &[SshHostKey], wanted: &ExpectedClaims) -> Check {
    let kind = |key: &SshHostKey| key.as_str().split(' ').next().unwrap_or_default().to_owned();
    let failed = |detail: String, hint: &str| Check::failed(name, Fault::new(codes::SSH_HOST_KEYS, detail).hint(hint));
    let hint = "If the guest was given new SSH host keys, put them into known_hosts and remove the old ones. If not, another machine answers at its address.";
    if let Some(key) = wanted.revoked_ssh_host_keys.iter().find(|key| said.contains(key)) {
        let detail = format!("The attested guest has a key of type {} that is revoked in known_hosts.", kind(key));
        return failed(detail, "Give the guest new SSH host keys: whoever has the revoked one can pass for it.");
    }
    let Some(known) = &wanted.ssh_host_keys else { return Check::skipped(name, no_key(wanted)) };
    if known.is_empty() {
        return failed("The guest is known by no SSH host key, so none can be compared.".into(), hint);
    }
    match known.iter().find(|key| !said.contains(key)) {
        Some(key) => {
            let detail =
                format!("The guest is known by a key of type {} that the attested guest does not have.", kind(key));
            failed(detail, hint)
        }
        None => Check::passed(
            name,
            format!("The attested guest has the {} SSH host keys that it is known by.", known.len()),
        ),
    }
}

fn boot_id(name: &'static str, said: &str, known: &str) -> Check {
    if said == known {
        return Check::passed(name, "The boot id is the expected one.");
    }
    let detail = format!("The attested guest has the boot id {said}; {known} is expected.");
    let hint = "If the guest was rebooted, attest it again with its new boot id.";
    Check::failed(name, Fault::new(codes::BOOT_ID, detail).hint(hint))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(locked: bool) -> ExpectedStore {
        let request = |number: u8| ExpectedRequest {
            label: format!("r{number}"),
            tag: [number; TAG_LEN],
            sha256: Some([number; 32]),
        };
        ExpectedStore { requests: vec![request(1), request(2)], locked }
    }

    /// What the check of a store says that took the requests of `taken`: code, hint and report.
    fn found(taken: &[u8], locked: bool, wanted: &ExpectedStore) -> (Option<Code>, String, StoreReport) {
        let tags: Vec<_> = taken.iter().map(|number| [*number; TAG_LEN]).collect();
        let (check, report) = store(&store_hash(&tags, locked), wanted, None);
        (check.code(), check.hint().unwrap_or_default().to_owned(), report)
    }

    #[test]
    fn a_lock_that_differs_has_its_own_code_and_what_can_be_done_about_it() {
        let (code, hint, report) = found(&[1, 2], false, &wanted(true));
        assert_eq!((code, report.locked), (Some(codes::NOT_LOCKED), Some(false)));
        assert!(hint.contains("secret_lock"), "{hint}");
        let (code, hint, report) = found(&[1, 2], true, &wanted(false));
        assert_eq!((code, report.locked), (Some(codes::NOT_LOCKED), Some(true)));
        assert!(hint.contains("reboot"), "{hint}");
    }

    #[test]
    fn an_empty_store_needs_no_reboot_and_any_other_difference_does() {
        let (code, hint, report) = found(&[], false, &wanted(true));
        assert_eq!((code, report.locked), (Some(codes::STORE_MISMATCH), Some(false)));
        assert!(hint.starts_with("Add the requests again"), "{hint}");
        let (code, hint, report) = found(&[2], true, &wanted(true));
        assert_eq!((code, report.locked), (Some(codes::STORE_MISMATCH), Some(true)));
        assert!(hint.starts_with("Reboot the guest"), "{hint}");
        // Nothing is known of the lock of a store that took something foreign.
        assert_eq!(found(&[3], true, &wanted(true)).2.locked, None);
    }

    #[test]
    fn a_guest_that_names_no_added_requests_fails_only_where_it_must() {
        let mut expected = Expected { store: Some(wanted(true)), ..Expected::default() };
        let said = Ok(Claims::default());
        let ok = |expected: &Expected| claims(Some(&said), expected)[0].ok;
        assert_eq!(ok(&expected), None);
        expected.claims.added_requests = true;
        assert_eq!(ok(&expected), Some(false));
    }

    #[test]
    fn why_no_ssh_host_key_is_compared_is_said() {
        let mut expected = Expected::default();
        let said = Ok(Claims::default());
        let detail = |expected: &Expected| claims(Some(&said), expected)[1].detail.clone();
        assert_eq!(detail(&expected), "No SSH host key is expected.");
        expected.claims.not_known = Some("Nobody looked.".into());
        assert_eq!(detail(&expected), "Nobody looked.");
    }
}
