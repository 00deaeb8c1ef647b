//! The guest as the threads of the simulator share it, with its clock and its log file.

use std::fs::File;
use std::io::Write;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use guest_sim::guest::Guest;

/// A guest, its clock, and the file that takes a line of JSON for each event.
#[derive(Debug)]
pub struct Shared {
    guest: Mutex<(Guest, File)>,
    started: Instant,
}

impl Shared {
    pub fn new(guest: Guest, log: File) -> Self {
        Self { guest: Mutex::new((guest, log)), started: Instant::now() }
    }

    /// Does something with the guest at the present time. The events are in the log before the caller gets its answer.
    pub fn with<T>(&self, work: impl FnOnce(&mut Guest, Duration) -> T) -> T {
        let mut both: MutexGuard<'_, (Guest, File)> = self.guest.lock().unwrap_or_else(PoisonError::into_inner);
        let (guest, log) = &mut *both;
        let answer = work(guest, self.started.elapsed());
        let events = guest.take_events();
        if !events.is_empty() {
            let lines: String =
                events.iter().filter_map(|event| serde_json::to_string(event).ok()).map(|line| line + "\n").collect();
            if let Err(error) = log.write_all(lines.as_bytes()) {
                eprintln!("guest-sim: cannot write to the log: {error}");
            }
        }
        answer
    }
}
