//! What a guest runs by itself at each boot: this program, what it is told, and the systemd unit that starts it.

mod apply;
mod desired;
mod observe;
mod plan;
mod systemd;
mod unit;

pub use apply::{Answer, Report, apply, predict};
pub use desired::{Desired, Installed};
pub use observe::{Observed, observe, this_program};
pub use plan::{Change, Plan, plan};
pub use unit::check_units;

pub mod codes {
    //! Codes of this room's own.
    fault::codes! {
        NO_SYSTEMD = "boot.no_systemd", "The guest has no systemd, so nothing could start the unit at boot.";
        UNSAFE_FOLDER = "boot.unsafe_folder", "A user other than root could replace what the guest runs at each boot.";
        NOT_OURS = "boot.not_ours", "The path of a file for the guest's boot is taken by something else.";
        NOT_REPEATABLE = "boot.not_repeatable", "The options cannot be applied again at the next boot.";
        RELOAD = "boot.not_reloaded", "systemd did not reload its units; it does so at the next boot.";
    }
}

/// This program, for the boot.
pub const PROGRAM: &str = "/usr/local/libexec/seguest.pv/guest";
/// What it is told there.
pub const ARGUMENTS: &str = "/etc/seguest.pv/guest.json";
/// The unit that starts it.
pub const UNIT: &str = "/etc/systemd/system/seguest-pv.service";
/// What makes systemd start the unit.
pub const LINK: &str = "/etc/systemd/system/multi-user.target.wants/seguest-pv.service";
