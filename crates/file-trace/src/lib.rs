//! Runs a program under ptrace and sees each of its calls that changes files in one folder. Each can be let through,
//! answered with an error, or be the last thing that the program does.
//!
//! So a test can show in which order files become durable, and end a program between any two steps. System calls are
//! told apart by `PTRACE_GET_SYSCALL_INFO` (Linux 5.3), which is the same on every architecture; to answer a call with
//! an error takes one register, whose place is known here for x86-64 and s390x.

mod call;
mod machine;
mod tracer;

pub use call::{Call, Event};
pub use tracer::{Act, Conditions, Trace, Unavailable, run, run_under};

#[cfg(test)]
mod tests;
