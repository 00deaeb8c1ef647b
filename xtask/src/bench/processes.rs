//! What processes take, by the kernel's own accounts in `/proc` (proc(5)).

use anyhow::{Context, Result};
use e2e::descendants;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

/// What Linux counts processor time of programs in, on every architecture that Rust builds this for.
const TICKS_A_SECOND: f64 = 100.0;
/// How long to wait between two looks at the memory.
const BETWEEN_LOOKS: Duration = Duration::from_millis(100);
/// What the kernel calls `ansible-playbook` and each of its forks: the name of the script, cut at 15 bytes.
const CONTROLLER: &str = "ansible-playboo";
const SIMULATOR: &str = "guest-sim";

/// Seconds of processor time of all programs that this process has started and waited for, with all that they started
/// and waited for in their turn.
///
/// # Errors
/// If the kernel does not tell.
pub fn ended_children() -> Result<f64> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    // The name of the program comes before, in brackets, and may have any letter in it.
    let (_, fields) = stat.rsplit_once(')').context("no name in /proc/self/stat")?;
    let ticks = |at: usize| fields.split_whitespace().nth(at).and_then(|field| field.parse::<f64>().ok());
    // cutime and cstime are fields 16 and 17, and the state, field 3, is the first here.
    let (user, system) = ticks(13).zip(ticks(14)).context("no times in /proc/self/stat")?;
    Ok((user + system) / TICKS_A_SECOND)
}

/// Seconds of processor time of the simulators that this process has started and that run still.
pub fn simulators() -> f64 {
    let running = descendants(std::process::id()).into_iter().filter(|process| is_called(*process, SIMULATOR));
    let threads = running.filter_map(|process| fs::read_dir(format!("/proc/{process}/task")).ok()).flatten().flatten();
    let nanoseconds = |folder: &Path| -> Option<f64> {
        fs::read_to_string(folder.join("schedstat")).ok()?.split_whitespace().next()?.parse().ok()
    };
    threads.filter_map(|thread| nanoseconds(&thread.path())).sum::<f64>() / 1e9
}

/// Memory of controllers.
#[derive(Clone, Copy, Default)]
pub struct Memory {
    /// Of all of their processes, in kB, at its peak. What several share is counted once (PSS).
    pub all_kb: f64,
    /// Of the largest process, in kB, at its peak: that is the one which forks the others.
    pub largest_kb: f64,
}

/// Runs `body` and looks meanwhile at the memory of the controllers that it starts.
pub fn watching_memory<T>(body: impl FnOnce() -> T) -> (T, Memory) {
    let ended = AtomicBool::new(false);
    thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            let mut peak = Memory::default();
            while !ended.load(Ordering::Relaxed) {
                let controllers =
                    descendants(std::process::id()).into_iter().filter(|process| is_called(*process, CONTROLLER));
                let each: Vec<_> = controllers.filter_map(proportional_kb).collect();
                peak.all_kb = peak.all_kb.max(each.iter().sum());
                peak.largest_kb = each.into_iter().fold(peak.largest_kb, f64::max);
                thread::sleep(BETWEEN_LOOKS);
            }
            peak
        });
        let outcome = body();
        ended.store(true, Ordering::Relaxed);
        (outcome, watcher.join().unwrap_or_default())
    })
}

fn is_called(process: u32, name: &str) -> bool {
    fs::read_to_string(format!("/proc/{process}/comm")).is_ok_and(|found| found.trim_end() == name)
}

/// `None` if the process has ended meanwhile.
fn proportional_kb(process: u32) -> Option<f64> {
    let text = fs::read_to_string(format!("/proc/{process}/smaps_rollup")).ok()?;
    text.lines().find_map(|line| line.strip_prefix("Pss:"))?.split_whitespace().next()?.parse().ok()
}
