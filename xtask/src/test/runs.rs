//! Checks and programs with tests, run side by side: most of them wait more than they compute.

use super::report::Report;
use crate::chore;
use anyhow::{Context, Error, Result, anyhow, bail};
use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::{Mutex, mpsc};
use std::time::Instant;

/// One of them.
pub struct Run {
    title: String,
    work: Box<dyn FnOnce() -> Found + Send>,
}

/// What it found, and what is wrong. Tests that fail are counted, too.
type Found = (Report, Option<Error>);

impl Run {
    /// A program with tests; `read` counts what it printed.
    pub fn tests(title: impl Into<String>, command: Command, read: fn(&str) -> Report) -> Self {
        Self::tests_if(title, || Ok(()), command, read)
    }

    /// The same, skipped if what they need cannot be made.
    pub fn tests_if(
        title: impl Into<String>,
        can: impl FnOnce() -> Result<()> + Send + 'static,
        mut command: Command,
        read: fn(&str) -> Report,
    ) -> Self {
        let title = title.into();
        let name = title.clone();
        let work = move || -> Result<Found> {
            if let Err(why) = can() {
                return Ok((Report::skipped(format!("{name}: {why:#}")), None));
            }
            let output = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).output();
            let output = output.with_context(|| format!("{command:?} cannot be run"))?;
            let said = [output.stdout, output.stderr].concat();
            let said = String::from_utf8_lossy(&said);
            let wrong = (!output.status.success()).then(|| anyhow!("{name} failed ({}):\n{said}", output.status));
            Ok((read(&said), wrong))
        };
        Self { title, work: Box::new(move || work().unwrap_or_else(|error| (Report::default(), Some(error)))) }
    }

    /// A check that is more than a program.
    pub fn check(title: impl Into<String>, body: impl FnOnce() -> Result<Report> + Send + 'static) -> Self {
        let found = |outcome: Result<Report>| match outcome {
            Ok(report) => (report, None),
            Err(error) => (Report { line: "FAILED".into(), ..Report::default() }, Some(error)),
        };
        Self { title: title.into(), work: Box::new(move || found(body())) }
    }

    /// A program that complains or does not.
    pub fn lint(title: impl Into<String>, mut command: Command) -> Self {
        Self::check(title, move || chore::quietly(&mut command).map(|_| Report::done()))
    }
}

/// Starts all of them in this order, so many at a time; prints a line when one ends, and gives the sum.
///
/// # Errors
/// With all that those which failed said.
pub fn side_by_side(runs: Vec<Run>, at_once: usize) -> Result<Report> {
    let waiting = Mutex::new(runs.into_iter());
    let next = || waiting.lock().unwrap_or_else(std::sync::PoisonError::into_inner).next();
    let (sender, ended) = mpsc::channel();
    let (mut sum, mut wrong) = (Report::default(), Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..at_once {
            let (sender, next) = (sender.clone(), &next);
            scope.spawn(move || {
                while let Some(Run { title, work }) = next() {
                    let started = Instant::now();
                    let found = work();
                    let _ = sender.send((title, found, started.elapsed()));
                }
            });
        }
        drop(sender);
        for (title, (report, error), took) in ended {
            println!("    {title}: {} ({:.1} s)", report.line, took.as_secs_f64());
            let _ = std::io::stdout().flush();
            sum.add(report);
            wrong.extend(error.map(|error| format!("{error:#}")));
        }
    });
    if !wrong.is_empty() {
        bail!("{}\n\n{} of the checks above failed", wrong.join("\n\n"), wrong.len());
    }
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(title: &str, script: &str) -> Run {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        Run::tests(title, command, Report::of_libtest)
    }

    fn passes() -> Run {
        run("good", "echo 'test result: ok. 2 passed; 0 failed;'")
    }

    #[test]
    fn what_passed_is_added_up() {
        let check = Run::check("check", || Ok(Report::skipped("nothing to check".into())));
        let sum = side_by_side(vec![passes(), check, passes()], 2).unwrap();
        assert_eq!((sum.passed, sum.failed, sum.skipped), (4, 0, vec!["nothing to check".to_owned()]));
    }

    #[test]
    fn everything_runs_and_each_that_fails_is_named_with_what_it_said() {
        let fails = run("bad", "echo 'why it failed'; exit 1");
        let check = Run::check("worse", || bail!("worse: complaints"));
        let error = side_by_side(vec![fails, passes(), check], 1).unwrap_err().to_string();
        assert!(error.contains("bad failed") && error.contains("why it failed"), "{error}");
        assert!(error.contains("worse: complaints") && error.ends_with("2 of the checks above failed"), "{error}");
    }

    #[test]
    fn they_run_at_the_same_time() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name).display().to_string();
        // Each waits for the other: one after the other, they would give up.
        let wait = |own: &str, other: &str| {
            let (own, other) = (path(own), path(other));
            let script =
                format!("touch {own}; for i in $(seq 500); do [ -e {other} ] && exit 0; sleep 0.01; done; exit 1");
            run("waits", &script)
        };
        side_by_side(vec![wait("a", "b"), wait("b", "a")], 2).unwrap();
    }
}
