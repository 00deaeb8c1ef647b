//! What checks and tests report, and the sum of it.

use anyhow::{Result, ensure};

/// What one of them found.
#[derive(Debug, Default)]
pub struct Report {
    /// For people, behind its title.
    pub line: String,
    /// How many tests passed.
    pub passed: usize,
    /// How many failed.
    pub failed: usize,
    /// What was not tried, and why.
    pub skipped: Vec<String>,
}

impl Report {
    /// Of a check that has nothing to count.
    pub fn done() -> Self {
        Self { line: "done".into(), ..Self::default() }
    }

    /// Of something that was not tried.
    pub fn skipped(what: String) -> Self {
        Self { line: "SKIPPED".into(), skipped: vec![what], ..Self::default() }
    }

    /// Of what a program of libtest printed, with `--show-output`.
    pub fn of_libtest(said: &str) -> Self {
        let mut report = Self::default();
        for line in said.lines() {
            if let Some(result) = line.strip_prefix("test result: ") {
                report.passed += count(result, " passed");
                report.failed += count(result, " failed");
                report.skipped.extend((count(result, " ignored") > 0).then(|| format!("ignored: {result}")));
            }
            report.skipped.extend(line.strip_prefix("skipped: ").map(str::to_owned));
        }
        let failed = if report.failed > 0 { format!(", {} FAILED", report.failed) } else { String::new() };
        report.line = format!("{} passed{failed}", report.passed);
        report
    }

    /// Of what pytest printed, with `-rs`.
    pub fn of_pytest(said: &str) -> Self {
        // As in `2 failed, 120 passed in 85.20s (0:01:25)`.
        let begins = |line: &str| line.starts_with(|c: char| c.is_ascii_digit());
        let closing = said.lines().rev().find(|line| begins(line) && line.contains(" in ")).unwrap_or_default();
        let skipped = said.lines().filter_map(|line| line.strip_prefix("SKIPPED [")?.split_once("] "));
        Self {
            line: closing.split(" in ").next().unwrap_or_default().to_owned(),
            passed: count(closing, " passed"),
            failed: count(closing, " failed") + count(closing, " error"),
            skipped: skipped.map(|(_, what)| what.to_owned()).collect(),
        }
    }

    /// Adds what another one found.
    pub fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped.extend(other.skipped);
    }

    /// Prints the sum.
    ///
    /// # Errors
    /// If a test failed, or none was run.
    pub fn close(self) -> Result<()> {
        if !self.skipped.is_empty() {
            println!("\nSkipped:");
            self.skipped.iter().for_each(|what| println!("    {what}"));
        }
        println!("\n{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped.len());
        ensure!(self.failed == 0, "{} tests failed", self.failed);
        ensure!(self.passed > 0, "no test was run");
        Ok(())
    }
}

/// The number before a word, as in `12 passed; 0 failed`; 0 without it.
fn count(result: &str, word: &str) -> usize {
    let Some((before, _)) = result.split_once(word) else { return 0 };
    before.rsplit(|c: char| !c.is_ascii_digit()).next().and_then(|digits| digits.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_read_from_libtests_closing_line() {
        let said = "skipped: a: no /dev/fuse\n\
                    test result: FAILED. 15 passed; 3 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.07s\n";
        let report = Report::of_libtest(said);
        assert_eq!(report.line, "15 passed, 3 FAILED");
        assert_eq!((report.passed, report.failed, report.skipped.len()), (15, 3, 2));
        assert!(report.close().is_err());
    }

    #[test]
    fn counts_are_read_from_pytests_closing_line() {
        let said = "....s\nSKIPPED [1] tests/ansible/test_a.py:3: no chromium\n\
                    2 failed, 120 passed, 1 skipped, 1 error in 85.20s (0:01:25)\n";
        let report = Report::of_pytest(said);
        assert_eq!(report.line, "2 failed, 120 passed, 1 skipped, 1 error");
        assert_eq!((report.passed, report.failed), (120, 3));
        assert_eq!(report.skipped, ["tests/ansible/test_a.py:3: no chromium"]);
    }

    #[test]
    fn a_sum_without_any_test_is_none_that_passed() {
        let mut sum = Report::default();
        sum.add(Report::of_libtest("nothing"));
        sum.add(Report::done());
        assert!(sum.close().is_err());
    }
}
