//! A folder with everything that attestation is made of, and a module's program to be run in it. Also for attest_verify.

use guest_sim::crypto::HostKey;
use openssl::{nid::Nid, pkey::PKey, pkey::Private};
use serde_json::{Map, Value, json};
use std::fs::{self, Permissions};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tempfile::TempDir;
use test_pki::{Flaw, Pki, host_key, write_file};

/// Certificates, two host key documents and a header.
pub struct World {
    dir: TempDir,
    pki: Pki,
    program: &'static str,
    /// The private key of the first host.
    pub host: HostKey,
}

impl World {
    /// One in which this program is run.
    pub fn new(program: &'static str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut world = Self { dir, pki: Pki::new("Armonk").unwrap(), program, host: HostKey::generate() };
        world.pki.write(world.dir.path()).unwrap();
        world.host = simulated(&world.document("host1", None));
        world.document("host2", None);
        write_file(&world.path("header"), &header(0x51)).unwrap();
        world
    }

    /// The folder, with no link in its path.
    pub fn root(&self) -> PathBuf {
        self.dir.path().canonicalize().unwrap()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    /// Writes a host key document and gives the host's key.
    pub fn document(&self, name: &str, flaw: Option<Flaw>) -> PKey<Private> {
        let key = host_key(Nid::SECP521R1).unwrap();
        let document = self.pki.host_document(&key, flaw).unwrap();
        write_file(&self.path(&format!("{name}.crt")), &document.to_pem().unwrap()).unwrap();
        key
    }

    /// Writes a file that only its owner can read.
    pub fn private(&self, name: &str, content: &[u8]) -> String {
        write_file(&self.path(name), content).unwrap();
        fs::set_permissions(self.path(name), Permissions::from_mode(0o600)).unwrap();
        self.text(name)
    }

    /// The options by which host key documents are verified.
    pub fn trust(&self) -> Value {
        json!({
            "certificates": [self.text("inter_ca.crt"), self.text("ibm.crt")],
            "crls": [self.text("root_ca.crl"), self.text("inter_ca.crl"), self.text("ibm.crl")],
            "root_ca": self.text("root_ca.crt"),
        })
    }

    /// The usual options of attest_request for a request at `path`, and `more` in addition or instead.
    pub fn request(&self, path: &str, more: Value) -> Value {
        let documents = [self.text("host1.crt"), self.text("host2.crt")];
        with(with(json!({"path": self.text(path), "host_keys": documents}), self.trust()), more)
    }

    /// Runs the program with the arguments on standard input, as the collection does.
    pub fn run(&self, options: &Value) -> Value {
        let mut child = self.command().arg("-").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(options.to_string().as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        let result: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(i32::from(result["failed"] == true)), "{result}");
        assert!(output.stderr.is_empty());
        result
    }

    pub fn command(&self) -> Command {
        Command::new(self.program)
    }

    /// Names, modes and contents of all files, to see that nothing was touched.
    pub fn files(&self) -> Vec<(PathBuf, u32, Vec<u8>)> {
        let mut found: Vec<_> = fs::read_dir(self.dir.path())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.is_file())
            .map(|path| (path.clone(), mode(&path), fs::read(&path).unwrap()))
            .collect();
        found.sort();
        found
    }

    /// Back to these files and no others.
    pub fn reset(&self, files: &[(PathBuf, u32, Vec<u8>)]) {
        self.files().iter().for_each(|(path, ..)| fs::remove_file(path).unwrap());
        for (path, mode, content) in files {
            fs::write(path, content).unwrap();
            fs::set_permissions(path, Permissions::from_mode(*mode)).unwrap();
        }
    }
}

/// A host's key as the simulator has it.
pub fn simulated(key: &PKey<Private>) -> HostKey {
    let pem = key.private_key_to_pem_pkcs8().unwrap();
    HostKey::from_pem(std::str::from_utf8(&pem).unwrap()).unwrap()
}

/// Options, and others in addition or instead.
pub fn with(mut options: Value, more: Value) -> Value {
    options.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap_or_else(Map::new));
    options
}

pub fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

/// A Secure Execution header with one keyslot, whose digests and tag are of `fill`.
pub fn header(fill: u8) -> Vec<u8> {
    let mut header = vec![fill; 0x1a0 + 80 + 0x80 + 16];
    let size = u32::try_from(header.len()).unwrap();
    header[..8].copy_from_slice(b"IBMSecEx");
    header[0x008..0x00c].copy_from_slice(&0x100_u32.to_be_bytes());
    header[0x00c..0x010].copy_from_slice(&size.to_be_bytes());
    header[0x020..0x028].copy_from_slice(&1_u64.to_be_bytes());
    header[0x028..0x030].copy_from_slice(&0x80_u64.to_be_bytes());
    header
}

/// The code of a failed result.
pub fn code(result: &Value) -> &str {
    result["error"]["code"].as_str().unwrap_or_default()
}

/// Whether the result warns with this code.
pub fn warns(result: &Value, code: &str) -> bool {
    let ending = format!("[{code}]");
    result["warnings"].as_array().is_some_and(|list| list.iter().any(|w| w.as_str().unwrap().ends_with(&ending)))
}
