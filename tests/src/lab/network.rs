//! Guests that are reached by SSH: a network between this machine and the emulated one, and a server in the guest.

use super::{Equipment, Lab, NETWORK};
use crate::Host;
use anyhow::{Context, Result, bail, ensure};
use serde_json::json;
use std::fs::{self, OpenOptions};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

/// Where the server has its own key, in its own format.
const KEY: &str = "etc/ssh/dropbear_key";

/// An Ed25519 key: seed and public part.
#[derive(Clone)]
pub struct ServerKey {
    /// The private part.
    pub private: [u8; 32],
    /// The public part.
    pub public: [u8; 32],
}

impl std::fmt::Debug for ServerKey {
    /// Not the private part.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServerKey").finish_non_exhaustive()
    }
}

/// The way to one guest.
#[derive(Debug)]
pub struct Way {
    interface: String,
    here: Ipv4Addr,
    there: Ipv4Addr,
    folder: PathBuf,
}

/// Why no emulated guest can be reached here, if so.
///
/// # Errors
/// The reason.
pub fn can_reach(lab: &Lab) -> Result<()> {
    let device = OpenOptions::new().read(true).write(true).open("/dev/net/tun");
    device.context("the network to an emulated guest needs root and /dev/net/tun")?;
    ensure!(
        Command::new("ip").arg("-V").output().is_ok(),
        "the program ip is missing; as root: apt-get install iproute2"
    );
    ensure!(Command::new("ssh").arg("-V").output().is_ok(), "the program ssh is missing");
    ensure!(lab.server().join("dropbear").exists(), "the laboratory has no SSH server: `cargo xtask lab` fetches it");
    Ok(())
}

impl Way {
    /// A way to one more guest, of up to sixty that this process may have: tests that run at the same time share no interface.
    pub fn new(folder: &Path) -> Self {
        static COUNT: AtomicU8 = AtomicU8::new(1);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let process = std::process::id();
        // A network for tests of networks (RFC 2544): four addresses for each guest.
        let third = u8::try_from(process % 256).unwrap_or_default();
        let address = |last: u8| Ipv4Addr::new(198, 18, third, 4 * number + last);
        let interface = format!("se{}n{number}", process % 1_000_000);
        Self { interface, here: address(1), there: address(2), folder: folder.to_path_buf() }
    }

    /// What a guest needs for it. Whoever has the private key for `client`, a line for `authorized_keys`, may log in as root.
    ///
    /// # Errors
    /// If a file cannot be read or written.
    pub fn equipment(&self, lab: &Lab, key: &ServerKey, client: &str) -> Result<Equipment> {
        let public = [string(b"ssh-ed25519"), string(&key.public)].concat();
        let own = [string(b"ssh-ed25519"), string(&[key.private, key.public].concat())].concat();
        let line = format!("ssh-ed25519 {}", base64(&public));
        fs::create_dir_all(&self.folder)?;
        fs::write(self.folder.join("known_hosts"), format!("{} {line}\n", self.there))?;
        let mut files = vec![
            (KEY.to_owned(), 0o600, own),
            ("etc/ssh/ssh_host_ed25519_key.pub".into(), 0o644, format!("{line}\n").into_bytes()),
            ("root/.ssh/authorized_keys".into(), 0o600, client.as_bytes().to_vec()),
        ];
        for file in fs::read_dir(lab.server())? {
            let file = file?;
            let name = file.file_name().to_string_lossy().into_owned();
            let folder = if name == "dropbear" { "bin" } else { "lib" };
            files.push((format!("{folder}/{name}"), 0o755, fs::read(file.path())?));
        }
        Ok(Equipment {
            emulator: vec![
                "-netdev".into(),
                format!("tap,id=net,ifname={},script=no,downscript=no", self.interface),
                "-device".into(),
                // A Secure Execution guest drives no device that could not be kept out of its memory.
                "virtio-net-ccw,netdev=net,iommu_platform=on".into(),
            ],
            modules: &NETWORK,
            folders: ["etc/ssh", "lib", "root/.ssh"].map(str::to_owned).to_vec(),
            files,
            before: format!(
                "mkdir -p /dev/pts && mount -t devpts devpts /dev/pts\n\
                 ifconfig lo up\nifconfig eth0 {} netmask 255.255.255.252 up\n\
                 dropbear -E -s -j -k -r /{KEY}\n",
                self.there
            ),
        })
    }

    /// Gives this machine its address, once the emulator has made the interface, and waits until the server answers.
    ///
    /// # Errors
    /// If it does not.
    pub fn open(&self) -> Result<()> {
        let address = format!("{}/30", self.here);
        for arguments in
            [["address", "add", &address, "dev", &self.interface], ["link", "set", "dev", &self.interface, "up"]]
        {
            crate::world::run(Command::new("ip").args(arguments))?;
        }
        let started = Instant::now();
        let server = SocketAddr::new(IpAddr::V4(self.there), 22);
        while let Err(error) = TcpStream::connect_timeout(&server, Duration::from_secs(2)) {
            if started.elapsed() > Duration::from_secs(60) {
                bail!("no SSH server answers on {server}: {error}");
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(())
    }

    /// The guest as the inventory has it: without Python, reached with the private key in this file.
    pub fn host(&self, name: &str, key: &Path) -> Host {
        let options = format!(
            "-F none -o IdentitiesOnly=yes -o IdentityAgent=none -o StrictHostKeyChecking=yes -o UserKnownHostsFile={}",
            self.folder.join("known_hosts").display()
        );
        Host::new(
            name,
            json!({"ansible_connection": "ssh", "ansible_host": self.there, "ansible_user": "root",
                   "ansible_ssh_private_key_file": key, "ansible_ssh_common_args": options,
                   "ansible_python_interpreter": "/nonexistent/python", "ansible_become": false,
                   "ansible_timeout": 60}),
        )
    }
}

/// As SSH writes a string: its length in four bytes, big endian (RFC 4251).
fn string(bytes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    [&length.to_be_bytes(), bytes].concat()
}

/// Of the 51 bytes of a public key, a multiple of three.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let group = |three: &[u8]| {
        let number = three.iter().fold(0_usize, |all, byte| all << 8 | usize::from(*byte));
        [18, 12, 6, 0].map(|shift| char::from(DIGITS[number >> shift & 63]))
    };
    bytes.chunks(3).flat_map(group).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_public_key_is_written_as_ssh_does() {
        let public = [string(b"ssh-ed25519"), string(&[0; 32])].concat();
        assert_eq!(public.len(), 51);
        assert!(base64(&public).starts_with("AAAAC3NzaC1lZDI1NTE5AAAAI"));
        assert_eq!(base64(b"Man"), "TWFu");
    }
}
