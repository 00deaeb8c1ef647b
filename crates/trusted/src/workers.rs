//! Threads that do the arithmetic of a task's entries, none of which needs another.

use std::num::NonZero;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, Scope};

/// An entry whose work is done, with what came of it.
pub type Worked<T, A> = (Box<T>, A);

struct Job<T, A> {
    entry: Box<T>,
    answer: Sender<Worked<T, A>>,
}

/// The threads; they end when this is dropped.
#[derive(Debug)]
pub struct Workers<T, A> {
    jobs: Sender<Job<T, A>>,
    threads: usize,
}

impl<T: Send, A: Send> Workers<T, A> {
    /// One thread for each core, but no more than there are entries.
    pub fn start<'scope>(scope: &'scope Scope<'scope, '_>, entries: usize, work: fn(&T) -> A) -> Self
    where
        T: 'scope,
        A: 'scope,
    {
        let threads = thread::available_parallelism().map_or(1, NonZero::get).min(entries);
        let (sender, jobs) = channel();
        let jobs = Arc::new(Mutex::new(jobs));
        for _ in 0..threads {
            let jobs = Arc::clone(&jobs);
            scope.spawn(move || serve(&jobs, work));
        }
        Self { jobs: sender, threads }
    }

    /// How many entries to have under way at once, so that no thread ever waits for the next.
    pub fn window(&self) -> usize {
        4 * self.threads
    }

    /// Has an entry's work done. What comes back through the channel is this entry.
    pub fn give(&self, entry: Box<T>) -> Receiver<Worked<T, A>> {
        let (answer, worked) = channel();
        // The threads take jobs as long as this sender lives; a lost job would be seen by its missing answer.
        let _ = self.jobs.send(Job { entry, answer });
        worked
    }
}

fn serve<T, A>(jobs: &Mutex<Receiver<Job<T, A>>>, work: fn(&T) -> A) {
    loop {
        let next = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(Job { entry, answer }) = next else { return };
        let done = work(&entry);
        let _ = answer.send((entry, done));
    }
}
