//! A simulated guest.

use crate::{World, place, world::run};
use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// A running simulated guest; it ends when dropped.
#[derive(Debug)]
pub struct Guest {
    dir: PathBuf,
    server: Child,
}

impl Guest {
    /// Starts a guest of the world's image on a machine. `rest` is the rest of its scenario: cards, switches, faults.
    ///
    /// # Errors
    /// If the simulator does not come up.
    pub fn start(world: &World, name: &str, machine: &str, rest: &str) -> Result<Self> {
        Self::start_image(world, name, machine, "image", rest)
    }

    /// Starts a guest of a certain image.
    ///
    /// # Errors
    /// If the simulator does not come up.
    pub fn start_image(world: &World, name: &str, machine: &str, image: &str, rest: &str) -> Result<Self> {
        Self::serve("serve", world, name, machine, image, rest)
    }

    /// Starts only the machine of such a guest, for a kernel in an emulator ([`crate::lab`]). Of what is here, [`Self::state`],
    /// [`Self::set`], [`Self::reboot`] (of the machine, the kernel goes on) and [`Self::log`] are for it.
    ///
    /// # Errors
    /// If the simulator does not come up.
    pub fn start_machine(world: &World, name: &str, machine: &str, image: &str, rest: &str) -> Result<Self> {
        Self::serve("machine", world, name, machine, image, rest)
    }

    fn serve(what: &str, world: &World, name: &str, machine: &str, image: &str, rest: &str) -> Result<Self> {
        let scenario = world.path(&format!("{name}.yaml"));
        std::fs::write(&scenario, format!("host_key: {machine}.key\nimage: {image}.sim\n{rest}"))?;
        let dir = world.path(name);
        let mut command = Command::new(place::binary("guest-sim")?);
        command.arg(what).arg("--scenario").arg(&scenario).arg("--dir").arg(&dir).args(["--name", name]);
        let log = std::fs::File::create(world.path(&format!("{name}.stderr")))?;
        let server = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn()?;
        let mut guest = Self { dir, server };
        guest.wait_until_ready().with_context(|| {
            let said = std::fs::read_to_string(world.path(&format!("{name}.stderr"))).unwrap_or_default();
            format!("the simulated guest {name} did not come up: {said}")
        })?;
        Ok(guest)
    }

    fn wait_until_ready(&mut self) -> Result<()> {
        let started = Instant::now();
        while !self.dir.join("ready").exists() {
            if let Some(status) = self.server.try_wait()? {
                bail!("it ended with {status}");
            }
            ensure!(started.elapsed() < Duration::from_secs(20), "not ready within 20 s");
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// Its state folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Runs a program in the guest with something on its standard input.
    ///
    /// # Errors
    /// If it cannot be run.
    pub fn run(&self, program: &Path, arguments: &[&str], input: &[u8]) -> Result<Output> {
        let mut command = self.simulator("enter")?;
        command.arg("--").arg(program).args(arguments);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        // A program that ends without reading its input is no fault of the test's.
        let _ = child.stdin.take().context("no standard input")?.write_all(input);
        Ok(child.wait_with_output()?)
    }

    /// Gives it an empty folder of its own in a folder's place: what others have there it does not see, nor they what
    /// it puts there. Without it, all simulated machines and the controller share one file system.
    ///
    /// # Errors
    /// If it cannot be mounted.
    pub fn own_folder(&self, folder: &Path) -> Result<()> {
        run(self.simulator("enter")?.args(["--", "mount", "-t", "tmpfs", "-o", "mode=0700", "own"]).arg(folder))
    }

    /// Runs a module in the guest as the collection does, with its arguments on standard input; returns its result.
    ///
    /// # Errors
    /// If it prints anything but one JSON object, or its exit code contradicts the result.
    pub fn module(&self, name: &str, arguments: &Value) -> Result<Value> {
        let output = self.run(&place::binary(name)?, &["-"], arguments.to_string().as_bytes())?;
        let result: Value = serde_json::from_slice(&output.stdout).with_context(|| {
            format!(
                "{name} printed {:?} and {:?}",
                String::from_utf8_lossy(&output.stdout),
                String::from_utf8_lossy(&output.stderr)
            )
        })?;
        let failed = result["failed"] == true;
        ensure!(
            output.status.code() == Some(i32::from(failed)),
            "{name} exited with {} and said {result}",
            output.status
        );
        ensure!(result.get("rc").is_none(), "{name} has a top-level rc");
        Ok(result)
    }

    /// What the hardware is in: locked, secrets, queues.
    ///
    /// # Errors
    /// If the simulator does not tell.
    pub fn state(&self) -> Result<Value> {
        self.ask(&json!({"do": "state"}))
    }

    /// The same once no queue is being reset any more: a released queue reads as free while that goes on.
    ///
    /// # Errors
    /// If the simulator does not tell.
    pub fn until_reset(&self) -> Result<Value> {
        self.until_none_is(&["resetting"], Duration::MAX)
    }

    /// The same once nothing is under way, or after this time whatever is: a queue that is stuck is never done.
    ///
    /// # Errors
    /// If the simulator does not tell.
    pub fn settled(&self, patience: Duration) -> Result<Value> {
        self.until_none_is(&["resetting", "binding", "associating"], patience)
    }

    fn until_none_is(&self, states: &[&str], patience: Duration) -> Result<Value> {
        let started = Instant::now();
        loop {
            let state = self.state()?;
            let queues = state["queues"].to_string();
            if started.elapsed() > patience || !states.iter().any(|state| queues.contains(state)) {
                return Ok(state);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Every ioctl and every write that came so far.
    ///
    /// # Errors
    /// If the simulator does not tell.
    pub fn log(&self) -> Result<Vec<Value>> {
        let text = std::fs::read_to_string(self.dir.join("log.jsonl"))?;
        text.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
    }

    /// Boots it anew: the store is empty and unlocked, nothing is bound.
    ///
    /// # Errors
    /// If the simulator cannot.
    pub fn reboot(&self) -> Result<()> {
        self.ask(&json!({"do": "reboot"})).map(|_| ())
    }

    /// Lays a fragment of a scenario over it, for example faults.
    ///
    /// # Errors
    /// If the simulator does not understand it.
    pub fn set(&self, fragment: &str) -> Result<()> {
        self.ask(&json!({"do": "set", "fragment": fragment})).map(|_| ())
    }

    /// Asks the simulator through its socket. The commands of `guest-sim` do no more, but each is a process to start.
    fn ask(&self, question: &Value) -> Result<Value> {
        let folder = File::open(&self.dir)?;
        // A socket's own name may be too long.
        let mut stream = UnixStream::connect(format!("/proc/self/fd/{}/control.sock", folder.as_raw_fd()))?;
        stream.write_all(format!("{question}\n").as_bytes())?;
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line)?;
        let answer: Value = serde_json::from_str(&line)?;
        ensure!(answer["error"].is_null(), "the simulator refuses {question}: {}", answer["error"]);
        Ok(answer)
    }

    /// The simulator, with a command for this guest.
    pub(crate) fn simulator(&self, what: &str) -> Result<Command> {
        let mut command = Command::new(place::binary("guest-sim")?);
        command.arg(what).arg("--dir").arg(&self.dir);
        Ok(command)
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        // It is our child and holds nothing that could be lost.
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}
