//! Stores for tests.

use pv_guest::uv::{Secret, SecretList};
use pv_wire::{SecretId, SecretType};

/// Association secrets whose ids are these bytes, in order.
pub fn store(ids: &[u8]) -> SecretList {
    let secret = |(index, id): (u16, &u8)| Secret {
        index,
        secret_type: SecretType::ASSOCIATION,
        length: 32,
        id: SecretId([*id; 32]),
    };
    SecretList { total: ids.len() as u16, secrets: (0..).zip(ids).map(secret).collect() }
}
