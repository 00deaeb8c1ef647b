//! Queues that are bound for a moment, because only a bound queue shows its master key.

use super::problems::Problems;
use fault::Result;
use pv_guest::ap::steps::{Manner, WhenBusy};
use pv_guest::ap::{self, Alone, Bus, Fit, Journal, Looked, MkvpState, Mode, Observed, SeState, Seen, Wish};
use pv_guest::boot_record::BootRecord;
use pv_guest::limited;
use std::time::Duration;

/// Others are kept off the queues, from before they are read until they were looked at: what is read stays true.
pub struct Inspection {
    boot: BootRecord,
    _alone: Alone,
}

/// Keeps ap_bind and pvapconfig off the queues.
///
/// # Errors
/// Why no queue can be bound here or now.
pub fn begin(bus: &Bus) -> Result<Inspection> {
    bus.require_secure_binding()?;
    let boot = BootRecord::of_this_boot()?;
    let alone = ap::alone(&boot)?;
    Ok(Inspection { boot, _alone: alone })
}

impl Inspection {
    /// Binds every unbound EP11 queue, one of a card at a time, and releases it when its master key is read; what was
    /// read is kept in `queues`. It keeps ap_bind's journal, so that the next run of either settles what this one
    /// leaves if it is killed. `whole`: these are all queues that there are.
    ///
    /// # Errors
    /// Those of the journal.
    pub fn look_at(
        &self,
        queues: &mut [Observed],
        whole: bool,
        timeout: Duration,
        problems: &mut Problems,
    ) -> Result<()> {
        let journal = Journal::open(&self.boot)?;
        // Somebody may have sent requests to a queue while it was bound: they are not thrown away.
        let manner = Manner { timeout, when_busy: WhenBusy::Wait };
        // A queue that could not be read would be taken for gone, and forgotten.
        if whole {
            // Whoever wants an association decides about it, not who only looks.
            let settled = journal.settle(queues, &|_| Wish::Leave, manner)?;
            let stuck = settled.stuck.into_iter().map(|stuck| stuck.fault);
            settled.warnings.into_iter().chain(stuck).for_each(|fault| problems.note(fault));
        }

        let unknown: Vec<_> = queues.iter().filter(|observed| is_worth_a_look(&observed.seen)).cloned().collect();
        for look in ap::look_at(unknown, &is_read, &journal, manner) {
            let Some(observed) = queues.iter_mut().find(|observed| observed.seen.apqn == look.apqn) else { continue };
            match look.outcome {
                Looked::Fits(seen) | Looked::Released(seen) => observed.seen = seen,
                Looked::Skipped(fault) | Looked::Unread(fault) | Looked::Stuck(fault) => {
                    problems.note(fault);
                    refresh(observed, timeout, problems);
                }
            }
        }
        Ok(())
    }
}

/// Looks at a queue again. One that does not answer in time is told as it was seen before.
fn refresh(observed: &mut Observed, timeout: Duration, problems: &mut Problems) {
    let again = observed.clone();
    match limited::within(timeout, move || again.look()) {
        Some(seen) => observed.seen = seen,
        None => problems.note(ap::too_slow(observed.card.number, timeout)),
    }
}

/// Only EP11 queues have a master key to read, and one that is bound shows it without further ado.
fn is_worth_a_look(seen: &Seen) -> bool {
    seen.mode == Mode::Ep11 && seen.usable && seen.state == SeState::Unbound
}

/// Nothing is wanted of a queue but to be read: none stays bound.
fn is_read(seen: &Seen) -> Fit {
    if seen.mkvp == MkvpState::NotRead { Fit::Unknown } else { Fit::No }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pv_guest::ap::Apqn;

    fn queue() -> Seen {
        Seen {
            apqn: Apqn { card: 1, domain: 2 },
            mode: Mode::Ep11,
            generation: 8,
            serialnr: None,
            mkvp: MkvpState::NotRead,
            state: SeState::Unbound,
            usable: true,
        }
    }

    #[test]
    fn only_an_unbound_ep11_queue_in_service_is_bound_for_a_look() {
        assert!(is_worth_a_look(&queue()));
        for other in [
            Seen { mode: Mode::Accel, ..queue() },
            Seen { usable: false, ..queue() },
            Seen { state: SeState::Bound, ..queue() },
            Seen { state: SeState::Associated(0), ..queue() },
        ] {
            assert!(!is_worth_a_look(&other), "{other:?}");
        }
    }

    #[test]
    fn a_look_is_over_when_the_key_is_read() {
        assert_eq!(is_read(&queue()), Fit::Unknown);
        assert_eq!(is_read(&Seen { mkvp: MkvpState::NoneSet, ..queue() }), Fit::No);
    }
}
