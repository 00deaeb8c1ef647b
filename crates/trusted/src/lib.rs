//! What modules of the trusted machine share: host key documents and images, each read once in a task; files that hold
//! secrets; the user's key; tasks with many entries.

pub mod codes;
pub mod cuid;
mod entries;
mod firmware;
mod host_key_options;
mod hosts;
mod images;
mod options;
pub mod private_file;
mod state_key;
mod told;
mod warnings;
mod workers;

pub use entries::{Entries, Layered};
pub use firmware::Firmware;
pub use host_key_options::{AskedHostKeys, HostKeyOptions};
pub use hosts::{Host, HostKeyInfo, Hosts, ReadHosts, TrustFiles};
pub use images::KnownImages;
pub use options::{missing, paths, required};
pub use private_file::Private;
pub use state_key::StateKey;
pub use told::{Told, refuse_same_files};
pub use warnings::Warnings;
pub use workers::{Worked, Workers, in_order};
