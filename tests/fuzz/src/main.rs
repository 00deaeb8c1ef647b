//! libFuzzer's program. The environment variable `SEGUEST_FUZZ_TARGET` says which of the targets it is.

#![no_main]

use libfuzzer_sys::fuzz_target;
use std::sync::OnceLock;

static TARGET: OnceLock<fn(&[u8])> = OnceLock::new();

fuzz_target!(|data: &[u8]| {
    let target = TARGET.get_or_init(|| {
        let name = std::env::var("SEGUEST_FUZZ_TARGET").unwrap_or_default();
        fuzz_targets::target(&name).unwrap_or_else(|| panic!("SEGUEST_FUZZ_TARGET names no target: {name:?}"))
    });
    target(data);
});
