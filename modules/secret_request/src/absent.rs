//! A request that is not to be there.

use crate::apply::is_backup;
use crate::codes;
use crate::manifest::{Manifest, Recorded, request_of};
use crate::plan::{ID_FILE_LIMIT, check_ours};
use crate::progress::Progress;
use crate::wanted::Absent;
use ansible_contract::Diff;
use fault::{Fault, Result};
use pv_request::IdFile;
use pv_wire::layout;
use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use trusted::StateKey;

/// Removes request and manifest, and the id file if it is this request's alone.
///
/// # Errors
/// `request.not_ours` for something else in the request's place; the `file.*` codes.
pub fn absent(
    wanted: &Absent,
    check_mode: bool,
    key: Option<&StateKey>,
    users: &mut IdFileUsers,
    progress: &mut Progress,
) -> Result<()> {
    let (path, manifest) = (&wanted.path, Manifest::path(&wanted.path));
    let found = durable::read(path, layout::MAX_REQUEST_LEN as u64, codes::NOT_OURS)?;
    let recorded = Manifest::read(path, key)?;
    if let Some(found) = &found {
        check_ours(path, found, &recorded)?;
    }
    // A manifest that anybody may have written removes nothing elsewhere.
    let beside = |id_file: &PathBuf| durable::identity(id_file).parent() == durable::identity(path).parent();
    let named = recorded.said().and_then(|said| said.id_file_of(path));
    let named = named.filter(|id_file| recorded.trusted().is_some() || beside(id_file));
    let id_file = wanted.id_file.clone().or(named);
    let name = wanted.name.clone().or_else(|| recorded.said().and_then(|said| said.inputs.name.clone()));
    progress.entry.name.clone_from(&name);
    progress.entry.id_file = id_file.as_ref().map(|id_file| id_file.display().to_string());

    // The manifest last: as long as it is there, a run after an interruption knows the id file.
    let mut remove = Vec::new();
    if let Some(id_file) = id_file {
        match keep_id_file(&id_file, &manifest, name.as_deref(), users)? {
            IdFileIs::Absent => {}
            IdFileIs::Kept(why) => progress.warn(
                &Fault::new(codes::LEFT_IN_PLACE, format!("{} was not removed: {why}.", id_file.display()))
                    .hint("Remove it yourself if nothing needs it."),
            ),
            IdFileIs::Ours => remove.push(id_file),
        }
    }
    remove.extend(found.is_some().then(|| path.clone()));
    remove.extend(kept(path)?);
    match recorded {
        Recorded::Absent => {}
        Recorded::Untrusted(None) if found.is_none() => {
            let detail = format!("{} was not removed: it is not a manifest of a request.", manifest.display());
            progress.warn(&Fault::new(codes::LEFT_IN_PLACE, detail).hint("Remove it yourself if nothing needs it."));
        }
        Recorded::Untrusted(_) | Recorded::Trusted(_) => remove.push(manifest),
    }
    for path in remove {
        if check_mode || durable::remove(&path, &mut progress.entry.changed)? {
            let subject = path.display().to_string();
            progress.changed(Diff { subject, before: "state: present\n".into(), after: "state: absent\n".into() });
        }
    }
    Ok(())
}

/// The requests that O(backup) kept when this one was replaced: as long as they are there, the secret can be had from them.
fn kept(path: &Path) -> Result<Vec<PathBuf>> {
    let identity = durable::identity(path);
    let folder = identity.parent().unwrap_or(Path::new("/"));
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(durable::unreadable(folder, &e)),
    };
    let mut kept = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|e| durable::unreadable(folder, &e))?;
        if !entry.file_name().to_str().is_some_and(|name| is_backup(name, path)) {
            continue;
        }
        let found = match durable::read(&entry.path(), layout::MAX_REQUEST_LEN as u64, codes::NOT_OURS) {
            // Something else that only has such a name.
            Err(fault) if fault.code == codes::NOT_OURS => continue,
            found => found?,
        };
        if found.is_some_and(|found| found.bytes.starts_with(&layout::MAGIC)) {
            kept.push(entry.path());
        }
    }
    kept.sort();
    Ok(kept)
}

/// What an id file is to a request that goes.
enum IdFileIs {
    /// There is none.
    Absent,
    /// This request's alone.
    Ours,
    /// Not to be removed, and why: it belongs to another request, or it is none or another secret's.
    Kept(String),
}

/// What an id file is. One that cannot be read may be anything, so nothing is removed then, or nobody would know of it any more.
fn keep_id_file(id_file: &Path, manifest: &Path, name: Option<&str>, users: &mut IdFileUsers) -> Result<IdFileIs> {
    let found = match durable::read(id_file, ID_FILE_LIMIT, codes::NOT_OURS) {
        Err(fault) if fault.code == codes::NOT_OURS => return Ok(IdFileIs::Kept("it is not an id file".into())),
        found => found?,
    };
    let Some(found) = found else { return Ok(IdFileIs::Absent) };
    let parsed = String::from_utf8(found.bytes).ok().and_then(|text| IdFile::parse(&text, "").ok());
    let Some(parsed) = parsed else { return Ok(IdFileIs::Kept("it is not an id file".into())) };
    if name.is_some_and(|name| name != parsed.name) {
        return Ok(IdFileIs::Kept(format!("it names another secret, {:?}", parsed.name)));
    }
    let other = users.other_than(manifest, id_file)?;
    let used = |request: PathBuf| IdFileIs::Kept(format!("the request {} uses it, too", request.display()));
    Ok(other.map_or(IdFileIs::Ours, used))
}

/// Which requests' manifests name which id file, of the folders that were looked at. Kept for a whole task: to look
/// again for each of thousands of requests in one folder would take hours.
#[derive(Default)]
pub struct IdFileUsers {
    folders: HashMap<PathBuf, HashMap<PathBuf, BTreeSet<PathBuf>>>,
}

impl IdFileUsers {
    /// A request in the id file's folder other than the manifest's own whose manifest names the id file, whoever
    /// wrote it: a file that somebody else relies on is not removed. From now on the manifest itself counts as gone.
    fn other_than(&mut self, manifest: &Path, id_file: &Path) -> Result<Option<PathBuf>> {
        let id_file = durable::identity(id_file);
        let folder = id_file.parent().unwrap_or(Path::new("/"));
        if !self.folders.contains_key(folder) {
            self.folders.insert(folder.to_owned(), look_into(folder)?);
        }
        let Some(users) = self.folders.get_mut(folder).and_then(|named| named.get_mut(&id_file)) else {
            return Ok(None);
        };
        let own = request_of(&durable::identity(manifest));
        own.map(|own| users.remove(&own));
        Ok(users.first().cloned())
    }

    /// Forgets what was seen: requests may have come since.
    pub fn forget(&mut self) {
        self.folders.clear();
    }
}

/// The id files that manifests in a folder name, and the requests that have them. `folder` is an identity.
fn look_into(folder: &Path) -> Result<HashMap<PathBuf, BTreeSet<PathBuf>>> {
    let mut named: HashMap<_, BTreeSet<_>> = HashMap::new();
    for entry in fs::read_dir(folder).map_err(|e| durable::unreadable(folder, &e))? {
        let entry = entry.map_err(|e| durable::unreadable(folder, &e))?.path();
        let Some(request) = request_of(&entry) else { continue };
        let recorded = match Manifest::read(&request, None) {
            // Something else that only has such a name.
            Err(fault) if fault.code == codes::NOT_OURS => continue,
            recorded => recorded?,
        };
        if let Some(id_file) = recorded.said().and_then(|said| said.id_file_of(&request)) {
            named.entry(durable::identity(&id_file)).or_default().insert(request);
        }
    }
    Ok(named)
}
