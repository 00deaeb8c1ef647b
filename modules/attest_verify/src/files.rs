//! The files that the options name: which of them are written, and that none of these is another one's, or is read.

use crate::options::{Options, Secret};
use ansible_contract::{PathText, codes as args};
use fault::{Fault, Result};
use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use trusted::{Entries, Layered as _, refuse_same_files};

/// The key's file of an answer: `key_file`, or else that beside `request`, as far as they are named.
pub fn key_file(key_file: Option<&PathText>, request: Option<&PathText>) -> Option<PathBuf> {
    let beside = || {
        let mut path = OsString::from(request?.as_path());
        path.push(".key");
        Some(PathBuf::from(path))
    };
    key_file.map(|file| file.as_path().to_owned()).or_else(beside)
}

/// Nothing that is written may be written over something else that is written, or over something that is read or removed once it
/// was used: a signing key would be gone, and a verdict that is not affirming removes earlier results. Of several answers each
/// writes its own files.
///
/// # Errors
/// `args.duplicate_path` for files of two answers, `args.conflict` within one.
pub fn refuse_overlaps(entries: &Entries<Options>, report: Option<&Path>) -> Result<()> {
    let keys = entries.read().filter_map(|(at, own)| Some((at, key_of(own, &entries.shared)?)));
    refuse_same_files(keys, Options::LIST)?;
    let mut written: HashMap<PathBuf, Named> = HashMap::new();
    let report = report.map(|path| Named { at: None, option: "report", path: path.to_owned() });
    let own = entries.read().flat_map(|(at, own)| written_of(at, own, &entries.shared));
    for named in report.into_iter().chain(own) {
        let file = durable::identity(&named.path);
        if let Some(other) = written.get(&file) {
            return Err(named.overlap(other));
        }
        written.insert(file, named);
    }
    // There may be thousands of answers, and finding out which file a path means takes long: only where the names are alike.
    let names: HashSet<OsString> = written.keys().filter_map(|file| file.file_name().map(ToOwned::to_owned)).collect();
    let read = entries.read().flat_map(|(at, own)| read_of(at, own, &entries.shared));
    for named in read.filter(|named| named.path.file_name().is_some_and(|name| names.contains(name))) {
        if let Some(other) = written.get(&durable::identity(&named.path)) {
            return Err(named.overlap(other));
        }
    }
    Ok(())
}

/// A file that an option names.
#[derive(Debug)]
struct Named {
    /// The answer's place in the list; `None` for the task's own.
    at: Option<usize>,
    option: &'static str,
    path: PathBuf,
}

impl Named {
    fn overlap(&self, other: &Self) -> Fault {
        let file = self.path.display();
        if self.at == other.at {
            let detail = format!("The options {} and {} name the same file, {file}.", other.option, self.option);
            return Fault::new(args::CONFLICT, detail).hint("Choose another place for the one that is written.");
        }
        let of = |named: &Self| match named.at {
            Some(at) => format!("{} of responses[{at}]", named.option),
            None => named.option.to_owned(),
        };
        let detail = format!("{} and {} name the same file, {file}.", of(other), of(self));
        Fault::new(trusted::codes::DUPLICATE_PATH, detail).hint("Give each of them a file of its own.")
    }
}

/// An option of an answer, or else the task's.
fn laid<'a, T>(own: &'a Option<T>, shared: &'a Option<T>) -> Option<&'a T> {
    own.as_ref().or(shared.as_ref())
}

fn key_of(own: &Options, shared: &Options) -> Option<PathBuf> {
    key_file(laid(&own.key_file, &shared.key_file), laid(&own.request, &shared.request))
}

fn written_of<'a>(at: usize, own: &'a Options, shared: &'a Options) -> impl Iterator<Item = Named> + use<'a> {
    let options = [
        ("cuid_file", laid(&own.cuid_file, &shared.cuid_file)),
        ("ear_file", laid(&own.ear_file, &shared.ear_file)),
        ("yaml_file", laid(&own.yaml_file, &shared.yaml_file)),
    ];
    options
        .into_iter()
        .filter_map(move |(option, path)| Some(Named { at: Some(at), option, path: path?.as_path().to_owned() }))
}

fn read_of<'a>(at: usize, own: &'a Options, shared: &'a Options) -> impl Iterator<Item = Named> + use<'a> {
    let one = [
        ("path", laid(&own.path, &shared.path)),
        ("request", laid(&own.request, &shared.request)),
        ("image", laid(&own.image, &shared.image)),
        ("root_ca", laid(&own.root_ca, &shared.root_ca)),
        ("signing_key", laid(&own.signing_key, &shared.signing_key)),
        ("user_data_file", laid(&own.user_data_file, &shared.user_data_file)),
        ("firmware_ca", laid(&own.firmware_ca, &shared.firmware_ca)),
    ];
    let many = [
        ("image_host_keys", laid(&own.image_host_keys, &shared.image_host_keys)),
        ("attestation_host_keys", laid(&own.attestation_host_keys, &shared.attestation_host_keys)),
        ("certificates", laid(&own.certificates, &shared.certificates)),
        ("crls", laid(&own.crls, &shared.crls)),
        ("known_hosts", laid(&own.known_hosts, &shared.known_hosts)),
    ];
    let secrets = laid(&own.secrets, &shared.secrets).into_iter().flatten().filter_map(|secret| match secret {
        Secret::Path(path) => Some(path),
        Secret::Known(known) => known.path.as_ref(),
    });
    let one = one.into_iter().filter_map(|(option, path)| Some((option, path?)));
    let many = many.into_iter().flat_map(|(option, paths)| paths.into_iter().flatten().map(move |path| (option, path)));
    let named = one.chain(many).chain(secrets.map(|path| ("secrets", path)));
    let named = named.map(|(option, path): (_, &PathText)| (option, path.as_path().to_owned()));
    let key = key_of(own, shared).map(|path| ("key_file", path));
    key.into_iter().chain(named).map(move |(option, path)| Named { at: Some(at), option, path })
}
