//! The guests' programs for s390x, as they ship, on Debian's unchanged kernels, in front of the simulated machine; and the
//! same steps in simulated guests, which must say the same. `cargo xtask lab` makes what this needs; README.md beside this
//! says what is real.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on ends")]

mod cases;
mod compare;
mod evidence;
mod hardware;
mod ibm_tools;
mod newest;
mod outcomes;
mod over_ssh;
mod scenario;
mod troubles;

use anyhow::Result;
use e2e::lab::{ALL, Hang, Lab};
use scenario::Run;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// A boot of a kernel with all steps, made once for all tests; none where there is no laboratory, or not this kernel.
fn booted(kernel: &str) -> Option<&'static Run> {
    static RUNS: [OnceLock<Option<Run>>; ALL.len()] = [const { OnceLock::new() }; ALL.len()];
    let at = ALL.iter().position(|name| *name == kernel).unwrap();
    RUNS[at].get_or_init(|| boot(kernel)).as_ref()
}

fn boot(kernel: &str) -> Option<Run> {
    let lab = laboratory(kernel)?;
    Some(again_if_it_hangs(kernel, || Run::make(&lab, kernel)).expect("the guest comes to the end of its steps"))
}

/// Boots, and once more with all that belongs to it, if Linux 7.2 or a newer one stops by its own fault (README).
fn again_if_it_hangs<T>(kernel: &str, boot: impl Fn() -> Result<T>) -> Result<T> {
    boot().or_else(|error| {
        if kernel == "6.12" || error.downcast_ref::<Hang>().is_none() {
            return Err(error);
        }
        println!("once more, for the kernel stopped: {error:#}");
        boot()
    })
}

/// The laboratory, if it is there and has this kernel.
fn laboratory(kernel: &str) -> Option<Lab> {
    let lab = match Lab::find() {
        Ok(lab) => lab,
        Err(why) => {
            println!("skipped: NOTHING was tried on the real kernel {kernel}: {why:#}");
            assert!(std::env::var(e2e::lab::WANTED).as_deref() != Ok("1"), "{why:#}");
            return None;
        }
    };
    if !lab.kernels().any(|name| name == kernel) {
        println!("skipped: nothing was tried on the kernel {kernel}: it is not in the laboratory");
        return None;
    }
    Some(lab)
}

/// A new folder for what one boot needs. Nothing tells when the last test ends: what earlier runs left is removed here.
fn new_folder() -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let uid = std::fs::metadata("/proc/self").unwrap().uid();
    // A socket lies in it, whose path must be short.
    let all = std::env::temp_dir().join(format!("seguest-lab-{uid}"));
    std::fs::create_dir_all(&all).unwrap();
    for left in std::fs::read_dir(&all).unwrap().map(|entry| entry.unwrap().path()) {
        if !Path::new("/proc").join(left.file_name().unwrap()).exists() {
            std::fs::remove_dir_all(left).unwrap();
        }
    }
    all.join(std::process::id().to_string()).join(COUNT.fetch_add(1, Ordering::Relaxed).to_string())
}
