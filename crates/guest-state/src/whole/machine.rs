//! Whether the system is a Secure Execution guest, on a machine that it may run on.

use fault::{Fault, Result};
use pv_guest::firmware::Role;

pub mod codes {
    //! Codes of this room's own.
    fault::codes! {
        OTHER_MACHINE = "uv.other_machine", "None of this host's keys is among those of the allowed machines.";
        MACHINE_UNKNOWN = "uv.machine_unknown", "The kernel does not show what this system is or which keys its host has, so it is not known whether the guest may run here.";
    }
}

/// Where a guest runs, as its kernel shows it.
#[derive(Clone, Debug)]
pub struct Machine {
    /// What the system is; `None` where that cannot be read.
    pub role: Option<Role>,
    /// SHA-256 hashes of the host's keys; `None` where the kernel does not show them.
    pub host_keys: Option<Vec<[u8; 32]>>,
}

/// Holds it against the hashes of host keys of the machines that are accepted; none: any machine.
///
/// # Errors
/// `ap.not_a_guest`, `uv.other_machine`, `uv.machine_unknown`.
pub fn check(accepted: &[[u8; 32]], machine: &Machine) -> Result<()> {
    match machine.role {
        Some(Role::Guest) => {}
        Some(Role::Host | Role::None) => {
            return Err(Fault::new(pv_guest::codes::NOT_A_GUEST, "This system is not a Secure Execution guest (/sys/firmware/uv/prot_virt_guest is not 1).")
                .hint("Check that the task runs on the right machine, and that the guest was started from an encrypted boot image."));
        }
        None => {
            return Err(unknown("/sys/firmware/uv cannot be read").hint("Run the task as root (become: true)."));
        }
    }
    if accepted.is_empty() {
        return Ok(());
    }
    let ours = machine.host_keys.as_deref().ok_or_else(|| {
        unknown("the kernel does not show its host keys")
            .hint("Use a kernel that has /sys/firmware/uv/keys, or leave host_key_hashes out.")
    })?;
    if ours.iter().any(|key| accepted.contains(key)) {
        return Ok(());
    }
    let ours: Vec<String> = ours.iter().map(|key| pv_wire::encode_hex(key)).collect();
    Err(Fault::new(
        codes::OTHER_MACHINE,
        format!("The guest runs on a machine that is not allowed: the host key here is {}.", ours.join(" or ")),
    )
    .hint("Move the guest, or add the machine's host key hash to the allowed ones."))
}

fn unknown(why: &str) -> Fault {
    Fault::new(codes::MACHINE_UNKNOWN, format!("The machine that the guest runs on cannot be identified: {why}."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guest_may_run_where_one_of_the_hosts_keys_is_accepted() {
        let code = |accepted: &[[u8; 32]], role, host_keys| {
            check(accepted, &Machine { role, host_keys }).err().map(|fault| fault.code)
        };
        let (guest, keys) = (Some(Role::Guest), Some(vec![[3; 32], [2; 32]]));
        assert_eq!(code(&[[1; 32], [2; 32]], guest, keys.clone()), None);
        assert_eq!(code(&[[1; 32]], guest, keys.clone()), Some(codes::OTHER_MACHINE));
        assert_eq!(code(&[[1; 32]], guest, None), Some(codes::MACHINE_UNKNOWN));
        assert_eq!(code(&[], guest, None), None);
        assert_eq!(code(&[], Some(Role::Host), keys.clone()), Some(pv_guest::codes::NOT_A_GUEST));
        assert_eq!(code(&[], None, keys), Some(codes::MACHINE_UNKNOWN));
    }
}
