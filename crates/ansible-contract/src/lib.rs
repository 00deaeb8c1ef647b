//! Ansible's contract with a compiled module, once for all modules of the collection.
//!
//! A module declares its options and its own results as serde types and implements [`Module`]; [`run`] does the
//! rest: reads the arguments (a file, or `-` for standard input), accepts what `AnsibleModule` accepts, refuses
//! unknown options with the nearest name, masks `no_log` options, prints one JSON object and sets the exit code.
//! The types are the one source: of validation, of what is echoed in `invocation`, and (feature `docs`) of what
//! ansible-doc shows.
//!
//! Why not the registry's `ansible_module`: its argument specs are built at run time beside the values they
//! describe; typed options, masking that follows from a type, diffs and generated documentation are not in it.

mod args;
mod base64_text;
pub mod codes;
mod de;
#[cfg(feature = "docs")]
mod describe;
mod each;
mod memory;
mod mode;
mod nearest;
mod outcome;
mod path;
mod types;
mod values;

pub use args::{Context, parse_arguments};
pub use base64_text::{from_base64, to_base64};
#[cfg(feature = "docs")]
pub use describe::describe;
pub use each::{Each, Refused};
pub use mode::Mode;
pub use outcome::{Diff, Failure, Outcome, fault_json, warning};
pub use path::PathText;
pub use types::{HexText, NameText, NoLog, hex_from_number, no_name};

use fault::Code;
use serde::{Serialize, de::DeserializeOwned};
use std::os::unix::fs::MetadataExt as _;
use std::process::ExitCode;

/// What [`Module::Options`] must be: readable leniently, and printable with secrets masked.
#[cfg(not(feature = "docs"))]
pub trait Described {}
#[cfg(not(feature = "docs"))]
impl<T> Described for T {}
/// What [`Module::Options`] must be: readable leniently, and printable with secrets masked; here with a schema.
#[cfg(feature = "docs")]
pub trait Described: schemars::JsonSchema {}
#[cfg(feature = "docs")]
impl<T: schemars::JsonSchema> Described for T {}

/// An Ansible module.
pub trait Module {
    /// Its name in the collection, such as `ap_bind`.
    const NAME: &'static str;
    /// The codes with which it can fail or warn, for the docs; those of this crate need not be repeated.
    const CODES: &'static [&'static [Code]];
    /// What a failure may carry beside the common keys for playbooks to test ([`Failure::facts`]), each with its
    /// meaning for the docs.
    const FAILURE_FACTS: &'static [(&'static str, &'static str)] = &[];
    /// Whether secrets pass through its memory in the clear, which is then protected as far as the kernel allows.
    const HOLDS_SECRETS: bool = false;
    /// Its options. Secrets in them are [`NoLog`]; a `null` counts as not given.
    type Options: DeserializeOwned + Serialize + Described;
    /// Its own result keys, beside the common ones.
    type Report: Serialize + Described;

    /// Observes, plans, and unless in check mode applies.
    ///
    /// # Errors
    /// What could not be done, with whatever results there are already.
    fn run(options: Self::Options, context: &Context) -> Result<Outcome<Self::Report>, Failure<Self::Report>>;
}

/// Whether standard error is the journal's, and an operator reads there: systemd.exec(5), JOURNAL_STREAM. What a service starts
/// inherits the variable, so device and inode are compared.
fn writes_to_journal() -> bool {
    let journal = std::env::var("JOURNAL_STREAM").unwrap_or_default();
    let same = |found: std::fs::Metadata| journal == format!("{}:{}", found.dev(), found.ino());
    std::fs::metadata("/proc/self/fd/2").is_ok_and(same)
}

/// Runs the module on the program's arguments, prints its result as one JSON object and gives the exit code.
pub fn run<M: Module>() -> ExitCode {
    if M::HOLDS_SECRETS {
        memory::protect();
    }
    std::panic::set_hook(Box::new(|info| {
        // The payload may hold anything, so only the place is told.
        let place = info.location().map_or_else(String::new, |l| format!(" at {}:{}", l.file(), l.line()));
        let fault = fault::Fault::new(codes::BUG, format!("The module has a bug{place}."))
            .hint("Please report it with the task's options, but without secrets.");
        outcome::print(&Failure::<()>::from(fault).printed(true, None));
        std::process::exit(1);
    }));
    let argument = std::env::args_os().nth(1);
    let (printed, failed) = match args::read(argument).and_then(|args| args.parse::<M::Options>()) {
        Err(fault) => (outcome::print(&Failure::<M::Report>::from(fault).printed(false, None)), true),
        Ok((options, context)) => {
            // As text, which is much smaller than the values that it is made of.
            let invocation = context.invocation.then(|| serde_json::value::to_raw_value(&options).ok()).flatten();
            match M::run(options, &context) {
                Ok(outcome) => (outcome::print(&outcome.printed(context.diff, invocation.as_deref())), false),
                Err(failure) => {
                    if writes_to_journal() {
                        // As a line that is marked as an error: sd-daemon(3).
                        eprintln!("<3>{} [{}]", failure.fault, failure.fault.code.name);
                    }
                    (outcome::print(&failure.printed(context.diff, invocation.as_deref())), true)
                }
            }
        }
    };
    if failed || !printed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
