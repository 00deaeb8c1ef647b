//! The collection's tarball, the same bytes from the same files: ansible-galaxy packs in the folder's order, with the
//! times and the user of the moment.

use anyhow::{Context, Result};
use flate2::{Compression, GzBuilder, read::GzDecoder};
use pv_wire::encode_hex;
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::io::Read;
use tar::{Archive, Builder, EntryType, Header};

/// Kind, mode and content by name.
type Entries = BTreeMap<String, (EntryType, u32, Vec<u8>)>;

/// Packs a collection's tarball again: files in order, the time given (seconds since 1970), root's, modes 0755 and 0644.
///
/// # Errors
/// If it is no collection's tarball.
pub fn repack(tarball: &[u8], time: u64) -> Result<Vec<u8>> {
    let mut entries = Entries::new();
    for entry in Archive::new(GzDecoder::new(tarball)).entries()? {
        let mut entry = entry?;
        let name = entry.path()?.to_string_lossy().trim_end_matches('/').to_owned();
        let mut content = Vec::new();
        entry.read_to_end(&mut content)?;
        entries.insert(name, (entry.header().entry_type(), entry.header().mode()?, content));
    }
    // The list of files is in the folder's order too, and the manifest has the list's hash.
    let list = file(&mut entries, "FILES.json")?;
    *list = sorted_list(list)?;
    let hash = encode_hex(&Sha256::digest(&*list));
    let manifest = file(&mut entries, "MANIFEST.json")?;
    let mut value: Value = serde_json::from_slice(manifest)?;
    let place =
        value.pointer_mut("/file_manifest_file/chksum_sha256").context("MANIFEST.json has no hash of FILES.json")?;
    *place = hash.into();
    *manifest = serde_json::to_vec_pretty(&value)?;

    let mut builder = Builder::new(GzBuilder::new().mtime(0).write(Vec::new(), Compression::best()));
    for (name, (kind, mode, content)) in &entries {
        let mut header = Header::new_ustar();
        header.set_entry_type(*kind);
        header.set_size(content.len() as u64);
        header.set_mode(if kind.is_dir() || mode & 0o100 != 0 { 0o755 } else { 0o644 });
        header.set_mtime(time);
        header.set_uid(0);
        header.set_gid(0);
        builder.append_data(&mut header, name, content.as_slice())?;
    }
    Ok(builder.into_inner()?.finish()?)
}

fn file<'a>(entries: &'a mut Entries, name: &str) -> Result<&'a mut Vec<u8>> {
    Ok(&mut entries.get_mut(name).with_context(|| format!("the tarball has no {name}"))?.2)
}

fn sorted_list(list: &[u8]) -> Result<Vec<u8>> {
    let mut value: Value = serde_json::from_slice(list)?;
    let files = value.get_mut("files").and_then(Value::as_array_mut).context("FILES.json has no list of files")?;
    files.sort_by_key(|file| file.get("name").and_then(Value::as_str).map(str::to_owned));
    Ok(serde_json::to_vec_pretty(&value)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// A tarball as ansible-galaxy makes one, with its files in the order given.
    fn tarball(names: &[&str], time: u64, user: u64) -> Vec<u8> {
        let list = json!({"files": names.iter().map(|name| json!({"name": name})).collect::<Vec<_>>(), "format": 1});
        let list = serde_json::to_vec(&list).unwrap();
        let manifest = json!({"file_manifest_file": {"chksum_sha256": encode_hex(&Sha256::digest(&list))}});
        let manifest = serde_json::to_vec(&manifest).unwrap();
        let mut files = vec![("MANIFEST.json", manifest), ("FILES.json", list)];
        files.extend(names.iter().map(|name| (*name, name.as_bytes().to_vec())));
        let mut builder = Builder::new(GzBuilder::new().mtime(7).write(Vec::new(), Compression::fast()));
        for (name, content) in files {
            let mut header = Header::new_gnu();
            header.set_size(content.len() as u64);
            header.set_mode(if name.starts_with("files/") { 0o775 } else { 0o664 });
            header.set_mtime(time);
            header.set_uid(user);
            header.set_gid(user);
            builder.append_data(&mut header, name, content.as_slice()).unwrap();
        }
        builder.into_inner().unwrap().finish().unwrap()
    }

    #[test]
    fn order_time_user_and_umask_of_the_packing_leave_no_trace() {
        let one = repack(&tarball(&["README.md", "files/s390x/facts"], 1, 1000), 99).unwrap();
        let other = repack(&tarball(&["files/s390x/facts", "README.md"], 2, 0), 99).unwrap();
        assert_eq!(one, other);
        assert_ne!(
            one,
            repack(&tarball(&["README.md", "files/s390x/facts"], 1, 1000), 98).unwrap(),
            "the time given is in it"
        );
    }

    #[test]
    fn hashes_still_fit_and_programs_stay_executable() {
        let packed = repack(&tarball(&["files/s390x/facts", "README.md"], 1, 1000), 99).unwrap();
        let mut files = BTreeMap::new();
        for entry in Archive::new(GzDecoder::new(packed.as_slice())).entries().unwrap() {
            let mut entry = entry.unwrap();
            let mut content = Vec::new();
            entry.read_to_end(&mut content).unwrap();
            files.insert(
                entry.path().unwrap().to_string_lossy().into_owned(),
                (entry.header().mode().unwrap(), content),
            );
        }
        let manifest: Value = serde_json::from_slice(&files["MANIFEST.json"].1).unwrap();
        let hash = encode_hex(&Sha256::digest(&files["FILES.json"].1));
        assert_eq!(manifest["file_manifest_file"]["chksum_sha256"], Value::from(hash));
        assert_eq!((files["files/s390x/facts"].0, files["README.md"].0), (0o755, 0o644));
        assert_eq!(files["files/s390x/facts"].1, b"files/s390x/facts");
    }

    #[test]
    fn what_is_no_collection_is_refused() {
        assert!(repack(b"no tarball", 99).is_err());
        let mut builder = Builder::new(GzBuilder::new().write(Vec::new(), Compression::fast()));
        let mut header = Header::new_ustar();
        header.set_size(1);
        header.set_mode(0o644);
        builder.append_data(&mut header, "README.md", b"x".as_slice()).unwrap();
        let error = repack(&builder.into_inner().unwrap().finish().unwrap(), 99).unwrap_err();
        assert_eq!(error.to_string(), "the tarball has no FILES.json");
    }
}
