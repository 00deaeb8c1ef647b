//! The loop that follows all threads of the program.

use crate::call::{self, Call, Event};
use crate::machine;
use nix::errno::Errno;
use nix::libc;
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use std::collections::HashMap;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What is to become of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// It is done.
    Go,
    /// It is answered with this error instead.
    Fail(Errno),
    /// The program is killed instead.
    KillBefore,
    /// It is done, and then the program is killed.
    KillAfter,
}

/// What a program did.
#[derive(Clone, Debug)]
pub struct Trace {
    /// Its calls in the order of their answers. Of a program that was killed the last one has an answer only if it was
    /// done.
    pub events: Vec<Event>,
    /// Its exit code; `None` if it was killed.
    pub exit: Option<i32>,
}

/// Why no program can be traced here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unavailable(pub String);

/// A call between its entry and its exit.
enum Inside {
    /// One that is of no interest.
    Other,
    /// One that is answered in the kernel's place without being counted.
    Hidden(Errno),
    Seen(Call, Act),
}

/// What the program finds, besides what is decided call by call, and which of its calls are seen.
#[derive(Clone, Debug, Default)]
pub struct Conditions {
    /// No file system has locks (`flock`).
    pub no_locks: bool,
    /// This file is there, and cannot be opened.
    pub unreadable: Option<PathBuf>,
    /// Calls that only look are seen too.
    pub looks: bool,
}

/// Runs a program to its end. `decide` is asked before each call that changes something in `folder` (or the folder
/// itself), with how many came before; it must be absolute and without links. The program gets no input and what it
/// prints goes where `command` says; a pipe that nobody empties would stop it for good.
///
/// That a program protects its memory against others (`PR_SET_DUMPABLE`) is refused to it: an ordinary user could not
/// see its paths otherwise.
///
/// # Errors
/// What keeps the program from being started. The inner one: ptrace is not permitted or the architecture not known.
pub fn run(
    command: &mut Command,
    folder: &Path,
    decide: impl FnMut(usize, &Call) -> Act,
) -> io::Result<Result<Trace, Unavailable>> {
    run_under(&Conditions::default(), command, folder, decide)
}

/// The same under other conditions.
///
/// # Errors
/// As [`run`].
#[expect(unsafe_code, reason = "only the child can ask to be traced")]
pub fn run_under(
    conditions: &Conditions,
    command: &mut Command,
    folder: &Path,
    mut decide: impl FnMut(usize, &Call) -> Act,
) -> io::Result<Result<Trace, Unavailable>> {
    if !machine::is_known() {
        return Ok(Err(Unavailable(format!("no registers are known of {}", std::env::consts::ARCH))));
    }
    // SAFETY: between fork and exec only a system call is made.
    unsafe { command.pre_exec(|| ptrace::traceme().map_err(Into::into)) };
    let child = match command.spawn() {
        Err(e) if e.raw_os_error() == Some(libc::EPERM) => {
            return Ok(Err(Unavailable(format!("ptrace is not permitted: {e}"))));
        }
        spawned => spawned?,
    };
    let main = Pid::from_raw(i32::try_from(child.id()).map_err(io::Error::other)?);
    waitpid(main, None)?;
    let options = Options::PTRACE_O_TRACESYSGOOD
        | Options::PTRACE_O_TRACECLONE
        | Options::PTRACE_O_TRACEFORK
        | Options::PTRACE_O_TRACEVFORK
        | Options::PTRACE_O_EXITKILL;
    ptrace::setoptions(main, options)?;
    ptrace::syscall(main, None)?;

    let mut inside: HashMap<Pid, Inside> = HashMap::new();
    let mut trace = Trace { events: Vec::new(), exit: None };
    let mut asked = 0;
    loop {
        // Only what this thread traces: other threads of the test may wait for programs of their own.
        let status = match waitpid(None::<Pid>, Some(WaitPidFlag::__WALL | WaitPidFlag::__WNOTHREAD)) {
            Err(Errno::ECHILD) => return Ok(Ok(trace)),
            Err(Errno::EINTR) => continue,
            status => status?,
        };
        let (thread, signal) = match status {
            WaitStatus::Exited(pid, code) => {
                if pid == main {
                    trace.exit = Some(code);
                }
                continue;
            }
            WaitStatus::Signaled(..) => continue,
            WaitStatus::PtraceSyscall(thread) => {
                let kill_now = match inside.remove(&thread) {
                    None => {
                        let (at, stop) = enter(thread, folder, conditions, &mut asked, &mut decide);
                        inside.insert(thread, at);
                        stop
                    }
                    Some(at) => leave(thread, at, &mut trace.events),
                };
                if kill_now {
                    // A call that it had just entered is not done: the kernel sees the signal first.
                    for process in [thread, main] {
                        let _ = kill(process, Signal::SIGKILL);
                    }
                    continue;
                }
                (thread, None)
            }
            // The stop of a new thread, and of execve, is not for the program.
            WaitStatus::Stopped(thread, Signal::SIGSTOP | Signal::SIGTRAP) => (thread, None),
            WaitStatus::Stopped(thread, signal) => (thread, Some(signal)),
            WaitStatus::PtraceEvent(thread, ..) => (thread, None),
            _ => continue,
        };
        match ptrace::syscall(thread, signal) {
            // It is dying.
            Ok(()) | Err(Errno::ESRCH) => {}
            Err(e) => return Err(e.into()),
        }
    }
}

/// At the entry of a system call: what it is, and whether the program ends here.
#[expect(unsafe_code, reason = "the kernel answers with a union")]
fn enter(
    thread: Pid,
    folder: &Path,
    conditions: &Conditions,
    asked: &mut usize,
    decide: &mut impl FnMut(usize, &Call) -> Act,
) -> (Inside, bool) {
    let Ok(info) = ptrace::syscall_info(thread) else { return (Inside::Other, false) };
    if info.op != libc::PTRACE_SYSCALL_INFO_ENTRY {
        return (Inside::Other, false);
    }
    // SAFETY: `op` says that this is the union's member.
    let (number, args) = unsafe { (info.u.entry.nr, info.u.entry.args) };
    let refusal = if number == libc::SYS_prctl as u64 && args[0] == libc::PR_SET_DUMPABLE as u64 {
        Some(Errno::EPERM)
    } else if conditions.no_locks && number == libc::SYS_flock as u64 {
        Some(Errno::EOPNOTSUPP)
    } else {
        let unreadable = conditions.unreadable.as_deref();
        unreadable.filter(|path| call::opened(thread, number, args).as_deref() == Some(*path)).map(|_| Errno::EACCES)
    };
    if let Some(refusal) = refusal {
        let hidden = machine::skip(thread).map_or(Inside::Other, |()| Inside::Hidden(refusal));
        return (hidden, false);
    }
    let here = |path: &Path| path.starts_with(folder);
    let call = Call::of(thread, number, args).filter(|call| here(call.path()) || call.second().is_some_and(here));
    let Some(call) = call.filter(|call| conditions.looks || !call.only_looks()) else { return (Inside::Other, false) };
    let act = decide(*asked, &call);
    *asked += 1;
    match act {
        Act::KillBefore => (Inside::Other, true),
        Act::Fail(error) if machine::skip(thread).is_ok() => (Inside::Seen(call, Act::Fail(error)), false),
        act => (Inside::Seen(call, act), false),
    }
}

/// At its exit: records it, and tells whether the program ends here.
#[expect(unsafe_code, reason = "the kernel answers with a union")]
fn leave(thread: Pid, at: Inside, events: &mut Vec<Event>) -> bool {
    match at {
        Inside::Other => false,
        Inside::Hidden(error) => {
            let _ = machine::answer(thread, error);
            false
        }
        Inside::Seen(call, Act::Fail(error)) => {
            let _ = machine::answer(thread, error);
            events.push(Event { call, answer: Err(error) });
            false
        }
        Inside::Seen(call, act) => {
            let answer = ptrace::syscall_info(thread).map_err(|e| e as i32).and_then(|info| {
                // SAFETY: the other stop of a system call is its exit, which all thread stops alternate with.
                let (value, failed) = unsafe { (info.u.exit.sval, info.u.exit.is_error != 0) };
                if failed { Err(i32::try_from(-value).unwrap_or(0)) } else { Ok(()) }
            });
            events.push(Event { call, answer: answer.map_err(Errno::from_raw) });
            act == Act::KillAfter
        }
    }
}
