//! What is wanted of the queues.

use super::config;
use super::entry::Entry;
use super::planning::Freedom;
use super::wanted::Wanted;
use ansible_contract::{PathText, codes as args};
use fault::{Fault, Result};
use pv_guest::ap::steps::Manner;

/// What is wanted of the queues.
#[derive(Clone, Debug)]
pub struct Desired {
    /// Wanted queues, in order.
    pub wanted: Vec<Wanted>,
    /// What to do about them.
    pub aim: Aim,
    /// Fail if an entry cannot be served.
    pub strict: bool,
    /// How to work on queues.
    pub manner: Manner,
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aim {
    /// Serve the entries; with which freedom.
    Serve(Freedom),
    /// Release what serves the entries.
    ReleaseEntries,
    /// Release everything.
    ReleaseAll,
}

impl Desired {
    /// Whether an entry needs a secret.
    pub fn needs_secrets(&self) -> bool {
        self.wanted.iter().any(|wanted| wanted.secret().is_some())
    }
}

/// Where the entries are to be found: at most one of them is given.
#[derive(Debug)]
pub struct Source {
    /// Inline.
    pub entries: Option<Vec<Entry>>,
    /// A file on the guest.
    pub config: Option<PathText>,
    /// A file on the controller.
    pub src: Option<String>,
    /// What is in that file.
    pub config_content: Option<String>,
}

impl Source {
    /// The entries; `None` if none of the options is given, whose names `called` are.
    ///
    /// # Errors
    /// `args.conflict`, `args.src_needs_collection`, `config.*`.
    pub fn entries(self, called: [&str; 3]) -> Result<Option<Vec<Entry>>> {
        let Self { entries, config, src, config_content } = self;
        let [inline, on_guest, on_controller] = called;
        if config_content.is_none() && src.is_some() {
            return Err(Fault::new(args::SRC_NEEDS_COLLECTION, format!("The option {on_controller} names a file on the controller, which the module on the guest cannot read."))
                .hint("Call the module by its full name, with seguest.pv before it, so that the collection's action plugin reads the file."));
        }
        let file = src.unwrap_or_else(|| "config_content".into());
        match (entries, config, config_content) {
            (Some(entries), None, None) => Ok(Some(entries)),
            (None, Some(path), None) => config::read(&path).map(Some),
            (None, None, Some(text)) => config::parse(&file, &text).map(Some),
            (None, None, None) => Ok(None),
            _ => Err(Fault::new(
                args::CONFLICT,
                format!(
                    "Only one of the options {inline}, {on_guest} and {on_controller} can say which queues are wanted."
                ),
            )
            .hint("Give one of them.")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::codes;
    use super::*;
    use serde_json::json;

    const NAMES: [&str; 3] = ["entries", "config", "src"];

    fn source() -> Source {
        Source { entries: None, config: None, src: None, config_content: None }
    }

    fn path(path: &str) -> Option<PathText> {
        serde_json::from_value(json!(path)).unwrap()
    }

    fn modes(source: Source) -> Vec<String> {
        source.entries(NAMES).unwrap().unwrap().into_iter().filter_map(|entry| entry.mode).collect()
    }

    #[test]
    fn entries_come_from_where_they_are_given_and_without_any_there_are_none() {
        assert!(source().entries(NAMES).unwrap().is_none());
        let inline = vec![Entry { mode: Some("ep11".into()), ..Entry::default() }];
        assert_eq!(modes(Source { entries: Some(inline), ..source() }), ["ep11"]);
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "- mode: accel").unwrap();
        assert_eq!(modes(Source { config: path(file.path().to_str().unwrap()), ..source() }), ["accel"]);
        let content = || Some("- mode: accel".to_owned());
        assert_eq!(modes(Source { config_content: content(), ..source() }), ["accel"]);
        assert_eq!(modes(Source { config_content: content(), src: Some("a.yaml".into()), ..source() }), ["accel"]);
    }

    #[test]
    fn entries_that_are_given_twice_or_out_of_reach_are_refused() {
        let code = |source: Source| source.entries(NAMES).unwrap_err().code;
        assert_eq!(code(Source { src: Some("a.yaml".into()), ..source() }), args::SRC_NEEDS_COLLECTION);
        assert_eq!(code(Source { entries: Some(Vec::new()), config: path("/a"), ..source() }), args::CONFLICT);
        assert_eq!(
            code(Source { entries: Some(Vec::new()), config_content: Some(String::new()), ..source() }),
            args::CONFLICT
        );
        assert_eq!(
            code(Source { config: path("/a"), config_content: Some(String::new()), ..source() }),
            args::CONFLICT
        );
    }

    #[test]
    fn only_a_configuration_that_is_not_there_is_missing() {
        let fault = |path_to: &str| Source { config: path(path_to), ..source() }.entries(NAMES).unwrap_err();
        assert!(codes::is_missing(&fault("/not/there")));
        let file = tempfile::NamedTempFile::new().unwrap();
        assert!(!codes::is_missing(&fault(&format!("{}/below", file.path().display()))));
        let other = Fault::new(args::CONFLICT, "").io(&std::io::Error::from_raw_os_error(2));
        assert!(!codes::is_missing(&other));
        assert!(!codes::is_missing(&Fault::new(codes::CONFIG_UNREADABLE, "")));
    }
}
