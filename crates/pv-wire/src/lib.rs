//! Formats that builders and readers of add-secret requests share: where each field lies ([`layout`]), how a
//! request is read back ([`RequestView`]), the types of secrets ([`SecretType`]) their ids ([`SecretId`])
//! and instants as text ([`iso8601`]). The same of attestation is in [`attestation`].
//!
//! Bytes only: no files, no devices, no encryption. All numbers on the wire are big endian, whatever the machine.
//! Source of the facts: IBM Secure Execution documentation and s390-tools 2.43 (`rust/pv`, `rust/pv_core`).

pub mod attestation;
mod bytes;
pub mod codes;
mod hex;
mod id;
pub mod layout;
mod request;
mod secret_type;
mod time;

pub use hex::{decode_hex, encode_hex};
pub use id::SecretId;
pub use request::{RequestView, UserDataType};
pub use secret_type::SecretType;
pub use time::iso8601;
