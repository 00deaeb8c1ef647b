//! What a request is made of: the content of all files that the options name.

use crate::codes;
use crate::manifest::{Hidden, Inputs};
use crate::options::Kind;
use crate::seal::{Seal, locked};
use crate::wanted::{CuidSource, HINT_BASE64, Present, Proof, SecretSource};
use fault::{Fault, Result};
use openssl::sha::sha256;
use pv_request::codes::{SECRET_KEY, SECRET_SIZE};
use pv_request::{AddSecret, Extension, HINT_RAW_FILE, ImageTags, RequestKeys, Secret, SecretClass, Source, UserData};
use pv_wire::{SecretId, SecretType, encode_hex};
use std::path::Path;
use trusted::{Hosts, KnownImages, Private, ReadHosts, StateKey, cuid, private_file};

/// The secret, as far as it is there.
pub enum SecretState {
    /// The type has none.
    None,
    /// Its bytes.
    Known(Private),
    /// It is to be made.
    ToCreate,
    /// It is there and encrypted, and no key is given.
    Locked,
}

/// Everything that was read.
pub struct Material {
    /// The secret.
    pub secret: SecretState,
    /// What the operator should know about the files with secrets and about the host keys.
    pub warnings: Vec<Fault>,
    /// The host keys.
    pub hosts: Hosts,
    image: ImageTags,
    extension: Extension,
    cuid: Option<[u8; 16]>,
    user_data: Vec<u8>,
    signing_key: Option<Private>,
}

impl Material {
    /// Reads it all and verifies the host keys.
    ///
    /// # Errors
    /// The `file.*`, `image.*` and `hkd.*` codes, `request.secret_missing`, and those about single inputs.
    pub fn gather(wanted: &Present, known: &mut ReadHosts, images: &mut KnownImages) -> Result<Self> {
        let hosts = known.get(&wanted.host_keys)?;
        let mut warnings = hosts.repeated();
        let secret = secret(wanted, &mut warnings)?;
        Ok(Self {
            hosts,
            secret,
            image: images.get(&wanted.image)?,
            extension: match &wanted.proof {
                Proof::None => Extension::None,
                Proof::Simple(path) => {
                    Extension::simple(&private_file::required(path, &mut warnings)?, &path.display().to_string())?
                }
                Proof::Derived(path) => {
                    Extension::derived(&private_file::required(path, &mut warnings)?, &path.display().to_string())?
                }
            },
            cuid: match &wanted.cuid {
                CuidSource::None => None,
                CuidSource::Given(cuid) => Some(*cuid),
                CuidSource::File(path) => Some(cuid::from_file(path)?),
            },
            user_data: wanted.user_data.as_deref().map(Source::read).transpose()?.map_or_else(Vec::new, |s| s.bytes),
            signing_key: wanted
                .user_signing_key
                .as_deref()
                .map(|path| private_file::required(path, &mut warnings))
                .transpose()?,
            warnings,
        })
    }

    /// The exact type of the secret.
    ///
    /// # Errors
    /// Those of building the secret from its bytes.
    pub fn kind(&self, wanted: &Present) -> Result<SecretType> {
        match &self.secret {
            SecretState::None => Ok(SecretType::META),
            SecretState::ToCreate => Ok(SecretType::ASSOCIATION),
            SecretState::Locked => match wanted.kind {
                Kind::Association => Ok(SecretType::ASSOCIATION),
                _ => Err(locked(wanted.secret_file().unwrap_or(Path::new("")))),
            },
            SecretState::Known(bytes) => secret_of(wanted, bytes).map(|secret| secret.kind()),
        }
    }

    /// What a manifest shows of it.
    ///
    /// # Errors
    /// Those of building the secret from its bytes.
    pub fn inputs(&self, wanted: &Present) -> Result<Inputs> {
        let mut host_keys: Vec<_> = self.hosts.distinct().map(|host| host.info.hash.clone()).collect();
        host_keys.sort();
        Ok(Inputs {
            kind: self.kind(wanted)?.kind(),
            name: wanted.name.clone(),
            id: wanted.id.map(|id| id.to_string()),
            image: encode_hex(&sha256(&self.image.0)),
            host_keys,
            flags: wanted.flags.clone(),
            cuid: self.cuid.map(|cuid| format!("0x{}", encode_hex(&cuid))),
            user_data: wanted.user_data.as_ref().map(|_| encode_hex(&sha256(&self.user_data))),
            extension_secret: match self.extension {
                Extension::None => "none",
                Extension::Simple(_) => "simple",
                Extension::Derived(_) => "derived",
            }
            .into(),
        })
    }

    /// The HMACs that stand in a manifest for what it must not show.
    ///
    /// # Errors
    /// `request.crypto`.
    pub fn hidden(&self, key: &StateKey, secret: Option<&[u8]>) -> Result<Hidden> {
        let (simple, cck) = match &self.extension {
            Extension::None => (None, None),
            Extension::Simple(bytes) => (Some(bytes), None),
            Extension::Derived(bytes) => (None, Some(bytes)),
        };
        let mac = |purpose, bytes: Option<&[u8]>| bytes.map(|bytes| key.mac(purpose, bytes)).transpose();
        Ok(Hidden {
            secret: mac("secret", secret)?,
            extension_secret: mac("extension secret", simple.map(|bytes| bytes.as_slice()))?,
            cck: mac("customer communication key", cck.map(|bytes| bytes.as_slice()))?,
            signing_key: mac("signing key", self.signing_key.as_ref().map(|bytes| bytes.as_slice()))?,
        })
    }

    /// Builds a request: no two are alike.
    ///
    /// # Errors
    /// The `request.*` codes about inputs.
    pub fn build(&self, wanted: &Present, secret: Option<&[u8]>) -> Result<Vec<u8>> {
        let request = AddSecret {
            image: self.image,
            secret: secret.map_or_else(|| Ok(Secret::meta()), |bytes| secret_of(wanted, bytes))?,
            extension: self.extension.clone(),
            cuid: self.cuid,
            flags: wanted.flags.iter().fold(0, |bits, flag| bits | flag.bit()),
            user_data: self.user_data(wanted)?,
        };
        request.build(self.hosts.distinct().map(|host| &host.key), RequestKeys::generate()?)
    }

    fn user_data(&self, wanted: &Present) -> Result<UserData> {
        let shown = |path: &Option<std::path::PathBuf>| path.as_ref().map(|path| path.display().to_string());
        let name = shown(&wanted.user_data).unwrap_or_default();
        let data = self.user_data.clone();
        match (&self.signing_key, shown(&wanted.user_signing_key), &wanted.user_data) {
            (Some(key), Some(key_name), _) => UserData::signed(data, &name, key, &key_name),
            (_, _, Some(_)) => UserData::unsigned(data, &name),
            _ => Ok(UserData::default()),
        }
    }
}

fn secret(wanted: &Present, warnings: &mut Vec<Fault>) -> Result<SecretState> {
    match &wanted.secret {
        SecretSource::None => Ok(SecretState::None),
        SecretSource::Given(bytes) => Ok(SecretState::Known(bytes.clone())),
        SecretSource::File { path, create, sealing } => {
            // Of both folders also where the secret is still to be made, and the key is read only then.
            for path in [Some(path), sealing.key.as_ref()].into_iter().flatten() {
                warnings.extend(private_file::folder(path)?);
            }
            let content = private_file::read(path)?;
            match content {
                Some(bytes) => {
                    let seal = Seal::read(sealing)?;
                    warnings.extend(seal.left_out(&bytes, path));
                    Ok(seal.open(bytes, path)?.map_or(SecretState::Locked, SecretState::Known))
                }
                None if *create => Ok(SecretState::ToCreate),
                None => Err(secret_missing(wanted, path)),
            }
        }
    }
}

fn secret_missing(wanted: &Present, path: &Path) -> Fault {
    let detail = format!(
        "The file with the secret, {}, does not exist: is this the first time, or was it lost?",
        path.display()
    );
    Fault::new(codes::SECRET_MISSING, detail).hint(if wanted.kind == Kind::Association {
        "First time: set create_secret: true (with the playbook provision: -e provision_create_secrets=true). Lost: restore it from the backup, because a new secret does not fit what the old one protects."
    } else {
        "Put the secret there, with mode 0600; if it was lost, restore it from the backup."
    })
}

/// What is wrong about a secret that is no file's: the hints of `pv_request` are about files.
fn of_option(fault: Fault) -> Fault {
    if ![SECRET_SIZE, SECRET_KEY].contains(&fault.code) {
        return fault;
    }
    let hint = fault.hint.replace(HINT_RAW_FILE, "").trim().to_owned();
    fault.hint(format!("{hint} {HINT_BASE64}").trim_start())
}

/// The secret in the form in which a request carries it; only called for types that have one.
fn secret_of(wanted: &Present, bytes: &[u8]) -> Result<Secret> {
    let class = match wanted.kind {
        Kind::Meta => return Ok(Secret::meta()),
        Kind::Association => SecretClass::Association,
        Kind::Plaintext => SecretClass::Plaintext,
        Kind::Aes => SecretClass::Aes,
        Kind::AesXts => SecretClass::AesXts,
        Kind::HmacSha => SecretClass::HmacSha,
        Kind::Ec => SecretClass::Ec,
        Kind::UpdateCck => SecretClass::UpdateCck,
    };
    let name = wanted.secret_file().map_or_else(|| "The option secret".into(), |path| path.display().to_string());
    let secret = Secret::new(class, wanted.id.unwrap_or(SecretId([0; 32])), bytes, &name);
    secret.map_err(|fault| if matches!(wanted.secret, SecretSource::Given(_)) { of_option(fault) } else { fault })
}
