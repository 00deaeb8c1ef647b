//! The bus and the secrets as they are.

use fault::Result;
use pv_guest::ap::Bus;
use pv_guest::uv::{Device, SecretList};
use std::time::Duration;

/// Finds the AP bus of a Secure Execution guest and waits until it is complete.
///
/// # Errors
/// `ap.no_bus`, `ap.not_a_guest`, `ap.no_secure_binding`, `ap.bindings_incomplete`, `ap.attribute_unreadable`.
pub fn bus(timeout: Duration) -> Result<Bus> {
    let bus = Bus::find()?;
    bus.require_secure_binding()?;
    bus.wait_for_bindings(timeout)?;
    Ok(bus)
}

/// The secrets, where any entry needs one. All of them must be seen: an unseen one could be the one that is sought.
///
/// # Errors
/// Those of the device and of the list.
pub fn secrets(needed: bool) -> Result<SecretList> {
    if needed { SecretList::read(&Device::open()?) } else { Ok(SecretList::default()) }
}
