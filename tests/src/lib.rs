//! What the end-to-end tests and the demo share: a trusted machine with host key documents and an image
//! ([`World`]), simulated guests ([`Guest`]), real Ansible ([`Controller`]), and all of it together as
//! `playbooks/provision.yml` wants it ([`Fleet`]).
//!
//! Everything runs the production programs unmodified; `cargo xtask prepare` builds them, and installs the pinned
//! ansible-core and the collection that are used here.

mod archive;
pub mod cards;
mod controller;
mod fleet;
mod guest;
pub mod lab;
pub mod place;
mod ssh;
mod tarball;
mod world;

pub use archive::Archive;
pub use controller::{Controller, Host, Play, Record};
pub use fleet::{Fleet, OTHER_KEY, OWN_SECRET, WANTED_KEY, fleet_cards, request_of, variables};
pub use guest::Guest;
pub use ssh::{PASSWORD, Ssh, can_ssh};
pub use tarball::provision_from_tarball;
pub use world::World;

/// Whether simulated guests can run here; if not, says so in the words that `cargo xtask test` counts.
pub fn can_simulate(test: &str) -> bool {
    let can = place::fuse_can_be_opened();
    if !can {
        println!("skipped: {test}: /dev/fuse cannot be opened");
    }
    can
}

/// The processes below one, by the kernel's own lists.
pub fn descendants(process: u32) -> Vec<u32> {
    let threads = std::fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten();
    let listed = threads.map(|thread| std::fs::read_to_string(thread.path().join("children")).unwrap_or_default());
    let listed: String = listed.collect();
    let children: Vec<u32> = listed.split_whitespace().filter_map(|number| number.parse().ok()).collect();
    children.iter().flat_map(|child| descendants(*child).into_iter().chain([*child])).collect()
}
