//! The program for who has the hardware: `tests/hardware`, built as what guests are given.

use crate::{dist, machine};
use anyhow::Result;
use e2e::place;
use std::fs;

/// Builds it for s390x into `target/hardware`, and says what to do with it.
///
/// # Errors
/// What this machine lacks, or what a tool said.
pub fn hardware() -> Result<()> {
    machine::can_build()?;
    let built = dist::hardware_questions()?;
    let folder = place::target()?.join("hardware");
    fs::create_dir_all(&folder)?;
    let program = folder.join(dist::HARDWARE);
    fs::copy(built, &program)?;
    println!("\nCopy {} to the guest and run it as root: tests/hardware/README.md", program.display());
    Ok(())
}
