//! The plan carried out, or in check mode told.

use crate::choose::{Freedom, plan, to_look_at};
use crate::codes;
use crate::entries::Wanted;
use crate::fleet::{Fleet, Job};
use crate::observe;
use crate::options::{Report, Status};
use crate::plan::{Decision, Plan, fit, indices, is_held_for, names};
use crate::report::{self, Served, mismatch, reason};
use crate::task::{Aim, Task};
use ansible_contract::{Failure, Outcome, warning};
use fault::{Fault, Result};
use pv_guest::ap::{Apqn, Associate, Fit, Observed, SeState, Seen};
use pv_guest::uv::SecretList;
use std::collections::BTreeSet;

type Answer = std::result::Result<Outcome<Report>, Failure<Report>>;

/// One run: what is asked for and what is there.
pub struct Run<'a> {
    task: Task,
    fleet: Fleet<'a>,
    secrets: SecretList,
    before: Vec<Observed>,
}

impl<'a> Run<'a> {
    /// Begins with what was observed.
    pub fn new(task: Task, fleet: Fleet<'a>, secrets: SecretList) -> Self {
        let before = fleet.queues.clone();
        Self { task, fleet, secrets, before }
    }

    /// Tells what would be done. No queue is bound, so an entry whose candidates cannot be read is undetermined.
    pub fn predict(self) -> Answer {
        let Aim::Serve(freedom) = self.task.aim else {
            let released = self.to_release()?;
            let served = self.left_unserved();
            return self.answer(served, true, |o| {
                if released.contains(&o.seen.apqn) { SeState::Unbound } else { o.seen.state }
            });
        };
        let plan = self.plan(freedom);
        let released = if freedom.exclusive { self.unwanted(&plan) } else { plan.left() };
        let mut partial = Vec::new();
        let served =
            self.task.wanted.iter().zip(&plan.decisions).enumerate().map(|(at, (wanted, decision))| match decision {
                Decision::Served(apqn) => Served::by(*apqn, Status::Served),
                Decision::Serve(apqn, _) | Decision::Move { to: apqn, .. } => Served::by(*apqn, Status::WouldServe),
                Decision::Undetermined => Served { status: Status::Undetermined, apqn: None, fault: None },
                Decision::SecretMissing if self.secrets.is_complete() => {
                    // An earlier task of the play may still add it.
                    let fault = reason(at, wanted, decision, &self.secrets);
                    partial.push(fault.clone());
                    Served { status: Status::Undetermined, apqn: None, fault: Some(fault) }
                }
                _ => Served::not(reason(at, wanted, decision, &self.secrets)),
            });
        let served: Vec<_> = served.collect();
        let mut run = self;
        run.fleet.warnings.extend(partial);
        run.fleet.warnings.extend(plan.mismatched.iter().copied().map(mismatch));
        run.answer(served, true, |o| match plan.entry_of(o.seen.apqn).and_then(|entry| plan.decisions.get(entry)) {
            Some(Decision::Serve(_, Some(index)) | Decision::Move { index: Some(index), .. }) => {
                SeState::Associated(*index)
            }
            Some(Decision::Serve(_, None) | Decision::Move { index: None, .. }) => SeState::Bound,
            _ if released.contains(&o.seen.apqn) => SeState::Unbound,
            _ => o.seen.state,
        })
    }

    /// Does it.
    pub fn apply(mut self) -> Answer {
        self.fleet.settle()?;
        let Aim::Serve(freedom) = self.task.aim else {
            let faults = self.release(self.to_release()?);
            let served = self.left_unserved();
            return self.finish(served, faults);
        };
        let mut faults = Vec::new();
        loop {
            let looks = to_look_at(&self.task.wanted, &self.seen(), &self.secrets, freedom);
            if looks.is_empty() {
                break;
            }
            faults.extend(self.fleet.look_at(&looks, &self.task.wanted));
        }
        let plan = self.plan(freedom);
        let chosen =
            |apqn| matches!(plan.entry_of(apqn).and_then(|e| plan.decisions.get(e)), Some(Decision::Serve(..)));
        let serve_all = plan.decisions.iter().all(|d| matches!(d, Decision::Served(_) | Decision::Serve(..)));
        let go = (faults.is_empty() && serve_all) || !self.task.strict;
        faults.extend(self.fleet.give_back(|apqn| go && chosen(apqn)));
        self.fleet.warnings.extend(plan.mismatched.iter().copied().map(mismatch));
        let mut served: Vec<Served> = self
            .task
            .wanted
            .iter()
            .zip(&plan.decisions)
            .enumerate()
            .map(|(at, (wanted, decision))| match decision {
                Decision::Served(apqn) => Served::by(*apqn, Status::Served),
                _ => Served::not(reason(at, wanted, decision, &self.secrets)),
            })
            .collect();
        if go {
            faults.extend(self.serve(&plan, &mut served, freedom));
            // Nothing is taken away for a plan that did not work out.
            if freedom.exclusive && (!self.task.strict || served.iter().all(|s| s.status == Status::Served)) {
                faults.extend(self.release(self.unwanted(&plan)));
            }
        }
        self.finish(served, faults)
    }

    fn seen(&self) -> Vec<Seen> {
        self.fleet.queues.iter().map(|observed| observed.seen.clone()).collect()
    }

    fn plan(&self, freedom: Freedom) -> Plan {
        plan(&self.task.wanted, &self.seen(), &self.secrets, freedom)
    }

    /// Carries out the decisions to serve, and notes how each went. Gives the faults of queues that could not be
    /// released.
    fn serve(&mut self, plan: &Plan, served: &mut [Served], freedom: Freedom) -> Vec<Fault> {
        let job = |(entry, (wanted, decision)): (usize, (&Wanted, &Decision))| match decision {
            Decision::Serve(apqn, index) => {
                Some(Job { entry, wanted: wanted.clone(), apqn: *apqn, secret: index.map(Associate) })
            }
            _ => None,
        };
        let jobs: Vec<_> = self.task.wanted.iter().zip(&plan.decisions).enumerate().filter_map(job).collect();
        if jobs.is_empty() {
            return Vec::new();
        }
        // Read again right before they are used: an index belongs to another secret after a reboot.
        let now = observe::secrets(self.task.needs_secrets());
        let (ready, moved): (Vec<_>, Vec<_>) =
            jobs.into_iter().partition(|job| match (job.wanted.secret(), job.secret) {
                (Some(id), Some(index)) => now.as_ref().is_ok_and(|now| indices(now, id).contains(&index.0)),
                _ => true,
            });
        let mut faults = self.fleet.give_back(|apqn| ready.iter().any(|job| job.apqn == apqn));
        let mut answers = self.fleet.serve(&ready);
        if freedom.exclusive {
            faults.extend(self.make_room(plan, &ready, &mut answers));
        }
        let moved_answers = moved.iter().map(|job| {
            Err(now.as_ref().err().cloned().unwrap_or_else(|| {
                Fault::new(
                    codes::SECRET_CHANGED,
                    format!("The queue {} was not associated: the secret store changed meanwhile.", job.apqn),
                )
                .hint("Run the task again.")
            }))
        });
        for (job, answer) in ready.iter().zip(answers).chain(moved.iter().zip(moved_answers)) {
            if let Some(slot) = served.get_mut(job.entry) {
                *slot = match answer {
                    Ok(()) => Served::by(job.apqn, Status::Served),
                    Err(fault) => Served::not(fault),
                };
            }
        }
        faults
    }

    /// A card may hold as many queues as it takes: those that no entry wants are released there, and what was refused
    /// is tried again. Gives the faults of the releases.
    fn make_room(&self, plan: &Plan, jobs: &[Job], answers: &mut [Result<()>]) -> Vec<Fault> {
        let refused =
            |answer: &Result<()>| answer.as_ref().is_err_and(|fault| fault.code == pv_guest::codes::BIND_REFUSED);
        let mut faults = Vec::new();
        if self.task.strict && answers.iter().any(|answer| answer.is_err() && !refused(answer)) {
            return faults;
        }
        for (job, answer) in jobs.iter().zip(answers).filter(|(_, answer)| refused(answer)) {
            let there: BTreeSet<_> =
                self.unwanted(plan).into_iter().filter(|apqn| apqn.card == job.apqn.card).collect();
            if !there.is_empty() {
                faults.extend(self.release(there));
                if let Some(again) = self.fleet.serve(std::slice::from_ref(job)).pop() {
                    *answer = again;
                }
            }
        }
        faults
    }

    /// Queues that this guest holds and no entry wants.
    fn unwanted(&self, plan: &Plan) -> BTreeSet<Apqn> {
        let unwanted = |seen: &&Seen| seen.state.is_held() && plan.entry_of(seen.apqn).is_none();
        self.fleet.queues.iter().map(|o| &o.seen).filter(unwanted).map(|seen| seen.apqn).collect()
    }

    /// What `state: unbound` releases: what is held for an entry, or everything.
    ///
    /// # Errors
    /// `uv.list_incomplete` if an entry's secret may be one that the kernel does not show: a queue could be held for it.
    fn to_release(&self) -> Result<BTreeSet<Apqn>> {
        let seen = self.seen();
        if self.task.aim == Aim::ReleaseAll {
            return Ok(seen.iter().filter(|seen| seen.state.is_held()).map(|seen| seen.apqn).collect());
        }
        let is_shown = |id| !indices(&self.secrets, id).is_empty();
        if !self.secrets.is_complete() && !self.task.wanted.iter().filter_map(Wanted::secret).all(is_shown) {
            return Err(self.secrets.incomplete());
        }
        // All of them, not one for each entry: a second run must find nothing left to release.
        let named = |seen: &&Seen| self.task.wanted.iter().any(|wanted| names(wanted, seen, &self.secrets));
        Ok(seen.iter().filter(named).map(|seen| seen.apqn).collect())
    }

    fn release(&self, apqns: BTreeSet<Apqn>) -> Vec<Fault> {
        let apqns: Vec<_> = apqns.into_iter().collect();
        self.fleet.release(&apqns).into_iter().filter_map(Result::err).collect()
    }

    /// With `state: unbound` no entry is to be served, and that is no fault.
    fn left_unserved(&self) -> Vec<Served> {
        self.task.wanted.iter().map(|_| Served { status: Status::Unserved, apqn: None, fault: None }).collect()
    }

    /// Looks at everything once more and tells how it went. A queue that could not be released is a failure in any
    /// case, an entry that could not be served if `strict`.
    fn finish(mut self, mut served: Vec<Served>, faults: Vec<Fault>) -> Answer {
        self.fleet.refresh();
        for (wanted, served) in self.task.wanted.iter().zip(&mut served) {
            match served.apqn {
                Some(apqn) if !self.serves(wanted, apqn) => *served = Served::not(report::lost(apqn)),
                _ => {}
            }
        }
        let outcome = self.answer(served, false, |o| o.seen.state);
        match (faults.into_iter().next(), outcome) {
            (Some(fault), Ok(outcome)) => Err(failure(fault, outcome)),
            (Some(fault), Err(mut failed)) => {
                failed.warnings.push(warning(&fault));
                Err(failed)
            }
            (None, outcome) => outcome,
        }
    }

    /// Whether a queue serves an entry as it was seen last. A key that cannot be read now was read before.
    fn serves(&self, wanted: &Wanted, apqn: Apqn) -> bool {
        let serves = |seen: &Seen| is_held_for(wanted, seen, &self.secrets) && fit(wanted, seen) != Fit::No;
        self.fleet.get(apqn).is_some_and(|observed| serves(&observed.seen))
    }

    fn answer(self, served: Vec<Served>, predicted: bool, after: impl Fn(&Observed) -> SeState) -> Answer {
        let Self { task, fleet, before, .. } = self;
        let report = report::report(&task.wanted, &served, &before, &fleet.queues, after, fleet.inspected);
        let diff = report::diff(&report);
        let undetermined = served.iter().any(|s| s.status == Status::Undetermined);
        let mut outcome = Outcome {
            changed: !diff.is_empty() || undetermined,
            msg: summary(&served, diff.len(), predicted, task.aim),
            warnings: fleet.warnings.iter().map(warning).collect(),
            diff,
            predicted_partial: undetermined,
            report,
        };
        let unserved: Vec<_> =
            served.into_iter().filter(|s| s.status == Status::Unserved).filter_map(|s| s.fault).collect();
        // What could be served but was left undone is not why the task fails.
        let cause = unserved.iter().find(|fault| fault.code != codes::LEFT_UNDONE).cloned();
        match cause {
            Some(fault) if task.strict => Err(failure(fault, outcome)),
            _ => {
                outcome.warnings.extend(unserved.iter().map(warning));
                Ok(outcome)
            }
        }
    }
}

fn failure(fault: Fault, outcome: Outcome<Report>) -> Failure<Report> {
    let mut failure = Failure::from(fault);
    failure.changed = outcome.changed;
    failure.warnings = outcome.warnings;
    failure.diff = outcome.diff;
    failure.report = Some(Box::new(outcome.report));
    failure
}

fn summary(served: &[Served], changes: usize, predicted: bool, aim: Aim) -> String {
    let (is, change) = if predicted { ("would be", "would change") } else { ("are", "changed") };
    match aim {
        Aim::Serve(_) => {
            let count = served.iter().filter(|s| s.apqn.is_some()).count();
            format!("{count} of {} entries {is} served; {changes} queues {change}.", served.len())
        }
        _ => format!("{changes} queues {}.", if predicted { "would be released" } else { "released" }),
    }
}
