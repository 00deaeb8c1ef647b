//! Host key documents, verified. Each file and each chain is read and checked once in a task.

use crate::codes;
use crate::host_key_options::AskedHostKeys;
use fault::{Fault, Result};
use pv_request::verify::{Fetch, Outdated, Trust, Verifier, iso8601, system_root};
use pv_request::{Downloads, HostKey, HostKeyDocument, Limits, Source};
use pv_wire::encode_hex;
use serde::Serialize;
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// By what host key documents are verified.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TrustFiles {
    /// Of the IBM signing key and the authorities above it.
    pub certificates: Vec<PathBuf>,
    /// Revocation lists.
    pub crls: Vec<PathBuf>,
    /// The trusted root; `None`: the system's.
    pub root_ca: Option<PathBuf>,
    /// Whether revocation lists that are not there are fetched.
    pub download_crls: bool,
}

/// A host key that may be used.
#[derive(Debug)]
pub struct Host {
    /// The key.
    pub key: HostKey,
    /// What is told of it.
    pub info: Arc<HostKeyInfo>,
    /// What is only too old about it: an error if a request is built.
    pub outdated: Vec<Fault>,
}

/// One host key document.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "docs", derive(schemars::JsonSchema))]
pub struct HostKeyInfo {
    /// The document, as given.
    pub file: String,
    /// SHA-256 of the host key, hex: the same on the machine itself.
    pub hash: String,
    /// Serial number of the document, hex; null if it was not verified.
    pub serial: Option<String>,
    /// Until when the document is valid, UTC; null if it was not verified.
    pub not_after: Option<String>,
    /// When the revocation list that covers it is due to be replaced, UTC; null if it was not verified.
    pub crl_next_update: Option<String>,
}

/// A chain that was checked.
#[derive(Debug)]
struct Checked {
    verifier: Verifier,
    root_ca: String,
}

type Cached<T> = Result<Arc<T>>;

/// Host keys as one request uses them.
#[derive(Debug)]
pub struct Hosts {
    /// The host keys, in the order in which they were named.
    pub keys: Vec<Arc<Host>>,
    /// By which root they were verified.
    pub root_ca: Option<String>,
    /// What is only too old about them or their chain.
    pub outdated: Vec<Fault>,
}

impl Hosts {
    /// Each host key once, in the order in which they were first named: a second slot for a key opens nothing more.
    pub fn distinct(&self) -> impl Iterator<Item = &Host> {
        let mut seen = HashSet::new();
        self.keys.iter().map(Arc::as_ref).filter(move |host| seen.insert(host.key.hash()))
    }

    /// A warning for each document whose key another one before it holds: it may have been meant for another machine.
    pub fn repeated(&self) -> Vec<Fault> {
        let mut first = HashMap::new();
        let again = |host: &Arc<Host>| {
            let earlier = first.insert(host.key.hash(), host.info.file.clone())?;
            let detail = match &host.info.file {
                file if *file == earlier => format!("The host key document {file} is named twice"),
                file => format!("The host key documents {earlier} and {file} contain the same host key"),
            };
            Some(
                Fault::new(codes::HOST_KEY_TWICE, format!("{detail}; the request has one slot for the key."))
                    .hint("Leave one of them out, or name the document of the other machine."),
            )
        };
        self.keys.iter().filter_map(again).collect()
    }
}

/// All host key documents and chains that were read in a task. They are of machines; the keys of SSH hosts are elsewhere.
#[derive(Debug, Default)]
pub struct ReadHosts {
    chains: HashMap<TrustFiles, Cached<Checked>>,
    hosts: HashMap<(PathBuf, Option<TrustFiles>), Cached<Host>>,
    /// What was fetched, once anything may be.
    downloads: Option<Arc<Downloads>>,
}

impl ReadHosts {
    /// The host keys in the documents, verified if that is asked for, and all among those accepted if they are given.
    ///
    /// # Errors
    /// The `file.*` and `hkd.*` codes.
    pub fn get(&mut self, asked: &AskedHostKeys) -> Result<Hosts> {
        let AskedHostKeys { documents, accepted, trust } = asked;
        let trust = trust.as_ref();
        let chain = trust.map(|trust| self.chain(trust)).transpose()?;
        let keys = documents.iter().map(|path| self.host(path, trust, chain.as_deref())).collect::<Result<Vec<_>>>()?;
        if let Some(host) =
            keys.iter().find(|host| accepted.as_ref().is_some_and(|list| !list.contains(&host.key.hash())))
        {
            let detail = format!(
                "The host key in {} has the hash {}, which host_key_hashes does not list.",
                host.info.file, host.info.hash
            );
            return Err(Fault::new(codes::NOT_LISTED, detail)
                .hint("Add the hash if the machine is yours; otherwise do not use the document."));
        }
        let mut outdated = chain.as_ref().map(|chain| chain.verifier.chain_outdated.clone()).unwrap_or_default();
        outdated.extend(keys.iter().flat_map(|host| host.outdated.iter().cloned()));
        Ok(Hosts { keys, root_ca: chain.map(|chain| chain.root_ca.clone()), outdated })
    }

    fn chain(&mut self, trust: &TrustFiles) -> Cached<Checked> {
        if let Some(known) = self.chains.get(trust) {
            return known.clone();
        }
        let downloads = trust.download_crls.then(|| {
            let downloads = self.downloads.get_or_insert_with(|| Arc::new(Downloads::new(Limits::default())));
            Arc::clone(downloads) as Arc<dyn Fetch>
        });
        let checked = check(trust, downloads).map(Arc::new);
        self.chains.insert(trust.clone(), checked.clone());
        checked
    }

    fn host(&mut self, path: &Path, trust: Option<&TrustFiles>, chain: Option<&Checked>) -> Cached<Host> {
        let key = (path.to_owned(), trust.cloned());
        if let Some(known) = self.hosts.get(&key) {
            return known.clone();
        }
        let host = read(path, chain).map(Arc::new);
        self.hosts.insert(key, host.clone());
        host
    }
}

fn check(trust: &TrustFiles, downloads: Option<Arc<dyn Fetch>>) -> Result<Checked> {
    let sources = |paths: &[PathBuf]| paths.iter().map(|path| Source::read(path)).collect::<Result<Vec<_>>>();
    let root = trust.root_ca.as_deref().map_or_else(system_root, Source::read)?;
    let root_ca = root.name.clone();
    let trust = Trust { certificates: sources(&trust.certificates)?, crls: sources(&trust.crls)?, root };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let now = i64::try_from(now).unwrap_or(i64::MAX);
    // What is outdated is an error only where something is built, which is not known yet.
    let verifier = Verifier::with_fetch(&trust, now, Outdated::Report, downloads)?;
    Ok(Checked { verifier, root_ca })
}

fn read(path: &Path, chain: Option<&Checked>) -> Result<Host> {
    let document = HostKeyDocument::read(path)?;
    let mut info =
        HostKeyInfo { file: document.name.clone(), hash: encode_hex(&document.key.hash()), ..HostKeyInfo::default() };
    let mut outdated = Vec::new();
    if let Some(chain) = chain {
        let verified = chain.verifier.verify(&document)?;
        info.serial = Some(verified.serial);
        info.not_after = Some(iso8601(verified.not_after));
        info.crl_next_update = Some(iso8601(verified.crl_next_update));
        outdated = verified.outdated;
    }
    Ok(Host { key: document.key, info: Arc::new(info), outdated })
}
