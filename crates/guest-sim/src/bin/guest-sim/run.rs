//! `run` and `serve`: a guest for the lifetime of a command, or until a signal comes.

use std::fs;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::thread;

use anyhow::{Context, Result, bail};
use fuser::{Config, Session, SessionACL};
use guest_sim::crypto::HostKey;
use guest_sim::guest::Guest;
use guest_sim::image::Image;
use guest_sim::scenario::Scenario;
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::{SigSet, Signal};
use nix::unistd::getppid;
use zeroize::Zeroizing;

use crate::control::Control;
use crate::files::Files;
use crate::folder::Folder;
use crate::paths::Paths;
use crate::shared::Shared;
use crate::{control, namespace};

/// What both commands need.
pub struct Options {
    pub scenario: PathBuf,
    pub dir: PathBuf,
    pub name: Option<String>,
    /// Go on when the process that started the simulator ends.
    pub outlive: bool,
}

/// Runs `command` inside a guest; gives its exit code, 128 more than the number of a signal that ended it.
#[expect(unsafe_code, reason = "the guest ends with what started it, and only the child can ask for that")]
pub fn run(options: &Options, command: &[String]) -> Result<i32> {
    let [program, arguments @ ..] = command else { bail!("run needs a command behind --") };
    // An interrupt from the terminal is for the command; the simulator stays to hear what becomes of it.
    signals(&[Signal::SIGINT])?;
    let guest = Running::start(options, Signal::SIGKILL)?;
    let mut child = Command::new(program);
    child.args(arguments).env("GUEST_SIM_DIR", &options.dir).env("GUEST_SIM_NAME", &guest.name);
    // SAFETY: between fork and exec there are two system calls, nothing that allocates or takes a lock.
    unsafe {
        child.pre_exec(|| Ok(set_pdeathsig(Signal::SIGKILL)?));
    }
    let status = child.status().with_context(|| format!("cannot run {program} in the guest"));
    guest.end()?;
    let status = status?;
    Ok(status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0)))
}

/// Serves a guest until SIGTERM, SIGINT or SIGHUP.
pub fn serve(options: &Options) -> Result<()> {
    let ends = signals(&[Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP])?;
    let guest = Running::start(options, Signal::SIGTERM)?;
    ends.wait().context("cannot wait for a signal")?;
    guest.end()
}

/// Blocks signals in this thread and those that it starts; commands get a fresh mask from the standard library.
pub fn signals(list: &[Signal]) -> Result<SigSet> {
    let set = list.iter().copied().collect::<SigSet>();
    set.thread_block().context("cannot block signals")?;
    Ok(set)
}

/// A guest that others can enter.
#[derive(Debug)]
struct Running {
    shared: Arc<Shared>,
    folder: Folder,
    name: String,
}

impl Running {
    fn start(options: &Options, when_orphaned: Signal) -> Result<Self> {
        let parent = getppid();
        let (scenario, host, image) = load(&options.scenario)?;
        let guest = Guest::new(scenario, host, image)?;
        let folder = Folder::create(&options.dir)?;
        let listener = folder.listen("control.sock")?;
        let shared = Arc::new(Shared::new(guest, folder.file("log.jsonl")?));
        let last = options.dir.file_name().map(|name| name.to_string_lossy().into_owned());
        let name = options.name.clone().or(last).unwrap_or_default();
        namespace::unshare_mounts()?;
        let fuse = namespace::open_fuse()?;
        if !options.outlive {
            set_pdeathsig(when_orphaned).context("cannot ask to be ended with the parent process")?;
            if getppid() != parent {
                bail!("the process that started the simulator has ended");
            }
        }
        let paths = Arc::new(Paths::new());
        let files = Files::new(Arc::clone(&shared), Arc::clone(&paths));
        let kernel = namespace::build(fuse, |fuse| {
            let mut config = Config::default();
            config.acl = SessionACL::All;
            let session = Session::from_fd(files, fuse, SessionACL::All, config).context("FUSE does not start")?;
            let kernel = session.notifier();
            thread::spawn(move || session.run());
            Ok(kernel)
        })?;
        control::serve(listener, Control { shared: Arc::clone(&shared), paths, kernel, name: name.clone() });
        folder.write("pid", &format!("{}\n", std::process::id()))?;
        folder.write("ready", "")?;
        Ok(Self { shared, folder, name })
    }

    /// Leaves the last state behind and takes the signs of life away.
    fn end(self) -> Result<()> {
        let state = control::state(&self.shared, &self.name);
        for name in ["ready", "pid", "control.sock"] {
            self.folder.remove(name);
        }
        self.folder.write("state.json", &format!("{state}\n"))
    }
}

/// Reads a scenario and the files that it names.
pub fn load(path: &Path) -> Result<(Scenario, HostKey, Image)> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let scenario = Scenario::from_yaml(&text).with_context(|| format!("in {}", path.display()))?;
    let beside = path.parent().unwrap_or(Path::new("."));
    let read = |name: &Path| -> Result<(Zeroizing<String>, String)> {
        let name = beside.join(name);
        let text = fs::read_to_string(&name).with_context(|| format!("cannot read {}", name.display()))?;
        Ok((Zeroizing::new(text), format!("in {}", name.display())))
    };
    let (pem, place) = read(&scenario.host_key)?;
    let host = HostKey::from_pem(&pem).context(place)?;
    let (yaml, place) = read(&scenario.image)?;
    let image = Image::from_yaml(&yaml).context(place)?;
    Ok((scenario, host, image))
}
