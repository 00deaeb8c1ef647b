//! A request that is to be there: observed and planned. What comes of the plan is in `apply.rs`.

use crate::apply::Apply;
use crate::codes;
use crate::history::History;
use crate::manifest::{Hidden, Manifest, Recorded};
use crate::material::{Material, SecretState};
use crate::plan::{Desired, ID_FILE_LIMIT, Observed, Plan, plan};
use crate::progress::Progress;
use crate::seal::{self, Seal, locked};
use crate::wanted::Present;
use ansible_contract::Diff;
use durable::{Attributes, Leavings};
use fault::{Fault, Result};
use pv_request::IdFile;
use pv_wire::{SecretType, layout};
use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use trusted::{KnownImages, Private, ReadHosts, StateKey, private_file};
use zeroize::Zeroizing;

/// Mode of a request unless another is wanted.
const REQUEST_MODE: u32 = 0o600;
/// `1` where the kernel runs as a Secure Execution guest.
const GUEST_INDICATION: &str = "/sys/firmware/uv/prot_virt_guest";

/// What all requests of a task share.
#[derive(Debug)]
pub struct Shared {
    /// Nothing may be written.
    pub check_mode: bool,
    /// The host keys that were read so far.
    pub known: ReadHosts,
    /// Secrets that existed before this task.
    pub history: History,
    /// Secrets that this task made, by the identity of their files.
    pub created: HashMap<PathBuf, Private>,
    /// The images that were read so far.
    pub images: KnownImages,
    /// What killed runs left.
    pub leavings: Leavings,
    /// Where the user's key is.
    pub key_path: PathBuf,
    /// The user's key, once it is known.
    pub key: Option<StateKey>,
}

impl Shared {
    /// What is there of a request.
    fn observe(&mut self, wanted: &Present) -> Result<Observed> {
        let observed = observe(wanted, self.key.as_ref())?;
        if self.key.is_some() || wanted.path.is_none() {
            return Ok(observed);
        }
        // The key is there before what it seals: looked for afterwards, it is not missed.
        self.key = StateKey::load(&self.key_path)?;
        self.key.as_ref().map_or(Ok(observed), |key| observe(wanted, Some(key)))
    }
}

/// A request that was observed and planned. What is left is to build it, which needs nothing but this and may go on in
/// another thread, and to finish it.
pub struct Prepared {
    wanted: Box<Present>,
    material: Material,
    desired: Desired,
    observed: Observed,
    plan: Plan,
    /// The secret, once it is there; in check mode zeros stand for one that would be made.
    secret: Option<Private>,
}

impl Prepared {
    /// Observes and plans one request; makes its secret if that is planned.
    ///
    /// # Errors
    /// Why it cannot be made; of the request nothing was written then, and a secret that was made is in `progress`.
    pub fn new(wanted: Box<Present>, shared: &mut Shared, progress: &mut Progress) -> Result<Self> {
        tell_what_is_asked(&wanted, progress);
        refuse_on_guest(&wanted, Path::new(GUEST_INDICATION))?;

        if !shared.check_mode {
            let manifest = wanted.path.as_deref().map(Manifest::path);
            let written =
                [wanted.secret_file(), manifest.as_deref(), wanted.path.as_deref(), wanted.id_file.as_deref()];
            let key_path = shared.key_path.clone();
            let mut written = [Some(key_path.as_path())].into_iter().chain(written).flatten();
            written.try_for_each(|file| shared.leavings.settle(file))?;
        }
        // Looked at before the secret: whoever makes a request makes its secret first. In the other order, a secret that another
        // run is just making would seem to be missing. An error waits until what is wrong with the inputs has been reported.
        let observed = shared.observe(&wanted);
        let mut material = Material::gather(&wanted, &mut shared.known, &mut shared.images)?;
        if let (SecretState::Locked, Some(path)) = (&material.secret, wanted.secret_file()) {
            if let Some(bytes) = shared.created.get(&durable::identity(path)) {
                material.secret = SecretState::Known(bytes.clone());
            }
        }
        tell_hosts(&wanted, &material, progress);
        let observed = observed?;
        let desired = desire(&wanted, &material, &observed, shared.key.as_ref())?;

        let plan = plan(&desired, &observed)?;
        if let (Some(secret_file), false) = (&desired.create_secret, desired.replace_secret) {
            shared.history.check_new(&wanted, secret_file, observed.id_file.as_deref())?;
        }
        progress.warn_all(&plan.warnings);
        progress.warn_all(&material.warnings);
        if let (true, SecretState::Locked, Some(path)) = (plan.build, &material.secret, wanted.secret_file()) {
            return Err(locked(path));
        }
        if plan.build {
            // Whoever builds must not rely on anything that is too old.
            material.hosts.outdated.first().map_or(Ok(()), |fault| Err(fault.clone()))?;
        }
        progress.warn_all(&material.hosts.outdated);

        let mut prepared = Self { wanted, material, desired, observed, plan, secret: None };
        if prepared.plan.build {
            prepared.secret = prepared.make_secret(shared.check_mode, progress)?;
            // Encrypted for others, it can be used by the rest of this task only from memory.
            if let (SecretState::ToCreate, false) = (&prepared.material.secret, shared.check_mode) {
                let path = prepared.wanted.secret_file().map(durable::identity);
                shared.created.extend(path.zip(prepared.secret.clone()));
            }
        }
        Ok(prepared)
    }

    /// The secret to build with; one that does not exist yet is made now, before any request for it.
    fn make_secret(&self, check_mode: bool, progress: &mut Progress) -> Result<Option<Private>> {
        let Self { wanted, material, .. } = self;
        if !check_mode {
            let [request, id_file] = [&wanted.path, &wanted.id_file].map(Option::as_deref);
            if wanted.make_folders {
                let secret = matches!(material.secret, SecretState::ToCreate).then(|| wanted.secret_file()).flatten();
                let mut written = [request, id_file, secret].into_iter().flatten();
                written.try_for_each(|file| durable::make_folder_of(file, &mut progress.entry.changed))?;
            }
            [request, id_file].into_iter().flatten().try_for_each(durable::check_writable)?;
        }
        match (&material.secret, wanted.secret_file()) {
            (SecretState::Known(bytes), _) => Ok(Some(bytes.clone())),
            (SecretState::ToCreate, Some(path)) => {
                let zeros = Zeroizing::new(vec![0; private_file::CREATED_LEN]);
                let seal = wanted.sealing().map(Seal::read).transpose()?.unwrap_or_default();
                // This finds out whether all else is right before anything is written.
                material.build(wanted, Some(&zeros))?;
                let mut created = check_mode;
                let bytes = if check_mode { Ok(zeros) } else { seal::create(path, &seal, &mut created) };
                if created {
                    tell_created(path, check_mode, progress);
                }
                bytes.map(Some)
            }
            _ => Ok(None),
        }
    }

    /// The request's bytes, if it is to be built. No two are alike.
    ///
    /// # Errors
    /// The `request.*` codes about inputs.
    pub fn build(&self) -> Result<Option<Vec<u8>>> {
        let build = || self.material.build(&self.wanted, self.secret.as_deref().map(Vec::as_slice));
        self.plan.build.then(build).transpose()
    }

    /// Writes what was built, unless in check mode, and all else that is planned.
    ///
    /// # Errors
    /// Why it could not be done; what was done before is in `progress`.
    pub fn finish(mut self, built: Option<Vec<u8>>, shared: &mut Shared, progress: &mut Progress) -> Result<()> {
        // An earlier request of the task may have written the id file since this one was planned.
        let id_file = read_id_file(&self.wanted)?;
        if id_file != self.observed.id_file {
            self.observed.id_file = id_file;
            self.plan = plan(&self.desired, &self.observed)?;
        }
        let Self { wanted, material, desired, observed, plan, secret } = &self;
        let mut apply = Apply { wanted, material, desired, observed, secret: secret.as_ref(), shared, progress };
        apply.request(plan, built)?;
        apply.id_file(plan)
    }
}

/// What is there of a request.
///
/// # Errors
/// `request.not_ours`, `file.unreadable`.
pub fn observe(wanted: &Present, key: Option<&StateKey>) -> Result<Observed> {
    let limit = layout::MAX_REQUEST_LEN as u64;
    let (request, recorded) = match &wanted.path {
        Some(path) => (durable::read(path, limit, codes::NOT_OURS)?, Manifest::read(path, key)?),
        None => (None, Recorded::Absent),
    };
    Ok(Observed { request, recorded, id_file: read_id_file(wanted)? })
}

/// What is in the id file's place.
fn read_id_file(wanted: &Present) -> Result<Option<Vec<u8>>> {
    let read = |path| {
        durable::read(path, ID_FILE_LIMIT, codes::NOT_OURS).map_err(|mut fault| {
            if fault.code == codes::NOT_OURS {
                fault.code = codes::ID_FILE_COLLISION;
            }
            fault
        })
    };
    let found = wanted.id_file.as_deref().map(read).transpose()?;
    Ok(found.flatten().map(|found| found.bytes))
}

fn desire(wanted: &Present, material: &Material, observed: &Observed, key: Option<&StateKey>) -> Result<Desired> {
    let inputs = material.inputs(wanted)?;
    let secret = if let SecretState::Known(bytes) = &material.secret { Some(bytes.as_slice()) } else { None };
    let mut hidden = key.map(|key| material.hidden(key, secret)).transpose()?.unwrap_or_else(Hidden::default);
    if matches!(material.secret, SecretState::Locked) {
        // Nobody can say that it is another one.
        hidden.secret = observed.recorded.trusted().and_then(|manifest| manifest.hidden.secret.clone());
    }
    let mode_before = observed.request.as_ref().map_or(REQUEST_MODE, |found| found.attributes.mode);
    let (uid, gid) = wanted.ownership()?;
    let kind = material.kind(wanted)?;
    let id_file = match (&wanted.id_file, &wanted.name, wanted.id) {
        (Some(path), Some(name), Some(id)) => Some((path.clone(), IdFile { kind, name: name.clone(), id })),
        _ => None,
    };
    Ok(Desired {
        path: wanted.path.clone(),
        inputs,
        hidden,
        create_secret: match material.secret {
            SecretState::ToCreate => wanted.secret_file().map(Path::to_path_buf),
            _ => None,
        },
        replace_secret: wanted.replace_secret,
        attributes: Attributes {
            mode: wanted.mode.as_ref().map_or(REQUEST_MODE, |mode| mode.of(mode_before)),
            uid,
            gid,
        },
        id_file,
    })
}

fn refuse_on_guest(wanted: &Present, indication: &Path) -> Result<()> {
    let guest = fs::read_to_string(indication).is_ok_and(|text| text.trim() == "1");
    if guest && !wanted.allow_on_guest {
        return Err(Fault::new(
            codes::ON_GUEST,
            "This is a Secure Execution guest; requests are built on a trusted machine, which knows the secrets anyway.",
        )
        .hint("Delegate the task to that machine, or set allow_on_guest: true if this guest is the trusted machine."));
    }
    Ok(())
}

fn tell_what_is_asked(wanted: &Present, progress: &mut Progress) {
    let shown = |path: &Path| path.display().to_string();
    let entry = &mut progress.entry;
    entry.name.clone_from(&wanted.name);
    entry.id = wanted.id.map(|id| id.to_string());
    entry.id_file = wanted.id_file.as_deref().map(shown);
    entry.secret_file = wanted.secret_file().map(shown);
    if wanted.host_keys.trust.is_none() {
        progress.warn(
            &Fault::new(
                trusted::codes::UNVERIFIED,
                "The host key documents were not verified: whoever made them may be able to read the secret.",
            )
            .hint("Set verify_host_keys: true and name certificates and crls."),
        );
    }
}

fn tell_hosts(wanted: &Present, material: &Material, progress: &mut Progress) {
    progress.entry.host_keys = material.hosts.keys.iter().map(|host| Arc::clone(&host.info)).collect();
    progress.entry.root_ca.clone_from(&material.hosts.root_ca);
    progress.entry.kind = material.kind(wanted).ok().map(SecretType::kind);
}

fn tell_created(path: &Path, check_mode: bool, progress: &mut Progress) {
    progress.entry.secret_created = true;
    if !check_mode {
        // In check mode there is nothing yet to be backed up.
        let detail = format!("A new secret was created; {} is the only copy.", path.display());
        let warning = Fault::new(codes::SECRET_CREATED, detail)
            .hint("Back it up now: without it, no other request for this secret can ever be built.");
        progress.warn(&warning);
    }
    let after = format!("content: {} random bytes\nmode: 0600\n", private_file::CREATED_LEN);
    progress.changed(Diff { subject: path.display().to_string(), before: String::new(), after });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wanted::Wanted;

    #[test]
    fn a_guest_is_refused_unless_it_is_allowed() {
        let dir = tempfile::tempdir().unwrap();
        let indication = dir.path().join("prot_virt_guest");
        let refused = |allow: bool| {
            let options = format!(
                r#"{{"path": "/r", "type": "meta", "image": "/i", "host_keys": ["/h"], "certificates": ["/c"], "allow_on_guest": {allow}}}"#
            );
            let Wanted::Present(wanted) = Wanted::from_options(&serde_json::from_str(&options).unwrap()).unwrap()
            else {
                panic!("absent")
            };
            refuse_on_guest(&wanted, &indication).err().map(|fault| fault.code)
        };
        assert_eq!(refused(false), None);
        fs::write(&indication, "0\n").unwrap();
        assert_eq!(refused(false), None);
        fs::write(&indication, "1\n").unwrap();
        assert_eq!((refused(false), refused(true)), (Some(codes::ON_GUEST), None));
    }
}
