//! The plan carried out, or in check mode told.

use super::desired::{Desired, Wanted};
use super::plan::Plan;
use super::{codes, observe, systemd};
use ansible_contract::{Diff, Failure, Outcome, warning};
use durable::{Attributes, Folder};
use fault::{Fault, Result};
use serde::Serialize;
use std::fs::{self, DirBuilder};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::Path;

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
    if !plan.0.is_empty() && systemd::runs() {
        warnings.extend(systemd::reload().err());
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

#[cfg(test)]
mod tests {
    use super::super::plan::Change;
    use super::super::{Installed, LINK, PROGRAM};
    use super::*;

    fn change(path: &'static str, wanted: Wanted) -> Change {
        Change { path, wanted, words: ("before\n".into(), "after\n".into()) }
    }

    fn installed() -> Desired {
        Desired::Installed(Installed { program: Vec::new(), arguments: None, before: Vec::new() })
    }

    #[test]
    fn what_is_reported_are_the_changes_that_were_made_and_no_others() {
        let plan = Plan(vec![change(PROGRAM, Wanted::File(0o700, Vec::new())), change(LINK, Wanted::Link("there"))]);
        let none = outcome(&installed(), &plan, 0);
        assert!(!none.changed && none.diff.is_empty() && none.report.changed.is_empty() && none.report.installed);
        let one = outcome(&installed(), &plan, 1);
        assert!(one.changed && !one.predicted_partial);
        assert_eq!(one.report.changed, [PROGRAM]);
        assert_eq!(
            one.diff.iter().map(|diff| (&*diff.subject, &*diff.before, &*diff.after)).collect::<Vec<_>>(),
            [(PROGRAM, "before\n", "after\n")]
        );
        assert_eq!(outcome(&installed(), &plan, 2).report.changed, [PROGRAM, LINK]);
        assert!(!outcome(&Desired::Removed, &plan, 2).report.installed);
    }

    #[test]
    fn what_is_said_fits_what_was_done_and_check_mode_says_that_it_would_be() {
        let plan = Plan(vec![change(LINK, Wanted::Link("there"))]);
        let nothing = Plan::default();
        assert!(outcome(&installed(), &nothing, 0).msg.ends_with("is as wanted."));
        assert!(outcome(&installed(), &plan, 1).msg.ends_with("is installed."));
        assert!(outcome(&Desired::Removed, &plan, 1).msg.ends_with("is removed."));
        assert!(predict(&installed(), &plan).msg.ends_with("would be installed."));
        assert!(predict(&Desired::Removed, &plan).msg.ends_with("would be removed."));
        assert!(predict(&installed(), &nothing).msg.ends_with("is as wanted."));
        let unknown = Plan(vec![change(PROGRAM, Wanted::Unknown(0o600))]);
        assert!(predict(&installed(), &unknown).predicted_partial);
    }

    #[test]
    fn our_own_folder_goes_with_its_last_file_and_no_other_does() {
        let place = tempfile::tempdir().unwrap();
        let removed = |path: &Path| {
            let mut changed = false;
            remove(path, &mut changed).unwrap();
            changed
        };
        for (folder, goes) in [("seguest.pv", true), ("of_the_system", false)] {
            let folder = place.path().join(folder);
            fs::create_dir(&folder).unwrap();
            for name in ["one", "two"] {
                fs::write(folder.join(name), "").unwrap();
            }
            assert!(removed(&folder.join("one")));
            assert!(folder.join("two").is_file() && !folder.join("one").exists(), "{folder:?}");
            assert!(removed(&folder.join("two")));
            assert_eq!(folder.exists(), !goes, "{folder:?}");
            assert!(!removed(&folder.join("two")), "it was not there any more");
        }
    }

    #[test]
    fn a_folder_that_cannot_be_removed_is_reported() {
        let place = tempfile::tempdir().unwrap();
        // A link has no entries, and is no folder to remove.
        let folder = place.path().join("seguest.pv");
        fs::create_dir(place.path().join("elsewhere")).unwrap();
        std::os::unix::fs::symlink("elsewhere", &folder).unwrap();
        let fault = remove(&folder.join("guest"), &mut false).unwrap_err();
        assert_eq!(fault.code, fault::file::UNWRITABLE);
    }
}
