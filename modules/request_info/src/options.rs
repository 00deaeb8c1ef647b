//! What users type, and what they get.

use ansible_contract::PathText;
use serde::{Deserialize, Serialize};

/// Options of `request_info`.
#[derive(Debug, Default, Deserialize, Serialize)]
#[cfg_attr(feature = "docs", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct Options {
    /// The request, a file where the module runs. One of O(path) and O(content) is required.
    pub path: Option<PathText>,
    /// The request itself in base64, as RV(seguest.pv.secret_request#module:requests[].content) gives it.
    #[serde(skip_serializing)]
    pub content: Option<String>,
    /// An image, or its Secure Execution header, to check whether the request is for it.
    pub image: Option<PathText>,
    /// Host key documents, to check whether the request is for their machines. They are not verified here, but when
    /// requests are built.
    pub host_keys: Option<Vec<PathText>>,
    /// Certificate of the key that signed the user data, DER or PEM, to check the signature; the only one in its
    /// file. Its issuer and expiry are not checked. Its key must be of the kind that the request is signed with.
    pub user_cert: Option<PathText>,
}

/// Results of `request_info`. In check mode all of them are null if the request does not exist yet.
#[derive(Debug, Default, Serialize)]
#[cfg_attr(feature = "docs", derive(schemars::JsonSchema))]
pub struct Report {
    /// The request's file, as given.
    pub path: Option<String>,
    /// Size of the request in bytes.
    pub size: Option<usize>,
    /// SHA-256 of the request, hex.
    pub sha256: Option<String>,
    /// Tag of the request, hex. It identifies the request, but anybody can copy it into another one.
    pub tag: Option<String>,
    /// Version of the request: only V(0x0100) exists.
    pub version: Option<String>,
    /// Initialisation vector of the request, hex.
    pub iv: Option<String>,
    /// Type of the secret as the option O(seguest.pv.secret_request#module:type) spells it.
    #[serde(rename = "type")]
    pub option: Option<String>,
    /// Type of the secret as pvsecret calls it.
    pub kind: Option<String>,
    /// Id of the secret, C(0x) and 64 hex digits; null for types that have none. Whoever built the request chose it.
    pub id: Option<String>,
    /// Name of the secret, if its id is the name itself in printable ASCII. If the id is a hash, the name cannot be
    /// known.
    pub name: Option<String>,
    /// Size of the secret in bytes.
    pub secret_size: Option<u32>,
    /// Size of the encrypted part in bytes: the secret, and 32 bytes that are the extension secret or zeros; which of
    /// them is not visible.
    pub encrypted_size: Option<usize>,
    /// What the request does besides adding a secret: V(disable_dump), or V(bit_N) for a bit without a name, counted
    /// from the most significant one.
    pub flags: Option<Vec<String>>,
    /// The raw flags, C(0x) and 16 hex digits.
    pub flags_hex: Option<String>,
    /// The image that the request is for.
    pub image: Option<Image>,
    /// Configuration unique id, C(0x) and 32 hex digits: the one start of one guest that the request is bound to. Null
    /// if it is bound to none.
    pub cuid: Option<String>,
    /// Number of keyslots: how many host keys can open the request.
    pub keyslots: Option<usize>,
    /// SHA-256 of each of these host keys, hex, in the order of the slots.
    pub host_key_hashes: Option<Vec<String>>,
    /// The customer's public key on P-521, hex: x, then y, each left padded to 80 bytes.
    pub customer_key: Option<String>,
    /// The documents of O(host_keys), in their order.
    pub host_keys: Vec<HostKey>,
    /// Whether the request fits what it was compared with.
    pub fits: Fits,
    /// The layout of the user data: V(none), V(unsigned), V(ec_p521), V(rsa_2048) or V(rsa_3072), the last three with
    /// a signature.
    pub user_data_type: Option<String>,
    /// The user data in base64, padded with zeros as in the output of C(pvsecret verify): to 512 bytes if unsigned,
    /// 256 for V(ec_p521) and V(rsa_2048), 128 for V(rsa_3072). Null if there are none, or if their signature is
    /// invalid. Unless RV(signature) is V(valid), anybody may have written them.
    pub user_data: Option<String>,
    /// Whether the owner of O(user_cert) signed the user data, and with them everything in the request except its
    /// tag: V(valid). V(invalid): somebody else signed, or something was changed afterwards. V(unchecked): signed,
    /// but O(user_cert) is not given. V(none): not signed, or no user data.
    pub signature: Option<String>,
}

/// The image that a request is for.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "docs", derive(schemars::JsonSchema))]
pub struct Image {
    /// Page list digest, hex.
    pub pld: String,
    /// Address list digest, hex.
    pub ald: String,
    /// Tweak list digest, hex.
    pub tld: String,
    /// Tag of the Secure Execution header, hex.
    pub tag: String,
}

/// Whether a request fits; null if not asked for, or if it cannot be known.
#[derive(Debug, Default, Serialize)]
#[cfg_attr(feature = "docs", derive(schemars::JsonSchema))]
pub struct Fits {
    /// Whether it is for the image of O(image).
    pub image: Option<bool>,
    /// Whether each document of O(host_keys) has a keyslot. There may be keyslots for other hosts, too.
    pub host_keys: Option<bool>,
    /// Whether there is a keyslot for the machine that the module runs on. Null if the kernel does not show the host
    /// keys; it does so only in a Secure Execution guest and on its host.
    pub this_host: Option<bool>,
}

/// One host key document.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "docs", derive(schemars::JsonSchema))]
pub struct HostKey {
    /// The document, as given.
    pub file: String,
    /// SHA-256 of the host key, hex.
    pub hash: Option<String>,
    /// Whether the request has a keyslot for it.
    pub fits: Option<bool>,
}
