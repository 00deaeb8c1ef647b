//! What is to be done about one request, decided without touching anything.

use crate::codes;
use crate::manifest::{Hidden, Inputs, Manifest, Recorded, same};
use durable::{Attributes, Found};
use fault::{Fault, Result};
use openssl::sha::sha256;
use pv_request::IdFile;
use pv_wire::{RequestView, SecretType, encode_hex, layout};
use std::path::{Path, PathBuf};

/// Bytes of an id file; what is larger is none.
pub const ID_FILE_LIMIT: u64 = 64 << 10;

/// How a request is to be.
pub struct Desired {
    /// Where its file is; without one it is only returned.
    pub path: Option<PathBuf>,
    /// What it shows of its origin.
    pub inputs: Inputs,
    /// HMACs of what it does not; without the secret's where that is to be made.
    pub hidden: Hidden,
    /// The file of its secret, where that does not exist yet and may be made.
    pub create_secret: Option<PathBuf>,
    /// Whether its secret may be another one than before.
    pub replace_secret: bool,
    /// Mode and owner of its file.
    pub attributes: Attributes,
    /// The file that names its secret, and where that is.
    pub id_file: Option<(PathBuf, IdFile)>,
}

/// How it is found.
pub struct Observed {
    /// Its file.
    pub request: Option<Found>,
    /// Its manifest.
    pub recorded: Recorded,
    /// What is in the id file's place.
    pub id_file: Option<Vec<u8>>,
}

/// What is to be done.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// The request is to be built, and its secret to be made if need be.
    pub build: bool,
    /// Only mode or owner of the request's file are to be set.
    pub set_attributes: bool,
    /// The manifest is to name another id file than it does.
    pub record_id_file: bool,
    /// The id file is to be written.
    pub write_id_file: Option<String>,
    /// What the operator should know.
    pub warnings: Vec<Fault>,
}

/// Makes the plan.
///
/// # Errors
/// `request.not_ours`, `request.secret_missing`, `request.secret_changed`, `args.id_file_collision`.
pub fn plan(desired: &Desired, observed: &Observed) -> Result<Plan> {
    let mut plan = Plan::default();
    let path = desired.path.as_deref().unwrap_or(Path::new(""));
    if let Some(found) = &observed.request {
        check_ours(path, found, &observed.recorded)?;
    }
    check_secret(desired, observed, path)?;
    match (&observed.request, &observed.recorded) {
        (None, Recorded::Untrusted(None)) => {
            let detail = format!(
                "{} is not a manifest of a request, and there is no request next to it; it is left as it is.",
                Manifest::path(path).display()
            );
            return Err(Fault::new(codes::NOT_OURS, detail).hint("Choose another path, or remove the file."));
        }
        (None, _) => plan.build = true,
        (Some(_), Recorded::Absent) => {
            plan.build = true;
            plan.warnings.push(again(codes::NO_MANIFEST, path, "has no manifest"));
        }
        (Some(_), Recorded::Untrusted(_)) => {
            plan.build = true;
            plan.warnings.push(again(
                codes::UNTRUSTED_MANIFEST,
                path,
                "has a manifest that this user did not write or that was changed",
            ));
        }
        (Some(found), Recorded::Trusted(manifest)) => {
            let altered = manifest.sha256 != encode_hex(&sha256(&found.bytes));
            plan.build = altered || manifest.inputs != desired.inputs || manifest.hidden != desired.hidden;
            if altered {
                plan.warnings.push(again(
                    codes::ALTERED,
                    path,
                    "is not the one in its manifest: a run was interrupted, or the request was changed",
                ));
            }
            plan.set_attributes = !plan.build && !desired.attributes.met_by(&found.attributes);
            let named = match &desired.id_file {
                Some((id_path, _)) => manifest.names(id_path, path),
                None => manifest.id_file.is_none(),
            };
            plan.record_id_file = !plan.build && !named;
        }
    }
    if let Some((id_path, id_file)) = &desired.id_file {
        let text = id_file.to_yaml()?;
        match &observed.id_file {
            Some(existing) if *existing == text.as_bytes() => {}
            Some(existing) => {
                let ours = observed.recorded.said().is_some_and(|manifest| manifest.names(id_path, path));
                check_id_file(id_path, existing, id_file, ours)?;
                plan.write_id_file = Some(text);
            }
            None => plan.write_id_file = Some(text),
        }
    }
    Ok(plan)
}

/// That the file in a request's place may be replaced or removed: it is a request, or we wrote it.
///
/// # Errors
/// `request.not_ours`.
pub fn check_ours(path: &Path, found: &Found, recorded: &Recorded) -> Result<()> {
    if found.bytes.starts_with(&layout::MAGIC) || recorded.trusted().is_some() {
        return Ok(());
    }
    let detail = format!("{} is not an add-secret request; it is left as it is.", path.display());
    Err(Fault::new(codes::NOT_OURS, detail).hint("Choose another path, or remove the file."))
}

/// That the secret is the one that was used before, where that is known.
///
/// The manifest is written before its request, so where a replacement failed in between it names the new secret beside the
/// old request. That is meant so: to replace the secret was decided, the next run completes it without being told again,
/// and to go back to the old secret is a decision of its own. Until then the old request stays as it was.
fn check_secret(desired: &Desired, observed: &Observed, path: &Path) -> Result<()> {
    if desired.replace_secret {
        return Ok(());
    }
    let had_secret = match (observed.recorded.said(), &observed.request) {
        (Some(manifest), _) => manifest.hidden.secret.is_some(),
        (None, Some(found)) => {
            RequestView::parse(&found.bytes).map_or(true, |view| view.secret_type != SecretType::META)
        }
        (None, None) => false,
    };
    if let (Some(secret_file), true) = (&desired.create_secret, had_secret) {
        let detail = format!(
            "The file with the secret, {}, is missing, but {} was built from it before; it is not silently recreated.",
            secret_file.display(),
            path.display()
        );
        return Err(Fault::new(codes::SECRET_MISSING, detail)
            .hint("Restore it from the backup. To give it up for a new one, set replace_secret: true."));
    }
    let recorded = observed.recorded.trusted().and_then(|manifest| manifest.hidden.secret.as_ref());
    match (recorded, &desired.hidden.secret) {
        (Some(before), Some(now)) if !same(before, now) => Err(Fault::new(
            codes::SECRET_CHANGED,
            format!("The secret is not the one that {} was built from.", path.display()),
        )
        .hint("Check that the right secret is given. To replace it, set replace_secret: true.")),
        _ => Ok(()),
    }
}

/// That an id file in the way names this very secret, or is `ours`: what this request's manifest names.
fn check_id_file(path: &Path, existing: &[u8], wanted: &IdFile, ours: bool) -> Result<()> {
    let found = std::str::from_utf8(existing).ok().and_then(|text| IdFile::parse(text, "").ok());
    let what = match found {
        Some(found) if found.name == wanted.name && (ours || found == *wanted) => return Ok(()),
        Some(found) if found.name == wanted.name => {
            format!("names a secret {:?} of type {} with the id {}", found.name, found.kind.kind(), found.id)
        }
        Some(found) => format!("names another secret, {:?}", found.name),
        None => "is not an id file".into(),
    };
    Err(Fault::new(codes::ID_FILE_COLLISION, format!("{} {what}; it is left as it is.", path.display()))
        .hint("Name another file in id_file, or give the secret another name."))
}

fn again(code: fault::Code, path: &Path, what: &str) -> Fault {
    Fault::new(code, format!("The request {} {what}; it is built again.", path.display()))
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
