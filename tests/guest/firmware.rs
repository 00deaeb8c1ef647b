//! `facts`: every bit that the kernel shows of the ultravisor, by its name.

use crate::support::{guest, ok};
use e2e::Guest;
use serde_json::{Value, json};

/// Calls of the ultravisor by bit, from the left (Linux arch/s390/include/asm/uv.h).
const FACILITIES: [(u32, &str); 33] = [
    (0, "query"),
    (1, "init"),
    (2, "create_configuration"),
    (3, "destroy_configuration"),
    (4, "create_cpu"),
    (5, "destroy_cpu"),
    (6, "convert_to_secure"),
    (7, "convert_from_secure"),
    (8, "set_shared"),
    (9, "remove_shared"),
    (11, "set_parameters"),
    (12, "destroy_storage"),
    (13, "unpack"),
    (14, "verify_image"),
    (15, "cpu_reset"),
    (16, "cpu_initial_reset"),
    (17, "cpu_set_state"),
    (18, "prepare_for_reset"),
    (19, "cpu_reset_clear"),
    (20, "unshare_all"),
    (21, "pin"),
    (22, "unpin"),
    (23, "fast_destroy"),
    (24, "dump_initialize"),
    (25, "dump_storage_state"),
    (26, "dump_cpu_state"),
    (27, "dump_complete"),
    (28, "attestation"),
    (29, "add_secret"),
    (30, "list_secrets"),
    (31, "lock_secrets"),
    (32, "verify_large_frame"),
    (33, "retrieve_secret"),
];
const FEATURES: [(u32, &str); 3] = [(1, "adapter_interrupts"), (4, "ap_pass_through"), (5, "ap_interpretation")];

/// What the facts say of the ultravisor where a file of `query` holds this text.
fn told(guest: &Guest, file: &str, text: &str) -> Value {
    let path = format!("/sys/firmware/uv/query/{file}");
    guest.set(&json!({"attributes": {path: text}}).to_string()).unwrap();
    let result = ok(guest, "facts", &json!({"gather_subset": ["ultravisor"]}));
    let facts = &result["ansible_facts"]["ansible_secure_execution"];
    assert_eq!(facts["problems"], json!([]), "{file} {text:?}");
    facts["ultravisor"].clone()
}

/// A word with this bit as the kernel prints it: without leading zeros.
fn word(bit: u32) -> String {
    format!("{:x}\n", 1_u64 << (63 - bit))
}

fn set(names: &Value) -> Vec<&str> {
    names.as_object().unwrap().iter().filter(|(_, set)| **set == true).map(|(name, _)| name.as_str()).collect()
}

#[test]
fn every_facility_and_feature_bit_has_its_name_and_no_other() {
    if !e2e::can_simulate("every_facility_and_feature_bit_has_its_name_and_no_other") {
        return;
    }
    let guest = guest("");
    for bit in 0..40 {
        let name = FACILITIES.iter().find(|(known, _)| *known == bit).map(|(_, name)| *name);
        let uv = told(&guest, "facilities", &format!("{}0\n0\n0\n", word(bit)));
        assert_eq!(set(&uv["facilities"]), name.into_iter().collect::<Vec<_>>(), "bit {bit}");
        assert_eq!(uv["facilities"].as_object().unwrap().len(), FACILITIES.len());
    }
    // The same bits of a further word are others.
    assert_eq!(set(&told(&guest, "facilities", "0\nffffffffffffffff\n0\n0\n")["facilities"]), [""; 0]);
    for bit in 0..8 {
        let name = FEATURES.iter().find(|(known, _)| *known == bit).map(|(_, name)| *name);
        let uv = told(&guest, "feature_indications", &word(bit));
        assert_eq!(set(&uv["features"]), name.into_iter().collect::<Vec<_>>(), "bit {bit}");
    }
}

#[test]
fn flags_versions_and_types_are_told_by_their_bits() {
    if !e2e::can_simulate("flags_versions_and_types_are_told_by_their_bits") {
        return;
    }
    let guest = guest("");
    let supported = |file: &str, text: &str| told(&guest, file, text)["supported"].clone();
    // Nonce, image host key hash, attestation host key hash, secret store hash, firmware state: bits 1 to 5.
    assert_eq!(supported("supp_att_pflags", "7c00000000000000\n")["attestation_flags"], json!([1, 2, 3, 4, 5]));
    // Bit 0 switches dumps off.
    assert_eq!(supported("supp_add_secret_pcf", "8000000000000000\n")["add_secret_flags"], json!([0]));
    assert_eq!(supported("supp_se_hdr_pcf", "300000e2\n")["se_header_flags"], json!([34, 35, 56, 57, 58, 62]));
    for (file, field) in [
        ("supp_add_secret_req_ver", "add_secret_versions"),
        ("supp_att_req_hdr_ver", "attestation_versions"),
        ("supp_se_hdr_ver", "se_header_versions"),
    ] {
        assert_eq!(supported(file, "c000000000000000\n")[field], json!(["0x0100", "0x0200"]), "{file}");
    }
    for (bit, kind) in [(0, "null"), (1, "Association"), (2, "PLAINTEXT"), (3, "AES-128-KEY")] {
        assert_eq!(supported("supp_secret_types", &word(bit))["secret_kinds"], json!([kind]), "bit {bit}");
    }
}

#[test]
fn limits_are_decimal_and_the_highest_address_is_hexadecimal() {
    if !e2e::can_simulate("limits_are_decimal_and_the_highest_address_is_hexadecimal") {
        return;
    }
    let guest = guest("");
    for file in ["max_cpus", "max_guests", "max_secrets", "max_assoc_secrets", "max_retr_secrets"] {
        assert_eq!(told(&guest, file, "1010\n")["limits"][file], 1010, "{file}");
    }
    assert_eq!(told(&guest, "max_address", "1010\n")["limits"]["max_address"], "0x0000000000001010");
}
