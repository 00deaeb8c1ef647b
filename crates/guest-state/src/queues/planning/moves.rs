//! In which order queues are taken, so that as few entries as possible are without one meanwhile, and none for long.

use crate::queues::wanted::Wanted;
use pv_guest::ap::{Apqn, Associate};

/// One queue that is to serve one entry.
#[derive(Clone, Debug)]
pub struct Job {
    /// Position of the entry.
    pub entry: usize,
    /// The entry.
    pub wanted: Wanted,
    /// The queue.
    pub apqn: Apqn,
    /// The secret to associate it with, for EP11.
    pub secret: Option<Associate>,
    /// The queue that the entry leaves, if it has one already.
    pub from: Option<Apqn>,
}

/// Which jobs can be done at once now, by their positions: those whose queue no entry still has that is to move away
/// from it. So whoever moves has its new queue before anybody takes its old one.
///
/// Where entries only change places, one of them must do without for a while: the last of them. Its queue is given to
/// whom it is for, alone, and the others follow one after another.
pub fn next(pending: &[Job]) -> Vec<usize> {
    let owner = |job: &Job| pending.iter().position(|other| other.from == Some(job.apqn));
    let ready: Vec<_> = pending.iter().enumerate().filter(|(_, job)| owner(job).is_none()).map(|(at, _)| at).collect();
    if !ready.is_empty() || pending.is_empty() {
        return ready;
    }
    // Every job waits for another one, so whoever follows them comes into a circle, at the latest after all of them.
    let follow = |at: usize| pending.get(at).and_then(owner).unwrap_or(at);
    let start = (0..pending.len()).fold(0, |at, _| follow(at));
    let mut circle = vec![start];
    while let Some(next) = circle.last().map(|at| follow(*at)).filter(|next| *next != start) {
        circle.push(next);
    }
    let entry = |at: &usize| pending.get(*at).map(|job| job.entry);
    let last = circle.iter().copied().max_by_key(|at| entry(at)).unwrap_or(start);
    circle.into_iter().filter(|at| follow(*at) == last).take(1).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queues::wanted::Purpose;

    fn job(entry: usize, from: Option<&str>, to: &str) -> Job {
        let wanted =
            Wanted { called: String::new(), name: None, purpose: Purpose::Accel, min_generation: 0, apqn: None };
        let apqn = |name: &str| name.parse().unwrap();
        Job { entry, wanted, apqn: apqn(to), secret: None, from: from.map(apqn) }
    }

    /// The entries in the order in which they get their queues.
    fn order(mut pending: Vec<Job>) -> Vec<Vec<usize>> {
        let mut order = Vec::new();
        while !pending.is_empty() {
            let now = next(&pending);
            assert!(!now.is_empty());
            order.push(now.iter().map(|at| pending[*at].entry).collect());
            pending = pending.into_iter().enumerate().filter(|(at, _)| !now.contains(at)).map(|(_, job)| job).collect();
        }
        order
    }

    #[test]
    fn in_a_chain_everybody_has_a_new_queue_before_the_old_one_is_taken() {
        let chain = vec![
            job(0, None, "00.0001"),
            job(1, Some("00.0001"), "00.0002"),
            job(2, Some("00.0002"), "00.0003"),
            job(3, None, "00.0009"),
        ];
        assert_eq!(order(chain), [vec![2, 3], vec![1], vec![0]]);
    }

    #[test]
    fn in_a_circle_only_the_last_entry_does_without_for_a_while() {
        // 2 loses its queue to 1, then 0 takes that of 1, then 2 that of 0.
        let circle = vec![
            job(0, Some("00.0001"), "00.0002"),
            job(1, Some("00.0002"), "00.0003"),
            job(2, Some("00.0003"), "00.0001"),
        ];
        assert_eq!(order(circle), [[1], [0], [2]]);
        let with_tail =
            vec![job(0, None, "00.0002"), job(1, Some("00.0002"), "00.0001"), job(2, Some("00.0001"), "00.0002")];
        assert_eq!(order(with_tail)[0], [1]);
    }

    #[test]
    fn what_waits_for_nobody_is_done_at_once() {
        assert_eq!(order(vec![job(0, None, "00.0001"), job(1, Some("00.0003"), "00.0002")]), [[0, 1]]);
        assert!(next(&[]).is_empty());
    }
}
