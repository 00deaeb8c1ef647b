//! What users type.

use ansible_contract::{HexText, PathText};
use serde::de::{self, Deserializer, IntoDeserializer as _, MapAccess, Visitor};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;
use std::fmt;

use trusted::Firmware;

trusted::layered_options! {
    /// Options of `attest_verify`.
    struct Options {
        /// The guest's answer, a file as pvattest writes it. This or O(content).
        path: PathText,
        /// The guest's answer in base64, as M(seguest.pv.attest) returns it. This or O(path).
        #[serde(skip_serializing)]
        content: String,
        /// The request that was sent to this guest, the file that M(seguest.pv.attest_request) wrote. The answer must be to
        /// this very request. This or O(request_content).
        request: PathText,
        /// The request in base64, as RV(seguest.pv.attest_request#module:requests[].content) gives it. Then O(key_file) is required.
        #[serde(skip_serializing)]
        request_content: String,
        /// The request's key, the file that M(seguest.pv.attest_request) wrote. O(request) and C(.key) if not given. Its time of
        /// modification is when the request was made.
        key_file: PathText,
        /// The image that the guest is to run, or the Secure Execution header cut out of it. Without it no answer can be
        /// verified.
        image: PathText,
        /// The add-secret requests that the guest's store is to have taken since boot, in the order of adding. Each is the path of
        /// a request, or a dictionary with V(path), or with V(tag) and V(sha256) as
        /// RV(seguest.pv.secret_request#module:requests[]) has them; V(sha256) may be left out, and V(label) is what messages call it.
        /// V([]) expects an empty store. Not given, the store is not looked at.
        /// A tag alone is no commitment: see the page on attestation.
        #[cfg_attr(feature = "docs", schemars(with = "Option<Vec<serde_json::Value>>"))]
        secrets: Vec<Secret>,
        /// Whether the store is to be locked; counts together with O(secrets).
        locked: bool = true,
        /// Whether O(secrets) must have been added in this very order. V(false): in any, as O(claims) names it; that the guest
        /// named the right one is proved with the store.
        ordered: bool = true,
        /// Host key documents of the machines that the image may be encrypted for. The host key that opened it must be one
        /// of theirs.
        image_host_keys: Vec<PathText>,
        /// Host key documents of the machines that the guest may run on. The machine that answered must be one of them.
        attestation_host_keys: Vec<PathText>,
        /// As O(seguest.pv.secret_request#module:certificates). Needed for O(image_host_keys) and O(attestation_host_keys).
        certificates: Vec<PathText>,
        /// As O(seguest.pv.secret_request#module:crls).
        crls: Vec<PathText>,
        /// As O(seguest.pv.secret_request#module:root_ca).
        root_ca: PathText,
        /// As O(seguest.pv.secret_request#module:download_crls).
        download_crls: bool = false,
        /// Whether to verify the documents of O(image_host_keys) and O(attestation_host_keys). V(false) warns.
        verify_host_keys: bool = true,
        /// What the guest says about itself, as M(seguest.pv.attest) returned it: a dictionary or its JSON. The answer must
        /// be bound to it. Where it says which requests were added, they are compared with O(secrets).
        claims: Value,
        /// Whether the guest must say which requests it added. V(true) if not given where O(claims) and O(secrets) are.
        require_added_requests: bool,
        /// What the guest is to have bound instead of O(claims), base64 of up to 256 bytes: the option O(seguest.pv.attest#module:user_data)
        /// that its operator gave it. The user data that were measured must be exactly these. They are the guest's word, so they
        /// are compared and never enough: O(image), O(secrets) or host keys are needed as well. Without this option nothing is said
        /// about user data.
        user_data: String,
        /// The file with these bytes, instead of O(user_data).
        user_data_file: PathText,
        /// The SSH host keys by which the guest is known, each C(TYPE BASE64) or a line of a C(known_hosts) file; also several
        /// lines in one text. The guest must claim each of them.
        ssh_host_keys: Vec<String>,
        /// Files C(known_hosts) on this machine, in which the SSH host keys of O(ssh_host) are looked up; one that is missing is an
        /// empty one. The guest must claim each key that a line has for this name, in plain text or hashed, and none that is marked
        /// C(@revoked). Lines that only a wildcard makes fit, C(@cert-authority), and those of the name without its O(ssh_port) are
        /// not compared. If nothing else names it, the check is not made: its C(ok) is null.
        known_hosts: Vec<PathText>,
        /// The text of such files, if they are on another machine; together with O(known_hosts) or instead of it.
        #[serde(skip_serializing)]
        known_hosts_content: String,
        /// The name or address by which SSH reaches the guest, as O(known_hosts) has it. Not given, nothing is looked up.
        ssh_host: String,
        /// The port by which SSH reaches the guest.
        ssh_port: u16 = 22,
        /// The boot id that the guest must claim.
        boot_id: String,
        /// The configuration unique id that this start of the guest must have, 32 hex digits.
        cuid: HexText<32, 32>,
        /// The file in which this guest's configuration unique id is pinned, instead of O(cuid). If there is none, it is written
        /// after an affirming verdict, mode 0644, as YAML that O(seguest.pv.secret_request#module:cuid_file) and pvsecret read.
        /// The pinned one is held to until the next boot: if the guest claims another boot id than was pinned, and the SSH host keys
        /// by which it is known fit, an affirming verdict pins the new one, with a warning. What another file C(*.cuid) in the same
        /// folder pins is not pinned: then one guest has answered for two.
        cuid_file: PathText,
        /// Whether the guest's word for its boot id is enough to pin a new one in O(cuid_file) where it is known by no SSH host key.
        /// Another guest of the same image can then take its place once; the warning is all that shows it.
        trust_boot_id: bool = false,
        /// Whether IBM's service must find the firmware of the guest's machine valid, and by which of its interfaces.
        /// V(none): nobody is asked, and nothing is said about firmware.
        /// V(v1) and V(v2) send the firmware's state, 320 opaque bytes that were measured, over the internet to IBM, once for each
        /// state in the task, also in check mode, and only of guests whose own answer is otherwise as expected. Nothing else is sent: no name,
        /// no key, no answer. If the service cannot be asked, the verdict is V(none).
        /// The request must have been made for that, see O(seguest.pv.attest_request#module:firmware). Proxies are used as for
        /// O(seguest.pv.secret_request#module:download_crls).
        firmware: Firmware = Firmware::None,
        /// The service that is asked instead of IBM's: what comes before C(/hmrs/firmware/attestation) in its address, which must
        /// be one of C(https), without a login. It is part of what the answer is compared with.
        #[cfg_attr(feature = "docs", schemars(extend("default" = "https://esupport.ibm.com/eccedge/ent/z")))]
        #[serde(serialize_with = "without_login")]
        firmware_url: String,
        /// The certificates of the only authorities that may vouch for this service's server, in PEM or DER. The system's if not
        /// given, or those that C(SSL_CERT_FILE) names.
        firmware_ca: PathText,
        /// How old the request may be, in seconds.
        max_age: u32 = 600,
        /// For how many seconds from the making of its request an affirming verdict holds.
        valid_for: u32 = 86_400,
        /// Whether to remove O(key_file), and the file of O(request), once the measurement is verified, whatever else the
        /// verdict is: a request is for one answer. Without it, whoever gets the key later can forge another answer to this request.
        remove_key: bool = true,
        /// A JSON file of all verdicts of the task, whatever they are, mode 0644. For the task only.
        report: PathText,
        /// An attestation result for others: an EAR (draft-ietf-rats-ear) as a signed JSON Web Token, mode 0644, in which the guest is
        /// called as O(label). It is written whatever the verdict is; if there can be none, one of an earlier run is removed.
        /// Needs O(signing_key).
        ear_file: PathText,
        /// The private key that signs O(ear_file): on P-384 or P-256, in DER or PEM, not encrypted.
        /// File and folder as for O(seguest.pv.secret_request#module:secret_file).
        signing_key: PathText,
        /// What was measured, as C(pvattest verify) writes it, mode 0644. Written only after an affirming verdict; otherwise one of
        /// an earlier run is removed.
        yaml_file: PathText,
        /// Whether the task fails if any verdict is not V(affirming). For the task only.
        fail: bool = true,
        /// Echoed in the results, to tell one guest from another.
        label: String,
    }
    /// Several answers, one of each guest. Each is a dictionary of the options of this module, which are laid over those of
    /// the task; lists replace. All configuration unique ids must differ: no guest answers for another.
    list responses
}

/// An address as results repeat it. One with a login is refused, and the login is in nobody's log for that.
fn without_login<S: Serializer>(url: &Option<String>, serializer: S) -> Result<S::Ok, S::Error> {
    let shown = |url: &str| {
        let (scheme, rest) = url.split_once("://").map_or(("", url), |(scheme, rest)| (scheme, rest));
        let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
        let colon = if scheme.is_empty() { "" } else { "://" };
        format!("{scheme}{colon}{host}{path}")
    };
    url.as_deref().map(shown).serialize(serializer)
}

/// One add-secret request that a store is to have taken.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub enum Secret {
    /// Its file.
    Path(PathText),
    /// Its file, or what is known of it.
    Known(Known),
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SecretVisitor)
    }
}

struct SecretVisitor;

impl<'de> Visitor<'de> for SecretVisitor {
    type Value = Secret;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the path of a request, or a dictionary with path, or with tag and sha256")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Secret, E> {
        PathText::deserialize(text.into_deserializer()).map(Secret::Path)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Secret, A::Error> {
        Known::deserialize(de::value::MapAccessDeserializer::new(map)).map(Secret::Known)
    }
}

/// What is known of an add-secret request.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Known {
    /// What messages call it.
    pub label: Option<String>,
    /// Its file.
    pub path: Option<PathText>,
    /// Its last 16 bytes.
    pub tag: Option<HexText<32, 32>>,
    /// SHA-256 of the whole.
    pub sha256: Option<HexText<64, 64>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_in_an_address_is_not_repeated() {
        let shown = |url: &str| {
            let options = Options { firmware_url: Some(url.to_owned()), ..Options::default() };
            serde_json::to_value(options).unwrap()["firmware_url"].as_str().unwrap().to_owned()
        };
        for same in ["https://host/x", "https://host/a@b", "host"] {
            assert_eq!(shown(same), same);
        }
        for (url, without) in [
            ("https://me:s3cret@host/x", "https://host/x"),
            ("https://me:s3@cret@host", "https://host"),
            ("me:s3cret@host", "host"),
        ] {
            assert_eq!(shown(url), without);
        }
    }
}
