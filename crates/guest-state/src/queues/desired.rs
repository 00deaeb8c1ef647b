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
