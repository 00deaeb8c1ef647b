//! What became of requests without an outcome, by the ultravisor's hash of the secret store.

use super::challenge::{Asked, Bound, Given, request_in};
use super::observe::Seen;
use super::plan::check;
use crate::store::Record;
use fault::Result;
use pv_guest::boot_record::{BootRecord, Topic};
use pv_guest::uv::{Device, UserData};
use pv_wire::attestation::{AdditionalData, AttestationRequest, Item};

/// Has the guest measured once more, only to learn the hash of its store, if the record has requests without an outcome and
/// the attestation request asks for that hash. Whatever keeps the hash from being had leaves the record as it is: the answer
/// that was asked for will say why.
pub fn settle(asked: &Asked, seen: &Seen, device: &Device, record: &mut Record) {
    if let Given::Read(file) = &asked.request {
        if let Ok(request) = request_in(file) {
            settle_by(&request, seen, device, record);
        }
    }
}

/// The record of this boot's requests if it is `bound`, settled as [`settle`] does it. Outside check mode what was found out is
/// remembered, also where the record is not bound: then one that cannot be used or written is in nobody's way.
///
/// # Errors
/// `file.record_unusable` where the record is bound.
pub(super) fn settled(
    bound: &Bound,
    request: &AttestationRequest<'_>,
    seen: &Seen,
    device: &Device,
    boot: &BootRecord,
    check_mode: bool,
) -> Result<Option<Record>> {
    let settled = || -> Result<Record> {
        let mut record: Record = boot.load(Topic::Requests)?;
        settle_by(request, seen, device, &mut record);
        if record.has_news() && !check_mode {
            boot.save(Topic::Requests, &record)?;
        }
        Ok(record)
    };
    if bound.has_record() {
        return settled().map(Some);
    }
    if !check_mode && request.items().contains(Item::SecretStore) {
        // Whoever needs the record will hear what is wrong with it.
        let _ = settled();
    }
    Ok(None)
}

fn settle_by(request: &AttestationRequest<'_>, seen: &Seen, device: &Device, record: &mut Record) {
    let asks = request.items().contains(Item::SecretStore) && check(request, seen).is_ok();
    if !asks || record.unsettled() == 0 {
        return;
    }
    let attested = device.attest(request, UserData::default());
    let split = attested.and_then(|attested| AdditionalData::split(request.items(), &attested.additional));
    if let Some(hash) = split.ok().and_then(|data| data.secret_store) {
        record.settle_by_hash(&hash);
    }
}
