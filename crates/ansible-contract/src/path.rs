//! Paths as Ansible's type `path` takes them.

use nix::libc::O_NONBLOCK;
use nix::unistd::{User, geteuid};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// A path in which `~`, `~user`, `$NAME` and `${NAME}` were replaced, as Python's `expandvars` and `expanduser` do it;
/// what names no variable or user stays as it is. Slashes at its end are none of it: a file would otherwise seem not to be there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathText(PathBuf);

impl PathText {
    /// The path.
    pub fn as_path(&self) -> &Path {
        &self.0
    }

    /// What the regular file holds, but no more than `limit` bytes of it: ask for one more than will do, to tell a file
    /// that is too long. A pipe that nobody writes to is not waited for, and a device is not read.
    ///
    /// # Errors
    /// The kernel's, and one of our own for what is no regular file.
    pub fn read(&self, limit: u64) -> io::Result<Vec<u8>> {
        let file = File::options().read(true).custom_flags(O_NONBLOCK).open(&self.0)?;
        if !file.metadata()?.is_file() {
            return Err(io::Error::other("it is not a regular file"));
        }
        let mut bytes = Vec::new();
        file.take(limit).read_to_end(&mut bytes)?;
        Ok(bytes)
    }
}

impl AsRef<Path> for PathText {
    fn as_ref(&self) -> &Path {
        &self.0
    }
}

/// Paths of arguments are text, and so is what variables and homes give, or they are left alone.
impl std::fmt::Display for PathText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.display().fmt(f)
    }
}

impl Serialize for PathText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PathText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text.is_empty() {
            return Err(D::Error::custom("must be a path, not an empty text"));
        }
        let path = with_home(&with_variables(&text, |name| std::env::var(name).ok()), home_of);
        Ok(Self(without_slashes(path)))
    }
}

fn without_slashes(path: OsString) -> PathBuf {
    let mut bytes = path.into_vec();
    while bytes.len() > 1 && bytes.ends_with(b"/") {
        bytes.pop();
    }
    OsString::from_vec(bytes).into()
}

fn home_of(user: &str) -> Option<OsString> {
    if !user.is_empty() {
        return User::from_name(user).ok().flatten().map(|user| user.dir.into());
    }
    let own = || User::from_uid(geteuid()).ok().flatten().map(|user| user.dir.into());
    std::env::var_os("HOME").filter(|home| !home.is_empty()).or_else(own)
}

fn with_home(text: &str, home_of: impl Fn(&str) -> Option<OsString>) -> OsString {
    let whole = || OsString::from(text);
    let Some(rest) = text.strip_prefix('~') else { return whole() };
    let (user, rest) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
    let Some(mut home) = home_of(user) else { return whole() };
    home.push(rest);
    home
}

fn with_variables(text: &str, value_of: impl Fn(&str) -> Option<String>) -> String {
    let mut expanded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        expanded.push_str(before);
        let braced = after.strip_prefix('{').and_then(|inner| inner.split_once('}'));
        let end = after.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(after.len());
        let (name, behind) = braced.unwrap_or_else(|| after.split_at(end));
        match value_of(name).filter(|_| !name.is_empty()) {
            Some(value) => {
                expanded.push_str(&value);
                rest = behind;
            }
            None => {
                expanded.push('$');
                rest = after;
            }
        }
    }
    expanded.push_str(rest);
    expanded
}

#[cfg(feature = "docs")]
impl schemars::JsonSchema for PathText {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "PathText".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({"type": "string", "format": "path"})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_home_is_put_in_place_of_the_tilde_and_an_unknown_user_stays() {
        let home = |user: &str| match user {
            "" => Some("/home/me".into()),
            "anna" => Some("/home/anna".into()),
            _ => None,
        };
        for (text, path) in [
            ("~", "/home/me"),
            ("~/a", "/home/me/a"),
            ("~anna/a", "/home/anna/a"),
            ("~eve/a", "~eve/a"),
            ("/a/~", "/a/~"),
        ] {
            assert_eq!(with_home(text, home), path);
        }
    }

    #[test]
    fn slashes_at_the_end_are_no_part_of_a_path() {
        for (text, path) in [("/a/", "/a"), ("/a//", "/a"), ("/", "/"), ("//", "/"), ("a/b", "a/b")] {
            let read: PathText = serde_json::from_value(serde_json::json!(text)).unwrap();
            assert_eq!(read.as_path().as_os_str(), path, "{text}");
        }
    }

    #[test]
    fn an_empty_text_is_no_path() {
        let fault =
            crate::de::from_value::<Vec<PathText>>(&serde_json::json!(["/a", ""]), &Default::default()).unwrap_err();
        assert_eq!(fault.detail, "The option [1] must be a path, not an empty text.");
    }

    #[test]
    fn variables_are_replaced_and_unknown_ones_stay() {
        let value = |name: &str| (name == "DIR").then(|| "/srv".to_owned());
        for (text, path) in [
            ("$DIR/a", "/srv/a"),
            ("${DIR}a", "/srva"),
            ("$DIRa", "$DIRa"),
            ("$OTHER/$DIR", "$OTHER//srv"),
            ("a$", "a$"),
            ("${DIR", "${DIR"),
            ("${}", "${}"),
        ] {
            assert_eq!(with_variables(text, value), path, "{text}");
        }
    }
}
