//! The option `mode`, as `ansible.builtin.file` takes it.

use serde::de::{self, Deserialize, Deserializer, Visitor};
use serde::ser::{Serialize, Serializer};
use std::fmt;

/// All bits that a mode can have.
const ALL: u32 = 0o7777;

/// The mode of a file: a number (YAML's octal arrives as one), octal digits as text, or symbolic such as `u=rw,g=r`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mode {
    given: String,
    clauses: Vec<Clause>,
}

/// Which bits are cleared and which are set.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Clause {
    clear: u32,
    set: u32,
    /// It says nobody of whom it is: then, as chmod(1) and Ansible have it, what the umask denies is neither given nor taken.
    masked: bool,
    /// It replaces all that those of whom it is have.
    is_whole: bool,
}

impl Mode {
    /// The mode of a file that has `before` now.
    pub fn of(&self, before: u32) -> u32 {
        let masked = self.clauses.iter().any(|clause| clause.masked);
        self.under(if masked { umask() } else { 0 }, before)
    }

    fn under(&self, umask: u32, before: u32) -> u32 {
        self.clauses.iter().fold(before, |mode, clause| {
            let denied = if clause.masked { umask } else { 0 };
            // What is set anew is cleared whole.
            let kept = if clause.is_whole { 0 } else { denied };
            (mode & !(clause.clear & !kept)) | (clause.set & !denied)
        })
    }

    /// A number: what YAML makes of octal digits behind a zero. One of which the decimal digits would be a usual mode in
    /// octal was written without that zero: it is refused with what it means.
    fn given_number<E: de::Error>(number: u64, expected: &dyn de::Expected) -> Result<Self, E> {
        let bits = u32::try_from(number).ok().filter(|bits| *bits <= ALL);
        let meant = u32::from_str_radix(&number.to_string(), 8).ok().filter(|meant| is_usual(*meant));
        match (bits, meant) {
            (Some(bits), Some(_)) => Err(E::custom(format_args!(
                "is the number {number}, which as a mode is {bits:04o}: write it with a zero before it and in quotes, \"{number:0>4}\""
            ))),
            (Some(bits), _) => {
                Self::number(bits).ok_or_else(|| E::invalid_value(de::Unexpected::Unsigned(number), expected))
            }
            (None, _) => Err(E::invalid_value(de::Unexpected::Unsigned(number), expected)),
        }
    }

    fn number(bits: u32) -> Option<Self> {
        (bits <= ALL).then(|| Self {
            given: format!("{bits:04o}"),
            clauses: vec![Clause { clear: ALL, set: bits, masked: false, is_whole: true }],
        })
    }

    fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if text.starts_with(|c: char| c.is_ascii_digit()) {
            let digits = text.strip_prefix("0o").unwrap_or(text);
            return u32::from_str_radix(digits, 8).ok().and_then(Self::number);
        }
        let clauses = text.split(',').map(clauses).collect::<Option<Vec<_>>>()?;
        Some(Self { given: text.to_owned(), clauses: clauses.into_iter().flatten().collect() })
    }
}

/// The umask of this process. It is not asked for by setting another one: other threads make files. Unknown, it denies others all.
fn umask() -> u32 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("Umask:"));
    line.and_then(|digits| u32::from_str_radix(digits.trim(), 8).ok()).unwrap_or(0o077)
}

/// Whether somebody would give a file this mode: who may do anything may read, and nobody may do more than the owner, nor
/// others more than the group.
fn is_usual(bits: u32) -> bool {
    let class = |shift: u32| bits >> shift & 0o7;
    let (owner, group, other) = (class(6), class(3), class(0));
    let reads = |class: u32| class == 0 || class & 0o4 != 0;
    bits <= 0o777 && owner & 0o4 != 0 && reads(group) && reads(other) && group & !owner == 0 && other & !group == 0
}

/// One part between commas: who, then one or more operators with permissions.
fn clauses(part: &str) -> Option<Vec<Clause>> {
    let operators = ['=', '+', '-'];
    let (who, mut rest) = part.split_at(part.find(operators)?);
    let masked = who.is_empty();
    let who = if masked { "a" } else { who };
    let mask = who.chars().try_fold(0, |mask, c| {
        Some(
            mask | match c {
                'u' => 0o700,
                'g' => 0o070,
                'o' => 0o007,
                'a' => 0o777,
                _ => return None,
            },
        )
    })?;
    let mut clauses = Vec::new();
    while let Some(operator) = rest.chars().next() {
        let tail = rest.get(1..)?;
        let (permissions, next) = tail.split_at(tail.find(operators).unwrap_or(tail.len()));
        let bits = permissions.chars().try_fold(0, |bits, c| {
            Some(
                bits | match c {
                    'r' => 0o444,
                    'w' => 0o222,
                    'x' => 0o111,
                    _ => return None,
                },
            )
        })? & mask;
        clauses.push(match operator {
            '+' => Clause { clear: 0, set: bits, masked, is_whole: false },
            '-' => Clause { clear: bits, set: 0, masked, is_whole: false },
            _ => Clause { clear: mask, set: bits, masked, is_whole: true },
        });
        rest = next;
    }
    Some(clauses)
}

impl Serialize for Mode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.given)
    }
}

impl<'de> Deserialize<'de> for Mode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ModeVisitor;
        impl Visitor<'_> for ModeVisitor {
            type Value = Mode;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("octal digits such as \"0600\" from 0 to 7777, a number, or symbolic such as u=rw,g=r with r, w and x")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Mode, E> {
                Mode::parse(text).ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Mode, E> {
                let positive =
                    u64::try_from(number).map_err(|_| E::invalid_value(de::Unexpected::Signed(number), &self))?;
                Mode::given_number(positive, &self)
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Mode, E> {
                Mode::given_number(number, &self)
            }
        }
        deserializer.deserialize_any(ModeVisitor)
    }
}

#[cfg(feature = "docs")]
impl schemars::JsonSchema for Mode {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Mode".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        // True is the schema of anything: Ansible's type raw.
        true.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(json: &str, before: u32) -> Option<u32> {
        serde_json::from_str::<Mode>(json).ok().map(|mode| mode.of(before))
    }

    #[test]
    fn octal_text_and_numbers_replace_all_bits() {
        for json in ["\"0640\"", "\"0o640\"", "\"640\"", "416"] {
            assert_eq!(of(json, 0o4711), Some(0o640), "{json}");
        }
    }

    #[test]
    fn a_number_that_lacks_its_zero_is_refused_with_what_it_means() {
        for lacking in [400, 440, 444, 500, 600, 640, 644, 660, 700, 750, 755, 777] {
            let said = serde_json::from_str::<Mode>(&lacking.to_string()).unwrap_err().to_string();
            assert!(said.contains(&format!("{lacking:04o}")) && said.contains(&format!("\"0{lacking}\"")), "{said}");
        }
        // As YAML hands over 0400, 0600, 0640, 0644, 0660, 0664, 0700, 0750, 0755 and 0777.
        for (number, mode) in [
            (256, 0o400),
            (384, 0o600),
            (416, 0o640),
            (420, 0o644),
            (432, 0o660),
            (436, 0o664),
            (448, 0o700),
            (488, 0o750),
            (493, 0o755),
            (511, 0o777),
        ] {
            assert_eq!(of(&number.to_string(), 0), Some(mode));
        }
    }

    #[test]
    fn symbolic_clauses_are_applied_in_order_to_what_is_there() {
        for (json, after) in [
            ("\"u=rw,g=r\"", 0o640),
            ("\"u=rw,g=r,o=\"", 0o640),
            ("\"g+r\"", 0o640),
            ("\"a+r\"", 0o644),
            ("\"u-w\"", 0o400),
            ("\"ug=rwx\"", 0o770),
            ("\"u=r+x\"", 0o500),
        ] {
            assert_eq!(of(json, 0o600), Some(after), "{json}");
        }
    }

    #[test]
    fn what_is_given_to_nobody_in_particular_is_not_given_where_the_umask_denies_it() {
        for (json, umask, after) in [
            ("\"+x\"", 0o022, 0o711),
            ("\"+w\"", 0o022, 0o600),
            ("\"=rw\"", 0o022, 0o644),
            ("\"=rw\"", 0o077, 0o600),
            ("\"a=rw\"", 0o077, 0o666),
            ("\"-r\"", 0o077, 0o200),
            ("\"+r,-r\"", 0o022, 0o200),
            ("\"a+r,-r\"", 0o077, 0o244),
            ("\"a+r,a-r\"", 0o077, 0o200),
            ("\"+r,o+r\"", 0o077, 0o604),
        ] {
            let mode: Mode = serde_json::from_str(json).unwrap();
            assert_eq!(mode.under(umask, 0o600), after, "{json} under {umask:03o}");
        }
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        assert!(status.contains(&format!("Umask:\t{:04o}\n", umask())), "{status}");
        assert_eq!(of("\"=rw\"", 0o600), Some(0o666 & !umask()));
    }

    #[test]
    fn what_is_no_mode_is_refused() {
        for json in
            ["\"\"", "\"u\"", "\"888\"", "\"u=z\"", "\"w=r\"", "\"10000\"", "4096", "-1", "true", "\"u=ä\"", "[]"]
        {
            assert_eq!(of(json, 0o600), None, "{json}");
        }
        for json in ["\"10000\"", "4096", "-1"] {
            let said = serde_json::from_str::<Mode>(json).unwrap_err().to_string();
            assert!(said.contains("from 0 to 7777"), "{said}");
        }
    }
}
