//! Those end-to-end tests once more as an ordinary user which are about what differs for one, when the chore itself is run
//! by root (as CI does): so that neither way is only ever skipped.

use crate::build::TestProgram;
use crate::test::{Report, Run};
use anyhow::Result;
use e2e::place;
use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::Path;
use std::process::Command;

/// What differs for an ordinary user: how the simulator mounts a guest, owners and modes of files, where records, locks and
/// caches lie. What queues do is the same for everybody.
const DIFFERS: [(&str, &[&str]); 2] = [
    (
        "guest",
        &[
            "attest::",
            "attest_record::",
            "attest_refused::",
            "facts::",
            "scenarios::",
            "secret_add::",
            "secret_lock::",
            "secret_retrieve::",
        ],
    ),
    ("playbook", &["provisioning::a_fleet_is_provisioned_once", "retrieved::", "secrets::"]),
];

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

/// The runs as an ordinary user; where they cannot be done, one that says why.
///
/// # Errors
/// If the user's home cannot be made.
pub fn runs(programs: &[TestProgram]) -> Result<Vec<Run>> {
    const TITLE: &str = "end-to-end tests as an ordinary user";
    let skipped = |why: String| Ok(vec![Run::check(TITLE, move || Ok(Report::skipped(format!("{TITLE}: {why}"))))]);
    if fs::metadata("/proc/self")?.uid() != 0 {
        return skipped("they ran as one already".into());
    }
    if !place::fuse_can_be_opened() {
        return skipped("/dev/fuse cannot be opened".into());
    }
    let repository = place::repository().canonicalize()?;
    let closed = |folder: &&Path| fs::metadata(folder).is_ok_and(|found| found.mode() & 0o001 == 0);
    if let Some(folder) = repository.ancestors().find(closed) {
        return skipped(format!("other users cannot get into {}", folder.display()));
    }
    let dir = place::target()?.join("ordinary-user");
    let home = dir.join("home");
    fs::create_dir_all(&home)?;
    chown(&home, Some(USER), Some(USER))?;
    let mut runs = Vec::new();
    for program in programs {
        let tests = DIFFERS.iter().find(|(name, _)| *name == program.name).map_or(&[][..], |(_, tests)| *tests);
        // Each has a place of its own to mount on, for they run side by side.
        let node = dir.join(&program.name);
        fs::create_dir_all(&node)?;
        let mut command = Command::new("unshare");
        command
            .args(["--mount", "--", "sh", "-c", AS_USER, "sh"])
            .arg(&program.path)
            .arg("--show-output")
            .args(tests)
            .env("SEGUEST_NODE", &node)
            .env("SEGUEST_USER", USER.to_string())
            .env("HOME", &home)
            .env("TMPDIR", &home)
            .env("USER", "seguest-test")
            .env("LOGNAME", "seguest-test")
            .current_dir(&home);
        runs.push(Run::tests(format!("{} as an ordinary user", program.name), command, Report::of_libtest));
    }
    Ok(runs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_run_as_an_ordinary_user_is_there() {
        for (program, filters) in DIFFERS {
            filters.iter().for_each(|filter| crate::test::assert_some_test(program, filter));
        }
    }
}
