//! What users get.

use fault::Fault;
use pv_request::attest::{Check as Found, Status, StoreReport, Verdict};
use pv_wire::{encode_hex, iso8601};
use serde::{Serialize, Serializer};
use serde_json::Value;

/// Results of `attest_verify`.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "docs", derive(schemars::JsonSchema))]
pub struct Report {
    /// One entry for each answer, in their order; also for a single one.
    pub responses: Vec<Entry>,
}

/// The verdict on one guest.
#[derive(Clone, Debug, Default, Serialize)]
#[cfg_attr(feature = "docs", derive(schemars::JsonSchema))]
pub struct Entry {
    /// As given.
    pub label: Option<String>,
    /// V(affirming): the measurement is good and everything that was expected is so. V(contraindicated): the answer is to this
    /// request and new, but shows something else. V(none): nothing is known, for there is no answer to this request, it is too
    /// old, or it could not be judged.
    pub verdict: &'static str,
    /// What was looked at, in a fixed order. All checks are made, none stops the others.
    #[serde(serialize_with = "each_as_told")]
    #[cfg_attr(feature = "docs", schemars(with = "Vec<Check<'static>>"))]
    pub checks: Vec<Found>,
    /// Why there is no verdict: C(code), C(detail), C(hint). Null if the answer could be judged.
    pub error: Option<Value>,
    /// What to know of this guest although nothing is wrong; the task's warnings have it too. Each ends with its code in brackets.
    pub warnings: Vec<String>,
    /// Configuration unique id of this start of the guest, C(0x) and 32 hex digits. Null unless the measurement is good, as all
    /// that follows.
    pub cuid: Option<String>,
    /// The secret store, if it was asked for and is expected.
    pub secret_store: Option<SecretStore>,
    /// Hashes of the host keys.
    pub host_keys: Option<HostKeys>,
    /// What the guest says about itself: its word, bound to the answer.
    pub claims: Option<Value>,
    /// SHA-256 over all that the answer was compared with, hex: two guests with the same one were judged by the same values.
    pub policy_sha256: Option<String>,
    /// When the request was made, UTC.
    pub created: Option<String>,
    /// Until when an affirming verdict holds, UTC; null for any other.
    pub valid_until: Option<String>,
}

/// One thing that was looked at.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "docs", derive(schemars::JsonSchema))]
struct Check<'a> {
    /// A stable name.
    name: &'static str,
    /// Whether it is as expected; null where it was not compared, or agrees without being proved.
    ok: Option<bool>,
    /// The code of what is wrong.
    code: Option<&'static str>,
    /// A sentence about what was found.
    detail: &'a str,
    /// What to do about it; null where nothing is wrong.
    hint: Option<&'a str>,
}

/// What was found of a secret store.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "docs", derive(schemars::JsonSchema))]
pub struct SecretStore {
    /// SHA-512 over what was added since boot and the lock, hex.
    pub hash: String,
    /// What it should be.
    pub expected: String,
    /// Whether the store is locked; null if the hash does not show it.
    pub locked: Option<bool>,
    /// What happened instead, if the hashes differ.
    pub explanation: Option<String>,
}

/// Hashes of the host keys that were used.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "docs", derive(schemars::JsonSchema))]
pub struct HostKeys {
    /// Of that which opened the image, hex.
    pub image: Option<String>,
    /// Of that which opened the request: the machine that answered.
    pub attestation: Option<String>,
}

impl Entry {
    /// Of an answer of which nothing is known yet.
    pub fn new(label: Option<String>) -> Self {
        Self { label, verdict: Status::None.as_str(), ..Self::default() }
    }

    /// Enters what was found.
    pub fn judge(&mut self, verdict: Verdict, policy_sha256: &[u8; 32], created: i64) {
        let hex = |hash: Option<[u8; 32]>| hash.map(|hash| encode_hex(&hash));
        self.verdict = verdict.status().as_str();
        self.secret_store = verdict.store.as_ref().map(SecretStore::new);
        self.policy_sha256 = Some(encode_hex(policy_sha256));
        self.created = Some(iso8601(created));
        self.valid_until = verdict.valid_until().map(iso8601);
        if let Some(proved) = &verdict.proved {
            self.cuid = Some(format!("0x{}", encode_hex(&proved.cuid)));
            let (image, attestation) = (proved.additional.image_host_key, proved.additional.attestation_host_key);
            self.host_keys = Some(HostKeys { image: hex(image), attestation: hex(attestation) });
            let document = proved.claims.as_ref().map(|claims| claims.to_json());
            self.claims = document.and_then(|text| serde_json::from_str(&text).ok());
        }
        self.checks = verdict.checks;
    }

    /// Enters why nothing is known.
    pub fn fail(&mut self, fault: &Fault) {
        self.verdict = Status::None.as_str();
        self.valid_until = None;
        self.error = Some(ansible_contract::fault_json(fault));
    }
}

/// Turned into what is told one by one: there may be hundreds of thousands.
fn each_as_told<S: Serializer>(checks: &[Found], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(checks.iter().map(|found| Check {
        name: found.name,
        ok: found.ok,
        code: found.code().map(|code| code.name),
        detail: &found.detail,
        hint: found.hint(),
    }))
}

impl SecretStore {
    fn new(store: &StoreReport) -> Self {
        let (hash, expected) = (encode_hex(&store.hash), encode_hex(&store.expected));
        Self { hash, expected, locked: store.locked, explanation: store.explanation.clone() }
    }
}
