//! What `/sys/firmware/uv` shows, in the kernel's own formatting (Linux arch/s390/kernel/uv.c): hexadecimal without
//! leading zeros, decimal, one final newline.

use std::fmt::Write;

use super::Ultravisor;
use crate::hex;

/// What the kernel rounds the highest address up to.
const PAGE: u64 = 0x1000;

/// Names in `/sys/firmware/uv/query`.
pub const QUERY: [&str; 15] = [
    "facilities",
    "feature_indications",
    "max_address",
    "max_assoc_secrets",
    "max_cpus",
    "max_guests",
    "max_retr_secrets",
    "max_secrets",
    "supp_add_secret_pcf",
    "supp_add_secret_req_ver",
    "supp_att_pflags",
    "supp_att_req_hdr_ver",
    "supp_se_hdr_pcf",
    "supp_se_hdr_ver",
    "supp_secret_types",
];

/// Names in `/sys/firmware/uv/keys`.
pub const KEYS: [&str; 3] = ["all", "backup_host_key", "host_key"];

/// Names of the files in `/sys/firmware/uv` itself.
pub const FLAGS: [&str; 2] = ["prot_virt_guest", "prot_virt_host"];

/// The text of an attribute of `query/`; empty for a name that is not in [`QUERY`].
pub fn query_attribute(uv: &Ultravisor, name: &str) -> String {
    let (spec, info) = (&uv.spec, uv.info());
    match name {
        "facilities" => format!("{:x}\n0\n0\n0\n", info.calls),
        "feature_indications" => format!("{:x}\n", info.features),
        "max_address" => format!("{:x}\n", info.max_address.next_multiple_of(PAGE)),
        "max_cpus" => format!("{}\n", spec.max_cpus),
        "max_guests" => format!("{}\n", info.max_guests),
        "max_assoc_secrets" => format!("{}\n", info.max_assoc_secrets),
        "max_retr_secrets" => format!("{}\n", info.max_retr_secrets),
        "max_secrets" => format!("{}\n", u32::from(info.max_assoc_secrets) + u32::from(info.max_retr_secrets)),
        "supp_add_secret_pcf" => format!("{:x}\n", info.request_flags),
        "supp_add_secret_req_ver" => format!("{:x}\n", info.request_versions),
        "supp_se_hdr_ver" => format!("{:x}\n", info.header_versions),
        "supp_att_pflags" => format!("{:x}\n", info.attestation_flags),
        "supp_att_req_hdr_ver" => format!("{:x}\n", info.attestation_versions),
        "supp_se_hdr_pcf" => format!("{:x}\n", info.header_flags),
        "supp_secret_types" => format!("{:x}\n", info.secret_types),
        _ => String::new(),
    }
}

/// The text of an attribute of `keys/`: SHA-256 of public host keys; empty for a name that is not in [`KEYS`].
pub fn key_attribute(uv: &Ultravisor, name: &str) -> String {
    let hashes = uv.key_hashes().map(|hash| hex::encode(&hash));
    match name {
        "host_key" => format!("{}\n", hashes[0]),
        "backup_host_key" => format!("{}\n", hashes[1]),
        "all" => hashes.iter().fold(String::new(), |mut text, hash| {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{hash}");
            text
        }),
        _ => String::new(),
    }
}

/// The text of `prot_virt_guest` or `prot_virt_host`.
pub fn flag_attribute(uv: &Ultravisor, name: &str) -> String {
    let set = if name == "prot_virt_host" { uv.spec.host } else { uv.spec.guest };
    format!("{}\n", u8::from(set))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Host, reference_image};

    #[test]
    fn sysfs_values_are_not_padded() {
        let uv = Host::new().uv(reference_image(""));
        assert_eq!(query_attribute(&uv, "facilities"), "ffdfffffe0000000\n0\n0\n0\n");
        assert_eq!(query_attribute(&uv, "feature_indications"), "c00000000000000\n");
        assert_eq!(query_attribute(&uv, "max_address"), "80000000000\n");
        assert_eq!(query_attribute(&uv, "supp_att_pflags"), "7c00000000000000\n");
        assert_eq!(query_attribute(&uv, "supp_att_req_hdr_ver"), "8000000000000000\n");
        assert_eq!(query_attribute(&uv, "max_secrets"), "60\n");
        assert_eq!(query_attribute(&uv, "supp_secret_types"), "ffc0fc0000000000\n");
        assert_eq!(key_attribute(&uv, "host_key"), format!("{}\n", hex::encode(&uv.host_key_hash())));
        assert_eq!(flag_attribute(&uv, "prot_virt_guest"), "1\n");
        assert!(QUERY.iter().all(|name| !query_attribute(&uv, name).is_empty()));
    }
}
