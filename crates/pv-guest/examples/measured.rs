//! Runs a program and says on standard error what it took, in one line: seconds on the clock, seconds of processor time
//! in user and kernel, and kilobytes of memory at its peak. Small itself, because the kernel counts the memory of
//! whoever starts a program as the program's. `cargo xtask bench` runs modules under it.

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::{TimeVal, TimeValLike as _};
use std::process::{Command, ExitCode};
use std::time::Instant;
use std::{env, io};

fn main() -> io::Result<ExitCode> {
    let mut arguments = env::args_os().skip(1);
    let program = arguments.next().ok_or_else(|| io::Error::other("measured PROGRAM ARGUMENT..."))?;
    let started = Instant::now();
    let status = Command::new(program).args(arguments).status()?;
    let elapsed = started.elapsed().as_secs_f64();
    let used = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let seconds = |time: TimeVal| time.num_microseconds() as f64 / 1e6;
    eprintln!("{elapsed} {} {}", seconds(used.user_time()) + seconds(used.system_time()), used.max_rss());
    Ok(status.code().and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from))
}
