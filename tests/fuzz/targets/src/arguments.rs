//! The arguments that Ansible hands over.

use crate::choice;
use ansible_contract::parse_arguments;
use serde::{Serialize, de::DeserializeOwned};

/// The options of every module. The first byte says whose; what was read can be echoed.
pub fn arguments(data: &[u8]) {
    let (which, json) = choice(data);
    if which == 8 {
        // Beside the others, so that what earlier findings mean stays.
        return read::<attest::options::Options>(json);
    }
    match which % 8 {
        0 => read::<secret_request::options::Options>(json),
        1 => read::<request_info::options::Options>(json),
        2 => read::<secret_add::options::Options>(json),
        3 => read::<secret_lock::options::Options>(json),
        4 => read::<facts::options::Options>(json),
        5 => read::<secret_retrieve::options::Options>(json),
        6 => read::<guest::options::Options>(json),
        _ => read::<ap_bind::options::Options>(json),
    }
}

fn read<O: DeserializeOwned + Serialize>(json: &[u8]) {
    match parse_arguments::<O>(json) {
        Ok((options, _)) => assert!(serde_json::to_value(&options).is_ok_and(|echo| echo.is_object())),
        Err(fault) => assert!(fault.code.name.starts_with("args."), "{fault}"),
    }
}
