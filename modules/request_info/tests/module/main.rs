//! The built module, run as Ansible runs it.

#![allow(clippy::unwrap_used, reason = "a test")]

mod requests;
mod signatures;
mod world;
