//! What users type.

use ansible_contract::{HexText, PathText};
use pv_wire::attestation::Item;
use serde::{Deserialize, Serialize};
use trusted::Firmware;

trusted::layered_options! {
    /// Options of `attest_request`.
    struct Options {
        /// The request, a file as pvattest writes it. Required. A new request is made in each run: what is answered proves
        /// something about now only if it was asked now. A request that is there is replaced together with its key.
        path: PathText,
        /// The request's key, a file of mode 0600: 32 raw bytes, by which M(seguest.pv.attest_verify) verifies the answer. Who has it
        /// can forge any answer to this request. V(path) and C(.key) if not given.
        /// A file that is there is replaced only if it is the key of the request at O(path), so no other key or secret is ever
        /// lost. M(seguest.pv.attest_verify) removes it once the answer is verified.
        /// Its folder must not be writable for everybody, see O(seguest.pv.secret_request#module:secret_file).
        key_file: PathText,
        /// Host key documents, one for each machine that the guest may run on, each in a file of its own. Required.
        /// Only these machines can answer. A host key that two of them hold has one slot in the request, with a warning.
        host_keys: Vec<PathText>,
        /// As O(seguest.pv.secret_request#module:host_key_hashes).
        host_key_hashes: Vec<HexText<64, 64>>,
        /// As O(seguest.pv.secret_request#module:certificates).
        certificates: Vec<PathText>,
        /// As O(seguest.pv.secret_request#module:crls).
        crls: Vec<PathText>,
        /// As O(seguest.pv.secret_request#module:root_ca).
        root_ca: PathText,
        /// As O(seguest.pv.secret_request#module:download_crls).
        download_crls: bool = false,
        /// Whether to verify that the host key documents come from IBM and are not revoked. V(false) warns in every
        /// result: whoever made a document can then forge every answer.
        verify_host_keys: bool = true,
        /// What the ultravisor is to add to its answer. V(firmware_state) is for IBM's service, which alone can read it.
        #[cfg_attr(feature = "docs", schemars(extend("default" = ["image_host_key", "attestation_host_key", "secret_store"])))]
        add_data: Vec<AddData>,
        /// As it will be given to M(seguest.pv.attest_verify), see O(seguest.pv.attest_verify#module:firmware). Anything but V(none)
        /// adds V(firmware_state) to O(add_data).
        firmware: Firmware = Firmware::None,
        /// Whether to make the folders of O(path) and O(key_file), where they are missing: mode 0700.
        make_folders: bool = false,
        /// Echoed in the results, to distinguish requests.
        label: String,
        /// Whether the task succeeds although some of O(requests) could not be made or have invalid options: each of these has
        /// RV(requests[].failed) and RV(requests[].error). The others are made in any case.
        keep_going: bool = false,
    }
    /// Several requests, one for each guest. Each is a dictionary of the options of this module, which are laid over those of
    /// the task; lists replace. Certificates and revocation lists are read and verified once for all of them.
    list requests
}

/// What an ultravisor can add to its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "docs", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum AddData {
    /// Hash of the host key that opened the guest's image.
    ImageHostKey,
    /// Hash of the host key that opened the request.
    AttestationHostKey,
    /// Hash over what was added to the secret store since boot, and whether it is locked.
    SecretStore,
    /// State of the machine's firmware.
    FirmwareState,
}

impl AddData {
    /// What it is in a request.
    pub fn item(self) -> Item {
        match self {
            Self::ImageHostKey => Item::ImageHostKey,
            Self::AttestationHostKey => Item::AttestationHostKey,
            Self::SecretStore => Item::SecretStore,
            Self::FirmwareState => Item::FirmwareState,
        }
    }
}
