//! The guests' programs for s390x, as they ship, on Debian's unchanged kernels, in front of the simulated machine; and the
//! same steps in simulated guests, which must say the same. `cargo xtask lab` makes what this needs; README.md beside this
//! says what is real.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on ends")]

mod compare;
mod evidence;
mod outcomes;
mod scenario;

use e2e::lab::Lab;
use scenario::Run;
use std::sync::OnceLock;

/// A boot of a kernel with all steps, made once for all tests; none where there is no laboratory, or not this kernel.
fn booted(kernel: &str) -> Option<&'static Run> {
    static RUNS: [OnceLock<Option<Run>>; 2] = [const { OnceLock::new() }; 2];
    let at = e2e::lab::KERNELS.iter().position(|name| *name == kernel).unwrap();
    RUNS[at].get_or_init(|| boot(kernel)).as_ref()
}

fn boot(kernel: &str) -> Option<Run> {
    let lab = match Lab::find() {
        Ok(lab) => lab,
        Err(why) => {
            println!("skipped: NOTHING was tried on a real kernel: {why:#}");
            assert!(std::env::var(e2e::lab::WANTED).as_deref() != Ok("1"), "{why:#}");
            return None;
        }
    };
    if !lab.kernels().any(|name| name == kernel) {
        println!("skipped: nothing was tried on the kernel {kernel}: it is not in the laboratory");
        return None;
    }
    Some(Run::make(&lab, kernel).expect("the guest comes to the end of its steps"))
}
