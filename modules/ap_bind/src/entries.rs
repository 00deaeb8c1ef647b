//! Wanted queues: pvapconfig's fields, checked.

use crate::codes;
use crate::options::Entry;
use ansible_contract::PathText;
use fault::{Fault, Result};
use pv_guest::ap::{Apqn, Mkvp, Mode};
use pv_wire::SecretId;
use std::fmt::Display;
use std::io;

/// A configuration of pvapconfig has a few lines a queue.
const MAX_CONFIG_LEN: u64 = 4 << 20;

/// How deep brackets may nest in a configuration; entries need two. Counted before it is parsed, because that takes
/// time that grows with the square of the depth: a file within the length that is allowed could keep the task for hours.
const MAX_NESTING: usize = 64;

/// One wanted queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// As given, for reports.
    pub name: Option<String>,
    /// What the card must work as, with what only EP11 has.
    pub purpose: Purpose,
    /// Oldest generation that will do.
    pub min_generation: u32,
    /// Only this queue will do.
    pub apqn: Option<Apqn>,
}

/// What the queue is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Clear-key acceleration.
    Accel,
    /// Secure keys under a master key.
    Ep11 {
        /// Pattern of the master key.
        mkvp: Mkvp,
        /// Serial number of the card.
        serialnr: Option<String>,
        /// The association secret.
        secret: SecretId,
    },
}

impl Wanted {
    /// What the card must work as.
    pub fn mode(&self) -> Mode {
        match self.purpose {
            Purpose::Accel => Mode::Accel,
            Purpose::Ep11 { .. } => Mode::Ep11,
        }
    }

    /// The association secret, for EP11.
    pub fn secret(&self) -> Option<SecretId> {
        match self.purpose {
            Purpose::Accel => None,
            Purpose::Ep11 { secret, .. } => Some(secret),
        }
    }
}

/// Reads a configuration file.
///
/// # Errors
/// [`codes::CONFIG_UNREADABLE`] and those of [`parse_config`].
pub fn read_config(path: &PathText) -> Result<Vec<Entry>> {
    let text = read_text(path).map_err(|e| {
        Fault::new(codes::CONFIG_UNREADABLE, format!("The configuration {path} cannot be read: {e}."))
            .hint("Put the file onto the guest first, or give it as src or its entries inline.")
            .io(&e)
    })?;
    parse_config(&path.to_string(), &text)
}

fn read_text(path: &PathText) -> io::Result<String> {
    let refused = |why| Err(io::Error::new(io::ErrorKind::InvalidData, why));
    let bytes = path.read(MAX_CONFIG_LEN + 1)?;
    if bytes.len() as u64 > MAX_CONFIG_LEN {
        return refused("it is longer than 4 MiB");
    }
    String::from_utf8(bytes).or_else(|_| refused("it is not UTF-8 text"))
}

/// Reads the text of a configuration: a YAML list of entries, in which scalars keep their text.
///
/// # Errors
/// [`codes::CONFIG_INVALID`].
pub fn parse_config(name: &str, text: &str) -> Result<Vec<Entry>> {
    if text.trim().is_empty() {
        return Ok(Vec::new());
    }
    let invalid = |why: &dyn Display| {
        Fault::new(codes::CONFIG_INVALID, format!("The configuration {name} is not a list of entries: {why}.")).hint(
            "Its entries have the fields of pvapconfig: name, description, mode, mkvp, serialnr, mingen, secretid.",
        )
    };
    if nests_too_deep(text) {
        return Err(invalid(&format_args!("its brackets nest more than {MAX_NESTING} deep")));
    }
    serde_yaml::from_str::<Option<Vec<Entry>>>(text).map(Option::unwrap_or_default).map_err(|e| invalid(&e))
}

/// Whether brackets nest too deep, those in texts and comments counted too.
fn nests_too_deep(text: &str) -> bool {
    let depths = text.bytes().scan(0_usize, |depth, byte| {
        match byte {
            b'[' | b'{' => *depth += 1,
            b']' | b'}' => *depth = depth.saturating_sub(1),
            _ => {}
        }
        Some(*depth)
    });
    depths.max().is_some_and(|deepest| deepest > MAX_NESTING)
}

/// Checks the entries. All fields are trimmed, as pvapconfig does it; of a field that is empty then nothing is known.
///
/// # Errors
/// [`codes::ENTRY_INVALID`], naming entry and field.
pub fn check(entries: &[Entry]) -> Result<Vec<Wanted>> {
    entries.iter().enumerate().map(|(at, entry)| check_one(entry).map_err(|what| invalid(at, entry, &what))).collect()
}

fn invalid(at: usize, entry: &Entry, what: &str) -> Fault {
    Fault::new(codes::ENTRY_INVALID, format!("The entry {}: {what}.", called(at, entry.name.as_deref())))
}

/// How messages call an entry: by its place, as options and results count it, and its name if it has one.
pub fn called(at: usize, name: Option<&str>) -> String {
    format!("entries[{at}]{}", name.map_or_else(String::new, |name| format!(" ({})", name.trim())))
}

fn check_one(entry: &Entry) -> std::result::Result<Wanted, String> {
    let trimmed =
        |field: &Option<String>| field.as_deref().map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned);
    let name = trimmed(&entry.name);
    let apqn =
        trimmed(&entry.apqn).map(|text| text.parse().map_err(|expected| format!("apqn {expected}"))).transpose()?;
    let generation = trimmed(&entry.mingen).map(|text| generation(&text)).transpose()?;
    let purpose = match trimmed(&entry.mode).as_deref().map(str::to_ascii_lowercase).as_deref() {
        Some("accel") => Purpose::Accel,
        Some("ep11") => ep11(entry, name.as_deref())?,
        Some(_) => return Err("mode must be ep11 or accel".into()),
        None => return Err("mode is required: ep11 or accel".into()),
    };
    Ok(Wanted { name, purpose, min_generation: generation.unwrap_or(0), apqn })
}

fn ep11(entry: &Entry, name: Option<&str>) -> std::result::Result<Purpose, String> {
    let mkvp = entry.mkvp.as_ref().ok_or("mkvp is required with mode ep11")?;
    let mkvp = Mkvp::from_hex(mkvp.0.trim()).ok_or("mkvp must be 32 or 64 hex digits, optionally after 0x")?;
    let given = entry.secretid.as_ref().map(|id| id.0.trim()).filter(|text| !text.is_empty());
    let given = given.map(|id| id.parse::<SecretId>().map_err(|expected| format!("secretid {expected}")));
    // pvsecret does not trim a name, so a secret may have one with blanks around it. Its id says so.
    let untrimmed = entry.name.as_deref().map(SecretId::of_name);
    let secret = match (given.transpose()?, name.map(SecretId::of_name)) {
        (Some(id), Some(of_name)) if id != of_name && Some(id) != untrimmed => {
            return Err(format!(
                "secretid is not the SHA-256 of name, which is {of_name}; give one of them, or the right one, and \
                 secretid alone for a secret that was made with use_name"
            ));
        }
        (Some(id), _) | (None, Some(id)) => id,
        (None, None) => return Err("secretid or name is required with mode ep11".into()),
    };
    let serialnr = entry.serialnr.as_deref().map(str::trim).filter(|text| !text.is_empty());
    if serialnr.is_some_and(|text| text.chars().count() != 16 || text.contains(char::is_whitespace)) {
        return Err("serialnr must be exactly 16 characters without blanks".into());
    }
    Ok(Purpose::Ep11 { mkvp, serialnr: serialnr.map(str::to_owned), secret })
}

fn generation(text: &str) -> std::result::Result<u32, String> {
    let lower = text.to_ascii_lowercase();
    let digits = lower.strip_prefix("cex").filter(|digits| digits.bytes().all(|b| b.is_ascii_digit()));
    digits
        .and_then(|digits| digits.parse().ok())
        .filter(|number| *number >= 4)
        .ok_or_else(|| "mingen must be a generation of card from cex4 on, such as cex8".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The sample of IBM's book has these spellings.
    const SAMPLE: &str = "
- name: my-secret
  description: queue for the HSM
  mode: EP11
  mkvp: 0xdb3c3b3c3f097dd55ec7eb0e7fdbcb933b773619640a1a75a9161cec00000000
  serialnr: 93AADFK719460083
  mingen: cex8
- mode: Accel
  mingen: cex4
";

    fn wanted(text: &str) -> Result<Vec<Wanted>> {
        check(&parse_config("test", text)?)
    }

    #[test]
    fn pvapconfigs_sample_is_read_unchanged() {
        let wanted = wanted(SAMPLE).unwrap();
        let mkvp = Mkvp::from_hex("db3c3b3c3f097dd55ec7eb0e7fdbcb93").unwrap();
        let secret = SecretId::of_name("my-secret");
        assert_eq!(wanted[0].purpose, Purpose::Ep11 { mkvp, serialnr: Some("93AADFK719460083".into()), secret });
        assert_eq!((wanted[0].min_generation, wanted[1].min_generation), (8, 4));
        assert_eq!(wanted[1].mode(), Mode::Accel);
    }

    #[test]
    fn hex_and_serial_numbers_keep_their_text_in_a_file() {
        let text = format!(
            "- {{mode: ep11, mkvp: 0x{}, secretid: {}, serialnr: 1234567890123456}}",
            "0".repeat(31) + "1",
            "7".repeat(64)
        );
        let wanted = wanted(&text).unwrap();
        let Purpose::Ep11 { mkvp, serialnr, secret } = &wanted[0].purpose else { panic!("not ep11") };
        assert_eq!((mkvp.0[15], secret.0, serialnr.as_deref()), (1, [0x77; 32], Some("1234567890123456")));
    }

    #[test]
    fn the_name_is_trimmed_before_it_is_hashed_unless_the_id_says_otherwise() {
        let secret = |rest: &str| {
            let text = format!("- {{mode: ep11, mkvp: '{}', name: '  a '{rest}}}", "1".repeat(32));
            wanted(&text).map(|wanted| wanted[0].secret())
        };
        assert_eq!(secret("").unwrap(), Some(SecretId::of_name("a")));
        for name in ["a", "  a "] {
            assert_eq!(
                secret(&format!(", secretid: {}", SecretId::of_name(name))).unwrap(),
                Some(SecretId::of_name(name))
            );
        }
        assert_eq!(secret(&format!(", secretid: {}", SecretId::of_name("a "))).unwrap_err().code, codes::ENTRY_INVALID);
    }

    #[test]
    fn every_form_that_pvapconfig_documents_is_read() {
        let (half, whole) =
            ("dB3c3b3c3f097dd55ec7eb0e7fdbcb93", "dB3c3b3c3f097dd55ec7eb0e7fdbcb933b773619640a1a75a9161cec00000000");
        let id = "a1".repeat(32);
        for mode in ["ep11", "EP11", "Ep11", "' eP11 '"] {
            for mkvp in [half, whole, &format!("0x{half}"), &format!("0x{whole}"), &format!("' 0x{whole} '")] {
                for rest in [
                    format!("secretid: {id}"),
                    format!("secretid: 0x{id}, serialnr: ' 93AADFK719460083 ', mingen: cex8"),
                    format!("name: '', secretid: '{id}', serialnr: '', mingen: CEX8, description: 'free: text'"),
                ] {
                    let wanted = wanted(&format!("- {{mode: {mode}, mkvp: {mkvp}, {rest}}}")).unwrap();
                    let Purpose::Ep11 { mkvp, serialnr, secret } = &wanted[0].purpose else { panic!("not ep11") };
                    assert_eq!((Some(*mkvp), secret.0), (Mkvp::from_hex(half), [0xa1; 32]));
                    assert!(serialnr.as_deref().is_none_or(|serial| serial == "93AADFK719460083"));
                }
            }
        }
        for (mingen, generation) in [("cex4", 4), ("Cex8", 8), ("CEX9", 9), ("cex12", 12)] {
            assert_eq!(wanted(&format!("- {{mode: ACCEL, mingen: {mingen}}}")).unwrap()[0].min_generation, generation);
        }
    }

    #[test]
    fn what_only_ep11_has_is_ignored_for_an_accelerator() {
        let wanted = wanted("- {mode: accel, name: a, mkvp: '12', serialnr: short, secretid: none}").unwrap();
        assert_eq!((&wanted[0].purpose, wanted[0].secret()), (&Purpose::Accel, None));
    }

    #[test]
    fn a_serial_number_has_exactly_16_characters_without_blanks() {
        for serial in ["93AADFK71946008", "93AADFK7194600833", "93AADFK 19460083"] {
            let text = format!("- {{mode: ep11, name: a, mkvp: '{}', serialnr: '{serial}'}}", "1".repeat(32));
            assert!(wanted(&text).unwrap_err().detail.contains("serialnr must be"), "{serial}");
        }
    }

    #[test]
    fn nothing_at_all_is_an_empty_list() {
        for text in ["", "\n", "[]", "# nothing\n", "null"] {
            assert!(wanted(text).unwrap().is_empty(), "{text:?}");
        }
    }

    #[test]
    fn a_wrong_field_is_named_with_its_entry() {
        let mkvp = "1".repeat(32);
        let cases = [
            ("- {}".to_owned(), "mode is required"),
            ("- {mode: cca}".to_owned(), "mode must be"),
            ("- {mode: ep11, name: a}".to_owned(), "mkvp is required"),
            ("- {mode: ep11, name: a, mkvp: '12'}".to_owned(), "mkvp must be"),
            (format!("- {{mode: ep11, mkvp: '{mkvp}'}}"), "secretid or name"),
            (format!("- {{mode: ep11, mkvp: '{mkvp}', secretid: '12'}}"), "secretid must be"),
            (
                format!("- {{mode: ep11, mkvp: '{mkvp}', name: a, secretid: '{}'}}", "0".repeat(64)),
                "not the SHA-256 of name",
            ),
            (format!("- {{mode: ep11, mkvp: '{mkvp}', name: a, serialnr: short}}"), "serialnr must be"),
            ("- {mode: accel, mingen: cex3}".to_owned(), "mingen must be"),
            ("- {mode: accel, mingen: '8'}".to_owned(), "mingen must be"),
            ("- {mode: accel, apqn: '1.2'}".to_owned(), "apqn must be"),
        ];
        for (text, expected) in cases {
            let fault = wanted(&text).unwrap_err();
            assert_eq!(fault.code, codes::ENTRY_INVALID, "{text}");
            assert!(fault.detail.starts_with("The entry entries[0]") && fault.detail.contains(expected), "{fault}");
        }
    }

    #[test]
    fn what_is_no_list_of_entries_is_refused() {
        for text in ["mode: ep11", "- ep11", "- {mode: ep11, mkpv: x}", "- [", "\u{0}", "- !x y"] {
            assert_eq!(wanted(text).unwrap_err().code, codes::CONFIG_INVALID, "{text:?}");
        }
    }

    #[test]
    fn brackets_that_nest_deeper_than_any_entry_are_refused_before_they_are_parsed() {
        for text in ["[".repeat(4 << 20), format!("- name: {}", "{a: ".repeat(1 << 20)), "[{".repeat(33)] {
            let fault = wanted(&text).unwrap_err();
            assert_eq!(fault.code, codes::CONFIG_INVALID);
            assert!(fault.detail.contains("more than 64 deep"), "{fault}");
        }
        let flow = format!("[{}]", "{mode: accel, description: '[x]'}, ".repeat(100));
        assert_eq!(wanted(&flow).unwrap().len(), 100);
    }
}
