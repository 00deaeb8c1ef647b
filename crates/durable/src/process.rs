//! Whether a process still runs, and since when.

use nix::errno::Errno;
use nix::sys::signal::kill;
use nix::unistd::Pid;
use std::fs;
use std::io::{self, ErrorKind};
use std::time::{Duration, SystemTime};

/// Clock ticks of a second in `/proc`, the same on every architecture for which there are programs (Linux `USER_HZ`).
const TICKS: u64 = 100;

/// When a process began; `None` if there is none of this id, or it has ended and only waits to be reaped.
///
/// # Errors
/// If `/proc` does not show it.
pub fn started(pid: u32) -> io::Result<Option<SystemTime>> {
    let stat = match fs::read_to_string(format!("/proc/{pid}/stat")) {
        // /proc may be missing, or hide the processes of others.
        Err(e) if e.kind() == ErrorKind::NotFound => return if is_known(pid) { Err(e) } else { Ok(None) },
        // Linux answers so if it ends just now.
        Err(e) if e.raw_os_error() == Some(Errno::ESRCH as i32) => return Ok(None),
        stat => stat?,
    };
    let malformed = || io::Error::other("/proc does not show when a process began");
    let uptime = fs::read_to_string("/proc/uptime")?;
    let uptime: f64 = uptime.split(' ').next().and_then(|text| text.parse().ok()).ok_or_else(malformed)?;
    let Some(ticks) = start(&stat).ok_or_else(malformed)? else { return Ok(None) };
    let up = Duration::try_from_secs_f64(uptime).map_err(io::Error::other)?;
    let age = up.saturating_sub(Duration::from_millis(ticks.saturating_mul(1000 / TICKS)));
    Ok(Some(SystemTime::now().checked_sub(age).ok_or_else(malformed)?))
}

/// Whether the kernel knows a process of this id.
fn is_known(pid: u32) -> bool {
    i32::try_from(pid).is_ok_and(|pid| kill(Pid::from_raw(pid), None) != Err(Errno::ESRCH))
}

/// The start in ticks since boot that a line of `stat` shows, its 22nd field; the inner `None` for a process that has ended. The
/// program's name, the second field, is in brackets and may hold anything.
fn start(stat: &str) -> Option<Option<u64>> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace();
    let state = fields.next()?;
    let ticks = fields.nth(18)?.parse().ok()?;
    Some((!matches!(state, "Z" | "X" | "x")).then_some(ticks))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn a_process_that_runs_began_before_now_and_one_that_ended_is_none() {
        let before = SystemTime::now();
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let began = started(child.id()).unwrap().unwrap();
        let tolerance = Duration::from_millis(100);
        assert!(began + tolerance >= before && began <= SystemTime::now() + tolerance);
        assert!(started(std::process::id()).unwrap().unwrap() <= began + tolerance);
        child.kill().unwrap();
        // Not reaped yet: it still has its id.
        while started(child.id()).unwrap().is_some() {
            std::thread::sleep(Duration::from_millis(1));
        }
        child.wait().unwrap();
        assert_eq!(started(child.id()).unwrap(), None);
    }

    #[test]
    fn the_name_of_a_program_confuses_nothing() {
        let rest = "1 1 1 0 -1 4194304 1 0 0 0 0 0 0 0 20 0 1 0 4711 1 1";
        assert_eq!(start(&format!("7 (a) R 9 (b) S {rest}")), Some(Some(4711)));
        assert_eq!(start(&format!("7 (x) Z {rest}")), Some(None));
        assert_eq!(start("7 (x) S 1 2"), None);
    }
}
