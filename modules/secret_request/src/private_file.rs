//! Files that hold secrets: who may have them, and making one.

use crate::codes;
use crate::seal::{self, Seal};
use ansible_contract::files::{self, Folder};
use fault::{Fault, Result};
use nix::libc::ELOOP;
use nix::unistd::geteuid;
use openssl::rand::rand_bytes;
use std::fs::{File, Metadata};
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use zeroize::Zeroizing;

/// The content of such a file, wiped when dropped.
pub type Private = Zeroizing<Vec<u8>>;

/// No secret or key is as large.
const LIMIT: u64 = 64 << 10;

const LEAST_BUFFER: usize = 64;

/// Size of a secret that is made.
pub const CREATED_LEN: usize = 32;

/// Reads a secret; `None` if its file does not exist.
///
/// # Errors
/// `file.insecure` unless it is a regular file of the effective user, with one name and no rights for others, and
/// `path` is no link; `file.unreadable`, `file.too_large`.
pub fn read(path: &Path) -> Result<Option<Private>> {
    let Some((mut file, mut metadata)) = open(path)? else { return Ok(None) };
    let mut names = 1;
    if metadata.nlink() == 2 {
        // Waits for a run that is just creating the file.
        let folder = Folder::lock(path)?;
        metadata = file.metadata().map_err(|e| files::unreadable(path, &e))?;
        names += u64::from(folder.left_by_creation(path).is_some());
    }
    check(path, &metadata, names)?;
    // Sized beforehand, so that growing leaves no copy behind; read_to_end probes smaller buffers with one of its own.
    let expected = usize::try_from(metadata.size().min(LIMIT)).unwrap_or(0);
    let mut bytes = Zeroizing::new(Vec::with_capacity(expected.max(LEAST_BUFFER) + 1));
    file.by_ref().take(LIMIT + 1).read_to_end(&mut bytes).map_err(|e| files::unreadable(path, &e))?;
    if bytes.len() as u64 > LIMIT {
        return Err(Fault::new(
            pv_request::codes::FILE_TOO_LARGE,
            format!("{} is larger than any secret or key.", path.display()),
        ));
    }
    Ok(Some(bytes))
}

/// Makes a file with 32 random bytes, closed by `seal`, unless it exists; gives the secret. `created` becomes true once
/// it was made, whatever fails after that.
///
/// # Errors
/// Those of [`read`] and [`Seal::open`], `request.secret_locked`, `file.missing` for its folder, `file.unwritable`, and
/// `request.crypto`.
pub fn create(path: &Path, seal: &Seal, created: &mut bool) -> Result<Private> {
    let mut bytes = Zeroizing::new(vec![0; CREATED_LEN]);
    rand_bytes(&mut bytes).map_err(|e| {
        Fault::new(pv_request::codes::CRYPTO, format!("OpenSSL could not make a random secret: {e}."))
            .hint("Check the system's OpenSSL and its crypto policy.")
    })?;
    Folder::lock(path)?.create(path, &seal.close(&bytes)?, created)?;
    if *created {
        return Ok(bytes);
    }
    // Another run was faster; its secret is the one.
    let existing = read(path)?.ok_or_else(|| {
        Fault::new(codes::SECRET_MISSING, format!("{} was there and has just been removed.", path.display()))
    })?;
    seal.open(existing, path)?.ok_or_else(|| seal::locked(path))
}

fn open(path: &Path) -> Result<Option<(File, Metadata)>> {
    let Some(file) = files::open(path).map_err(|e| match e.raw_os_error() {
        Some(ELOOP) => insecure(path, "it is a symbolic link", "Name the file itself."),
        _ => files::unreadable(path, &e),
    })?
    else {
        return Ok(None);
    };
    let metadata = file.metadata().map_err(|e| files::unreadable(path, &e))?;
    Ok(Some((file, metadata)))
}

fn check(path: &Path, metadata: &Metadata, names: u64) -> Result<()> {
    let (name, user, mode) = (path.display(), geteuid().as_raw(), metadata.mode() & 0o7777);
    if !metadata.is_file() {
        return Err(insecure(path, "it is no regular file", "Name a file that holds the bytes."));
    }
    if metadata.uid() != user {
        let what = format!("it belongs to user {}, and the task runs as user {user}", metadata.uid());
        return Err(insecure(path, &what, &format!("Run the task as its owner, or: chown {user} {name}")));
    }
    if mode & 0o077 != 0 {
        let what = format!("its mode {mode:04o} lets others at it");
        return Err(insecure(path, &what, &format!("If nobody has read it: chmod 600 {name}")));
    }
    if metadata.nlink() > names {
        let what = format!("it has {} names (hard links)", metadata.nlink());
        return Err(insecure(path, &what, &format!("Find the others with find -inum {}.", metadata.ino())));
    }
    Ok(())
}

fn insecure(path: &Path, what: &str, hint: &str) -> Fault {
    Fault::new(codes::INSECURE, format!("{} is not safe for a secret: {what}.", path.display())).hint(hint)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{PermissionsExt as _, chown, symlink};

    fn made(path: &Path) -> (Private, bool) {
        let mut created = false;
        (create(path, &Seal::default(), &mut created).unwrap(), created)
    }

    #[test]
    fn a_created_secret_is_private_random_and_made_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        let (first, created) = made(&path);
        assert!(created && first.len() == 32 && *first != [0; 32]);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
        assert_eq!(made(&path), (first.clone(), false));
        assert_eq!(read(&path).unwrap(), Some(first));
    }

    #[test]
    fn of_many_runs_at_once_one_creates_and_all_get_its_value() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        for _ in 0..20 {
            let results: Vec<_> = std::thread::scope(|scope| {
                let threads: Vec<_> = (0..16).map(|_| scope.spawn(|| made(&path))).collect();
                threads.into_iter().map(|thread| thread.join().unwrap()).collect()
            });
            assert_eq!(results.iter().filter(|(_, created)| *created).count(), 1);
            assert!(results.iter().all(|(bytes, _)| *bytes == results[0].0));
            fs::remove_file(&path).unwrap();
        }
    }

    #[test]
    fn a_creation_that_was_killed_after_the_file_had_its_name_is_settled() {
        let dir = tempfile::tempdir().unwrap();
        let (path, left) = (dir.path().join("secret"), dir.path().join(".secret.seguest-tmp"));
        made(&path);
        fs::hard_link(&path, &left).unwrap();
        assert_eq!(read(&path).unwrap().unwrap().len(), 32);
        assert!(left.exists(), "reading is for check mode too");
        files::settle(&path).unwrap();
        assert!(!left.exists());
        fs::hard_link(&path, dir.path().join("copy")).unwrap();
        files::settle(&path).unwrap();
        assert_eq!(read(&path).unwrap_err().code, codes::INSECURE);
    }

    #[test]
    fn every_unsafe_file_is_refused_with_its_flaw() {
        let dir = tempfile::tempdir().unwrap();
        type Spoil = fn(&Path);
        let table: [(&str, Spoil); 6] = [
            ("mode 0640", |p| fs::set_permissions(p, Permissions::from_mode(0o640)).unwrap()),
            ("mode 0602", |p| fs::set_permissions(p, Permissions::from_mode(0o602)).unwrap()),
            ("2 names", |p| fs::hard_link(p, p.with_extension("other")).unwrap()),
            ("symbolic link", |p| {
                fs::rename(p, p.with_extension("real")).unwrap();
                symlink(p.with_extension("real"), p).unwrap();
            }),
            ("no regular file", |p| {
                fs::remove_file(p).unwrap();
                fs::create_dir(p).unwrap();
            }),
            ("belongs to user 12345", |p| {
                // Only root can give a file away; for others this row is the mode's.
                if chown(p, Some(12345), None).is_err() {
                    fs::set_permissions(p, Permissions::from_mode(0o777)).unwrap();
                }
            }),
        ];
        for (at, (flaw, spoil)) in table.into_iter().enumerate() {
            let path = dir.path().join(format!("secret{at}"));
            made(&path);
            spoil(&path);
            let fault = read(&path).unwrap_err();
            assert_eq!(fault.code, codes::INSECURE, "{flaw}");
            assert!(fault.detail.contains(flaw) || !geteuid().is_root(), "{flaw}: {fault}");
            assert!(!fault.hint.is_empty());
        }
    }

    #[test]
    fn a_missing_secret_is_none_and_a_huge_one_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        assert_eq!(read(&path).unwrap(), None);
        fs::write(&path, vec![0; 70_000]).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        assert_eq!(read(&path).unwrap_err().code, pv_request::codes::FILE_TOO_LARGE);
    }
}
