//! `/sys/firmware/uv`, put into words.

use super::problems::Problems;
use super::report::{Limits, Supported, Ultravisor};
use pv_guest::{firmware, sysfs};
use pv_wire::SecretType;
use std::collections::BTreeMap;

/// Reads what there is; an absent file is normal and stays null.
pub fn gather(problems: &mut Problems) -> Ultravisor {
    let mut text = |name: &str| {
        let path = firmware::path(name);
        problems.take(&path, sysfs::read_optional(&path)).flatten()
    };
    let mut bits = |name: &str| text(&format!("query/{name}")).and_then(|text| sysfs::bits(&text));
    let facilities = bits("facilities").map(|set| named(firmware::FACILITIES, &set));
    let features = bits("feature_indications").map(|set| named(firmware::FEATURES, &set));
    let supported = Supported {
        add_secret_versions: bits("supp_add_secret_req_ver").map(|set| versions(&set)),
        add_secret_flags: bits("supp_add_secret_pcf"),
        secret_kinds: bits("supp_secret_types").map(|set| kinds(&set)),
        attestation_versions: bits("supp_att_req_hdr_ver").map(|set| versions(&set)),
        attestation_flags: bits("supp_att_pflags"),
        se_header_versions: bits("supp_se_hdr_ver").map(|set| versions(&set)),
        se_header_flags: bits("supp_se_hdr_pcf"),
    };
    let mut number = |name: &str| text(&format!("query/{name}")).and_then(|text| text.parse().ok());
    let mut limits = Limits {
        max_cpus: number("max_cpus"),
        max_guests: number("max_guests"),
        max_address: None,
        max_secrets: number("max_secrets"),
        max_assoc_secrets: number("max_assoc_secrets"),
        max_retr_secrets: number("max_retr_secrets"),
    };
    let address =
        text("query/max_address").and_then(|text| u64::from_str_radix(text.trim_start_matches("0x"), 16).ok());
    limits.max_address = address.map(|address| format!("0x{address:016x}"));
    let hashes = problems.take(&firmware::path("keys/all"), firmware::host_key_hashes()).flatten();
    let host_key_hashes = hashes.map(|hashes| hashes.iter().map(|hash| pv_wire::encode_hex(hash)).collect());
    Ultravisor { facilities, features, limits, supported, host_key_hashes }
}

fn named(names: &[(u32, &str)], set: &[u32]) -> BTreeMap<String, bool> {
    names.iter().map(|(bit, name)| ((*name).to_owned(), set.contains(bit))).collect()
}

/// Bit n stands for version (n + 1) times 0x100.
fn versions(set: &[u32]) -> Vec<String> {
    set.iter().map(|bit| format!("0x{:04x}", (bit + 1) * 0x100)).collect()
}

/// Bit n stands for type n + 1.
fn kinds(set: &[u32]) -> Vec<String> {
    set.iter().filter_map(|bit| u16::try_from(bit + 1).ok()).map(|number| SecretType(number).kind()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_become_names_versions_and_kinds() {
        let set = sysfs::bits("ff1ffff000000000\n0\n0\n0").unwrap();
        let facilities = named(firmware::FACILITIES, &set);
        assert_eq!((facilities["query"], facilities["unpack"], facilities["attestation"]), (true, true, false));
        assert_eq!(versions(&sysfs::bits("8000000000000000").unwrap()), ["0x0100"]);
        assert_eq!(kinds(&sysfs::bits("6000000000000000").unwrap()), ["Association", "PLAINTEXT"]);
    }
}
