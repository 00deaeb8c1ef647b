//! The built module, run as Ansible runs it.

#![allow(clippy::unwrap_used, reason = "a test")]

mod at_once;
mod downloads;
mod durable;
mod folders;
mod history;
mod hosts;
mod killed;
mod manifests;
mod many;
mod memory;
mod order;
mod requests;
mod sealed;
mod secrets;
mod world;
