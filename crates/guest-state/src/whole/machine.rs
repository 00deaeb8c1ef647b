//! Whether the guest runs on a machine that it may run on.

use fault::{Fault, Result};

pub mod codes {
    //! Codes of this room's own.
    fault::codes! {
        OTHER_MACHINE = "uv.other_machine", "None of this host's keys is among those of the machines that the guest may run on.";
        MACHINE_UNKNOWN = "uv.machine_unknown", "The kernel does not show this host's keys, so whether the guest may run here cannot be known.";
    }
}

/// Compares SHA-256 hashes of host keys: those of the machines that are accepted, and this host's, where they are known.
///
/// # Errors
/// `uv.other_machine`, `uv.machine_unknown`.
pub fn check(accepted: &[[u8; 32]], ours: Option<&[[u8; 32]]>) -> Result<()> {
    let ours = ours.ok_or_else(|| {
        Fault::new(
            codes::MACHINE_UNKNOWN,
            "Which machine this is cannot be known: the kernel does not show its host keys.",
        )
        .hint("Use a kernel that has /sys/firmware/uv/keys, or leave host_key_hashes out.")
    })?;
    if ours.iter().any(|key| accepted.contains(key)) {
        return Ok(());
    }
    let ours: Vec<String> = ours.iter().map(|key| pv_wire::encode_hex(key)).collect();
    Err(Fault::new(
        codes::OTHER_MACHINE,
        format!("The guest runs on another machine than it may: the host key here is {}.", ours.join(" or ")),
    )
    .hint("Move the guest, or add the machine's host key hash."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guest_may_run_where_one_of_the_hosts_keys_is_accepted() {
        assert_eq!(check(&[[1; 32], [2; 32]], Some(&[[3; 32], [2; 32]])), Ok(()));
        assert_eq!(check(&[[1; 32]], Some(&[[3; 32]])).unwrap_err().code, codes::OTHER_MACHINE);
        assert_eq!(check(&[[1; 32]], None).unwrap_err().code, codes::MACHINE_UNKNOWN);
    }
}
