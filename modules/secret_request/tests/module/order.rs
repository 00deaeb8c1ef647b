//! The rules by which files become durable, checked on what a run did. Pure.

use file_trace::Call;
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

/// Which file must be durable, with its name, before which other one gets its name.
pub struct Rules<'a> {
    /// Pairs: first the one that is needed.
    pub before: Vec<(&'a Path, &'a Path)>,
    /// Names that are given once and never again.
    pub kept: Vec<&'a Path>,
}

/// A file without its name.
#[derive(Default)]
struct Temp {
    written: bool,
    mode_set: bool,
    synced: bool,
}

/// What a run did, as far as it is known to be durable.
#[derive(Default)]
struct Disk {
    temps: HashMap<PathBuf, Temp>,
    /// Names that a power failure may take back: given, but their folder is not synced since.
    pending: HashSet<PathBuf>,
    /// Names that are given, and second names of files that have theirs.
    named: HashSet<PathBuf>,
    linked: HashMap<PathBuf, PathBuf>,
}

/// Checks the calls of one run. The error says which rule is broken.
pub fn check(calls: &[Call], rules: &Rules) -> Result<(), String> {
    let mut disk = Disk::default();
    for call in calls {
        step(call, rules, &mut disk).map_err(|why| format!("{call:?}: {why}"))?;
    }
    if let Some(path) = disk.pending.iter().next() {
        return Err(format!("the name {} is not durable at the end", path.display()));
    }
    match disk.temps.keys().chain(disk.linked.keys()).next() {
        Some(path) => Err(format!("{} is left", path.display())),
        None => Ok(()),
    }
}

fn is_temp(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_str().unwrap().ends_with(".seguest-tmp"))
}

fn step(call: &Call, rules: &Rules, disk: &mut Disk) -> Result<(), String> {
    let temp_of = |disk: &Disk, path: &Path| disk.temps.contains_key(path).then_some(()).ok_or("a file with a name");
    match call {
        Call::Create(path) if is_temp(path) => {
            disk.temps.insert(path.clone(), Temp::default());
        }
        Call::Look(_) => {}
        Call::Create(_) => return Err("a file is opened for writing under its own name".into()),
        Call::MakeFolder(path) => {
            disk.pending.insert(path.clone());
        }
        Call::Write(path) => {
            temp_of(disk, path)?;
            let temp = disk.temps.get_mut(path).unwrap();
            (temp.written, temp.synced) = (true, false);
        }
        Call::Mode(path) | Call::Owner(path) => {
            temp_of(disk, path)?;
            let temp = disk.temps.get_mut(path).unwrap();
            (temp.mode_set, temp.synced) = (temp.mode_set || matches!(call, Call::Mode(_)), false);
        }
        Call::Sync(path) => match disk.temps.get_mut(path) {
            Some(temp) => temp.synced = true,
            None => disk.pending.retain(|name| name.parent() != Some(path)),
        },
        Call::Link(from, to) | Call::Rename(from, to) => {
            // A second name for a request that is replaced: its content has been durable for long. The manifest that
            // says so comes first.
            if !is_temp(from) {
                if let Some(other) = disk.pending.iter().next() {
                    return Err(format!("{} is not durable yet", other.display()));
                }
                disk.pending.insert(to.clone());
                return Ok(());
            }
            let temp = disk.temps.remove(from).ok_or("a temporary file that this run did not make")?;
            if !(temp.written && temp.mode_set && temp.synced) {
                return Err("the file gets its name before content and mode are durable".into());
            }
            named(to, rules, disk)?;
            if matches!(call, Call::Link(..)) {
                disk.linked.insert(from.clone(), to.clone());
            } else if rules.kept.contains(&to.as_path()) {
                return Err("a secret may be written over".into());
            }
        }
        Call::Remove(path) => match disk.linked.remove(path) {
            Some(first) if disk.pending.contains(&first) => {
                return Err("the second name goes before the first is durable".into());
            }
            Some(_) => {}
            None if is_temp(path) => drop(disk.temps.remove(path)),
            None => return Err("a file with a name is removed".into()),
        },
    }
    Ok(())
}

/// A file gets its name: all that it needs must be durable, and all folders above it.
fn named(path: &Path, rules: &Rules, disk: &mut Disk) -> Result<(), String> {
    if let Some(folder) = disk.pending.iter().find(|folder| path.starts_with(folder) && *folder != path) {
        return Err(format!("its folder {} is not durable", folder.display()));
    }
    for (needed, _) in rules.before.iter().filter(|(_, then)| *then == path) {
        if !disk.named.contains(*needed) || disk.pending.contains(*needed) {
            return Err(format!("{} is not durable yet", needed.display()));
        }
    }
    // Whatever this run gave a name to and is needed by it, backups too.
    if let Some(other) = disk.pending.iter().find(|other| *other != path) {
        return Err(format!("{} is not durable yet", other.display()));
    }
    disk.named.insert(path.to_owned());
    disk.pending.insert(path.to_owned());
    Ok(())
}
