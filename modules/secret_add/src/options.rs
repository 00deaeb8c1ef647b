//! What users type.

use ansible_contract::{PathText, codes as args};
use fault::{Fault, Result};
use guest_state::store::{self, Request, Wanted};
use serde::{Deserialize, Serialize};

/// Options of `secret_add`.
#[derive(Debug, Deserialize, Serialize)]
#[cfg_attr(feature = "docs", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct Options {
    /// The request, a file on the guest. One of O(path), O(content), O(src) and O(requests) is required.
    pub path: Option<PathText>,
    /// The request itself in base64, as RV(seguest.pv.secret_request#module:requests[].content) gives it.
    #[serde(skip_serializing)]
    pub content: Option<String>,
    /// The request, a file on the controller, searched for like that of M(ansible.builtin.copy).
    /// Only through the collection's action plugin.
    pub src: Option<String>,
    /// Echoed in the results, to distinguish requests. With O(requests) each has its own.
    pub label: Option<String>,
    /// Check mode only: the request is not built yet. Set by the collection's action plugin if O(content) is null or
    /// O(src) does not exist.
    pub pending: bool,
    /// Several requests, added in this order.
    pub requests: Option<Vec<Request>>,
    /// Whether to add a secret although one of its type and id is, or may be, already in the store. It may be if the
    /// kernel shows only a part of the store and the record of this boot does not cover the rest. A request that is
    /// known to have been added in this boot is not added again. If that is not known (C(uv.outcome_unknown)), it is added
    /// again: give it in a task of its own.
    pub force: bool,
    /// How many seconds to wait for another task that works on the secret store, and then to retry while the
    /// ultravisor is dumping the guest.
    pub timeout: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            path: None,
            content: None,
            src: None,
            label: None,
            pending: false,
            requests: None,
            force: false,
            timeout: 30,
        }
    }
}

/// The secrets that the options ask for, in order, with their requests read.
///
/// # Errors
/// `args.conflict`, and those of [`store::load`].
pub fn wanted(options: Options, check_mode: bool) -> Result<Vec<Wanted>> {
    let Options { path, content, src, label, pending, requests, force, .. } = options;
    let single = path.is_some() || content.is_some() || src.is_some() || pending;
    match (single, requests) {
        (true, Some(_)) => {
            Err(Fault::new(args::CONFLICT, "The option requests cannot be given together with path, content or src.")
                .hint("Put all requests into requests."))
        }
        (false, Some(_)) if label.is_some() => {
            Err(Fault::new(args::CONFLICT, "The option label cannot be given together with requests.")
                .hint("Give each of the requests its own label."))
        }
        (false, Some(requests)) => {
            let each = requests.into_iter().enumerate();
            each.map(|(at, request)| store::load(&format!("requests[{at}]"), request, None, force, check_mode))
                .collect()
        }
        (_, None) => {
            let request = Request { path, content, src, label, pending };
            Ok(vec![store::load("The task", request, None, force, check_mode)?])
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_request_is_given_by_itself_and_several_as_a_list() {
        let code = |json: &str| wanted(serde_json::from_str(json).unwrap(), false).unwrap_err().code;
        assert_eq!(code("{}"), args::MISSING);
        assert_eq!(code(r#"{"requests": [{}]}"#), args::MISSING);
        assert_eq!(code(r#"{"path": "/a", "requests": []}"#), args::CONFLICT);
        assert_eq!(code(r#"{"label": "x", "requests": []}"#), args::CONFLICT);
        assert_eq!(code(r#"{"src": "a"}"#), args::SRC_NEEDS_COLLECTION);
        let both: Options =
            serde_json::from_str(r#"{"requests": [{"path": "/no/a", "label": "x"}, {"path": "/no/b"}]}"#).unwrap();
        let both = wanted(both, true).unwrap();
        assert_eq!((both.len(), both[0].label.as_deref()), (2, Some("x")));
    }
}
