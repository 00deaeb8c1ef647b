//! The request that is to be answered, and what the guest is to say of itself with it.

use ansible_contract::{PathText, codes as args, from_base64};
use fault::{Fault, Result, file};
use pv_wire::attestation::{AttestationRequest, ExchangeRequest, layout};
use serde::{Deserialize, Serialize};
use std::io::ErrorKind;

/// No exchange file with a request is longer: header, and the longest request that the kernel takes.
const MAX_LEN: usize = 0x40 + layout::MAX_REQUEST_LEN;

/// A request, as users name it: one of `path`, `content` and `src`; with it what is bound.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[cfg_attr(feature = "docs", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct Challenge {
    /// The attestation request, a file on the guest as M(seguest.pv.attest_request) or C(pvattest create) writes it. One of
    /// V(path), V(content) and V(src) is required.
    pub path: Option<PathText>,
    /// The attestation request itself in base64.
    #[serde(skip_serializing)]
    pub content: Option<String>,
    /// The attestation request, a file on the controller, searched for like that of M(ansible.builtin.copy). Only through
    /// the collection's action plugin.
    pub src: Option<String>,
    /// What the guest says of itself and has measured with it, as O(seguest.pv.attest#module:bind).
    pub bind: Option<Vec<Bind>>,
    /// Up to 256 bytes in base64 that are measured instead of what V(bind) names.
    pub user_data: Option<String>,
    /// Whether it is no failure if this machine's ultravisor does not attest: a warning says so, and there is no response.
    pub optional: bool,
    /// Whether to answer in check mode, too. Attesting changes nothing.
    pub in_check_mode: bool,
    /// Check mode only: the request is not there yet. Set by the collection's action plugin where V(content) is null or
    /// V(src) does not exist.
    pub pending: bool,
}

/// Something that the guest says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "docs", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Bind {
    /// Its public SSH host keys.
    SshHostKeys,
    /// The id of its boot.
    BootId,
    /// SHA-256 of each add-secret request that this collection added in this boot, in their order.
    AddedRequests,
}

impl Bind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::SshHostKeys, Self::BootId, Self::AddedRequests];
}

/// A request that is to be answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The request.
    pub request: Given,
    /// What is measured with it.
    pub bound: Bound,
    /// Whether it is no failure if the machine does not attest.
    pub optional: bool,
    /// Whether it is answered in check mode, too.
    pub in_check_mode: bool,
}

/// The request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Given {
    /// The exchange file that holds it. It was read and can be read again.
    Read(Vec<u8>),
    /// Check mode: it is not there yet, and this is to be told of it.
    Later(Option<Fault>),
}

/// What is measured beside the guest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bound {
    /// The hash of a document in which the guest says these things.
    Claims(Vec<Bind>),
    /// Bytes that are given.
    UserData(Vec<u8>),
}

impl Bound {
    /// Whether the record of this boot's requests is among it.
    pub(super) fn has_record(&self) -> bool {
        matches!(self, Self::Claims(bind) if bind.contains(&Bind::AddedRequests))
    }
}

/// Reads what a task names as the request. In check mode a file that is not there yet is no fault: an earlier task of the
/// play may make it. `who` is how messages call it.
///
/// # Errors
/// `args.*`, `file.missing`, `file.unreadable`, and those of reading the request, with the file's name.
pub fn load(who: &str, challenge: Challenge, check_mode: bool) -> Result<Asked> {
    let Challenge { path, content, src, bind, user_data, optional, in_check_mode, pending } = challenge;
    if src.is_some() {
        return Err(Fault::new(args::SRC_NEEDS_COLLECTION, "The option src names a file on the controller, which the module on the guest cannot read.")
            .hint("Call the module by its full name, with seguest.pv before it, so that the collection's action plugin reads the file."));
    }
    let bound = bound(who, bind, user_data)?;
    let asked = |request| Asked { request, bound, optional, in_check_mode };
    let (name, bytes) = match (path, content) {
        (Some(_), Some(_)) => {
            return Err(Fault::new(
                args::CONFLICT,
                format!("{who} gives both path and content; only one can be the request."),
            )
            .hint("Leave one of them out."));
        }
        (Some(path), None) => (path.to_string(), read(&path)),
        (None, Some(content)) => ("content".to_owned(), decoded(who, &content)),
        // Whoever says so makes it before this: there is nothing to warn of.
        (None, None) if pending && check_mode => return Ok(asked(Given::Later(None))),
        (None, None) => {
            return Err(Fault::new(
                args::MISSING,
                format!("{who} names no attestation request: one of path, content and src is required."),
            )
            .hint("Give path for a file on the guest, src for one on the controller, or content for what attest_request returned."));
        }
    };
    let bytes = match bytes {
        Err(fault) if check_mode && fault.code == file::MISSING => {
            return Ok(asked(Given::Later(Some(fault))));
        }
        bytes => bytes?,
    };
    request_in(&bytes).map_err(|mut fault| {
        fault.detail = format!("{name}: {}", fault.detail);
        fault
    })?;
    Ok(asked(Given::Read(bytes)))
}

/// The request in an exchange file.
///
/// # Errors
/// Those of reading it.
pub(super) fn request_in(file: &[u8]) -> Result<AttestationRequest<'_>> {
    ExchangeRequest::parse(file)?.attestation_request()
}

fn bound(who: &str, bind: Option<Vec<Bind>>, user_data: Option<String>) -> Result<Bound> {
    match (bind, user_data) {
        (Some(_), Some(_)) => Err(Fault::new(
            args::CONFLICT,
            format!("{who} gives both bind and user_data; only one can be measured with the guest."),
        )
        .hint("Leave one of them out. To bind more than bind knows, give the hash of it as user_data.")),
        (bind, None) => Ok(Bound::Claims(bind.unwrap_or_else(|| Bind::ALL.to_vec()))),
        (None, Some(text)) => {
            let bytes = from_base64(&text).filter(|bytes| bytes.len() <= layout::MAX_USER_DATA_LEN);
            let bytes = bytes.ok_or_else(|| {
                Fault::new(
                    args::INVALID,
                    format!("{who}: user_data is not base64 of at most {} bytes.", layout::MAX_USER_DATA_LEN),
                )
                .hint("Encode it with the filter b64encode. Of something longer, give the hash.")
            })?;
            Ok(Bound::UserData(bytes.to_vec()))
        }
    }
}

fn decoded(who: &str, content: &str) -> Result<Vec<u8>> {
    let bytes = from_base64(content).ok_or_else(|| {
        Fault::new(args::INVALID, format!("{who}: content is not base64.")).hint(
            "It is base64 of a whole attestation request, as attest_request returns it. For a file use path or src.",
        )
    })?;
    Ok(bytes.to_vec())
}

fn read(path: &PathText) -> Result<Vec<u8>> {
    // One byte more than a request can have, so that a longer file is refused and not cut.
    match path.read(MAX_LEN as u64 + 1) {
        Ok(bytes) => Ok(bytes),
        Err(e) if e.kind() == ErrorKind::NotFound => {
            Err(Fault::new(file::MISSING, format!("The attestation request {path} is not there."))
                .hint("Transfer it to the guest first, or give it as src or content."))
        }
        Err(e) => Err(Fault::new(file::UNREADABLE, format!("The attestation request {path} cannot be read: {e}."))
            .hint("Check the rights of the file, of its folders, and of the user who runs the task.")
            .io(&e)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples;
    use super::*;
    use ansible_contract::to_base64;

    fn loaded(json: &serde_json::Value, check_mode: bool) -> Result<Asked> {
        load("The task", serde_json::from_value(json.clone()).unwrap(), check_mode)
    }

    fn code(json: serde_json::Value) -> &'static str {
        loaded(&json, false).unwrap_err().code.name
    }

    fn content() -> String {
        to_base64(&samples::file(0x78, &[[1; 32]]))
    }

    #[test]
    fn exactly_one_way_to_name_a_request_is_accepted() {
        use serde_json::json;
        assert_eq!(code(json!({})), "args.missing");
        assert_eq!(code(json!({"path": "/a", "content": "AA=="})), "args.conflict");
        assert_eq!(code(json!({"src": "a"})), "args.src_needs_collection");
        assert_eq!(code(json!({"pending": true})), "args.missing");
        assert_eq!(code(json!({"content": "n0t base64!"})), "args.invalid");
        assert_eq!(code(json!({"path": "/nonexistent/arcb"})), "file.missing");
        assert_eq!(code(json!({"path": "/dev/zero"})), "file.unreadable");
    }

    #[test]
    fn what_is_no_request_is_refused_with_its_name_before_anything_is_done() {
        use serde_json::json;
        let fault = loaded(&json!({"path": "/proc/self/cmdline"}), false).unwrap_err();
        assert_eq!(fault.code.name, "attest.malformed");
        assert!(fault.detail.starts_with("/proc/self/cmdline: "), "{fault}");
        assert_eq!(code(json!({"content": to_base64(&[0; 400])})), "attest.malformed");
        assert_eq!(code(json!({"content": to_base64(&samples::response())})), "attest.not_a_request");
    }

    #[test]
    fn everything_is_bound_unless_something_else_is_asked_for() {
        use serde_json::json;
        let bound = |json| loaded(&json, false).unwrap().bound;
        assert_eq!(bound(json!({"content": content()})), Bound::Claims(Bind::ALL.to_vec()));
        assert_eq!(bound(json!({"content": content(), "bind": ["boot_id"]})), Bound::Claims(vec![Bind::BootId]));
        assert!(Bound::Claims(vec![Bind::BootId, Bind::AddedRequests]).has_record());
        assert!(!Bound::Claims(vec![Bind::BootId, Bind::SshHostKeys]).has_record());
        assert!(!Bound::UserData(Vec::new()).has_record());
        assert_eq!(bound(json!({"content": content(), "user_data": "aGVsbG8="})), Bound::UserData(b"hello".to_vec()));
        assert_eq!(code(json!({"content": content(), "user_data": "", "bind": []})), "args.conflict");
        for wrong in ["n0t!", &to_base64(&[7; 257])] {
            assert_eq!(code(json!({"content": content(), "user_data": wrong})), "args.invalid");
        }
        assert_eq!(
            bound(json!({"content": content(), "user_data": to_base64(&[7; 256])})),
            Bound::UserData(vec![7; 256])
        );
    }

    #[test]
    fn only_check_mode_bears_a_request_that_is_not_there_yet() {
        use serde_json::json;
        let later = |json, check_mode| loaded(&json, check_mode).map(|asked| asked.request);
        assert_eq!(later(json!({"pending": true}), true), Ok(Given::Later(None)));
        let Ok(Given::Later(Some(fault))) = later(json!({"path": "/nonexistent/arcb"}), true) else { panic!("read") };
        assert_eq!(fault.code, file::MISSING);
    }
}
