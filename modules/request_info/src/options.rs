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
    /// An image, or the Secure Execution header cut out of it, to see whether the request is for it.
    pub image: Option<PathText>,
    /// Host key documents, to see whether the request is for their machines. The documents are not verified here; that
    /// is done where requests are built.
    pub host_keys: Option<Vec<PathText>>,
    /// Certificate of the key that signed the user data, DER or PEM, to check the signature by; the only one in its file.
    /// Neither its issuer nor its end is looked at. Its key must be of the kind that the request is signed with.
    pub user_cert: Option<PathText>,
}

/// Results of `request_info`. In check mode all of it is null where the request is not there yet.
#[derive(Debug, Default, Serialize)]
#[cfg_attr(feature = "docs", derive(schemars::JsonSchema))]
pub struct Report {
    /// The request's file, as given.
    pub path: Option<String>,
    /// Size of the request in bytes.
    pub size: Option<usize>,
    /// SHA-256 of the request, hex.
    pub sha256: Option<String>,
    /// Tag of the request, hex. It names the request; anybody can copy it onto another.
    pub tag: Option<String>,
    /// Version of the request: V(0x0100) is the only one there is.
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
    /// Name of the secret, if its id is the name itself in printable ASCII. Of a hash the name cannot be known.
    pub name: Option<String>,
    /// Size of the secret in bytes.
    pub secret_size: Option<u32>,
    /// Size in bytes of what is encrypted: the secret and 32 bytes that are the extension secret or zeros, which nobody can tell.
    pub encrypted_size: Option<usize>,
    /// What the request does beside adding a secret: V(disable_dump), or V(bit_N) for a bit without a name, counted
    /// from the most significant one.
    pub flags: Option<Vec<String>>,
    /// The flags as they are, C(0x) and 16 hex digits.
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
    /// How the user data are laid out: V(none), V(unsigned), V(ec_p521), V(rsa_2048) or V(rsa_3072), the last three
    /// with a signature.
    pub user_data_type: Option<String>,
    /// The user data in base64, padded with zeros as C(pvsecret verify) puts them out: to 512 bytes if unsigned, 256
    /// for V(ec_p521) and V(rsa_2048), 128 for V(rsa_3072). Null if there are none, or if their signature is invalid.
    /// As long as RV(signature) is not V(valid), anybody may have written them.
    pub user_data: Option<String>,
    /// Whether the owner of O(user_cert) signed the user data, and with them all of the request but its tag.
    /// V(valid). V(invalid): somebody else did, or something was changed since. V(unchecked): they are signed, but
    /// O(user_cert) is not given. V(none): they are not signed, or there are none.
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

/// Whether a request fits; null where it was not asked or cannot be known.
#[derive(Debug, Default, Serialize)]
#[cfg_attr(feature = "docs", derive(schemars::JsonSchema))]
pub struct Fits {
    /// Whether it is for the image of O(image).
    pub image: Option<bool>,
    /// Whether each document of O(host_keys) has a keyslot. There may be keyslots for others too.
    pub host_keys: Option<bool>,
    /// Whether there is a keyslot for the machine that the module runs on. Null where the kernel does not tell its host
    /// keys, as everywhere but in a Secure Execution guest or on its host.
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
