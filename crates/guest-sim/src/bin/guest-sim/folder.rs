//! The folder of a running guest: where others find its process, its control socket, its log.

use std::fs::{self, File, Permissions};
use std::io::{BufRead, BufReader, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use nix::sys::stat::{Mode, umask};
use serde_json::Value;

/// An open folder. It is reached through its descriptor, so it works for paths longer than a socket's name may be, and
/// from inside the guest, where another `/run` or `/dev` may hide it.
#[derive(Debug)]
pub struct Folder {
    name: PathBuf,
    handle: File,
}

impl Folder {
    /// Opens a folder that exists.
    pub fn open(name: &Path) -> Result<Self> {
        let handle = File::open(name).with_context(|| format!("cannot open the guest's folder {}", name.display()))?;
        Ok(Self { name: name.to_owned(), handle })
    }

    /// Opens a folder, makes it if it is missing, and removes what an earlier guest left in it.
    pub fn create(name: &Path) -> Result<Self> {
        fs::create_dir_all(name).with_context(|| format!("cannot make the guest's folder {}", name.display()))?;
        let folder = Self::open(name)?;
        if folder.ask(&serde_json::json!({"do": "state"})).is_ok() {
            bail!("a guest is running with the folder {} already", name.display());
        }
        for name in ["ready", "pid", "control.sock", "machine.sock", "state.json"] {
            folder.remove(name);
        }
        Ok(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        format!("/proc/self/fd/{}/{name}", self.handle.as_raw_fd()).into()
    }

    fn display(&self, name: &str) -> String {
        self.name.join(name).display().to_string()
    }

    /// The text of a file.
    pub fn read(&self, name: &str) -> Result<String> {
        fs::read_to_string(self.path(name)).with_context(|| format!("cannot read {}", self.display(name)))
    }

    /// A new empty file.
    pub fn file(&self, name: &str) -> Result<File> {
        File::create(self.path(name)).with_context(|| format!("cannot write {}", self.display(name)))
    }

    /// Puts a whole file there in one step.
    pub fn write(&self, name: &str, text: &str) -> Result<()> {
        let new = format!("{name}.new");
        self.file(&new)?.write_all(text.as_bytes()).with_context(|| format!("cannot write {}", self.display(name)))?;
        fs::rename(self.path(&new), self.path(name)).with_context(|| format!("cannot write {}", self.display(name)))
    }

    /// Removes a file that may be missing.
    pub fn remove(&self, name: &str) {
        // If it cannot be removed, whoever needs the name will say so.
        let _ = fs::remove_file(self.path(name));
    }

    /// The listening end of a socket, for the user of this process only.
    pub fn listen(&self, name: &str) -> Result<UnixListener> {
        let path = self.path(name);
        let before = umask(Mode::from_bits_truncate(0o177));
        let listener = UnixListener::bind(&path);
        umask(before);
        let listener = listener.with_context(|| format!("cannot listen on {}", self.display(name)))?;
        fs::set_permissions(&path, Permissions::from_mode(0o600))
            .with_context(|| format!("cannot protect {}", self.display(name)))?;
        Ok(listener)
    }

    fn connect(&self) -> Result<UnixStream> {
        UnixStream::connect(self.path("control.sock"))
            .with_context(|| format!("no guest answers at {}; is it running?", self.display("control.sock")))
    }

    /// The process of the running guest. What a guest that was killed has left behind does not count: its number may
    /// be another process's by now.
    pub fn pid(&self) -> Result<u32> {
        self.connect()?;
        let text = self.read("pid")?;
        text.trim().parse().with_context(|| format!("{} holds no number", self.display("pid")))
    }

    /// Asks the running guest: one line of JSON each way.
    pub fn ask(&self, question: &Value) -> Result<Value> {
        let name = self.display("control.sock");
        let mut stream = self.connect()?;
        stream.write_all(format!("{question}\n").as_bytes()).with_context(|| format!("cannot ask {name}"))?;
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).with_context(|| format!("no answer from {name}"))?;
        let answer: Value = serde_json::from_str(&line).with_context(|| format!("no sense in the answer of {name}"))?;
        match answer.get("error").and_then(Value::as_str) {
            Some(error) => bail!("the guest refuses: {error}"),
            None => Ok(answer),
        }
    }
}
