//! The options that name host key documents and by what they are verified.

use crate::hosts::TrustFiles;
use crate::options::{missing, paths};
use ansible_contract::{HexText, PathText, codes as args};
use fault::{Fault, Result};
use pv_wire::decode_hex;
use std::path::PathBuf;

/// Those options, as they are given.
#[derive(Clone, Copy, Debug)]
pub struct HostKeyOptions<'a> {
    /// Documents.
    pub host_keys: Option<&'a [PathText]>,
    /// SHA-256 hashes of the only keys that are acceptable.
    pub host_key_hashes: Option<&'a [HexText<64, 64>]>,
    /// Of the IBM signing key and the authorities above it.
    pub certificates: Option<&'a [PathText]>,
    /// Revocation lists.
    pub crls: Option<&'a [PathText]>,
    /// The trusted root.
    pub root_ca: Option<&'a PathText>,
    /// Whether revocation lists are fetched.
    pub download_crls: bool,
    /// Whether documents are verified at all.
    pub verify_host_keys: bool,
}

/// What they ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AskedHostKeys {
    /// Documents, at least one.
    pub documents: Vec<PathBuf>,
    /// The only host keys that are acceptable.
    pub accepted: Option<Vec<[u8; 32]>>,
    /// By what the documents are verified; `None`: not at all.
    pub trust: Option<TrustFiles>,
}

impl HostKeyOptions<'_> {
    /// Checks them.
    ///
    /// # Errors
    /// `args.missing`, `args.conflict`, `args.invalid`.
    pub fn asked(&self) -> Result<AskedHostKeys> {
        let trust = self.trust()?;
        Ok(AskedHostKeys {
            documents: paths(self.host_keys)
                .filter(|list| !list.is_empty())
                .ok_or_else(|| missing("host_keys", "without a host key no machine could open the request"))?,
            accepted: self.host_key_hashes.map(|hashes| hashes.iter().map(hash).collect()).transpose()?,
            trust,
        })
    }

    /// Options that would be ignored are refused.
    fn refuse_conflicts(&self) -> Result<()> {
        let given = |list: Option<&[PathText]>| list.is_some_and(|list| !list.is_empty());
        let table = [
            (given(self.certificates), "certificates"),
            (given(self.crls), "crls"),
            (self.root_ca.is_some(), "root_ca"),
            (self.download_crls, "download_crls"),
        ];
        table.into_iter().filter(|(given, _)| *given && !self.verify_host_keys).try_for_each(|(_, name)| {
            let detail = format!("The option {name} cannot be given together with verify_host_keys: false.");
            Err(Fault::new(args::CONFLICT, detail).hint("Leave one of them out: it would be ignored."))
        })
    }

    /// By what documents are verified; `None`: not at all.
    ///
    /// # Errors
    /// `args.missing`, `args.conflict`.
    pub fn trust(&self) -> Result<Option<TrustFiles>> {
        self.refuse_conflicts()?;
        if !self.verify_host_keys {
            return Ok(None);
        }
        let certificates = paths(self.certificates).filter(|list| !list.is_empty()).ok_or_else(|| {
            missing("certificates", "the IBM signing key's certificate is needed to verify host key documents")
        })?;
        Ok(Some(TrustFiles {
            certificates,
            crls: paths(self.crls).unwrap_or_default(),
            root_ca: self.root_ca.map(|path| path.as_path().to_owned()),
            download_crls: self.download_crls,
        }))
    }
}

fn hash(text: &HexText<64, 64>) -> Result<[u8; 32]> {
    decode_hex(&text.0).and_then(|bytes| bytes.try_into().ok()).ok_or_else(|| {
        Fault::new(args::INVALID, "The option host_key_hashes must be a list of 64 hex digits each.")
            .hint("A machine shows the hash of its host key in /sys/firmware/uv/keys.")
    })
}
