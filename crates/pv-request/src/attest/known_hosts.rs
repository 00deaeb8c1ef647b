//! What an SSH client knows its hosts by: the text of files `known_hosts`, as sshd(8) describes them ("SSH_KNOWN_HOSTS FILE
//! FORMAT"). What that leaves open is as OpenSSH 9 does it (hostfile.c, match.c, sshconnect.c).
//!
//! A host has the keys of the lines that name it, in plain text or hashed. A line that only a wildcard makes fit names many hosts,
//! and one marked `@cert-authority` a key that signs those of many: neither says which key this one host has, so they are only noted.
//! A key that a line marked `@revoked` fits is none by which a host is trusted.

use openssl::base64::{decode_block, encode_block};
use openssl::sha::Sha1;
use pv_wire::attestation::SshHostKey;
use std::collections::{BTreeSet, HashMap};

/// The port that names leave out.
const DEFAULT_PORT: u16 = 22;
/// Patterns as long, without the `!` before them, are no names: OpenSSH takes none of a line with one.
const MAX_PATTERN: usize = 1023;
/// Begins a hashed name; behind it come salt and hash in base64, with another `|` between.
const HASHED: &str = "|1|";
/// Of HMAC-SHA-1, and so of a salt.
const HASH_LEN: usize = 20;
/// Of SHA-1, in bytes.
const BLOCK_LEN: usize = 64;

/// Lines of `known_hosts` files, put in order for many questions.
#[derive(Clone, Debug, Default)]
pub struct SshKnownHosts {
    lines: Vec<Line>,
    /// By the name in small letters, the places of lines that need no more than a look at it.
    named: HashMap<String, Vec<usize>>,
    /// The places of all others.
    others: Vec<usize>,
}

/// What is known of one host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KnownAs {
    /// How `known_hosts` calls it: the name in small letters, in brackets and with the port unless that is 22.
    pub name: String,
    /// The keys by which it is trusted, sorted, each once.
    pub keys: Vec<SshHostKey>,
    /// Keys that it must not have, sorted, each once.
    pub revoked: Vec<SshHostKey>,
    /// Whether it may also be trusted by something that is no key of this host alone: an authority's, a wildcard's, or one
    /// of the name without its port.
    pub otherwise: bool,
}

#[derive(Clone, Debug)]
struct Line {
    marker: Marker,
    names: Names,
    key: SshHostKey,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Marker {
    None,
    Authority,
    Revoked,
}

#[derive(Clone, Debug)]
enum Names {
    Hashed {
        salt: [u8; HASH_LEN],
        hash: [u8; HASH_LEN],
    },
    /// In small letters.
    Patterns(Vec<String>),
}

/// How a line fits a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fit {
    Not,
    Name,
    Wildcard,
}

impl SshKnownHosts {
    /// Reads the text of one file, or of several one after the other. As in OpenSSH, lines that cannot be understood count for
    /// nothing. A comment may be in any encoding, and a line as long as its file.
    pub fn parse(text: &[u8]) -> Self {
        let mut found = Self::default();
        let lines = text.split(|byte| *byte == b'\n');
        for line in lines.filter_map(|line| Line::parse(&String::from_utf8_lossy(line))) {
            let place = found.lines.len();
            match &line.names {
                Names::Patterns(patterns) if patterns.iter().all(|pattern| is_plain(pattern)) => {
                    for name in patterns {
                        found.named.entry(name.clone()).or_default().push(place);
                    }
                }
                _ => found.others.push(place),
            }
            found.lines.push(line);
        }
        found
    }

    /// What is known of the host that a client reaches under this name or address, and port.
    ///
    /// OpenSSH also takes a key of the name without its port. That may be another host at the same address, so of such lines only
    /// the revoked keys count.
    pub fn host(&self, host: &str, port: u16) -> KnownAs {
        let host = host.to_ascii_lowercase();
        if port == DEFAULT_PORT {
            return self.name(host);
        }
        let mut known = self.name(format!("[{host}]:{port}"));
        let KnownAs { keys, revoked, otherwise, .. } = self.name(host);
        known.otherwise |= otherwise || !keys.is_empty();
        known.revoked.extend(revoked);
        known.revoked.sort();
        known.revoked.dedup();
        known.keys.retain(|key| !known.revoked.contains(key));
        known
    }

    fn name(&self, name: String) -> KnownAs {
        let (mut keys, mut revoked, mut otherwise) = (BTreeSet::new(), BTreeSet::new(), false);
        let places = self.named.get(&name).into_iter().flatten().chain(&self.others);
        for line in places.filter_map(|place| self.lines.get(*place)) {
            match (line.names.fit(&name), line.marker) {
                (Fit::Not, _) => {}
                (_, Marker::Revoked) => {
                    revoked.insert(line.key.clone());
                }
                (Fit::Name, Marker::None) => {
                    keys.insert(line.key.clone());
                }
                (_, Marker::Authority) | (Fit::Wildcard, _) => otherwise = true,
            }
        }
        let keys = keys.difference(&revoked).cloned().collect();
        KnownAs { name, keys, revoked: revoked.into_iter().collect(), otherwise }
    }
}

impl Line {
    fn parse(line: &str) -> Option<Self> {
        let mut fields = line.split_ascii_whitespace();
        let mut names = fields.next().filter(|field| !field.starts_with('#'))?;
        let marker = match names {
            "@cert-authority" => Marker::Authority,
            "@revoked" => Marker::Revoked,
            _ if names.starts_with('@') => return None,
            _ => Marker::None,
        };
        if marker != Marker::None {
            names = fields.next()?;
        }
        let key = key(fields.next()?, fields.next()?)?;
        Some(Self { marker, names: Names::parse(names)?, key })
    }
}

/// The key in a line of `known_hosts` without a marker, or in one of a public key's file, which has no names before it; `None`
/// if there is none in it.
pub fn ssh_host_key(line: &str) -> Option<SshHostKey> {
    let mut fields = line.split_ascii_whitespace();
    let first = fields.next().filter(|field| !field.starts_with(['#', '@']))?;
    let second = fields.next()?;
    key(first, second).or_else(|| key(second, fields.next()?))
}

/// A key whose base64 says itself of which type it is (RFC 4253, section 6.6: a length of four bytes, big endian, and the name),
/// in the one form that base64 of it has.
fn key(kind: &str, base64: &str) -> Option<SshHostKey> {
    let blob = decode_block(base64).ok()?;
    let (length, rest) = blob.split_first_chunk::<4>()?;
    let own = rest.get(..usize::try_from(u32::from_be_bytes(*length)).ok()?)?;
    (own == kind.as_bytes()).then(|| format!("{kind} {}", encode_block(&blob)).parse().ok())?
}

impl Names {
    fn parse(text: &str) -> Option<Self> {
        let Some(hashed) = text.strip_prefix(HASHED) else {
            let patterns: Vec<_> = text.split(',').map(str::to_ascii_lowercase).collect();
            let fits = |pattern: &String| pattern.strip_prefix('!').unwrap_or(pattern).len() < MAX_PATTERN;
            let fits = patterns.iter().all(fits);
            return fits.then_some(Self::Patterns(patterns));
        };
        let (salt, hash) = hashed.split_once('|')?;
        let bytes = |text| decode_block(text).ok()?.try_into().ok();
        Some(Self::Hashed { salt: bytes(salt)?, hash: bytes(hash)? })
    }

    /// A pattern with `!` that fits takes the whole line back.
    fn fit(&self, name: &str) -> Fit {
        let patterns = match self {
            Self::Hashed { salt, hash } if hmac_sha1(salt, name.as_bytes()) == *hash => return Fit::Name,
            Self::Hashed { .. } => return Fit::Not,
            Self::Patterns(patterns) => patterns,
        };
        let mut found = Fit::Not;
        for pattern in patterns {
            match pattern.strip_prefix('!') {
                Some(not) if matches(not.as_bytes(), name.as_bytes()) => return Fit::Not,
                Some(_) => {}
                None if pattern == name && is_plain(pattern) => found = Fit::Name,
                None if found == Fit::Not && matches(pattern.as_bytes(), name.as_bytes()) => found = Fit::Wildcard,
                None => {}
            }
        }
        found
    }
}

/// Whether a pattern is the name of one host.
fn is_plain(pattern: &str) -> bool {
    !pattern.contains(['*', '?', '!'])
}

/// Whether a name is as a pattern has it: `*` is any text, `?` any one character. Takes as long as the product of both lengths at
/// most.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    let (mut at, mut of) = (0, 0);
    // Behind the last `*`, and what it was last tried for.
    let mut star: Option<(usize, usize)> = None;
    while let Some(byte) = name.get(at) {
        match pattern.get(of) {
            Some(b'*') => {
                of += 1;
                star = Some((of, at));
            }
            Some(wanted) if *wanted == b'?' || wanted == byte => {
                at += 1;
                of += 1;
            }
            _ => {
                let Some((behind, tried)) = star else { return false };
                star = Some((behind, tried + 1));
                (of, at) = (behind, tried + 1);
            }
        }
    }
    pattern.get(of..).is_none_or(|rest| rest.iter().all(|byte| *byte == b'*'))
}

/// RFC 2104, for a key that is no longer than a block.
fn hmac_sha1(key: &[u8; HASH_LEN], message: &[u8]) -> [u8; HASH_LEN] {
    let digest = |pad: u8, message: &[u8]| {
        let mut block = [pad; BLOCK_LEN];
        block.iter_mut().zip(key).for_each(|(byte, key)| *byte ^= key);
        let mut sha1 = Sha1::new();
        sha1.update(&block);
        sha1.update(message);
        sha1.finish()
    };
    digest(0x5c, &digest(0x36, message))
}

#[cfg(test)]
#[path = "known_hosts_tests.rs"]
mod tests;
