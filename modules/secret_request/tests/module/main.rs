//! The built module, run as Ansible runs it.

#![allow(clippy::unwrap_used, reason = "a test")]

mod downloads;
mod hosts;
mod interrupted;
mod manifests;
mod many;
mod requests;
mod secrets;
mod world;
