//! What holds only for many answers at once.

use super::{Check, Verdict, codes};
use fault::Fault;
use pv_wire::encode_hex;
use std::collections::BTreeMap;

/// Demands that no two guests of a batch have the same configuration unique id: then one of them answered for the other.
/// Adds a check to each verdict; `batch` has what each guest is called and its verdict.
pub fn demand_distinct_cuids(batch: &mut [(&str, &mut Verdict)]) {
    const NAME: &str = "cuid_shared";
    let mut owners: BTreeMap<[u8; 16], Vec<usize>> = BTreeMap::new();
    for (place, (_, verdict)) in batch.iter().enumerate() {
        if let Some(proved) = &verdict.proved {
            owners.entry(proved.cuid).or_default().push(place);
        }
    }
    let names: Vec<String> = batch.iter().map(|(name, _)| (*name).to_owned()).collect();
    for (place, (_, verdict)) in batch.iter_mut().enumerate() {
        let Some(cuid) = verdict.proved.as_ref().map(|proved| proved.cuid) else {
            verdict.add(Check::skipped(NAME, "Without a good measurement there is no configuration unique id."));
            continue;
        };
        let others = owners.get(&cuid).into_iter().flatten().filter(|other| **other != place);
        let others: Vec<_> = others.filter_map(|other| names.get(*other)).map(String::as_str).take(5).collect();
        verdict.add(if others.is_empty() {
            Check::passed(NAME, "No other guest of the batch has this configuration unique id.")
        } else {
            let detail =
                format!("The configuration unique id 0x{} is also that of {}.", encode_hex(&cuid), others.join(", "));
            let hint = "One guest has answered for several. Look where their addresses lead, and what is between.";
            Check::failed(NAME, Fault::new(codes::CUID_SHARED, detail).hint(hint))
        });
    }
}
