//! The SSH host keys by which a guest is known, and where they are looked up.

use crate::options::Options;
use ansible_contract::codes as args;
use fault::{Fault, Result};
use pv_request::attest::ssh_host_key;
use pv_wire::attestation::SshHostKey;
use std::path::PathBuf;
use trusted::{missing, paths};

/// Where what an SSH client knows of a guest is looked up.
#[derive(Debug)]
pub struct SshHost {
    /// How the client reaches it.
    pub name: String,
    /// Its port.
    pub port: u16,
    /// The files.
    pub files: Vec<PathBuf>,
    /// What comes before them.
    pub content: String,
}

/// Where the options say that keys are looked up.
///
/// # Errors
/// `args.missing`.
pub fn ssh_host(options: &Options) -> Result<Option<SshHost>> {
    let Some(name) = &options.ssh_host else { return Ok(None) };
    if options.known_hosts.is_none() && options.known_hosts_content.is_none() {
        return Err(missing("known_hosts", "ssh_host is looked up there"));
    }
    let files = paths(options.known_hosts.as_deref()).unwrap_or_default();
    let content = options.known_hosts_content.clone().unwrap_or_default();
    Ok(Some(SshHost { name: name.clone(), port: options.ssh_port(), files, content }))
}

/// The keys in lines of `known_hosts`, or in lines without the names before them. Lines are judged as in those files, but
/// each must hold a key.
///
/// # Errors
/// `args.invalid`.
pub fn keys(lines: &[String]) -> Result<Vec<SshHostKey>> {
    let lines = lines.iter().flat_map(|text| text.lines()).map(str::trim);
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(|line| ssh_host_key(line).ok_or_else(|| no_key(line))).collect()
}

fn no_key(line: &str) -> Fault {
    if let Some(marker) = line.split_ascii_whitespace().next().filter(|word| word.starts_with('@')) {
        let shown: String = marker.chars().take(20).flat_map(char::escape_debug).collect();
        let detail =
            format!("A line of the option ssh_host_keys is marked {shown}: its key is none that the guest must have.");
        return Fault::new(args::INVALID, detail)
            .hint("Leave the line out, or give it in known_hosts or known_hosts_content, where @revoked counts.");
    }
    Fault::new(args::INVALID, "A line of the option ssh_host_keys holds no SSH host key: type and base64 are needed, of the same type.")
        .hint("Give what a file such as /etc/ssh/ssh_host_ed25519_key.pub of the guest holds, or what `ssh-keygen -F NAME` prints.")
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEJr";

    fn of(lines: &[&str]) -> Result<Vec<String>> {
        let lines: Vec<_> = lines.iter().map(ToString::to_string).collect();
        Ok(keys(&lines)?.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn ssh_host_keys_are_read_from_lines_of_known_hosts() {
        let found = format!("# Host g1 found: line 3\ng1,192.0.2.1 {KEY}\n\n");
        assert_eq!(of(&[&found, &format!("{KEY} root@g1")]).unwrap(), [KEY, KEY]);
    }

    #[test]
    fn a_line_counts_as_in_known_hosts_or_is_refused_with_what_to_do() {
        let hint = |line: &str| {
            let fault = of(&[KEY, line]).unwrap_err();
            assert_eq!(fault.code, args::INVALID, "{line}");
            fault.hint
        };
        // The type is not the key's own; the base64 is cut off; there is none.
        for line in [
            "ssh-rsa AAAAC3NzaC1lZDI1NTE5AAAAIEJr",
            "g1 ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEJ",
            "g1 ssh-ed25519",
            "g1",
        ] {
            assert!(hint(line).contains(".pub"), "{line}");
        }
        for line in ["@revoked g1", "@revoked * ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEJr", "@cert-authority *"] {
            assert!(hint(line).contains("known_hosts"), "{line}");
        }
    }
}
