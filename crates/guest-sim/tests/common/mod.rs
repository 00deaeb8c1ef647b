//! What the tests with a live guest share: its files, its commands, and the reason to skip.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on ends")]

pub mod request;

use std::fs::{self, OpenOptions};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

pub const PROGRAM: &str = env!("CARGO_BIN_EXE_guest-sim");

pub const CARDS: &str = "\
cards:
  \"00\":
    type: CEX8P
    queues:
      \"0005\": {mkvp: \"000102030405060708090a0b0c0d0e0f\"}
      \"0006\": {}
";

/// Whether a guest can be shown; prints why not.
pub fn fuse_works() -> bool {
    match OpenOptions::new().read(true).write(true).open("/dev/fuse") {
        Ok(_) => true,
        Err(error) => {
            eprintln!("skipped: /dev/fuse cannot be opened: {error}");
            false
        }
    }
}

pub fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// A folder with host key, image, scenario, and a request for them.
pub struct Site {
    folder: TempDir,
}

impl Site {
    pub fn new(scenario: &str) -> Self {
        let site = Self { folder: tempfile::tempdir().unwrap() };
        succeeds(Command::new(PROGRAM).arg("new-host").arg(site.path("host")));
        succeeds(Command::new(PROGRAM).arg("new-image").arg(site.path("image")));
        let scenario = format!("host_key: host.key\nimage: image.sim\n{scenario}");
        fs::write(site.path("scenario.yaml"), scenario).unwrap();
        fs::write(site.path("request"), site.request(&request::Parts::default())).unwrap();
        site
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A request for this site's host and the image whose SE header lies here.
    pub fn request(&self, parts: &request::Parts) -> Vec<u8> {
        let header = fs::read(self.path("image.hdr")).unwrap();
        let mut parts = parts.clone();
        parts.binding[..192].copy_from_slice(&header[0xe0..0x1a0]);
        parts.binding[192..].copy_from_slice(&header[header.len() - 16..]);
        parts.build(&request::public_key(&fs::read_to_string(self.path("host.pub")).unwrap()))
    }

    /// `guest-sim COMMAND --dir DIR` for this site.
    pub fn command(&self, command: &str) -> Command {
        let mut program = Command::new(PROGRAM);
        program.arg(command).arg("--dir").arg(self.path("guest"));
        program
    }

    /// `guest-sim run` with a command.
    pub fn run(&self, command: &[&str]) -> Command {
        let mut program = self.command("run");
        program.arg("--scenario").arg(self.path("scenario.yaml")).arg("--").args(command);
        program
    }

    /// A guest that is ready.
    pub fn serve(&self) -> Served<'_> {
        let mut program = self.command("serve");
        // A guest that was killed may have left it.
        let _ = fs::remove_file(self.path("guest/ready"));
        let child = program.arg("--scenario").arg(self.path("scenario.yaml")).spawn().unwrap();
        let mut served = Served { site: self, child };
        until("the guest is ready", || {
            assert!(served.child.try_wait().unwrap().is_none(), "the guest ended at once");
            self.path("guest/ready").exists()
        });
        served
    }

    pub fn state(&self) -> Value {
        serde_json::from_str(&succeeds(&mut self.command("state"))).unwrap()
    }

    pub fn log(&self) -> Vec<Value> {
        let text = succeeds(&mut self.command("log"));
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// A guest that is served until this is dropped.
pub struct Served<'a> {
    site: &'a Site,
    pub child: Child,
}

impl Served<'_> {
    /// Runs a shell script in the guest; gives what it printed.
    pub fn shell(&self, script: &str) -> Output {
        self.site.command("enter").args(["--", "sh", "-c", script]).stderr(Stdio::piped()).output().unwrap()
    }

    /// The same for a script that succeeds.
    pub fn text(&self, script: &str) -> String {
        let output = self.shell(script);
        assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
    }
}

impl Drop for Served<'_> {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a command that must succeed; gives its output.
pub fn succeeds(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}\n{errors}", output.status);
    String::from_utf8(output.stdout).unwrap()
}

/// Waits until something is so.
pub fn until(what: &str, mut so: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !so() {
        assert!(Instant::now() < end, "waited too long until {what}");
        sleep(Duration::from_millis(5));
    }
}
