//! The small YAML file that names a secret: what pvsecret writes beside a request and reads to retrieve a secret.

use crate::codes;
use fault::{Fault, Result};
use pv_wire::{SecretId, SecretType};
use serde::{Deserialize, Serialize};

/// Name, type and id of a secret; nothing of the secret itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdFile {
    /// Its type: association, or one that can be retrieved.
    pub kind: SecretType,
    /// Its name, as given when the request was built.
    pub name: String,
    /// Its id.
    pub id: SecretId,
}

/// The text: keys in the order in which they are written.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
enum Text {
    Association { name: String, id: String },
    Retrievable { kind: String, name: String, id: String },
}

/// Linux takes 255 bytes, of which the temporary name needs some, under which the file is written.
const MAX_FILE_NAME: usize = 220;
const ENDING: &str = ".yaml";

impl IdFile {
    /// The most bytes of a secret's name that give the file its name.
    pub const LONGEST_NAME: usize = MAX_FILE_NAME - ENDING.len();

    /// The file's name for a secret's name: blanks of any kind become `_`, `.yaml` is appended. `None` for a name
    /// that would leave the folder or hide the file: empty, with a leading dot, a `/` or a NUL; or one that is too long.
    pub fn file_name(name: &str) -> Option<String> {
        let usable = !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\0']);
        let file = usable.then(|| name.replace(char::is_whitespace, "_") + ENDING);
        file.filter(|file| file.len() <= MAX_FILE_NAME)
    }

    /// The text, byte for byte as pvsecret 2.43 writes it.
    ///
    /// # Errors
    /// [`codes::ID_FILE`] for a type that is never listed: meta and update_cck.
    pub fn to_yaml(&self) -> Result<String> {
        let (name, id) = (self.name.clone(), self.id.to_string());
        let text = match self.kind {
            SecretType::ASSOCIATION => Text::Association { name, id },
            kind if kind.is_listed() => Text::Retrievable { kind: format!("{} ({})", kind.0, kind.kind()), name, id },
            kind => {
                return Err(Fault::new(
                    codes::ID_FILE,
                    format!("A secret of type {} has no id to write.", kind.kind()),
                )
                .hint("Leave id_file out."));
            }
        };
        serde_yaml::to_string(&text).map_err(|e| {
            Fault::new(codes::ID_FILE, format!("The id of {} could not be written: {e}.", self.name))
                .hint("Give the secret a name that YAML can hold.")
        })
    }

    /// Reads the text back. `file` is what messages call it. As pvsecret does, only the number of `kind` is read.
    ///
    /// # Errors
    /// [`codes::ID_FILE`].
    pub fn parse(text: &str, file: &str) -> Result<Self> {
        let malformed = |what: String| {
            Fault::new(codes::ID_FILE, format!("{file} does not name a secret in pvsecret's form: {what}."))
                .hint("Name a file that pvsecret or secret_request wrote.")
        };
        let (kind, name, id) = match serde_yaml::from_str(text).map_err(|e| malformed(e.to_string()))? {
            Text::Association { name, id } => (SecretType::ASSOCIATION, name, id),
            Text::Retrievable { kind, name, id } => {
                let number = kind.split(' ').next().and_then(|number| number.parse().ok()).map(SecretType);
                let number = number.filter(|kind| kind.is_listed() && *kind != SecretType::ASSOCIATION);
                (number.ok_or_else(|| malformed(format!("kind {kind:?} cannot be retrieved")))?, name, id)
            }
        };
        let id = id.parse().map_err(|what| malformed(format!("the id {what}")))?;
        Ok(Self { kind, name, id })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use s390_pv::secret::GuestSecret;

    fn file(kind: u16, name: &str) -> IdFile {
        IdFile { kind: SecretType(kind), name: name.into(), id: SecretId::of_name(name) }
    }

    #[test]
    fn the_longest_name_gives_a_file_its_name_and_a_longer_one_does_not() {
        let longest = "n".repeat(IdFile::LONGEST_NAME);
        assert_eq!(IdFile::file_name(&longest), Some(format!("{longest}.yaml")));
        assert_eq!(IdFile::file_name(&format!("{longest}n")), None);
    }

    #[test]
    fn the_text_is_pvsecrets() {
        assert_eq!(
            file(2, "EXAMPLE").to_yaml().unwrap(),
            "!Association\nname: EXAMPLE\nid: 0xf2e8378c30d317abfcddf9e67472c7569cfaf24573095ccead2969adae665cff\n"
        );
        assert_eq!(
            file(4, "a1").to_yaml().unwrap(),
            "!Retrievable\nkind: 4 (AES-128-KEY)\nname: a1\nid: 0xf55ff16f66f43360266b95db6f8fec01d76031054306ae4a4b380598f6cfd114\n"
        );
    }

    #[test]
    fn names_that_yaml_could_misread_come_out_as_ibms_library_writes_them_and_read_back() {
        for name in
            ["my sec ret", "12345", "0x10", "tab\tx", "yes", "null", "ä", "'", "a: b", "- x", "#", " ", "~", "é\u{1}"]
        {
            let ours = file(2, name);
            let theirs = GuestSecret::association(name, [0; 32]).unwrap();
            assert_eq!(ours.to_yaml().unwrap(), serde_yaml::to_string(&theirs).unwrap());
            assert_eq!(IdFile::parse(&ours.to_yaml().unwrap(), "f.yaml"), Ok(ours));
            let ours = file(6, name);
            let theirs = GuestSecret::aes(name, vec![0; 32].into()).unwrap();
            assert_eq!(ours.to_yaml().unwrap(), serde_yaml::to_string(&theirs).unwrap());
            assert_eq!(IdFile::parse(&ours.to_yaml().unwrap(), "f.yaml"), Ok(ours));
        }
    }

    #[test]
    fn only_the_number_of_a_kind_is_read() {
        let id = SecretId([1; 32]);
        let parsed = IdFile::parse(&format!("!Retrievable\nkind: 17 whatever\nname: n\nid: {id}\n"), "f.yaml");
        assert_eq!(parsed, Ok(IdFile { kind: SecretType(17), name: "n".into(), id }));
    }

    #[test]
    fn other_texts_are_refused_and_the_file_is_named() {
        let id = SecretId([1; 32]);
        for text in [
            String::new(),
            "name: n".into(),
            format!("!Meta\nname: n\nid: {id}\n"),
            format!("!Association\nname: n\nid: {id}\nmore: 1\n"),
            "!Association\nname: n\nid: 0x12\n".into(),
            format!("!Retrievable\nkind: 2 (Association)\nname: n\nid: {id}\n"),
            format!("!Retrievable\nkind: AES\nname: n\nid: {id}\n"),
        ] {
            let fault = IdFile::parse(&text, "f.yaml").unwrap_err();
            assert_eq!(fault.code, codes::ID_FILE);
            assert!(fault.detail.starts_with("f.yaml "), "{fault}");
        }
        assert_eq!(file(1, "n").to_yaml().unwrap_err().code, codes::ID_FILE);
    }

    #[test]
    fn file_names_keep_every_dot_and_stay_in_their_folder() {
        assert_eq!(IdFile::file_name("my sec\tret").as_deref(), Some("my_sec_ret.yaml"));
        assert_eq!(IdFile::file_name(&"x".repeat(215)).map(|file| file.len()), Some(220));
        assert_eq!(IdFile::file_name(&"x".repeat(216)), None);
        assert_eq!(IdFile::file_name("a.b").as_deref(), Some("a.b.yaml"));
        for name in ["", ".", "..", ".hidden", "dir/x", "/abs", "a\0b"] {
            assert_eq!(IdFile::file_name(name), None, "{name:?}");
        }
    }
}
