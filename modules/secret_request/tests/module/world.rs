//! A folder with everything that a request is made of, and the module's binary to be run in it.

use guest_sim::crypto::{HostKey, open};
use openssl::{nid::Nid, pkey::PKey, pkey::Private};
use pv_wire::{RequestView, layout};
use serde_json::{Map, Value, json};
use std::fs::{self, Permissions};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tempfile::TempDir;
use test_pki::{Flaw, Pki, host_key, write_file};

/// Certificates, two host key documents, a header and a home for the user's key.
pub struct World {
    dir: TempDir,
    pki: Pki,
    /// The private key of the first host.
    host: HostKey,
}

impl World {
    pub fn new() -> Self {
        Self::with_crls_at("http://crl.invalid")
    }

    /// One whose certificates say that the revocation lists are below this address.
    pub fn with_crls_at(uri: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let host = HostKey::generate();
        let mut world = Self { dir, pki: Pki::with_crls_at("Armonk", uri).unwrap(), host };
        world.pki.write(world.dir.path()).unwrap();
        let key = world.document("host1", None).private_key_to_pem_pkcs8().unwrap();
        world.host = HostKey::from_pem(std::str::from_utf8(&key).unwrap()).unwrap();
        world.document("host2", None);
        write_file(&world.path("header"), &header(0x51)).unwrap();
        world
    }

    pub fn pki(&self) -> &Pki {
        &self.pki
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

    /// The secret in a request, as the first host's firmware finds it.
    pub fn secret_in(&self, request: &Path) -> Vec<u8> {
        let bytes = fs::read(request).unwrap();
        let view = RequestView::parse(&bytes).unwrap();
        let slots = layout::SLOTS..layout::SLOTS + view.host_key_hashes().count() * layout::SLOT_LEN;
        let key = self.host.unwrap(&bytes[layout::CUSTOMER_KEY..layout::SLOTS], &bytes[slots]).unwrap();
        let length = view.secret_size as usize;
        let sealed = bytes.len() - layout::TAG_LEN - layout::EXTENSION_SECRET_LEN - length;
        let iv = bytes[layout::IV..layout::IV + 12].try_into().unwrap();
        open(&key, iv, &bytes[..sealed], &bytes[sealed..]).unwrap()[..length].to_vec()
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

    /// The usual options of a request at `path`, and `more` in addition or instead.
    pub fn options(&self, path: &str, more: Value) -> Value {
        let mut options = json!({
            "path": self.text(path),
            "name": "my secret",
            "secret_file": self.text("secret"),
            "create_secret": true,
            "image": self.text("header"),
            "host_keys": [self.text("host1.crt"), self.text("host2.crt")],
            "certificates": [self.text("inter_ca.crt"), self.text("ibm.crt")],
            "crls": [self.text("root_ca.crl"), self.text("inter_ca.crl"), self.text("ibm.crl")],
            "root_ca": self.text("root_ca.crt"),
        });
        let map = options.as_object_mut().unwrap();
        map.extend(more.as_object().cloned().unwrap_or_else(Map::new));
        options
    }

    /// Runs the module with the arguments on standard input, as the collection does.
    pub fn run(&self, options: &Value) -> Value {
        let mut child = self.command().arg("-").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(options.to_string().as_bytes()).unwrap();
        answer(child.wait_with_output().unwrap())
    }

    /// Runs the module with the arguments in a file, as ansible-core does.
    pub fn run_with_file(&self, options: &Value) -> Value {
        let file = self.path("args.json");
        write_file(&file, options.to_string().as_bytes()).unwrap();
        answer(self.command().arg(file).output().unwrap())
    }

    pub fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_secret_request"));
        command.env("XDG_STATE_HOME", self.path("state"));
        for variable in ["http_proxy", "https_proxy", "all_proxy", "no_proxy"] {
            command.env_remove(variable).env_remove(variable.to_uppercase());
        }
        command
    }

    /// Names, modes and contents of all files, to see that nothing was touched.
    pub fn files(&self) -> Vec<(PathBuf, u32, Vec<u8>)> {
        let mut found = Vec::new();
        collect(self.dir.path(), &mut found);
        found.sort();
        found
    }
}

fn collect(dir: &Path, found: &mut Vec<(PathBuf, u32, Vec<u8>)>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, found);
        } else {
            found.push((path.clone(), mode(&path), fs::read(&path).unwrap()));
        }
    }
}

pub fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

fn answer(output: std::process::Output) -> Value {
    let result: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(i32::from(result["failed"] == true)), "{result}");
    assert!(output.stderr.is_empty());
    result
}

/// A Secure Execution header with one keyslot and digests of `fill`.
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

/// The code of a failed result, and that of a result's warnings.
pub fn code(result: &Value) -> &str {
    result["error"]["code"].as_str().unwrap_or_default()
}

/// Whether the result warns with this code.
pub fn warns(result: &Value, code: &str) -> bool {
    let ending = format!("[{code}]");
    result["warnings"].as_array().is_some_and(|list| list.iter().any(|w| w.as_str().unwrap().ends_with(&ending)))
}
