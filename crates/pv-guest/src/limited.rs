//! Work that may block in the kernel, done in a thread that is left behind when its time is over.
//!
//! What the AP drivers must ask a card for (an EP11 card's master keys and serial number) blocks the reader of the
//! attribute until the card answers; the driver gives up after 900 s (`CLEANUP_TIME` in Linux
//! `drivers/s390/crypto/zcrypt_cex4.c`). The wait is interruptible
//! (`zcrypt_msgtype6_send_ep11_cprb` and its siblings in `zcrypt_msgtype6.c`): a signal to the thread ends it, and the
//! driver takes the request back, so that it does not count as one that is in the queue. Therefore a thread whose time is
//! over gets a signal. If a kernel should not heed it, the thread stays where it is and nobody waits for it; the signal
//! that every thread gets when the program ends (exit_group(2)) ends it at the latest.

use nix::sys::pthread::{Pthread, pthread_kill};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use std::os::unix::thread::JoinHandleExt;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Mutex, MutexGuard, Once, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Interrupts a thread. By default it does nothing, and nobody else sends it.
const INTERRUPT: Signal = Signal::SIGURG;
/// So long a thread that was interrupted is waited for: the driver takes the request back in that time.
const TAKEN_BACK_WITHIN: Duration = Duration::from_millis(50);
/// So often a thread is interrupted that does not end.
const SIGNALS: usize = 5;

type Job = Box<dyn FnOnce() + Send>;

/// A thread that does one thing after another.
#[derive(Debug)]
struct Worker {
    jobs: Sender<Job>,
    thread: JoinHandle<()>,
}

/// Threads that have nothing to do. Many things are begun in a run, so one that has ended its work in time does the next.
#[derive(Debug)]
struct Rest(Mutex<Vec<Worker>>);

static AT_REST: Rest = Rest::new();

/// Nobody waits for longer.
const LONGEST: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// Something that a thread of its own does.
#[derive(Debug)]
pub struct Begun<T> {
    worker: Worker,
    answers: Receiver<T>,
    answer: Option<T>,
    rest: &'static Rest,
}

/// Begins something that may take long.
pub fn begin<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Begun<T> {
    AT_REST.begin(work)
}

/// Does something that may take so long; `None` if it did not end until then. It is interrupted then.
pub fn within<T: Send + 'static>(limit: Duration, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    begin(work).end(after(limit))
}

/// The moment that is so far away; users may name a limit that the clock does not reach.
pub fn after(limit: Duration) -> Instant {
    let now = Instant::now();
    now.checked_add(limit).unwrap_or(now + LONGEST)
}

impl Rest {
    const fn new() -> Self {
        Self(Mutex::new(Vec::new()))
    }

    fn workers(&self) -> MutexGuard<'_, Vec<Worker>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin<T: Send + 'static>(&'static self, work: impl FnOnce() -> T + Send + 'static) -> Begun<T> {
        let at_rest = self.workers().pop();
        let worker = at_rest.unwrap_or_else(Worker::start);
        let (sender, answers) = mpsc::channel();
        // Nobody listens any more if it took too long; and a thread that is gone shows as an answer that does not come.
        let _ = worker.jobs.send(Box::new(move || drop(sender.send(work()))));
        Begun { worker, answers, answer: None, rest: self }
    }
}

impl Worker {
    /// It ends when this is dropped and nothing is left for it to do.
    fn start() -> Self {
        static HANDLER: Once = Once::new();
        HANDLER.call_once(let_interrupt);
        let (jobs, list) = mpsc::channel::<Job>();
        Self { jobs, thread: thread::spawn(move || list.into_iter().for_each(|job| job())) }
    }
}

impl<T> Begun<T> {
    /// Whether it ends in that time. It goes on otherwise.
    pub fn is_over_within(&mut self, limit: Duration) -> bool {
        if self.answer.is_none() {
            match self.answers.recv_timeout(limit) {
                Err(RecvTimeoutError::Timeout) => return false,
                answer => self.answer = answer.ok(),
            }
        }
        true
    }

    /// What came of it; `None` if it did not end until then. It is interrupted then.
    pub fn end(mut self, until: Instant) -> Option<T> {
        self.is_over_within(until.saturating_duration_since(Instant::now()));
        let Some(answer) = self.answer else {
            self.interrupt();
            return None;
        };
        // Only one whose answer is there has nothing left to do.
        self.rest.workers().push(self.worker);
        Some(answer)
    }

    /// Ends it. Its thread is no use any more.
    pub fn interrupt(&self) {
        #[allow(clippy::unnecessary_cast, reason = "a number for the standard library, and for musl a pointer")]
        let thread = self.worker.thread.as_pthread_t() as Pthread;
        for _ in 0..SIGNALS {
            // A thread that has just ended needs no signal, and one that has not begun to wait is not woken by it.
            let _ = pthread_kill(thread, INTERRUPT);
            // What is read now is that nothing is known.
            if !matches!(self.answers.recv_timeout(TAKEN_BACK_WITHIN), Err(RecvTimeoutError::Timeout)) {
                return;
            }
        }
    }
}

/// Without a handler the signal would not interrupt anything.
#[expect(unsafe_code, reason = "a handler of signals must be one that is safe at any time")]
fn let_interrupt() {
    extern "C" fn nothing(_: nix::libc::c_int) {}
    let action = SigAction::new(SigHandler::Handler(nothing), SaFlags::empty(), SigSet::empty());
    // SAFETY: the handler does nothing at all, and no other is replaced: no library used here handles this signal.
    // If it cannot be installed, threads are left behind without being interrupted.
    let _ = unsafe { sigaction(INTERRUPT, &action) };
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::os::unix::net::UnixStream;
    use std::thread::ThreadId;

    /// Which thread does the next thing.
    fn next(rest: &'static Rest) -> ThreadId {
        rest.begin(|| thread::current().id()).end(Instant::now() + Duration::from_secs(60)).unwrap()
    }

    #[test]
    fn what_ends_in_time_is_answered_by_another_thread_which_then_does_the_next() {
        static OWN: Rest = Rest::new();
        let there = next(&OWN);
        assert_ne!(there, thread::current().id());
        assert_eq!(next(&OWN), there);
        let busy = OWN.begin(|| ());
        assert_ne!(next(&OWN), there, "that one has something to do");
        busy.end(Instant::now() + Duration::from_secs(60)).unwrap();
        assert_eq!(OWN.workers().len(), 2);
    }

    #[test]
    fn a_thread_that_was_interrupted_does_nothing_more() {
        static OWN: Rest = Rest::new();
        let (mut end, _other) = UnixStream::pair().unwrap();
        assert!(OWN.begin(move || end.read(&mut [0; 1]).is_ok()).end(Instant::now()).is_none());
        assert!(OWN.workers().is_empty());
    }

    #[test]
    fn a_read_that_takes_too_long_is_interrupted() {
        let (mut end, _other) = UnixStream::pair().unwrap();
        let (sender, outcome) = mpsc::channel();
        let read = move || sender.send(end.read(&mut [0; 1]).map_err(|e| e.kind())).unwrap();
        assert_eq!(within(Duration::from_millis(20), read), None);
        assert_eq!(outcome.recv().unwrap(), Err(std::io::ErrorKind::Interrupted));
    }

    #[test]
    fn a_limit_that_the_clock_does_not_reach_is_a_long_one() {
        assert_eq!(within(Duration::MAX, || 7), Some(7));
        assert_eq!(within(Duration::from_secs(u64::MAX / 2), || 7), Some(7));
    }
}
