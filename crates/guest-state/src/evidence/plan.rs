//! Whether a request can be answered here, as far as that is known before: a pure function of the request and of what the
//! kernel tells of the machine.

use super::observe::Seen;
use fault::{Fault, Result};
use pv_guest::uv::attest;
use pv_wire::attestation::{AttestationRequest, Items};
use pv_wire::encode_hex;

/// Holds the request against the machine.
///
/// # Errors
/// `attest.unsupported`, `attest.no_host_key_slot`, `attest.flag_unsupported`: what the ultravisor would refuse it for.
pub fn check(request: &AttestationRequest<'_>, seen: &Seen) -> Result<()> {
    if seen.offered == Some(false) {
        return Err(attest::unsupported("this machine's ultravisor does not offer the call"));
    }
    if let (Some(ours), Some(false)) = (&seen.host_keys, host_key_match(request, seen)) {
        let hashes = |keys: &mut dyn Iterator<Item = [u8; 32]>| -> String {
            keys.map(|key| encode_hex(&key)).collect::<Vec<_>>().join(" or ")
        };
        let detail = format!(
            "The attestation request has no slot for this machine: its host key is {}, the slots are for {}.",
            hashes(&mut ours.iter().copied()),
            hashes(&mut request.host_key_hashes().take(4))
        );
        return Err(Fault::new(attest::codes::NO_HOST_KEY_SLOT, detail).hint(OTHER_MACHINE));
    }
    let lacking = seen.items.map(|ours| request.items().iter().filter(|item| !ours.contains(*item)).collect());
    if let Some((ours, lacking)) = seen.items.zip(lacking.filter(|lacking: &Items| *lacking != Items::default())) {
        let detail = format!(
            "The attestation request asks for {}, which this machine's ultravisor cannot add; it can add {}.",
            names(lacking),
            names(ours)
        );
        return Err(Fault::new(attest::codes::FLAG_UNSUPPORTED, detail)
            .hint("Make a new attestation request with less in add_data."));
    }
    Ok(())
}

const OTHER_MACHINE: &str =
    "Make a new attestation request with the host key document of the machine that this guest runs on.";

/// Whether a slot of the request is for this host's key.
pub(super) fn host_key_match(request: &AttestationRequest<'_>, seen: &Seen) -> Option<bool> {
    let ours = seen.host_keys.as_ref()?;
    Some(request.host_key_hashes().any(|slot| ours.contains(&slot)))
}

/// What the ultravisor's refusal leaves open, and the kernel may tell.
pub(super) fn explained(mut fault: Fault, request: &AttestationRequest<'_>, seen: &Seen) -> Fault {
    if fault.code == attest::codes::FLAG_UNSUPPORTED {
        if let Some(items) = seen.items {
            fault.detail =
                format!("{} By the kernel (supp_att_pflags) the ultravisor can add {}.", fault.detail, names(items));
        }
    }
    if fault.code == attest::codes::NO_HOST_KEY_SLOT && host_key_match(request, seen) == Some(true) {
        fault.hint =
            "It has a slot for this host's key, so it was changed on the way. Make a new attestation request.".into();
    }
    fault
}

fn names(items: Items) -> String {
    let names: Vec<&str> = items.iter().map(|item| item.option()).collect();
    if names.is_empty() { "nothing".into() } else { names.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::super::samples;
    use super::*;
    use pv_wire::attestation::Item;

    fn code(flags: u8, slots: &[[u8; 32]], seen: &Seen) -> Option<&'static str> {
        let bytes = samples::request(flags, slots);
        check(&AttestationRequest::parse(&bytes).unwrap(), seen).err().map(|fault| fault.code.name)
    }

    fn all() -> Seen {
        Seen {
            offered: Some(true),
            items: Some(Item::ALL.into_iter().collect()),
            host_keys: Some(vec![[1; 32], [2; 32]]),
        }
    }

    #[test]
    fn a_request_for_this_machine_can_be_answered_and_so_may_any_where_nothing_is_known() {
        assert_eq!(code(0x7c, &[[9; 32], [2; 32]], &all()), None);
        assert_eq!(code(0x7c, &[[9; 32]], &Seen::default()), None);
    }

    #[test]
    fn what_the_ultravisor_would_refuse_is_known_before_it_is_asked() {
        assert_eq!(code(0x40, &[[1; 32]], &Seen { offered: Some(false), ..all() }), Some("attest.unsupported"));
        assert_eq!(code(0x40, &[[9; 32]], &all()), Some("attest.no_host_key_slot"));
        let few = Seen { items: Some([Item::SecretStore].into_iter().collect()), ..all() };
        assert_eq!(code(0x48, &[[1; 32]], &few), None);
        let bytes = samples::request(0x7c, &[[1; 32]]);
        let fault = check(&AttestationRequest::parse(&bytes).unwrap(), &few).unwrap_err();
        assert_eq!(fault.code.name, "attest.flag_unsupported");
        assert!(
            fault.detail.contains("asks for image_host_key, attestation_host_key, firmware_state, which")
                && fault.detail.ends_with("it can add secret_store."),
            "{fault}"
        );
    }

    #[test]
    fn a_refusal_is_explained_by_what_the_kernel_tells() {
        let bytes = samples::request(0x48, &[[1; 32]]);
        let request = AttestationRequest::parse(&bytes).unwrap();
        let refused = |code, seen: &Seen| explained(Fault::new(code, "No.").hint("?"), &request, seen);
        let fault = refused(attest::codes::NO_HOST_KEY_SLOT, &all());
        assert!(fault.hint.contains("changed on the way"), "{fault}");
        assert_eq!(refused(attest::codes::NO_HOST_KEY_SLOT, &Seen::default()).hint, "?");
        let fault = refused(attest::codes::FLAG_UNSUPPORTED, &all());
        assert!(fault.detail.ends_with("attestation_host_key, secret_store, firmware_state."), "{fault}");
    }
}
