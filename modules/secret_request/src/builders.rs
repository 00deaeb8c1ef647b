//! Threads that build requests. Nearly all of the work on one is arithmetic on P-521, and no request needs another.

use crate::present::Prepared;
use fault::Result;
use std::num::NonZero;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, Scope};

/// A request whose building is over, with its bytes if it was to be built.
pub type Built = (Box<Prepared>, Result<Option<Vec<u8>>>);

struct Job {
    prepared: Box<Prepared>,
    answer: Sender<Built>,
}

/// The threads; they end when this is dropped.
pub struct Builders {
    jobs: Sender<Job>,
    threads: usize,
}

impl Builders {
    /// One thread for each core, but no more than there are requests.
    pub fn start<'scope>(scope: &'scope Scope<'scope, '_>, requests: usize) -> Self {
        let threads = thread::available_parallelism().map_or(1, NonZero::get).min(requests);
        let (sender, jobs) = channel();
        let jobs = Arc::new(Mutex::new(jobs));
        for _ in 0..threads {
            let jobs = Arc::clone(&jobs);
            scope.spawn(move || work(&jobs));
        }
        Self { jobs: sender, threads }
    }

    /// How many requests to have under way at once, so that no thread ever waits for the next.
    pub fn window(&self) -> usize {
        4 * self.threads
    }

    /// Has a request built. What comes back through the channel is this request.
    pub fn build(&self, prepared: Box<Prepared>) -> Receiver<Built> {
        let (answer, built) = channel();
        // The threads take jobs as long as this sender lives; a lost job would be seen by its missing answer.
        let _ = self.jobs.send(Job { prepared, answer });
        built
    }
}

fn work(jobs: &Mutex<Receiver<Job>>) {
    loop {
        let next = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(Job { prepared, answer }) = next else { return };
        let built = prepared.build();
        let _ = answer.send((prepared, built));
    }
}
