//! What the guest says of itself.

use super::challenge::Bind;
use super::codes;
use super::ssh::{self, Keys};
use crate::store::Record;
use ansible_contract::warning;
use fault::{Fault, Result};
use pv_guest::boot_record::BootRecord;
use pv_wire::attestation::Claims;
use std::path::Path;

/// What there is to be said. What is not to be bound was not looked at.
#[derive(Clone, Debug, Default)]
pub struct Own {
    /// The id of this boot.
    pub boot_id: Option<String>,
    /// The SSH host keys.
    pub ssh: Option<Keys>,
    /// The record of the requests of this boot.
    pub record: Option<Record>,
}

/// Looks at what is to be bound. `record` is there if it is to be bound, too.
pub fn observe(bind: &[Bind], boot: &BootRecord, record: Option<Record>) -> Own {
    let has = |what| bind.contains(&what);
    Own {
        boot_id: has(Bind::BootId).then(|| boot.boot_id().to_owned()),
        ssh: has(Bind::SshHostKeys).then(|| ssh::host_keys(Path::new(ssh::FOLDER))),
        record,
    }
}

/// The document in which it is said, and warnings of what is not in it.
///
/// # Errors
/// `attest.claims` for what nobody would read, `file.record_unusable`.
pub fn claims(own: Own) -> Result<(Claims, Vec<String>)> {
    let (mut claims, mut warnings) = (Claims::default(), Vec::new());
    if let Some(boot_id) = own.boot_id {
        claims = claims.with_boot_id(&boot_id)?;
    }
    if let Some(Keys { keys, warnings: skipped }) = own.ssh {
        warnings.extend(skipped);
        if keys.is_empty() {
            let fault = Fault::new(
                codes::NO_SSH_HOST_KEYS,
                format!(
                    "There is no public SSH host key in {}: nothing binds a connection to this answer.",
                    ssh::FOLDER
                ),
            );
            warnings.push(warning(&fault.hint("If the guest is not reached by SSH, leave ssh_host_keys out of bind.")));
        }
        claims = claims.with_ssh_host_keys(keys)?;
    }
    if let Some(record) = own.record {
        let unsettled = record.unsettled();
        if unsettled > 0 {
            let fault = Fault::new(
                codes::RECORD_UNSETTLED,
                format!(
                    "Of {unsettled} requests that were handed to the ultravisor it is not known whether they were added: the claims are without them."
                ),
            );
            warnings.push(warning(
                &fault.hint("If the secret store turns out to differ, reboot the guest and add all requests again."),
            ));
        }
        let hash = |text: &str| pv_wire::decode_hex(text).and_then(|bytes| bytes.try_into().ok());
        let hashes = record.added().map(hash).collect::<Option<Vec<[u8; 32]>>>().ok_or_else(|| {
            Fault::new(
                pv_guest::codes::RECORD_UNUSABLE,
                "What is remembered of this boot's requests holds something else than hashes.",
            )
            .hint("Reboot the guest, which empties /run together with the secret store.")
        })?;
        claims = claims.with_added_requests(hashes)?;
    }
    Ok((claims, warnings))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Fate, Loaded};
    use pv_wire::SecretType;

    fn record(fates: &[(u8, Fate)]) -> Record {
        let mut record = Record::default();
        for (number, fate) in fates {
            let sha256 = pv_wire::encode_hex(&[*number; 32]);
            let (bytes, tag) = (Vec::new(), String::new());
            record.note(&Loaded { bytes, id: None, secret_type: SecretType::META, tag, sha256 }, *fate);
        }
        record
    }

    #[test]
    fn only_what_was_looked_at_is_said() {
        let (said, warnings) = claims(Own::default()).unwrap();
        assert_eq!((said.to_json().as_str(), warnings.len()), (r#"{"version":1}"#, 0));
    }

    #[test]
    fn requests_are_told_in_the_order_in_which_they_were_added() {
        let record = record(&[(7, Fate::Added), (9, Fate::Refused), (3, Fate::Added)]);
        let (said, warnings) = claims(Own { record: Some(record), ..Own::default() }).unwrap();
        assert_eq!(said.added_requests(), Some([[7; 32], [3; 32]].as_slice()));
        assert_eq!(warnings.len(), 0);
    }

    #[test]
    fn what_nobody_knows_is_not_said_but_warned_of() {
        let own = Own {
            record: Some(record(&[(7, Fate::Intended), (3, Fate::Added)])),
            ssh: Some(Keys::default()),
            ..Own::default()
        };
        let (said, warnings) = claims(own).unwrap();
        assert_eq!(said.added_requests(), Some([[3; 32]].as_slice()));
        assert_eq!(said.ssh_host_keys(), Some([].as_slice()));
        assert!(warnings[0].ends_with("[attest.no_ssh_host_keys]") && warnings[1].contains("Of 1 requests"));
    }
}
