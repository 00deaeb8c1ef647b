//! A simulated guest behind a real OpenSSH server, without Python.
//!
//! The server runs within the guest's mount namespace and is bound to a loopback address of its own. There, `/usr` and
//! `/etc` are layers over the machine's own (overlayfs): one that hides every Python and adds users, and below it the
//! packages that `cargo xtask test` unpacks into `target/guest-system` where the machine lacks them. Homes, `/tmp` and
//! `/var` are empty.

use crate::world::run;
use crate::{Guest, Host, World, descendants, place};
use anyhow::{Context, Result, bail, ensure};
use serde_json::json;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Users of the guest beside root: name, number, and whether its sudo asks for [`PASSWORD`].
const USERS: [(&str, u32, bool); 3] = [("operator", 2001, false), ("careful", 2002, true), ("auditor", 2003, true)];
/// Their password.
pub const PASSWORD: &str = "simulated";
/// The same as `/etc/shadow` has it: SHA-512, the method of crypt(3) that every libcrypt knows.
const PASSWORD_HASH: &str =
    "$6$simulatedguest$9yuV7t3RNBaHXyLFLa/jIZRq/YSIl1kvS0UiMYudwnJTz2Gbu2kEiBu9gXnm//Gg.F3oDGmu3wiZINAJn/am71";

/// Mounts `/usr` anew in the own mount namespace, run by a shell: `$1` is an empty folder for the layer that hides every
/// Python if `$2` is `hide`, `$3` the layers below it, the upper ones first.
const USR: &str = r#"
set -e
mount -t tmpfs -o mode=0755 guest "$1"
for folder in bin sbin local/bin local/sbin; do
    for python in "/usr/$folder"/python*; do
        [ "$2" = hide ] && [ -e "$python" -o -L "$python" ] || continue
        mkdir -p "$1/$folder"
        # To overlayfs, such a device in an upper layer says that the file is not there. Where temporary files are on
        # overlayfs themselves it could not be made among them.
        mknod "$1/$folder/${python##*/}" c 0 0
    done
done
mount -t overlay -o "ro,lowerdir=$1:$3" guest-usr /usr
"#;

/// Makes the rest of the guest's file system, run after [`USR`]: `$4` are the layers of `/etc`, `$5` its users as
/// `name:number`; then comes the server.
const REST: &str = r#"
mount -t overlay -o "ro,lowerdir=$4" guest-etc /etc
for folder in /root /home /var /tmp; do mount -t tmpfs -o mode=0755 guest "$folder"; done
chmod 0700 /root
chmod 1777 /tmp
mkdir -m 1777 /var/tmp
mkdir /var/cache /var/lib /var/log /run/sshd
for user in $5; do
    mkdir -m 0700 "/home/${user%:*}"
    chown "${user#*:}:${user#*:}" "/home/${user%:*}"
done
shift 5
exec setpriv --pdeathsig KILL "$@"
"#;

/// Says of each command that is asked for who asked, as its log has it.
const SERVER: &str = "\
HostKey /etc/ssh/seguest_host_key
AuthorizedKeysFile /etc/ssh/seguest_keys
PubkeyAuthentication yes
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
PermitUserEnvironment no
UsePAM no
LogLevel VERBOSE
";

/// An OpenSSH server in a guest; it ends when dropped, and with it the connections to it.
#[derive(Debug)]
pub struct Ssh {
    server: Child,
    dir: PathBuf,
    address: SocketAddr,
}

impl Ssh {
    /// Starts a server in a guest of the world. `number` tells the guests of one world apart: its address is
    /// 127.0.0.(1 + number).
    ///
    /// # Errors
    /// If it does not come up.
    pub fn start(world: &World, guest: &Guest, number: u8) -> Result<Self> {
        Self::start_in(&world.path(&format!("ssh{number}")), guest, number, "hide")
    }

    /// Starts one in a guest that has the machine's Python, if it has one.
    ///
    /// # Errors
    /// As [`Ssh::start`].
    pub fn start_with_python(world: &World, guest: &Guest, number: u8) -> Result<Self> {
        Self::start_in(&world.path(&format!("ssh{number}")), guest, number, "show")
    }

    fn start_in(dir: &Path, guest: &Guest, number: u8, python: &str) -> Result<Self> {
        layers(dir)?;
        let host = Ipv4Addr::new(127, 0, 0, 1 + number);
        // Between asking for a free port and using it, somebody else may take it.
        for _attempt in 0..5 {
            let address = TcpListener::bind((host, 0))?.local_addr()?;
            let mut ssh = Self { server: serve(dir, guest, address, python)?, dir: dir.to_path_buf(), address };
            if ssh.wait_until_ready()? {
                ssh.introduce()?;
                return Ok(ssh);
            }
        }
        bail!("the SSH server did not come up: {}", fs::read_to_string(dir.join("log")).unwrap_or_default())
    }

    /// False if it ended before it answered.
    fn wait_until_ready(&mut self) -> Result<bool> {
        let started = Instant::now();
        while TcpStream::connect_timeout(&self.address, Duration::from_secs(1)).is_err() {
            if self.server.try_wait()?.is_some() {
                return Ok(false);
            }
            ensure!(started.elapsed() < Duration::from_secs(20), "no SSH server on {} within 20 s", self.address);
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(true)
    }

    /// Tells clients the server's key.
    fn introduce(&self) -> Result<()> {
        let key = fs::read_to_string(self.dir.join("etc/ssh/seguest_host_key.pub"))?;
        let known = format!("[{}]:{} {key}", self.address.ip(), self.address.port());
        Ok(fs::write(self.dir.join("known_hosts"), known)?)
    }

    /// The guest as the inventory has it: reached as this user, and without Python.
    pub fn host(&self, name: &str, user: &str) -> Host {
        let file = |name: &str| self.dir.join(name).display().to_string();
        let options = format!(
            "-F none -o IdentitiesOnly=yes -o IdentityAgent=none -o StrictHostKeyChecking=yes -o UserKnownHostsFile={}",
            file("known_hosts")
        );
        Host::new(
            name,
            json!({"ansible_connection": "ssh", "ansible_host": self.address.ip(), "ansible_port": self.address.port(),
                   "ansible_user": user, "ansible_ssh_private_key_file": file("client_key"),
                   "ansible_ssh_common_args": options, "ansible_python_interpreter": "/nonexistent/python",
                   "ansible_become": false}),
        )
    }

    /// The commands that clients asked for so far, each as the user who asked.
    ///
    /// # Errors
    /// If the server's log cannot be read.
    pub fn commands(&self) -> Result<Vec<String>> {
        self.logged("Starting session: command for ")
    }

    /// The connections that clients opened so far, each as the user who logged in.
    ///
    /// # Errors
    /// If the server's log cannot be read.
    pub fn connections(&self) -> Result<Vec<String>> {
        self.logged("Accepted publickey for ")
    }

    fn logged(&self, what: &str) -> Result<Vec<String>> {
        let log = fs::read_to_string(self.dir.join("log"))?;
        let found = log.lines().filter_map(|line| line.split_once(what)?.1.split(' ').next());
        Ok(found.map(str::to_owned).collect())
    }
}

impl Drop for Ssh {
    fn drop(&mut self) {
        // Each session is a process of its own, which outlives the one that listens as long as a client holds the line.
        for session in descendants(self.server.id()) {
            let _ = Command::new("kill").args(["-KILL", &session.to_string()]).stderr(Stdio::null()).status();
        }
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// Whether an SSH server can run in a simulated guest here; if not, says so in the words that `cargo xtask test` counts.
pub fn can_ssh(test: &str) -> bool {
    match ssh_is_possible() {
        Ok(()) => true,
        Err(why) => {
            println!("skipped: {test}: {why}");
            false
        }
    }
}

/// Whether an SSH server can run in a simulated guest here, or why not.
pub(crate) fn ssh_is_possible() -> std::result::Result<(), String> {
    let found = |program: &str| {
        let places = [Path::new("/usr"), &place::guest_system().unwrap_or_default().join("usr")].map(Path::to_path_buf);
        places.iter().any(|usr| usr.join(program).exists())
    };
    let lacking = ["sbin/sshd", "bin/sudo"].iter().find(|program| !found(program));
    let why = if !place::fuse_can_be_opened() {
        "/dev/fuse cannot be opened".to_owned()
    } else if fs::metadata("/proc/self").map_or(1, |own| own.uid()) != 0 {
        "in a simulated guest of an ordinary user there is one user, and an SSH server needs two".to_owned()
    } else if let Err(why) = can_hide() {
        format!("overlayfs, which hides Python from the guest, cannot be used (is the module overlay there?): {why:#}")
    } else if let Some(program) = lacking {
        format!("/usr/{program} is missing, and could not be fetched; as root: apt-get install openssh-server sudo")
    } else if Command::new("ssh").arg("-V").output().is_err() {
        "the program ssh is missing; as root: apt-get install openssh-client".to_owned()
    } else {
        return Ok(());
    };
    Err(why)
}

/// Does in a mount namespace of its own what is done in a guest's.
fn can_hide() -> Result<()> {
    let layer = std::env::temp_dir();
    let script = format!("{USR}for python in /usr/bin/python*; do [ ! -e \"$python\" ]; done");
    let mut probe = Command::new("unshare");
    probe.args(["--mount", "--propagation", "private", "/bin/sh", "-c", &script, "sh"]);
    let output = probe.arg(layer).args(["hide", "/usr"]).output().context("the program unshare cannot be run")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{}", said.split_whitespace().collect::<Vec<_>>().join(" "));
    Ok(())
}

/// Writes the layers of `/usr` and `/etc`, and the keys.
fn layers(dir: &Path) -> Result<()> {
    let (usr, etc) = (dir.join("usr"), dir.join("etc"));
    for folder in [&usr, &etc, &etc.join("ssh"), &etc.join("sudoers.d"), &etc.join("pam.d")] {
        fs::create_dir_all(folder)?;
        fs::set_permissions(folder, fs::Permissions::from_mode(0o755))?;
    }
    for key in [etc.join("ssh/seguest_host_key"), dir.join("client_key")] {
        run(Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-C", "simulated", "-f"]).arg(key))?;
    }
    fs::copy(dir.join("client_key.pub"), etc.join("ssh/seguest_keys"))?;
    fs::write(etc.join("ssh/seguest_config"), SERVER)?;

    let mut passwd = "root:x:0:0:root:/root:/bin/sh\nsshd:x:2100:65534::/run/sshd:/usr/sbin/nologin\n".to_owned();
    let mut shadow = "root:*:19000::::::\nsshd:*:19000::::::\n".to_owned();
    let mut group = fs::read_to_string("/etc/group")?;
    let mut sudoers = "root ALL=(ALL:ALL) ALL\n".to_owned();
    for (user, number, asked) in USERS {
        passwd += &format!("{user}:x:{number}:{number}::/home/{user}:/bin/sh\n");
        shadow += &format!("{user}:{PASSWORD_HASH}:19000::::::\n");
        group += &format!("{user}:x:{number}:\n");
        if user != "auditor" {
            sudoers += &format!("{user} ALL=(ALL:ALL) {}ALL\n", if asked { "" } else { "NOPASSWD: " });
        }
    }
    passwd += "nobody:x:65534:65534::/nonexistent:/usr/sbin/nologin\n";
    let pam = "auth required pam_unix.so\naccount required pam_unix.so\nsession required pam_permit.so\n";
    for (name, mode, text) in [
        ("passwd", 0o644, passwd.as_str()),
        ("group", 0o644, &group),
        ("shadow", 0o600, &shadow),
        ("sudoers", 0o440, &sudoers),
        ("pam.d/sudo", 0o644, pam),
    ] {
        fs::write(etc.join(name), text)?;
        fs::set_permissions(etc.join(name), fs::Permissions::from_mode(mode))?;
    }
    Ok(())
}

fn serve(dir: &Path, guest: &Guest, address: SocketAddr, python: &str) -> Result<Child> {
    let packages = place::guest_system()?;
    let (usr, etc) = (dir.join("usr"), dir.join("etc"));
    let lower = |upper: Option<&Path>, name: &str| {
        let (unpacked, own) = (packages.join(name), Path::new("/").join(name));
        let there = upper.into_iter().chain([unpacked.as_path(), own.as_path()]).filter(|layer| layer.is_dir());
        there.map(|layer| layer.display().to_string()).collect::<Vec<_>>().join(":")
    };
    let mut command = guest.simulator("enter")?;
    command.args(["--", "/bin/sh", "-c", &format!("{USR}{REST}"), "sh"]).arg(&usr);
    let users = USERS.map(|(user, number, _)| format!("{user}:{number}")).join(" ");
    command.args([python, &lower(None, "usr"), &lower(Some(&etc), "etc"), &users]);
    command.args(["/usr/sbin/sshd", "-D", "-e", "-f", "/etc/ssh/seguest_config"]);
    command.args(["-o", &format!("ListenAddress={}", address.ip()), "-p", &address.port().to_string()]);
    let log = fs::File::create(dir.join("log"))?;
    let server = command.current_dir("/").stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn();
    server.context("the simulator cannot be run")
}
