//! What starts the unit: whether it is there, and that it reads its units.

use super::codes;
use fault::{Fault, Result};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Its folder while it runs (sd_booted(3)).
const RUNS: &str = "/run/systemd/system";
/// Where its program is.
const PROGRAMS: [&str; 2] = ["/usr/lib/systemd/systemd", "/lib/systemd/systemd"];
/// For how long it may read its units.
const PATIENCE: Duration = Duration::from_secs(30);

/// Whether it is what this guest was started by.
pub fn runs() -> bool {
    Path::new(RUNS).exists()
}

/// Whether it runs, or is there to be started at the next boot.
pub fn is_there() -> bool {
    runs() || PROGRAMS.iter().any(|path| Path::new(path).exists())
}

/// Lets it read its units again.
///
/// # Errors
/// `boot.not_reloaded`.
pub fn reload() -> Result<()> {
    let mut command = Command::new("systemctl");
    command.arg("daemon-reload");
    succeeds(command, PATIENCE).map_err(|why| {
        Fault::new(codes::RELOAD, format!("systemd did not reload its units: systemctl daemon-reload {why}."))
            .hint("Run it by hand, or ignore this: systemd reads them at the next boot.")
    })
}

/// Runs a command for so long at most; otherwise, what became of it.
fn succeeds(mut command: Command, patience: Duration) -> std::result::Result<(), String> {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().map_err(|e| format!("could not be started ({e})"))?;
    let since = Instant::now();
    loop {
        match child.try_wait() {
            Ok(Some(status)) if status.success() => return Ok(()),
            Ok(Some(status)) => return Err(format!("ended with {status}")),
            Ok(None) if since.elapsed() < patience => std::thread::sleep(Duration::from_millis(5)),
            _ => {
                let _ = child.kill().and_then(|()| child.wait());
                return Err(format!("did not end within {} s", patience.as_secs()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(commands: &str, patience: Duration) -> std::result::Result<(), String> {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", commands]);
        succeeds(command, patience)
    }

    #[test]
    fn a_command_is_waited_for_and_its_failure_reported() {
        assert_eq!(shell("exit 0", PATIENCE), Ok(()));
        assert_eq!(shell("sleep 0.1", PATIENCE), Ok(()));
        assert_eq!(shell("exit 3", PATIENCE), Err("ended with exit status: 3".into()));
        let missing = succeeds(Command::new("/not/there"), PATIENCE).unwrap_err();
        assert!(missing.starts_with("could not be started (No such file"), "{missing}");
    }

    #[test]
    fn a_command_that_does_not_end_is_ended() {
        let since = Instant::now();
        assert_eq!(shell("exec sleep 60", Duration::from_secs(1)), Err("did not end within 1 s".into()));
        assert!(since.elapsed() < PATIENCE);
    }
}
