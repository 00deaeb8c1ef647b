//! The requests that the options name, read and looked through.

use crate::options::Options;
use ansible_contract::{PathText, codes as args, from_base64};
use fault::{Fault, Result, file};
use pv_wire::{RequestView, SecretId, SecretType, layout};
use sha2::{Digest, Sha256};
use std::io::ErrorKind;

/// A request as it was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// As given.
    pub label: Option<String>,
    /// As given.
    pub path: Option<PathText>,
    content: Option<String>,
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

/// The sources that the options name, in order.
///
/// # Errors
/// `args.missing`, `args.conflict`, `args.src_needs_collection`.
pub fn sources(options: Options) -> Result<Vec<Source>> {
    let Options { path, content, src, label, requests, .. } = options;
    let single = path.is_some() || content.is_some() || src.is_some();
    match (single, requests) {
        (true, Some(_)) => {
            Err(Fault::new(args::CONFLICT, "The option requests cannot be given together with path, content or src.")
                .hint("Put all requests into requests."))
        }
        (false, Some(_)) if label.is_some() => {
            Err(Fault::new(args::CONFLICT, "The option label cannot be given together with requests.")
                .hint("Give each of the requests its own label."))
        }
        (false, Some(requests)) => requests
            .into_iter()
            .enumerate()
            .map(|(at, request)| {
                source(&format!("requests[{at}]"), request.path, request.content, request.src, request.label)
            })
            .collect(),
        (_, None) => Ok(vec![source("The task", path, content, src, label)?]),
    }
}

fn source(
    who: &str,
    path: Option<PathText>,
    content: Option<String>,
    src: Option<String>,
    label: Option<String>,
) -> Result<Source> {
    if src.is_some() {
        return Err(Fault::new(args::SRC_NEEDS_COLLECTION, "The option src names a file on the controller, which the module on the guest cannot read.")
            .hint("Call the module by its full name, seguest.pv.secret_add, so that the collection's action plugin reads the file."));
    }
    match (&path, &content) {
        (None, None) => {
            Err(Fault::new(args::MISSING, format!("{who} names no request: one of path, content and src is required.")))
        }
        (Some(_), Some(_)) => {
            Err(Fault::new(args::CONFLICT, format!("{who} gives both path and content; only one can be the request.")))
        }
        _ => Ok(Source { label, path, content }),
    }
}

impl Source {
    /// Reads the request.
    ///
    /// # Errors
    /// `file.missing`, `file.unreadable`, `args.invalid`, and those of [`Loaded::parse`] with the file's name.
    pub fn load(&self) -> Result<Loaded> {
        let (name, bytes) = match (&self.path, &self.content) {
            (Some(path), _) => (path.to_string(), read(path)?),
            (None, Some(content)) => {
                let bytes = from_base64(content).ok_or_else(|| {
                    Fault::new(args::INVALID, "The option content is not base64.").hint(
                        "Pass the content that secret_request returns with return_content, or use src for a file.",
                    )
                })?;
                ("content".into(), bytes.to_vec())
            }
            (None, None) => ("nothing".into(), Vec::new()),
        };
        Loaded::parse(bytes).map_err(|mut fault| {
            fault.detail = format!("{name}: {}", fault.detail);
            fault
        })
    }
}

fn read(path: &PathText) -> Result<Vec<u8>> {
    // One byte more than a request can have, so that a longer file is refused and not cut.
    match path.read(layout::MAX_REQUEST_LEN as u64 + 1) {
        Ok(bytes) => Ok(bytes),
        Err(e) if e.kind() == ErrorKind::NotFound => {
            Err(Fault::new(file::MISSING, format!("The request {path} is not there."))
                .hint("Transfer it to the guest first, or give it as src or content."))
        }
        Err(e) => Err(Fault::new(file::UNREADABLE, format!("The request {path} cannot be read: {e}.")).io(&e)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(json: &str) -> Options {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn exactly_one_way_to_name_a_request_is_accepted() {
        assert_eq!(sources(options(r#"{"path": "/a", "label": "x"}"#)).unwrap()[0].label.as_deref(), Some("x"));
        assert_eq!(sources(options(r#"{"requests": [{"path": "/a"}, {"content": "AA=="}]}"#)).unwrap().len(), 2);
        assert_eq!(sources(options("{}")).unwrap_err().code, args::MISSING);
        assert_eq!(sources(options(r#"{"requests": [{}]}"#)).unwrap_err().code, args::MISSING);
        assert_eq!(sources(options(r#"{"path": "/a", "requests": []}"#)).unwrap_err().code, args::CONFLICT);
        assert_eq!(sources(options(r#"{"label": "x", "requests": []}"#)).unwrap_err().code, args::CONFLICT);
        assert_eq!(sources(options(r#"{"path": "/a", "content": "AA=="}"#)).unwrap_err().code, args::CONFLICT);
        assert_eq!(sources(options(r#"{"src": "a"}"#)).unwrap_err().code, args::SRC_NEEDS_COLLECTION);
    }

    #[test]
    fn what_is_no_request_is_refused_with_the_files_name() {
        let load = |json: &str| sources(options(json)).unwrap()[0].load().unwrap_err();
        assert_eq!(load(r#"{"path": "/nonexistent/req"}"#).code, file::MISSING);
        assert_eq!(load(r#"{"path": "/"}"#).code, file::UNREADABLE);
        for device in ["/dev/null", "/dev/zero"] {
            let fault = load(&format!(r#"{{"path": "{device}"}}"#));
            assert_eq!(fault.code, file::UNREADABLE);
            assert!(fault.detail.contains(device) && fault.detail.contains("not a regular file"), "{fault}");
        }
        assert_eq!(load(r#"{"path": "/proc/self/cmdline"}"#).code.name, "request.malformed");
        assert_eq!(load(r#"{"content": "not base64!"}"#).code, args::INVALID);
    }
}
