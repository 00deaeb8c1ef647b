//! Queues that are bound for a moment, because only a bound queue shows its master key.

use crate::problems::Problems;
use fault::Result;
use pv_guest::ap::steps::{Manner, WhenBusy};
use pv_guest::ap::{self, Bus, Fit, Journal, Looked, MkvpState, Mode, Observed, SeState, Seen};
use pv_guest::boot_record::BootRecord;
use std::time::Duration;

/// Binds every unbound EP11 queue, one of a card at a time, and releases it when its master key is read; what was read
/// is kept in `queues`. It keeps off while ap_bind or pvapconfig is at work, and keeps ap_bind's journal, so that the
/// next run of either settles what this one leaves if it is killed. `whole`: these are all queues that there are.
pub fn look_at(bus: &Bus, queues: &mut [Observed], whole: bool, timeout: Duration, problems: &mut Problems) {
    let looked = try_to_look(bus, queues, whole, timeout, problems);
    problems.ok(looked);
}

fn try_to_look(
    bus: &Bus,
    queues: &mut [Observed],
    whole: bool,
    timeout: Duration,
    problems: &mut Problems,
) -> Result<()> {
    bus.require_secure_binding()?;
    let boot = BootRecord::of_this_boot()?;
    let _alone = ap::alone(&boot)?;
    let journal = Journal::open(&boot)?;
    // Somebody may have sent requests to a queue while it was bound: they are not thrown away.
    let manner = Manner { timeout, when_busy: WhenBusy::Wait };
    // Another run may have worked on them since they were read.
    queues.iter_mut().filter(|observed| observed.card.mode != Mode::Cca).for_each(Observed::refresh);
    // A queue that could not be read would be taken for gone, and forgotten.
    if whole {
        journal.settle(queues, manner)?.into_iter().for_each(|fault| problems.note(fault));
    }

    let unknown: Vec<_> = queues.iter().filter(|observed| is_worth_a_look(&observed.seen)).cloned().collect();
    for look in ap::look_at(unknown, &is_read, &journal, manner) {
        let Some(observed) = queues.iter_mut().find(|observed| observed.seen.apqn == look.apqn) else { continue };
        match look.outcome {
            Looked::Fits(seen) | Looked::Released(seen) => observed.seen = seen,
            Looked::Skipped(fault) | Looked::Unread(fault) | Looked::Stuck(fault) => {
                problems.note(fault);
                observed.refresh();
            }
        }
    }
    Ok(())
}

/// Only EP11 queues have a master key to read, and one that is bound shows it without further ado.
fn is_worth_a_look(seen: &Seen) -> bool {
    seen.mode == Mode::Ep11 && seen.usable && seen.state == SeState::Unbound
}

/// Nothing is wanted of a queue but to be read: none stays bound.
fn is_read(seen: &Seen) -> Fit {
    if seen.mkvp == MkvpState::NotRead { Fit::Unknown } else { Fit::No }
}
