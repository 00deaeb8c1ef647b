//! What this library does for those who call it, held against IBM's own library and against documents, lists, servers and
//! guests made for the purpose. One program: each would link OpenSSL once more.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends")]

mod answering;
mod attestation_results;
mod attestation_verdicts;
mod bounds;
mod bytes_behind;
mod critical_extensions;
mod fetch_crls;
mod firmware_service;
mod forged_tag;
mod redirects;
mod reference_attestation;
mod reference_certificates;
mod reference_requests;
mod unusual_lists;
mod user_data_signatures;
mod verify_documents;
mod weak_signatures;
