//! The plan carried out, or in check mode told.

use crate::choose::{Freedom, plan, to_look_at};
use crate::codes;
use crate::entries::Wanted;
use crate::fleet::{Fleet, Job};
use crate::options::{Report, Status};
use crate::places::Places;
use crate::plan::{Decision, Plan, fit, indices, is_held_for, may_be_held_for, names};
use crate::report::{self, Served, mismatch, reason};
use crate::task::{Aim, Task};
use ansible_contract::{Failure, Outcome, warning};
use fault::{Fault, Result};
use pv_guest::ap::{Apqn, Associate, Fit, Observed, SeState, Seen, Wish};
use pv_guest::uv::SecretList;
use std::collections::BTreeSet;

/// A queue that is not usable, with the reason, in words.
fn why_unusable(observed: &Observed) -> String {
    let apqn = observed.seen.apqn;
    observed.queue.why_unusable().map_or_else(
        || format!("{apqn} (its card is offline, deconfigured or checkstopped)"),
        |why| format!("{apqn} ({why})"),
    )
}

type Answer = std::result::Result<Outcome<Report>, Failure<Report>>;

/// One run: what is asked for and what is there.
pub struct Run<'a> {
    pub(super) task: Task,
    pub(super) fleet: Fleet<'a>,
    pub(super) secrets: SecretList,
    before: Vec<Observed>,
}

impl<'a> Run<'a> {
    /// Begins with what was observed.
    pub fn new(task: Task, fleet: Fleet<'a>, secrets: SecretList) -> Self {
        let before = fleet.queues.clone();
        Self { task, fleet, secrets, before }
    }

    /// Tells what would be done. No queue is bound, so an entry whose candidates cannot be read is undetermined.
    pub fn predict(mut self) -> Answer {
        let (task, secrets, needed) = (&self.task, &self.secrets, self.needed());
        self.fleet.predict_settled(&|seen| wish(task, seen, &needed, secrets));
        let Aim::Serve(freedom) = self.task.aim else {
            let released = self.to_release()?;
            self.tell_unknown(&released);
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
                    let fault = self.why(at, wanted, decision);
                    partial.push(fault.clone());
                    Served { status: Status::Undetermined, apqn: None, fault: Some(fault) }
                }
                _ => Served::not(self.why(at, wanted, decision)),
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
        let (task, secrets, needed) = (&self.task, &self.secrets, self.needed());
        self.fleet.settle(&|seen| wish(task, seen, &needed, secrets))?;
        let Aim::Serve(freedom) = self.task.aim else {
            let released = self.to_release()?;
            self.tell_unknown(&released);
            let faults = self.release(released);
            let served = self.left_unserved();
            return self.finish(served, faults);
        };
        let mut faults = self.look(freedom);
        let mut plan = self.plan(freedom);
        let go = (faults.is_empty() && plan.serves_all()) || !self.task.strict;
        faults.extend(self.fleet.give_back(|apqn| go && plan.takes(apqn)));
        self.fleet.warnings.extend(plan.mismatched.iter().copied().map(mismatch));
        let mut served: Vec<Served> = self
            .task
            .wanted
            .iter()
            .zip(&plan.decisions)
            .enumerate()
            .map(|(at, (wanted, decision))| match decision {
                Decision::Served(apqn) | Decision::Move { from: apqn, .. } => Served::by(*apqn, Status::Served),
                _ => Served::not(self.why(at, wanted, decision)),
            })
            .collect();
        let mut places = Places::new(&served);
        let mut jobs = if go { self.jobs(&plan) } else { Vec::new() };
        while !jobs.is_empty() {
            let refused = self.serve(&plan, jobs, &mut served, freedom, &mut faults);
            let staying = Freedom { rebalance: false, ..freedom };
            jobs = Vec::new();
            if !refused.is_empty() {
                // What refuses or is gone is left alone from now on; another queue may do as well.
                refused.iter().for_each(|job| self.fleet.give_up(job.apqn));
                faults.extend(self.look(staying));
                plan = self.plan(staying);
                faults.extend(self.fleet.give_back(|apqn| plan.takes(apqn)));
                let is_refused = |job: &Job| refused.iter().any(|refused| refused.entry == job.entry);
                jobs = self.jobs(&plan).into_iter().filter(is_refused).collect();
                places.wait(refused, &jobs, &served);
            }
            if jobs.is_empty() {
                jobs.extend(self.job_with_place(&mut places, &mut served, staying, &mut faults));
            }
        }
        faults.extend(self.fleet.give_back(|_| false));
        // Nothing is taken away for a plan that did not work out.
        if go && freedom.exclusive && (!self.task.strict || served.iter().all(|s| s.status == Status::Served)) {
            let mut unwanted = self.unwanted(&plan);
            served.iter().filter_map(|s| s.apqn).for_each(|apqn| {
                unwanted.remove(&apqn);
            });
            faults.extend(self.release(unwanted));
        }
        self.finish(served, faults)
    }

    /// Looks at queues until that cannot make the plan better. Gives the faults of queues that cannot be released.
    pub(super) fn look(&mut self, freedom: Freedom) -> Vec<Fault> {
        let mut faults = Vec::new();
        loop {
            let looks = to_look_at(&self.task.wanted, &self.seen(), &self.secrets, freedom);
            if looks.is_empty() {
                return faults;
            }
            let spare = if freedom.exclusive { self.spare(freedom) } else { BTreeSet::new() };
            faults.extend(self.fleet.look_at(&looks, &self.task.wanted, &spare));
        }
    }

    /// What makes room for a look: only what will be released anyway, and only if the plan can still work out.
    fn spare(&self, freedom: Freedom) -> BTreeSet<Apqn> {
        let plan = self.plan(freedom);
        let hopeless = |d: &Decision| d.queue().is_none() && *d != Decision::Undetermined;
        if self.task.strict && plan.decisions.iter().any(hopeless) { BTreeSet::new() } else { self.unwanted(&plan) }
    }

    /// What is to be done for a plan.
    fn jobs(&self, plan: &Plan) -> Vec<Job> {
        let job = |(entry, (wanted, decision)): (usize, (&Wanted, &Decision))| {
            let (from, apqn, index) = match *decision {
                Decision::Serve(apqn, index) => (None, apqn, index),
                Decision::Move { from, to, index } => (Some(from), to, index),
                _ => return None,
            };
            Some(Job { entry, wanted: wanted.clone(), apqn, secret: index.map(Associate), from })
        };
        self.task.wanted.iter().zip(&plan.decisions).enumerate().filter_map(job).collect()
    }

    pub(super) fn seen(&self) -> Vec<Seen> {
        self.fleet.queues.iter().map(|observed| observed.seen.clone()).collect()
    }

    pub(super) fn plan(&self, freedom: Freedom) -> Plan {
        plan(&self.task.wanted, &self.seen(), &self.secrets, freedom)
    }

    /// The queues that serve entries before anything is settled, no more of them than there are entries. They matter
    /// only where an earlier run left something.
    fn needed(&self) -> BTreeSet<Apqn> {
        if self.fleet.journal.is_empty() {
            return BTreeSet::new();
        }
        let serving = |decision: Decision| match decision {
            Decision::Served(apqn) | Decision::Unreadable(apqn) => Some(apqn),
            _ => None,
        };
        self.plan(Freedom::default()).decisions.into_iter().filter_map(serving).collect()
    }

    /// Queues that this guest holds and no entry wants.
    pub(super) fn unwanted(&self, plan: &Plan) -> BTreeSet<Apqn> {
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
            // One that answers with an error is held as far as is known.
            let held = |seen: &&Seen| seen.state.is_held() || seen.state == SeState::Failing;
            return Ok(seen.iter().filter(held).map(|seen| seen.apqn).collect());
        }
        let is_shown = |id| !indices(&self.secrets, id).is_empty();
        if !self.secrets.is_complete() && !self.task.wanted.iter().filter_map(Wanted::secret).all(is_shown) {
            return Err(self.secrets.incomplete());
        }
        // All of them, not one for each entry: a second run must find nothing left to release.
        let named = |seen: &Seen| self.task.wanted.iter().any(|wanted| names(wanted, seen, &self.secrets));
        // What an earlier run could not release is still held, though the kernel has forgotten for which secret.
        let as_it_was = |seen: &Seen| {
            let index = self.fleet.stuck.get(&seen.apqn)?.was?;
            Some(Seen { state: SeState::Associated(index), ..seen.clone() })
        };
        let is_named = |seen: &&Seen| named(seen) || as_it_was(seen).is_some_and(|seen| named(&seen));
        Ok(seen.iter().filter(is_named).map(|seen| seen.apqn).collect())
    }

    /// Tells of queues that may be held for an entry, which nobody can know, and are therefore not released.
    fn tell_unknown(&mut self, released: &BTreeSet<Apqn>) {
        if self.task.aim != Aim::ReleaseEntries {
            return;
        }
        let seen = self.seen();
        let maybe = |seen: &&Seen| self.task.wanted.iter().any(|wanted| may_be_held_for(wanted, seen));
        let unknown = seen.iter().filter(maybe).map(|seen| seen.apqn).filter(|apqn| !released.contains(apqn));
        self.fleet.warnings.extend(unknown.map(report::unknown));
    }

    /// Why an entry with this decision is not served.
    pub(super) fn why(&self, at: usize, wanted: &Wanted, decision: &Decision) -> Fault {
        let maybe = |o: &&Observed| may_be_held_for(wanted, &o.seen);
        let unknown: Vec<_> = self.fleet.queues.iter().filter(maybe).map(|o| o.seen.apqn).collect();
        // What would fit if its card or the queue itself were not switched off or broken.
        let out_of_service =
            |o: &&Observed| !o.seen.usable && fit(wanted, &Seen { usable: true, ..o.seen.clone() }) != Fit::No;
        let out_of_service: Vec<_> = self.fleet.queues.iter().filter(out_of_service).map(why_unusable).collect();
        reason(at, wanted, decision, &self.secrets, &unknown, &out_of_service)
    }

    pub(super) fn release(&self, apqns: BTreeSet<Apqn>) -> Vec<Fault> {
        let apqns: Vec<_> = apqns.into_iter().collect();
        self.fleet.release(&apqns).into_iter().filter_map(Result::err).collect()
    }

    /// With `state: unbound` no entry is to be served, and that is no fault.
    fn left_unserved(&self) -> Vec<Served> {
        self.task.wanted.iter().map(|_| Served { status: Status::Unserved, apqn: None, fault: None }).collect()
    }

    /// Looks at everything once more and tells how it went. A queue that could not be released is a failure in any
    /// case, an entry that could not be served if `strict`.
    fn finish(mut self, mut served: Vec<Served>, mut faults: Vec<Fault>) -> Answer {
        self.fleet.refresh();
        let mut lost = Vec::new();
        for (wanted, served) in self.task.wanted.iter().zip(&mut served) {
            match served.apqn {
                Some(apqn) if !self.serves(wanted, apqn) => {
                    *served = Served::not(report::lost(apqn));
                    lost.extend(wanted.secret().map(|_| apqn));
                }
                _ => {}
            }
        }
        faults.extend(self.fleet.note_lost(&lost));
        let mut faults = faults.into_iter();
        let first = faults.next();
        self.fleet.warnings.extend(faults);
        // What settling could not release may be what the task was to release.
        self.fleet.warnings.retain(|warning| first.as_ref().is_none_or(|first| first.detail != warning.detail));
        let outcome = self.answer(served, false, |o| o.seen.state);
        match (first, outcome) {
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
        let unsure = match self.task.aim {
            Aim::Serve(freedom) if predicted => {
                !to_look_at(&self.task.wanted, &self.seen(), &self.secrets, freedom).is_empty()
            }
            _ => false,
        };
        let Self { task, fleet, before, .. } = self;
        let report = report::report(&task.wanted, &served, &before, &fleet.queues, after, fleet.inspected);
        let diff = report::diff(&report);
        let undetermined = served.iter().any(|s| s.status == Status::Undetermined);
        let mut outcome = Outcome {
            changed: !diff.is_empty() || undetermined,
            msg: summary(&served, diff.len(), predicted, task.aim),
            warnings: fleet.warnings.iter().map(warning).collect(),
            diff,
            // A better queue may be among those that cannot be read.
            predicted_partial: undetermined || unsure,
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

/// A queue is kept that is `needed` to serve the entries of a task that wants them served.
fn wish(task: &Task, seen: &Seen, needed: &BTreeSet<Apqn>, secrets: &SecretList) -> Wish {
    let could_serve = |wanted: &Wanted| is_held_for(wanted, seen, secrets) && fit(wanted, seen) != Fit::No;
    match task.aim {
        Aim::Serve(_) if needed.contains(&seen.apqn) => Wish::Keep,
        Aim::Serve(_) if task.wanted.iter().any(could_serve) => Wish::Spare,
        _ => Wish::Release,
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
