//! The guest's public SSH host keys: `/etc/ssh/*_key.pub`, one key each (sshd_config(5), ssh-keygen(1)). What else lies
//! there is not read.

use super::codes;
use ansible_contract::warning;
use fault::{Fault, Result};
use nix::libc::O_NONBLOCK;
use pv_wire::attestation::SshHostKey;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Where sshd has its host keys unless its configuration says otherwise.
pub const FOLDER: &str = "/etc/ssh";
const ENDING: &str = "_key.pub";
/// No public key that SSH knows is longer as text.
const MAX_LEN: u64 = 4096;
/// A guest has one key of each kind.
const MAX_FILES: usize = 64;

/// Keys, and warnings of files that should hold one and do not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Keys {
    /// The keys.
    pub keys: Vec<SshHostKey>,
    /// The warnings.
    pub warnings: Vec<String>,
}

/// Reads the keys in a folder. One that is not there holds none.
pub fn host_keys(folder: &Path) -> Keys {
    let mut found = Keys::default();
    let mut names = match names(folder) {
        Ok(names) => names,
        Err(e) if e.kind() == ErrorKind::NotFound => Vec::new(),
        Err(e) => {
            found.warnings.push(warning(&skipped(&folder.to_string_lossy(), &e.to_string())));
            Vec::new()
        }
    };
    names.sort();
    if names.len() > MAX_FILES {
        let too_many = format!("it has {} files of that kind; only {MAX_FILES} are read", names.len());
        found.warnings.push(warning(&skipped(&folder.to_string_lossy(), &too_many)));
        names.truncate(MAX_FILES);
    }
    for name in names {
        match key(&folder.join(&name)) {
            Ok(key) => found.keys.push(key),
            Err(fault) => found.warnings.push(warning(&fault)),
        }
    }
    found
}

fn names(folder: &Path) -> io::Result<Vec<String>> {
    let names = fs::read_dir(folder)?.map(|entry| Ok(entry?.file_name().into_string().ok()));
    let names: Vec<Option<String>> = names.collect::<io::Result<_>>()?;
    Ok(names.into_iter().flatten().filter(|name| name.ends_with(ENDING)).collect())
}

/// The key in a file, which is to be its only line.
fn key(path: &Path) -> Result<SshHostKey> {
    let name = path.to_string_lossy();
    let text = text(path).map_err(|e| skipped(&name, &e.to_string()))?;
    let line = text.trim();
    if line.is_empty() || line.lines().count() != 1 {
        return Err(skipped(&name, "it is not one line"));
    }
    line.parse().map_err(|_| skipped(&name, "it holds no type and base64"))
}

fn text(path: &Path) -> io::Result<String> {
    // A pipe that nobody writes to is not waited for.
    let file = File::options().read(true).custom_flags(O_NONBLOCK).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    let mut text = String::new();
    if file.take(MAX_LEN + 1).read_to_string(&mut text)? as u64 > MAX_LEN {
        return Err(io::Error::other(format!("it is longer than {MAX_LEN} bytes")));
    }
    Ok(text)
}

fn skipped(path: &str, why: &str) -> Fault {
    Fault::new(codes::SSH_KEY_SKIPPED, format!("No SSH host key could be read from {path:?}: {why}."))
        .hint("Mend or remove the file. What is bound is what the other files hold.")
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f";

    fn folder(files: &[(&str, &[u8])]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        files.iter().for_each(|(name, content)| fs::write(folder.path().join(name), content).unwrap());
        folder
    }

    #[test]
    fn each_public_key_is_read_without_its_comment_and_nothing_else_is() {
        let with_comment = format!("{KEY} root@guest\n");
        let folder = folder(&[
            ("ssh_host_ed25519_key.pub", with_comment.as_bytes()),
            ("ssh_host_rsa_key.pub", b"ssh-rsa AAAAB3Nz\n"),
            ("ssh_host_ed25519_key", b"private"),
            ("ssh_host_ed25519_key-cert.pub", b"no key"),
            ("sshd_config", b""),
        ]);
        let found = host_keys(folder.path());
        assert_eq!(found.keys.iter().map(SshHostKey::as_str).collect::<Vec<_>>(), [KEY, "ssh-rsa AAAAB3Nz"]);
        assert_eq!(found.warnings, [""; 0]);
    }

    #[test]
    fn where_there_is_no_folder_there_is_no_key() {
        assert_eq!(host_keys(Path::new("/nonexistent/ssh")), Keys::default());
    }

    #[test]
    fn what_is_no_key_is_left_out_and_told_without_its_content() {
        let long = format!("{KEY} {}", "x".repeat(4096));
        let two = format!("{KEY}\n{KEY}\n");
        let folder = folder(&[
            ("a_key.pub", b""),
            ("b_key.pub", two.as_bytes()),
            ("c_key.pub", long.as_bytes()),
            ("d_key.pub", b"\xff\xfe"),
            ("e_key.pub", b"evil\x1b[2J content"),
            ("good_key.pub", KEY.as_bytes()),
        ]);
        fs::create_dir(folder.path().join("f_key.pub")).unwrap();
        nix::unistd::mkfifo(&folder.path().join("g_key.pub"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        let found = host_keys(folder.path());
        assert_eq!((found.keys.len(), found.warnings.len()), (1, 7));
        assert!(found.warnings[..2].iter().all(|line| line.contains("it is not one line")), "{:?}", found.warnings);
        let told = found.warnings.join("\n");
        assert!(!told.contains("evil") && !told.contains('\x1b'), "{told}");
        assert!(found.warnings.iter().all(|line| line.ends_with("[attest.ssh_key_skipped]")), "{told}");
    }

    #[test]
    fn a_folder_full_of_files_is_not_read_for_ever() {
        for (files, warnings) in [(64, 0), (65, 1)] {
            let many: Vec<String> = (0..files).map(|number| format!("{number:02}_key.pub")).collect();
            let files: Vec<(&str, &[u8])> = many.iter().map(|name| (name.as_str(), KEY.as_bytes())).collect();
            let found = host_keys(folder(&files).path());
            assert_eq!((found.keys.len(), found.warnings.len()), (64, warnings));
        }
    }

    #[test]
    fn a_folder_that_cannot_be_read_is_reported() {
        let place = folder(&[("ssh", b"")]);
        let found = host_keys(&place.path().join("ssh"));
        assert!(found.keys.is_empty() && found.warnings[0].contains("Not a directory"), "{:?}", found.warnings);
    }

    #[test]
    fn a_key_of_the_longest_text_is_read_and_a_longer_one_is_not() {
        let with_comment = |comment: usize| format!("{KEY} {}", "x".repeat(comment - KEY.len() - 1));
        let folder =
            folder(&[("a_key.pub", with_comment(4096).as_bytes()), ("b_key.pub", with_comment(4097).as_bytes())]);
        let found = host_keys(folder.path());
        assert_eq!((found.keys.len(), found.warnings.len()), (1, 1));
        assert!(found.warnings[0].contains("b_key.pub"), "{:?}", found.warnings);
    }
}
