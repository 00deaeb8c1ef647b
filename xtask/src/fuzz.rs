//! Fuzzing: libFuzzer on every target of `tests/fuzz/targets`, with stable Rust and nothing installed besides.

use crate::chore::{cargo, openssl_features, quietly, step};
use anyhow::{Context, Result, bail, ensure};
use e2e::place;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::thread;

/// What makes the compiler count edges and compared values for libFuzzer.
const FLAGS: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1 --cfg fuzzing";
/// An input that takes longer, in seconds, is a finding.
const TOO_LONG: &str = "-timeout=10";
/// The longest input that is tried, in bytes, and the longest that the committed corpus keeps.
const LONGEST: (&str, &str) = ("-max_len=65536", "-max_len=8192");
/// Runs a program and says on standard error how much of a processor it took, in the words of the shell's `times`.
const TIMED: &str = r#""$@"; status=$?; times >&2; exit $status"#;

const HEAD: &str = "\
# All runs of cargo xtask fuzz so far, by target: inputs tried, seconds of a processor, edges of the program reached in the
# last run, inputs that were findings (each is in the corpus now, and mended).
";

/// What is known of one target over all runs.
#[derive(Clone, Copy, Default, Serialize, Deserialize)]
struct Counters {
    executions: u64,
    cpu_seconds: u64,
    coverage: u64,
    findings: usize,
}

/// Fuzzes for this many seconds in all, on all cores, the same share for each target; then minimises the corpus and
/// adds to the counters.
///
/// # Errors
/// If something cannot be built or run, or if there are findings.
pub fn fuzz(seconds: u64) -> Result<()> {
    ensure!(
        Command::new("c++").arg("--version").output().is_ok_and(|output| output.status.success()),
        "libFuzzer is built from C++, and there is no c++: install it (Debian, Ubuntu: apt-get install g++)"
    );
    let fuzzer = Fuzzer { program: step("Building the fuzzer", build)?, work: place::target()?.join("fuzz/work") };
    // A test sees to it that these are the targets.
    let mut targets: Vec<_> = fs::read_dir(corpus(""))?
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect::<Result<_>>()?;
    targets.sort();
    let cores = thread::available_parallelism()?.get();
    let share = (seconds * cores as u64 / targets.len() as u64).max(1);
    println!("{} targets, {share} s each, {cores} at a time", targets.len());

    let mut counters = read_counters()?;
    let waiting = Mutex::new(targets.iter());
    let done = Mutex::new(BTreeMap::new());
    thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                while let Some(target) = waiting.lock().ok().and_then(|mut left| left.next()) {
                    let outcome = fuzzer.run(target, share);
                    done.lock().map(|mut done| done.insert(target, outcome)).ok();
                }
            });
        }
    });
    let done = done.into_inner().unwrap_or_default();

    println!("{:<18}{:>14}{:>8}{:>10}{:>10}", "target", "executions", "CPU s", "coverage", "findings");
    let mut found = Vec::new();
    for (target, outcome) in done {
        let (now, artifacts) = outcome.with_context(|| format!("the target {target}"))?;
        let Counters { executions, cpu_seconds, coverage, findings } = now;
        println!("{target:<18}{executions:>14}{cpu_seconds:>8}{coverage:>10}{findings:>10}");
        let all = counters.entry(target.clone()).or_default();
        *all = Counters {
            executions: all.executions + executions,
            cpu_seconds: all.cpu_seconds + cpu_seconds,
            coverage,
            findings: all.findings + findings,
        };
        found.extend(artifacts.into_iter().map(|file| format!("{target} {}", file.display())));
    }
    fs::write(counters_file(), format!("{HEAD}{}", serde_yaml::to_string(&counters)?))?;
    if !found.is_empty() {
        bail!(
            "findings. Copy each into the target's folder of tests/fuzz/corpus, where `cargo test -p fuzz-targets` fails \
             with it, and mend it:\n{}",
            found.join("\n")
        );
    }
    step("Minimising the corpus", || targets.iter().try_for_each(|target| fuzzer.minimise(target)))
}

struct Fuzzer {
    program: PathBuf,
    work: PathBuf,
}

impl Fuzzer {
    /// Fuzzes one target; gives what was counted and the inputs that it failed with.
    fn run(&self, target: &str, seconds: u64) -> Result<(Counters, Vec<PathBuf>)> {
        let (inputs, findings) = (self.work.join(target), self.work.join(format!("{target}.findings")));
        if findings.exists() {
            fs::remove_dir_all(&findings)?;
        }
        fs::create_dir_all(&inputs)?;
        fs::create_dir_all(&findings)?;
        let output = self
            .command(target)
            .arg(format!("-max_total_time={seconds}"))
            .args([TOO_LONG, LONGEST.0, "-print_final_stats=1"])
            .arg(format!("-artifact_prefix={}/", findings.display()))
            .args([&inputs, &corpus(target)])
            .stdin(Stdio::null())
            .output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        let artifacts: Vec<_> = fs::read_dir(&findings)?.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
        ensure!(output.status.success() || !artifacts.is_empty(), "it ended with {}:\n{said}", output.status);
        let executions = after(&said, "stat::number_of_executed_units:").unwrap_or(0);
        let counted = Counters {
            executions,
            cpu_seconds: cpu_seconds(&said).context("the shell did not say how long it ran")?,
            coverage: after(&said, " cov: ").unwrap_or(0),
            findings: artifacts.len(),
        };
        Ok((counted, artifacts))
    }

    /// Replaces the committed corpus by the fewest inputs that reach every edge that is reached so far; how often each
    /// is reached does not count, which would keep four times as many.
    fn minimise(&self, target: &str) -> Result<()> {
        let fewest = self.work.join(format!("{target}.fewest"));
        if fewest.exists() {
            fs::remove_dir_all(&fewest)?;
        }
        fs::create_dir_all(&fewest)?;
        let (committed, all) = (corpus(target), self.work.join(target));
        quietly(
            self.command(target)
                .args(["-set_cover_merge=1", "-use_counters=0", TOO_LONG, LONGEST.1])
                .args([&fewest, &committed, &all]),
        )?;
        fs::remove_dir_all(&committed)?;
        fs::create_dir(&committed)?;
        for entry in fs::read_dir(&fewest)? {
            let path = entry?.path();
            fs::copy(&path, committed.join(path.file_name().context("no name")?))?;
        }
        Ok(())
    }

    fn command(&self, target: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", TIMED, "sh"]).arg(&self.program).env("SEGUEST_FUZZ_TARGET", target);
        command
    }
}

fn build() -> Result<PathBuf> {
    let rustc = quietly(Command::new("rustc").args(["--version", "--verbose"]))?;
    let told = String::from_utf8_lossy(&rustc.stdout).into_owned();
    let host = told.lines().find_map(|line| line.strip_prefix("host: ")).context("rustc does not tell its host")?;
    let folder = place::target()?.join("fuzz");
    let mut command = cargo();
    // With --target the flags are for what is fuzzed and not for build scripts.
    command.args(["build", "--locked", "--release", "--target", host, "--target-dir"]).arg(&folder);
    command.arg("--manifest-path").arg(place::repository().join("tests/fuzz/Cargo.toml")).env("RUSTFLAGS", FLAGS);
    if !openssl_features().is_empty() {
        command.args(["--features", "vendored-openssl"]);
    }
    quietly(&mut command)?;
    Ok(folder.join(host).join("release/fuzz"))
}

fn corpus(target: &str) -> PathBuf {
    place::repository().join("tests/fuzz/corpus").join(target)
}

fn counters_file() -> PathBuf {
    place::repository().join("tests/fuzz/counters.yaml")
}

fn read_counters() -> Result<BTreeMap<String, Counters>> {
    let file: &Path = &counters_file();
    if !file.exists() {
        return Ok(BTreeMap::new());
    }
    serde_yaml::from_str(&fs::read_to_string(file)?).with_context(|| file.display().to_string())
}

/// The number that follows the last occurrence of a word.
fn after(text: &str, word: &str) -> Option<u64> {
    let (_, rest) = text.rsplit_once(word)?;
    rest.split_whitespace().next()?.parse().ok()
}

/// User and system time of children, from the last line of the shell's `times`: `0m1.23s 0m0.04s`.
fn cpu_seconds(text: &str) -> Option<u64> {
    let times = text.lines().next_back()?.split_whitespace().map(|time| {
        let (minutes, seconds) = time.strip_suffix('s')?.split_once('m')?;
        Some(minutes.parse::<f64>().ok()? * 60.0 + seconds.replace(',', ".").parse::<f64>().ok()?)
    });
    let sum: f64 = times.collect::<Option<Vec<_>>>()?.iter().sum();
    Some(sum.round() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_libfuzzer_and_the_shell_say_is_counted() {
        let said = "#2\tINITED cov: 12 ft: 3\n#99\tDONE   cov: 34 ft: 5\nstat::number_of_executed_units: 60189\n\
                    0m0.00s 0m0.00s\n1m2.40s 0m0.20s\n";
        assert_eq!(after(said, " cov: "), Some(34));
        assert_eq!(after(said, "stat::number_of_executed_units:"), Some(60189));
        assert_eq!(cpu_seconds(said), Some(63));
        assert_eq!((after("", "x"), cpu_seconds("no times")), (None, None));
    }
}
