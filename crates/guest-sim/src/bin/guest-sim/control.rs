//! The control socket of a running guest: reboot, set, state.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::thread;

use anyhow::{Context, Result, bail};
use fuser::Notifier;
use serde_json::{Value, json};

use crate::namespace;
use crate::paths::Paths;
use crate::shared::Shared;

/// Longest question: a scenario fragment with every queue there can be.
const MAX_QUESTION: u64 = 64 << 20;

/// What questions are about.
pub struct Control {
    pub shared: Arc<Shared>,
    pub paths: Arc<Paths>,
    pub kernel: Notifier,
    pub name: String,
}

/// Answers questions in a thread of its own, one after the other, until the process ends.
pub fn serve(listener: UnixListener, control: Control) {
    answer_all(listener, move |question| carry_out(question, &control));
}

/// The same with any other answers.
pub fn answer_all(listener: UnixListener, answers: impl Fn(&Value) -> Result<Value> + Send + 'static) {
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            if let Err(error) = answer(&stream, &answers) {
                eprintln!("guest-sim: control socket: {error:#}");
            }
        }
    });
}

fn answer(mut stream: &UnixStream, answers: &impl Fn(&Value) -> Result<Value>) -> Result<()> {
    let mut line = String::new();
    BufReader::new(stream.take(MAX_QUESTION)).read_line(&mut line).context("cannot read a question")?;
    if line.is_empty() {
        return Ok(());
    }
    let question = serde_json::from_str(&line).context("the question is no JSON");
    let answer =
        question.and_then(|question| answers(&question)).unwrap_or_else(|error| json!({"error": format!("{error:#}")}));
    stream.write_all(format!("{answer}\n").as_bytes()).context("cannot answer")
}

fn carry_out(question: &Value, control: &Control) -> Result<Value> {
    let Control { shared, paths, kernel, name } = control;
    let forget = || paths.forget(shared, kernel).context("the kernel cannot be told what is gone");
    match question.get("do").and_then(Value::as_str) {
        Some("state") => Ok(state(shared, name)),
        Some("reboot") => {
            shared.with(|guest, now| guest.reboot(now))?;
            forget()?;
            namespace::empty_run()?;
            Ok(state(shared, name))
        }
        Some("set") => {
            let fragment = question.get("fragment").and_then(Value::as_str).context("set needs a fragment")?;
            shared.with(|guest, now| guest.set(fragment, now))?;
            forget()?;
            Ok(json!({}))
        }
        _ => bail!("a question is state, reboot or set"),
    }
}

/// The guest's state with its name.
pub fn state(shared: &Shared, name: &str) -> Value {
    let mut state = shared.with(|guest, now| guest.state(now));
    if let Value::Object(map) = &mut state {
        map.insert("name".into(), name.into());
    }
    state
}
