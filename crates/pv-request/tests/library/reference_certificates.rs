//! Verification against the certificates of s390-tools' own tests (`rust/pv/tests/assets/cert`), good and bad.
//!
//! The folder that holds `cert/` is named by the environment variable SEGUEST_VECTORS; without it the test says that
//! it was skipped. The outcomes are those observed of pvsecret 2.43, but where this verifier is stricter on purpose.

use pv_request::{
    HostKeyDocument, Source,
    verify::{Outdated, Trust, Verifier, system_root},
};
use std::{
    env,
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

/// One row: files in `cert/`, separated by blanks, and the outcome's code, or `pass`.
struct Row {
    document: &'static str,
    certificates: &'static str,
    crls: &'static str,
    root: &'static str,
    outcome: &'static str,
}

/// What verifies; each row changes some of it.
const BASE: Row = Row {
    document: "host.crt",
    certificates: "inter_ca.crt ibm.crt",
    crls: "inter_ca.crl ibm.crl",
    root: "root_ca.chained.crt",
    outcome: "pass",
};

const ROWS: &[Row] = &[
    BASE,
    Row { document: "host2.crt", ..BASE },
    Row { document: "host_uri_na.crt", ..BASE },
    Row { document: "host_armonk.crt", ..BASE },
    Row { certificates: "inter_ca.crt der.crt", crls: "inter_ca.crl der.crl", ..BASE },
    Row { certificates: "inter_ca.chained.crt ibm.chained.crt", crls: "", ..BASE },
    Row { root: "root_ca.crt", crls: "inter_ca.crl ibm.crl root_ca.crl", ..BASE },
    Row { certificates: "inter_ca.crt ibm_armonk.crt", ..BASE },
    Row { certificates: "inter_ca.crt ibm_armonk.crt", crls: "inter_ca.crl ibm_armonk.crl", ..BASE },
    Row {
        document: "host_armonk.crt",
        certificates: "inter_ca.crt ibm_armonk.crt",
        crls: "inter_ca.crl ibm_armonk.crl",
        ..BASE
    },
    Row { crls: "inter_ca.crl ibm.crl ibm_outdated_late.crl", ..BASE },
    Row { crls: "inter_ca.crl ibm.crl ibm_invalid_hash.crl", ..BASE },
    // pvsecret finds no list here: it takes Poughkeepsie for Armonk, but not Armonk for Poughkeepsie.
    Row { crls: "inter_ca.crl ibm_armonk.crl", ..BASE },
    Row { crls: "inter_ca.crl", outcome: "hkd.no_crl", ..BASE },
    Row { crls: "inter_ca.crl ibm_outdated_early.crl", outcome: "hkd.crl_not_yet_valid", ..BASE },
    Row { crls: "inter_ca.crl ibm_outdated_late.crl", outcome: "hkd.crl_outdated", ..BASE },
    Row { crls: "inter_ca.crl ibm_invalid_hash.crl", outcome: "hkd.no_crl", ..BASE },
    Row { crls: "inter_ca.crl fake_ibm.crl", outcome: "hkd.no_crl", ..BASE },
    Row { document: "host_rev.crt", outcome: "hkd.revoked", ..BASE },
    Row { document: "host_crt_expired.crt", outcome: "hkd.expired", ..BASE },
    Row { document: "fake_host.crt", outcome: "hkd.authority_key_id", ..BASE },
    Row { document: "host_invalid_signing_key.crt", outcome: "hkd.authority_key_id", ..BASE },
    // pvsecret says that it is another authority's; that it holds no host key is seen earlier here.
    Row { document: "ibm.crt", outcome: "hkd.wrong_curve", ..BASE },
    Row { document: "ibm.crl", outcome: "hkd.not_a_certificate", ..BASE },
    Row { certificates: "inter_ca.crt ibm.crt ibm_rev.crt", outcome: "hkd.several_signing_keys", ..BASE },
    Row { certificates: "inter_ca.crt ibm_armonk.crt ibm_rev.crt", outcome: "hkd.several_signing_keys", ..BASE },
    Row { certificates: "inter_ca.crt", outcome: "hkd.no_signing_key", ..BASE },
    Row { certificates: "inter_ca.crt ibm_wrong_subject.crt", outcome: "hkd.no_signing_key", ..BASE },
    Row { certificates: "inter_ca.crt ibm.crl", outcome: "hkd.no_signing_key", ..BASE },
    Row { crls: "ibm.crl", outcome: "hkd.no_crl", ..BASE },
    Row { crls: "inter_ca.invalid_signer.crl ibm.crl", outcome: "hkd.no_crl", ..BASE },
    Row { crls: "fake_inter_ca.crl ibm.crl", outcome: "hkd.no_crl", ..BASE },
    Row { root: "root_ca.crt", outcome: "hkd.no_crl", ..BASE },
    Row { crls: "inter_ca.invalid_date.crl ibm.crl", outcome: "hkd.crl_outdated", ..BASE },
    Row { crls: "inter_ca.crl ibm.crl ibm_wrong_issuer.crl", outcome: "hkd.crl_signature", ..BASE },
    Row { certificates: "inter_ca.crt ibm_rev.crt", outcome: "hkd.chain_revoked", ..BASE },
    Row { certificates: "inter_ca.crt ibm_expired.crt", outcome: "hkd.chain_expired", ..BASE },
    Row { certificates: "ibm.crt", outcome: "hkd.signing_key_invalid", ..BASE },
    Row {
        certificates: "fake_inter_ca.crt ibm.crt",
        crls: "fake_inter_ca.crl ibm.crl",
        outcome: "hkd.signing_key_invalid",
        ..BASE
    },
    Row { root: "fake_root_ca.crt", outcome: "hkd.signing_key_invalid", ..BASE },
    Row { root: "system", outcome: "hkd.signing_key_invalid", ..BASE },
    Row {
        root: "system",
        certificates: "inter_ca.crt ibm.crt root_ca.crt",
        outcome: "hkd.signing_key_invalid",
        ..BASE
    },
    // The fake signing key is issued by the fake root itself; pvsecret takes that.
    Row {
        document: "fake_host.crt",
        certificates: "fake_inter_ca.crt fake_ibm.crt",
        crls: "fake_inter_ca.crl fake_ibm.crl fake_root_ca.crl",
        root: "fake_root_ca.crt",
        outcome: "hkd.no_intermediate",
    },
    Row {
        document: "fake_host.crt",
        certificates: "fake_ibm.crt",
        crls: "fake_inter_ca.crl fake_ibm.crl fake_root_ca.crl",
        root: "fake_root_ca.crt",
        outcome: "hkd.no_intermediate",
    },
    Row { crls: "inter_ca.crl ibm.crt", outcome: "hkd.not_a_crl", ..BASE },
];

fn outcome(dir: &Path, row: &Row) -> fault::Result<()> {
    let sources = |names: &str| names.split_whitespace().map(|name| Source::read(&dir.join(name)).unwrap()).collect();
    let root = if row.root == "system" { system_root()? } else { Source::read(&dir.join(row.root))? };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let trust = Trust { certificates: sources(row.certificates), crls: sources(row.crls), root };
    let document = HostKeyDocument::read(&dir.join(row.document))?;
    let verifier = Verifier::new(&trust, i64::try_from(now).unwrap(), Outdated::Refuse)?;
    verifier.verify(&document).map(drop)
}

#[test]
fn documents_pass_and_fail_as_observed_of_pvsecret() {
    let Some(dir) = env::var_os("SEGUEST_VECTORS").map(|dir| PathBuf::from(dir).join("cert")) else {
        println!("skipped: SEGUEST_VECTORS does not name the folder with s390-tools' test assets");
        return;
    };
    let mut wrong = Vec::new();
    for row in ROWS {
        let (got, said) = match outcome(&dir, row) {
            Ok(()) => ("pass", String::new()),
            Err(fault) => (fault.code.name, fault.to_string()),
        };
        let Row { document, certificates, crls, root, outcome } = row;
        println!("{document} | {certificates} | {crls} | {root}: {got}: {said}");
        if got != *outcome && !(got == "hkd.no_system_trust" && *root == "system") {
            wrong.push(format!("{document} | {certificates} | {crls} | {root}: {got} instead of {outcome}: {said}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
