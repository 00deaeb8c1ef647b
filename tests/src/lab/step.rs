//! What is done in a guest, and what comes of it.

use anyhow::{Context, Result};
use serde_json::Value;
use std::fmt::Write as _;

/// The line that the machine prints last.
pub(super) const END: &str = "@@ end";

/// With the number of a step: that is for whoever runs the emulator.
const OUTSIDE: &str = "@@ outside ";

/// Something that is done in a guest, or with the machine that it runs on.
#[derive(Clone, Debug)]
pub enum Step {
    /// A module is run with these arguments.
    Module(&'static str, Value),
    /// A file is read.
    Read(String),
    /// Commands for a shell, in a folder with these files: texts as they are, other values as JSON.
    Shell(String, Vec<(&'static str, Value)>),
    /// A fragment of a scenario is laid over the machine's own.
    Set(String),
    /// The machine is asked for its state.
    State,
    /// The guest is as after its start: empty store, nothing bound, no records.
    Empty,
    /// The emulator is left alone until somebody has done this, who waits for it outside.
    Outside,
}

/// What came of a step.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// Exit code.
    pub code: i32,
    /// What was printed: a module's result, or a text without its last newlines.
    pub said: Value,
}

impl Outcome {
    /// Of something that was done from outside.
    pub fn done(said: Value) -> Self {
        Self { code: 0, said }
    }
}

/// Scans of the bus come by themselves as seldom as can be. What a step meets depends on when one happens to come, for it takes
/// queues away that are in error; and Linux 7.2 may stop for ever where an association ends during a scan.
pub(super) const RARE_SCANS: &str = "echo 120 > /sys/bus/ap/config_time\n";

/// Every queue is unbound and ready again, and what the programs have written down is gone. A scan of the bus brings those
/// back that an earlier one took away.
const EMPTY: &str = "\
for i in $(seq 100); do
    for queue in /sys/devices/ap/card*/*.*/se_bind; do echo 0 > $queue 2>/dev/null; done
    for j in $(seq 100); do
        state=$(cat /sys/devices/ap/card*/*.*/reset /sys/devices/ap/card*/*.*/se_bind 2>/dev/null)
        echo \"$state\" | grep -q -e progress -e '^bound' || break
        usleep 20000
    done
    [ $(ls -d /sys/devices/ap/card*/*.* | wc -l) = $(cat /run/queues) ] && break
    echo 1 > /sys/bus/ap/scans
done
rm -rf /run/seguest-pv
";

/// The commands that do all of them in a guest, in a folder with the files that [`files`] gives.
pub(super) fn script(steps: &[Step]) -> String {
    let mut script = String::new();
    for (at, step) in steps.iter().enumerate() {
        // One line for each outcome, however long.
        let line = match step {
            Step::Module(module, _) => format!("said=$({module} - < {at}.arguments); echo \"@@ json $? $said\"\n"),
            Step::Read(path) => {
                format!("said=$(cat {path} 2>/dev/null); echo \"@@ text $? $(echo \"$said\" | tr '\\n' '\\t')\"\n")
            }
            Step::Shell(commands, _) => {
                format!(
                    "said=$(cd {at}; {{ {commands}\n}} 2>&1); echo \"@@ text $? $(echo \"$said\" | tr '\\n' '\\t')\"\n"
                )
            }
            Step::Set(_) | Step::State | Step::Outside => format!("echo \"{OUTSIDE}{at}\"; read -r go\n"),
            Step::Empty => format!("{RARE_SCANS}{EMPTY}echo \"{OUTSIDE}{at}\"; read -r go\n"),
        };
        script.write_str(&line).unwrap_or_default();
    }
    script
}

/// Folders, and files with their names and contents, that the commands expect.
pub(super) fn files(steps: &[Step]) -> (Vec<String>, Vec<(String, Vec<u8>)>) {
    let (mut folders, mut files) = (Vec::new(), Vec::new());
    for (at, step) in steps.iter().enumerate() {
        match step {
            Step::Module(_, arguments) => files.push((format!("{at}.arguments"), arguments.to_string().into_bytes())),
            Step::Shell(_, own) => {
                folders.push(at.to_string());
                let content = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                files.extend(own.iter().map(|(name, value)| (format!("{at}/{name}"), content(value).into_bytes())));
            }
            _ => {}
        }
    }
    (folders, files)
}

/// What a line of the console is about.
#[derive(Debug)]
pub(super) enum Line {
    /// What came of the next step.
    Outcome(Outcome),
    /// The step of this number is to be done now, from outside.
    Outside(usize),
    /// All is done.
    End,
}

/// None if the line is about nothing of this.
pub(super) fn line(text: &str) -> Option<Result<Line>> {
    if text == END {
        return Some(Ok(Line::End));
    }
    if let Some(number) = text.strip_prefix(OUTSIDE) {
        return Some(number.parse().map(Line::Outside).context("a step without number"));
    }
    let (kind, rest) = text.strip_prefix("@@ ")?.split_once(' ')?;
    let read = || -> Result<Line> {
        let (code, said) = rest.split_once(' ').unwrap_or((rest, ""));
        let said = match kind {
            "json" => {
                serde_json::from_str(said).with_context(|| format!("a module ended with {code} and said {said}"))?
            }
            _ => said.trim_end_matches('\t').replace('\t', "\n").into(),
        };
        Ok(Line::Outcome(Outcome { code: code.parse()?, said }))
    };
    matches!(kind, "json" | "text").then(read)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_are_read_from_the_console() {
        let read = |text: &str| match line(text).map(Result::unwrap) {
            Some(Line::Outcome(outcome)) => Some(outcome),
            _ => None,
        };
        assert_eq!(read("[    0.1] something else"), None);
        assert_eq!(read("@@ dmesg of the kernel"), None);
        let said = serde_json::json!({"changed": true});
        assert_eq!(read("@@ json 0 {\"changed\": true}"), Some(Outcome { code: 0, said }));
        assert_eq!(
            read("@@ text 0 WK CUR: - -\tWK NEW: - -\t"),
            Some(Outcome { code: 0, said: "WK CUR: - -\nWK NEW: - -".into() })
        );
        assert_eq!(read("@@ text 1 "), Some(Outcome { code: 1, said: "".into() }));
        assert!(line("@@ json 1 garbage").unwrap().is_err());
        assert!(matches!(line("@@ outside 7"), Some(Ok(Line::Outside(7)))));
        assert!(matches!(line(END), Some(Ok(Line::End))));
    }
}
