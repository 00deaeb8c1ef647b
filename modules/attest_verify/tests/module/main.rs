//! The built module, run as Ansible runs it.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test")]

mod firmware;
mod fleet;
mod killed;
mod known_hosts;
mod many;
mod pins;
mod results;
mod schema;
mod ultravisor;
mod user_data;
mod verdicts;
#[path = "../../../attest_request/tests/module/world.rs"]
mod world;
