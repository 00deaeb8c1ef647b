//! What was measured, as `pvattest verify` writes it: a file that `pvsecret create --cuid` reads.

use super::{Proved, codes};
use fault::{Fault, Result};
use pv_wire::encode_hex;
use serde::Serialize;

/// Keys in the order in which pvattest writes them.
#[derive(Serialize)]
struct Text {
    cuid: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    add: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    add_fields: Option<Fields>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_data: Option<String>,
}

#[derive(Serialize)]
struct Fields {
    #[serde(skip_serializing_if = "Option::is_none")]
    image_phkh: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    attestation_phkh: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    secret_store_hash: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    firmware_state: Option<String>,
}

impl Proved {
    /// The YAML that `pvattest verify` writes for the same answer.
    ///
    /// # Errors
    /// [`codes::RESULT`]; none that is known, for all of it is hex.
    pub fn to_pvattest_yaml(&self) -> Result<String> {
        let hex = |bytes: &[u8]| format!("0x{}", encode_hex(bytes));
        let data = &self.additional;
        let text = Text {
            cuid: hex(&self.cuid),
            add: (!self.additional_bytes.is_empty()).then(|| hex(&self.additional_bytes)),
            add_fields: (!self.additional_bytes.is_empty()).then(|| Fields {
                image_phkh: data.image_host_key.map(|hash| hex(&hash)),
                attestation_phkh: data.attestation_host_key.map(|hash| hex(&hash)),
                secret_store_hash: data.secret_store.map(|hash| hex(&hash)),
                firmware_state: data.firmware_state.as_ref().map(|state| hex(state.as_slice())),
            }),
            user_data: (!self.user_data.is_empty()).then(|| hex(&self.user_data)),
        };
        serde_yaml::to_string(&text)
            .map_err(|e| Fault::new(codes::RESULT, format!("What was measured could not be written as YAML: {e}.")))
    }
}
