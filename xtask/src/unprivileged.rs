//! The end-to-end tests once more as an ordinary user, when the chore itself is run by root (as CI does): so that
//! neither way is only ever skipped.

use crate::chore::{cargo, openssl_features, quietly};
use anyhow::{Context, Result, ensure};
use e2e::place;
use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A user id that no system gives out by itself: nobody's files are within its reach.
const USER: u32 = 54_321;

/// In a mount namespace of its own, gives the user a name and a /dev/fuse that may be opened, as udev makes it on
/// ordinary systems, and becomes the user with nothing of root's left.
const AS_USER: &str = r#"
set -e
mount -t tmpfs -o mode=0755 seguest-test "$SEGUEST_NODE"
mknod -m 0666 "$SEGUEST_NODE/fuse" c 10 229
mount --bind "$SEGUEST_NODE/fuse" /dev/fuse
{ cat /etc/passwd; echo "$USER:x:$SEGUEST_USER:$SEGUEST_USER::$HOME:/bin/sh"; } > "$SEGUEST_NODE/passwd"
mount --bind "$SEGUEST_NODE/passwd" /etc/passwd
exec setpriv --reuid "$SEGUEST_USER" --regid "$SEGUEST_USER" --clear-groups --inh-caps=-all --bounding-set=-all "$@"
"#;

/// The test programs as commands of an ordinary user, or why that cannot be done here.
///
/// # Errors
/// If the programs cannot be built.
pub fn commands() -> Result<std::result::Result<Vec<Command>, String>> {
    if fs::metadata("/proc/self")?.uid() != 0 {
        return Ok(Err("they ran as one already".into()));
    }
    if !place::fuse_can_be_opened() {
        return Ok(Err("/dev/fuse cannot be opened".into()));
    }
    let repository = place::repository().canonicalize()?;
    let closed = |folder: &&Path| fs::metadata(folder).is_ok_and(|found| found.mode() & 0o001 == 0);
    if let Some(folder) = repository.ancestors().find(closed) {
        return Ok(Err(format!("other users cannot get into {}", folder.display())));
    }
    let dir = place::target()?.join("ordinary-user");
    let (home, node) = (dir.join("home"), dir.join("node"));
    for folder in [&home, &node] {
        fs::create_dir_all(folder)?;
    }
    chown(&home, Some(USER), Some(USER))?;
    let command = |program: PathBuf| {
        let mut command = Command::new("unshare");
        command
            .args(["--mount", "--", "sh", "-c", AS_USER, "sh"])
            .arg(program)
            .arg("--show-output")
            .env("SEGUEST_NODE", &node)
            .env("SEGUEST_USER", USER.to_string())
            .env("HOME", &home)
            .env("TMPDIR", &home)
            .env("USER", "seguest-test")
            .env("LOGNAME", "seguest-test")
            .current_dir(&home);
        command
    };
    Ok(Ok(test_programs()?.into_iter().map(command).collect()))
}

fn test_programs() -> Result<Vec<PathBuf>> {
    // The same selection as before, so that nothing is built again.
    let mut command = cargo();
    command.args(["test", "--workspace", "--no-run", "--message-format", "json"]).args(openssl_features());
    let output = quietly(&mut command)?;
    let manifest = place::repository().join("tests/Cargo.toml");
    let mut programs = Vec::new();
    for line in String::from_utf8(output.stdout)?.lines() {
        let message: serde_json::Value =
            serde_json::from_str(line).context("cargo printed something else than JSON")?;
        if message["target"]["kind"][0] == "test"
            && message["manifest_path"].as_str().map(Path::new) == Some(&*manifest)
        {
            programs.extend(message["executable"].as_str().map(PathBuf::from));
        }
    }
    ensure!(!programs.is_empty(), "cargo named no end-to-end test");
    Ok(programs)
}
