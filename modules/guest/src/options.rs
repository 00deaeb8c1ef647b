//! What users type.

use ansible_contract::{HexText, NameText, PathText};
use guest_state::evidence::Challenge;
use guest_state::queues::Entry;
use pv_guest::ap::steps::WhenBusy;
use serde::{Deserialize, Serialize};

/// Options of `guest`.
#[derive(Debug, Deserialize, Serialize)]
#[cfg_attr(feature = "docs", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct Options {
    /// What the secret store must hold, added in this order.
    pub secrets: Vec<Secret>,
    /// Whether to lock the store once all of O(secrets) are in it. Nothing is locked if O(secrets) is empty.
    pub lock: bool,
    /// Whether to lock it only if nothing else is in it.
    pub lock_exact: bool,
    /// Whether to fail if only its id shows that a secret in the store is the right one.
    pub proved_only: bool,
    /// The wanted queues, one entry per queue; earlier entries are served first.
    pub queues: Option<Vec<Entry>>,
    /// A configuration file of pvapconfig on the guest, instead of O(queues).
    pub queues_config: Option<PathText>,
    /// A configuration file of pvapconfig on the controller, searched for like that of M(ansible.builtin.copy). Only
    /// through the collection's action plugin.
    pub queues_src: Option<String>,
    /// The text of a configuration file; set by the collection's action plugin from O(queues_src).
    pub config_content: Option<String>,
    /// As O(seguest.pv.ap_bind#module:exclusive).
    pub exclusive: bool,
    /// As O(seguest.pv.ap_bind#module:rebalance).
    pub rebalance: bool,
    /// As O(seguest.pv.ap_bind#module:strict).
    pub strict: bool,
    /// As O(seguest.pv.ap_bind#module:when_busy).
    pub when_busy: WhenBusy,
    /// How many seconds to wait for one step of one queue, for the AP bus to be complete, for another task that works
    /// on the store, and while the ultravisor is dumping the guest.
    pub timeout: u64,
    /// Whether the guest does the same at each boot, without a controller. This program, the requests and these
    /// options are kept on the guest, readable by root only, and run by the systemd unit C(seguest-pv.service).
    /// V(false) removes what was installed. If not given, it is left as it is.
    pub at_boot: Option<bool>,
    /// Units that start only afterwards, because they use the crypto queues.
    pub at_boot_before: Vec<NameText>,
    /// SHA-256 hashes of the host keys of the machines that the guest may run on. If given, the machine must be one
    /// of them, by what the guest's own kernel says; only attestation proves it. Write them in quotes.
    pub host_key_hashes: Vec<HexText<64, 64>>,
    /// Prefixes of variables, such as V(guest_), that set options which are not given here: C(guest_lock) sets
    /// O(lock). Of several, the first that is set counts. In the role P(seguest.pv.guest#role), the variable
    /// C(guest_variables_from) is used where this is not given. Done by the collection's action plugin.
    pub variables_from: Vec<String>,
    /// Whether to return warnings only as C(noted), for a report on all guests; otherwise Ansible shows each warning
    /// for each guest. Done by the collection's action plugin.
    pub note_warnings: bool,
    /// An attestation request that the guest answers at the end, as M(seguest.pv.attest) does: a dictionary with V(content),
    /// V(path) or V(src), and that module's other options. The response is in RV(attestation). At boot nothing is attested.
    pub attest: Option<Challenge>,
    /// Facts to return as well, as O(seguest.pv.facts#module:gather_subset) names them. None by default.
    pub gather_subset: Vec<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            secrets: Vec::new(),
            lock: true,
            lock_exact: true,
            proved_only: false,
            queues: None,
            queues_config: None,
            queues_src: None,
            config_content: None,
            exclusive: false,
            rebalance: false,
            strict: true,
            when_busy: WhenBusy::default(),
            timeout: 60,
            at_boot: None,
            at_boot_before: vec!["pkcsslotd.service".into()],
            host_key_hashes: Vec::new(),
            variables_from: Vec::new(),
            note_warnings: false,
            attest: None,
            gather_subset: Vec::new(),
        }
    }
}

/// One secret that the store must hold.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[cfg_attr(feature = "docs", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct Secret {
    /// The secret's name. It matches by its SHA-256 hash or by its first 31 bytes. Give this or V(id); without both,
    /// the id in the request is used.
    pub name: Option<NameText>,
    /// The secret's id, 64 hex digits. Write it in quotes.
    pub id: Option<HexText<64, 64>>,
    /// Its request, a file on the guest. Without any request the secret must be in the store already.
    pub path: Option<PathText>,
    /// Its request in base64, as RV(seguest.pv.secret_request#module:requests[].content) gives it.
    #[serde(skip_serializing)]
    pub content: Option<String>,
    /// Its request, a file on the controller, searched for like that of M(ansible.builtin.copy). Only through the
    /// collection's action plugin.
    pub src: Option<String>,
    /// Echoed in the results.
    pub label: Option<String>,
    /// Why there is no request, from RV(seguest.pv.secret_request#module:requests[].error). The task fails with this
    /// error, and the guest is not contacted. Only through the collection's action plugin.
    pub error: Option<serde_json::Map<String, serde_json::Value>>,
    /// Whether to add it although one of its type and id is in the store already, as
    /// O(seguest.pv.secret_add#module:force).
    pub force: bool,
    /// Check mode only: the request is not built yet. Set by the collection's action plugin if V(content) is null, as
    /// M(seguest.pv.secret_request) returns it for a request that it would build, or if V(src) does not exist.
    pub pending: bool,
}
