//! What is to be changed for the boot: a pure function of what is wanted and what is there.

use super::codes;
use super::desired::{Desired, Wanted};
use super::observe::{At, Observed};
use fault::{Fault, Result};

/// One path that is not as wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The path.
    pub path: &'static str,
    /// What is to be there.
    pub wanted: Wanted,
    /// How that differs, in words: before and after.
    pub words: (String, String),
}

/// All that is to be changed, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan(pub Vec<Change>);

impl Plan {
    /// Whether what is to be written is known for all of it.
    pub fn is_certain(&self) -> bool {
        self.0.iter().all(|change| !matches!(change.wanted, Wanted::Unknown(_)))
    }
}

/// Compares. What starts the others is the last to come and the first to go.
///
/// # Errors
/// `boot.no_systemd`, `boot.unsafe_folder`, `boot.not_ours`, `file.unwritable`.
pub fn plan(desired: &Desired, observed: &Observed) -> Result<Plan> {
    let mut changes = Vec::new();
    for (at, ((path, wanted), found)) in desired.paths().into_iter().zip(&observed.paths).enumerate() {
        if is(found, &wanted) {
            continue;
        }
        if let Some(Some(fault)) = observed.unwritable.get(at) {
            return Err(fault.clone());
        }
        if let (Wanted::Link(_), At::File { .. }) = (&wanted, found) {
            let detail = format!("{path} is a file and not a link; it is left as it is.");
            return Err(Fault::new(codes::NOT_OURS, detail).hint("Move it away."));
        }
        let words = (before(found), after(&wanted, found));
        changes.push(Change { path, wanted, words });
    }
    match desired {
        Desired::Removed => changes.reverse(),
        Desired::Installed(_) => {
            if !observed.systemd {
                return Err(Fault::new(
                    codes::NO_SYSTEMD,
                    "The guest has no systemd, so it cannot run anything of this collection at boot.",
                )
                .hint("Leave at_boot out, and run the task after each boot of the guest."));
            }
            if let Some(why) = &observed.unsafe_folder {
                return Err(Fault::new(codes::UNSAFE_FOLDER, format!("Nothing is installed for the guest's boot: {why}, so others could replace what root runs at boot."))
                    .hint("Let root own the folder, and remove write permission for others (chown root:root, chmod go-w)."));
            }
        }
    }
    Ok(Plan(changes))
}

fn is(at: &At, wanted: &Wanted) -> bool {
    match (at, wanted) {
        (At::File { mode, uid: 0, same }, Wanted::File(wanted, _)) => *same && mode == wanted,
        (At::Link(target), Wanted::Link(wanted)) => target == wanted,
        (At::Nothing, Wanted::Nothing) => true,
        _ => false,
    }
}

fn before(at: &At) -> String {
    match at {
        At::Nothing => String::new(),
        At::File { mode, uid, .. } => format!("mode: {mode:04o}\nowner: {uid}\n"),
        At::Link(_) => "link\n".into(),
    }
}

fn after(wanted: &Wanted, at: &At) -> String {
    let content = match (wanted, at) {
        (Wanted::File(..), At::File { same: true, .. }) => "",
        (Wanted::File(..), At::File { same: false, .. }) => "content: other\n",
        (Wanted::Unknown(_), _) => "content: not known yet\n",
        _ => "",
    };
    match wanted {
        Wanted::File(mode, _) | Wanted::Unknown(mode) => format!("mode: {mode:04o}\nowner: 0\n{content}"),
        Wanted::Link(target) => format!("link: {target}\n"),
        Wanted::Nothing => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{ARGUMENTS, Installed, LINK, PROGRAM, UNIT};
    use super::*;

    fn installed() -> Desired {
        Desired::Installed(Installed { program: vec![1], arguments: Some(vec![2]), before: Vec::new() })
    }

    fn file(mode: u32) -> At {
        At::File { mode, uid: 0, same: true }
    }

    fn whole() -> Vec<At> {
        vec![file(0o700), file(0o600), file(0o644), At::Link("../seguest-pv.service".into())]
    }

    fn paths(desired: &Desired, paths: Vec<At>) -> Vec<&'static str> {
        let observed = Observed { paths, systemd: true, unsafe_folder: None, unwritable: Vec::new() };
        plan(desired, &observed).unwrap().0.into_iter().map(|change| change.path).collect()
    }

    #[test]
    fn what_starts_the_others_comes_last_and_goes_first() {
        let nothing = vec![At::Nothing, At::Nothing, At::Nothing, At::Nothing];
        assert_eq!(paths(&installed(), nothing.clone()), [PROGRAM, ARGUMENTS, UNIT, LINK]);
        assert_eq!(paths(&Desired::Removed, whole()), [LINK, UNIT, ARGUMENTS, PROGRAM]);
        assert!(paths(&installed(), whole()).is_empty());
        assert!(paths(&Desired::Removed, nothing).is_empty());
    }

    #[test]
    fn another_content_mode_owner_or_kind_is_a_difference() {
        for wrong in [
            At::File { mode: 0o600, uid: 0, same: false },
            file(0o644),
            At::File { mode: 0o600, uid: 7, same: true },
            At::Link("elsewhere".into()),
            At::Nothing,
        ] {
            let mut there = whole();
            there[1] = wrong;
            assert_eq!(paths(&installed(), there), [ARGUMENTS]);
        }
    }

    #[test]
    fn nothing_is_installed_where_it_would_not_run_or_others_could_exchange_it() {
        let observed =
            |systemd, unsafe_folder| Observed { paths: whole(), systemd, unsafe_folder, unwritable: Vec::new() };
        let code = |desired: &Desired, observed: &Observed| plan(desired, observed).err().map(|fault| fault.code);
        assert_eq!(code(&installed(), &observed(false, None)), Some(codes::NO_SYSTEMD));
        assert_eq!(code(&installed(), &observed(true, Some("x".into()))), Some(codes::UNSAFE_FOLDER));
        assert_eq!(code(&Desired::Removed, &observed(false, Some("x".into()))), None);
    }

    #[test]
    fn what_is_in_the_way_or_cannot_be_written_is_known_before_anything_is() {
        let full = Fault::new(fault::file::UNWRITABLE, "It is full.");
        let code = |paths, unwritable| {
            let observed = Observed { paths, systemd: true, unsafe_folder: None, unwritable };
            plan(&installed(), &observed).err().map(|fault| fault.code)
        };
        let mut there = whole();
        there[3] = file(0o644);
        assert_eq!(code(there, Vec::new()), Some(codes::NOT_OURS));
        let mut there = whole();
        there[1] = At::Nothing;
        assert_eq!(code(there.clone(), vec![None, Some(full.clone())]), Some(full.code));
        // Where nothing is to be written, nothing need be writable.
        assert_eq!(code(there, vec![Some(full.clone()), None]), None);
        assert_eq!(code(whole(), vec![Some(full)]), None);
    }

    #[test]
    fn a_request_that_is_not_built_yet_leaves_the_content_open() {
        let unknown = Desired::Installed(Installed { program: vec![1], arguments: None, before: Vec::new() });
        let plan =
            plan(&unknown, &Observed { paths: whole(), systemd: true, unsafe_folder: None, unwritable: Vec::new() })
                .unwrap();
        assert!(plan.0.len() == 1 && !plan.is_certain());
    }
}
