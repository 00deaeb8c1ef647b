//! What an answer is judged by: the content of all files that the options name.

use crate::bytes::Bytes;
use crate::codes;
use crate::firmware::Clients;
use crate::known_by::SshHost;
use crate::pin::Pin;
use crate::secrets::Added;
use crate::user_data;
use crate::wanted::{CuidSource, Wanted};
use fault::{Fault, Result};
use pv_request::attest::{
    self, EarKey, Evidence, Expected, ExpectedClaims, ExpectedRequest, ExpectedStore, ProtectionKey, Sent,
    SshKnownHosts, Verdict,
};
use pv_request::{FirmwareClient, Source};
use pv_wire::RequestView;
use pv_wire::attestation::{Claims, ExchangeRequest};
use sha2::{Digest as _, Sha256};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use trusted::{AskedHostKeys, KnownImages, ReadHosts, private_file};

/// Tag and SHA-256 of an add-secret request.
type Sums = ([u8; 16], [u8; 32]);

/// No attestation request is longer.
const MOST_USED: u64 = 4 << 20;

/// The files of a task that many answers are compared with, each read once.
#[derive(Debug, Default)]
pub struct Known {
    hosts: ReadHosts,
    images: KnownImages,
    requests: HashMap<PathBuf, Result<Sums>>,
    signing_keys: HashMap<PathBuf, Result<Arc<EarKey>>>,
    /// The last content and files of which it was read: a task has one of both, as a rule.
    ssh: Option<(String, Vec<PathBuf>, SshKnownHosts)>,
    firmware: Clients,
}

/// A file that an answer uses up, and what was read of it: what another run has put in its place since is not this one's.
#[derive(Clone, Debug)]
pub struct Used {
    /// The file.
    pub path: PathBuf,
    /// SHA-256 of what it held.
    sha256: [u8; 32],
    is_key: bool,
}

impl Used {
    /// A file that held this; a key is read with all that files of secrets must have.
    pub fn of(path: &Path, bytes: &[u8], is_key: bool) -> Self {
        Self { path: path.to_owned(), sha256: Sha256::digest(bytes).into(), is_key }
    }

    /// Whether the file holds that still.
    ///
    /// # Errors
    /// The `file.*` codes.
    pub fn is_there(&self) -> Result<bool> {
        let now = if self.is_key {
            private_file::read_dated(&self.path)?.map(|(bytes, _)| Sha256::digest(&bytes))
        } else {
            match durable::read(&self.path, MOST_USED, codes::RESULT_NOT_OURS) {
                // Something else is there by now.
                Err(fault) if fault.code == codes::RESULT_NOT_OURS => None,
                found => found?.map(|found| Sha256::digest(found.bytes)),
            }
        };
        Ok(now.is_some_and(|now| *now == self.sha256))
    }
}

/// Everything that was read of one answer.
#[derive(Debug)]
pub struct Material {
    /// The answer.
    response: Vec<u8>,
    /// What the guest says about itself.
    claims: Option<String>,
    /// The request, as its file has it.
    request: Vec<u8>,
    /// Its key.
    key: ProtectionKey,
    /// When it was made, in seconds since 1970.
    pub created: i64,
    /// What it is compared with.
    pub expected: Expected,
    /// Who asks the firmware's service, if it is to be asked.
    firmware: Option<Arc<FirmwareClient>>,
    /// What was pinned, and whether that was at an earlier start of the guest.
    pub pinned: Option<(Pin, bool)>,
    /// What signs its attestation result, if there is to be one.
    pub signing_key: Option<Arc<EarKey>>,
    /// What the operator should know.
    pub warnings: Vec<Fault>,
}

impl Material {
    /// Reads it all. With it come the request's key and then the request, if that is in a file.
    ///
    /// # Errors
    /// The `file.*`, `image.*` and `hkd.*` codes, and those of single files.
    pub fn gather(wanted: &Wanted, known: &mut Known) -> Result<(Self, Vec<Used>)> {
        let mut warnings: Vec<Fault> = private_file::folder(&wanted.key_file)?.into_iter().collect();
        let (key, created, used) = key(&wanted.key_file)?;
        let mut expected = Expected {
            image: wanted.image.as_deref().map(|path| known.images.get(path)).transpose()?,
            store: wanted.secrets.as_deref().map(|all| store(all, wanted.locked, known)).transpose()?,
            image_host_keys: allowed(wanted.image_host_keys.as_ref(), known, &mut warnings)?,
            attestation_host_keys: allowed(wanted.attestation_host_keys.as_ref(), known, &mut warnings)?,
            user_data: wanted.user_data.as_ref().map(user_data::read).transpose()?,
            claims: ExpectedClaims {
                added_requests: wanted.require_added_requests,
                ssh_host_keys: wanted.ssh_host_keys.clone(),
                boot_id: wanted.boot_id.clone(),
                ..ExpectedClaims::default()
            },
            cuid: None,
            firmware: wanted.firmware.as_ref().map(|asked| asked.service.clone()),
            max_age: wanted.max_age,
            valid_for: wanted.valid_for,
        };
        if let Some(host) = &wanted.ssh_host {
            expected.claims.know(known.ssh(host)?.host(&host.name, host.port));
        }
        let said = wanted.claims.as_deref().filter(|_| !wanted.ordered).and_then(|text| Claims::parse(text).ok());
        if let (Some(store), Some(claims)) = (&mut expected.store, said) {
            store.in_the_order_of(&claims);
        }
        let mut pinned = None;
        match &wanted.cuid {
            CuidSource::None => {}
            CuidSource::Given(cuid) => expected.cuid = Some(*cuid),
            CuidSource::Pinned { path, trust_boot_id } => {
                pinned = Pin::read(path)?.map(|pin| {
                    let earlier = pin.is_of_an_earlier_start(wanted.claims.as_deref(), &expected, *trust_boot_id);
                    (pin, earlier)
                });
                expected.cuid = pinned.as_ref().filter(|(_, earlier)| !earlier).map(|(pin, _)| pin.cuid);
            }
        }
        let response = read(&wanted.response)?;
        let request = read(&wanted.request)?;
        let file = |path: &Path| Used::of(path, &request, false);
        let used = [used].into_iter().chain(wanted.request.file().map(file)).collect();
        let material = Self {
            response,
            claims: wanted.claims.clone(),
            request,
            key,
            created,
            firmware: wanted.firmware.as_ref().map(|asked| known.firmware.get(asked)).transpose()?,
            signing_key: wanted.signing_key.as_deref().map(|key| signing_key(key, known, &mut warnings)).transpose()?,
            expected,
            pinned,
            warnings,
        };
        Ok((material, used))
    }

    /// SHA-256 of the request.
    ///
    /// # Errors
    /// Those of reading the request.
    pub fn request_sha256(&self) -> Result<[u8; 32]> {
        Ok(ExchangeRequest::parse(&self.request)?.attestation_request()?.sha256())
    }

    /// Judges the answer; where all else is as expected, by the word of the firmware's service, too.
    ///
    /// # Errors
    /// Those of reading the request: it is our own file.
    pub fn verdict(&self, now: i64) -> Result<Verdict> {
        let request = ExchangeRequest::parse(&self.request)?.attestation_request()?;
        let evidence = Evidence { response: &self.response, claims: self.claims.as_deref(), firmware: None };
        let sent = Sent { request, key: &self.key, created: self.created };
        let verdict = attest::verify(&evidence, &sent, &self.expected, now);
        let question = verdict.firmware_question().zip(self.expected.firmware.as_ref());
        let Some(((state, service), client)) = question.zip(self.firmware.as_deref()) else { return Ok(verdict) };
        let answer = client.ask(service, state);
        Ok(attest::verify(&Evidence { firmware: Some(&answer), ..evidence }, &sent, &self.expected, now))
    }
}

impl Known {
    /// What SSH clients know, as the files of a guest have it.
    fn ssh(&mut self, host: &SshHost) -> Result<&SshKnownHosts> {
        let SshHost { content, files, .. } = host;
        let known = match self.ssh.take() {
            Some(known) if known.0 == *content && known.1 == *files => known,
            _ => {
                let mut text = content.clone().into_bytes();
                for file in files {
                    text.push(b'\n');
                    match Source::read(file) {
                        Ok(source) => text.extend(source.bytes),
                        Err(fault) if fault.code == fault::file::MISSING => {}
                        Err(fault) => return Err(fault),
                    }
                }
                (content.clone(), files.clone(), SshKnownHosts::parse(&text))
            }
        };
        Ok(&self.ssh.insert(known).2)
    }
}

fn signing_key(path: &Path, known: &mut Known, warnings: &mut Vec<Fault>) -> Result<Arc<EarKey>> {
    if let Some(key) = known.signing_keys.get(path) {
        return key.clone();
    }
    let read = private_file::required(path, warnings);
    let key = read.and_then(|bytes| EarKey::new(&bytes, &path.display().to_string())).map(Arc::new);
    known.signing_keys.insert(path.to_owned(), key.clone());
    key
}

fn read(bytes: &Bytes) -> Result<Vec<u8>> {
    match bytes {
        Bytes::Given(bytes) => Ok(bytes.clone()),
        Bytes::File(path) => Source::read(path).map(|source| source.bytes),
    }
}

/// The key, when it was written (right after the request), and what was read.
fn key(path: &Path) -> Result<(ProtectionKey, i64, Used)> {
    let name = path.display();
    let (bytes, written) = private_file::read_dated(path)?.ok_or_else(|| {
        Fault::new(fault::file::MISSING, format!("The request's key {name} does not exist: was it used already?"))
            .hint("A key is removed once an answer was verified with it. Make a new request with attest_request.")
    })?;
    let used = Used::of(path, &bytes, true);
    Ok((ProtectionKey::new(&bytes, &name.to_string())?, written, used))
}

fn store(secrets: &[Added], locked: bool, known: &mut Known) -> Result<ExpectedStore> {
    let request = |secret: &Added| {
        let (label, tag, sha256) = match secret {
            Added::Known(label, tag, sha256) => (label, *tag, *sha256),
            Added::File(label, path) => {
                let sums = known.requests.entry(path.clone()).or_insert_with(|| sums(path)).clone()?;
                (label, sums.0, Some(sums.1))
            }
        };
        Ok(ExpectedRequest { label: label.clone(), tag, sha256 })
    };
    Ok(ExpectedStore { requests: secrets.iter().map(request).collect::<Result<_>>()?, locked })
}

fn sums(path: &Path) -> Result<Sums> {
    let source = Source::read(path)?;
    let view = RequestView::parse(&source.bytes).map_err(|mut fault| {
        fault.detail = format!("{}: {}", source.name, fault.detail);
        fault
    })?;
    // `parse` has seen that there is one.
    Ok((view.tag().try_into().unwrap_or_default(), Sha256::digest(&source.bytes).into()))
}

/// The hashes of the host keys in documents.
fn allowed(
    asked: Option<&AskedHostKeys>,
    known: &mut Known,
    warnings: &mut Vec<Fault>,
) -> Result<Option<Vec<[u8; 32]>>> {
    let Some(asked) = asked else { return Ok(None) };
    if asked.trust.is_none() {
        let detail = "The host key documents were not verified: whoever made them says which machines are allowed.";
        let unverified = Fault::new(trusted::codes::UNVERIFIED, detail);
        warnings.push(unverified.hint("Set verify_host_keys: true and name certificates and crls."));
    }
    let hosts = known.hosts.get(asked)?;
    // A document that is only too old names the right machine all the same.
    warnings.extend(hosts.outdated.iter().cloned());
    Ok(Some(hosts.keys.iter().map(|host| host.key.hash()).collect()))
}
