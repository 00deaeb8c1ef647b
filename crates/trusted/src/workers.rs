//! Threads that do the arithmetic of a task's entries, none of which needs another.

use std::collections::VecDeque;
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

/// Prepares the entries of a task one by one, has the work of each done in threads, and finishes them one by one in their order.
/// No more are kept in memory than keep the threads busy.
pub fn in_order<E, T: Send, A: Send>(
    entries: impl ExactSizeIterator<Item = E>,
    mut prepare: impl FnMut(E) -> T,
    work: fn(&T) -> A,
    mut finish: impl FnMut(T, A),
) {
    thread::scope(|scope| {
        let workers = Workers::start(scope, entries.len(), work);
        let mut under_way: VecDeque<Receiver<Worked<T, A>>> = VecDeque::new();
        // An answer is missing only where its thread has panicked, and then the scope does, too.
        let mut finish_next = |under_way: &mut VecDeque<Receiver<Worked<T, A>>>| {
            if let Some((entry, done)) = under_way.pop_front().and_then(|worked| worked.recv().ok()) {
                finish(*entry, done);
            }
        };
        for entry in entries {
            under_way.push_back(workers.give(Box::new(prepare(entry))));
            if under_way.len() > workers.window() {
                finish_next(&mut under_way);
            }
        }
        while !under_way.is_empty() {
            finish_next(&mut under_way);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_prepared_and_finished_in_their_order_and_few_are_under_way() {
        let (prepared, mut finished) = (std::cell::Cell::new(0), Vec::new());
        in_order(
            0..1000_u32,
            |entry| {
                prepared.set(entry + 1);
                entry
            },
            |entry| entry * 2,
            |entry, done| {
                assert!(prepared.get() <= entry + 2 + 4 * 64, "{} for {entry}", prepared.get());
                finished.push((entry, done));
            },
        );
        assert_eq!(finished, (0..1000_u32).map(|entry| (entry, entry * 2)).collect::<Vec<_>>());
    }
}
