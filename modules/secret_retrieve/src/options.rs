//! What users type, and what they get.

use crate::plan::{Wanted, codes};
use ansible_contract::{HexText, Mode, NameText, PathText, codes as args};
use fault::{Fault, Result};
use serde::{Deserialize, Serialize};

/// Options of `secret_retrieve`.
#[derive(Debug, Default, Deserialize, Serialize)]
#[cfg_attr(feature = "docs", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct Options {
    /// Name of the secret: it matches by its SHA-256 hash or by its first 31 bytes. Exactly one of O(name), O(id) and
    /// O(index) is required.
    pub name: Option<NameText>,
    /// Id of the secret, 64 hex digits. Write it in quotes.
    pub id: Option<HexText<64, 64>>,
    /// Index of the secret in the store. It is valid for one boot only: prefer O(name) or O(id), unless several
    /// secrets have the same id.
    pub index: Option<u16>,
    /// The file for the secret. Required. Its folder must exist. A link, or anything but a regular file, is refused.
    pub dest: Option<PathText>,
    /// V(pem): as pvsecret writes it, C(PLAINTEXT SECRET) or C(IBM PROTECTED KEY). V(bin): only the bytes; for a
    /// plaintext secret, its original content.
    pub format: Format,
    /// Mode of the file as in M(ansible.builtin.file). V(0600) if not given.
    pub mode: Option<Mode>,
    /// Owner of the file, name or number. By default, a newly written file belongs to the user who runs the task.
    pub owner: Option<String>,
    /// Group of the file, name or number.
    pub group: Option<String>,
}

/// How a secret is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "docs", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// Text with a label.
    #[default]
    Pem,
    /// Bytes.
    Bin,
}

impl Options {
    /// The secret that is wanted, and where.
    ///
    /// # Errors
    /// `args.missing`, `args.conflict`, `args.invalid`.
    pub fn wanted(&self) -> Result<(Wanted, PathText)> {
        let dest = self.dest.clone().ok_or_else(|| {
            Fault::new(args::MISSING, "The option dest, the file for the secret, is required and not given.")
                .hint("Give the path of a file, such as dest: /run/my.key.")
        })?;
        if dest.as_path().file_name().is_none() {
            return Err(Fault::new(codes::DEST_NOT_A_FILE, format!("The path {dest} names no file."))
                .hint("Name the file, not its folder."));
        }
        let given = [self.name.is_some(), self.id.is_some(), self.index.is_some()];
        let wanted = match (&self.name, &self.id, self.index) {
            (Some(name), None, None) => Wanted::Name(name.0.clone()),
            (None, Some(id), None) => {
                Wanted::Id(id.0.parse().map_err(|what| Fault::new(args::INVALID, format!("The option id {what}.")).hint("The id is in the id file that secret_request writes, and in the secrets of facts; write it in quotes."))?)
            }
            (None, None, Some(index)) => Wanted::Index(index),
            _ if given.contains(&true) => {
                return Err(Fault::new(
                    args::CONFLICT,
                    "Only one of the options name, id and index can say which secret is wanted.",
                )
                .hint("Leave the others out."));
            }
            _ => {
                return Err(Fault::new(
                    args::MISSING,
                    "One of the options name, id and index must say which secret is wanted.",
                )
                .hint("The facts module lists the secrets in the store."));
            }
        };
        Ok((wanted, dest))
    }
}

/// Results of `secret_retrieve`. The secret is not among them.
#[derive(Debug, Default, Serialize)]
#[cfg_attr(feature = "docs", derive(schemars::JsonSchema))]
pub struct Report {
    /// The file.
    pub dest: String,
    /// How it is written, V(pem) or V(bin).
    pub format: String,
    /// The secret's index in the store; null if it is not there yet (check mode).
    pub index: Option<u16>,
    /// Its id, C(0x) and 64 hex digits.
    pub id: Option<String>,
    /// Its type, as the option O(seguest.pv.secret_request#module:type) spells it.
    #[serde(rename = "type")]
    pub option: Option<String>,
    /// Its type, as pvsecret names it.
    pub kind: Option<String>,
    /// The file's mode, four octal digits.
    pub mode: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(json: &str) -> std::result::Result<Wanted, &'static str> {
        let options: Options = serde_json::from_str(json).unwrap();
        options.wanted().map(|(wanted, _)| wanted).map_err(|fault| fault.code.name)
    }

    #[test]
    fn exactly_one_way_to_name_a_secret_and_a_file_are_demanded() {
        assert_eq!(wanted(r#"{"name": "a", "dest": "/x"}"#), Ok(Wanted::Name("a".into())));
        assert_eq!(wanted(r#"{"index": 0, "dest": "/x"}"#), Ok(Wanted::Index(0)));
        assert_eq!(wanted(r#"{"name": "a"}"#), Err("args.missing"));
        assert_eq!(wanted(r#"{"dest": "/x"}"#), Err("args.missing"));
        assert_eq!(wanted(r#"{"name": "a", "index": 0, "dest": "/x"}"#), Err("args.conflict"));
        assert_eq!(wanted(r#"{"name": "a", "dest": "/"}"#), Err("file.not_regular"));
    }
}
