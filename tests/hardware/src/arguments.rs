//! What is typed.

use pv_guest::ap::Apqn;
use std::path::PathBuf;

/// How it is called.
pub const USAGE: &str = "\
Asks this Secure Execution guest what only real hardware can confirm, and prints a report (JSON) to be sent back.
Run it as root:

  hardware-questions > report.json

  --queue XX.YYYY           a free queue, which is bound, reset and released several times
  --rebooted-since FILE     a report that this program printed before a reboot

What follows cannot be taken back until the guest is rebooted:

  --until-reboot            sends requests that nobody can open; without it none of the following is taken
  --request FILE            adds this request, twice; with an association secret and --queue, associates the queue with it
  --other-image FILE        adds this request, which was built for another image, and should be refused
  --other-start FILE        adds this request, which was built for another CUID, and should be refused
  --lock                    locks the secret store

Without a word of those, it only reads. What it is about to do is said on the error output.
";

/// What is wanted.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Arguments {
    /// A queue that may be bound.
    pub queue: Option<Apqn>,
    /// A report from before a reboot.
    pub rebooted_since: Option<PathBuf>,
    /// What cannot be taken back; `None` if nothing is to be done of that kind.
    pub until_reboot: Option<UntilReboot>,
}

/// What cannot be taken back until a reboot.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct UntilReboot {
    /// A request to add.
    pub request: Option<PathBuf>,
    /// One for another image.
    pub other_image: Option<PathBuf>,
    /// One for another start of a guest.
    pub other_start: Option<PathBuf>,
    /// The store is to be locked.
    pub lock: bool,
}

impl Arguments {
    /// Reads them; `None` if help is wanted.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn parse(arguments: &[String]) -> Result<Option<Self>, String> {
        let mut wanted = Self::default();
        let mut lasting = UntilReboot::default();
        let mut is_allowed = false;
        let mut rest = arguments.iter();
        while let Some(name) = rest.next() {
            let mut value = || rest.next().ok_or_else(|| format!("{name} needs a value"));
            match name.as_str() {
                "--help" | "-h" => return Ok(None),
                "--queue" => wanted.queue = Some(value()?.parse().map_err(|why| format!("--queue {why}"))?),
                "--rebooted-since" => wanted.rebooted_since = Some(value()?.into()),
                "--until-reboot" => is_allowed = true,
                "--request" => lasting.request = Some(value()?.into()),
                "--other-image" => lasting.other_image = Some(value()?.into()),
                "--other-start" => lasting.other_start = Some(value()?.into()),
                "--lock" => lasting.lock = true,
                _ => return Err(format!("{name} is not known")),
            }
        }
        if !is_allowed && lasting != UntilReboot::default() {
            return Err("what cannot be taken back needs --until-reboot".into());
        }
        wanted.until_reboot = is_allowed.then_some(lasting);
        Ok(Some(wanted))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Option<Arguments>, String> {
        Arguments::parse(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn nothing_that_cannot_be_taken_back_is_done_without_the_word_for_it() {
        assert_eq!(parse("").unwrap(), Some(Arguments::default()));
        assert_eq!(parse("--queue 00.0005").unwrap().unwrap().until_reboot, None);
        for option in ["--lock", "--request x", "--other-image x", "--other-start x"] {
            assert!(parse(option).unwrap_err().contains("--until-reboot"), "{option}");
            assert!(parse(&format!("{option} --until-reboot")).is_ok());
        }
        let lock = UntilReboot { lock: true, ..UntilReboot::default() };
        assert_eq!(parse("--until-reboot --lock").unwrap().unwrap().until_reboot, Some(lock));
        assert_eq!(parse("--until-reboot").unwrap().unwrap().until_reboot, Some(UntilReboot::default()));
    }

    #[test]
    fn what_is_not_understood_is_said() {
        assert!(parse("--queue 5").unwrap_err().starts_with("--queue must be"));
        assert!(parse("--queue").unwrap_err().contains("needs a value"));
        assert!(parse("--locked").unwrap_err().contains("--locked is not known"));
        assert_eq!(parse("--help --locked").unwrap(), None);
    }

    #[test]
    fn every_option_is_in_the_help_and_on_the_page() {
        let page = include_str!("../README.md");
        for option in
            ["--queue", "--rebooted-since", "--until-reboot", "--request", "--other-image", "--other-start", "--lock"]
        {
            assert!(USAGE.contains(&format!("  {option} ")) && page.contains(&format!("`{option}")), "{option}");
        }
    }
}
