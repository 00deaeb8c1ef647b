//! `machine`: the machine alone, behind the socket that the patched QEMU of `tests/real-kernel` asks. What goes over it is
//! said in that patch; all numbers are big endian.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use guest_sim::fault::Faults;
use guest_sim::machine;
use guest_sim::scenario::Scenario;
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use se_machine::wire::{GuestMemory, Instruction, Machine, Told};
use serde_json::{Value, json};

use crate::control;
use crate::folder::Folder;
use crate::run::{Options, load, signals};

/// Stands for a condition code where the processor does not know the instruction.
const UNKNOWN: u8 = 0xff;

/// What the threads share.
struct Shared {
    scenario: Scenario,
    machine: Machine,
    faults: Faults,
    log: File,
    seq: u64,
}

/// Serves a machine until SIGTERM, SIGINT or SIGHUP. Each connection is a guest that starts.
pub fn serve(options: &Options) -> Result<()> {
    let ends = signals(&[Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP])?;
    if !options.outlive {
        set_pdeathsig(Signal::SIGTERM).context("cannot ask to be ended with the parent process")?;
    }
    let (scenario, host, image) = load(&options.scenario)?;
    let machine = machine::new(&scenario, host, image)?;
    let folder = Folder::create(&options.dir)?;
    let listener = folder.listen("machine.sock")?;
    let faults = Faults::new(&scenario.faults);
    let shared = Shared { scenario, machine, faults, log: folder.file("log.jsonl")?, seq: 0 };
    let (shared, started) = (Arc::new(Mutex::new(shared)), Instant::now());
    let asked = Arc::clone(&shared);
    control::answer_all(folder.listen("control.sock")?, move |question| {
        match question.get("do").and_then(Value::as_str) {
            Some("state") => Ok(state(&asked, started)),
            Some("set") => {
                let fragment = question.get("fragment").and_then(Value::as_str).context("set needs a fragment")?;
                lock(&asked).set(fragment).map(|()| json!({}))
            }
            Some("reboot") => lock(&asked).machine.reboot().map(|()| json!({})),
            _ => bail!("a question to a machine is state, set or reboot"),
        }
    });
    let guests = Arc::clone(&shared);
    thread::spawn(move || {
        for guest in listener.incoming().flatten() {
            if let Err(error) = attend(guest, &guests, started) {
                eprintln!("guest-sim: machine: {error:#}");
            }
        }
    });
    folder.write("pid", &format!("{}\n", std::process::id()))?;
    folder.write("ready", "")?;
    ends.wait().context("cannot wait for a signal")?;
    for name in ["ready", "pid", "control.sock", "machine.sock"] {
        folder.remove(name);
    }
    folder.write("state.json", &format!("{}\n", state(&shared, started)))
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

fn state(shared: &Mutex<Shared>, started: Instant) -> Value {
    let Shared { scenario, machine, .. } = &mut *lock(shared);
    machine::state(machine, scenario, started.elapsed())
}

impl Shared {
    /// Lays a fragment of a scenario over the machine's own.
    fn set(&mut self, fragment: &str) -> Result<()> {
        let (scenario, faults) = self.scenario.overlaid(fragment)?;
        self.scenario = scenario;
        if self.scenario.faults.is_empty() {
            self.faults = Faults::default();
        }
        self.faults.add(&faults);
        self.scenario.faults.extend(faults);
        self.machine.set(machine::parts(&self.scenario));
        Ok(())
    }
}

/// One guest, from its start until its end.
fn attend(mut guest: UnixStream, shared: &Mutex<Shared>, started: Instant) -> Result<()> {
    lock(shared).machine.reboot()?;
    while let Some(mut instruction) = next(&mut guest)? {
        let mut shared = lock(shared);
        let Shared { machine, faults, log, seq, .. } = &mut *shared;
        let mut memory = Memory { guest: &mut guest, error: None };
        let outcome = machine.execute(&mut instruction, &mut memory, faults, started.elapsed());
        if let Some(error) = memory.error {
            return Err(error).context("the guest's memory");
        }
        if let Some(told) = outcome.told {
            *seq += 1;
            let line = line(*seq, started, &told);
            log.write_all(format!("{line}\n").as_bytes()).context("cannot write to the log")?;
        }
        let mut answer = vec![b'D', outcome.condition.unwrap_or(UNKNOWN)];
        instruction.registers.iter().for_each(|register| answer.extend(register.to_be_bytes()));
        guest.write_all(&answer).context("cannot answer")?;
    }
    Ok(())
}

fn line(seq: u64, started: Instant, told: &Told) -> Value {
    let ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    json!({"seq": seq, "ms": ms, "what": "machine", "name": told.asked.name(), "target": told.target, "rc": told.rc})
}

/// The next instruction; none when the guest has ended.
fn next(guest: &mut UnixStream) -> Result<Option<Instruction>> {
    let mut block = [0; 1 + 4 + 16 * 8];
    match guest.read_exact(&mut block) {
        Err(error) if matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset) => return Ok(None),
        other => other.context("cannot hear the guest")?,
    }
    let [kind, high, low, first, second, registers @ ..] = block;
    if kind != b'I' {
        bail!("the guest sends {kind:#04x} where an instruction should be");
    }
    let mut instruction = Instruction { operation: u16::from_be_bytes([high, low]), first, second, registers: [0; 16] };
    for (register, bytes) in instruction.registers.iter_mut().zip(registers.chunks_exact(8)) {
        *register = bytes.first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes));
    }
    Ok(Some(instruction))
}

/// The guest's memory at the other end of the socket.
struct Memory<'a> {
    guest: &'a mut UnixStream,
    error: Option<std::io::Error>,
}

impl Memory<'_> {
    fn ask(&mut self, kind: u8, address: u64, len: usize, given: &[u8], taken: &mut [u8]) -> Option<()> {
        let mut question = vec![kind];
        question.extend(address.to_be_bytes());
        question.extend(u32::try_from(len).ok()?.to_be_bytes());
        question.extend(given);
        let mut exchange = || -> std::io::Result<bool> {
            self.guest.write_all(&question)?;
            let mut good = [0];
            self.guest.read_exact(&mut good)?;
            if good == [1] {
                self.guest.read_exact(taken)?;
            }
            Ok(good == [1])
        };
        match exchange() {
            Ok(good) => good.then_some(()),
            Err(error) => {
                self.error = Some(error);
                None
            }
        }
    }
}

impl GuestMemory for Memory<'_> {
    fn read(&mut self, address: u64, len: usize) -> Option<Vec<u8>> {
        let mut bytes = vec![0; len];
        self.ask(b'R', address, len, &[], &mut bytes)?;
        Some(bytes)
    }

    fn write(&mut self, address: u64, bytes: &[u8]) -> Option<()> {
        self.ask(b'W', address, bytes.len(), bytes, &mut [])
    }
}
