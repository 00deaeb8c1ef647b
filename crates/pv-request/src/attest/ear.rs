//! A verdict for others: an EAT Attestation Result (draft-ietf-rats-ear-04) as a signed JSON Web Token (RFC 7515, 7519).
//!
//! The evidence itself is authenticated by a key that only verifier and ultravisor know, so nobody else can check it again.
//! What an auditor gets is the verifier's signature, the hash of what it compared with, and the end of the verdict.

use super::{Check, Expected, Status, Verdict, codes};
use crate::secret::private_key;
use fault::{Fault, Result};
use openssl::{
    base64::encode_block,
    ec::EcKey,
    ecdsa::EcdsaSig,
    error::ErrorStack,
    hash::{MessageDigest, hash},
    nid::Nid,
    pkey::Private,
};
use serde_json::{Map, Value, json};
use std::fmt;

/// Names what the claims mean. Its last part is a version, for the draft may change.
const PROFILE: &str = "tag:galaxy.ansible.com,2026:seguest/pv/ear/1";
const DEVELOPER: &str = "seguest.pv";

/// The verifier's key: on P-256 (ES256) or P-384 (ES384).
pub struct EarKey {
    key: EcKey<Private>,
    algorithm: &'static str,
    digest: MessageDigest,
    /// Length of each half of a signature, in bytes.
    half: i32,
}

impl EarKey {
    /// The key from the bytes of its file, DER or PEM, not encrypted; `name` is what messages call the file.
    ///
    /// # Errors
    /// [`codes::SIGNING_KEY`].
    pub fn new(bytes: &[u8], name: &str) -> Result<Self> {
        let unusable = |what: &str| {
            Fault::new(codes::SIGNING_KEY, format!("{name} {what}."))
                .hint("Name a private EC key on P-384 or P-256, such as openssl genpkey makes.")
        };
        let key = private_key(bytes).ok_or_else(|| unusable("holds no private key that can be read"))?;
        let key = key.ec_key().map_err(|_| unusable("holds a private key that is not on an elliptic curve"))?;
        match key.group().curve_name() {
            Some(Nid::X9_62_PRIME256V1) => {
                Ok(Self { key, algorithm: "ES256", digest: MessageDigest::sha256(), half: 32 })
            }
            Some(Nid::SECP384R1) => Ok(Self { key, algorithm: "ES384", digest: MessageDigest::sha384(), half: 48 }),
            _ => Err(unusable("holds a key on another curve than P-256 and P-384")),
        }
    }

    /// Both halves of the signature, r and s, each padded to its full length (RFC 7518, 3.4).
    fn sign(&self, message: &[u8]) -> std::result::Result<Vec<u8>, ErrorStack> {
        let signature = EcdsaSig::sign(&hash(self.digest, message)?, &self.key)?;
        Ok([signature.r().to_vec_padded(self.half)?, signature.s().to_vec_padded(self.half)?].concat())
    }
}

/// Never the key.
impl fmt::Debug for EarKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EarKey").field("algorithm", &self.algorithm).finish_non_exhaustive()
    }
}

/// What an attestation result is about.
#[derive(Clone, Copy, Debug)]
pub struct Ear<'a> {
    /// What relying parties call the guest.
    pub guest: &'a str,
    /// What was found.
    pub verdict: &'a Verdict,
    /// What it was compared with.
    pub expected: &'a Expected,
    /// SHA-256 of the request that the guest answered: the nonce of the result.
    pub request_sha256: [u8; 32],
    /// The response, where it is to be kept with the result.
    pub raw_evidence: Option<&'a [u8]>,
    /// When the verdict was made, in seconds since 1970.
    pub issued: i64,
}

impl Ear<'_> {
    /// The claims of the token.
    pub fn claims(&self) -> Value {
        let policy = format!("ni:///sha-256;{}", base64url(&self.expected.policy_sha256()));
        let mut appraisal = Map::new();
        appraisal.insert("ear.status".into(), self.verdict.status().as_str().into());
        let vector = vector(self.verdict);
        if !vector.is_empty() {
            appraisal.insert("ear.trustworthiness-vector".into(), Value::Object(vector));
        }
        appraisal.insert("ear.appraisal-policy-id".into(), policy.into());
        appraisal.insert("ear.veraison.annotated-evidence".into(), self.evidence());

        let mut claims = Map::new();
        claims.insert("eat_profile".into(), PROFILE.into());
        claims.insert("iat".into(), self.issued.into());
        if let Some(end) = self.verdict.valid_until() {
            claims.insert("exp".into(), end.into());
        }
        let build = format!("{DEVELOPER} {}", env!("CARGO_PKG_VERSION"));
        claims.insert("ear.verifier-id".into(), json!({ "build": build, "developer": DEVELOPER }));
        claims.insert("eat_nonce".into(), base64url(&self.request_sha256).into());
        if let Some(response) = self.raw_evidence {
            claims.insert("ear.raw-evidence".into(), base64url(response).into());
        }
        claims.insert("submods".into(), json!({ self.guest: appraisal }));
        Value::Object(claims)
    }

    /// The token: header, claims and signature in base64url, with dots between them.
    ///
    /// # Errors
    /// [`crate::codes::CRYPTO`].
    pub fn sign(&self, key: &EarKey) -> Result<String> {
        let header = json!({ "alg": key.algorithm, "typ": "JWT" }).to_string();
        let message = format!("{}.{}", base64url(header.as_bytes()), base64url(self.claims().to_string().as_bytes()));
        let signature = key.sign(message.as_bytes()).map_err(crate::crypto::refused("sign the attestation result"))?;
        Ok(format!("{message}.{}", base64url(&signature)))
    }

    /// The checks and what was measured, as results give them.
    fn evidence(&self) -> Value {
        let hex = |bytes: &[u8]| format!("0x{}", pv_wire::encode_hex(bytes));
        let check = |check: &Check| {
            let code = check.code().map(|code| code.name);
            json!({ "name": check.name, "ok": check.ok, "code": code, "detail": check.detail })
        };
        let proved = self.verdict.proved.as_ref();
        let store = self.verdict.store.as_ref().map(|store| {
            json!({
                "expected": hex(&store.expected),
                "explanation": store.explanation,
                "hash": hex(&store.hash),
                "locked": store.locked,
            })
        });
        json!({
            "checks": self.verdict.checks.iter().map(check).collect::<Vec<_>>(),
            "cuid": proved.map(|proved| hex(&proved.cuid)),
            "secret_store": store,
        })
    }
}

/// Values of draft-ietf-rats-ar4si: what they affirm or contradict.
mod value {
    /// Affirming; of each kind of claim the best one that can be said here.
    pub(super) const GOOD: i8 = 2;
    /// Only recognized executables were loaded during boot. What came after is not measured.
    pub(super) const APPROVED_BOOT: i8 = 3;
    pub(super) const CONTRAINDICATED: i8 = 96;
    /// Not recognized, though it should be.
    pub(super) const UNRECOGNIZED: i8 = 97;
    /// Cryptographic validation of the evidence has failed.
    pub(super) const NOT_VALIDATED: i8 = 99;
}

/// The trustworthiness vector: nothing where nothing is known. What is not in it is not said.
fn vector(verdict: &Verdict) -> Map<String, Value> {
    if verdict.status() == Status::None {
        return Map::new();
    }
    if verdict.proved.is_none() {
        return Map::from_iter([("executables".into(), value::NOT_VALIDATED.into())]);
    }
    let mut vector = Map::from_iter([
        ("executables".into(), value::APPROVED_BOOT.into()),
        // Memory of a guest in Secure Execution is closed to its host.
        ("runtime-opaque".into(), value::GOOD.into()),
    ]);
    let claim = |name: &str| match name {
        "image_host_key" | "attestation_host_key" | "firmware" => ("hardware", value::UNRECOGNIZED),
        "ssh_host_keys" | "boot_id" | "cuid" | "cuid_shared" | "cuid_pinned" => {
            ("instance-identity", value::UNRECOGNIZED)
        }
        "added_requests" | "user_data" | "claims" => ("sourced-data", value::CONTRAINDICATED),
        _ => ("configuration", value::CONTRAINDICATED),
    };
    let affirms =
        ["image_host_key", "attestation_host_key", "firmware", "ssh_host_keys", "boot_id", "cuid", "secret_store"];
    for check in &verdict.checks {
        let (name, bad) = claim(check.name);
        match check.ok {
            Some(false) => drop(vector.insert(name.into(), bad.into())),
            // Others show nothing that a value of this vector means: that lengths fit, or where data came from.
            Some(true) if affirms.contains(&check.name) => drop(vector.entry(name).or_insert(value::GOOD.into())),
            _ => {}
        }
    }
    vector
}

/// RFC 4648, section 5, without padding.
fn base64url(bytes: &[u8]) -> String {
    encode_block(bytes).trim_end_matches('=').replace('+', "-").replace('/', "_")
}
