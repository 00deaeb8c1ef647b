//! The plan carried out, or in check mode told.

use super::desired::{Desired, Wanted};
use super::plan::Plan;
use super::{codes, observe};
use ansible_contract::{Diff, Failure, Outcome, warning};
use durable::{Attributes, Folder};
use fault::{Fault, Result};
use serde::Serialize;
use std::fs::{self, DirBuilder};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// For how long systemd may read its units.
const PATIENCE: Duration = Duration::from_secs(30);

/// What the guest runs at each boot.
#[derive(Clone, Debug, Default, Serialize)]
#[cfg_attr(feature = "docs", derive(schemars::JsonSchema))]
pub struct Report {
    /// Whether the guest does the same at each boot; in check mode, whether it would.
    pub installed: bool,
    /// Files and links that were or would be changed.
    pub changed: Vec<String>,
}

/// What came of it, or why it came to an end.
pub type Answer = std::result::Result<Outcome<Report>, Failure<Report>>;

/// Tells the plan.
pub fn predict(desired: &Desired, plan: &Plan) -> Outcome<Report> {
    let mut outcome = outcome(desired, plan, plan.0.len());
    if outcome.changed {
        outcome.msg = match desired {
            Desired::Installed(_) => "What the guest runs at each boot would be installed.".into(),
            Desired::Removed => "What the guest runs at each boot would be removed.".into(),
        };
    }
    outcome
}

/// Writes and removes files; each is whole or not there.
///
/// # Errors
/// `boot.*`, `file.*`.
pub fn apply(desired: &Desired, plan: &Plan) -> Answer {
    desired.paths().iter().try_for_each(|(path, _)| durable::settle(Path::new(path)))?;
    let mut warnings = Vec::new();
    for (done, change) in plan.0.iter().enumerate() {
        let path = Path::new(change.path);
        // True once it has its name, whatever fails after that.
        let mut changed = false;
        let made = match &change.wanted {
            Wanted::File(mode, content) => put(path, *mode, content, &mut changed),
            Wanted::Link(target) => link(path, target, &mut changed),
            Wanted::Nothing => remove(path, &mut changed),
            // Only in check mode, which does not come here.
            Wanted::Unknown(_) => Ok(()),
        };
        if let Err(fault) = made {
            return Err(Failure::over(fault, outcome(desired, plan, done + usize::from(changed))));
        }
    }
    if !plan.0.is_empty() && Path::new("/run/systemd/system").exists() {
        warnings.extend(reload().err());
    }
    let mut outcome = outcome(desired, plan, plan.0.len());
    outcome.warnings = warnings.iter().map(warning).collect();
    Ok(outcome)
}

/// A link that is there is replaced, and what it leads to is left alone.
fn put(path: &Path, mode: u32, content: &[u8], changed: &mut bool) -> Result<()> {
    folder_of(path)?;
    let attributes = Attributes { mode, uid: Some(0), gid: Some(0) };
    durable::replace(path, content, &attributes, changed)
}

fn link(path: &Path, target: &str, changed: &mut bool) -> Result<()> {
    folder_of(path)?;
    Folder::lock(path)?.replace_link(path, target, changed)
}

fn remove(path: &Path, changed: &mut bool) -> Result<()> {
    durable::remove(path, changed)?;
    // Our own folders go with the last file in them; one of the system's never is empty, nor ours to remove.
    if let Some(folder) = path.parent().filter(|folder| folder.ends_with("seguest.pv")) {
        match fs::remove_dir(folder) {
            Err(e) if ![ErrorKind::NotFound, ErrorKind::DirectoryNotEmpty].contains(&e.kind()) => {
                return Err(durable::unwritable(folder, &e));
            }
            _ => {}
        }
    }
    Ok(())
}

/// The folder is there, made if it is not, and nobody but root can change it.
fn folder_of(path: &Path) -> Result<()> {
    let Some(folder) = path.parent() else { return Ok(()) };
    let missing: Vec<&Path> = folder.ancestors().take_while(|part| fs::symlink_metadata(part).is_err()).collect();
    for part in missing.into_iter().rev() {
        // Whatever the umask: others must get through a folder of the system.
        let made = DirBuilder::new().mode(0o755).create(part);
        made.and_then(|()| fs::set_permissions(part, fs::Permissions::from_mode(0o755)))
            .map_err(|e| durable::unwritable(part, &e))?;
    }
    match observe::unsafe_part(folder) {
        Some(why) => Err(Fault::new(codes::UNSAFE_FOLDER, format!("{} was not written: {why}.", path.display()))
            .hint("Let root own the folder, and remove write permission for others (chown root:root, chmod go-w).")),
        None => Ok(()),
    }
}

/// Lets systemd read its units anew.
fn reload() -> Result<()> {
    let failed = |why: String| {
        Fault::new(codes::RELOAD, format!("systemd did not reload its units: systemctl daemon-reload {why}."))
            .hint("Run it by hand, or ignore this: systemd reads them at the next boot.")
    };
    let mut command = Command::new("systemctl");
    command.arg("daemon-reload").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().map_err(|e| failed(format!("could not be started ({e})")))?;
    let since = Instant::now();
    loop {
        match child.try_wait() {
            Ok(Some(status)) if status.success() => return Ok(()),
            Ok(Some(status)) => return Err(failed(format!("ended with {status}"))),
            Ok(None) if since.elapsed() < PATIENCE => std::thread::sleep(Duration::from_millis(5)),
            _ => {
                let _ = child.kill().and_then(|()| child.wait());
                return Err(failed(format!("did not end within {} s", PATIENCE.as_secs())));
            }
        }
    }
}

/// The first `done` changes of the plan.
fn outcome(desired: &Desired, plan: &Plan, done: usize) -> Outcome<Report> {
    let changes = plan.0.get(..done).unwrap_or_default();
    let diff = |(path, (before, after)): (&str, &(String, String))| Diff {
        subject: path.to_owned(),
        before: before.clone(),
        after: after.clone(),
    };
    let installed = matches!(desired, Desired::Installed(_));
    Outcome {
        changed: !changes.is_empty(),
        msg: match (installed, changes.is_empty()) {
            (true, true) => "What the guest runs at each boot is as wanted.".into(),
            (true, false) => "What the guest runs at each boot is installed.".into(),
            (false, _) => "What the guest ran at each boot is removed.".into(),
        },
        warnings: Vec::new(),
        diff: changes.iter().map(|change| diff((change.path, &change.words))).collect(),
        predicted_partial: !plan.is_certain(),
        report: Report { installed, changed: changes.iter().map(|change| change.path.to_owned()).collect() },
    }
}
