//! The guest modules, in simulated guests: arguments on standard input, the result on standard output,
//! and what the simulated hardware saw of it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends")]

mod ap_bind;
mod ap_bind_changes;
mod ap_bind_faults;
mod ap_bind_killed;
mod ap_bind_others;
mod ap_bind_rebalance;
mod ap_bind_release;
mod ap_bind_unanswered;
mod ap_bind_unfinished;
mod attest;
mod attest_record;
mod attest_refused;
mod challenges;
mod facts;
mod facts_inspect;
mod firmware;
mod hardware;
mod queues;
mod scenarios;
mod schedules;
mod secret_add;
mod secret_add_faults;
mod secret_add_unknown;
mod secret_lock;
mod secret_retrieve;
mod support;
mod whole;
mod whole_refused;
