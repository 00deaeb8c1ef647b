//! What users type.

use ansible_contract::PathText;
use guest_state::evidence::{Bind, Challenge};
use serde::{Deserialize, Serialize};

/// Options of `attest`.
#[derive(Debug, Default, Deserialize, Serialize)]
#[cfg_attr(feature = "docs", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct Options {
    /// The attestation request, a file on the guest as M(seguest.pv.attest_request) or C(pvattest create) writes it. One of
    /// O(path), O(content) and O(src) is required.
    pub path: Option<PathText>,
    /// The attestation request itself in base64, as M(seguest.pv.attest_request) returns it.
    #[serde(skip_serializing)]
    pub content: Option<String>,
    /// The attestation request, a file on the controller, searched for like that of M(ansible.builtin.copy). Only through
    /// the collection's action plugin.
    pub src: Option<String>,
    /// What the guest says of itself and has measured with it. V(ssh_host_keys): its public SSH host keys, the files
    /// C(/etc/ssh/*_key.pub). V(boot_id): the id of its boot. V(added_requests): SHA-256 of each add-secret request that
    /// this collection added in this boot, in their order. An empty list binds nothing. Not given: all of them.
    pub bind: Option<Vec<Bind>>,
    /// Up to 256 bytes in base64 that are measured instead of what O(bind) names.
    pub user_data: Option<String>,
    /// Whether it is no failure if this machine's ultravisor does not attest: a warning says so, and there is no response.
    pub optional: bool,
    /// Whether to answer in check mode, too. Attesting changes nothing.
    pub in_check_mode: bool,
    /// Check mode only: the request is not there yet. Set by the collection's action plugin where O(content) is null or
    /// O(src) does not exist.
    pub pending: bool,
}

impl From<Options> for Challenge {
    fn from(options: Options) -> Self {
        let Options { path, content, src, bind, user_data, optional, in_check_mode, pending } = options;
        Self { path, content, src, bind, user_data, optional, in_check_mode, pending }
    }
}
