//! Wanted queues: pvapconfig's fields, checked.

use super::codes;
use super::entry::Entry;
use fault::{Fault, Result};
use pv_guest::ap::{Apqn, Mkvp, Mode};
use pv_wire::SecretId;
use std::collections::BTreeMap;

/// One wanted queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// How messages call it: the option, its place as options and results count it, and its name if it has one.
    pub called: String,
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

/// As many entries are taken. An AP bus has room for 65,536 queues, but no machine gives that many to one guest, and the best
/// assignment takes time that grows with the square of the entries.
const MOST: usize = 4096;

/// Checks the entries of the option `option`. All fields are trimmed, as pvapconfig does it; of a field that is empty then
/// nothing is known.
///
/// # Errors
/// [`codes::ENTRY_INVALID`], naming entry and field, or that there are too many.
pub fn check(option: &str, entries: &[Entry]) -> Result<Vec<Wanted>> {
    if entries.len() > MOST {
        let detail = format!("{option} has {} entries; at most {MOST} are taken.", entries.len());
        return Err(Fault::new(codes::ENTRY_INVALID, detail)
            .hint("Remove the entries that are not for this guest: each entry is for one of its queues."));
    }
    let check = |(at, entry): (usize, &Entry)| {
        let name = entry.name.as_ref().map_or_else(String::new, |name| format!(" ({})", name.trim()));
        let called = format!("{option}[{at}]{name}");
        check_one(entry, &called).map_err(|what| {
            Fault::new(codes::ENTRY_INVALID, format!("The entry {called}: {what}."))
                .hint("Correct the field; see the description of the entries with ansible-doc seguest.pv.ap_bind.")
        })
    };
    entries.iter().enumerate().map(check).collect()
}

/// That no queue is named by two entries, of which it could serve only one.
///
/// # Errors
/// [`codes::QUEUE_TWICE`].
pub fn each_its_own(wanted: &[Wanted]) -> Result<()> {
    let mut named: BTreeMap<Apqn, &str> = BTreeMap::new();
    for entry in wanted {
        let Some(apqn) = entry.apqn else { continue };
        if let Some(other) = named.insert(apqn, &entry.called) {
            let detail = format!("The entries {other} and {} both want the queue {apqn}.", entry.called);
            return Err(Fault::new(codes::QUEUE_TWICE, detail)
                .hint("A queue serves one entry: name another queue in one of them, or leave out its apqn."));
        }
    }
    Ok(())
}

fn check_one(entry: &Entry, called: &str) -> std::result::Result<Wanted, String> {
    let trimmed =
        |field: &Option<String>| field.as_deref().map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned);
    let name = entry.name.as_deref().map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned);
    let apqn = entry
        .apqn
        .as_deref()
        .map(str::trim)
        .filter(|text| !text.is_empty())
        .map(|text| text.parse().map_err(|expected| format!("apqn {expected}")))
        .transpose()?;
    let generation = trimmed(&entry.mingen).map(|text| generation(&text)).transpose()?;
    let purpose = match trimmed(&entry.mode).as_deref().map(str::to_ascii_lowercase).as_deref() {
        Some("accel") => Purpose::Accel,
        Some("ep11") => ep11(entry, name.as_deref())?,
        Some(_) => return Err("mode must be ep11 or accel".into()),
        None => return Err("mode is required: ep11 or accel".into()),
    };
    Ok(Wanted { called: called.to_owned(), name, purpose, min_generation: generation.unwrap_or(0), apqn })
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
                "secretid is not the SHA-256 of name, which is {of_name}; give only one of them, or correct secretid; for a secret made with use_name give only secretid"
            ));
        }
        (Some(id), _) | (None, Some(id)) => id,
        (None, None) => return Err("secretid or name is required with mode ep11".into()),
    };
    let serialnr = entry.serialnr.as_deref().map(str::trim).filter(|text| !text.is_empty());
    if serialnr.is_some_and(|text| text.chars().count() != 16 || text.contains(char::is_whitespace)) {
        return Err(
            "serialnr must be exactly 16 characters without blanks; write it in quotes, because YAML turns digits into a number and loses leading zeros"
                .into(),
        );
    }
    Ok(Purpose::Ep11 { mkvp, serialnr: serialnr.map(str::to_owned), secret })
}

fn generation(text: &str) -> std::result::Result<u32, String> {
    let lower = text.to_ascii_lowercase();
    let digits = lower.strip_prefix("cex").filter(|digits| digits.bytes().all(|b| b.is_ascii_digit()));
    digits
        .and_then(|digits| digits.parse().ok())
        .filter(|number| *number >= 4)
        .ok_or_else(|| "mingen must be a card generation, cex4 or newer, such as cex8".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queues::config::parse;

    #[test]
    fn thousands_of_entries_are_taken_and_one_more_than_that_is_refused() {
        let accelerators = |count| vec![Entry { mode: Some("accel".into()), ..Entry::default() }; count];
        assert_eq!(check("queues", &accelerators(MOST)).unwrap().len(), MOST);
        let fault = check("queues", &accelerators(MOST + 1)).unwrap_err();
        assert_eq!(fault.detail, "queues has 4097 entries; at most 4096 are taken.");
    }

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
        check("entries", &parse("test", text)?)
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
}
