//! The systemd unit.

use super::{ARGUMENTS, PROGRAM};
use ansible_contract::codes as args;
use fault::{Fault, Result};

/// The unit's text, with the units that wait for it.
pub fn text(before: &[String]) -> String {
    let before = if before.is_empty() { String::new() } else { format!("Before={}\n", before.join(" ")) };
    format!(
        "\
# Installed by seguest.pv.guest; its option at_boot: false removes it.
[Unit]
Description=Secrets and crypto queues of this Secure Execution guest
Wants=modprobe@uvdevice.service
After=local-fs.target modprobe@uvdevice.service
{before}
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart={PROGRAM} {ARGUMENTS}
# A failure is one line of standard error.
StandardOutput=null
TimeoutStartSec=10min
UMask=0077
NoNewPrivileges=yes
ProtectSystem=strict
ReadWritePaths=/run
ProtectHome=yes
PrivateTmp=yes
PrivateNetwork=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectControlGroups=yes
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
SystemCallArchitectures=native

[Install]
WantedBy=multi-user.target
"
    )
}

/// That these can be names of units, and nothing else.
///
/// # Errors
/// `args.invalid`, naming the option.
pub fn check_units(option: &str, units: &[String]) -> Result<()> {
    let is_unit = |name: &String| {
        let allowed = |c: char| c.is_ascii_alphanumeric() || ":-_.\\@".contains(c);
        name.len() < 256
            && name.chars().all(allowed)
            && name.rsplit_once('.').is_some_and(|(a, b)| !a.is_empty() && !b.is_empty())
    };
    match units.iter().position(|name| !is_unit(name)) {
        None => Ok(()),
        Some(at) => Err(Fault::new(
            args::INVALID,
            format!("The option {option}[{at}] is not the name of a systemd unit."),
        )
        .hint("Give whole names, such as pkcsslotd.service: at most 255 letters, digits and characters of :-_.\\@.")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_that_wait_are_named_in_one_line_and_none_is_no_line() {
        let names = |names: &[&str]| text(&names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
        assert!(names(&["a.service", "b.service"]).contains("\nBefore=a.service b.service\n"));
        assert!(!names(&[]).contains("Before="));
    }

    #[test]
    fn only_names_of_units_get_into_the_unit() {
        let check = |name: &str| check_units("at_boot_before", &[name.to_owned()]);
        for name in ["pkcsslotd.service", "a@b.service", r"dev-\x2d.device"] {
            check(name).unwrap();
        }
        for name in ["", "pkcsslotd", ".service", "a.", "a b.service", "a.service\nExecStart=/bin/x", "ä.service"] {
            assert_eq!(check(name).unwrap_err().code, args::INVALID, "{name:?}");
        }
    }
}
