//! A wanted queue as users write it.

use ansible_contract::{HexText, NameText};
use serde::{Deserialize, Serialize};

/// One wanted queue, with the fields of pvapconfig's configuration.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[cfg_attr(feature = "docs", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct Entry {
    /// Name of the association secret, whose id is its SHA-256 hash. Leading and trailing blanks are ignored, as
    /// pvapconfig does; give a secret whose name has such blanks by V(secretid).
    pub name: Option<NameText>,
    /// Free text.
    pub description: Option<String>,
    /// V(ep11) or V(accel), in upper or lower case. Required.
    pub mode: Option<String>,
    /// EP11 only, and required there: master key verification pattern of the queue's current wrapping key; 32 or 64
    /// hex digits, of which the first 32 count. Write it in quotes.
    pub mkvp: Option<HexText<32, 64>>,
    /// EP11 only: serial number of the card, 16 characters. Write it in quotes.
    pub serialnr: Option<String>,
    /// The oldest acceptable generation of card, such as V(cex8).
    pub mingen: Option<String>,
    /// EP11 only: id of the association secret, 64 hex digits. This or V(name) is required. Write it in quotes.
    pub secretid: Option<HexText<64, 64>>,
    /// Accept only this queue, C(XX.YYYY). Write it in quotes.
    pub apqn: Option<NameText>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use ansible_contract::codes as args;

    fn read(entries: &str) -> fault::Result<Vec<Entry>> {
        #[derive(Deserialize)]
        struct Options {
            entries: Vec<Entry>,
        }
        let text = format!(r#"{{"entries": {entries}}}"#);
        ansible_contract::parse_arguments::<Options>(text.as_bytes()).map(|(options, _)| options.entries)
    }

    #[test]
    fn what_yaml_made_a_number_must_be_quoted() {
        // Of an unquoted 00.0005, 05.0010 and 1.10, and of the same entries as JSON text.
        for (field, number, code) in [
            ("apqn", "0.0005", args::QUOTE_NAME),
            ("apqn", "5.001", args::QUOTE_NAME),
            ("name", "1.1", args::QUOTE_NAME),
            ("name", "true", args::QUOTE_NAME),
            ("mkvp", "12345678", args::QUOTE_HEX),
            ("mkvp", "1.5e40", args::QUOTE_HEX),
            ("secretid", "12345678", args::QUOTE_HEX),
        ] {
            let entry = format!(r#"{{"mode": "ep11", "{field}": {number}}}"#);
            for entries in [format!("[{entry}]"), serde_json::to_string(&format!("[{entry}]")).unwrap()] {
                let fault = read(&entries).unwrap_err();
                assert_eq!(fault.code, code, "{entry}");
                assert!(fault.detail.starts_with(&format!("The option entries[0].{field} ")), "{fault}");
                assert!(fault.detail.contains("in quotes"), "{fault}");
            }
        }
        assert!(read(r#"[{"mode": "accel", "apqn": 0.0005}]"#).unwrap_err().detail.contains("00.0005"));
    }

    #[test]
    fn a_file_keeps_the_text_of_what_is_not_quoted() {
        let entries = crate::queues::config::parse("test", "- {mode: accel, apqn: 00.0005, name: 1.10}").unwrap();
        assert_eq!((entries[0].apqn.as_deref(), entries[0].name.as_deref()), (Some("00.0005"), Some("1.10")));
    }
}
