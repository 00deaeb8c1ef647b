//! Work that may block in the kernel, done in a thread that is left behind when its time is over.
//!
//! What the AP drivers must ask a card for (an EP11 card's master keys and serial number) blocks the reader of the
//! attribute until the card answers; the driver gives up after 900 s (`CLEANUP_TIME` in Linux
//! `drivers/s390/crypto/zcrypt_cex4.c`). The wait is interruptible
//! (`zcrypt_msgtype6_send_ep11_cprb` and its siblings in `zcrypt_msgtype6.c`): a signal to the thread ends it, and the
//! driver takes the request back, so that it does not count as one that is in the queue. Therefore a thread whose time is
//! over gets a signal. If a kernel should not heed it, the thread stays where it is and nobody waits for it; the signal
//! that every thread gets when the program ends (exit_group(2)) ends it at the latest.

use nix::sys::pthread::pthread_kill;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use std::os::unix::thread::JoinHandleExt;
use std::sync::Once;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Interrupts a thread. By default it does nothing, and nobody else sends it.
const INTERRUPT: Signal = Signal::SIGURG;
/// So long a thread that was interrupted is waited for: the driver takes the request back in that time.
const TAKEN_BACK_WITHIN: Duration = Duration::from_millis(200);

type Job = Box<dyn FnOnce() + Send>;

/// A thread that does one thing after another, as long as each of them ends in time.
#[derive(Debug)]
pub struct Worker {
    jobs: Sender<Job>,
    thread: JoinHandle<()>,
}

/// Something that a [`Worker`] does.
#[derive(Debug)]
pub struct Begun<T>(Receiver<T>);

impl<T> Begun<T> {
    /// What came of it, if it ends in that time. It goes on otherwise.
    pub fn within(&self, limit: Duration) -> Option<T> {
        self.0.recv_timeout(limit).ok()
    }
}

impl Worker {
    /// Starts the thread. It ends when this is dropped and nothing is left for it to do.
    pub fn start() -> Self {
        static HANDLER: Once = Once::new();
        HANDLER.call_once(let_interrupt);
        let (jobs, list) = mpsc::channel::<Job>();
        Self { jobs, thread: thread::spawn(move || list.into_iter().for_each(|job| job())) }
    }

    /// Gives it something to do.
    pub fn begin<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Begun<T> {
        let (sender, receiver) = mpsc::channel();
        // Nobody listens any more if it took too long; and a thread that is gone shows as an answer that does not come.
        let _ = self.jobs.send(Box::new(move || drop(sender.send(work()))));
        Begun(receiver)
    }

    /// What came of it; `None` if it did not end until then. The thread is interrupted then, and no use any more.
    pub fn end<T>(&self, begun: &Begun<T>, until: Instant) -> Option<T> {
        let answer = begun.within(until.saturating_duration_since(Instant::now()));
        if answer.is_none() {
            self.interrupt(begun);
        }
        answer
    }

    /// Ends what it is doing. It is no use any more.
    pub fn interrupt<T>(&self, begun: &Begun<T>) {
        // A thread that has just ended needs no signal.
        let _ = pthread_kill(self.thread.as_pthread_t(), INTERRUPT);
        // What is read now is that nothing is known.
        let _ = begun.0.recv_timeout(TAKEN_BACK_WITHIN);
    }

    /// Does something that may take so long.
    pub fn within<T: Send + 'static>(&self, limit: Duration, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        self.end(&self.begin(work), Instant::now() + limit)
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

    #[test]
    fn what_ends_in_time_is_answered_and_the_thread_is_used_again() {
        let worker = Worker::start();
        let here = thread::current().id();
        let there = worker.within(Duration::from_secs(60), || thread::current().id()).unwrap();
        assert!(there != here);
        assert_eq!(worker.within(Duration::from_secs(60), || thread::current().id()), Some(there));
        let (first, second) = (worker.begin(|| 1), worker.begin(|| 2));
        let until = Instant::now() + Duration::from_secs(60);
        assert_eq!((worker.end(&second, until), worker.end(&first, until)), (Some(2), Some(1)));
    }

    #[test]
    fn a_read_that_takes_too_long_is_interrupted() {
        let (mut end, _other) = UnixStream::pair().unwrap();
        let (sender, outcome) = mpsc::channel();
        let worker = Worker::start();
        let read = move || sender.send(end.read(&mut [0; 1]).map_err(|e| e.kind())).unwrap();
        assert_eq!(worker.within(Duration::from_millis(20), read), None);
        assert_eq!(outcome.recv().unwrap(), Err(std::io::ErrorKind::Interrupted));
    }
}
