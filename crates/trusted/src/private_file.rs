//! Files that hold secrets: who may have them, and making one.

use crate::codes;
use durable::Folder;
use fault::{Fault, Result};
use nix::libc::ELOOP;
use nix::unistd::geteuid;
use openssl::rand::rand_bytes;
use std::fs::{self, File, Metadata};
use std::io::{ErrorKind, Read as _};
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

/// The sticky bit: only a file's owner, the folder's owner and root may remove or rename it.
const STICKY: u32 = 0o1000;

/// Who else than root and the user can put another file in the place of one in a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Replacer {
    Everybody,
    Group,
    Owner,
    GroupAndOwner,
}

/// Judges a folder with this mode and owner, for the user `euid`. Only the permission bits count; where there is an
/// access control list, the group's bits show the most that it gives to any user or group.
fn judge(mode: u32, uid: u32, euid: u32) -> Option<Replacer> {
    let writers = if mode & STICKY == 0 { mode } else { 0 };
    match (writers & 0o002 != 0, writers & 0o020 != 0, uid != 0 && uid != euid) {
        (true, ..) => Some(Replacer::Everybody),
        (_, true, true) => Some(Replacer::GroupAndOwner),
        (_, true, false) => Some(Replacer::Group),
        (_, false, true) => Some(Replacer::Owner),
        (_, false, false) => None,
    }
}

/// Judges the folder in which a secret's file is or is to be, where it leads if it is a link; not those above it. Gives
/// a warning if others could replace the file whom the operator may trust.
///
/// # Errors
/// `file.insecure` if everybody could; `file.unreadable`.
pub fn folder(path: &Path) -> Result<Option<Fault>> {
    let above = path.parent().filter(|above| *above != Path::new("")).unwrap_or(Path::new("."));
    let metadata = match fs::metadata(above) {
        Ok(metadata) => metadata,
        Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return Ok(None),
        Err(e) => return Err(durable::unreadable(above, &e)),
    };
    let (mode, user) = (metadata.mode() & 0o7777, geteuid().as_raw());
    let Some(replacer) = judge(mode, metadata.uid(), user).filter(|_| metadata.is_dir()) else { return Ok(None) };
    let folder = above.canonicalize().unwrap_or_else(|_| above.to_owned());
    let name = folder.display();
    let members = format!("the members of its group {} (its mode is {mode:04o})", metadata.gid());
    let owner = format!("its owner, who is user {},", metadata.uid());
    let who = match replacer {
        Replacer::Everybody => {
            let what = format!("everybody can replace it, because its folder {name} has mode {mode:04o}");
            return Err(insecure(path, &what, &format!("If nobody has done so: chmod go-w {name}")));
        }
        Replacer::Group => members,
        Replacer::Owner => owner,
        Replacer::GroupAndOwner => format!("{members} and {owner}"),
    };
    let detail = format!("The folder {name} is for files with secrets, and {who} could replace them.");
    Ok(Some(Fault::new(codes::FOLDER_SHARED, detail).hint(format!(
        "Unless they are trusted, use a folder of mode 0700 that belongs to user {user}, who runs the task."
    ))))
}

/// Reads a secret; `None` if its file does not exist. What [`folder`] warns of is for its caller to ask and tell.
///
/// # Errors
/// `file.insecure` unless it is a regular file of the effective user, with one name and no rights for others, and
/// `path` is no link, and what [`folder`] refuses; `file.unreadable`, `file.too_large`.
pub fn read(path: &Path) -> Result<Option<Private>> {
    Ok(read_dated(path)?.map(|(bytes, _)| bytes))
}

/// The same, with the time at which it was written, in seconds since 1970.
///
/// # Errors
/// As [`read`].
pub fn read_dated(path: &Path) -> Result<Option<(Private, i64)>> {
    folder(path)?;
    let Some((mut file, mut metadata)) = open(path)? else { return Ok(None) };
    let mut names = 1;
    if metadata.nlink() == 2 {
        names += u64::from(durable::is_in_creation(path).map_err(|e| durable::unreadable(path, &e))?);
        // Whoever was just creating it may be done by now.
        metadata = file.metadata().map_err(|e| durable::unreadable(path, &e))?;
    }
    check(path, &metadata, names)?;
    // Sized beforehand, so that growing leaves no copy behind; read_to_end probes smaller buffers with one of its own.
    let expected = usize::try_from(metadata.size().min(LIMIT)).unwrap_or(0);
    let mut bytes = Zeroizing::new(Vec::with_capacity(expected.max(LEAST_BUFFER) + 1));
    file.by_ref().take(LIMIT + 1).read_to_end(&mut bytes).map_err(|e| durable::unreadable(path, &e))?;
    if bytes.len() as u64 > LIMIT {
        return Err(Fault::new(
            pv_request::codes::FILE_TOO_LARGE,
            format!("{} is larger than any secret or key (at most {LIMIT} bytes).", path.display()),
        )
        .hint("Name the file with the secret or key itself."));
    }
    Ok(Some((bytes, metadata.mtime())))
}

/// Reads a secret that must be there; adds what [`folder`] warns of.
///
/// # Errors
/// Those of [`read`], `file.missing`.
pub fn required(path: &Path, warnings: &mut Vec<Fault>) -> Result<Private> {
    warnings.extend(folder(path)?);
    read(path)?.ok_or_else(|| {
        Fault::new(fault::file::MISSING, format!("{} does not exist.", path.display()))
            .hint("Check the path: it is one on the machine where the module runs.")
    })
}

/// Random bytes for a secret.
///
/// # Errors
/// `request.crypto`.
pub fn random() -> Result<Private> {
    let mut bytes = Zeroizing::new(vec![0; CREATED_LEN]);
    rand_bytes(&mut bytes).map_err(|e| {
        Fault::new(pv_request::codes::CRYPTO, format!("OpenSSL could not create a random secret: {e}."))
            .hint("Check the system's OpenSSL and its crypto policy.")
    })?;
    Ok(bytes)
}

/// Writes a secret's file unless it exists; gives what is in it then, which is another run's if that was faster. `created`
/// becomes true once the file was made, whatever fails after that.
///
/// # Errors
/// Those of [`read`], `file.missing` for its folder or where it was there and has just been removed, `file.unwritable`.
pub fn create(path: &Path, content: Private, created: &mut bool) -> Result<Private> {
    Folder::lock(path)?.create(path, &content, created)?;
    if *created {
        return Ok(content);
    }
    read(path)?.ok_or_else(|| {
        Fault::new(fault::file::MISSING, format!("{} existed, and has just been removed.", path.display()))
            .hint("Find out what removed it, and run the task again.")
    })
}

fn open(path: &Path) -> Result<Option<(File, Metadata)>> {
    let Some(file) = durable::open(path).map_err(|e| match e.raw_os_error() {
        Some(ELOOP) => insecure(path, "it is a symbolic link", "Name the file itself."),
        _ => durable::unreadable(path, &e),
    })?
    else {
        return Ok(None);
    };
    let metadata = file.metadata().map_err(|e| durable::unreadable(path, &e))?;
    Ok(Some((file, metadata)))
}

fn check(path: &Path, metadata: &Metadata, names: u64) -> Result<()> {
    let (name, user, mode) = (path.display(), geteuid().as_raw(), metadata.mode() & 0o7777);
    if !metadata.is_file() {
        return Err(insecure(path, "it is not a regular file", "Name a regular file."));
    }
    if metadata.uid() != user {
        let what = format!("it belongs to user {}, and the task runs as user {user}", metadata.uid());
        return Err(insecure(path, &what, &format!("Run the task as its owner, or: chown {user} {name}")));
    }
    if mode & 0o077 != 0 {
        let what = format!("its mode {mode:04o} gives others access");
        return Err(insecure(path, &what, &format!("If nobody has read it: chmod 600 {name}")));
    }
    if metadata.nlink() > names {
        let what = format!("it has {} names (hard links)", metadata.nlink());
        let folder = path.parent().unwrap_or(Path::new("/")).display();
        let hint = format!(
            "Find the others with find {folder} -xdev -inum {}. If one is named .NAME.seguest-tmp..., an earlier version of this module was killed there: remove that name.",
            metadata.ino()
        );
        return Err(insecure(path, &what, &hint));
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
        (create(path, random().unwrap(), &mut created).unwrap(), created)
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
        durable::settle(&path).unwrap();
        assert!(!left.exists());
        fs::hard_link(&path, dir.path().join("copy")).unwrap();
        durable::settle(&path).unwrap();
        assert_eq!(read(&path).unwrap_err().code, codes::INSECURE);
    }

    #[test]
    fn a_secret_is_read_without_waiting_for_whoever_holds_its_folder() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        made(&path);
        let _held = Folder::lock(&path).unwrap();
        let started = std::time::Instant::now();
        for left in [".secret.seguest-tmp", ".secret.seguest-tmp-0123456789abcdef-1"].map(|name| dir.path().join(name))
        {
            fs::hard_link(&path, &left).unwrap();
            assert_eq!(read(&path).unwrap().unwrap().len(), 32);
            fs::remove_file(left).unwrap();
        }
        assert!(started.elapsed().as_secs() < 10);
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
            ("not a regular file", |p| {
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
        let fault = read(&path).unwrap_err();
        assert_eq!(fault.code, pv_request::codes::FILE_TOO_LARGE);
        assert!(fault.detail.contains("65536"), "{fault}");
    }

    #[test]
    fn a_folder_is_judged_by_who_can_replace_a_file_in_it() {
        use Replacer::{Everybody, Group, GroupAndOwner, Owner};
        let (root, user, other) = (0, 1000, 1001);
        for (mode, uid, euid, expected) in [
            (0o700, user, user, None),
            (0o755, user, user, None),
            (0o755, root, user, None),
            (0o755, root, root, None),
            (0o1777, root, user, None),
            (0o1777, root, root, None),
            (0o1777, user, user, None),
            (0o3775, root, user, None),
            (0o775, user, user, Some(Group)),
            (0o2770, root, user, Some(Group)),
            (0o700, other, user, Some(Owner)),
            (0o755, user, root, Some(Owner)),
            // Its owner may remove what is in a sticky folder too.
            (0o1777, other, user, Some(Owner)),
            (0o1770, other, user, Some(Owner)),
            (0o775, other, user, Some(GroupAndOwner)),
            (0o777, user, user, Some(Everybody)),
            (0o777, root, user, Some(Everybody)),
            (0o777, other, user, Some(Everybody)),
            (0o702, user, user, Some(Everybody)),
            (0o757, root, root, Some(Everybody)),
            // Neither reading nor searching replaces anything.
            (0o555, root, user, None),
            (0o075, other, user, Some(GroupAndOwner)),
        ] {
            assert_eq!(judge(mode, uid, euid), expected, "{mode:04o} of {uid} for {euid}");
        }
    }

    #[test]
    fn a_folder_that_is_a_link_is_judged_where_it_leads_and_none_is_not_judged() {
        let dir = tempfile::tempdir().unwrap();
        let (real, link) = (dir.path().join("real"), dir.path().join("link"));
        fs::create_dir(&real).unwrap();
        symlink(&real, &link).unwrap();
        let judged = |mode| {
            fs::set_permissions(&real, Permissions::from_mode(mode)).unwrap();
            folder(&link.join("secret"))
        };
        assert_eq!(judged(0o700), Ok(None));
        let warned = judged(0o770).unwrap().unwrap();
        assert!(warned.code == codes::FOLDER_SHARED && warned.detail.contains("/real "), "{warned}");
        let refused = judged(0o707).unwrap_err();
        assert!(refused.code == codes::INSECURE && refused.hint.ends_with("/real"), "{refused}");
        assert_eq!(folder(&dir.path().join("nowhere/secret")), Ok(None));
        fs::write(dir.path().join("file"), "").unwrap();
        fs::set_permissions(dir.path().join("file"), Permissions::from_mode(0o666)).unwrap();
        assert_eq!(folder(&dir.path().join("file/secret")), Ok(None));
        assert_eq!(folder(Path::new("secret")), folder(Path::new("./secret")));
    }
}
