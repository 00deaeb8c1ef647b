//! Every chore of the project under one name: `cargo xtask CHORE`.

mod bench;
mod build;
mod chore;
mod codes;
mod demo;
mod dist;
mod docs;
mod fleet;
mod fuzz;
mod guest;
mod hardware;
mod lab;
mod machine;
mod module_pages;
mod named_tests;
mod prepare;
mod protections;
mod rows;
mod sanity;
mod test;
mod unpacked;
mod unprivileged;
mod versions;
mod yaml_lines;

use anyhow::{Context, Result, bail};
use std::process::ExitCode;

const USAGE: &str = "\
cargo xtask demo      provision two simulated guests, reboot one, repair it; needs /dev/fuse, no IBM Z
cargo xtask test      every check of the project: format, lints, unit and end-to-end tests, documentation
cargo xtask versions  tests that involve Ansible, with the oldest and the newest ansible-core; minutes
cargo xtask guest     a shell in a simulated guest, with the modules on its PATH
cargo xtask fleet     a shell next to two simulated guests, in a folder with an inventory of them
cargo xtask quick     format, lints, unit tests, tests of the Python, documentation; a minute
cargo xtask prepare   build what tests run and install the pinned ansible-core, for running a single test
cargo xtask dist      build what users install, for s390x, x86_64 and aarch64, into target/dist
cargo xtask lab       the guest programs on Debian's unchanged s390x kernels, in front of the simulated machine
cargo xtask hardware  the program that asks real hardware what only it can confirm, into target/hardware
cargo xtask bench X   a benchmark; with an unknown name, a list of them
cargo xtask docs      write the documentation that is generated from the Rust types (--check: only compare)
cargo xtask sanity    check the collection with ansible-test, galaxy-importer and antsibull; minutes
cargo xtask fuzz      look for inputs that break a parser, for 300 seconds or the given number
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nxtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> Result<()> {
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["demo"] => demo::demo(),
        ["test"] => test::test(),
        ["versions"] => versions::versions(),
        ["fleet"] => fleet::fleet(),
        ["guest"] => guest::guest(),
        ["bench", name, arguments @ ..] => bench::bench(name, arguments),
        ["dist"] => dist::dist(),
        ["lab"] => lab::lab(),
        ["hardware"] => hardware::hardware(),
        ["prepare"] => prepare::prepare().map(drop),
        ["quick"] => test::quick(),
        ["docs"] => docs::write(),
        ["docs", "--check"] => docs::check(),
        ["sanity"] => sanity::sanity(),
        ["fuzz"] => fuzz::fuzz(300),
        ["fuzz", seconds] => fuzz::fuzz(seconds.parse().context("the number of seconds")?),
        ["--help" | "-h" | "help"] => {
            print!("{USAGE}");
            Ok(())
        }
        _ => bail!("there is no such chore; available:\n\n{USAGE}"),
    }
}
