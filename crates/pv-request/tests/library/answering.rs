//! A guest that answers an attestation request, with a measurement computed by IBM's library.

use openssl::{
    ec::{EcGroup, EcKey},
    nid::Nid,
    pkey::{PKey, Private, Public},
};
use pv_request::{
    HostKey, ImageTags,
    attest::{
        Challenge, ChallengeKeys, Evidence, Expected, ExpectedRequest, ExpectedStore, FirmwareAnswer, Sent, Verdict,
        store_hash, verify,
    },
};
use pv_wire::attestation::{AttestationRequest, Claims, ExchangeResponse, Item, Items};
use s390_pv::{
    attest::{AttestationItems, AttestationMeasAlg, AttestationMeasurement, AttestationRequest as Theirs},
    request::{BootHdrTags, SymKey},
};

/// When the request is made.
pub const CREATED: i64 = 1_800_000_000;

pub fn new_key() -> PKey<Private> {
    PKey::from_ec_key(EcKey::generate(&EcGroup::from_curve_name(Nid::SECP521R1).unwrap()).unwrap()).unwrap()
}

pub fn public(key: &PKey<Private>) -> PKey<Public> {
    PKey::public_key_from_der(&key.public_key_to_der().unwrap()).unwrap()
}

pub fn host_key(key: &PKey<Private>) -> HostKey {
    HostKey::new(public(key), "host").unwrap()
}

/// The measurement that an ultravisor with the host key would make, by IBM's library.
pub fn measurement(request: &[u8], key: &[u8], image: &ImageTags, response: &ExchangeResponse<'_>) -> Vec<u8> {
    let key = SymKey::Aes256(<[u8; 32]>::try_from(key).unwrap().into());
    let (_, confidential) = Theirs::decrypt_bin(request, &key).unwrap();
    let items = AttestationItems::new(
        &BootHdrTags::try_from(image.0.to_vec()).unwrap(),
        &response.cuid,
        Some(response.user_data),
        confidential.nonce().as_ref().map(|nonce| nonce.value()),
        Some(response.additional),
    );
    let key = PKey::hmac(confidential.measurement_key()).unwrap();
    AttestationMeasurement::calculate(items, AttestationMeasAlg::HmacSha512, &key).unwrap().as_ref().to_vec()
}

/// What a guest is, and what it was asked.
pub struct Guest {
    pub image: ImageTags,
    pub host: HostKey,
    pub challenge: Challenge,
    pub cuid: [u8; 16],
    pub tags: Vec<[u8; 16]>,
    pub locked: bool,
    pub claims: Option<Claims>,
    pub user_data: Vec<u8>,
}

impl Guest {
    /// A locked guest with two requests in its store, asked for `items`.
    pub fn asked_for(items: &[Item]) -> Self {
        let host = host_key(&new_key());
        let items: Items = items.iter().copied().collect();
        let challenge = Challenge::build(items, [&host], ChallengeKeys::generate().unwrap()).unwrap();
        let claims = Claims::default()
            .with_added_requests(vec![[0xa0; 32], [0xa1; 32]])
            .and_then(|claims| claims.with_boot_id("0d3a1f6e-2b4c-4d5e-8f90-123456789abc"))
            .and_then(|claims| claims.with_ssh_host_keys(vec!["ssh-ed25519 AAAA".parse()?, "ssh-rsa AAAB".parse()?]))
            .unwrap();
        let user_data = claims.user_data().to_vec();
        Self {
            image: ImageTags([0x33; 208]),
            host,
            challenge,
            cuid: [0x42; 16],
            tags: vec![[1; 16], [2; 16]],
            locked: true,
            claims: Some(claims),
            user_data,
        }
    }

    pub fn asked() -> Self {
        Self::asked_for(&Item::ALL)
    }

    pub fn additional(&self) -> Vec<u8> {
        let items = AttestationRequest::parse(&self.challenge.request).unwrap().items();
        items
            .iter()
            .flat_map(|item| match item {
                Item::ImageHostKey | Item::AttestationHostKey => self.host.hash().to_vec(),
                Item::SecretStore => store_hash(&self.tags, self.locked).to_vec(),
                Item::FirmwareState => vec![0x5a; 320],
            })
            .collect()
    }

    /// The answer, with these additional data, whatever was asked for.
    pub fn answer_with(&self, additional: &[u8]) -> Vec<u8> {
        let request = self.challenge.request.as_slice();
        let response =
            ExchangeResponse { request, measurement: &[], additional, user_data: &self.user_data, cuid: self.cuid };
        let measurement = measurement(request, self.challenge.key.as_bytes(), &self.image, &response);
        ExchangeResponse { measurement: &measurement, ..response }.write().unwrap()
    }

    pub fn answer(&self) -> Vec<u8> {
        self.answer_with(&self.additional())
    }

    /// What an owner of this guest expects of it.
    pub fn expected(&self) -> Expected {
        let requests = (0..2_u8).map(|n| ExpectedRequest {
            label: format!("request {n}"),
            tag: [n + 1; 16],
            sha256: Some([0xa0 + n; 32]),
        });
        let mut expected = Expected {
            image: Some(self.image),
            store: Some(ExpectedStore { requests: requests.collect(), locked: true }),
            image_host_keys: Some(vec![[7; 32], self.host.hash()]),
            attestation_host_keys: Some(vec![self.host.hash()]),
            cuid: Some([0x42; 16]),
            ..Expected::default()
        };
        expected.claims.added_requests = true;
        expected.claims.ssh_host_keys = Some(vec!["ssh-ed25519 AAAA".parse().unwrap()]);
        expected.claims.boot_id = Some("0d3a1f6e-2b4c-4d5e-8f90-123456789abc".into());
        expected
    }

    /// The verdict over `response`, ten seconds after asking.
    pub fn verdict(&self, response: &[u8], expected: &Expected) -> Verdict {
        self.verdict_at(response, expected, CREATED + 10)
    }

    pub fn verdict_at(&self, response: &[u8], expected: &Expected, now: i64) -> Verdict {
        self.judge(response, None, expected, now)
    }

    /// The same with what a service said about the firmware.
    pub fn verdict_with(&self, response: &[u8], firmware: Option<&FirmwareAnswer>, expected: &Expected) -> Verdict {
        self.judge(response, firmware, expected, CREATED + 10)
    }

    fn judge(&self, response: &[u8], firmware: Option<&FirmwareAnswer>, expected: &Expected, now: i64) -> Verdict {
        let sent = Sent {
            request: AttestationRequest::parse(&self.challenge.request).unwrap(),
            key: &self.challenge.key,
            created: CREATED,
        };
        let claims = self.claims.as_ref().map(|claims| claims.to_json());
        verify(&Evidence { response, claims: claims.as_deref(), firmware }, &sent, expected, now)
    }
}

/// Names of the checks with this outcome.
pub fn names(verdict: &Verdict, ok: Option<bool>) -> Vec<&'static str> {
    verdict.checks.iter().filter(|check| check.ok == ok).map(|check| check.name).collect()
}
