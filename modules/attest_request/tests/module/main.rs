//! The built module, run as Ansible runs it.

#![allow(clippy::unwrap_used, reason = "a test")]

mod killed;
mod requests;
mod world;
