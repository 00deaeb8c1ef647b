//! Stories: what a fleet goes through, each told by runs of real Ansible over simulated guests, most of them of the
//! example playbook.

mod at_boot;
mod attestation;
mod command_line;
mod domains;
mod examples;
mod fleet_care;
mod fleet_runs;
mod machines;
mod over_ssh;
mod provisioning;
mod requests;
mod retrieved;
mod rights;
mod roles;
mod runner;
mod secrets;
mod support;
mod tarball;
mod variables;
