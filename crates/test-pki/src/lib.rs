//! A pretend IBM key hierarchy: root CA, intermediate CA, host key signing key, revocation lists at every level, and
//! host key documents, good or with one chosen flaw.
//!
//! For tests and the demo only: nobody trusts these keys. Names, extensions and lifetimes follow what IBM Secure
//! Execution documentation says about the real ones.

mod authority;
mod der;
mod keys;
mod pki;
mod server;

pub use authority::{
    Authority, Crl, Issue, MoreExtension, Role, Usage, days_from_now, host_key, signing_name, weak_key,
};
pub use der::{Pss, pretending, with_pss};
pub use keys::rsa_key;
pub use pki::{Flaw, Pki, REVOKED_SERIAL, write_file};
pub use server::{CrlServer, Posted, Reply};
