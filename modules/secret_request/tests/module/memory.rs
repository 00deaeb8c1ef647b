//! What others can get of the program's memory.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const PROGRAM: &str = env!("CARGO_BIN_EXE_secret_request");
/// A user who has nothing to do with the program.
const SOMEBODY: u32 = 65534;

/// The program, while it waits for its arguments.
fn waiting(program: &Path, user: Option<u32>) -> Child {
    // With cores wanted, so that having none is the program's own doing.
    let mut command = Command::new("/bin/sh");
    command.args(["-c", "ulimit -S -c $(ulimit -H -c); exec \"$0\" -"]).arg(program);
    command.stdin(Stdio::piped()).stdout(Stdio::null());
    if let Some(user) = user {
        command.uid(user).gid(user);
    }
    let child = command.spawn().unwrap();
    let limits = format!("/proc/{}/limits", child.id());
    for _ in 0..1000 {
        if fs::read_to_string(&limits).is_ok_and(|text| core_limit(&text) == "0") {
            break;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    // The pages are locked right after that.
    std::thread::sleep(Duration::from_millis(50));
    child
}

fn core_limit(limits: &str) -> String {
    let line = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap_or_default();
    line.split_whitespace().nth(5).unwrap_or_default().to_owned()
}

fn status(of: &str, key: &str) -> String {
    let text = fs::read_to_string(format!("/proc/{of}/status")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
    line.unwrap_or_default().trim().to_owned()
}

/// Whether this process may lock pages without a limit: it has the capability, and not in a user namespace of its own.
fn may_lock_everything() -> bool {
    let capabilities = u64::from_str_radix(&status("self", "CapEff"), 16).unwrap();
    let users = fs::read_to_string("/proc/self/uid_map").unwrap();
    capabilities & 1 << 14 != 0 && users.split_whitespace().eq(["0", "0", "4294967295"])
}

#[test]
fn it_leaves_no_core_and_no_page_with_a_secret_on_disk() {
    let mut child = waiting(Path::new(PROGRAM), None);
    let id = child.id().to_string();
    assert_eq!(core_limit(&fs::read_to_string(format!("/proc/{id}/limits")).unwrap()), "0");
    assert_eq!(status(&id, "VmLck") != "0 kB", may_lock_everything(), "{}", status(&id, "VmLck"));
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn another_process_of_the_same_user_cannot_look_into_it() {
    let root = fs::metadata("/proc/self").unwrap().uid() == 0;
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).unwrap();
    // Where the program was built, somebody else may not go.
    let program = dir.path().join("secret_request");
    fs::copy(PROGRAM, &program).unwrap();
    let mut child = waiting(&program, root.then_some(SOMEBODY));
    // Of a process that may not be dumped, the files with its memory belong to root: proc(5).
    assert_eq!(fs::metadata(format!("/proc/{}/mem", child.id())).unwrap().uid(), 0);
    child.kill().unwrap();
    child.wait().unwrap();
}
