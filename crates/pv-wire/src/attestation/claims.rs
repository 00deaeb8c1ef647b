//! What a guest says about itself, bound to its attestation by user data.
//!
//! It is the guest's word: true as far as the image that was measured is trusted. The document is canonical JSON: keys
//! sorted, no blanks, only ASCII, so it has exactly one form and one hash.

use super::codes;
use crate::{decode_hex, encode_hex};
use fault::{Fault, Result};
use serde::Deserialize;
use sha2::{Digest, Sha512};
use std::{fmt, str::FromStr};

const VERSION: u32 = 1;
/// The longest document that is read: far more than full lists of both kinds take.
const MAX_LEN: usize = 0x10_0000;
const MAX_REQUESTS: usize = 8192;
const MAX_KEYS: usize = 64;
const MAX_KEY_LEN: usize = 4096;

/// A public SSH host key: its type, a blank, and its base64, as in the first two fields of a `.pub` file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SshHostKey(String);

impl SshHostKey {
    /// The type, a blank, and the base64.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SshHostKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Reads `type base64`, with or without a comment behind it, between any blanks.
impl FromStr for SshHostKey {
    type Err = Fault;

    fn from_str(line: &str) -> Result<Self> {
        let mut fields = line.split_ascii_whitespace();
        let (kind, key) = (fields.next().unwrap_or_default(), fields.next().unwrap_or_default());
        let kind_fits = |c: u8| c.is_ascii_alphanumeric() || b"-@.".contains(&c);
        let body = key.trim_end_matches('=');
        let fits = line.len() <= MAX_KEY_LEN
            && !line.trim_ascii().contains(['\n', '\r'])
            && !kind.is_empty()
            && kind.bytes().all(kind_fits)
            && !body.is_empty()
            && body.bytes().all(|c| c.is_ascii_alphanumeric() || b"+/".contains(&c))
            && key.len() % 4 == 0
            && key.len() - body.len() <= 2;
        if !fits {
            return Err(wrong("A line that should hold a public SSH host key does not: type and base64 are needed.")
                .hint("Name a file such as /etc/ssh/ssh_host_ed25519_key.pub."));
        }
        Ok(Self(format!("{kind} {key}")))
    }
}

/// What a guest says about itself. What it was not asked to bind is `None`, which is not the same as an empty list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claims {
    added_requests: Option<Vec<[u8; 32]>>,
    boot_id: Option<String>,
    ssh_host_keys: Option<Vec<SshHostKey>>,
}

/// The document as it is read. Its texts are borrowed: the only form has no escape.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document<'a> {
    #[serde(borrow)]
    added_requests: Option<Vec<&'a str>>,
    boot_id: Option<&'a str>,
    #[serde(borrow)]
    ssh_host_keys: Option<Vec<&'a str>>,
    version: u32,
}

impl Claims {
    /// Adds the SHA-256 of each whole add-secret request that was added since boot, in the order of adding.
    ///
    /// # Errors
    /// [`codes::CLAIMS`] for more than 8192.
    pub fn with_added_requests(mut self, requests: Vec<[u8; 32]>) -> Result<Self> {
        if requests.len() > MAX_REQUESTS {
            return Err(wrong(format!("Claims name {} requests; at most {MAX_REQUESTS} are read.", requests.len())));
        }
        self.added_requests = Some(requests);
        Ok(self)
    }

    /// Adds the kernel's boot id, as `/proc/sys/kernel/random/boot_id` has it.
    ///
    /// # Errors
    /// [`codes::CLAIMS`] unless it is 32 lower-case hex digits in five groups.
    pub fn with_boot_id(mut self, boot_id: &str) -> Result<Self> {
        let fits = boot_id.len() == 36
            && boot_id.bytes().enumerate().all(|(at, c)| match at {
                8 | 13 | 18 | 23 => c == b'-',
                _ => c.is_ascii_digit() || (b'a'..=b'f').contains(&c),
            });
        if !fits {
            return Err(wrong("The boot id in claims is none: 32 lower-case hex digits in five groups are expected."));
        }
        self.boot_id = Some(boot_id.to_owned());
        Ok(self)
    }

    /// Adds the guest's public SSH host keys. They are sorted, and each is kept once.
    ///
    /// # Errors
    /// [`codes::CLAIMS`] for more than 64.
    pub fn with_ssh_host_keys(mut self, mut keys: Vec<SshHostKey>) -> Result<Self> {
        keys.sort();
        keys.dedup();
        if keys.len() > MAX_KEYS {
            return Err(wrong(format!("Claims name {} SSH host keys; at most {MAX_KEYS} are read.", keys.len())));
        }
        self.ssh_host_keys = Some(keys);
        Ok(self)
    }

    /// SHA-256 of each request added since boot, in the order of adding, if they were bound.
    pub fn added_requests(&self) -> Option<&[[u8; 32]]> {
        self.added_requests.as_deref()
    }

    /// The boot id, if it was bound.
    pub fn boot_id(&self) -> Option<&str> {
        self.boot_id.as_deref()
    }

    /// The SSH host keys, sorted, if they were bound.
    pub fn ssh_host_keys(&self) -> Option<&[SshHostKey]> {
        self.ssh_host_keys.as_deref()
    }

    /// The document: canonical JSON, without a newline at its end. Members are in the order of their names.
    pub fn to_json(&self) -> String {
        let mut json = "{".to_owned();
        if let Some(hashes) = self.added_requests() {
            list(&mut json, "added_requests", hashes.iter().map(|hash| encode_hex(hash)));
        }
        if let Some(boot_id) = self.boot_id() {
            json.extend(["\"boot_id\":\"", boot_id, "\","]);
        }
        if let Some(keys) = self.ssh_host_keys() {
            list(&mut json, "ssh_host_keys", keys.iter().map(SshHostKey::as_str));
        }
        json + &format!("\"version\":{VERSION}}}")
    }

    /// The user data that bind the document: its SHA-512, 64 bytes.
    pub fn user_data(&self) -> [u8; 64] {
        Sha512::digest(self.to_json().as_bytes()).into()
    }

    /// Reads a document. Only the one canonical form is taken.
    ///
    /// # Errors
    /// [`codes::CLAIMS`].
    pub fn parse(text: &str) -> Result<Self> {
        if text.len() > MAX_LEN {
            return Err(wrong(format!("Claims of {} bytes are too long; at most {MAX_LEN} are read.", text.len())));
        }
        if text.contains('\\') {
            return Err(wrong(
                "The claims hold an escape, so they are not in their canonical form: attest writes none.",
            ));
        }
        let document: Document =
            serde_json::from_str(text).map_err(|e| wrong(format!("The claims are not as attest writes them: {e}.")))?;
        if document.version != VERSION {
            return Err(wrong(format!("The claims have version {}; only {VERSION} is known.", document.version)));
        }
        let mut claims = Self::default();
        if let Some(requests) = document.added_requests {
            let hashes = requests.iter().map(|text| decode_hex(text)?.try_into().ok()).collect::<Option<_>>();
            claims =
                claims
                    .with_added_requests(hashes.ok_or_else(|| {
                        wrong("One of added_requests in the claims is not the SHA-256 of a request.")
                    })?)?;
        }
        if let Some(boot_id) = document.boot_id {
            claims = claims.with_boot_id(boot_id)?;
        }
        if let Some(keys) = document.ssh_host_keys {
            claims = claims.with_ssh_host_keys(keys.iter().map(|key| key.parse()).collect::<Result<_>>()?)?;
        }
        if claims.to_json() != text {
            return Err(wrong("The claims are not in their canonical form, so their hash says nothing."));
        }
        Ok(claims)
    }
}

/// A member that is a list of texts. None of them needs an escape: their types hold digits, base64 and a few other characters.
fn list<T: AsRef<str>>(json: &mut String, name: &str, texts: impl Iterator<Item = T>) {
    json.extend(["\"", name, "\":["]);
    for (at, text) in texts.enumerate() {
        let before = if at == 0 { "\"" } else { ",\"" };
        json.extend([before, text.as_ref(), "\""]);
    }
    json.push_str("],");
}

fn wrong(what: impl Into<String>) -> Fault {
    Fault::new(codes::CLAIMS, what).hint("Hand claims over exactly as the module attest returned them.")
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOOT_ID: &str = "0d3a1f6e-2b4c-4d5e-8f90-123456789abc";
    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f";

    fn full() -> Claims {
        let keys = ["ssh-rsa AAAAB3Nz root@guest", KEY, KEY].map(|line| line.parse().unwrap());
        Claims::default()
            .with_added_requests(vec![[0xbb; 32], [0xaa; 32]])
            .and_then(|claims| claims.with_boot_id(BOOT_ID))
            .and_then(|claims| claims.with_ssh_host_keys(keys.to_vec()))
            .unwrap()
    }

    #[test]
    fn the_document_has_one_form_and_its_sha512_is_the_user_data() {
        let text = full().to_json();
        let (bb, aa) = ("bb".repeat(32), "aa".repeat(32));
        assert_eq!(
            text,
            format!(
                r#"{{"added_requests":["{bb}","{aa}"],"boot_id":"{BOOT_ID}","ssh_host_keys":["{KEY}","ssh-rsa AAAAB3Nz"],"version":1}}"#
            )
        );
        assert_eq!(Claims::parse(&text), Ok(full()));
        assert_eq!((full().boot_id(), Claims::default().boot_id()), (Some(BOOT_ID), None));
        assert_eq!(full().user_data()[..], Sha512::digest(text)[..]);
    }

    #[test]
    fn what_was_not_bound_is_not_an_empty_list() {
        assert_eq!(Claims::default().to_json(), r#"{"version":1}"#);
        let none_added = Claims::default().with_added_requests(Vec::new()).unwrap();
        assert_eq!(none_added.to_json(), r#"{"added_requests":[],"version":1}"#);
        assert_eq!(Claims::parse(r#"{"added_requests":[],"version":1}"#).unwrap().added_requests(), Some(&[][..]));
        assert_eq!(Claims::parse(r#"{"version":1}"#).unwrap().added_requests(), None);
    }

    #[test]
    fn other_forms_of_the_same_and_unknown_or_false_members_are_refused() {
        let good = full().to_json();
        let upper = format!(r#"{{"added_requests":["{}"],"version":1}}"#, "AA".repeat(32));
        let prefixed = format!(r#"{{"added_requests":["0x{}"],"version":1}}"#, "aa".repeat(32));
        let bad = [
            "",
            "[]",
            "{}",
            r#"{"version":2}"#,
            r#"{"version":1} "#,
            r#"{"version":1,"version":1}"#,
            r#"{"boot_id":null,"version":1}"#,
            r#"{"more":1,"version":1}"#,
            r#" {"version":1}"#,
            r#"{"version":1.0}"#,
            r#"{"added_requests":null,"version":1}"#,
            r#"{"added_requests":[],"added_requests":[],"version":1}"#,
            r#"{"ssh_host_keys":["ssh-rsa AAAAB3Nz","ssh-rsa AAAAB3Nz"],"version":1}"#,
            &format!(r#"{{"boot\u005fid":"{BOOT_ID}","version":1}}"#),
            r#"{"added_requests":["aa"],"version":1}"#,
            r#"{"boot_id":"0D3A1F6E-2B4C-4D5E-8F90-123456789ABC","version":1}"#,
            r#"{"ssh_host_keys":["ssh-rsa AAAAB3Nz","ssh-ed25519 AAAA"],"version":1}"#,
            r#"{"ssh_host_keys":["ssh-rsa AAAAB3Nz me"],"version":1}"#,
            r#"{"ssh_host_keys":["ssh\u002drsa AAAAB3Nz"],"version":1}"#,
            &upper,
            &prefixed,
            &good.replace(',', ", "),
            &format!("{good}{}", " ".repeat(MAX_LEN)),
        ];
        for text in bad {
            assert_eq!(Claims::parse(text).unwrap_err().code, codes::CLAIMS, "{:.80}", text);
        }
    }

    #[test]
    fn lines_that_are_no_key_are_refused_and_lists_are_bounded() {
        assert_eq!("\tssh-rsa  AAAA me@there\n".parse::<SshHostKey>().unwrap().as_str(), "ssh-rsa AAAA");
        for line in [
            "",
            "ssh-rsa",
            "ssh-rsa AAA",
            "ssh-rsa AAAA\u{e4}",
            "s\u{e4} AAAA",
            "ssh-rsa ====",
            "# x",
            "a A===",
            "a AAAAA===",
            "a AAAA\nb BBBB",
        ] {
            assert_eq!(line.parse::<SshHostKey>().unwrap_err().code, codes::CLAIMS, "{line}");
        }
        let long = format!("ssh-rsa {}", "A".repeat(MAX_KEY_LEN));
        assert!(long.parse::<SshHostKey>().is_err());
        let mut keys = (0..=MAX_KEYS).map(|n| format!("k{n} AAAA").parse().unwrap()).collect::<Vec<_>>();
        assert!(Claims::default().with_ssh_host_keys(keys.clone()).is_err());
        keys.truncate(MAX_KEYS);
        assert!(Claims::default().with_ssh_host_keys(keys).is_ok());
        let is_too_long = |len: usize| Claims::parse(&" ".repeat(len)).unwrap_err().detail.contains("too long");
        assert_eq!((is_too_long(MAX_LEN), is_too_long(MAX_LEN + 1)), (false, true));
        assert!(Claims::default().with_added_requests(vec![[0; 32]; MAX_REQUESTS + 1]).is_err());
        let most = Claims::default().with_added_requests(vec![[0; 32]; MAX_REQUESTS]).unwrap();
        assert!(most.to_json().len() < MAX_LEN - MAX_KEYS * (MAX_KEY_LEN + 8));
    }
}
