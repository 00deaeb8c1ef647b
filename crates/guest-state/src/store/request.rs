//! The secrets that are wanted, each with its request where one is given, read and looked through.

use super::plan::codes;
use super::requirement::Requirement;
use ansible_contract::{PathText, codes as args, from_base64};
use fault::{Fault, Result, file};
use pv_wire::{RequestView, SecretId, SecretType, layout};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::io::ErrorKind;

/// A request, as users name it: one of `path`, `content` and `src`.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[cfg_attr(feature = "docs", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct Request {
    /// The request, a file on the guest. One of V(path), V(content) and V(src) is required.
    pub path: Option<PathText>,
    /// The request itself in base64, as RV(seguest.pv.secret_request#module:requests[].content) gives it.
    #[serde(skip_serializing)]
    pub content: Option<String>,
    /// The request, a file on the controller, searched for like that of M(ansible.builtin.copy).
    /// Only through the collection's action plugin.
    pub src: Option<String>,
    /// Echoed in the results.
    pub label: Option<String>,
    /// Check mode only: the request is not built yet. Set by the collection's action plugin if V(content) is null or
    /// V(src) does not exist.
    pub pending: bool,
}

/// A request that was read. It is encrypted: no secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded {
    /// The whole request.
    pub bytes: Vec<u8>,
    /// Its secret's id, if it is of a type that is listed.
    pub id: Option<SecretId>,
    /// Its secret's type.
    pub secret_type: SecretType,
    /// Its tag in hex.
    pub tag: String,
    /// Its SHA-256 in hex.
    pub sha256: String,
}

impl Loaded {
    /// Reads a request's visible fields.
    ///
    /// # Errors
    /// Those of [`RequestView::parse`].
    pub fn parse(bytes: Vec<u8>) -> Result<Self> {
        let view = RequestView::parse(&bytes)?;
        let (id, secret_type, tag) = (view.id, view.secret_type, pv_wire::encode_hex(view.tag()));
        let sha256 = pv_wire::encode_hex(&Sha256::digest(&bytes));
        Ok(Self { bytes, id, secret_type, tag, sha256 })
    }
}

/// A secret that the store must hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// As given.
    pub label: Option<String>,
    /// As given.
    pub path: Option<PathText>,
    /// By what the secret is known, if that was given.
    pub known_as: Option<Requirement>,
    /// Add it although one of its type and id is there.
    pub force: bool,
    /// The request that brings it.
    pub request: Given,
}

/// The request of a secret that is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Given {
    /// It was read.
    Read(Loaded),
    /// Check mode: it is not there yet, and this is to be told of it.
    Later(Option<Fault>),
    /// There is none: the secret must be in the store already.
    None,
}

impl Wanted {
    /// What the request says, where there is one that was read.
    pub fn loaded(&self) -> Option<&Loaded> {
        if let Given::Read(loaded) = &self.request { Some(loaded) } else { None }
    }

    /// Whether nothing is known of the secret yet (check mode).
    pub fn may_be_any(&self) -> bool {
        self.known_as.is_none() && matches!(self.request, Given::Later(_))
    }

    /// What the lock must find in the store: the secret that its request brings, else by what it is known. `None` for types
    /// that are never listed.
    pub fn requirement(&self) -> Option<Requirement> {
        match self.loaded() {
            // The id is exact; a name could be met by another secret that has the name itself for an id.
            Some(loaded) => loaded.id.map(Requirement::Id),
            None => self.known_as.clone(),
        }
    }

    /// How messages call it.
    pub fn called(&self) -> String {
        let requirement = self.known_as.clone().or_else(|| self.requirement());
        requirement.map_or_else(|| "a secret that is never listed".to_owned(), |known_as| known_as.to_string())
    }
}

/// Reads what a task names as the request of one secret; `who` is how messages call it. In check mode a file that is not
/// there yet is no fault: an earlier task of the play may make it.
///
/// # Errors
/// `args.*`, `file.missing`, `file.unreadable`, those of [`Loaded::parse`] with the file's name, and
/// `request.other_secret` if the request is for another secret than the name or id says.
pub fn load(
    who: &str,
    request: Request,
    known_as: Option<Requirement>,
    force: bool,
    check_mode: bool,
) -> Result<Wanted> {
    let Request { path, content, src, label, pending } = request;
    if src.is_some() {
        return Err(Fault::new(args::SRC_NEEDS_COLLECTION, "The option src names a file on the controller, which the module on the guest cannot read.")
            .hint("Call the module by its full name, with seguest.pv before it, so that the collection's action plugin reads the file."));
    }
    let read = match (&path, &content) {
        (Some(_), Some(_)) => {
            return Err(Fault::new(
                args::CONFLICT,
                format!("{who} gives both path and content; only one can be the request."),
            )
            .hint("Leave one of them out."));
        }
        (Some(path), None) => Some((path.to_string(), read(path))),
        (None, Some(content)) => Some(("content".to_owned(), decoded(who, content))),
        (None, None) => None,
    };
    let request = match read {
        // Whoever says so builds it before this: there is nothing to warn of.
        None if pending && check_mode => Given::Later(None),
        None if known_as.is_some() => Given::None,
        None => {
            return Err(Fault::new(
                args::MISSING,
                format!("{who} names no request: one of path, content and src is required."),
            )
            .hint("Give path for a file on the guest, src for one on the controller, or content for what secret_request returned."));
        }
        Some((_, Err(fault))) if check_mode && fault.code == file::MISSING => Given::Later(Some(fault)),
        Some((name, bytes)) => Given::Read(bytes.and_then(|bytes| {
            Loaded::parse(bytes).map_err(|mut fault| {
                fault.detail = format!("{name}: {}", fault.detail);
                fault
            })
        })?),
    };
    let wanted = Wanted { label, path, known_as, force, request };
    match (&wanted.known_as, wanted.loaded().and_then(|loaded| loaded.id)) {
        (Some(known_as), Some(id)) if !known_as.is_met_by(&id) => Err(other_secret(who, known_as, id)),
        _ => Ok(wanted),
    }
}

fn other_secret(who: &str, known_as: &Requirement, id: SecretId) -> Fault {
    Fault::new(
        codes::OTHER_SECRET,
        format!("{who}: the request is for the secret {id}, and not for {known_as}."),
    )
    .hint("Correct the name or id, or give the request that was built for it (seguest.pv.request_info shows what a request is for).")
}

fn decoded(who: &str, content: &str) -> Result<Vec<u8>> {
    let bytes = from_base64(content).ok_or_else(|| {
        Fault::new(args::INVALID, format!("{who}: content is not base64."))
            .hint("It must be the base64 of a whole request, as secret_request returns it with return_content: true. For a file use path or src.")
    })?;
    Ok(bytes.to_vec())
}

fn read(path: &PathText) -> Result<Vec<u8>> {
    // One byte more than a request can have, so that a longer file is refused and not cut.
    match path.read(layout::MAX_REQUEST_LEN as u64 + 1) {
        Ok(bytes) => Ok(bytes),
        Err(e) if e.kind() == ErrorKind::NotFound => {
            Err(Fault::new(file::MISSING, format!("The request {path} does not exist."))
                .hint("Copy it to the guest first, or give it as src or content."))
        }
        Err(e) => Err(Fault::new(file::UNREADABLE, format!("The request {path} cannot be read: {e}."))
            .hint("Check the permissions of the file, of its folders, and of the user who runs the task.")
            .io(&e)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loaded(json: &str, name: Option<&str>, check_mode: bool) -> Result<Wanted> {
        let known_as = name.map(|name| Requirement::Name(name.into()));
        load("requests[0]", serde_json::from_str(json).unwrap(), known_as, false, check_mode)
    }

    #[test]
    fn exactly_one_way_to_name_a_request_is_accepted() {
        let code = |json: &str| loaded(json, None, false).unwrap_err().code;
        assert_eq!(code("{}"), args::MISSING);
        assert_eq!(code(r#"{"path": "/a", "content": "AA=="}"#), args::CONFLICT);
        assert_eq!(code(r#"{"src": "a"}"#), args::SRC_NEEDS_COLLECTION);
        assert_eq!(loaded("{}", Some("a"), false).unwrap().request, Given::None);
    }

    #[test]
    fn what_is_no_request_is_refused_with_the_files_name() {
        let load = |json: &str| loaded(json, None, false).unwrap_err();
        assert_eq!(load(r#"{"path": "/nonexistent/req"}"#).code, file::MISSING);
        assert_eq!(load(r#"{"path": "/"}"#).code, file::UNREADABLE);
        for device in ["/dev/null", "/dev/zero"] {
            let fault = load(&format!(r#"{{"path": "{device}"}}"#));
            assert_eq!(fault.code, file::UNREADABLE);
            assert!(fault.detail.contains(device) && fault.detail.contains("not a regular file"), "{fault}");
        }
        assert_eq!(load(r#"{"path": "/proc/self/cmdline"}"#).code.name, "request.malformed");
        let fault = load(r#"{"content": "n0t base64!"}"#);
        assert_eq!(fault.code, args::INVALID);
        assert!(fault.detail.starts_with("requests[0]: content") && !fault.to_string().contains("n0t"), "{fault}");
        assert!(fault.hint.contains("base64 of a whole request") && fault.hint.contains("return_content"), "{fault}");
    }

    #[test]
    fn only_check_mode_bears_a_request_that_is_not_there_yet() {
        for (json, name) in [(r#"{"path": "/nonexistent/req"}"#, None), (r#"{"pending": true}"#, Some("a"))] {
            let wanted = loaded(json, name, true).unwrap();
            let Given::Later(fault) = wanted.request else { panic!("{json}") };
            assert_eq!(fault.map(|fault| fault.code), name.is_none().then_some(file::MISSING), "{json}");
        }
        assert_eq!(loaded(r#"{"pending": true}"#, None, false).unwrap_err().code, args::MISSING);
    }
}
