//! The plan carried out, or in check mode told.

use crate::dest::Found;
use crate::encode::encode;
use crate::memory::Memory;
use crate::options::{Format, Options, Report};
use crate::plan::{Plan, codes, may_come, plan};
use ansible_contract::{Diff, Failure, Outcome, PathText, warning};
use durable::{Attributes, Folder};
use fault::{Fault, Result};
use pv_guest::boot_record::BootRecord;
use pv_guest::uv::{Device, Secret};
use pv_wire::SecretType;
use std::path::{Path, PathBuf};

type Answer = std::result::Result<Outcome<Report>, Failure<Report>>;

/// Mode of a file that the task makes without being told one.
const MODE: u32 = 0o600;

/// What is asked for and what is there.
pub struct Task<'a> {
    options: &'a Options,
    dest: &'a Path,
    /// By which the file is remembered, however its path is written.
    identity: PathBuf,
    found: Option<Found>,
    boot: &'a BootRecord,
    warnings: Vec<String>,
    partial: bool,
}

impl<'a> Task<'a> {
    /// Begins with what was observed.
    pub fn new(options: &'a Options, dest: &'a PathText, found: Option<Found>, boot: &'a BootRecord) -> Self {
        let (dest, identity) = (dest.as_path(), durable::identity(dest.as_path()));
        Self { options, dest, identity, found, boot, warnings: Vec::new(), partial: false }
    }

    /// Tells what would be done. Nothing is retrieved, so a file of which nothing is remembered may hold the secret.
    ///
    /// # Errors
    /// What no earlier task of the play could mend.
    pub fn predict(mut self, secret: Result<Secret>) -> Answer {
        let secret = match secret {
            Err(fault) if may_come(&fault) => {
                self.only_warn(&fault);
                None
            }
            secret => Some(secret?),
        };
        let attributes = match self.attributes() {
            Err(fault) if fault.code == fault::file::NO_SUCH_OWNER => {
                self.only_warn(&fault);
                Attributes::mode(self.mode())
            }
            attributes => attributes?,
        };
        let memory = self.memory();
        let knows = match (&self.found, &secret) {
            (Some(found), Some(secret)) => memory.knows(&self.identity, secret, self.format(), &found.stamp),
            _ => false,
        };
        if let (Some(_), Some(_), false) = (&self.found, &secret, knows) {
            self.only_warn(
                &Fault::new(
                    codes::CONTENT_UNKNOWN,
                    format!(
                        "Whether {} holds the secret is not known: check mode retrieves nothing.",
                        self.dest.display()
                    ),
                )
                .hint("Run the task without check mode to find out."),
            );
        }
        let plan = plan(self.found.as_ref().map(|found| &found.attributes), knows, &attributes);
        if plan == Plan::Write {
            match durable::check_writable(self.dest) {
                Err(fault) if fault.code == fault::file::MISSING => self.only_warn(&fault),
                checked => checked?,
            }
        }
        Ok(self.outcome(plan, secret.as_ref(), &attributes, true))
    }

    /// Does it.
    ///
    /// # Errors
    /// Codes of the ultravisor's answers and of files.
    pub fn apply(mut self, device: &Device, secret: Secret) -> Answer {
        let attributes = self.attributes()?;
        durable::settle(self.dest)?;
        let content = encode(&device.retrieve(&secret)?, secret.secret_type, self.format());
        let memory = self.memory();
        let holds_it = match &self.found {
            Some(found) => {
                // A key wrapped anew is still good if it was retrieved in this boot.
                let same_key = secret.secret_type != SecretType::PLAINTEXT
                    && memory.knows(&self.identity, &secret, self.format(), &found.stamp);
                same_key || found.holds(self.dest, &content)?
            }
            None => false,
        };
        let plan = plan(self.found.as_ref().map(|found| &found.attributes), holds_it, &attributes);
        match (plan, &self.found) {
            (Plan::Leave, _) => {}
            (Plan::SetAttributes, Some(found)) => found.set(self.dest, &attributes)?,
            _ => {
                let mut changed = false;
                Folder::lock(self.dest)?
                    .replace(self.dest, &content, &attributes, &mut changed)
                    .map_err(|fault| Failure { changed, ..Failure::from(fault) })?;
            }
        }
        // The secret is in its file: what cannot be noted of it is no failure.
        let noted = Found::at(self.dest).and_then(|now| {
            now.map_or(Ok(()), |now| Memory::note(self.boot, &self.identity, &secret, self.format(), &now.stamp))
        });
        self.warnings.extend(noted.err().as_ref().map(warning));
        Ok(self.outcome(plan, Some(&secret), &attributes, false))
    }

    fn format(&self) -> Format {
        self.options.format
    }

    fn mode(&self) -> u32 {
        let before = self.found.as_ref().map_or(MODE, |found| found.attributes.mode);
        self.options.mode.as_ref().map_or(MODE, |mode| mode.of(before))
    }

    fn attributes(&self) -> Result<Attributes> {
        let (uid, gid) = durable::owner_and_group(self.options.owner.as_deref(), self.options.group.as_deref())?;
        Ok(Attributes { mode: self.mode(), uid, gid })
    }

    /// What is remembered; nothing, with a warning, where that cannot be read.
    fn memory(&mut self) -> Memory {
        Memory::load(self.boot).unwrap_or_else(|fault| {
            self.warnings.push(warning(&fault));
            Memory::default()
        })
    }

    fn only_warn(&mut self, fault: &Fault) {
        self.warnings.push(warning(fault));
        self.partial = true;
    }

    fn outcome(self, plan: Plan, secret: Option<&Secret>, attributes: &Attributes, predicted: bool) -> Outcome<Report> {
        let dest = self.dest.display().to_string();
        // What cannot be told is told as a change.
        let changed = plan != Plan::Leave || self.partial;
        let (done, would) = match plan {
            Plan::Write => ("The secret was written", "The secret would be written"),
            Plan::SetAttributes => ("Mode or owner were set", "Mode or owner would be set"),
            Plan::Leave => ("The file already holds the secret", "The file already holds the secret"),
        };
        let format = match self.options.format {
            Format::Pem => "pem",
            Format::Bin => "bin",
        };
        let report = Report {
            dest: dest.clone(),
            format: format.into(),
            index: secret.map(|secret| secret.index),
            id: secret.map(|secret| secret.id.to_string()),
            option: secret.map(|secret| secret.secret_type.option().into()),
            kind: secret.map(|secret| secret.secret_type.kind()),
            mode: Some(format!("{:04o}", attributes.mode)),
        };
        Outcome {
            changed,
            msg: format!("{}: {dest}.", if predicted { would } else { done }),
            diff: (plan != Plan::Leave).then(|| self.diff(dest, plan, secret, attributes)).into_iter().collect(),
            warnings: self.warnings,
            predicted_partial: predicted && self.partial,
            report,
        }
    }

    /// Shows that the content differs, never what it is.
    fn diff(&self, subject: String, plan: Plan, secret: Option<&Secret>, attributes: &Attributes) -> Diff {
        let content = |what: &str| if plan == Plan::Write { format!("content: {what}\n") } else { String::new() };
        let secret = secret.map_or_else(|| "the secret".into(), |s| format!("the secret of index {}", s.index));
        let before = self.found.as_ref().map(|found| content("another") + &found.attributes.lines(attributes));
        Diff { subject, before: before.unwrap_or_default(), after: content(&secret) + &attributes.lines(attributes) }
    }
}
