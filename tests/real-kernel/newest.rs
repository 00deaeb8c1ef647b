//! The newest kernel of Debian's suite experimental, where `cargo xtask lab` found one. What it does otherwise than 7.2 comes to
//! users with the next release, so each difference is worth a look; none of them is expected.

use crate::{compare, evidence, outcomes, troubles};
use e2e::lab::NEWEST;

#[test]
fn on_the_newest_kernel_secrets_come_in_once_and_the_lock_holds() {
    outcomes::secrets_come_in_once_and_the_lock_holds(NEWEST);
}

#[test]
fn on_the_newest_kernel_queues_are_served_once_released_and_served_again() {
    outcomes::queues_are_served_once_released_and_served_again(NEWEST);
}

#[test]
fn what_the_newest_kernel_lets_the_guest_attest_holds_before_the_verifier() {
    evidence::the_evidence_holds(NEWEST);
}

#[test]
fn the_simulated_guest_says_what_the_newest_kernel_says() {
    compare::the_simulator_says_the_same_of_the_usual_steps(NEWEST);
}

#[test]
fn on_the_newest_kernel_a_killed_add_is_settled_by_the_next_run() {
    troubles::a_killed_add_is_settled_by_the_next_run(NEWEST);
}

#[test]
fn on_the_newest_kernel_a_killed_bind_or_release_is_settled_by_the_next_run() {
    troubles::a_killed_bind_or_release_is_settled_by_the_next_run(NEWEST);
}

#[test]
fn on_the_newest_kernel_of_two_at_once_one_does_it_and_the_other_finds_it_done_or_leaves_it_alone() {
    troubles::of_two_at_once_one_does_it_and_the_other_finds_it_done_or_leaves_it_alone(NEWEST);
}

#[test]
fn on_the_newest_kernel_an_ordinary_user_is_told_what_is_missing_and_changes_nothing() {
    troubles::an_ordinary_user_is_told_what_is_missing_and_changes_nothing(NEWEST);
}
