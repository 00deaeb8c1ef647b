//! A folder with requests and what they are compared with, and the module's binary to be run on them.

use openssl::ec::{EcGroup, EcKey};
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private, Public};
use openssl::rsa::Rsa;
use pv_request::{AddSecret, Extension, HostKey, ImageTags, RequestKeys, Secret, SecretClass, UserData};
use pv_wire::{SecretId, layout};
use s390_pv::request::{BootHdrTags, ReqEncrCtx, Request as _};
use s390_pv::secret::{AddSecretFlags, AddSecretRequest, AddSecretVersion, GuestSecret};
use serde_json::Value;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use tempfile::TempDir;
use test_pki::{Pki, write_file};

/// Two host key documents, an image header, and a folder for requests.
pub struct World {
    dir: TempDir,
    pki: Pki,
    hosts: Vec<PKey<Private>>,
}

impl World {
    pub fn new() -> Self {
        let hosts = vec![p521(), p521(), p521()];
        let world = Self { dir: tempfile::tempdir().unwrap(), pki: Pki::new("Armonk").unwrap(), hosts };
        for (at, key) in world.hosts.iter().enumerate() {
            world.certificate(&format!("host{at}.crt"), key);
        }
        world.write("header", &header(0x51));
        world.write("other_header", &header(0x52));
        world
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    pub fn write(&self, name: &str, content: &[u8]) -> String {
        write_file(&self.path(name), content).unwrap();
        self.text(name)
    }

    /// Writes a certificate over a key.
    pub fn certificate(&self, name: &str, key: &PKey<Private>) -> String {
        self.write(name, &self.pki.host_document(key, None).unwrap().to_pem().unwrap())
    }

    pub fn tags(&self) -> ImageTags {
        ImageTags::read(&self.path("header")).unwrap()
    }

    /// The first two hosts' keys.
    pub fn hosts(&self) -> Vec<HostKey> {
        self.hosts.iter().take(2).map(|key| HostKey::new(public(key), "host").unwrap()).collect()
    }

    /// An association request of ours for the header and the first two hosts.
    pub fn ours(&self, user_data: UserData) -> Vec<u8> {
        let secret = Secret::new(SecretClass::Association, SecretId::from_name_bytes("my secret"), &[7; 32], "secret");
        let request = AddSecret {
            image: self.tags(),
            secret: secret.unwrap(),
            extension: Extension::None,
            cuid: Some([0x42; 16]),
            flags: layout::FLAG_DISABLE_DUMP,
            user_data,
        };
        request.build(&self.hosts(), RequestKeys::generate().unwrap()).unwrap()
    }

    /// The same of IBM's library: meta, and with signed user data.
    pub fn theirs(&self, data: &[u8], key: &PKey<Private>) -> Vec<u8> {
        let tags = BootHdrTags::try_from(self.tags().0.to_vec()).unwrap();
        let mut request =
            AddSecretRequest::new(AddSecretVersion::One, GuestSecret::Null, tags, AddSecretFlags::default());
        request.set_user_data(data.to_vec(), Some(key.clone())).unwrap();
        request.add_hostkey(public(&self.hosts[0]));
        request.encrypt(&ReqEncrCtx::new_aes_256(None, None, None).unwrap()).unwrap()
    }

    /// Runs the module with the arguments on standard input, as the collection does.
    pub fn run(&self, options: &Value) -> Value {
        let mut command = Command::new(env!("CARGO_BIN_EXE_request_info"));
        let mut child = command.arg("-").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(options.to_string().as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        let result: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(i32::from(result["failed"] == true)), "{result}");
        assert_eq!(result["changed"], false, "{result}");
        result
    }
}

pub fn p521() -> PKey<Private> {
    PKey::from_ec_key(EcKey::generate(&EcGroup::from_curve_name(Nid::SECP521R1).unwrap()).unwrap()).unwrap()
}

pub fn rsa(bits: u32) -> PKey<Private> {
    PKey::from_rsa(Rsa::generate(bits).unwrap()).unwrap()
}

pub fn public(key: &PKey<Private>) -> PKey<Public> {
    PKey::public_key_from_der(&key.public_key_to_der().unwrap()).unwrap()
}

/// A Secure Execution header with one keyslot and digests of `fill`.
fn header(fill: u8) -> Vec<u8> {
    let mut header = vec![fill; 0x1a0 + 80 + 0x80 + 16];
    let size = u32::try_from(header.len()).unwrap();
    header[..8].copy_from_slice(b"IBMSecEx");
    header[0x008..0x00c].copy_from_slice(&0x100_u32.to_be_bytes());
    header[0x00c..0x010].copy_from_slice(&size.to_be_bytes());
    header[0x020..0x028].copy_from_slice(&1_u64.to_be_bytes());
    header[0x028..0x030].copy_from_slice(&0x80_u64.to_be_bytes());
    header
}

pub fn code(result: &Value) -> &str {
    result["error"]["code"].as_str().unwrap_or_default()
}

pub fn warnings(result: &Value) -> Vec<&str> {
    result["warnings"].as_array().map_or_else(Vec::new, |list| list.iter().filter_map(Value::as_str).collect())
}
