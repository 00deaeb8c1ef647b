//! An emulated machine with a kernel, and its console.

use super::step::{Line, line};
use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fmt;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::Duration;

/// After so much silence a machine hangs. No step takes as long, also on an emulated processor with little time.
const SILENCE: Duration = Duration::from_secs(180);

/// That a machine printed nothing for [so long](SILENCE).
#[derive(Clone, Copy, Debug)]
pub struct Hang;

impl fmt::Display for Hang {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the emulated machine hangs: it printed nothing for {SILENCE:?}")
    }
}

impl std::error::Error for Hang {}

/// A machine that runs; it ends when dropped.
#[derive(Debug)]
pub(super) struct Console {
    emulator: Child,
    input: ChildStdin,
    /// What it prints, line by line, until it ends.
    output: Receiver<Vec<u8>>,
    /// Everything that was printed so far.
    printed: File,
    errors: std::path::PathBuf,
}

impl Console {
    /// Starts it. What it prints is kept in the file `console` of a folder, what the emulator itself says in `emulator`.
    pub(super) fn start(mut emulator: Command, folder: &Path) -> Result<Self> {
        let errors = folder.join("emulator");
        emulator.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(File::create(&errors)?);
        let mut emulator = emulator.spawn().context("QEMU cannot be run")?;
        let (input, output) =
            (emulator.stdin.take().context("no input")?, emulator.stdout.take().context("no output")?);
        let printed = File::create(folder.join("console"))?;
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            let lines = BufReader::new(output).split(b'\n').map_while(std::io::Result::ok);
            // Nobody listens any more when the console was dropped.
            lines.map(|line| sender.send(line)).find(std::result::Result::is_err)
        });
        Ok(Self { emulator, input, output: lines, printed, errors })
    }

    /// The next line that is about a step.
    pub(super) fn next(&mut self) -> Result<Line> {
        loop {
            let mut bytes = match self.output.recv_timeout(SILENCE) {
                Ok(bytes) => bytes,
                Err(RecvTimeoutError::Timeout) => {
                    return Err(Hang.into());
                }
                Err(RecvTimeoutError::Disconnected) => {
                    let status = self.emulator.wait()?;
                    let said = std::fs::read_to_string(&self.errors).unwrap_or_default();
                    bail!("the emulated machine ended with {status} before its end: {said}");
                }
            };
            bytes.retain(|byte| *byte != b'\r');
            self.printed.write_all(&bytes)?;
            self.printed.write_all(b"\n")?;
            let text = String::from_utf8_lossy(&bytes);
            if let Some(line) = line(&text) {
                return line;
            }
        }
    }

    /// Lets the guest go on after something that was for outside.
    pub(super) fn go_on(&mut self) -> Result<()> {
        Ok(self.input.write_all(b"\n")?)
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        // timeout(1) ends the emulator with this signal, and with SIGKILL if it does not end; had it been killed itself, the
        // emulator would go on. What it prints on its way out is for whoever reads the file.
        if let Ok(pid) = self.emulator.id().try_into() {
            let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
        }
        let _ = self.emulator.wait();
    }
}
