//! Guests that live: unchanged programs in a namespace, through FUSE.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends")]

mod common;

use std::env;
use std::fs::{self, File, OpenOptions};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use common::{CARDS, PROGRAM, Site, fuse_works, is_root, succeeds, until};
use ioctls::*;
use nix::libc;

/// Set for the copy of this test program that runs inside a guest: the request that it adds.
const CLIENT: &str = "GUEST_SIM_TEST_REQUEST";

mod ioctls {
    #![allow(missing_docs, reason = "what the macro makes cannot carry any; Linux documents the commands")]

    #[repr(C)]
    pub struct Block {
        pub flags: u32,
        pub uv_rc: u16,
        pub uv_rrc: u16,
        pub address: u64,
        pub length: u32,
        pub reserved: [u8; 44],
    }

    nix::ioctl_readwrite!(info, b'u', 0, Block);
    nix::ioctl_readwrite!(add, b'u', 2, Block);
    nix::ioctl_readwrite!(list, b'u', 3, Block);
    nix::ioctl_readwrite!(lock, b'u', 4, Block);
    nix::ioctl_readwrite!(retrieve, b'u', 5, Block);
    nix::ioctl_readwrite!(no_such_number, b'u', 6, Block);
    nix::ioctl_readwrite!(no_such_size, b'u', 0, [u8; 32]);
}

type Ioctl = unsafe fn(libc::c_int, *mut Block) -> nix::Result<libc::c_int>;

#[expect(unsafe_code, reason = "an ioctl takes an address")]
fn call(device: &File, ioctl: Ioctl, buffer: &mut [u8]) -> nix::Result<u16> {
    let address = if buffer.is_empty() { 0 } else { buffer.as_mut_ptr() as u64 };
    let length = buffer.len() as u32;
    let mut block = Block { flags: 0, uv_rc: 0, uv_rrc: 0, address, length, reserved: [0; 44] };
    // SAFETY: the control block is a live struct of the size in the command, and so is the buffer that it names.
    unsafe { ioctl(device.as_raw_fd(), &mut block) }?;
    Ok(block.uv_rc)
}

fn open_device() -> std::io::Result<File> {
    OpenOptions::new().read(true).write(true).custom_flags(libc::O_NOFOLLOW | libc::O_CLOEXEC).open("/dev/uv")
}

fn attribute(name: &str) -> String {
    fs::read_to_string(format!("/sys/devices/ap/card00/00.0005/{name}")).unwrap().trim_end().to_owned()
}

/// What runs inside the guest: the whole procedure of an administrator.
#[test]
#[expect(unsafe_code, reason = "an ioctl takes an address")]
fn client() {
    let Some(request) = env::var_os(CLIENT) else {
        eprintln!("skipped: this runs only inside a guest that another test starts");
        return;
    };
    let device = open_device().unwrap();
    let mut words = [0; 16];
    assert_eq!(call(&device, info, &mut words), Ok(1));
    assert_eq!(words, [0x1f_u64.to_ne_bytes(), 0x1e_u64.to_ne_bytes()].concat()[..]);
    assert_eq!(call(&device, add, &mut fs::read(request).unwrap()), Ok(1));
    let mut page = [0xaa; 0x1000];
    assert_eq!(call(&device, list, &mut page), Ok(1));
    assert_eq!(page[..6], [0, 1, 0, 1, 0, 0]);
    assert_eq!(page[16 + 16..][..4], [0x70, 0xdc, 0x75, 0x8d]);
    assert_eq!(page[64..], [0; 0x1000 - 64]);
    assert_eq!(call(&device, list, &mut [0; 0x2000]), Err(nix::Error::EINVAL));
    assert_eq!(call(&device, retrieve, &mut [0; 64]), Err(nix::Error::ENOTTY));
    assert_eq!(call(&device, no_such_number, &mut [0; 64]), Err(nix::Error::ENOTTY));
    // SAFETY: the buffer is as large as the command says.
    assert_eq!(unsafe { no_such_size(device.as_raw_fd(), &mut [0; 32]) }, Err(nix::Error::ENOTTY));
    assert_eq!(call(&device, lock, &mut [0; 8]), Err(nix::Error::EINVAL));
    assert_eq!(call(&device, lock, &mut []), Ok(1));
    assert_eq!(call(&device, lock, &mut []), Ok(0x102));
    fs::write("/sys/devices/ap/card00/00.0005/se_bind", "1").unwrap();
    until("the queue is bound", || attribute("se_bind") == "bound");
    until("the queue can be associated", || fs::write("/sys/devices/ap/card00/00.0005/se_associate", "0").is_ok());
    until("the queue is associated", || attribute("se_associate") == "associated 0");
    assert!(attribute("mkvps").starts_with("WK CUR: valid 0x000102"));
    let refused = OpenOptions::new().write(true).open("/sys/devices/ap/card00/00.0005/mkvps");
    assert_eq!(refused.unwrap_err().raw_os_error(), Some(libc::EACCES));
    assert_eq!(fs::metadata("/run/lock").unwrap().permissions().mode() & 0o7777, 0o1777);
    assert_eq!(fs::metadata("/dev/uv").unwrap().permissions().mode() & 0o777, 0o600);
}

fn client_command(program: &Path) -> [String; 4] {
    [program.display().to_string(), "--exact".into(), "client".into(), "--nocapture".into()]
}

#[test]
fn the_whole_procedure_runs_in_a_guest_and_leaves_nothing_outside() {
    if !fuse_works() {
        return;
    }
    let site = Site::new(CARDS);
    let boot_id = || fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    let before = boot_id();
    let client = client_command(&env::current_exe().unwrap());
    let mut command = site.run(&client.each_ref().map(String::as_str));
    succeeds(command.env(CLIENT, site.path("request")));
    let state = site.state();
    assert_eq!(state["locked"], true);
    assert_ne!(state["boot_id"], before.trim());
    assert_eq!(state["queues"][0]["state"], "associated");
    assert_eq!(state["queues"][0]["secret_id"], state["secrets"][0]["id"]);
    let log = site.log();
    let adds: Vec<_> = log.iter().filter(|event| event["name"] == "add_secret").collect();
    assert_eq!((adds.len(), adds[0]["uv_rc"].as_str()), (1, Some("0x0001")));
    assert_eq!(boot_id(), before);
    assert!(!fs::read_to_string("/proc/self/mountinfo").unwrap().contains(" guest-sim "));
    assert!(!Path::new("/sys/devices/ap/card00/00.0005").exists());
}

/// The same as an ordinary user. Root makes one up, with a FUSE device that everybody may open.
#[test]
fn the_whole_procedure_runs_for_a_user_without_any_privilege() {
    if !fuse_works() {
        return;
    }
    if !is_root() {
        eprintln!("skipped: the test above has run as an ordinary user already");
        return;
    }
    let site = Site::new(CARDS);
    let (program, client) = (site.path("guest-sim"), site.path("client"));
    // To where every user may run them.
    fs::copy(PROGRAM, &program).unwrap();
    fs::copy(env::current_exe().unwrap(), &client).unwrap();
    let script = "set -e; mount -t tmpfs -o dev none /mnt; mknod -m 0666 /mnt/fuse c 10 229; \
                  mount --bind /mnt/fuse /dev/fuse; cd \"$1\"; chown -R 54321:54321 .; shift; \
                  exec setpriv --reuid 54321 --regid 54321 --clear-groups --bounding-set -all --inh-caps -all \"$@\"";
    let mut command = Command::new("unshare");
    command.args(["-m", "sh", "-c", script, "sh"]).arg(site.path("")).arg(&program);
    command.args(["run", "--scenario", "scenario.yaml", "--dir", "guest", "--"]).args(client_command(&client));
    succeeds(command.env(CLIENT, site.path("request")));
    assert_eq!(site.state()["queues"][0]["state"], "associated");
}

#[test]
fn the_exit_code_of_the_command_comes_back() {
    if !fuse_works() {
        return;
    }
    let site = Site::new("");
    assert_eq!(site.run(&["sh", "-c", "exit 7"]).status().unwrap().code(), Some(7));
    assert_eq!(site.run(&["sh", "-c", "kill -9 $$"]).status().unwrap().code(), Some(137));
    assert_eq!(site.run(&["/no/such/program"]).output().unwrap().status.code(), Some(125));
}

#[test]
fn a_served_guest_is_entered_rebooted_and_changed() {
    if !fuse_works() {
        return;
    }
    let site = Site::new(CARDS);
    let guest = site.serve();
    let bind = "/sys/devices/ap/card00/00.0005/se_bind";
    assert_eq!(guest.text("echo out; cat"), "out");
    assert_eq!(guest.shell("exit 3").status.code(), Some(3));
    let first = guest.text(&format!("touch /run/mark; echo 1 > {bind}; cat /proc/sys/kernel/random/boot_id"));
    succeeds(&mut site.command("reboot"));
    let second =
        guest.text(&format!("test ! -e /run/mark; test -d /run/lock; cat /proc/sys/kernel/random/boot_id {bind}"));
    assert!(second.ends_with("\nunbound") && !second.starts_with(&first), "{first} {second}");
    assert!(!Path::new("/run/mark").exists());
    let fragment = site.path("fragment.yaml");
    fs::write(&fragment, "faults: [{on: write, target: se_bind, errno: EBUSY}]\nabsent: [/sys/bus/ap]\n").unwrap();
    succeeds(site.command("set").arg(&fragment));
    assert!(!guest.shell(&format!("echo 1 > {bind}")).status.success());
    guest.text(&format!("test ! -e /sys/bus/ap; echo 1 > {bind}"));
    let writes: Vec<_> = site.log().into_iter().filter(|event| event["what"] == "write").collect();
    assert_eq!((writes[1]["errno"].as_str(), writes[2]["errno"].as_str()), (Some("EBUSY"), None));
    fs::write(&fragment, "nonsense: 1").unwrap();
    assert!(!site.command("set").arg(&fragment).output().unwrap().status.success());
    assert!(
        !site.command("serve").arg("--scenario").arg(site.path("scenario.yaml")).output().unwrap().status.success()
    );
    drop(guest);
    assert!(!site.command("enter").args(["--", "true"]).output().unwrap().status.success());
}

#[test]
fn an_unprivileged_user_in_a_guest_of_root_is_refused_as_on_hardware() {
    if !fuse_works() {
        return;
    }
    if !is_root() {
        eprintln!("skipped: only root can become another user in a guest");
        return;
    }
    let site = Site::new(CARDS);
    let guest = site.serve();
    let user = "setpriv --reuid 54321 --regid 54321 --clear-groups";
    guest.text(&format!("{user} cat /sys/devices/ap/card00/00.0005/se_bind"));
    for denied in ["cat /dev/uv", "tee /sys/devices/ap/card00/00.0005/se_bind"] {
        let output = guest.shell(&format!("{user} {denied} < /dev/null"));
        assert!(String::from_utf8_lossy(&output.stderr).contains("Permission denied"), "{denied}");
    }
}

#[test]
fn a_guest_ends_with_the_process_that_started_it() {
    if !fuse_works() {
        return;
    }
    let site = Site::new("");
    let mut parent = Command::new("sh");
    parent.args(["-c", "\"$@\" & wait", "sh"]).arg(PROGRAM).arg("serve").arg("--dir").arg(site.path("guest"));
    let mut parent = parent.arg("--scenario").arg(site.path("scenario.yaml")).spawn().unwrap();
    until("the guest is ready", || site.path("guest/ready").exists());
    let pid = fs::read_to_string(site.path("guest/pid")).unwrap();
    parent.kill().unwrap();
    parent.wait().unwrap();
    until("the guest has ended", || !Path::new(&format!("/proc/{}", pid.trim())).exists());
    assert!(!site.path("guest/ready").exists() && site.path("guest/state.json").exists());
}

#[test]
fn what_a_killed_guest_leaves_behind_is_not_taken_for_a_guest() {
    if !fuse_works() {
        return;
    }
    let site = Site::new("");
    let guest = site.serve();
    drop(guest);
    // Now the number in the file is some other process's.
    fs::write(site.path("guest/pid"), std::process::id().to_string()).unwrap();
    let output = site.command("enter").args(["--", "true"]).output().unwrap();
    assert!(String::from_utf8_lossy(&output.stderr).contains("is it running?"));
    assert_eq!(site.serve().text("echo again"), "again");
}

#[test]
fn a_lost_queue_is_gone_at_once_and_each_guest_has_its_own_run_folder() {
    if !fuse_works() {
        return;
    }
    let (site, other) = (Site::new(&format!("{CARDS}faults: [{{on: bind, becomes: lost}}]")), Site::new(CARDS));
    let (guest, second) = (site.serve(), other.serve());
    let queue = "/sys/devices/ap/card00/00.0005";
    guest.text(&format!(
        "touch /run/lock/mine; test -e {queue}; echo 1 > {queue}/se_bind; sleep 0.01; test ! -e {queue}"
    ));
    assert_eq!(guest.text("ls /sys/bus/ap/devices"), "00.0006\ncard00");
    second.text(&format!("test ! -e /run/lock/mine; test -e {queue}"));
}

#[test]
fn a_caller_can_be_killed_in_the_middle_of_a_write() {
    if !fuse_works() {
        return;
    }
    let site = Site::new(&format!("{CARDS}faults: [{{on: write, target: se_bind, kill: after, delay_ms: 20}}]"));
    let guest = site.serve();
    let output = guest.shell("echo 1 > /sys/devices/ap/card00/00.0005/se_bind; echo lived");
    assert_eq!((output.status.code(), output.stdout.as_slice()), (None, b"".as_slice()));
    assert_eq!(site.state()["queues"][0]["state"], "bound");
}

#[test]
fn a_reader_of_an_answer_that_does_not_come_can_be_interrupted_and_hinders_nobody() {
    if !fuse_works() {
        return;
    }
    let site = Site::new(CARDS);
    let guest = site.serve();
    let card = "/sys/devices/ap/card00";
    guest.text(&format!("echo 1 > {card}/00.0005/se_bind; sleep 0.01"));
    fs::write(site.path("silent"), "cards: {\"00\": {answers: false}}").unwrap();
    succeeds(site.command("set").arg(site.path("silent")));
    // Signals end the wait: one that the reader lives on with, and one that it does not.
    let waiting = format!("{card}/00.0005/requestq_count");
    let ends = format!("timeout -s KILL 0.1 cat {card}/serialnr; timeout 0.1 cat {card}/00.0005/mkvps; cat {waiting}");
    assert_eq!(guest.text(&ends), "0");
    let left =
        format!("cat {card}/serialnr >/dev/null 2>&1 & until grep -q 1 {waiting}; do sleep 0.01; done; cat {waiting}");
    assert_eq!(guest.text(&left), "1");
    assert_eq!(guest.text(&format!("cat {card}/00.0005/se_bind")), "bound");
    // An unbind flushes it: who waited is told that nothing is known.
    assert_eq!(guest.text(&format!("echo 0 > {card}/00.0005/se_bind; cat {waiting}")), "0");
    guest.text(&format!(
        "sleep 0.01; echo 1 > {card}/00.0005/se_bind; sleep 0.01; cat {card}/serialnr >/dev/null 2>&1 & sleep 0.1"
    ));
    // With somebody waiting still, the guest ends as ever.
    drop(guest);
    assert_eq!(site.serve().text("echo again"), "again");
}
