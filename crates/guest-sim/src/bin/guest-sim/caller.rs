//! Who reads an attribute, as /proc tells of it.

use std::fs;

/// Whether a thread has a signal that it does not block, or is gone: then it waits for nothing any more. FUSE tells of
/// signals by a message that the library used here leaves unanswered, so the thread is looked at.
pub fn has_signal(thread: u32) -> bool {
    let Ok(status) = fs::read_to_string(format!("/proc/{thread}/status")) else { return true };
    let mask = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
    };
    (mask("SigPnd:") | mask("ShdPnd:")) & !mask("SigBlk:") != 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::signal::{Signal, kill};
    use nix::unistd::Pid;
    use std::process::Command;
    use std::{thread, time::Duration};

    #[test]
    fn a_signal_that_is_not_taken_yet_counts_and_who_is_gone_waits_for_nothing() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let pid = Pid::from_raw(child.id().cast_signed());
        // Stopped, it takes no other signal.
        kill(pid, Signal::SIGSTOP).unwrap();
        let state = || fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        while !state().contains(") T ") {
            thread::sleep(Duration::from_millis(1));
        }
        assert!(!has_signal(child.id()));
        kill(pid, Signal::SIGTERM).unwrap();
        assert!(has_signal(child.id()));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(has_signal(child.id()));
    }
}
