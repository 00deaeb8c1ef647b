//! Add-secret requests for IBM Secure Execution guests: building them ([`AddSecret`]), reading what an image
//! header says ([`ImageTags`]), verifying that host key documents come from IBM ([`verify::Verifier`]) and that a
//! request's user data are signed by a certificate's key ([`Signer`]). What proves the state of a guest is in [`attest`].
//!
//! Nothing here knows Ansible, writes a file or talks to a device; only [`Downloads`] and [`FirmwareClient`] use the network. Formats that readers share, and reading a
//! request back, are in `pv_wire`. Facts: IBM Secure Execution documentation and s390-tools 2.43 (`rust/pv`).

pub mod attest;
mod build;
pub mod codes;
mod crypto;
mod der;
mod download;
mod envelope;
mod host_key;
mod id_file;
mod image;
mod sealed;
mod secret;
mod signature;
mod source;
mod user_data;
pub mod verify;

pub use build::{AddSecret, Extension};
pub use download::{Downloads, FirmwareClient, Limits, NotFetched, ProxyAnswer, read_proxy_answer};
pub use envelope::RequestKeys;
pub use host_key::{HostKey, HostKeyDocument};
pub use id_file::IdFile;
pub use image::ImageTags;
pub use sealed::{OpeningKey, Recipients, check_sealed, is_sealed};
pub use secret::{HINT_RAW_FILE, Secret, SecretClass};
pub use signature::{Signature, Signer};
pub use source::Source;
pub use user_data::UserData;
