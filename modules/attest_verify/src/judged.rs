//! One answer: its files are read, then it is judged.

use crate::material::{Known, Material, Used};
use crate::options::Options;
use crate::other_pins::OtherPins;
use crate::pin::Pin;
use crate::wanted::{CuidSource, Wanted, label};
use ansible_contract::PathText;
use fault::Fault;
use pv_request::attest::codes::CUID_CHANGED;
use pv_request::attest::{Ear, EarKey, Expected, Status, Verdict};
use std::path::PathBuf;
use std::sync::Arc;

/// The files in which something is written of one answer, or from which it is removed.
#[derive(Debug, Default)]
pub struct Files {
    /// The pinned configuration unique id.
    pub pin: Option<PathBuf>,
    /// The attestation result.
    pub ear: Option<PathBuf>,
    /// What was measured.
    pub yaml: Option<PathBuf>,
    /// The request's key and then the request, if they are removed once they were used.
    pub used: Vec<Used>,
}

/// What is asked of one answer; or its label, and why that cannot be meant.
type Asked = Result<Options, (Option<String>, Fault)>;

/// An answer whose files were read, or why they could not be.
#[derive(Debug)]
pub struct Prepared {
    label: Option<String>,
    called: String,
    files: Files,
    now: i64,
    material: fault::Result<Material>,
}

impl Prepared {
    /// Reads its files, or notes why the options cannot be meant.
    pub fn new(options: Asked, known: &mut Known, now: i64) -> Self {
        let options = match options {
            Ok(options) => options,
            Err((label, fault)) => {
                let called = label.clone().unwrap_or_else(|| "a response".into());
                return Self { label, called, files: Files::default(), now, material: Err(fault) };
            }
        };
        let path = |file: &Option<PathText>| file.as_ref().map(|path| path.as_path().to_owned());
        // Also of an answer that cannot be judged: an earlier result must not outlive it.
        let mut files = Files { ear: path(&options.ear_file), yaml: path(&options.yaml_file), ..Files::default() };
        let material = Wanted::from_options(&options).and_then(|wanted| {
            if let CuidSource::Pinned { path, .. } = &wanted.cuid {
                files.pin = Some(path.clone());
            }
            let (material, used) = Material::gather(&wanted, known)?;
            files.used = if wanted.remove_key { used } else { Vec::new() };
            Ok(material)
        });
        Self { label: options.label.clone(), called: label(&options), files, now, material }
    }

    /// Judges it.
    ///
    /// # Errors
    /// Why it cannot be judged.
    pub fn judge(&self) -> fault::Result<Verdict> {
        self.material.as_ref().map_err(Clone::clone)?.verdict(self.now)
    }
}

/// What signs an attestation result, and what is in it beside the verdict.
#[derive(Debug)]
struct Signing {
    key: Arc<EarKey>,
    expected: Expected,
    request_sha256: [u8; 32],
    issued: i64,
}

/// An answer that was judged, or why it could not be.
#[derive(Debug)]
pub struct Judged {
    /// As given.
    pub label: Option<String>,
    /// What messages call it.
    pub called: String,
    /// What was found.
    pub verdict: fault::Result<Verdict>,
    /// When its request was made, in seconds since 1970.
    pub created: i64,
    /// SHA-256 of what it was compared with.
    pub policy_sha256: [u8; 32],
    /// What is written of it.
    pub files: Files,
    /// What is pinned already.
    pub pinned: Option<Pin>,
    /// Its guest was started again since then, by what it claims.
    started_again: bool,
    /// What the operator should know.
    pub warnings: Vec<Fault>,
    signing: Option<Box<Signing>>,
}

impl Judged {
    /// Enters what was found, and lets go of what was read.
    pub fn new(prepared: Prepared, verdict: fault::Result<Verdict>) -> Self {
        let Prepared { label, called, files, now, material } = prepared;
        let mut judged = Self {
            label,
            called,
            verdict,
            created: 0,
            policy_sha256: [0; 32],
            files,
            pinned: None,
            started_again: false,
            warnings: Vec::new(),
            signing: None,
        };
        if let Ok(material) = material {
            judged.created = material.created;
            judged.policy_sha256 = material.expected.policy_sha256();
            if let (Some(key), Ok(request_sha256)) = (&material.signing_key, material.request_sha256()) {
                let (key, expected) = (Arc::clone(key), material.expected);
                judged.signing = Some(Box::new(Signing { key, expected, request_sha256, issued: now }));
            }
            let (pinned, started_again) = material.pinned.unzip();
            judged.pinned = pinned;
            judged.advise();
            judged.started_again = started_again.unwrap_or(false);
            judged.warnings = material.warnings;
        }
        judged
    }

    /// Says of another configuration unique id than the pinned one what the operator can do about that.
    fn advise(&mut self) {
        let (Ok(verdict), Some(pin), Some(path)) = (&mut self.verdict, &self.pinned, &self.files.pin) else { return };
        let advice = pin.advice(path, verdict.proved.as_ref().and_then(|proved| proved.claims.as_ref()));
        let changed = verdict.checks.iter_mut().find(|check| check.code() == Some(CUID_CHANGED));
        changed.into_iter().for_each(|check| check.advise(advice.clone()));
    }

    /// Objects to a configuration unique id that is about to be pinned, but is pinned for another guest already.
    pub fn compare_pins(&mut self, pins: &mut OtherPins) {
        let proved = self.affirming().and_then(|verdict| verdict.proved.as_ref());
        let (Some(cuid), Some(path)) = (proved.map(|proved| proved.cuid), &self.files.pin) else { return };
        if self.pinned.as_ref().is_some_and(|pin| pin.cuid == cuid) {
            return;
        }
        if let (Some(objection), Ok(verdict)) = (pins.objection(path, &cuid), &mut self.verdict) {
            verdict.add(objection);
        }
    }

    /// Whether its guest was started again since something was pinned, and has another configuration unique id now.
    pub fn has_new_id(&self) -> bool {
        let proved = self.affirming().and_then(|verdict| verdict.proved.as_ref());
        self.started_again && proved.zip(self.pinned.as_ref()).is_some_and(|(proved, pin)| proved.cuid != pin.cuid)
    }

    /// Whether the guest has the SSH host keys by which it is known.
    pub fn is_known(&self) -> bool {
        let mut checks = self.verdict.iter().flat_map(|verdict| &verdict.checks);
        checks.any(|check| check.name == "ssh_host_keys" && check.ok == Some(true))
    }

    /// The verdict, if it is affirming.
    pub fn affirming(&self) -> Option<&Verdict> {
        self.verdict.as_ref().ok().filter(|verdict| verdict.status() == Status::Affirming)
    }

    /// The attestation result, signed; `None` if there is no verdict.
    ///
    /// # Errors
    /// `request.crypto`.
    pub fn ear(&self) -> fault::Result<Option<String>> {
        let (Ok(verdict), Some(signing)) = (&self.verdict, &self.signing) else { return Ok(None) };
        let Signing { key, expected, request_sha256, issued } = signing.as_ref();
        let (request_sha256, issued) = (*request_sha256, *issued);
        let ear = Ear { guest: &self.called, verdict, expected, request_sha256, raw_evidence: None, issued };
        ear.sign(key).map(Some)
    }
}
