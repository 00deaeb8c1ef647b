//! Running programs, so that a long step shows that it goes on and a failed one what it said.

use anyhow::{Context, Result, bail};
use e2e::place;
use std::io::Write;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// How much of the step that is under way is done, where it counts.
static COUNTED: AtomicUsize = AtomicUsize::new(0);

/// Says that one more part of the step that is under way is done.
pub fn count() {
    COUNTED.fetch_add(1, Ordering::Relaxed);
}

/// Says what is done now, with a running clock on a terminal, and how long it took.
///
/// # Errors
/// What the step fails with.
pub fn step<T>(what: &str, body: impl FnOnce() -> Result<T>) -> Result<T> {
    let started = Instant::now();
    COUNTED.store(0, Ordering::Relaxed);
    print!("{what} ... ");
    std::io::stdout().flush()?;
    let (done, waiting) = mpsc::channel::<()>();
    let ticker = std::thread::spawn(move || {
        // A dot or a number every few seconds works on a terminal and in a log alike.
        let mut before = 0;
        while waiting.recv_timeout(Duration::from_secs(5)) == Err(mpsc::RecvTimeoutError::Timeout) {
            let counted = COUNTED.load(Ordering::Relaxed);
            print!("{}", if counted > before { format!("{counted} ") } else { ".".into() });
            before = counted;
            let _ = std::io::stdout().flush();
        }
    });
    let outcome = body();
    drop(done);
    let _ = ticker.join();
    println!("{} ({:.1} s)", if outcome.is_ok() { "done" } else { "FAILED" }, started.elapsed().as_secs_f64());
    outcome
}

/// Runs a program that must succeed; what it says is shown only if it does not.
///
/// # Errors
/// With all that it said.
pub fn quietly(command: &mut Command) -> Result<Output> {
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("{} cannot be run", name(command)))?;
    if !output.status.success() {
        let said = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
        bail!("{} ended with {}:\n{}", name(command), output.status, String::from_utf8_lossy(&said));
    }
    Ok(output)
}

/// Cargo in the repository, with this toolchain.
pub fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(place::repository());
    command
}

/// What makes OpenSSL be built from source where its headers are not installed; goes with every build that has
/// secret_request in it.
pub fn openssl_features() -> Vec<&'static str> {
    let told_where = ["OPENSSL_DIR", "OPENSSL_LIB_DIR"].iter().any(|name| std::env::var_os(name).is_some());
    let known =
        || Command::new("pkg-config").args(["--exists", "openssl"]).status().is_ok_and(|status| status.success());
    if told_where || known() { Vec::new() } else { vec!["--features", "secret_request/vendored-openssl"] }
}

fn name(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}
