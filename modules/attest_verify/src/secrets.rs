//! The add-secret requests that a store is to have taken, as the option has them.

use crate::options::Secret;
use ansible_contract::{HexText, codes as args};
use fault::{Fault, Result};
use pv_wire::decode_hex;
use std::path::PathBuf;

/// An add-secret request that the store is to have taken.
#[derive(Debug)]
pub enum Added {
    /// Its file, and what messages call it.
    File(String, PathBuf),
    /// What messages call it, its tag, and its SHA-256 if that is known.
    Known(String, [u8; 16], Option<[u8; 32]>),
}

impl Added {
    /// Reads an entry of the option.
    ///
    /// # Errors
    /// `args.invalid`.
    pub fn from_option(secret: &Secret) -> Result<Self> {
        let known = match secret {
            Secret::Path(path) => return Ok(Self::File(path.to_string(), path.as_path().to_owned())),
            Secret::Known(known) => known,
        };
        let wrong = |what: &str| {
            Fault::new(args::INVALID, format!("An entry of secrets {what}."))
                .hint("Give the path of the request; or its tag and sha256, as secret_request returns them.")
        };
        match (&known.path, &known.tag, &known.sha256) {
            (Some(path), None, None) => {
                Ok(Self::File(known.label.clone().unwrap_or_else(|| path.to_string()), path.as_path().to_owned()))
            }
            (None, Some(tag), sha256) => {
                let label = known.label.clone().unwrap_or_else(|| tag.0.clone());
                let tag = fixed(tag).ok_or_else(|| wrong("has a tag that is not 32 hex digits"))?;
                let sha256 = sha256
                    .as_ref()
                    .map(|hash| fixed(hash).ok_or_else(|| wrong("has a sha256 that is not 64 hex digits")));
                Ok(Self::Known(label, tag, sha256.transpose()?))
            }
            (Some(_), ..) => Err(wrong("has path, and beside it tag or sha256")),
            (None, None, _) => Err(wrong("has neither path nor tag")),
        }
    }
}

fn fixed<const A: usize, const N: usize>(text: &HexText<A, A>) -> Option<[u8; N]> {
    decode_hex(&text.0)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_a_path_or_a_tag() {
        let of = |secret: &str| Added::from_option(&serde_json::from_str(secret).unwrap());
        assert!(matches!(of(r#""/r/a""#), Ok(Added::File(label, _)) if label == "/r/a"));
        assert!(matches!(of(r#"{"path": "/r/a", "label": "a"}"#), Ok(Added::File(label, _)) if label == "a"));
        let tag = "01".repeat(16);
        assert!(matches!(of(&format!(r#"{{"tag": "{tag}"}}"#)), Ok(Added::Known(_, [1, ..], None))));
        for wrong in ["{}".into(), format!(r#"{{"tag": "{tag}", "path": "/r/a"}}"#), r#"{"tag": "01"}"#.into()] {
            assert_eq!(of(&wrong).unwrap_err().code, args::INVALID, "{wrong}");
        }
    }
}
