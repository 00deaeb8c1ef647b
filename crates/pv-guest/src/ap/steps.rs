//! The three things done to a queue, each until its state says that it is done. Decisions rest on the state that
//! is read, never on the error of a write: kernels answer EINVAL, EIO and EBUSY in different cases.

use super::attributes::{Apqn, SeState};
use super::queue::{Associate, Queue};
use crate::codes;
use fault::{Code, Fault, Result};
use serde::{Deserialize, Serialize};
use std::io;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// A write that the adapter refuses (EIO, EINVAL) is not repeated for ever: it would not change its mind.
const MAX_REFUSALS: u32 = 3;
/// After a write was taken its effect shows within this time, be it only as pending.
const EFFECT_SHOWS_WITHIN: Duration = Duration::from_secs(1);
/// What to do where the kernel does not say more.
const HINT_LOOK: &str =
    "Look at the card and the queue with lszcrypt -V, and at the kernel's log (dmesg); then run the task again.";

/// What to do with a queue in use that must be released.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "docs", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum WhenBusy {
    /// Leave the queue, and fail.
    #[default]
    Fail,
    /// Wait until it is idle, at most the timeout.
    Wait,
    /// Release the queue: its requests are lost.
    Force,
}

/// How long and how carefully to work on one queue.
#[derive(Clone, Copy, Debug)]
pub struct Manner {
    /// For one step.
    pub timeout: Duration,
    /// What to do with requests in a queue that is to be released.
    pub when_busy: WhenBusy,
}

/// Polls with growing pauses, and knows when it has taken too long.
#[derive(Debug)]
pub struct Patience {
    started: Instant,
    timeout: Duration,
}

impl Patience {
    /// Begins now.
    pub fn new(timeout: Duration) -> Self {
        Self { started: Instant::now(), timeout }
    }

    /// Waits a little: a millisecond at first, then a sixteenth of the time that it took so far, so that no more than
    /// that is lost at the end. False once the time is over.
    pub fn wait(&mut self) -> bool {
        let waited = self.started.elapsed();
        let left = self.timeout.saturating_sub(waited);
        if left.is_zero() {
            return false;
        }
        sleep((waited / 16).clamp(Duration::from_millis(1), Duration::from_millis(100)).min(left));
        true
    }

    /// Waits until something has happened, as far as `nothing_yet` tells. False once the time is over.
    fn wait_while(&mut self, nothing_yet: impl Fn() -> bool) -> bool {
        while self.wait() {
            if !nothing_yet() {
                return true;
            }
        }
        false
    }
}

/// Writes until the kernel takes it, and remembers what it said last.
#[derive(Debug, Default)]
struct Writes {
    taken_at: Option<Instant>,
    fresh: bool,
    refusals: u32,
    refused_at: Option<Instant>,
    last_error: Option<io::Error>,
}

impl Writes {
    /// Writes if nothing was taken yet; false once it was refused too often. EBUSY is no refusal: a queue is busy
    /// right after a reset.
    fn attempt(&mut self, write: impl FnOnce() -> io::Result<()>) -> bool {
        if self.taken_at.is_some() {
            return true;
        }
        if self.refusals >= MAX_REFUSALS {
            // A newer kernel answers EIO to a bind that is merely slow: its effect may still show.
            return self.refused_at.is_some_and(|at| at.elapsed() <= EFFECT_SHOWS_WITHIN);
        }
        match write() {
            Ok(()) => (self.taken_at, self.fresh) = (Some(Instant::now()), true),
            Err(e) => {
                if e.kind() != io::ErrorKind::ResourceBusy {
                    self.refusals += 1;
                    self.refused_at = Some(Instant::now());
                }
                self.last_error = Some(e);
            }
        }
        true
    }

    /// The same for a queue that still reads as free: what was taken and shows no effect in time is written again, for
    /// the bus may have made the queue anew meanwhile. If the effect is merely slow, that is refused and does no harm.
    fn attempt_again(&mut self, write: impl FnOnce() -> io::Result<()>) -> bool {
        if !self.must_show() {
            return self.attempt(write);
        }
        // A refusal says nothing new.
        let _ = write();
        self.taken_at = Some(Instant::now());
        true
    }

    /// Whether a write was taken since this was asked last: what comes of it may show at once.
    fn just_taken(&mut self) -> bool {
        std::mem::take(&mut self.fresh)
    }

    /// Whether a write was taken that may still take its time to show.
    fn may_show(&self) -> bool {
        self.taken_at.is_some() && !self.must_show()
    }

    /// Whether a write was taken and had time enough to show.
    fn must_show(&self) -> bool {
        self.taken_at.is_some_and(|at| at.elapsed() > EFFECT_SHOWS_WITHIN)
    }

    fn fault(&self, code: Code, what: String) -> Fault {
        let Some(error) = &self.last_error else { return Fault::new(code, format!("{what}.")).hint(HINT_LOOK) };
        Fault::new(code, format!("{what}: the kernel answered {error}.")).hint(HINT_LOOK).io(error)
    }
}

/// Binds a queue; returns when it is held.
///
/// # Errors
/// `ap.bind_refused`, `ap.queue_unusable`, `ap.queue_vanished`, `ap.timeout`.
pub fn bind(queue: &Queue, manner: Manner) -> Result<()> {
    Binding::begin(queue, manner)?.end()
}

/// A queue that is being bound.
#[derive(Debug)]
pub struct Binding<'a> {
    queue: &'a Queue,
    manner: Manner,
    patience: Patience,
    writes: Writes,
    held: bool,
}

impl<'a> Binding<'a> {
    /// Begins to bind a queue; returns when the adapter has taken it up. An adapter that has only so many places
    /// gives them in the order in which this is done.
    ///
    /// # Errors
    /// `ap.bind_refused`, `ap.queue_unusable`, `ap.queue_vanished`, `ap.timeout`.
    pub fn begin(queue: &'a Queue, manner: Manner) -> Result<Self> {
        let patience = Patience::new(manner.timeout);
        let mut binding = Self { queue, manner, patience, writes: Writes::default(), held: false };
        binding.work(|writes| writes.taken_at.is_some())?;
        Ok(binding)
    }

    /// Returns when the queue is held.
    ///
    /// # Errors
    /// As of [`Binding::begin`].
    pub fn end(mut self) -> Result<()> {
        if self.held { Ok(()) } else { self.work(|_| false) }
    }

    /// Works on it until it is held, or that is enough.
    fn work(&mut self, enough: impl Fn(&Writes) -> bool) -> Result<()> {
        let queue = self.queue;
        loop {
            match queue.state() {
                state if state.is_held() => {
                    self.held = true;
                    return Ok(());
                }
                SeState::Unusable => {
                    return Err(Fault::new(
                        codes::QUEUE_UNUSABLE,
                        format!("The queue {} cannot be bound: it is neither free nor ours.", queue.apqn),
                    )
                    .hint("Another guest may hold it, or its card must be reset by the host."));
                }
                // Whatever the kernel answers meanwhile, it is no refusal.
                SeState::Unbound
                    if self.writes.taken_at.is_none() && queue.is_resetting() && !queue.is_out_of_reach() => {}
                SeState::Unbound if !self.writes.attempt_again(|| queue.bind()) => {
                    return Err(self.writes.fault(codes::BIND_REFUSED, format!("The queue {} was not bound", queue.apqn))
                        .hint("The adapter refuses: the guest may hold as many queues as it is allowed to, or the queue is deconfigured."));
                }
                _ => {}
            }
            if enough(&self.writes) {
                return Ok(());
            }
            still_there(queue)?;
            if !self.patience.wait_while(|| self.writes.may_show() && queue.is_free()) {
                return Err(timeout(queue, "bound", self.manner));
            }
        }
    }
}

/// Associates a bound queue with a secret; returns when the association is complete. A failed one is undone by
/// releasing the queue, for every other use of it fails from then on.
///
/// # Errors
/// `ap.associate_failed`, `ap.queue_vanished`, `ap.timeout`.
pub fn associate(queue: &Queue, secret: Associate, manner: Manner) -> Result<()> {
    let outcome = try_associate(queue, secret, manner);
    if outcome.is_err() && queue.state() != SeState::Unbound {
        // The failure that counts is the first one; that of the release would only hide it.
        let _ = release(queue, Manner { when_busy: WhenBusy::Force, ..manner });
    }
    outcome
}

fn try_associate(queue: &Queue, secret: Associate, manner: Manner) -> Result<()> {
    let mut patience = Patience::new(manner.timeout);
    let mut writes = Writes::default();
    let mut was_pending = false;
    let failed = |writes: &Writes, why: &str| {
        Err(writes.fault(codes::ASSOCIATE_FAILED, format!("The queue {} could not be associated with the secret of index {}{why}", queue.apqn, secret.0))
            .hint("The secret may not be an association secret, or its id may be in the store twice; check the store with the facts module."))
    };
    loop {
        match queue.state() {
            SeState::Associated(index) if index == secret.0 => return Ok(()),
            SeState::Associated(_) | SeState::AssociatedUnknown => {
                return failed(&writes, ", because it is associated with another one");
            }
            SeState::Pending => was_pending = true,
            SeState::Unbound | SeState::Unusable | SeState::Unsupported => {
                return failed(&writes, ", because it lost its binding");
            }
            SeState::Bound | SeState::Failing if was_pending || writes.must_show() => {
                return failed(&writes, ", because the adapter refused it");
            }
            SeState::Bound if !writes.attempt(|| queue.associate(secret)) => return failed(&writes, ""),
            SeState::Bound | SeState::Failing => {}
        }
        still_there(queue)?;
        if !patience.wait_while(|| was_pending && queue.is_pending()) {
            return Err(timeout(queue, "associated", manner));
        }
    }
}

/// Releases a queue; returns when it is free. Its association is dropped, requests in it are flushed.
///
/// # Errors
/// `ap.queue_busy`, `ap.unbind_failed`, `ap.queue_vanished`, `ap.timeout`.
pub fn release(queue: &Queue, manner: Manner) -> Result<()> {
    wait_until_idle(queue, manner)?;
    let mut patience = Patience::new(manner.timeout);
    let mut writes = Writes::default();
    loop {
        match queue.state() {
            SeState::Unbound => return Ok(()),
            SeState::Unsupported => {
                return Err(Fault::new(
                    codes::UNBIND_FAILED,
                    format!("The queue {} cannot be released: it has no secure binding.", queue.apqn),
                )
                .hint("Only queues of a Secure Execution guest are bound and released; check that the task runs on the right machine."));
            }
            _ if !writes.attempt(|| queue.unbind()) => {
                return Err(writes.fault(codes::UNBIND_FAILED, format!("The queue {} was not released", queue.apqn)));
            }
            // A deconfigured or checkstopped queue takes the write and does nothing; one that is merely offline is released.
            _ if queue.is_out_of_reach() => {
                return Err(Fault::new(
                    codes::UNBIND_FAILED,
                    format!("The queue {} was not released: it is deconfigured or checkstopped.", queue.apqn),
                )
                .hint("It is released when it is reset; bring its card back first."));
            }
            _ if writes.just_taken() => continue,
            _ => {}
        }
        still_there(queue)?;
        if !patience.wait() {
            return Err(timeout(queue, "released", manner));
        }
    }
}

/// Releases a queue that reads as free, but may still be on its way to being bound by a run that was killed.
///
/// # Errors
/// `ap.unbind_failed`.
pub fn cancel_bind(queue: &Queue) -> Result<()> {
    let mut write = Writes::default();
    write.attempt(|| queue.unbind());
    match write.last_error {
        Some(_) => Err(write.fault(codes::UNBIND_FAILED, format!("The queue {} was not released", queue.apqn))),
        None => Ok(()),
    }
}

/// Gives up a queue whose bind failed: what was begun is undone, be it held meanwhile, still on its way there, or
/// neither. Returns when the queue is free. One that is another guest's is left alone, and so is one that is gone.
///
/// # Errors
/// Those of [`release`].
pub fn abandon(queue: &Queue, manner: Manner) -> Result<()> {
    match queue.state() {
        SeState::Unusable | SeState::Unsupported => Ok(()),
        _ if !queue.exists() => Ok(()),
        state if state.is_held() => release(queue, manner),
        _ => {
            cancel_bind(queue)?;
            release(queue, Manner { when_busy: WhenBusy::Force, ..manner })
        }
    }
}

/// Waits until no request is in a queue that is to be released, as far as [`WhenBusy`] wants that. Requests that
/// cannot be counted are taken to be there.
///
/// # Errors
/// `ap.queue_busy`, `ap.queue_vanished`.
pub fn wait_until_idle(queue: &Queue, manner: Manner) -> Result<()> {
    let mut patience = Patience::new(match manner.when_busy {
        WhenBusy::Force => return Ok(()),
        WhenBusy::Wait => manner.timeout,
        WhenBusy::Fail => Duration::ZERO,
    });
    loop {
        let requests = match queue.requests() {
            Some(0) => return Ok(()),
            Some(count) => format!("{count} requests are in it, which would be lost"),
            None => "how many requests are in it, which would be lost, cannot be known".into(),
        };
        still_there(queue)?;
        if !patience.wait() {
            return Err(Fault::new(
                codes::QUEUE_BUSY,
                format!("The queue {} was not released: {requests}.", queue.apqn),
            )
            .hint("Stop what uses it, or set when_busy to wait or force."));
        }
    }
}

fn still_there(queue: &Queue) -> Result<()> {
    if queue.exists() {
        return Ok(());
    }
    Err(vanished(queue.apqn))
}

/// The fault of a queue that is gone.
pub fn vanished(apqn: Apqn) -> Fault {
    Fault::new(codes::QUEUE_VANISHED, format!("The queue {apqn} disappeared while it was worked on."))
        .hint("The host took it away; run the task again.")
}

fn timeout(queue: &Queue, what: &str, manner: Manner) -> Fault {
    Fault::new(
        codes::TIMEOUT,
        format!("The queue {} was not {what} within {} s.", queue.apqn, manner.timeout.as_secs()),
    )
    .hint("Look at its card with lszcrypt -V, and raise timeout if it is merely slow.")
}
